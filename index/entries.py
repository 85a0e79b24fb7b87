"""Records of a dictionary: entries, and the signs they show."""

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """One dictionary record, for one vector."""

    id: str
    gloss: str
    video: str
    """Path inside the dictionary folder, with forward slashes."""
    signer: str | None = None
    language: str | None = None
    tags: tuple[str, ...] = ()
    start_s: float = 0.0
    """Where the clip begins in the video, seconds."""
    end_s: float | None = None
    """Where it ends; None for the end of the video."""
    url: str | None = None
    """Where the video, or a page about it, lies on the web."""
    licence: str | None = None
    mirrored: bool = False
    """True where the vector is of the mirrored film: the same signing by the other hand."""

    @property
    def sign(self) -> "Sign":
        """The sign that this entry shows."""
        return Sign(sign_id(self.gloss, self.language), self.gloss, self.language)


@dataclass(frozen=True, slots=True)
class Sign:
    """What a person looks up: all entries of one gloss in one language."""

    id: str
    """12 hex digits that follow from gloss and language alone, so they outlive a reindex."""
    gloss: str
    language: str | None


def sign_id(gloss: str, language: str | None) -> str:
    """The id of the sign with this gloss in this language, 12 hex digits."""
    return hashlib.sha256(f"{language or ''}\0{gloss}".encode()).hexdigest()[:12]
