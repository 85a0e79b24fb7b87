import numpy as np

from tests.training.contrast.stage import NUM_FRAMES, SIZE_PX, in_picture, points, pose_of, some_moments
from training.contrast.moments import BEFORE, COLUMNS, WIDTH, describe, starts_of
from training.data.sharded import hands_in_picture
from training.prior_table import ACTIVITY, PRIORS
from training.priors import targets


def test_moments_come_one_from_each_part_of_a_clip() -> None:
    edges = np.linspace(0, 39, 5)
    for seed in range(20):
        starts = starts_of(41, 4, np.random.default_rng(seed))
        assert (starts >= edges[:-1] - 0.5).all()
        assert (starts <= edges[1:] + 0.5).all()
    assert starts_of(1, 3, np.random.default_rng(0)).tolist() == [0, 0, 0], "of a picture there is only one moment"


def test_a_moment_knows_what_pretraining_knows_of_the_middle_of_its_window() -> None:
    pose = pose_of(points())
    start = 9
    described = describe(pose, in_picture(points()), np.array([start]), SIZE_PX, None)
    window = targets(pose.window(start - BEFORE))
    assert described["targets"].shape == (1, 2, WIDTH)
    for prior in PRIORS:
        values, known = window[prior.name]
        shown = slice(BEFORE, BEFORE + 2)
        assert np.allclose(described["targets"][0, :, COLUMNS[prior.name]], values[shown], atol=2e-3), prior.name
        assert (described["known"][0, :, COLUMNS[prior.name]] == known[shown]).all()
    assert (described["activity"][0] == window[ACTIVITY][0]).all()
    assert (described["activity_known"][0] == window[ACTIVITY][1]).all()


def test_hands_outside_the_picture_are_nowhere() -> None:
    pixels = in_picture(points())
    squares = hands_in_picture(pixels, 4, SIZE_PX, 2).mean(axis=0)
    seen = describe(pose_of(points()), pixels, np.array([4]), SIZE_PX, None)["hands"][0]
    assert np.allclose(seen, squares)
    beyond = describe(pose_of(points()), pixels + SIZE_PX, np.array([4]), SIZE_PX, None)["hands"][0]
    assert np.isnan(beyond).all()


def test_where_keypoints_are_is_the_mean_of_both_frames() -> None:
    pixels = in_picture(points())
    seen = describe(pose_of(points()), pixels, np.array([NUM_FRAMES - 2]), SIZE_PX, None)["points"][0]
    assert np.allclose(seen[1], pixels[-2:, 19:40].mean(axis=0) / SIZE_PX)
    assert np.allclose(seen[0], pixels[-2:, 40:].mean(axis=0) / SIZE_PX)
    assert len(some_moments(1, count=4)) == 4
