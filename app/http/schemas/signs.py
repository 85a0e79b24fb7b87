"""Signs, entries and hits as JSON."""

from pydantic import Field

from app.http.schemas.base import Schema


class SignAnswer(Schema):
    """A sign of the dictionary."""

    id: str = Field(examples=["59164ae57cbd"])
    gloss: str = Field(examples=["PAUSE"])
    language: str | None = Field(examples=["dgs"])


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


class ShownEntryAnswer(EntryAnswer):
    """A dictionary video with all that is known of it."""

    tags: list[str] = Field(examples=[["school"]])
    url: str | None = Field(description="Where the video, or a page about it, lies on the web.", examples=[None])
    licence: str | None = Field(examples=["CC BY 4.0"])


class SignEntryAnswer(ShownEntryAnswer):
    """A dictionary video and the sign that it shows."""

    sign: SignAnswer


class ShownSignAnswer(SignAnswer):
    """A sign with its dictionary videos."""

    entries: list[ShownEntryAnswer]


class SignsAnswer(Schema):
    """A page of signs."""

    total: int = Field(description="Over all pages.", examples=[1])
    offset: int = Field(examples=[0])
    snapshot_id: str = Field(examples=["f1600263c7df"])
    signs: list[ShownSignAnswer]


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
