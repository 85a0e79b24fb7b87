"""Where the kept values begin: what counts as resting, and a measure in which views of one sign lie close together.

Both follow from the first batches without any step of the optimiser. Let x and x' be the kept values of the two views
of a sign, m their mean and W = E[(x - x')(x - x')^T] / 2. Cosines are then compared after

    y = (W + floor tr(W) / F)^(-1/2) (x - m),

the within-class covariance normalisation of speaker recognition (Hatch et al., 2006), whose classes here are the pairs
of views: no label is needed, though with `data.partners=signer` pairs are the same sign by two synthetic signers.
"""

import torch
from torch import Tensor
from torch.nn import functional

from training.fit.loop import step_seed
from training.sl_slr.batches import Batches
from training.sl_slr.network import SkeletonEncoder
from training.sl_slr.objective import Views3, make_views
from training.sl_slr.state import Run

ACTIVITY_STEPS = 300
ACTIVITY_RATE = 1e-2


@torch.no_grad()
def level(run: Run, batches: Batches) -> None:
    """Set the activity head and the metric of a new run that has a metric; others stay as they are."""
    encoder, config = run.network.encoder, run.config
    if run.step or encoder.metric is None:
        return
    device = next(encoder.parameters()).device
    seen: list[Views3] = []
    truths = []
    for number in range(config.network.level_on):
        batch = batches.at(number)
        seen.append(make_views(batch, config, torch.Generator().manual_seed(step_seed(config.seed, number))))
        truths.append(batch.activity)
    stats = torch.cat([encoder.describe(*_on(views.clip, device)).stats for views in seen])
    fit_activity(encoder, stats, torch.cat(truths).to(device))
    pairs = [[_kept(encoder, *_on(view, device)) for view in (views.first, views.second)] for views in seen]
    first, second = (torch.cat(side) for side in zip(*pairs, strict=True))
    weight, bias = measure_metric(first, second, config.network.level_floor)
    encoder.metric.weight.copy_(weight)
    encoder.metric.bias.copy_(bias)


def measure_metric(first: Tensor, second: Tensor, floor: float) -> tuple[Tensor, Tensor]:
    """The matrix [F, F] and what is added behind it [F]; see the top of this module.

    Args:
        first: [N, F] kept values of one view.
        second: [N, F] of the other.
        floor: see `Network.level_floor`.
    """
    away = (first - second).double()
    within = away.T @ away / (2 * len(away))
    size = within.diagonal().mean().clamp(min=1e-12)
    values, axes = torch.linalg.eigh(within + floor * size * torch.eye(len(within), dtype=torch.float64))
    weight = (axes / values.sqrt()) @ axes.T * size.sqrt()
    mean = torch.cat([first, second]).double().mean(dim=0)
    return weight.float(), -(weight @ mean).float()


def fit_activity(encoder: SkeletonEncoder, stats: Tensor, truth: Tensor) -> None:
    """Let the activity head tell what the prior says: [N, 2, 6] statistics, [N, 2] in [0, 1]."""
    optimiser = torch.optim.Adam(encoder.activity.parameters(), lr=ACTIVITY_RATE)
    with torch.enable_grad():
        for _ in range(ACTIVITY_STEPS):
            optimiser.zero_grad()
            logits = encoder.activity(stats).squeeze(-1)
            functional.binary_cross_entropy_with_logits(logits, truth).backward()  # type: ignore[no-untyped-call]
            optimiser.step()


def _kept(encoder: SkeletonEncoder, keypoints: Tensor, known: Tensor) -> Tensor:
    described = encoder.describe(keypoints, known)
    return encoder.kept(described, encoder.activity(described.stats).squeeze(-1))


def _on(view: tuple[Tensor, Tensor], device: torch.device) -> tuple[Tensor, Tensor]:
    return view[0].to(device), view[1].to(device)
