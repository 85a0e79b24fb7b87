"""Learning rates over a run."""

import math
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """How far a run is, before a step."""

    step: int
    """Steps done."""
    steps: int
    """Steps of the whole run."""
    share_of_time: float = 0.0
    """Share of the time budget that is spent."""

    @property
    def share(self) -> float:
        """Share of the run that is done, by steps or by time, whichever is ahead; at most 1."""
        return min(1.0, max(self.step / self.steps, self.share_of_time))


Schedule = Callable[[Progress], float]
"""The learning rate of the step to come."""


def warmup_cosine(peak: float, warmup_steps: int) -> Schedule:
    """A line up to the peak over so many steps, then half a cosine down to zero, by steps or by time.

    Args:
        peak: learning rate at the end of the warm-up.
        warmup_steps: length of the line.
    """

    def learning_rate(progress: Progress) -> float:
        if progress.step < warmup_steps:
            return peak * (progress.step + 1) / warmup_steps
        share_of_steps = (progress.step - warmup_steps) / max(1, progress.steps - warmup_steps)
        return peak * 0.5 * (1.0 + math.cos(math.pi * min(1.0, max(share_of_steps, progress.share_of_time))))

    return learning_rate


def warmup_cosine_by_share(peak: float, warmup: float = 0.02, first_phase: float = 0.0) -> Schedule:
    """The same for runs of which only the time is known: a warm-up by share, times half a cosine over the whole run.

    Args:
        peak: learning rate, as far as the cosine leaves it.
        warmup: share in which the line rises.
        first_phase: share of the run that comes first and has a warm-up and a cosine of its own.
    """

    def learning_rate(progress: Progress) -> float:
        done = share_of_phase(progress.share, first_phase)
        return peak * min(done / warmup, 1.0) * 0.5 * (1.0 + math.cos(math.pi * min(done, 1.0)))

    return learning_rate


def share_of_phase(share: float, first_phase: float) -> float:
    """How much of its phase a run has done: of the first one, of that length, or of the one that follows."""
    if share < first_phase:
        return share / first_phase
    return (share - first_phase) / (1.0 - first_phase)
