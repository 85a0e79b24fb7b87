"""Base of the wire models."""

from pydantic import BaseModel, ConfigDict


class Schema(BaseModel):
    """Base of all answers."""

    model_config = ConfigDict(frozen=True, from_attributes=True)
