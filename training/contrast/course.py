"""A run of learning to look up: from weights to weights, by the clock.

Every step sees movements by two people each, and asks of the network all that SignRep asks (every prior, activity,
spread embeddings), where the hands are, what single hands show, and that the same movement lies together.
"""

import copy
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from model.checkpoint import load_strictly, load_tensors
from model.config import EncoderConfig
from training.closeup.learn import rate
from training.contrast.growth import grown, is_deeper
from training.contrast.lesson import Lesson
from training.contrast.moments import COLUMNS, NUM_SHOWN
from training.contrast.pool import Pool, Rows
from training.contrast.steps import Learner, hand_losses, step_losses
from training.errors import ConfigError, DataError, DivergedError
from training.fit.distributed import World
from training.fit.files import commit
from training.pretrain.network import PretrainNetwork, from_published, published_state
from training.pretrain.state import LICENCE, weights_content
from training.prior_table import PRIORS

STATE = "contrast"
"""What a checkpoint holds besides weights, until its run is over."""
NEW = "random weights"
MEANT = 4000
"""Moments of which the mean is taken."""


@dataclass
class Course:
    """A run between two steps."""

    learner: Learner
    average: PretrainNetwork
    """Of the network's weights over the last few hundred steps."""
    optimiser: torch.optim.AdamW
    num_parts: int = 1
    """Of a clip's vector."""
    provenance: str = NEW
    licence: str = LICENCE
    step: int = 0
    elapsed_s: float = 0.0
    num_windows: int = 0
    """Moments seen."""

    @property
    def is_new(self) -> bool:
        """Whether it begins with random weights that have learned nothing."""
        return not self.step and self.provenance == NEW

    @property
    def world(self) -> World:
        """The processes that learn."""
        return self.learner.world

    def checkpoint(self, *, finished: str = "") -> dict[str, Any]:
        """The averaged weights, as export and pretraining take them, and unless it is finished what is needed to go on.

        Args:
            finished: what was learned from, for the provenance.
        """
        told = f"{self.provenance}; training.contrast, {self.step} steps, {self.num_windows} moments, commit {commit()}"
        content = weights_content(
            self.average, f"{told}, {finished}", self.step, licence=self.licence, num_parts=self.num_parts
        )
        if not finished:
            content[STATE] = {
                "network": self.learner.network.state_dict(),
                "read": self.learner.reader.read.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "elapsed_s": self.elapsed_s,
                "num_windows": self.num_windows,
                "provenance": self.provenance,
            }
        return content


def begin(lesson: Lesson, world: World, start_from: Path | None = None) -> Course:
    """A new run.

    Args:
        lesson: its encoder is that of `start_from`, where that is given.
        world: the processes that learn.
        start_from: checkpoint whose weights it begins with; None: random ones.

    Raises:
        ConfigError: the encoder's windows have another length, or it does not look closer at hands; or the checkpoint
            holds another encoder.
        CheckpointError: the checkpoint can't be read, or its weights do not fit.
    """
    config = lesson.encoder
    if config.num_frames != NUM_SHOWN or not config.hand_px:
        raise ConfigError(
            f"windows of {config.num_frames} frames, hand_px {config.hand_px}; moments have {NUM_SHOWN} frames, and the"
            " encoder has to look closer at hands: take encoder=compact or a geometry like it"
        )
    torch.manual_seed(lesson.seed)
    network = PretrainNetwork(config)
    provenance, licence = (NEW, LICENCE) if start_from is None else fill(network, start_from)
    learner = Learner(network, lesson, world)
    average = copy.deepcopy(learner.network).eval().requires_grad_(False)
    return Course(learner, average, make_optimiser(learner, lesson), lesson.num_parts, provenance, licence)


def fill(network: PretrainNetwork, file: Path) -> tuple[str, str]:
    """Give a network a checkpoint's weights, also those of one with fewer blocks: where they came from, their licence.

    Raises:
        ConfigError: the checkpoint holds another encoder, or none.
        CheckpointError: it can't be read, or its weights do not fit.
    """
    content = load_tensors(file)
    if "encoder" not in content or "model" not in content:
        raise ConfigError(f"{file} is no checkpoint of a training run; take one that training.pretrain or this wrote")
    wanted, found = network.encoder.config, EncoderConfig.from_json(content["encoder"])
    if not is_deeper(wanted, found):
        raise ConfigError(
            f"{file} holds another encoder than this run's: {found}; set encoder.* to the same, or to more blocks"
        )
    state, provenance = content["model"], content["provenance"]
    if wanted != found:
        state = grown(state, found, wanted, published_state(network))
        provenance += f"; deepened to stages {wanted.stages}, hand_stages {wanted.hand_stages}"
    load_strictly(network, from_published(state))
    return provenance, content["licence"]


def is_finished(out: Path) -> bool:
    """Whether a checkpoint holds the weights of a run that is over."""
    return STATE not in load_tensors(out)


def go_on(course: Course, content: Mapping[str, Any]) -> None:
    """Take up the run of a checkpoint that is not finished; `course` is new and becomes it."""
    state = content[STATE]
    course.learner.network.load_state_dict(state["network"])
    course.learner.reader.read.load_state_dict(state["read"])
    course.optimiser.load_state_dict(state["optimiser"])
    averaged = {name: value.to(course.world.device) for name, value in content["model"].items()}
    course.average.load_state_dict(from_published(averaged))
    course.step, course.elapsed_s = content["step"], state["elapsed_s"]
    course.num_windows, course.provenance = state["num_windows"], state["provenance"]


