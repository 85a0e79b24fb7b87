"""What decoding one video may cost."""

from dataclasses import dataclass

from app.settings import Settings

BULK_TIME_FACTOR = 10
"""How many times as long as a query video a dictionary video may take: nobody waits for it."""


@dataclass(frozen=True)
class DecoderLimits:
    """Limits of the process that decodes a video."""

    memory_bytes: int
    """Beyond what the process has when it starts."""
    seconds: float


def query_decoder_limits(settings: Settings) -> DecoderLimits:
    """Limits for a query video."""
    return DecoderLimits(memory_bytes=settings.decode_mb * 1_000_000, seconds=settings.decode_s)


def bulk_decoder_limits(settings: Settings) -> DecoderLimits:
    """Limits for a dictionary video."""
    return DecoderLimits(memory_bytes=settings.decode_mb * 1_000_000, seconds=BULK_TIME_FACTOR * settings.decode_s)
