import numpy as np

from model.skeleton.kinematics import R_WRIST, RIGHT_HAND
from model.skeleton.normalisation import normalise
from tests.training.contrastive.made_up import NUM_FRAMES, SIZE_PX, in_picture, points, pose_of, some_windows
from training.contrastive.clips.windows import BEFORE, COLUMNS, WIDTH, describe, random_starts
from training.data.priors.table import ACTIVITY, PRIORS
from training.data.priors.targets import prior_targets
from training.data.shards.source import hands_in_picture


def test_windows_come_one_from_each_part_of_a_clip() -> None:
    edges = np.linspace(0, 39, 5)
    for seed in range(20):
        starts = random_starts(41, 4, np.random.default_rng(seed))
        assert (starts >= edges[:-1] - 0.5).all()
        assert (starts <= edges[1:] + 0.5).all()
    assert random_starts(1, 3, np.random.default_rng(0)).tolist() == [0, 0, 0], "of a picture there is only one window"


def test_a_window_knows_what_pretraining_knows_of_the_middle_of_its_window() -> None:
    pose = pose_of(points())
    start = 9
    described = describe(pose, in_picture(points()), np.array([start]), SIZE_PX, None)
    window = prior_targets(pose.window(start - BEFORE))
    assert described["targets"].shape == (1, 2, WIDTH)
    for prior in PRIORS:
        values, known = window[prior.name]
        shown = slice(BEFORE, BEFORE + 2)
        assert np.allclose(described["targets"][0, :, COLUMNS[prior.name]], values[shown], atol=2e-3), prior.name
        assert (described["known"][0, :, COLUMNS[prior.name]] == known[shown]).all()
    assert (described["activity"][0] == window[ACTIVITY][0]).all()
    assert (described["activity_known"][0] == window[ACTIVITY][1]).all()


def moved(by: np.ndarray) -> np.ndarray:
    """[T, 3] metres to [T, 61, 3]: somebody whose right arm from the elbow on goes so far."""
    whole = points()
    whole[:, RIGHT_HAND, 1] -= np.linspace(0.0, 0.2, NUM_FRAMES)[:, None]
    for part in ([R_WRIST], RIGHT_HAND):
        whole[:, part] += by[:, None]
    return whole


def test_a_low_hand_rests_as_soon_as_it_is_still() -> None:
    way = np.zeros((NUM_FRAMES, 3))
    way[:, 0] = -0.03 * np.minimum(np.arange(NUM_FRAMES), 8)  # moves, then stays where it is
    whole, starts = moved(way), np.array([3, 12])
    described = describe(pose_of(whole), in_picture(whole), starts, SIZE_PX, None)
    assert described["activity_known"].all()
    assert described["activity"].tolist() == [[0.0, 1.0], [0.0, 0.0]]
    assert prior_targets(pose_of(whole).window(4))[ACTIVITY][0].tolist() == [0.0, 1.0]


def test_a_hand_below_the_picture_rests() -> None:
    whole = moved(np.tile([0.0, 0.5, 0.2], (NUM_FRAMES, 1)))
    pixels, start = in_picture(whole), np.array([4])
    assert describe(pose_of(whole), pixels, start, SIZE_PX, None)["activity"].tolist() == [[0.0, 1.0]]
    pixels[3:7, R_WRIST, 1] = SIZE_PX + 1
    assert describe(pose_of(whole), pixels, start, SIZE_PX, None)["activity"].tolist() == [[0.0, 0.0]]
    unseen = normalise(whole, np.zeros(whole.shape[:2]))
    known = describe(unseen, pixels, np.array([4, 12]), SIZE_PX, None)["activity_known"]
    assert known.tolist() == [[False, True], [False, False]]


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
    assert len(some_windows(1, count=4)) == 4
