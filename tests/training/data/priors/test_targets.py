from pathlib import Path

import numpy as np
import pytest

from model.skeleton.kinematics import (
    BONE,
    L_SHOULDER,
    LEFT_HAND,
    R_SHOULDER,
    RIGHT_HAND,
    Angles,
    Proportions,
    inverse,
    standard_proportions,
    standing,
)
from model.skeleton.normalisation import NormalisedPose, normalise, regenerate
from tests.joint_limits import BODY_LIMITS, HAND_LIMITS
from tests.posed import keypoints_of, raised_arm
from training.data.priors.standard_body import read_body, regeneration_error, standard_body, write_body
from training.data.priors.table import ACTIVITY, PRIORS
from training.data.priors.targets import prior_targets
from training.errors import TrainingError


def random_angles(num_frames: int = 16, seed: int = 0) -> Angles:
    """Anything that joints allow, a little inside their limits."""
    rng = np.random.default_rng(seed)

    def draw(limits: np.ndarray) -> np.ndarray:
        return rng.uniform(0.8 * limits[:, 0], 0.8 * limits[:, 1], (num_frames, len(limits)))

    drawn = Angles(draw(BODY_LIMITS), draw(HAND_LIMITS), draw(HAND_LIMITS))
    # Twist and the bends of the palm say the same thing twice; taken off keypoints they are the ones that count.
    return inverse(keypoints_of(drawn))


def bigger(factor: float, arm: float = 1.0) -> Proportions:
    usual = standard_proportions()
    lengths = usual.lengths * factor
    lengths[7:11] *= arm
    return Proportions(lengths, usual.face * factor)


def sure(keypoints: np.ndarray) -> np.ndarray:
    return np.ones(keypoints.shape[:2])


def test_every_prior_has_its_width_and_is_known_for_exact_keypoints() -> None:
    keypoints = keypoints_of(random_angles())
    found = prior_targets(normalise(keypoints, sure(keypoints)))
    assert {name: values.shape for name, (values, _) in found.items()} == {
        **{prior.name: (16, prior.dim) for prior in PRIORS},
        ACTIVITY: (2,),
    }
    for name, (values, known) in found.items():
        assert known.all(), name
        assert known.shape == values.shape
        assert values.dtype == np.float32


def test_angles_to_keypoints_to_angles_is_a_round_trip() -> None:
    angles = random_angles()
    pose = normalise(keypoints_of(angles), np.ones((16, 61)))
    whole = np.concatenate([angles.body, angles.right, angles.left], axis=1)
    assert np.abs(np.angle(np.exp(1j * (pose.angles - whole)))).max() < 1e-4
    again = normalise(regenerate(pose), pose.known.astype(float))
    assert np.abs(np.angle(np.exp(1j * (again.angles - pose.angles)))).max() < 1e-4


def test_angle_targets_are_sines_then_cosines() -> None:
    angles = random_angles()
    keypoints = keypoints_of(angles)
    found = prior_targets(normalise(keypoints, sure(keypoints)))
    for name, values in (("body", angles.body), ("right", angles.right), ("left", angles.left)):
        expected = np.concatenate([np.sin(values), np.cos(values)], axis=1)
        assert np.abs(found[f"full_{name}_angles"][0] - expected).max() < 1e-4


def test_distances_are_signed_vectors_between_the_named_keypoints() -> None:
    keypoints = keypoints_of(random_angles())
    found = prior_targets(normalise(keypoints, sure(keypoints)))
    body = found["body_pose"][0].reshape(16, 61, 3)
    to = [0, 3, 6, 7, 10, 13, 15, 16, 17, 18, 19, 23, 27, 31, 35, 39, 40, 44, 48, 52, 56, 60]
    tips = [23, 27, 31, 35, 39, 44, 48, 52, 56, 60, 40, 19]
    expected = [body[3, b] - body[3, a] for a in tips for b in to]
    assert np.allclose(found["body_dist"][0][3], np.ravel(expected), atol=1e-6)
    left = [body[3, b] - body[3, a] for a in (44, 48, 52, 56, 60) for b in (40, 41, 44, 45, 48, 49, 52, 53, 56, 57, 60)]
    assert np.allclose(found["left_dist"][0][3], np.ravel(left), atol=1e-6)
    right = [
        body[3, b] - body[3, a] for a in (23, 27, 31, 35, 39) for b in (19, 20, 23, 24, 27, 28, 31, 32, 35, 36, 39)
    ]
    assert np.allclose(found["right_dist"][0][3], np.ravel(right), atol=1e-6)


