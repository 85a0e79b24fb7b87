"""Scores of a network on held-out windows, by which the best checkpoint is chosen."""

from collections.abc import Callable

import torch

from model.signrep import normalise
from training.data.augment import resize
from training.data.loading import load_batches
from training.data.samples import Source
from training.pretrain.config import Losses
from training.pretrain.losses import prior_loss
from training.pretrain.network import PretrainNetwork
from training.pretrain.objective import term_weights
from training.prior_table import PRIORS

Validate = Callable[[PretrainNetwork], float]
"""A score of the network, in evaluation mode, on held-out data; higher is better."""

BATCH = 8


def held_out(source: Source, num_pairs: int, config: Losses) -> Validate:
    """Validation by how well pose is predicted, all mask units visible: minus the weighted prior loss.

    Args:
        source: of windows that are not trained on.
        num_pairs: the first so many pairs are used, the same each time.
        config: weights of the priors.
    """
    weights = term_weights(config)

    @torch.no_grad()
    def validate(network: PretrainNetwork) -> float:
        device = next(network.parameters()).device
        batches = load_batches(source, min(BATCH, 2 * num_pairs))
        scores = []
        for _ in range(max(1, 2 * num_pairs // BATCH)):
            batch = next(batches).to(device)
            windows = normalise(resize(batch.frames, network.encoder.config.image_size))
            predicted = network(windows).priors
            losses = [
                weights[f"prior/{prior.name}"]
                * prior_loss(
                    predicted[prior.name],
                    batch.targets[prior.name],
                    batch.masks[prior.name],
                    prior.psi,
                    config.prior_beta,
                )
                for prior in PRIORS
            ]
            scores.append(-float(torch.stack(losses).sum()))
        return sum(scores) / len(scores)

    return validate
