"""How long work tells how far it is."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Skipped:
    """A video that was left out of the dictionary."""

    video: str
    """Path inside the folder."""
    reason: str


class Progress(Protocol):
    """Told by long work, shown by a terminal or a job. Any call may raise to stop the work."""

    def phase(self, name: str, total: int) -> None:
        """Begin a phase of `total` steps."""
        ...

    def advance(self) -> None:
        """One step of the phase is done."""
        ...

    def skip(self, skipped: Skipped) -> None:
        """Something was left out, and why."""
        ...
