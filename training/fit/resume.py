"""Whether the output folder of a run is free, or holds the run that is to be resumed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from training.errors import ResumeError
from training.fit.files import LAST
from training.fit.overrides import as_plain_data, differences

CHANGEABLE = frozenset(
    {
        "output",
        "minutes",
        "compile",
        "device",
        "data.workers",
        "data.cache",
        "log_every",
        "save_every",
        "validate_every",
    }
)
"""Fields of a config that may change when a run is resumed: where and how fast it runs, not what it computes."""


def require_no_run(output: Path) -> None:
    """Refuse to start a run in the folder of another one.

    Raises:
        ResumeError: the folder holds a run already.
    """
    if (output / LAST).exists():
        raise ResumeError(f"{output / LAST} holds a run already; go on with it (--resume), or set another output=DIR")


def changed_settings(
    old: Mapping[str, Any], config: object, also_changeable: frozenset[str] = frozenset()
) -> list[str]:
    """What a config and that of a checkpoint, as plain data, do not share of that which the result depends on."""
    return differences(dict(old), as_plain_data(config), CHANGEABLE | also_changeable)


def require_same_settings(
    path: Path, old: Mapping[str, Any], config: object, also_changeable: frozenset[str] = frozenset()
) -> None:
    """Refuse to resume a run with other settings.

    Args:
        path: of the checkpoint.
        old: its config, as plain data.
        config: that of the run to come.
        also_changeable: fields that may change, besides CHANGEABLE.

    Raises:
        ResumeError: names every setting that changed.
    """
    if changed := changed_settings(old, config, also_changeable):
        raise ResumeError(f"{path} is of another run: {'; '.join(changed)}. Use its settings, or another output")


def restore_optimiser(optimiser: torch.optim.Optimizer, saved: dict[str, Any], path: Path) -> None:
    """Give an optimiser the state that a checkpoint holds of it.

    Raises:
        ResumeError: it is of other parameters, as those of a run that an earlier version began may be.
    """
    try:
        optimiser.load_state_dict(saved)
    except ValueError as error:
        raise ResumeError(
            f"{path} holds an optimiser of other parameters ({error}), as runs of an earlier version do; finish it with"
            " that version, or start a new run in another output"
        ) from error
