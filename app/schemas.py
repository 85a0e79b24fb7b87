"""The JSON that goes over the wire."""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from app.jobs import Job, JobState
from app.lookup import Lookup
from index.dictionary import Hit


class Schema(BaseModel):
    """Base of all answers."""

    model_config = ConfigDict(frozen=True)


class SignAnswer(Schema):
    """A sign of the dictionary."""

    id: str
    gloss: str
    language: str | None


class EntryAnswer(Schema):
    """A dictionary video of a sign."""

    id: str
    score: float = Field(description="Cosine with the query.")
    video: str = Field(description="Path inside the dictionary folder.")
    signer: str | None


class HitAnswer(Schema):
    """A sign that was found."""

    rank: int = Field(description="From 1.")
    score: float = Field(description="Cosine of the best entry, in [-1, 1]; higher is better.")
    mirrored: bool = Field(description="True where the mirrored film matched best.")
    sign: SignAnswer
    entries: list[EntryAnswer] = Field(description="All videos of the sign, best first.")

    @classmethod
    def of(cls, hit: Hit) -> Self:
        """The answer for a hit."""
        entries = [
            EntryAnswer(
                id=scored.entry.id, score=round(scored.score, 6), video=scored.entry.video, signer=scored.entry.signer
            )
            for scored in hit.entries
        ]
        sign = SignAnswer(id=hit.sign.id, gloss=hit.sign.gloss, language=hit.sign.language)
        return cls(rank=hit.rank, score=round(hit.score, 6), mirrored=hit.mirrored, sign=sign, entries=entries)


class ActivityAnswer(Schema):
    """How much each hand signs in one window."""

    start_s: float = Field(description="Start of the window in the video.")
    left: float = Field(description="Probability that the left hand is signing; 0 where nothing moved.")
    right: float


class QueryAnswer(Schema):
    """What was seen of the query video."""

    duration_s: float
    fps: float = Field(description="Of the video itself; it is sampled at the encoder's rate.")
    num_frames: int = Field(description="At the encoder's rate.")
    num_windows: int
    activity: list[ActivityAnswer]
    warnings: list[str]


class TimingsAnswer(Schema):
    """Where the time went, in milliseconds."""

    receive: float
    decode: float = Field(description="Reading the video and cutting its windows.")
    encode: float
    search: float
    total: float


class SearchAnswer(Schema):
    """The answer to a search."""

    query_id: str
    encoder_id: str
    snapshot_id: str
    hits: list[HitAnswer]
    query: QueryAnswer
    timings_ms: TimingsAnswer

    @classmethod
    def of(cls, found: Lookup, *, receive_s: float, total_s: float) -> Self:
        """The answer for a lookup."""
        seconds = {
            "receive": receive_s,
            "decode": found.decode_s,
            "encode": found.encode_s,
            "search": found.search_s,
            "total": total_s,
        }
        return cls(
            query_id=found.query_id,
            encoder_id=found.encoder_id,
            snapshot_id=found.snapshot_id,
            hits=[HitAnswer.of(hit) for hit in found.hits],
            query=_query(found),
            timings_ms=TimingsAnswer(**{stage: round(spent * 1000, 2) for stage, spent in seconds.items()}),
        )


class SkippedAnswer(Schema):
    """A video that was left out of the dictionary."""

    video: str
    reason: str


class JobAnswer(Schema):
    """A background job."""

    id: str
    kind: str
    state: JobState
    created_at: str
    finished_at: str | None
    phase: str
    done: int
    total: int
    eta_s: float | None = Field(description="Seconds left in this phase.")
    skipped: list[SkippedAnswer]
    snapshot_id: str | None = Field(description="What the job published.")
    error: str | None

    @classmethod
    def of(cls, job: Job) -> Self:
        """The answer for a job."""
        return cls.model_validate(job, from_attributes=True)


class HealthAnswer(Schema):
    """Alive, or ready."""

    status: str


class EncoderAnswer(Schema):
    """The encoder in use."""

    id: str
    provenance: str
    licence: str
    trained: bool
    precision: str
    dim: int
    fps: float
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


class InvalidPart(Schema):
    """A part of a request that is not as it should be."""

    where: str
    message: str


class Problem(BaseModel):
    """Any error (RFC 9457). Some kinds have further members."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(examples=["urn:signdex:problem:not-a-video"])
    title: str
    status: int
    detail: str
    request_id: str
    invalid: list[InvalidPart] | None = Field(None, description="Of a request that is not as described.")


PROBLEM_ANSWERS: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "Any error, as a problem document (RFC 9457)",
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
}
"""For the `responses` of every route."""


def _query(found: Lookup) -> QueryAnswer:
    """What was seen of the query video."""
    clip = found.clip
    windows = zip(clip.start_s.tolist(), clip.activity.tolist(), strict=True)
    return QueryAnswer(
        duration_s=clip.facts.duration_s,
        fps=clip.facts.source_fps,
        num_frames=clip.facts.num_frames,
        num_windows=len(clip.start_s),
        activity=[
            ActivityAnswer(start_s=round(start_s, 3), left=round(left, 4), right=round(right, 4))
            for start_s, (left, right) in windows
        ],
        warnings=list(clip.warnings),
    )