def test_hands_count_from_their_wrist_and_the_body_from_between_the_shoulders() -> None:
    keypoints = keypoints_of(random_angles())
    found = prior_targets(normalise(keypoints, sure(keypoints)))
    body = found["body_pose"][0].reshape(16, 61, 3)
    assert np.allclose(body[:, L_SHOULDER] + body[:, R_SHOULDER], 0.0, atol=1e-6)
    hand = found["right_pose"][0].reshape(16, 21, 3)
    assert np.allclose(hand, body[:, RIGHT_HAND] - body[:, [19]], atol=1e-6)


def test_two_people_of_different_build_have_the_same_targets() -> None:
    angles = raised_arm(16)
    one, other = (
        prior_targets(normalise(keypoints, sure(keypoints)))
        for keypoints in (keypoints_of(angles, bigger(0.8)), keypoints_of(angles, bigger(1.3, arm=1.2)))
    )
    for name, (values, _) in one.items():
        assert np.allclose(values, other[name][0], atol=1e-4), name


def test_a_doubtful_keypoint_masks_what_names_it_and_nothing_else() -> None:
    keypoints = keypoints_of(raised_arm(16))
    confidence = sure(keypoints)
    confidence[2, 27] = 0.49  # the tip of the right index finger
    exact, masked = (
        prior_targets(normalise(keypoints, sure(keypoints))),
        prior_targets(normalise(keypoints, confidence)),
    )
    changed = {name for name, (_, known) in masked.items() if not known.all()}
    assert changed == {"full_right_angles", "body_pose", "right_pose", "body_dist", "right_dist"}
    _, known = masked["body_pose"]
    assert np.flatnonzero(~known[2]).tolist() == [81, 82, 83]
    assert known[[1, 3]].all()
    _, known = masked["full_right_angles"]
    assert np.flatnonzero(~known[2]).tolist() == [14, 15, 55, 56]  # bend and sway of the third index bone
    for name, (values, known) in masked.items():
        assert np.allclose(values[known], exact[name][0][known], atol=1e-6), name
        assert (values[~known] == 0).all()


def test_a_lost_hand_leaves_the_other_and_the_body_known() -> None:
    keypoints = keypoints_of(raised_arm(16))
    keypoints[:, LEFT_HAND][:, 1:] = np.nan
    keypoints[:, 41:] = np.nan
    confidence = np.where(np.isfinite(keypoints[..., 0]), 1.0, 0.0)
    found = prior_targets(normalise(keypoints, confidence))
    assert not found["full_left_angles"][1].any()
    assert not found["left_dist"][1].any()
    assert found["full_right_angles"][1].all()
    assert found["full_body_angles"][1].all()
    assert all(np.isfinite(values).all() for values, _ in found.values())


def test_unseen_hips_mask_themselves_and_still_carry_the_arms() -> None:
    keypoints = keypoints_of(raised_arm(16))
    confidence = sure(keypoints)
    confidence[:, 6:8] = 0.1
    found = prior_targets(normalise(keypoints, confidence))
    assert found["right_pose"][1].all()
    known = found["full_body_angles"][1].reshape(16, 2, 22)[0, 0]
    unknown = {name for name, row in BONE.items() if row < 11 and not known[2 * row]}
    assert unknown == {"pelvis", "spine", "girdle"}


