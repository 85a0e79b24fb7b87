"""From a video to its clip vector: decode, window, gate, encode, pool.

Command: `python -m model.embed VIDEO...`.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from model.clip import open_clip
from model.config import Form
from model.cut import CUT_VERSION, DEFAULT_LIMITS, STILL, ClipStream, Cutting, MovingWindow, Seen
from model.encoder import Encoder, EncoderInfo, Encoding, Flags, Floats, Ints
from model.errors import ModelError
from model.motion import looked_at
from model.pooling import pool
from model.runtime import DEFAULT_ENCODER, OnnxEncoder
from model.skeleton.cut import SKELETON_VERSION, mirrored_skeleton
from model.skeleton.estimator import shared_estimator
from model.video import VideoFacts, VideoLimits, VideoSource

UNTRAINED = "the encoder is untrained: the order of the hits means little"


@dataclass(frozen=True)
class ClipEmbedding:
    """A clip as the index sees it, and what led there."""

    vector: Floats
    """[K D] unit length, of K parts in time: the encoder's `num_parts`."""
    embeddings: Floats
    """[N, D], one row per window; zero where the window was not encoded."""
    activity: Floats
    """[N, 2] in [0, 1], left and right hand; zero where the window was not encoded."""
    encoded: Flags
    """[N], False where the motion gate spared the window."""
    start_s: Floats
    """[N] start of each window in the video, seconds."""
    facts: VideoFacts
    warnings: tuple[str, ...]
    """Sentences for whoever sent the clip."""


class Embedder:
    """Embeds clips with one encoder. Safe to share between threads.

    `embed` does everything. Its steps can also be taken apart, to encode windows of several clips together: cut a video
    (`model.cut`), `encode` batches of windows, then `clip_embedding`.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        stride_frames: int | None = None,
        still: float = STILL,
        kept_share: float | None = None,
        limits: VideoLimits = DEFAULT_LIMITS,
    ) -> None:
        """Choose how much work goes into a clip.

        Args:
            encoder: what encodes the windows.
            stride_frames: frames between window starts; None takes the encoder file's.
            still: windows with less motion than this are not encoded, grey levels; 0 encodes all.
            kept_share: of the mask units, those that move most; 1 encodes all, None takes the encoder file's.
            limits: what is refused.
        """
        kept_share = encoder.info.kept_share if kept_share is None else kept_share
        if not 0 < kept_share <= 1:
            raise ValueError(f"kept_share is {kept_share}; allowed is above 0 up to 1")
        self.encoder = encoder
        self.cutting = Cutting.of(encoder.info, stride_frames=stride_frames, still=still)
        self.kept_share = kept_share
        self.limits = limits

    @property
    def settings(self) -> str:
        """Everything besides video and encoder that decides what `encode` gives, as a key for what is kept of it."""
        cutting = self.cutting
        if cutting.form != Form.PICTURES:
            return f"skeleton={SKELETON_VERSION} stride={cutting.stride_frames} estimator={self.encoder.info.estimator}"
        return f"cut={CUT_VERSION} stride={cutting.stride_frames} still={cutting.still:g} kept={self.kept_share:g}"

    def embed(self, source: VideoSource, *, start_s: float = 0.0, end_s: float | None = None) -> ClipEmbedding:
        """Embed one clip.

        Raises:
            VideoError: the video can't be used, and why.
        """
        with self._open(source, start_s, end_s) as windows:
            encoded = joined([self.encode(batch) for batch in batches(windows, self.encoder.info.num_at_once)])
        return clip_embedding(encoded, windows.seen, self.cutting, self.encoder.info)

    def embed_both(
        self, source: VideoSource, *, start_s: float = 0.0, end_s: float | None = None
    ) -> tuple[ClipEmbedding, ClipEmbedding]:
        """Embed one clip as filmed and mirrored, decoding it once.

        Raises:
            VideoError: the video can't be used, and why.
        """
        filmed, flipped = [], []
        with self._open(source, start_s, end_s) as windows:
            for batch in batches(windows, self.encoder.info.num_at_once):
                filmed.append(self.encode(batch))
                flipped.append(self.encode([self.mirrored(window) for window in batch]))
        as_filmed, as_mirrored = (
            clip_embedding(joined(parts), windows.seen, self.cutting, self.encoder.info) for parts in (filmed, flipped)
        )
        return as_filmed, as_mirrored

    def mirrored(self, moving_window: MovingWindow) -> MovingWindow:
        """The same window as a mirror shows it; its motion is the same."""
        window, motion = moving_window
        sees_pictures = self.cutting.form == Form.PICTURES
        frames = window.frames[:, :, ::-1] if sees_pictures else mirrored_skeleton(window.frames)
        return replace(window, frames=frames), motion

    @contextmanager
    def _open(self, source: VideoSource, start_s: float, end_s: float | None) -> Iterator[ClipStream]:
        """A clip's windows, with the estimator that finds skeletons for them where that is wanted."""
        name = self.encoder.info.estimator
        with (
            nullcontext() if name is None else shared_estimator(name).taken() as estimator,
            open_clip(source, self.cutting, estimator, limits=self.limits, start_s=start_s, end_s=end_s) as windows,
        ):
            yield windows

    def encode(self, batch: Sequence[MovingWindow]) -> "EncodedWindows":
        """Encode windows, of one clip or of several."""
        frames = np.stack([window.frames for window, _ in batch])
        visible = looked_at(frames, self.encoder.info.config, self.kept_share)
        return EncodedWindows(
            np.array([window.start_frame for window, _ in batch]),
            np.array([motion for _, motion in batch]),
            self.encoder.encode(frames, visible),
        )


