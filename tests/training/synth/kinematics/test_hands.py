import numpy as np
import pytest

from model.skeleton.kinematics import LEFT_HAND
from training.synth.kinematics.hands import (
    LIMITS,
    PAD_M,
    finger_frames,
    hand_points,
    measure_hand,
    named_angles,
    palm_frame,
)
from training.synth.language.handshapes import FINGER_ROWS, HANDSHAPES
from training.synth.people.mannequin_rig import mannequin_rig

HAND = measure_hand(mannequin_rig().landmarks[LEFT_HAND].astype(float))
POSED = {name: hand_points(HAND, named_angles(HAND, name)) for name in HANDSHAPES}


def test_all_angles_of_all_handshapes_are_within_the_limits():
    angles = np.array([named_angles(HAND, name) for name in HANDSHAPES])
    assert np.all(angles >= LIMITS[:, 0])
    assert np.all(angles <= LIMITS[:, 1])


def test_no_two_handshapes_look_the_same():
    shapes = np.array(list(POSED.values()))
    apart = np.linalg.norm(shapes[:, None] - shapes[None], axis=-1).max(axis=-1) + np.eye(len(shapes))
    first, second = np.unravel_index(apart.argmin(), apart.shape)
    names = list(POSED)
    assert apart.min() > 0.008, f"{names[first]} and {names[second]} differ by {apart.min():.4f} m at most"


def test_fingers_bend_towards_the_palm_and_keep_their_lengths():
    for points in (POSED["FIST"], POSED["CLAW-HAND"], POSED["C-HAND"]):
        assert points[[8, 12, 16, 20], 2].min() > 0.0
    for points in POSED.values():
        lengths = np.linalg.norm(np.diff(points[1:].reshape(5, 4, 3), axis=1), axis=-1)
        assert lengths == pytest.approx(HAND.lengths)


def test_extended_fingers_are_straight_and_closed_ones_lie_in_the_palm():
    points = POSED["INDEX"]
    assert np.linalg.norm(points[8] - points[5]) > 0.99 * HAND.lengths[1].sum()
    for tip, knuckle in ((12, 9), (16, 13), (20, 17)):
        assert np.linalg.norm(points[tip] - points[knuckle]) < 0.6 * HAND.lengths[1].sum()
        assert points[tip, 1] < points[knuckle, 1]


def test_spread_fingers_fan_out_and_joined_ones_lie_side_by_side():
    def gaps(name):
        return np.linalg.norm(np.diff(POSED[name][[8, 12, 16, 20]], axis=0), axis=-1)

    assert np.all(gaps("SPREAD-HAND") > gaps("FLAT-HAND") + 0.008)


@pytest.mark.parametrize("name", [name for name, shape in HANDSHAPES.items() if shape.touches])
def test_a_thumb_meets_the_fingertip_it_is_to_touch_on_hands_of_any_build(name):
    row = FINGER_ROWS[HANDSHAPES[name].touches]
    for stretch in (0.85, 1.0, 1.2):
        rig = mannequin_rig(stretch)
        points = rig.landmarks[LEFT_HAND].astype(float)
        points[5:] += (points[5:] - points[0]) * 0.08 * (stretch - 1.0)
        hand = measure_hand(points)
        angles = named_angles(hand, name)
        frames, posed = finger_frames(hand, angles), hand_points(hand, angles)
        pads = posed[[4, 8 + 4 * row]] + PAD_M * np.stack([frames[0, 2, :, 2], frames[1 + row, 2, :, 2]])
        assert np.linalg.norm(pads[0] - pads[1]) < 0.003


def test_the_palm_of_a_hanging_left_hand_faces_the_thigh():
    points = np.zeros((21, 3))
    points[[5, 9, 13, 17]] = [[0, -9, 2.5], [0, -9, 0.5], [0, -8.5, -1.5], [0, -8, -3]]  # the index finger in front
    assert palm_frame(points)[:, 2] == pytest.approx([-1.0, 0.0, 0.0], abs=1e-9)
