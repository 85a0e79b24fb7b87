from dataclasses import replace

import numpy as np
import pytest

from model.errors import NoSignerError
from model.pooling import pool
from model.skeleton.features import SkeletonSequence, bridge_gaps, sequence_from_landmarks
from model.skeleton.kinematics import Angles, Proportions, mirror_angles, standard_proportions, standing
from model.skeleton.landmarks import Landmarks
from tests.posed import keypoints_of, landmarks_of, raised_arm
from training.evaluate.baselines import FEATURES, PixelEncoder, encode_signing, signing_sequence, warp_costs


@pytest.fixture(scope="module")
def seen() -> Landmarks:
    return landmarks_of(keypoints_of(raised_arm()))


def vector(signing: SkeletonSequence, name: str) -> np.ndarray:
    encoding = encode_signing(signing, FEATURES[name])
    return pool(encoding.embedding, encoding.activity)


@pytest.mark.parametrize("name", FEATURES)
def test_place_and_size_in_the_picture_do_not_matter(name: str, seen: Landmarks) -> None:
    smaller = landmarks_of(keypoints_of(raised_arm()), widths_per_m=0.2)
    shift = np.array([0.1, 0.05, 0.0, 0.0])
    moved = replace(smaller, pose=smaller.pose + shift, left=smaller.left + shift, right=smaller.right + shift)
    assert vector(sequence_from_landmarks(seen), name) @ vector(sequence_from_landmarks(moved), name) == pytest.approx(
        1, abs=1e-4
    )


@pytest.mark.parametrize("name", [name for name in FEATURES if name != "wrists"])
def test_build_hardly_matters(name: str, seen: Landmarks) -> None:
    usual = standard_proportions()
    taller = landmarks_of(keypoints_of(raised_arm(), Proportions(1.2 * usual.lengths, 1.2 * usual.face)))
    assert vector(sequence_from_landmarks(seen), name) @ vector(sequence_from_landmarks(taller), name) > 0.999


@pytest.mark.parametrize("name", FEATURES)
def test_a_left_handed_signer_mirrored_is_a_right_handed_one(name: str, seen: Landmarks) -> None:
    left = landmarks_of(keypoints_of(mirror_angles(raised_arm())))
    assert (
        vector(sequence_from_landmarks(seen), name) @ vector(sequence_from_landmarks(left, mirrored=True), name)
        > 0.9999
    )
    if name not in ("all-angles", "all-keypoints"):  # those see the body, which is alike
        assert vector(sequence_from_landmarks(seen), name) @ vector(sequence_from_landmarks(left), name) < 0.5


def test_a_resting_hand_counts_as_little_as_one_that_is_not_found(seen: Landmarks) -> None:
    lost = replace(seen, left=np.full_like(seen.left, np.nan))
    for name in ("hand-angles", "bone-directions-wrists"):
        assert np.array_equal(vector(sequence_from_landmarks(seen), name), vector(sequence_from_landmarks(lost), name))


def test_short_gaps_are_bridged_and_long_ones_are_not(seen: Landmarks) -> None:
    right = seen.right.copy()
    right[10:20] = np.nan
    whole, gap = sequence_from_landmarks(seen), sequence_from_landmarks(replace(seen, right=right))
    assert gap.hands_found.all()
    assert np.abs(gap.keypoints[10:20] - whole.keypoints[10:20]).max() < 0.2
    right[10:30] = np.nan
    assert (
        sequence_from_landmarks(replace(seen, right=right)).hands_found[:, 1].tolist()
        == [True] * 10 + [False] * 20 + [True] * 10
    )


def test_a_bridge_is_a_straight_line() -> None:
    values = np.array([[0.0], [np.nan], [np.nan], [3.0], [np.nan], [np.nan], [np.nan], [7.0], [np.nan]])
    assert np.array_equal(bridge_gaps(values, 2)[:, 0], [0, 1, 2, 3, np.nan, np.nan, np.nan, 7, np.nan], equal_nan=True)


def test_windows_before_the_sign_begins_do_not_count() -> None:
    rest = standing()
    still = Angles(*(np.tile(part, (40, 1)) for part in (rest.body, rest.left, rest.right)))
    after = raised_arm()
    both = Angles(
        *(
            np.concatenate([a, b])
            for a, b in zip((still.body, still.left, still.right), (after.body, after.left, after.right), strict=True)
        )
    )
    encoding = encode_signing(sequence_from_landmarks(landmarks_of(keypoints_of(both))), FEATURES["hand-angles"])
    assert (encoding.activity[:12] == 0).all()
    assert (encoding.activity[-12:, 1] == 1).all()
    assert (encoding.activity[:, 0] == 0).all()


def test_a_clip_in_which_hands_only_rest_still_has_a_vector() -> None:
    rest = standing()
    still = Angles(*(np.tile(part, (20, 1)) for part in (rest.body, rest.left, rest.right)))
    assert np.linalg.norm(
        vector(sequence_from_landmarks(landmarks_of(keypoints_of(still))), "hand-keypoints")
    ) == pytest.approx(1)


def test_a_clip_without_hands_is_refused(seen: Landmarks) -> None:
    lost = replace(seen, left=np.full_like(seen.left, np.nan), right=np.full_like(seen.right, np.nan))
    with pytest.raises(NoSignerError, match="no hand"):
        encode_signing(sequence_from_landmarks(lost), FEATURES["wrists"])
    with pytest.raises(NoSignerError, match="no hand"):
        signing_sequence(sequence_from_landmarks(lost))


def warp_by_definition(query: np.ndarray, other: np.ndarray) -> float:
    costs = np.full((len(query) + 1, len(other) + 1), np.inf)
    costs[0, 0] = 0.0
    for i, a in enumerate(query):
        for j, b in enumerate(other):
            costs[i + 1, j + 1] = np.linalg.norm(a - b) + min(costs[i, j + 1], costs[i + 1, j], costs[i, j])
    return float(costs[-1, -1]) / (len(query) + len(other))


def test_warping_is_its_definition() -> None:
    rng = np.random.default_rng(0)
    query = rng.standard_normal((9, 5)).astype(np.float32)
    gallery = [rng.standard_normal((length, 5)).astype(np.float32) for length in (4, 12, 1)]
    expected = [warp_by_definition(query, other) for other in gallery]
    assert warp_costs(query, gallery) == pytest.approx(expected, rel=1e-4)


def test_warping_does_not_mind_tempo() -> None:
    slow, fast = (np.sin(np.linspace(0, 6, count))[:, None].astype(np.float32) for count in (60, 25))
    other = np.cos(np.linspace(0, 6, 25))[:, None].astype(np.float32)
    near, far = warp_costs(slow, [fast, other])
    assert near < 0.2 * far


def test_pixels_see_movement_and_not_the_room() -> None:
    rng = np.random.default_rng(0)
    windows = rng.integers(0, 100, (2, 16, 64, 64, 3), np.uint8)
    one, other = PixelEncoder().encode(windows).embedding, PixelEncoder().encode(windows + np.uint8(50)).embedding
    assert one.shape == (2, 4096)
    assert np.allclose(one, other, atol=1e-3)
    still = np.repeat(windows[:, :1], 16, axis=1)
    assert np.abs(PixelEncoder().encode(still).embedding).max() < 1e-3