def make_optimiser(learner: Learner, lesson: Lesson) -> torch.optim.AdamW:
    """AdamW; matrices decay."""
    parameters = [one for one in learner.parameters() if one.requires_grad]
    return torch.optim.AdamW(
        [
            {"params": [one for one in parameters if one.ndim > 1], "weight_decay": lesson.weight_decay},
            {"params": [one for one in parameters if one.ndim <= 1], "weight_decay": 0.0},
        ],
        lr=lesson.learning_rate,
        betas=(0.9, 0.95),
    )


@torch.no_grad()
def centre_heads(course: Course, rows: Rows) -> None:
    """Let every prior head begin with the mean of its targets: else the first steps teach the mean to all alike."""
    every = max(1, len(rows.known) // MEANT)
    known = rows.known[::every].flatten(0, 1)
    total = course.world.total((rows.targets[::every].flatten(0, 1).float() * known).sum(dim=0))
    mean = total / course.world.total(known.sum(dim=0)).clamp(min=1)
    for network in (course.learner.network, course.average):
        for prior in PRIORS:
            network.cls_head.head(prior.name).bias.copy_(prior.psi * mean[COLUMNS[prior.name]])


def teach(
    course: Course,
    lesson: Lesson,
    pool: Pool,
    *,
    watch: Callable[[dict[str, float]], None],
    watch_every: int = 20,
) -> None:
    """Learn until the time is over, first from single hands if the lesson says so.

    Args:
        course: is changed in place.
        lesson: what a step asks for.
        pool: what is learned from.
        watch: told of all terms now and then.
        watch_every: steps between two tellings.

    Raises:
        DivergedError: a loss is no number any more.
    """
    world, learner = course.world, course.learner
    rng = np.random.default_rng((lesson.seed, course.step, world.rank))
    generator = torch.Generator(world.device).manual_seed(int(rng.integers(1 << 62)))
    num_real, num_rendered = couples_each(lesson, pool, world)
    earlier_s, start = course.elapsed_s, time.perf_counter()
    share = world.agree([course.elapsed_s / lesson.seconds])[0]
    while share < 1.0:
        only_hands = share < lesson.hands_first
        for group in course.optimiser.param_groups:
            group["lr"] = rate(part_done(share, lesson.hands_first), lesson.learning_rate)
        if only_hands:
            rows = pool.some(lesson.hands_moments, rng)
            total, cosine = hand_losses(learner, lesson, pool.rows.at(rows), generator)
            terms, num_windows = {"closeup": total.detach(), "cosine": cosine.detach()}, len(rows)
        else:
            draw = pool.draw(num_real, num_rendered, lesson.num_windows, rng)
            total, terms = step_losses(learner, lesson, pool.rows, draw, generator)
            num_windows = draw.rows.numel()
        total.backward()  # type: ignore[no-untyped-call]
        world.average_gradients(learner)
        norm = nn.utils.clip_grad_norm_(learner.parameters(), lesson.clip_norm)
        terms |= {"total": total.detach(), "grad_norm": norm}
        if course.step % watch_every == 0:
            watch(numbers(course, terms))
        course.optimiser.step()
        course.optimiser.zero_grad()
        follow(course, lesson.averaged)
        course.step += 1
        course.num_windows += world.size * num_windows
        course.elapsed_s = earlier_s + time.perf_counter() - start
        share = world.agree([course.elapsed_s / lesson.seconds])[0]
    numbers(course, terms)


def couples_each(lesson: Lesson, pool: Pool, world: World) -> tuple[int, int]:
    """Real and drawn movements a step, as many in every process: their vectors are compared.

    Raises:
        DataError: a process has none of a kind that others have.
    """
    own = [min(lesson.num_real, len(pool.real)), min(lesson.num_rendered, len(pool))]
    least, most = world.least(own), [-value for value in world.least([-value for value in own])]
    for kind, fewest, others in zip(("real clips", "drawn pairs"), least, most, strict=True):
        if others and not fewest:
            raise DataError(
                f"one of {world.size} processes has no {kind} of its own: start fewer, or give it more clips"
            )
    return least[0], least[1]


def part_done(share: float, hands_first: float) -> float:
    """How much of its own part of a run is done, single hands or all of it: each has its own learning rates."""
    if share < hands_first:
        return share / hands_first
    return (share - hands_first) / (1.0 - hands_first)


def numbers(course: Course, terms: Mapping[str, Tensor]) -> dict[str, float]:
    """The terms of a step.

    Raises:
        DivergedError: the total or the gradient is no number.
    """
    told = {name: float(term) for name, term in terms.items()}
    if not np.isfinite([told["total"], told["grad_norm"]]).all():
        raise DivergedError(f"step {course.step}: {told}; lower the learning rate")
    return told


@torch.no_grad()
def follow(course: Course, share: float) -> None:
    """Let the average of the weights follow them, faster while there are few."""
    share = min(share, (1.0 + course.step) / (10.0 + course.step))
    torch._foreach_lerp_(list(course.average.parameters()), list(course.learner.network.parameters()), 1.0 - share)
