"""Pretraining on keypoint sequences: `python -m training.sl_slr PRESET --set key=value`."""

from typing import Annotated

import typer

from training.commands import Assignments, Resume, refusals
from training.fit.console import messages
from training.fit.distributed import join_world
from training.fit.files import LAST
from training.fit.overrides import override, read_preset
from training.sl_slr.command import train
from training.sl_slr.config import PRESETS

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    preset: Annotated[str, typer.Argument(help=f"Where the settings start from: {', '.join(PRESETS)}.")],
    *,
    assignments: Assignments = None,
    resume: Resume = False,
) -> None:
    """Pretrain an encoder of keypoint sequences."""
    with refusals():
        config = override(read_preset(PRESETS, preset), assignments or [])
        with join_world(config.device) as world:
            state = train(config, world, resume=resume)
    collapse = "" if state.collapsed_at is None else f"; collapsed at step {state.collapsed_at}"
    messages.print(f"{state.step} steps in {state.elapsed_s:.0f} s; {config.output / LAST}{collapse}", markup=False)


if __name__ == "__main__":
    app()
