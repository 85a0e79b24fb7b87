"""Problem documents (RFC 9457)."""

from pydantic import BaseModel, ConfigDict, Field

from app.http.schemas.base import Schema


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
