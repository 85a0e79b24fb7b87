"""The JSON that goes over the wire."""

from typing import Annotated, Any, Literal, Self
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.board import Job, JobState
from app.lookup import Lookup
from app.settings import MAX_K
from index.catalogue import Facets, SignPage, SignRecord
from index.dictionary import Hit
from index.entries import Entry, Sign
from index.snapshot import Manifest
from model.embed import ClipEmbedding


class Schema(BaseModel):
    """Base of all answers."""

    model_config = ConfigDict(frozen=True, from_attributes=True)


class SignAnswer(Schema):
    """A sign of the dictionary."""

    id: str = Field(examples=["59164ae57cbd"])
    gloss: str = Field(examples=["PAUSE"])
    language: str | None = Field(examples=["dgs"])

    @classmethod
    def of(cls, sign: Sign) -> Self:
        """The answer for a sign."""
        return cls(id=sign.id, gloss=sign.gloss, language=sign.language)


class EntryAnswer(Schema):
    """A dictionary video of a sign."""

    id: str = Field(examples=["PAUSE/anna.mp4"])
    video: str = Field(description="Path inside the dictionary folder.", examples=["PAUSE/anna.mp4"])
    video_url: str = Field(
        description="Where this service gives the video; `#t=` names the part that shows the sign.",
        examples=["/v1/entries/PAUSE/anna.mp4/video"],
    )
    thumbnail_url: str = Field(
        description="A JPEG of the middle of the sign.", examples=["/v1/entries/PAUSE/anna.mp4/thumbnail"]
    )
    signer: str | None = Field(examples=["anna"])

    @classmethod
    def of(cls, entry: Entry, **fields: object) -> Self:
        """The answer for an entry."""
        address = f"/v1/entries/{quote(entry.id)}"
        until = "" if entry.end_s is None else f",{entry.end_s:g}"
        part = f"#t={entry.start_s:g}{until}" if entry.start_s or until else ""
        return cls(
            id=entry.id,
            video=entry.video,
            video_url=f"{address}/video{part}",
            thumbnail_url=f"{address}/thumbnail",
            signer=entry.signer,
            **fields,
        )


class FoundEntryAnswer(EntryAnswer):
    """A dictionary video of a hit."""

    score: float = Field(description="Cosine with the query.", examples=[0.751212])


class HitAnswer(Schema):
    """A sign that was found."""

    rank: int = Field(description="From 1.", examples=[1])
    score: float = Field(description="Cosine of the best entry, in [-1, 1]; higher is better.", examples=[0.751212])
    mirrored: bool = Field(description="True where the mirrored film matched best.", examples=[False])
    sign: SignAnswer
    entries: list[FoundEntryAnswer] = Field(description="The videos of the sign, best first.")

    @classmethod
    def of(cls, hit: Hit) -> Self:
        """The answer for a hit."""
        return cls(
            rank=hit.rank,
            score=round(hit.score, 6),
            mirrored=hit.mirrored,
            sign=SignAnswer.of(hit.sign),
            entries=[FoundEntryAnswer.of(found.entry, score=round(found.score, 6)) for found in hit.entries],
        )


class ShownEntryAnswer(EntryAnswer):
    """A dictionary video with all that is known of it."""

    tags: list[str] = Field(examples=[["school"]])
    url: str | None = Field(description="Where the video, or a page about it, lies on the web.", examples=[None])
    licence: str | None = Field(examples=["CC BY 4.0"])


class SignEntryAnswer(ShownEntryAnswer):
    """A dictionary video and the sign that it shows."""

    sign: SignAnswer

    @classmethod
    def of_entry(cls, entry: Entry) -> Self:
        """The answer for one entry."""
        known = {"tags": list(entry.tags), "url": entry.url, "licence": entry.licence}
        return cls.of(entry, **known, sign=SignAnswer.of(entry.sign))


class ShownSignAnswer(SignAnswer):
    """A sign with its dictionary videos."""

    entries: list[ShownEntryAnswer]

    @classmethod
    def of_record(cls, record: SignRecord) -> Self:
        """The answer for a sign and its entries."""
        entries = [
            ShownEntryAnswer.of(entry, tags=list(entry.tags), url=entry.url, licence=entry.licence)
            for entry in record.entries
        ]
        return cls(id=record.sign.id, gloss=record.sign.gloss, language=record.sign.language, entries=entries)


class SignsAnswer(Schema):
    """A page of signs."""

    total: int = Field(description="Over all pages.", examples=[1])
    offset: int = Field(examples=[0])
    snapshot_id: str = Field(examples=["f1600263c7df"])
    signs: list[ShownSignAnswer]

    @classmethod
    def of(cls, page: SignPage, offset: int, snapshot_id: str) -> Self:
        """The answer for a page."""
        signs = [ShownSignAnswer.of_record(record) for record in page.signs]
        return cls(total=page.total, offset=offset, snapshot_id=snapshot_id, signs=signs)


