"""From a video to its clip vector: decode, window, gate, encode, pool. Command: `python -m model embed VIDEO...`."""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from model.clip import open_clip
from model.clip_stream import (
    DEFAULT_LIMITS,
    STILL,
    WINDOWING_VERSION,
    ClipInfo,
    ClipStream,
    MovingWindow,
    WindowingConfig,
)
from model.config import WindowForm
from model.encoder import Encoder, EncoderInfo, Encoding, Flags, Floats, Ints, Windows, concatenate
from model.errors import ModelError
from model.motion import looked_at
from model.pooling import pool
from model.runtime.onnx_encoder import DEFAULT_ENCODER, OnnxEncoder
from model.skeleton.estimator import shared_estimator
from model.skeleton.skeleton_stream import SKELETON_VERSION, mirror_skeleton
from model.video import VideoInfo, VideoLimits, VideoSource

UNTRAINED = "the encoder is untrained: the order of the hits means little"


@dataclass(frozen=True)
class ClipEmbedding:
    """The vector of a clip, which the index stores, and the windows it was pooled from."""

    vector: Floats
    """[K D] unit length, of K parts in time: the encoder's `num_parts`."""
    embeddings: Floats
    """[N, D], one row per window; zero where the window was not encoded."""
    activity: Floats
    """[N, 2] in [0, 1], left and right hand; zero where the window was not encoded."""
    encoded: Flags
    """[N], False where the motion gate left the window out."""
    start_s: Floats
    """[N] start of each window in the video, seconds."""
    video_info: VideoInfo
    warnings: tuple[str, ...]
    """Sentences for whoever sent the clip."""


class Embedder:
    """Embeds clips with one encoder. Safe to share between threads.

    `embed` does everything. Its steps can also be taken one by one, to encode windows of several clips together: open a
    video (`model.clip.open_clip`), `encode` batches of windows, then `clip_embedding`.
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
        self.windowing = WindowingConfig.of(encoder.info, stride_frames=stride_frames, still=still)
        self.kept_share = kept_share
        self.limits = limits

    @property
    def settings(self) -> str:
        """Everything besides video and encoder that decides what `encode` gives, as a key of the embedding cache."""
        windowing = self.windowing
        if windowing.form != WindowForm.PICTURES:
            return (
                f"skeleton={SKELETON_VERSION} stride={windowing.stride_frames} estimator={self.encoder.info.estimator}"
            )
        return (
            f"cut={WINDOWING_VERSION} stride={windowing.stride_frames} still={windowing.still:g}"
            f" kept={self.kept_share:g}"
        )

    def embed(self, source: VideoSource, *, start_s: float = 0.0, end_s: float | None = None) -> ClipEmbedding:
        """Embed one clip.

        Raises:
            VideoError: the video can't be used, and why.
        """
        with self._open(source, start_s, end_s) as windows:
            encoded = joined([self.encode(batch) for batch in batches(windows, self.encoder.info.num_at_once)])
        return clip_embedding(encoded, windows.info, self.windowing, self.encoder.info)

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
            clip_embedding(joined(parts), windows.info, self.windowing, self.encoder.info)
            for parts in (filmed, flipped)
        )
        return as_filmed, as_mirrored

    def mirrored(self, moving_window: MovingWindow) -> MovingWindow:
        """The same window as if filmed in a mirror; its motion is the same."""
        window, motion = moving_window
        takes_pictures = self.windowing.form == WindowForm.PICTURES
        frames = window.frames[:, :, ::-1] if takes_pictures else mirror_skeleton(window.frames)
        return replace(window, frames=frames), motion

    @contextmanager
    def _open(self, source: VideoSource, start_s: float, end_s: float | None) -> Iterator[ClipStream]:
        """A clip's windows, with the estimator where the encoder takes skeletons."""
        name = self.encoder.info.estimator
        with (
            nullcontext() if name is None else shared_estimator(name).acquire() as estimator,
            open_clip(source, self.windowing, estimator, limits=self.limits, start_s=start_s, end_s=end_s) as windows,
        ):
            yield windows

    def encode(self, batch: Sequence[MovingWindow]) -> "EncodedWindows":
        """Encode windows, of one clip or of several."""
        return EncodedWindows(
            np.array([window.start_frame for window, _ in batch]),
            np.array([motion for _, motion in batch]),
            encode_windows(self.encoder, [window.frames for window, _ in batch], self.kept_share),
        )


def encode_windows(encoder: Encoder, windows: Sequence[Windows], kept_share: float) -> Encoding:
    """Encode windows of one clip or of several in one run of the encoder.

    Args:
        encoder: what encodes.
        windows: [num_frames, ...] each, at least one.
        kept_share: of the mask units of pictures, those that move most; 1 encodes all.

    Raises:
        ValueError: the encoder gave another number of rows.
    """
    stacked = np.stack(windows)
    encoding = encoder.encode(stacked, looked_at(stacked, encoder.info.config, kept_share))
    if len(encoding.embedding) != len(stacked) or len(encoding.activity) != len(stacked):
        raise ValueError(f"the encoder gave {len(encoding.embedding)} rows for {len(stacked)} windows")
    return encoding


@dataclass(frozen=True)
class EncodedWindows:
    """The windows of a clip that were encoded: start frames, motion in grey levels, and what the encoder gave."""

    start_frames: Ints
    motion: Floats
    encoding: Encoding

    def rows(self, start: int, end: int) -> "EncodedWindows":
        """Some of them."""
        return EncodedWindows(self.start_frames[start:end], self.motion[start:end], self.encoding.rows(start, end))


def joined(parts: Sequence[EncodedWindows]) -> EncodedWindows:
    """All windows of several parts, in order."""
    return EncodedWindows(
        np.concatenate([part.start_frames for part in parts]),
        np.concatenate([part.motion for part in parts]),
        concatenate([part.encoding for part in parts]),
    )


def clip_embedding(
    windows: EncodedWindows, clip_info: ClipInfo, windowing: WindowingConfig, info: EncoderInfo
) -> ClipEmbedding:
    """Pool the windows of a clip, wherever they were decoded and encoded.

    Args:
        windows: those in which something moves; at least one.
        clip_info: what is known of the clip since all of it was read.
        windowing: the windows that were made.
        info: of the encoder.
    """
    starts = clip_info.starts(windowing)
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
        start_s=clip_info.window_start_s(windowing),
        video_info=clip_info.video_info,
        warnings=(*clip_info.warnings, *_warnings(windows, clip_info.video_info, windowing, info)),
    )


def _warnings(
    windows: EncodedWindows, video_info: VideoInfo, windowing: WindowingConfig, info: EncoderInfo
) -> Iterator[str]:
    if video_info.num_frames < windowing.num_frames:
        yield (
            f"the clip has {video_info.num_frames} frames at {info.fps:g} per second, a window {windowing.num_frames}:"
            " its last frame was repeated"
        )
    if windows.motion.max() < windowing.still:
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
        "facts": asdict(clip.video_info),
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
    """Embed videos and describe what was found in them. Exits with 1 when one of them can't be used."""
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
    video = clip.video_info
    line = (
        f"{path}: {video.duration_s:.2f} s of {video.codec} {video.width}x{video.height}, {video.num_frames} frames,"
        f" {len(clip.start_s)} windows ({clip.encoded.sum()} encoded),"
        f" activity up to {clip.activity[:, 0].max():.2f} left, {clip.activity[:, 1].max():.2f} right"
    )
    return "\n".join([line, *(f"  warning: {warning}" for warning in clip.warnings)])
