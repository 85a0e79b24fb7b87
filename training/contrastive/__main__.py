"""Contrastive training.

python -m training.contrastive compact --set data.shards=SHARDS --set key=value     train; `--resume` goes on
python -m training.contrastive render-pairs PAIRS --motions POSES --bodies BODIES   pairs for several runs

SHARDS is a folder of shards of real clips, as `training.data shards write` makes them. Pairs of the same movement
by two synthetic signers are rendered before the first step, or beforehand for as many runs as one likes.
"""

from pathlib import Path
from typing import Annotated

import typer

from training.commands import Assignments, Resume, refusals
from training.contrastive.clips.pair_renderer import PairRendererConfig
from training.contrastive.command import render_pairs as render
from training.contrastive.command import render_workers, train
from training.contrastive.config import compact as compact_preset
from training.fit.console import messages
from training.fit.distributed import join_world
from training.fit.files import BEST, LAST
from training.pretrain.config import override
from training.synth.clips.shards import find_motions
from training.synth.reenactment.variation import MotionVariation

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)


@app.command()
def compact(*, assignments: Assignments = None, resume: Resume = False) -> None:
    """Train the encoder `compact`. Start it with torchrun for several processes, which share out the stored pairs."""
    with refusals():
        config = override(compact_preset(), assignments or [])
        with join_world(config.device) as world:
            state = train(config, world, resume=resume)
    if world.leads:
        best = "" if state.best_score is None else f", best (score {state.best_score:.2f}) {config.output / BEST}"
        messages.print(
            f"{state.step} steps, {state.num_windows} windows in {state.elapsed_s:.0f} s, of {state.clips};"
            f" {config.output / LAST}{best}",
            markup=False,
        )


@app.command()
def render_pairs(
    out: Annotated[Path, typer.Argument(help="Folder of pairs; existing ones stay. 8 MB per pair of 10 windows.")],
    *,
    pairs: Annotated[int, typer.Option(min=1, help="In all.")] = 1000,
    size_px: Annotated[int, typer.Option(min=32, help="Side of a frame, as in the shards to train on.")] = 256,
    motions: Annotated[list[Path] | None, typer.Option(help="Landmarks of the real clips, to be re-enacted.")] = None,
    bodies: Annotated[Path | None, typer.Option(help="Folder of bodies; without it mannequins perform.")] = None,
    vary_motion: Annotated[
        bool,
        typer.Option("--vary-motion", help="People vary what they re-enact, instead of repeating it to the frame."),
    ] = False,
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0: one less than there are cores.")] = 0,
    windows: Annotated[int, typer.Option(min=2, help="Of every clip.")] = 10,
    seed: Annotated[int, typer.Option(help="Of all randomness.")] = 0,
) -> None:
    """Render pairs by synthetic signers and store them; run again to add what is missing."""
    with refusals():
        files = tuple(find_motions(motions or ()))
        variation = MotionVariation() if vary_motion else None
        config = PairRendererConfig(seed, size_px, windows, files, assets=bodies, motion_variation=variation)
        have, impossible = render(out, config, pairs, render_workers(workers))
        typer.echo(f"{out}: {have} pairs, {impossible} impossible")


if __name__ == "__main__":
    app()