class SimilarAnswer(Schema):
    """A sign and those that look like it."""

    sign: SignAnswer
    snapshot_id: str = Field(examples=["f1600263c7df"])
    hits: list[HitAnswer] = Field(description="Other signs, the most similar first.")


class FacetAnswer(Schema):
    """A value that one can filter by."""

    value: str = Field(examples=["dgs"])
    num_signs: int = Field(examples=[263])
    num_entries: int = Field(examples=[263])


class FacetsAnswer(Schema):
    """All values that one can filter by, the most frequent first."""

    languages: list[FacetAnswer]
    tags: list[FacetAnswer]
    signers: list[FacetAnswer]

    @classmethod
    def of(cls, facets: Facets) -> Self:
        """The answer for facets."""
        return cls.model_validate(facets, from_attributes=True)


class ActivityAnswer(Schema):
    """How much each hand signs in one window."""

    start_s: float = Field(description="Start of the window in the video.", examples=[0.0])
    left: float = Field(
        description="Probability that the left hand is signing; 0 where nothing moved.", examples=[0.51]
    )
    right: float = Field(examples=[0.49])


class QueryAnswer(Schema):
    """What was seen of the query video."""

    duration_s: float = Field(examples=[3.24])
    fps: float = Field(description="Of the video itself; it is sampled at the encoder's rate.", examples=[29.97])
    num_frames: int = Field(description="At the encoder's rate.", examples=[81])
    num_windows: int = Field(examples=[34])
    activity: list[ActivityAnswer]
    warnings: list[str] = Field(examples=[[]])


class TimingsAnswer(Schema):
    """Where the time went, in milliseconds. Waiting for one's turn counts into the stage one waits for."""

    receive: float = Field(examples=[0.65])
    decode: float = Field(description="Reading the video and cutting its windows.", examples=[78.84])
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
            vector=[round(number, 6) for number in found.vector.tolist()],
            hits=[HitAnswer.of(hit) for hit in found.hits],
            query=None if found.clip is None else _query(found.clip),
            timings_ms=TimingsAnswer(**{stage: round(spent * 1000, 2) for stage, spent in seconds.items()}),
        )


class VectorRequest(BaseModel):
    """What to look up again: a query that was answered before, or a vector."""

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


class SkippedAnswer(Schema):
    """A video that was left out of the dictionary."""

    video: str
    reason: str
    line: int | None = Field(None, description="Of the entries file, where there is one.")


class JobAnswer(Schema):
    """A background job."""

    id: str
    kind: str
    mode: str
    state: JobState
    replica: str = Field(description="Which process of the service has it; empty while it waits for another one.")
    created_at: str
    finished_at: str | None
    phase: str
    done: int
    total: int
    eta_s: float | None = Field(description="Seconds left in this phase.")
    skipped: list[SkippedAnswer]
    snapshot_id: str | None = Field(description="What is current after the job: published by it, or unchanged.")
    error: str | None

    @classmethod
    def of(cls, job: Job) -> Self:
        """The answer for a job."""
        return cls.model_validate(job, from_attributes=True)


class JobsAnswer(Schema):
    """The background jobs that are remembered, the latest first."""

    jobs: list[JobAnswer]


class SnapshotAnswer(Schema):
    """A version of the dictionary on disk."""

    id: str = Field(examples=["f1600263c7df"])
    current: bool = Field(description="Whether it is the one that a start takes.")
    created_at: str = Field(examples=["2026-01-31T12:00:00.000+00:00"])
    encoder_id: str = Field(examples=["c972dabcd041"])
    dim: int = Field(examples=[1152])
    counts: dict[str, int] = Field(examples=[{"entries": 263, "signs": 263, "vectors": 526}])
    report: dict[str, Any] = Field(description="What its maker noted: source, settings, what was skipped and why.")

    @classmethod
    def of(cls, manifest: Manifest, current_id: str | None) -> Self:
        """The answer for a manifest."""
        return cls(
            id=manifest.snapshot_id,
            current=manifest.snapshot_id == current_id,
            created_at=manifest.created_at,
            encoder_id=manifest.encoder_id,
            dim=manifest.dim,
            counts=dict(manifest.counts),
            report=dict(manifest.report),
        )


class SnapshotsAnswer(Schema):
    """All versions on disk, newest first."""

    snapshots: list[SnapshotAnswer]


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


def link(operation: str, **places: str) -> dict[str, Any]:
    """What one can do with an answer: a link of OpenAPI.

    Args:
        operation: the name that FastAPI gives a route.
        places: per parameter of that route where it stands in the answer, as JSON pointers.
    """
    return {"operationId": operation, "parameters": {name: f"$response.body#{at}" for name, at in places.items()}}


def _query(clip: ClipEmbedding) -> QueryAnswer:
    """What was seen of the query video."""
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
