"""A run of teaching the closer look: from weights to weights, by the clock, in one process or several."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from model.checkpoint import load_strictly, load_tensors
from model.config import EncoderConfig, compact
from training.closeup.crops import Crops
from training.closeup.learn import HandReader, Looks, closeup_loss, draw_batch, rate
from training.errors import ConfigError
from training.fit.distributed import World
from training.fit.files import commit
from training.fit.loop import distributed
from training.pretrain.network import PretrainNetwork, from_published
from training.pretrain.state import LICENCE, weights_content

STATE = "closeup"
"""What a checkpoint holds besides weights, until its run is over."""
WEIGHT_DECAY = 0.05
CLIP_NORM = 1.0


@dataclass(frozen=True)
class Lesson:
    """What is learned from, and how fast."""

    crops: Sequence[Crops]
    shares: np.ndarray
    """How often each of them is drawn from; they sum to 1."""
    seconds: float
    """In all, earlier attempts included; the learning rate is at zero when they end."""
    learning_rate: float
    batch: int
    """Hands a step and process."""
    seed: int


@dataclass
class Course:
    """A run between two steps."""

    network: PretrainNetwork
    reader: HandReader
    optimiser: torch.optim.AdamW
    provenance: str
    """Of the weights that it started from."""
    licence: str = LICENCE
    step: int = 0
    elapsed_s: float = 0.0

    def checkpoint(self, *, finished: str = "") -> dict[str, Any]:
        """The weights, as pretraining starts from them, and unless it is finished what is needed to go on.

        Args:
            finished: what was learned from, for the provenance.
        """
        told = f"{self.provenance}; the closer look taught by training.closeup, {self.step} steps, commit {commit()}"
        content = weights_content(self.network, f"{told}, {finished}", self.step, licence=self.licence)
        if not finished:
            content[STATE] = {
                "read": self.reader.read.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "elapsed_s": self.elapsed_s,
                "provenance": self.provenance,
            }
        return content


def is_finished(out: Path) -> bool:
    """Whether `out` holds the weights of a run that is over."""
    return out.exists() and STATE not in load_tensors(out)


def begin(out: Path, start_from: Path | None, seed: int) -> Course:
    """A new run, or the one that `out` holds.

    Raises:
        ConfigError: the encoder has no closer look.
        CheckpointError: a checkpoint can't be read or does not fit.
    """
    going_on = out.exists()
    path = out if going_on else start_from
    content = load_tensors(path) if path else {}
    torch.manual_seed(seed)
    network = read_network(content, path)
    hands = network.encoder.hands
    if hands is None:
        raise ConfigError(f"the encoder of {path} does not look closer at hands; take one whose config has hand_px")
    reader = HandReader(hands.backbone, network.encoder.config.hand_config).train()
    course = Course(
        network,
        reader,
        make_optimiser(reader),
        content.get("provenance", "random weights"),
        content.get("licence", LICENCE),
    )
    if going_on:
        state = content[STATE]
        reader.read.load_state_dict(state["read"])
        course.optimiser.load_state_dict(state["optimiser"])
        course.elapsed_s, course.provenance, course.step = state["elapsed_s"], state["provenance"], content["step"]
    return course


def read_network(content: Mapping[str, Any], path: Path | None) -> PretrainNetwork:
    """The network of a pretraining run's checkpoint; of no file, a new one of the shipped geometry.

    Raises:
        ConfigError: the file has no such network.
        CheckpointError: the weights do not fit.
    """
    if path is None:
        return PretrainNetwork(compact())
    if "encoder" not in content or "model" not in content:
        raise ConfigError(f"{path} is no checkpoint of a pretraining run; take its last.pt or best.pt")
    network = PretrainNetwork(EncoderConfig.from_json(content["encoder"]))
    load_strictly(network, from_published(content["model"]))
    return network


def make_optimiser(reader: HandReader) -> torch.optim.AdamW:
    """AdamW; matrices decay."""
    matrices = [weight for weight in reader.parameters() if weight.ndim > 1]
    others = [weight for weight in reader.parameters() if weight.ndim <= 1]
    return torch.optim.AdamW(
        [{"params": matrices, "weight_decay": WEIGHT_DECAY}, {"params": others, "weight_decay": 0.0}]
    )


def teach(course: Course, lesson: Lesson, world: World, watch: Callable[[float, float], None]) -> None:
    """Learn until the time is over.

    Args:
        course: is changed in place.
        lesson: what from.
        world: the processes that take part; every one draws its own hands.
        watch: told of the loss and the mean cosine of bones after every step, in every process.
    """
    network = distributed(course.reader, world)
    earlier_s, start = course.elapsed_s, time.perf_counter()
    done = world.agree([course.elapsed_s / lesson.seconds])[0]
    while done < 1.0:
        pictures, bones, points = draw(lesson, course.step, world.rank, course.reader.backbone.config.image_size)
        for group in course.optimiser.param_groups:
            group["lr"] = rate(done, lesson.learning_rate)
        with torch.autocast("cpu", torch.bfloat16):
            read = network(pictures)
        loss, cosine = closeup_loss(read, bones, points)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(course.reader.parameters(), CLIP_NORM)
        course.optimiser.step()
        course.optimiser.zero_grad()
        course.step += 1
        course.elapsed_s = earlier_s + time.perf_counter() - start
        watch(float(loss.detach()), float(cosine.detach()))
        done = world.agree([course.elapsed_s / lesson.seconds])[0]


def draw(lesson: Lesson, step: int, rank: int, size_px: int) -> tuple[Tensor, Tensor, Tensor]:
    """The hands of a step, the same whenever it is asked for: as `draw_batch`."""
    rng = np.random.default_rng((lesson.seed, step, rank))
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    counts = rng.multinomial(lesson.batch, lesson.shares)
    drawn = [
        draw_batch(crops, np.sort(rng.integers(len(crops), size=count)), Looks(), size_px, generator)
        for crops, count in zip(lesson.crops, counts, strict=True)
        if count
    ]
    pictures, bones, points = (torch.cat(parts) for parts in zip(*drawn, strict=True))
    return pictures, bones, points
