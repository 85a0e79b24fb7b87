"""Speed of a pretraining step, beside the machine's rate of matrix products: `python -m training.bench.pretrain`."""

import time
from collections.abc import Callable
from statistics import median
from typing import Annotated, Literal

import torch
import typer
from torch.utils.flop_counter import FlopCounterMode

from model.bench.encoder import MATRIX, Table
from model.machine import machine
from training.commands import refusals
from training.data.windows.loading import load_batches
from training.data.windows.samples import Batch
from training.data.windows.sources import ArraySource, generate_clips
from training.fit.distributed import World, join_world
from training.fit.loop import autocast
from training.pretrain.config import PretrainConfig, override, paper
from training.pretrain.loop import add_gradients, prepare
from training.pretrain.state import make_state

FORWARD_AND_BACKWARD = 3
"""In forward passes: a backward pass costs two."""


def window_gmac(config: PretrainConfig) -> float:
    """Multiply-adds of one masked window through the encoder, forward, in units of 1e9, as torch counts them."""
    network = make_state(config, torch.device("cpu")).network.encoder.eval()
    visible = torch.arange(config.num_visible)[None]
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        network(torch.zeros(1, 3, *config.encoder.window_size), visible)
    return float(counter.get_total_flops()) / 2e9


def make_step(config: PretrainConfig, world: World) -> Callable[[], object]:
    """A whole training step on a batch in memory: both losses, both optimisers."""
    state = make_state(config, world.device)
    network = prepare(state, world)
    clips = generate_clips(config.batch_size // 2, config.encoder.image_size)
    batch: Batch = next(load_batches(ArraySource(clips), config.batch_size)).to(world.device)

    def step() -> object:
        add_gradients(state, network, batch.frames, batch, 0, world)
        for optimiser in (state.optimiser, state.adversary_optimiser):
            optimiser.step()
            optimiser.zero_grad()
        return next(state.network.parameters())

    return step


def matrix_product(config: PretrainConfig, device: torch.device) -> Callable[[], object]:
    """A task that multiplies two matrices in the precision of training: the best rate of the machine."""
    a, b = torch.randn(2, MATRIX, MATRIX, device=device).unbind()

    def multiply() -> object:
        with autocast(config.precision, device):
            return a @ b

    return multiply


def seconds_in_turns(tasks: list[Callable[[], object]], repeats: int, device: torch.device) -> list[float]:
    """Median seconds of each task, the tasks taking turns so that a slow minute of the machine affects all of them."""
    times: list[list[float]] = [[] for _ in tasks]
    for turn in range(repeats + 1):
        for task, taken in zip(tasks, times, strict=True):
            start = time.perf_counter()
            task()
            if device.type == "cuda":
                torch.cuda.synchronize()
            if turn:  # the first turn warms up
                taken.append(time.perf_counter() - start)
    return [median(taken) for taken in times]


def bench(config: PretrainConfig, world: World, repeats: int) -> Table:
    """Windows per second, and the share of the machine's matrix-product rate that they use."""
    step_s, product_s = seconds_in_turns(
        [make_step(config, world), matrix_product(config, world.device)], repeats, world.device
    )
    gmac = window_gmac(config)
    windows_per_s = config.batch_size / step_s
    used = 2 * FORWARD_AND_BACKWARD * gmac * windows_per_s
    best = 2 * MATRIX**3 / 1e9 / product_s
    row = (
        f"{windows_per_s:.2f}",
        f"{step_s:.2f}",
        f"{gmac:.1f} x {FORWARD_AND_BACKWARD}",
        f"{used:.0f}",
        f"{best:.0f}",
        f"{used / best:.2f}",
    )
    return Table(
        f"A pretraining step, batch {config.batch_size}, {config.mask:.0%} masked, {world.device.type}",
        ("windows/s", "s per step", "GMAC per window", "GFLOP/s used", "GFLOP/s of a matrix product", "share"),
        (row,),
        f"Both losses, both optimisers, data at hand. {repeats} turns, {torch.get_num_threads()} threads. {machine()}.",
    )


def main(
    *,
    encoder: Annotated[Literal["base", "small", "tiny"], typer.Option(help="Geometry.")] = "base",
    batch_size: Annotated[int, typer.Option(help="Windows in a step.")] = 20,
    mask: Annotated[float, typer.Option(help="Share of mask units that are hidden.")] = 0.8,
    precision: Annotated[Literal["auto", "fp32", "bf16"], typer.Option(help="As in a config.")] = "auto",
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="As in a config.")] = "auto",
    compiled: Annotated[bool, typer.Option("--compile", help="Compile the network first.")] = False,
    repeats: Annotated[int, typer.Option(help="Turns of each measurement.")] = 3,
    threads: Annotated[int, typer.Option(help="On a CPU.")] = 2,
) -> None:
    """Measure a training step and print a Markdown table."""
    torch.set_num_threads(threads)
    settings = {"encoder": encoder, "batch_size": batch_size, "mask": mask, "precision": precision, "compile": compiled}
    with refusals():
        config = override(paper(), [f"{key}={value}" for key, value in settings.items()])
        with join_world(device) as world:
            typer.echo(bench(config, world, repeats).markdown())


if __name__ == "__main__":
    typer.run(main)
