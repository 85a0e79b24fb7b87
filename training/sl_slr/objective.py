"""The losses of a batch by method: SL-SLR, and SimCLR, MoCo and BYOL on the same sequences and network."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from training.fit.averaging import update_average
from training.sl_slr.batches import Batch
from training.sl_slr.config import Method, SlSlrConfig
from training.sl_slr.losses import bootstrap, clip_predicts_view, nt_xent, queue_nce, spread, views_agree
from training.sl_slr.network import Projected, SlSlrNetwork
from training.sl_slr.views import View, augmented, informative_frames, shuffled

MOMENTUM_METHODS: tuple[Method, ...] = ("moco", "byol")
"""Methods with a momentum network."""


@dataclass(frozen=True)
class MethodNetworks:
    """The networks of a method, and MoCo's queue."""

    network: SlSlrNetwork
    momentum_network: SlSlrNetwork
    """Follows the weights of the network in MoCo and BYOL; the other methods leave it as it was made."""
    queue: Tensor
    """[Q, P] MoCo's unit projections of earlier batches, the newest first."""


@dataclass(frozen=True)
class BatchViews:
    """The three branches of a batch."""

    clip: View
    first: View
    second: View

    def to(self, device: torch.device) -> "BatchViews":
        """The same on a device."""
        clip, first, second = ((keypoints.to(device), known.to(device)) for keypoints, known in self.branches)
        return BatchViews(clip, first, second)

    @property
    def branches(self) -> tuple[View, View, View]:
        """All of them."""
        return self.clip, self.first, self.second


MethodTerms = tuple[dict[str, Tensor], Projected, Tensor]
"""Named terms that are added up, the first view's branch, and [B, P] MoCo's new keys; [0] for other methods."""


def make_views(batch: Batch, config: SlSlrConfig, generator: torch.Generator) -> BatchViews:
    """The clip as it is and its two views, shuffled (SL-SLR) and augmented."""
    made = []
    for branch in (1, 2):
        view: View = (batch.keypoints[branch], batch.known[branch])
        if config.views.shuffle and config.method == "sl-slr":
            informative = informative_frames(batch.raised[branch], config.views.informative)
            view = shuffled(*view, informative, generator)
        made.append(augmented(*view, config.views, generator))
    return BatchViews((batch.keypoints[0], batch.known[0]), made[0], made[1])


def compute_losses(
    networks: MethodNetworks, activity: Tensor, views: BatchViews, config: SlSlrConfig
) -> tuple[dict[str, Tensor], Tensor]:
    """Every term by name without its weight, with their weighted `total` and the `spread`; and MoCo's new keys.

    Args:
        networks: of the method.
        activity: [B, 2] of the hands in the clip itself.
        views: of the batch.
        config: method and weights.
    """
    terms, first, keys = METHODS[config.method](networks, views, config)
    total = torch.stack(list(terms.values())).sum()
    encoder = networks.network.encoder
    logits = encoder.activity(encoder.describe(*views.clip).stats).squeeze(-1)
    terms["activity"] = functional.binary_cross_entropy_with_logits(logits, activity)
    total = total + config.losses.activity * terms["activity"]
    if config.losses.on_embedding:
        second = networks.network.encoder(*views.second).embedding
        terms["embedding"] = nt_xent(first.encoded.embedding, second, config.losses.temperature)
        total = total + config.losses.on_embedding * terms["embedding"]
    terms["spread"] = spread(first.raw.detach())
    return terms | {"total": total}, keys


def sl_slr_terms(networks: MethodNetworks, views: BatchViews, config: SlSlrConfig) -> MethodTerms:
    """SL-SLR: MSE(z1, z2) + MSE(predictor(z), stopgrad(z1))."""
    clip, first, second = (networks.network(*view) for view in views.branches)
    predicted = networks.network.predictor(clip.z)
    return {"views": views_agree(first.z, second.z), "clip": clip_predicts_view(predicted, first.z)}, first, NO_KEYS


def simclr_terms(networks: MethodNetworks, views: BatchViews, config: SlSlrConfig) -> MethodTerms:
    """SimCLR: NT-Xent between both views."""
    first, second = networks.network(*views.first), networks.network(*views.second)
    return {"contrast": nt_xent(first.z, second.z, config.losses.temperature)}, first, NO_KEYS


def moco_terms(networks: MethodNetworks, views: BatchViews, config: SlSlrConfig) -> MethodTerms:
    """MoCo: the first view is the query for the second one's key among the queue."""
    first = networks.network(*views.first)
    with torch.no_grad():
        key = networks.momentum_network(*views.second).z
    contrast = queue_nce(first.z, key, networks.queue, config.losses.temperature)
    return {"contrast": contrast}, first, functional.normalize(key, dim=1)


def byol_terms(networks: MethodNetworks, views: BatchViews, config: SlSlrConfig) -> MethodTerms:
    """BYOL: each view predicts the other as the momentum network projects it."""
    first, second = networks.network(*views.first), networks.network(*views.second)
    with torch.no_grad():
        target_first, target_second = (networks.momentum_network(*view).z for view in (views.first, views.second))
    predict = networks.network.predictor
    both = bootstrap(predict(first.z), target_second) + bootstrap(predict(second.z), target_first)
    return {"bootstrap": both}, first, NO_KEYS


NO_KEYS = torch.empty(0)
METHODS: dict[Method, Callable[[MethodNetworks, BatchViews, SlSlrConfig], MethodTerms]] = {
    "sl-slr": sl_slr_terms,
    "simclr": simclr_terms,
    "moco": moco_terms,
    "byol": byol_terms,
}


@torch.no_grad()
def update_networks(networks: MethodNetworks, keys: Tensor, config: SlSlrConfig) -> None:
    """Move the momentum network of MoCo and BYOL, and put new keys to the front of the queue; the oldest fall out.

    Running statistics of the momentum network are copied.
    """
    if config.method in MOMENTUM_METHODS:
        update_average(networks.momentum_network, networks.network, config.losses.momentum)
        for held, current in zip(networks.momentum_network.buffers(), networks.network.buffers(), strict=True):
            held.copy_(current)
    if len(keys):
        networks.queue.copy_(torch.cat([keys, networks.queue])[: len(networks.queue)])
