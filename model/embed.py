"""From a video to its clip vector: decode, window, gate, encode, pool."""

from dataclasses import dataclass

from model.encoder import Encoder, Flags, Floats
from model.video import VideoFacts, VideoLimits, VideoSource

DEFAULT_LIMITS = VideoLimits()


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
        self, encoder: Encoder, *, stride_frames: int | None = None, limits: VideoLimits = DEFAULT_LIMITS
    ) -> None:
        self.encoder = encoder

    def embed(self, source: VideoSource, *, start_s: float = 0.0, end_s: float | None = None) -> ClipEmbedding:
        """Embed one clip.

        Raises:
            VideoError: the video can't be used, and why.
        """
        raise NotImplementedError