@dataclass(frozen=True)
class EncodedWindows:
    """The windows of a clip that were encoded: start frames, motion in grey levels, and what the encoder gave."""

    start_frames: Ints
    motion: Floats
    encoding: Encoding

    def rows(self, start: int, end: int) -> "EncodedWindows":
        """Some of them."""
        encoding = Encoding(self.encoding.embedding[start:end], self.encoding.activity[start:end])
        return EncodedWindows(self.start_frames[start:end], self.motion[start:end], encoding)


def joined(parts: Sequence[EncodedWindows]) -> EncodedWindows:
    """All windows of several parts, in order."""
    return EncodedWindows(
        np.concatenate([part.start_frames for part in parts]),
        np.concatenate([part.motion for part in parts]),
        Encoding(
            np.concatenate([part.encoding.embedding for part in parts]),
            np.concatenate([part.encoding.activity for part in parts]),
        ),
    )


def clip_embedding(windows: EncodedWindows, seen: Seen, cutting: Cutting, info: EncoderInfo) -> ClipEmbedding:
    """Pool the windows of a clip, wherever they were cut and encoded.

    Args:
        windows: those in which something moves; at least one.
        seen: what was learnt of the clip while it was cut.
        cutting: how it was cut.
        info: of the encoder.
    """
    starts = seen.starts(cutting)
    rows = np.searchsorted(starts, windows.start_frames)
    embeddings = np.zeros((len(starts), info.config.dim), np.float32)
    activity = np.zeros((len(starts), 2), np.float32)
    encoded = np.zeros(len(starts), np.bool_)
    embeddings[rows], activity[rows], encoded[rows] = windows.encoding.embedding, windows.encoding.activity, True
    return ClipEmbedding(
        vector=pool(windows.encoding.embedding, windows.encoding.activity, info.num_parts),
        embeddings=embeddings,
        activity=activity,
        encoded=encoded,
        start_s=seen.window_start_s(cutting),
        facts=seen.facts,
        warnings=(*seen.warnings, *_warnings(windows, seen.facts, cutting, info)),
    )


def _warnings(windows: EncodedWindows, facts: VideoFacts, cutting: Cutting, info: EncoderInfo) -> Iterator[str]:
    if facts.num_frames < cutting.num_frames:
        yield (
            f"the clip has {facts.num_frames} frames at {info.fps:g} per second, a window {cutting.num_frames}:"
            " its last frame was repeated"
        )
    if windows.motion.max() < cutting.still:
        yield "nothing moves in this clip; is a signer in the picture?"
    if not info.trained:
        yield UNTRAINED


def batches(windows: Iterable[MovingWindow], size: int) -> Iterator[list[MovingWindow]]:
    """Consecutive groups of at most `size`."""
    batch: list[MovingWindow] = []
    for window in windows:
        batch.append(window)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def describe(path: Path, clip: ClipEmbedding, encoder_id: str) -> dict[str, object]:
    """A clip embedding as JSON-ready data."""
    return {
        "video": str(path),
        "encoder_id": encoder_id,
        "vector": clip.vector.tolist(),
        "num_windows": len(clip.start_s),
        "num_encoded": int(clip.encoded.sum()),
        "activity": [
            {"start_s": round(float(start), 3), "left": round(float(left), 4), "right": round(float(right), 4)}
            for start, (left, right) in zip(clip.start_s, clip.activity, strict=True)
        ],
        "facts": asdict(clip.facts),
        "warnings": list(clip.warnings),
    }


def main(
    videos: Annotated[list[Path], typer.Argument(help="Video files.")],
    *,
    encoder: Annotated[Path, typer.Option(help="Encoder file.")] = DEFAULT_ENCODER,
    stride_frames: Annotated[
        int | None, typer.Option(help="Frames between windows; the encoder's own if left out.")
    ] = None,
    kept_share: Annotated[
        float | None,
        typer.Option(help="Share of the mask units to encode, those that move most; the encoder's own if left out."),
    ] = None,
    threads: Annotated[int, typer.Option(help="Of the encoder; 0 takes all cores.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per video, with the vector.")] = False,
) -> None:
    """Embed videos and say what was seen in them. Exits with 1 when one of them can't be used."""
    failed = False
    try:
        embedder = Embedder(OnnxEncoder(encoder, threads=threads), stride_frames=stride_frames, kept_share=kept_share)
    except (ModelError, ValueError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
    for path in videos:
        try:
            clip = embedder.embed(path)
        except ModelError as error:
            failed = True
            typer.echo(
                json.dumps({"video": str(path), "error": str(error)}) if as_json else f"{path}: {error}",
                err=not as_json,
            )
            continue
        if as_json:
            typer.echo(json.dumps(describe(path, clip, embedder.encoder.info.encoder_id)))
        else:
            typer.echo(summary(path, clip))
    if failed:
        raise typer.Exit(1)


def summary(path: Path, clip: ClipEmbedding) -> str:
    """One line on a clip, and one for each warning."""
    facts = clip.facts
    line = (
        f"{path}: {facts.duration_s:.2f} s of {facts.codec} {facts.width}x{facts.height}, {facts.num_frames} frames,"
        f" {len(clip.start_s)} windows ({clip.encoded.sum()} encoded),"
        f" activity up to {clip.activity[:, 0].max():.2f} left, {clip.activity[:, 1].max():.2f} right"
    )
    return "\n".join([line, *(f"  warning: {warning}" for warning in clip.warnings)])


if __name__ == "__main__":
    typer.run(main)