@pytest.mark.parametrize(
    ("bend_deg", "move_deg", "active"), [(120.0, 20.0, 1.0), (120.0, 0.0, 1.0), (5.0, 0.0, 0.0), (25.0, 25.0, 1.0)]
)
def test_a_hand_is_active_when_raised_or_moving(bend_deg: float, move_deg: float, active: float) -> None:
    """Raised and waving, raised and still, hanging and still, hanging and swinging."""
    angles = raised_arm(16, bend_deg=bend_deg, move_deg=move_deg)
    if move_deg == 0:
        angles = Angles(angles.body, angles.left, np.tile(standing().right, (16, 1)))
    keypoints = keypoints_of(angles)
    values, known = prior_targets(normalise(keypoints, sure(keypoints)))[ACTIVITY]
    assert values.tolist() == [0.0, active]
    assert known.all()


def test_activity_follows_the_papers_threshold() -> None:
    """A low hand that swings by a known spread: 21 keypoints times that spread is compared with 0.26 m."""
    points = np.tile(keypoints_of(standing())[None], (16, 1, 1))
    points -= (points[:, [L_SHOULDER]] + points[:, [R_SHOULDER]]) / 2
    from model.skeleton.normalisation import hand_activity

    for spread, active in ((0.0122, 0.0), (0.0126, 1.0)):  # 0.26 / 21 = 0.01238
        moved = points.copy()
        moved[::2, RIGHT_HAND, 0] += 2 * spread
        assert hand_activity(moved, np.ones((16, 61), bool))[0].tolist() == [0.0, active]


def test_a_low_hand_that_is_not_found_rests_and_one_without_a_wrist_is_unknown() -> None:
    keypoints = keypoints_of(standing())[None].repeat(16, axis=0)
    confidence = sure(keypoints)
    keypoints[:, 20:40] = np.nan
    confidence[:, 20:40] = 0.0
    confidence[:, [5, 40]] = 0.2
    values, known = prior_targets(normalise(keypoints, confidence))[ACTIVITY]
    assert values.tolist() == [0.0, 0.0]
    assert known.tolist() == [False, True]


def test_short_clips_repeat_their_last_frame() -> None:
    keypoints = keypoints_of(raised_arm(5))
    window = normalise(keypoints, sure(keypoints)).window(2)
    assert window.angles.shape == (16, 104)
    assert (window.angles[3:] == window.angles[2]).all()
    assert {known.all() for _, known in prior_targets(window).values()} == {True}


def test_the_standard_body_is_the_median_of_a_data_set_and_alike_on_both_sides() -> None:
    clips = [keypoints_of(raised_arm(3), bigger(factor)) for factor in (0.9, 1.0, 1.4)]
    body = standard_body((keypoints, sure(keypoints)) for keypoints in clips)
    assert np.allclose(body.lengths, standard_proportions().lengths, rtol=1e-6)
    assert np.allclose(body.lengths[7:9], body.lengths[9:11])


def test_bones_that_nobody_shows_are_scaled_from_a_middling_adult() -> None:
    keypoints = keypoints_of(raised_arm(3), bigger(1.2))
    confidence = sure(keypoints)
    confidence[:, 19:] = 0.0
    assert np.allclose(standard_body([(keypoints, confidence)]).lengths, bigger(1.2).lengths, rtol=1e-6)


def test_regenerated_keypoints_are_the_observed_ones_on_ones_own_bones() -> None:
    keypoints = keypoints_of(raised_arm(), bigger(1.1, arm=0.9))
    assert np.nanmax(np.abs(regeneration_error(keypoints, sure(keypoints), None))) < 1e-5


def test_a_standard_body_survives_the_disk(tmp_path: Path) -> None:
    write_body(tmp_path / "body.json", bigger(1.1))
    assert np.allclose(read_body(tmp_path / "body.json").lengths, bigger(1.1).lengths, atol=1e-5)
    (tmp_path / "body.json").write_text("{}")
    with pytest.raises(TrainingError, match="is not a standard body"):
        read_body(tmp_path / "body.json")


def test_windows_of_a_pose_are_its_rows() -> None:
    pose = NormalisedPose(np.arange(40 * 104, dtype=np.float32).reshape(40, 104), np.ones((40, 61), bool))
    assert (pose.window(7).angles == pose.angles[7:23]).all()
