"""Linear probe of frozen vectors, with all labels or a share of them."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from model.encoder import Floats, Ints
from training.errors import EvaluationError

DECAY = 1e-4
"""Of the classifier's weights, per class score."""
ITERATIONS = 60


def probe(train: Floats, glosses: Sequence[str], test: Floats, truth: Sequence[str], share: float, seed: int) -> float:
    """Top-1 accuracy, in percent, of a linear classifier on frozen vectors.

    Args:
        train: [N, D] vectors to train on.
        glosses: [N] of them.
        test: [M, D] vectors to classify.
        truth: [M] their glosses.
        share: of every gloss's training clips, how many keep their label, in (0, 1]; one at least.
        seed: of the choice.

    Raises:
        EvaluationError: a test gloss is not in the training set, or the share is none.
    """
    if not 0 < share <= 1:
        raise EvaluationError(f"share of labels is {share}; it must be above 0 up to 1")
    names = sorted(set(glosses))
    if unknown := sorted(set(truth) - set(names)):
        raise EvaluationError(f"{len(unknown)} glosses of the test have no training clip, {unknown[0]} among them")
    number = {name: row for row, name in enumerate(names)}
    labels = np.array([number[gloss] for gloss in glosses])
    rows = labelled(labels, share, seed)
    mean, deviation = train.mean(axis=0), train.std(axis=0) + 1e-6
    train_inputs, test_inputs = (torch.from_numpy((part - mean) / deviation).float() for part in (train[rows], test))
    predicted = _fit(train_inputs, torch.from_numpy(labels[rows]), len(names))(test_inputs).argmax(dim=1).numpy()
    return 100.0 * float((predicted == np.array([number[gloss] for gloss in truth])).mean())


def labelled(labels: Ints, share: float, seed: int) -> Ints:
    """The rows that keep their label: the same share of every class, one at least."""
    rng = np.random.default_rng(seed)
    chosen = []
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        chosen.append(rows[: max(1, round(share * len(rows)))])
    return np.sort(np.concatenate(chosen))


def _fit(vectors: torch.Tensor, labels: torch.Tensor, num_classes: int) -> nn.Linear:
    """Multinomial regression by L-BFGS from zero: no randomness."""
    classifier = nn.Linear(vectors.shape[1], num_classes)
    nn.init.zeros_(classifier.weight)
    nn.init.zeros_(classifier.bias)
    optimiser = torch.optim.LBFGS(classifier.parameters(), max_iter=ITERATIONS, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        total = functional.cross_entropy(classifier(vectors), labels)
        total = total + DECAY * classifier.weight.square().sum()
        total.backward()  # type: ignore[no-untyped-call]
        return total

    optimiser.step(loss)  # type: ignore[no-untyped-call]
    return classifier
