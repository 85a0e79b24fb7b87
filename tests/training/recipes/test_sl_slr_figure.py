"""The figure."""

from pathlib import Path

import numpy as np
import pytest

from tests.training.sl_slr.conftest import write_landmarks
from training.errors import EvaluationError
from training.recipes.sl_slr_figure import draw_panel, pair_separation, paired, principal, side_by_side, videos_of
from training.sl_slr.sequences import Sequence61


def units(values: np.ndarray) -> np.ndarray:
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def test_pairs_are_the_first_clips_of_a_gloss(performed: tuple[Sequence61, ...]) -> None:
    assert paired(performed, performed) == sorted(
        ((row, row) for row in (0, 3, 6)), key=lambda pair: performed[pair[0]].gloss
    )
    assert paired(performed[:3], performed[3:]) == []


def test_pairs_that_are_alike_stand_out_and_mixed_ones_do_not() -> None:
    rng = np.random.default_rng(0)
    signs = rng.normal(size=(40, 16))
    first, second = (units(signs + 0.2 * rng.normal(size=signs.shape)) for _ in range(2))
    assert pair_separation(first, second) > 3.0
    assert abs(pair_separation(first, second[rng.permutation(40)])) < 1.0


def test_the_first_directions_are_those_of_most_variance() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(50, 4)) * np.array([0.1, 9.0, 0.2, 3.0])
    places = principal(points.astype(np.float32))
    assert abs(np.corrcoef(places[:, 0], points[:, 1])[0, 1]) > 0.99
    assert abs(np.corrcoef(places[:, 1], points[:, 3])[0, 1]) > 0.95
    np.testing.assert_allclose([places.min(axis=0), places.max(axis=0)], [[0, 0], [1, 1]], atol=1e-6)


def test_panels_are_drawn_in_a_row() -> None:
    vectors = units(np.random.default_rng(0).normal(size=(6, 5)))
    panel = draw_panel("name", vectors[:3], vectors[3:])
    sheet = side_by_side([panel, panel])
    assert sheet.size == (2 * panel.width, panel.height)
    assert len(np.unique(np.asarray(sheet).reshape(-1, 3), axis=0)) > 3


def test_a_missing_video_is_named(tmp_path: Path) -> None:
    poses = write_landmarks(tmp_path / "poses", "one__1")
    with pytest.raises(EvaluationError, match=r"one__1\.mp4 does not exist"):
        videos_of(poses, tmp_path)
