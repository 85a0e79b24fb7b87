"""Health, versions and limits as JSON."""

from typing import Literal

from pydantic import Field

from app.http.schemas.base import Schema


class HealthAnswer(Schema):
    """Alive, or ready."""

    status: str


class EncoderAnswer(Schema):
    """The encoder in use."""

    id: str
    takes: Literal["pictures", "skeletons"] = Field(description="What it sees of a video.")
    provenance: str
    licence: str
    trained: bool
    precision: str
    dim: int
    fps: float
    window_frames: int
    stride_frames: int


class DictionaryAnswer(Schema):
    """The dictionary in use."""

    snapshot_id: str
    created_at: str
    num_entries: int
    num_signs: int
    notes: list[str]


class LimitsAnswer(Schema):
    """What is taken."""

    max_video_s: float
    max_upload_mb: float
    max_k: int


class InfoAnswer(Schema):
    """Versions and limits."""

    version: str
    encoder: EncoderAnswer
    dictionary: DictionaryAnswer | None
    limits: LimitsAnswer
