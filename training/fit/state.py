"""What the states of all methods share: counts, the optimiser with its schedule, how they are saved and resumed."""

from abc import ABC, abstractmethod
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch

from model.network.checkpoint import load_tensors
from training.errors import ResumeError
from training.fit.files import BEST, LAST, save_checkpoint
from training.fit.loop import LoopConfig
from training.fit.optimiser import OptimiserConfig, ScheduledOptimiser
from training.fit.resume import restore_optimiser
from training.fit.schedule import warmup_cosine


class RunConfig(LoopConfig, Protocol):
    """The fields of a config that are read here."""

    @property
    def optimiser(self) -> OptimiserConfig: ...  # noqa: D102


C = TypeVar("C", bound=RunConfig)


@dataclass
class RunState(ABC, Generic[C]):
    """A run between two steps, as `training.fit.loop.TrainState` but for its network."""

    config: C
    optimiser: torch.optim.AdamW
    _: KW_ONLY
    step: int = 0
    """Steps done."""
    elapsed_s: float = 0.0
    """Seconds of training so far, all parts of the run together."""
    best_score: float | None = None
    """Of the best checkpoint, where there was a validation."""

    @property
    def clip_norm(self) -> float:
        """Longest gradient."""
        return self.config.optimiser.clip_norm

    @property
    def optimisers(self) -> tuple[ScheduledOptimiser, ...]:
        """See `training.fit.loop.TrainState`."""
        config = self.config.optimiser
        return (ScheduledOptimiser(self.optimiser, warmup_cosine(config.learning_rate, config.warmup_steps)),)

    @abstractmethod
    def checkpoint(self) -> dict[str, Any]:
        """The weights and what is known of them."""

    def only_to_resume(self) -> dict[str, Any]:
        """What `last.pt` holds besides, of the method alone."""
        return {}

    def save_last(self) -> None:
        """Write `last.pt`."""
        rest = {"optimiser": self.optimiser.state_dict(), "elapsed_s": self.elapsed_s}
        save_checkpoint(self.checkpoint() | self.only_to_resume() | rest, self.config.output / LAST)

    def save_best(self) -> None:
        """Write `best.pt`."""
        save_checkpoint(self.checkpoint(), self.config.output / BEST)

    def resume_from(self, content: dict[str, Any], path: Path) -> None:
        """Take over what every method saves, from a checkpoint file and its path.

        Raises:
            ResumeError: its optimiser is of other parameters.
        """
        restore_optimiser(self.optimiser, content["optimiser"], path)
        self.step, self.elapsed_s, self.best_score = content["step"], content["elapsed_s"], content.get("score")


def read_kind(path: Path, kind: str, method: str) -> dict[str, Any]:
    """A checkpoint that says of what kind it is.

    Raises:
        ResumeError: it is of another kind.
        CheckpointError: it is missing or damaged.
    """
    content: dict[str, Any] = load_tensors(path)
    if content.get("kind") != kind:
        raise ResumeError(f"{path} is no run of {method}; such a run leaves {LAST} in its output folder")
    return content
