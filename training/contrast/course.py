"""A run of learning to look up: from weights to weights, by the clock.

Every step sees movements by two people each, and asks of the network all that SignRep asks (every prior, activity,
spread embeddings), where the hands are, what single hands show, and that the same movement lies together.
"""

import copy
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from model.checkpoint import load_tensors
from model.config import EncoderConfig, compact
from model.hands import HandPlaces, Hands
from training.closeup.learn import HandReader, closeup_loss, rate
from training.closeup.learn import Looks as HandLooks
from training.contrast.glimpses import glimpses
from training.contrast.looks import Looks, changed, draw_seen
from training.contrast.losses import contrast_loss, found_share, pooled
from training.contrast.moments import BEFORE, COLUMNS, NUM_SHOWN, apart
from training.contrast.pool import Draw, Pool, Rows
from training.errors import ConfigError, DivergedError
from training.fit.files import commit
from training.fit.loop import autocast
from training.pretrain.config import Losses
from training.pretrain.losses import activity_loss, covariance_loss, hands_loss, prior_loss, variance_loss
from training.pretrain.network import Prediction, PretrainNetwork, from_published
from training.pretrain.objective import term_weights
from training.pretrain.state import LICENCE, weights_content
from training.prior_table import PRIOR, PRIORS

STATE = "contrast"
"""What a checkpoint holds besides weights, until its run is over."""
MEANT = 4000
"""Moments of which the mean is taken."""
LEVELLED = (30.0, 8.0, 8.0, 150.0, 260.0, 260.0, 100.0, 45.0, 45.0)
"""Weights of the priors: the table's leave nine tenths of the loss to angles."""


@dataclass(frozen=True)
class Lesson:
    """What a step asks for. Decisions, all of them."""

    seconds: float
    """In all, earlier attempts included; the learning rate is at zero when they end."""
    encoder: EncoderConfig = field(default_factory=compact)
    """Geometry; it has windows of two frames and looks closer at hands."""
    num_real: int = 20
    """Real movements a step."""
    num_rendered: int = 44
    """Drawn movements a step."""
    num_windows: int = 6
    """Moments of every clip."""
    learning_rate: float = 1.2e-3
    """The highest."""
    weight_decay: float = 0.05
    clip_norm: float = 1.0
    losses: Losses = field(default_factory=lambda: Losses(weights=LEVELLED, adversarial=0.0))
    contrast: float = 1.0
    """Weight of the contrast."""
    temperature: float = 0.07
    closeup: float = 2.0
    """Weight of what single hands show."""
    told: float = 0.5
    """Share of moments in which the network is told where the hands are."""
    told_error: float = 0.02
    """Standard deviation of what it is told, in shares of the frame."""
    averaged: float = 0.998
    """Share of the average of the weights that a step leaves; the average is what is kept."""
    looks: Looks = field(default_factory=Looks)
    hand_looks: HandLooks = field(default_factory=HandLooks)
    seed: int = 0


@dataclass
class Course:
    """A run between two steps."""

    network: PretrainNetwork
    reader: HandReader
    average: PretrainNetwork
    """Of the network's weights over the last few hundred steps."""
    optimiser: torch.optim.AdamW
    device: torch.device
    provenance: str = "random weights"
    licence: str = LICENCE
    step: int = 0
    elapsed_s: float = 0.0
    num_windows: int = 0
    """Moments seen."""

    def checkpoint(self, *, finished: str = "") -> dict[str, Any]:
        """The averaged weights, as export and pretraining take them, and unless it is finished what is needed to go on.

        Args:
            finished: what was learned from, for the provenance.
        """
        told = f"{self.provenance}; training.contrast, {self.step} steps, {self.num_windows} moments, commit {commit()}"
        content = weights_content(self.average, f"{told}, {finished}", self.step, licence=self.licence)
        if not finished:
            content[STATE] = {
                "network": self.network.state_dict(),
                "read": self.reader.read.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "elapsed_s": self.elapsed_s,
                "num_windows": self.num_windows,
                "provenance": self.provenance,
            }
        return content


def begin(lesson: Lesson, device: torch.device) -> Course:
    """A new run.

    Raises:
        ConfigError: the encoder's windows have another length, or it does not look closer at hands.
    """
    config = lesson.encoder
    if config.num_frames != NUM_SHOWN or not config.hand_px:
        raise ConfigError(
            f"windows of {config.num_frames} frames, hand_px {config.hand_px}; moments have {NUM_SHOWN} frames, and the"
            " encoder has to look closer at hands: take encoder=compact or a geometry like it"
        )
    torch.manual_seed(lesson.seed)
    network = PretrainNetwork(config).to(device).train()
    hands = network.encoder.hands
    assert isinstance(hands, Hands)
    reader = HandReader(hands.backbone, config.hand_config).to(device).train()
    average = copy.deepcopy(network).eval().requires_grad_(False)
    return Course(network, reader, average, make_optimiser(network, reader, lesson), device)


def is_finished(out: Path) -> bool:
    """Whether a checkpoint holds the weights of a run that is over."""
    return STATE not in load_tensors(out)


def go_on(course: Course, content: Mapping[str, Any]) -> None:
    """Take up the run of a checkpoint that is not finished; `course` is new and becomes it."""
    state = content[STATE]
    course.network.load_state_dict(state["network"])
    course.reader.read.load_state_dict(state["read"])
    course.optimiser.load_state_dict(state["optimiser"])
    averaged = {name: value.to(course.device) for name, value in content["model"].items()}
    course.average.load_state_dict(from_published(averaged))
    course.step, course.elapsed_s = content["step"], state["elapsed_s"]
    course.num_windows, course.provenance = state["num_windows"], state["provenance"]


