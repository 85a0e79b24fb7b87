"""The training command: `python -m training.pretrain PRESET --set key=value`."""

from typing import Annotated

import typer

from training.commands import Assignments, Resume, refusals
from training.fit.console import messages
from training.fit.distributed import join_world
from training.fit.files import BEST, LAST
from training.fit.overrides import read_preset
from training.pretrain.command import train
from training.pretrain.config import PRESETS, override

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    preset: Annotated[str, typer.Argument(help=f"Where the settings start from: {', '.join(PRESETS)}.")],
    *,
    assignments: Assignments = None,
    resume: Resume = False,
) -> None:
    """Pretrain an encoder. Start it with torchrun to train on several GPUs."""
    with refusals():
        config = override(read_preset(PRESETS, preset), assignments or [])
        with join_world(config.device) as world:
            state = train(config, world, resume=resume)
    if world.leads:
        best = "" if state.best_score is None else f", best (score {state.best_score:.4f}) {config.output / BEST}"
        messages.print(f"{state.step} steps in {state.elapsed_s:.0f} s; {config.output / LAST}{best}", markup=False)


if __name__ == "__main__":
    app()
