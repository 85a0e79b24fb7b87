"""What each method asks of a batch: SL-SLR, and SimCLR, MoCo and BYOL on the same sequences and network."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from training.sl_slr.batches import Batch
from training.sl_slr.config import Method, SlSlrConfig
from training.sl_slr.losses import bootstrap, clip_tells_view, nt_xent, queue_nce, spread, views_agree
from training.sl_slr.network import Projected, SlSlrNetwork
from training.sl_slr.views import View, filmed_again, informative_frames, shuffled

FOLLOWED: tuple[Method, ...] = ("moco", "byol")
"""Methods with a second network that follows the first."""


@dataclass(frozen=True)
class Learner:
    """The networks of a method."""

    network: SlSlrNetwork
    slow: SlSlrNetwork
    """Follows the network's weights in MoCo and BYOL; the others leave it as it was made."""
    queue: Tensor
    """[Q, P] MoCo's unit projections of earlier batches, the newest first."""


@dataclass(frozen=True)
class Views3:
    """The three branches of a batch."""

    clip: View
    first: View
    second: View


Asked = tuple[dict[str, Tensor], Projected, Tensor | None]
"""Named terms that are added up, the first view's branch, and MoCo's new keys."""
Ask = Callable[[Learner, Views3, SlSlrConfig], Asked]


def make_views(batch: Batch, config: SlSlrConfig, generator: torch.Generator) -> Views3:
    """The clip as it is and its two views, with all that happens to them."""
    made = []
    for branch in (1, 2):
        view: View = (batch.keypoints[branch], batch.known[branch])
        if config.views.shuffle and config.method == "sl-slr":
            informative = informative_frames(batch.raised[branch], config.views.informative)
            view = shuffled(*view, informative, generator)
        made.append(filmed_again(*view, config.views, generator))
    return Views3((batch.keypoints[0], batch.known[0]), made[0], made[1])


def compute_losses(
    learner: Learner, batch: Batch, views: Views3, config: SlSlrConfig
) -> tuple[Tensor, dict[str, Tensor], Tensor | None]:
    """The sum that is minimised, every term by name without its weight, and MoCo's new keys.

    Args:
        learner: the networks.
        batch: with the hands' activity.
        views: of the batch.
        config: method and weights.
    """
    terms, first, keys = METHODS[config.method](learner, views, config)
    total = torch.stack(list(terms.values())).sum()
    encoder = learner.network.encoder
    logits = encoder.activity(encoder.describe(*views.clip).stats).squeeze(-1)
    terms["activity"] = functional.binary_cross_entropy_with_logits(logits, batch.activity)
    total = total + config.losses.activity * terms["activity"]
    if config.losses.on_embedding:
        second = learner.network.encoder(*views.second).embedding
        terms["embedding"] = nt_xent(first.encoded.embedding, second, config.losses.temperature)
        total = total + config.losses.on_embedding * terms["embedding"]
    terms["spread"] = spread(first.raw.detach())
    return total, terms, keys


def ask_sl_slr(learner: Learner, views: Views3, config: SlSlrConfig) -> Asked:
    """SL-SLR: MSE(z1, z2) + MSE(predictor(z), stopgrad(z1))."""
    clip, first, second = (learner.network(*view) for view in (views.clip, views.first, views.second))
    predicted = learner.network.predictor(clip.z)
    return {"views": views_agree(first.z, second.z), "clip": clip_tells_view(predicted, first.z)}, first, None


def ask_simclr(learner: Learner, views: Views3, config: SlSlrConfig) -> Asked:
    """SimCLR: NT-Xent between both views."""
    first, second = learner.network(*views.first), learner.network(*views.second)
    return {"contrast": nt_xent(first.z, second.z, config.losses.temperature)}, first, None


def ask_moco(learner: Learner, views: Views3, config: SlSlrConfig) -> Asked:
    """MoCo: the first view asks for the second one's key among the queue."""
    first = learner.network(*views.first)
    with torch.no_grad():
        key = learner.slow(*views.second).z
    asked = queue_nce(first.z, key, learner.queue, config.losses.temperature)
    return {"contrast": asked}, first, functional.normalize(key, dim=1)


def ask_byol(learner: Learner, views: Views3, config: SlSlrConfig) -> Asked:
    """BYOL: each view predicts the other as the slow network projects it."""
    first, second = learner.network(*views.first), learner.network(*views.second)
    with torch.no_grad():
        slow_first, slow_second = (learner.slow(*view).z for view in (views.first, views.second))
    predict = learner.network.predictor
    both = bootstrap(predict(first.z), slow_second) + bootstrap(predict(second.z), slow_first)
    return {"bootstrap": both}, first, None


METHODS: dict[Method, Ask] = {"sl-slr": ask_sl_slr, "simclr": ask_simclr, "moco": ask_moco, "byol": ask_byol}


@torch.no_grad()
def follow(learner: Learner, momentum: float) -> None:
    """Let the slow network follow: slow <- momentum slow + (1 - momentum) network; running statistics are copied."""
    for weight, target in zip(learner.slow.parameters(), learner.network.parameters(), strict=True):
        weight.lerp_(target, 1.0 - momentum)
    for held, current in zip(learner.slow.buffers(), learner.network.buffers(), strict=True):
        held.copy_(current)


@torch.no_grad()
def remember(learner: Learner, keys: Tensor) -> None:
    """Put new keys to the front of the queue; the oldest fall out."""
    learner.queue.copy_(torch.cat([keys, learner.queue])[: len(learner.queue)])
