import numpy as np
import pytest

from model.skeleton import kinematics as skeleton
from model.skeleton.elbow import MIN_ELBOW, bend_arm
from model.skeleton.kinematics import Angles, forward, inverse, measure, mirror_angles, mirror_points
from tests.joint_limits import BODY_LIMITS, HAND_LIMITS, limit_excess


def random_angles(rng: np.random.Generator, people: skeleton.Proportions) -> Angles:
    """Angles all over the joints' limits, the twist of the wrist where the knuckles have it."""

    def some(limits: np.ndarray) -> np.ndarray:
        return rng.uniform(limits[:, 0], limits[:, 1], (len(people.lengths), len(limits)))

    drawn = Angles(some(BODY_LIMITS), some(HAND_LIMITS), some(HAND_LIMITS))
    return inverse(forward(drawn, people))


@pytest.fixture
def people() -> skeleton.Proportions:
    rng = np.random.default_rng(4)
    adult = skeleton.standard_proportions()
    return skeleton.Proportions(adult.lengths * rng.uniform(0.8, 1.2, (300, 51)), adult.face * rng.uniform(0.9, 1.1))


def apart(a: np.ndarray, b: np.ndarray) -> float:
    """Greatest difference of two sets of angles, whole turns aside."""
    return float(np.abs(np.angle(np.exp(1j * (a - b)))).max())


def test_there_are_the_papers_61_keypoints_and_22_and_41_angles():
    stance = skeleton.standing()
    assert (stance.body.shape, stance.left.shape, stance.right.shape) == ((22,), (41,), (41,))
    assert forward(stance, skeleton.standard_proportions()).shape == (61, 3)


def test_angles_to_keypoints_and_back_are_the_same_angles(people):
    angles = random_angles(np.random.default_rng(1), people)
    found = inverse(forward(angles, people))
    assert apart(found.body, angles.body) < 1e-6
    assert apart(found.left, angles.left) < 1e-4
    assert apart(found.right, angles.right) < 1e-4


def test_keypoints_to_angles_and_lengths_and_back_are_the_same_keypoints(people):
    keypoints = forward(random_angles(np.random.default_rng(2), people), people)
    again = forward(inverse(keypoints), measure(keypoints))
    assert np.abs(again - keypoints).max() < 1e-4


def test_every_bone_keeps_its_length_in_every_pose(people):
    keypoints = forward(random_angles(np.random.default_rng(3), people), people)
    left_thumb = np.linalg.norm(np.diff(keypoints[:, 41:45], axis=1), axis=-1)
    row = skeleton.BONE["left thumb first"]
    assert left_thumb == pytest.approx(people.lengths[:, row : row + 3], abs=1e-9)


def test_a_mirrored_pose_has_left_and_right_angles_exchanged(people):
    angles = random_angles(np.random.default_rng(5), people)
    found = inverse(mirror_points(forward(angles, people)))
    wanted = mirror_angles(angles)
    assert apart(found.left, angles.right) < 1e-4
    assert apart(found.body, wanted.body) < 1e-6


def test_a_bent_index_finger_changes_its_own_angle_alone():
    stance, adult = skeleton.standing(), skeleton.standard_proportions()
    keypoints = forward(stance, adult)
    tip, knuckle, middle = keypoints[40 + 8], keypoints[40 + 5], keypoints[40 + 6]
    # Turned by hand, about the axis from the index knuckle to the little finger's, towards the palm (the thigh, -x).
    turned = middle + np.linalg.norm(tip - middle) * np.array([-1.0, 0.0, 0.0])
    bent = keypoints.copy()
    bent[40 + 7] = middle + (turned - middle) * np.linalg.norm(keypoints[47] - middle) / np.linalg.norm(turned - middle)
    bent[40 + 8] = turned
    change = inverse(bent).left - stance.left
    row = 2 * (skeleton.BONE["left index second"] - skeleton.BONE["left thumb palm"])
    assert np.rad2deg(change[row]) == pytest.approx(90.0, abs=1.0)
    others = np.delete(np.abs(change), [row, row + 1, row + 2, row + 3])
    assert others.max() < 1e-6
    assert knuckle == pytest.approx(forward(stance, adult)[45])


def test_an_unknown_hand_leaves_the_other_angles_known():
    keypoints = forward(skeleton.standing(), skeleton.standard_proportions())
    keypoints[skeleton.LEFT_HAND] = np.nan
    angles = inverse(keypoints)
    assert np.isnan(angles.left).all()
    assert not np.isnan(angles.right).any()
    assert not np.isnan(angles.body).any()


def test_standing_is_within_the_limits_and_an_elbow_bent_backwards_is_not():
    stance = skeleton.standing()
    assert not np.any(limit_excess(stance).body)
    assert not np.any(limit_excess(stance).left)
    backwards = stance.body.copy()
    backwards[2 * skeleton.BONE["left forearm"]] = np.deg2rad(-60.0)
    excess = limit_excess(Angles(backwards, stance.left, stance.right)).body
    assert np.rad2deg(excess[2 * skeleton.BONE["left forearm"]]) == pytest.approx(-35.0)


def test_an_arm_reaches_every_point_within_reach_with_bones_of_fixed_length():
    rng = np.random.default_rng(6)
    shoulder = np.array([0.17, 1.4, 0.0])
    directions = rng.normal(size=(500, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    target = shoulder + directions * rng.uniform(0.16, 0.53, (500, 1))
    elbow, wrist = bend_arm(shoulder, target, 0.29, 0.25, rng.uniform(-1, 2, 500))
    assert np.linalg.norm(wrist - target, axis=1).max() < 1e-9
    assert np.linalg.norm(elbow - shoulder, axis=1) == pytest.approx(np.full(500, 0.29))
    assert np.linalg.norm(wrist - elbow, axis=1) == pytest.approx(np.full(500, 0.25))


def test_an_arm_that_can_not_reach_stretches_towards_the_point_and_stays_a_little_bent():
    shoulder, target = np.zeros((1, 3)), np.array([[0.0, 0.0, 2.0]])
    elbow, wrist = bend_arm(shoulder, target, 0.3, 0.25, np.zeros(1))
    bend = np.arccos(np.clip(elbow[0] @ (wrist[0] - elbow[0]) / (0.3 * 0.25), -1, 1))
    assert np.rad2deg(bend) == pytest.approx(MIN_ELBOW, abs=1e-6)
    assert wrist[0, :2] == pytest.approx([0.0, 0.0], abs=1e-12)


def test_an_elbow_hangs_below_the_line_from_shoulder_to_wrist():
    shoulder, target = np.zeros((1, 3)), np.array([[0.0, 0.1, 0.4]])
    elbow, _ = bend_arm(shoulder, target, 0.29, 0.25, np.zeros(1))
    outward, _ = bend_arm(shoulder, target, 0.29, 0.25, np.full(1, np.pi / 2))
    assert elbow[0, 1] < -0.1
    assert outward[0, 0] > 0.1
