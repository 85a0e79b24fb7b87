"""From a video to its clip vector: decode, window, gate, encode, pool.

Command: `python -m model.embed VIDEO...`.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from model.encoder import Encoder, Flags, Floats, Ints
from model.errors import ModelError
from model.motion import moving_units, window_motion
from model.pooling import pool
from model.runtime import BATCH_SIZES, DEFAULT_ENCODER, OnnxEncoder
from model.video import VideoFacts, VideoLimits, VideoSource, open_frames
from model.windows import Window, slide, window_starts

DEFAULT_LIMITS = VideoLimits()

STILL = 3.0
"""Windows whose most restless block varies by less, grey levels, are not encoded: docs/decisions/motion-gate.md."""

UNTRAINED = "the encoder is untrained: the order of the hits means little"

MovingWindow = tuple[Window, float]
"""A window and its motion in grey levels."""


@dataclass(frozen=True)
class ClipEmbedding:
    """A clip as the index sees it, and what led there."""

    vector: Floats
    """[D] unit length."""
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
    """Embeds clips with one encoder. Safe to share between threads."""

    def __init__(
        self,
        encoder: Encoder,
        *,
        stride_frames: int | None = None,
        still: float = STILL,
        kept_share: float = 1.0,
        limits: VideoLimits = DEFAULT_LIMITS,
    ) -> None:
        """Choose how much work goes into a clip.

        Args:
            encoder: what encodes the windows.
            stride_frames: frames between window starts; None takes the encoder file's.
            still: windows with less motion than this are not encoded, grey levels; 0 encodes all.
            kept_share: of the mask units, those that move most; 1 encodes all.
            limits: what is refused.
        """
        if not 0 < kept_share <= 1:
            raise ValueError(f"kept_share is {kept_share}; allowed is above 0 up to 1")
        self.encoder = encoder
        self.stride_frames = stride_frames or encoder.info.stride_frames
        self.still = still
        self.num_kept = max(1, round(kept_share * encoder.info.config.num_units))
        self.limits = limits

    def embed(self, source: VideoSource, *, start_s: float = 0.0, end_s: float | None = None) -> ClipEmbedding:
        """Embed one clip.

        Raises:
            VideoError: the video can't be used, and why.
        """
        info = self.encoder.info
        config = info.config
        with open_frames(
            source, fps=info.fps, size=config.image_size, limits=self.limits, start_s=start_s, end_s=end_s
        ) as frames:
            windows = moving(slide(frames, config.num_frames, self.stride_frames), self.still)
            parts = [self._encode(batch) for batch in batches(windows, BATCH_SIZES[0])]
        part = _joined(parts)
        starts = window_starts(frames.facts.num_frames, config.num_frames, self.stride_frames)
        rows = np.searchsorted(starts, part.starts)
        embeddings = np.zeros((len(starts), config.dim), np.float32)
        activity = np.zeros((len(starts), 2), np.float32)
        encoded = np.zeros(len(starts), np.bool_)
        embeddings[rows], activity[rows], encoded[rows] = part.embedding, part.activity, True
        return ClipEmbedding(
            vector=pool(part.embedding, part.activity),
            embeddings=embeddings,
            activity=activity,
            encoded=encoded,
            start_s=np.asarray(start_s + starts / info.fps, np.float32),
            facts=frames.facts,
            warnings=(*frames.warnings, *self._warnings(frames.facts, part)),
        )

    def _encode(self, batch: list[MovingWindow]) -> "_Part":
        frames = np.stack([window.frames for window, _ in batch])
        config = self.encoder.info.config
        visible = None
        if self.num_kept < config.num_units:
            visible = np.stack([moving_units(window.frames, config, self.num_kept) for window, _ in batch])
        encoding = self.encoder.encode(frames, visible)
        return _Part(
            np.array([window.start_frame for window, _ in batch]),
            np.array([motion for _, motion in batch]),
            encoding.embedding,
            encoding.activity,
        )

    def _warnings(self, facts: VideoFacts, part: "_Part") -> Iterator[str]:
        info = self.encoder.info
        if facts.num_frames < info.config.num_frames:
            yield (
                f"the clip has {facts.num_frames} frames at {info.fps:g} per second, a window {info.config.num_frames}:"
                " its last frame was repeated"
            )
        if part.motion.max() < self.still:
            yield "nothing moves in this clip; is a signer in the picture?"
        if not info.trained:
            yield UNTRAINED


@dataclass(frozen=True)
class _Part:
    """Some windows that were encoded: start frames, motion, and what the encoder gave."""

    starts: Ints
    motion: Floats
    embedding: Floats
    activity: Floats


def _joined(parts: list[_Part]) -> _Part:
    """All windows of several parts, in order."""
    return _Part(
        np.concatenate([part.starts for part in parts]),
        np.concatenate([part.motion for part in parts]),
        np.concatenate([part.embedding for part in parts]),
        np.concatenate([part.activity for part in parts]),
    )


def moving(windows: Iterable[Window], still: float) -> Iterator[MovingWindow]:
    """The windows in which something moves, with how much; where nothing does anywhere, the least still one.

    Args:
        windows: of one clip, in order.
        still: grey levels; windows with less motion are left out.
    """
    passed, best = False, None
    for window in windows:
        motion = window_motion(window.frames)
        if motion >= still:
            passed = True
            yield window, motion
        elif not passed and (best is None or motion > best[1]):
            best = (window, motion)
    if not passed and best is not None:
        yield best


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
    kept_share: Annotated[float, typer.Option(help="Share of the mask units to encode, those that move most.")] = 1.0,
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