def make_optimiser(network: nn.Module, reader: HandReader, lesson: Lesson) -> torch.optim.AdamW:
    """AdamW; matrices decay."""
    parameters = [*network.parameters(), *reader.read.parameters()]
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
    mean = (rows.targets[::every].flatten(0, 1).float() * known).sum(dim=0) / known.sum(dim=0).clamp(min=1)
    for network in (course.network, course.average):
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
    """Learn until the time is over.

    Args:
        course: is changed in place.
        lesson: what a step asks for.
        pool: what is learned from.
        watch: told of all terms now and then.
        watch_every: steps between two tellings.

    Raises:
        DivergedError: a loss is no number any more.
    """
    rng = np.random.default_rng((lesson.seed, course.step))
    generator = torch.Generator(course.device).manual_seed(int(rng.integers(1 << 62)))
    earlier_s, start = course.elapsed_s, time.perf_counter()
    while course.elapsed_s < lesson.seconds:
        for group in course.optimiser.param_groups:
            group["lr"] = rate(course.elapsed_s / lesson.seconds, lesson.learning_rate)
        draw = pool.draw(lesson.num_real, lesson.num_rendered, lesson.num_windows, rng)
        total, terms = step_losses(course, lesson, pool.rows, draw, generator)
        total.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(course.network.parameters(), lesson.clip_norm)
        terms |= {"total": total.detach(), "grad_norm": norm}
        if course.step % watch_every == 0:
            watch(numbers(course, terms))
        course.optimiser.step()
        course.optimiser.zero_grad()
        follow(course, lesson.averaged)
        course.step += 1
        course.num_windows += draw.rows.numel()
        course.elapsed_s = earlier_s + time.perf_counter() - start
        if course.elapsed_s >= lesson.seconds:
            numbers(course, terms)


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
    torch._foreach_lerp_(list(course.average.parameters()), list(course.network.parameters()), 1.0 - share)


def step_losses(
    course: Course, lesson: Lesson, pool: Rows, draw: Draw, generator: torch.Generator
) -> tuple[Tensor, dict[str, Tensor]]:
    """The total of a step, and every term before its weight."""
    rows = pool.at(draw.rows.flatten())
    num_clips, device = draw.rows.shape[0] * draw.rows.shape[1], course.device
    clips = torch.arange(num_clips, device=device).repeat_interleave(draw.rows.shape[2])
    with torch.no_grad():
        seen = draw_seen(num_clips, lesson.looks, generator)
        windows = changed(rows.frames, seen, clips, lesson.looks, generator)
        squares = inside(seen.places(rows.hands, clips))
        pictures, bones, points = glimpses(rows, course.reader.backbone.config.image_size, lesson.hand_looks, generator)
    with autocast("auto", device):
        prediction = course.network(windows, None, tell(squares, lesson, generator))
        read = course.reader(pictures) if len(pictures) else None
    terms = pose_terms(prediction, rows, squares, lesson.losses)
    shape = draw.rows.shape
    vectors = pooled(prediction.features.unflatten(0, shape), prediction.activity_logits.unflatten(0, shape))
    terms["contrast"] = contrast_loss(vectors, draw.movements, lesson.temperature)
    terms["closeup"], cosine = vectors.new_zeros(()), vectors.new_zeros(())
    if read is not None:
        terms["closeup"], cosine = closeup_loss(read, bones, points)
    weights = term_weights(lesson.losses) | {"contrast": lesson.contrast, "closeup": lesson.closeup}
    total = torch.stack([weights[name] * term for name, term in terms.items()]).sum()
    shown = {name: term.detach() for name, term in terms.items()}
    return total, shown | {"cosine": cosine.detach(), "found": found_share(vectors, draw.movements)}


def pose_terms(prediction: Prediction, rows: Rows, squares: Tensor, losses: Losses) -> dict[str, Tensor]:
    """What SignRep asks, and where the hands are, before their weights."""
    targets, known = apart(rows.targets.float()), apart(rows.known)
    shown = slice(BEFORE, BEFORE + NUM_SHOWN)
    terms = {
        f"prior/{name}": prior_loss(values[:, shown], targets[name], known[name], PRIOR[name].psi, losses.prior_beta)
        for name, values in prediction.priors.items()
    }
    features = prediction.features.float()
    assert prediction.hands is not None
    hands = HandPlaces(*(part.float() for part in prediction.hands))
    return terms | {
        "activity": activity_loss(prediction.activity_logits, rows.activity, rows.activity_known),
        "variance": variance_loss(features),
        "covariance": covariance_loss(features),
        "hands": hands_loss(hands, squares),
    }


def inside(squares: Tensor) -> Tensor:
    """Squares [N, 2, 3], NaN where their middle lies outside the frame."""
    shown = ((squares[..., :2] >= 0.0) & (squares[..., :2] <= 1.0)).all(dim=-1, keepdim=True)
    return torch.where(shown, squares, torch.nan)


def tell(squares: Tensor, lesson: Lesson, generator: torch.Generator) -> Tensor:
    """What the network is told of where the hands are, not quite exactly and not always: [N, 2, 3]."""
    error = lesson.told_error * torch.randn(squares.shape, generator=generator, device=squares.device)
    untold = torch.rand(len(squares), generator=generator, device=squares.device) >= lesson.told
    error[untold] = torch.nan
    return squares + error
