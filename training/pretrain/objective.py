"""All losses of the encoder: the total, and every term by name."""

from collections.abc import Mapping
from typing import TypeVar, cast

import torch
from torch import Tensor

from training.data.priors.table import ACTIVITY, PRIOR, PRIORS
from training.data.windows.samples import Batch
from training.pretrain.config import Losses
from training.pretrain.discriminator import Discriminator
from training.pretrain.losses import (
    activity_loss,
    adversarial_loss,
    covariance_loss,
    hands_loss,
    prior_loss,
    variance_loss,
)
from training.pretrain.network import Prediction

Value = TypeVar("Value", float, Tensor)


def compute_losses(
    prediction: Prediction, batch: Batch, config: Losses, discriminator: Discriminator, other: Tensor
) -> tuple[Tensor, dict[str, Tensor]]:
    """L = sum over priors w L_prior + 0.2 L_act + 1.0 L_var + 0.004 L_cov + 2.0 L_adv, the weights as configured.

    Encoders with a hand branch are also trained on the places of the hands.

    Args:
        prediction: of the batch's windows; matched windows are neighbours.
        batch: what is known of the same windows.
        config: weights and forms.
        discriminator: not changed.
        other: [B] int64, for every window one of another video.

    Returns:
        The total, and every term before its weight, by the names of `term_weights`.
    """
    terms = prior_terms(prediction, batch, config)
    terms["activity"] = activity_loss(prediction.activity_logits, batch.targets[ACTIVITY], batch.masks[ACTIVITY])
    terms["variance"] = variance_loss(prediction.features)
    terms["covariance"] = covariance_loss(prediction.features, per_channel=config.covariance_per_channel)
    with discriminator.frozen():
        verdict = discriminator.compare(prediction.style, prediction.features, other)
    terms["adversarial"] = adversarial_loss(
        verdict.matched.sigmoid(), verdict.unmatched.sigmoid(), discriminator.ema_matched, discriminator.ema_unmatched
    )
    if prediction.hands is not None:
        terms["hands"] = hands_loss(prediction.hands, batch.hands)
    weights = term_weights(config)
    # Terms of weight 0 stay in the sum: so every parameter has a gradient, which distributed training needs.
    total = torch.stack([weights[name] * term for name, term in terms.items()]).sum()
    return total, terms


def prior_terms(prediction: Prediction, batch: Batch, config: Losses) -> dict[str, Tensor]:
    """The loss of every prior, before its weight."""
    return {
        f"prior/{name}": prior_loss(
            prediction.priors[name], batch.targets[name], batch.masks[name], PRIOR[name].psi, config.prior_beta
        )
        for name in PRIOR
    }


def term_weights(config: Losses) -> dict[str, float]:
    """The weight of every term in the total."""
    weights = config.weights or tuple(prior.weight for prior in PRIORS)
    priors = {
        f"prior/{prior.name}": weight * (prior.name in config.priors)
        for prior, weight in zip(PRIORS, weights, strict=True)
    }
    return priors | {
        "activity": config.activity,
        "variance": config.variance,
        "covariance": config.covariance,
        "adversarial": config.adversarial,
        "hands": config.hands,
    }


def weighted_priors(terms: Mapping[str, Value], config: Losses) -> Value:
    """The share of the priors in the total: the one number that says how well pose is predicted."""
    weights = term_weights(config)
    weighted = (weights[name] * value for name, value in terms.items() if name.startswith("prior/"))
    return cast("Value", sum(weighted))
