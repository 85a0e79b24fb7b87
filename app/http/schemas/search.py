"""Searches as JSON."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.http.schemas.base import Schema
from app.http.schemas.signs import HitAnswer

MAX_K = 50
"""The most signs that one search gives."""


class ActivityAnswer(Schema):
    """How much each hand signs in one window."""

    start_s: float = Field(description="Start of the window in the video.", examples=[0.0])
    left: float = Field(
        description="Probability that the left hand is signing; 0 where nothing moved.", examples=[0.51]
    )
    right: float = Field(examples=[0.49])


class QueryAnswer(Schema):
    """The query video as it was decoded and encoded."""

    duration_s: float = Field(examples=[3.24])
    fps: float = Field(description="Of the video itself; it is sampled at the encoder's rate.", examples=[29.97])
    num_frames: int = Field(description="At the encoder's rate.", examples=[81])
    num_windows: int = Field(examples=[34])
    activity: list[ActivityAnswer]
    warnings: list[str] = Field(examples=[[]])


class TimingsAnswer(Schema):
    """Where the time went, in milliseconds. Waiting for one's turn counts into the stage one waits for."""

    receive: float = Field(examples=[0.65])
    decode: float = Field(description="Reading the video and windowing its windows.", examples=[78.84])
    encode: float = Field(examples=[1541.35])
    search: float = Field(examples=[0.24])
    total: float = Field(examples=[1623.4])


class SearchAnswer(Schema):
    """The answer to a search."""

    query_id: str | None = Field(
        description="For `POST /v1/search/vector`; known for a quarter of an hour. Null where a vector was sent.",
        examples=["fce6e79ad0eb346d5d1c0b0a9c1e8f27"],
    )
    encoder_id: str = Field(examples=["c972dabcd041"])
    snapshot_id: str = Field(examples=["f1600263c7df"])
    vector: list[float] = Field(
        description="What was looked up, of length 1; the mean of several takes searches them together.",
        examples=[[0.0712, -0.0394]],
    )
    hits: list[HitAnswer]
    query: QueryAnswer | None = Field(description="Null where a vector was sent.")
    timings_ms: TimingsAnswer


class VectorRequest(BaseModel):
    """What to look up: an earlier query, or a vector."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    query_id: str | None = Field(None, description="Of an earlier answer.", max_length=64)
    vector: Annotated[list[float], Field(min_length=1, max_length=4096)] | None = Field(
        None, description="As many numbers as the encoder's `dim`; any length but zero."
    )
    start_s: float = Field(0.0, ge=0, description="Only this part of the query video; with `query_id` only.")
    end_s: float | None = Field(None, ge=0)
    k: int = Field(10, ge=1, le=MAX_K, description="How many signs.")
    language: str | None = Field(None, max_length=100, description="Only signs of this language.")
    tag: str | None = Field(None, max_length=100, description="Only entries with this tag.")

    @model_validator(mode="after")
    def one_of_both(self) -> Self:
        """Refuse neither and both."""
        if (self.query_id is None) == (self.vector is None):
            raise ValueError("send either query_id or vector")
        if self.vector is not None and (self.start_s or self.end_s is not None):
            raise ValueError("start_s and end_s need query_id: a vector has no parts")
        return self
