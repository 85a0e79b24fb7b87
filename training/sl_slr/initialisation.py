"""Initialisation of the kept values: the activity head, and a metric in which views of one sign lie close together.

Both are estimated from the first batches, before the first step of the optimiser. Let x and x' be the kept values of
the two views of a sign, m their mean and W = E[(x - x')(x - x')^T] / 2. Cosines are then compared after

    y = (W + floor tr(W) / F)^(-1/2) (x - m),

the within-class covariance normalisation (WCCN) of speaker recognition (Hatch et al., 2006). The classes here are the
pairs of views: no label is needed, though with `data.partners=signer` pairs are the same sign by two synthetic signers.
"""

import torch
from torch import Tensor
from torch.nn import functional

from training.fit.loop import step_seed
from training.sl_slr.batches import Batches
from training.sl_slr.network import SkeletonEncoder
from training.sl_slr.objective import BatchViews, make_views
from training.sl_slr.state import SlSlrState

ACTIVITY_STEPS = 300
ACTIVITY_RATE = 1e-2


@torch.no_grad()
def initialise_wccn(state: SlSlrState, batches: Batches) -> None:
    """Set the activity head and the metric of a new run that has a metric; other runs stay as they are."""
    encoder, config = state.network.encoder, state.config
    if state.step or encoder.metric is None:
        return
    device = next(encoder.parameters()).device
    sampled: list[BatchViews] = []
    activities = []
    for number in range(config.network.wccn_batches):
        batch = batches.at(number)
        generator = torch.Generator().manual_seed(step_seed(config.seed, number))
        sampled.append(make_views(batch, config, generator).to(device))
        activities.append(batch.activity)
    stats = torch.cat([encoder.describe(*views.clip).stats for views in sampled])
    fit_activity(encoder, stats, torch.cat(activities).to(device))
    pairs = [[_kept(encoder, *view) for view in (views.first, views.second)] for views in sampled]
    first, second = (torch.cat(side) for side in zip(*pairs, strict=True))
    weight, bias = wccn(first, second, config.network.wccn_floor)
    encoder.metric.weight.copy_(weight)
    encoder.metric.bias.copy_(bias)


def wccn(first: Tensor, second: Tensor, floor: float) -> tuple[Tensor, Tensor]:
    """The matrix [F, F] and the bias [F] that follows it; see the top of this module.

    Args:
        first: [N, F] kept values of one view.
        second: [N, F] of the other.
        floor: see `Network.wccn_floor`.
    """
    difference = (first - second).double()
    within = difference.T @ difference / (2 * len(difference))
    size = within.diagonal().mean().clamp(min=1e-12)
    values, axes = torch.linalg.eigh(within + floor * size * torch.eye(len(within), dtype=torch.float64))
    weight = (axes / values.sqrt()) @ axes.T * size.sqrt()
    mean = torch.cat([first, second]).double().mean(dim=0)
    return weight.float(), -(weight @ mean).float()


def fit_activity(encoder: SkeletonEncoder, stats: Tensor, activity: Tensor) -> None:
    """Fit the activity head to the prior: [N, 2, 6] statistics, [N, 2] in [0, 1]."""
    optimiser = torch.optim.Adam(encoder.activity.parameters(), lr=ACTIVITY_RATE)
    with torch.enable_grad():
        for _ in range(ACTIVITY_STEPS):
            logits = encoder.activity(stats).squeeze(-1)
            functional.binary_cross_entropy_with_logits(logits, activity).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            optimiser.zero_grad()


def _kept(encoder: SkeletonEncoder, keypoints: Tensor, known: Tensor) -> Tensor:
    described = encoder.describe(keypoints, known)
    return encoder.kept(described, encoder.activity(described.stats).squeeze(-1))
