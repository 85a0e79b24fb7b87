"""The linear classifier."""

import numpy as np
import pytest

from training.errors import EvaluationError
from training.sl_slr.probe import labelled, probe

NAMES = [f"g{number}" for number in range(5)]


def blobs(num: int, seed: int, noise: float = 0.2) -> tuple[np.ndarray, list[str]]:
    """Five clouds in eight dimensions, `num` points each."""
    centres = np.random.default_rng(0).normal(size=(5, 8))
    points = np.repeat(centres, num, axis=0) + noise * np.random.default_rng(seed).normal(size=(5 * num, 8))
    return points.astype(np.float32), [name for name in NAMES for _ in range(num)]


def test_what_is_apart_is_told_apart() -> None:
    assert probe(*blobs(10, 1), *blobs(4, 2), 1.0, 0) == 100.0


def test_labels_that_say_nothing_are_told_by_chance() -> None:
    points, names = blobs(200, 1)
    mixed = list(np.random.default_rng(3).permutation(names))
    assert probe(points, mixed, *blobs(100, 2), 1.0, 0) < 45.0


def test_the_scale_of_a_value_does_not_matter() -> None:
    train, test = blobs(10, 1, 1.0), blobs(20, 2, 1.0)
    scales = np.array([1, 1000, 1, 1e-3, 1, 1, 50, 1], np.float32)
    assert probe(*train, *test, 1.0, 0) == probe(train[0] * scales, train[1], test[0] * scales, test[1], 1.0, 0)


@pytest.mark.parametrize(("share", "each"), [(1.0, 10), (0.5, 5), (0.3, 3), (0.1, 1), (0.01, 1)])
def test_every_class_keeps_its_share_of_labels(share: float, each: int) -> None:
    labels = np.repeat(np.arange(4), 10)
    rows = labelled(labels, share, 0)
    assert np.bincount(labels[rows]).tolist() == [each] * 4
    assert len(set(rows)) == len(rows)


def test_the_seed_draws_which_labels_are_kept() -> None:
    labels = np.repeat(np.arange(4), 10)
    assert labelled(labels, 0.5, 0).tolist() == labelled(labels, 0.5, 0).tolist()
    assert labelled(labels, 0.5, 0).tolist() != labelled(labels, 0.5, 1).tolist()


def test_a_gloss_without_a_training_clip_is_named() -> None:
    points, names = blobs(2, 1)
    with pytest.raises(EvaluationError, match="1 glosses of the test have no training clip, other among them"):
        probe(points, names, points[:1], ["other"], 1.0, 0)


@pytest.mark.parametrize("share", [0.0, 1.5, float("nan")])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(EvaluationError, match="must be above 0 up to 1"):
        probe(*blobs(2, 1), *blobs(2, 2), share, 0)
