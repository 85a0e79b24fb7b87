from dataclasses import replace

import numpy as np
import pytest

from model.skeleton.kinematics import L_ELBOW, LEFT_HAND, RIGHT_HAND, inverse, mirror_points
from tests.joint_limits import elbow_angle, limit_excess
from training.errors import SignError
from training.synth.clips.lexicon import Movement, Orientation, Sign, make_signs
from training.synth.kinematics.body_locations import find_location
from training.synth.kinematics.collisions import push_out
from training.synth.kinematics.hands import palm_frame
from training.synth.kinematics.posed_body import PosedBody
from training.synth.kinematics.retarget import girth_of, mirror_rig
from training.synth.language.phonology import LOCATIONS
from training.synth.motion.hand_placement import intended_palm
from training.synth.motion.perform import perform, random_style
from training.synth.motion.style import SignerStyle
from training.synth.people.mannequin import mannequin
from training.synth.people.mannequin_rig import mannequin_rig
from training.synth.people.rig import Rig, performance_landmarks, pose_bones

FPS = 25.0


def stretched(rig: Rig, arms: float) -> Rig:
    """The same person with longer or shorter arms and hands."""
    heads, tails, landmarks = rig.heads.copy(), rig.tails.copy(), rig.landmarks.copy()
    for side, points in (("L", slice(40, 61)), ("R", slice(19, 40))):
        shoulder = rig.heads[rig.bone(f"upperarm01.{side}")]
        rows = [
            row
            for row, name in enumerate(rig.names)
            if name.endswith(f".{side}") and name.startswith(("upperarm", "lowerarm", "wrist", "metacarpal", "finger"))
        ]
        for joints, which in ((heads, rows), (tails, rows), (landmarks, [*range(points.start, points.stop)])):
            joints[which] = shoulder + arms * (joints[which] - shoulder)
        body = [3, 4, 5] if side == "L" else [0, 1, 2]
        landmarks[body] = shoulder + arms * (landmarks[body] - shoulder)
    return replace(rig, heads=heads, tails=tails, landmarks=landmarks)


RIGS = [
    mannequin().rig,
    mannequin(scale=0.9, girth=1.15).rig,
    stretched(mannequin(girth=0.9).rig, 1.1),
    stretched(mannequin(scale=1.06).rig, 0.92),
]


def seconds(velocity: np.ndarray) -> np.ndarray:
    return np.linalg.norm(np.diff(velocity, axis=0), axis=-1) * FPS


@pytest.fixture(scope="module")
def performed() -> list[tuple[Sign, Rig, SignerStyle, np.ndarray]]:
    """Keypoints of 160 signs by signers of several builds and manners."""
    result = []
    for number, sign in enumerate(make_signs(160, 11)):
        rig, style = RIGS[number % 4], random_style(np.random.default_rng(number))
        performance = perform(sign, rig, style, np.random.default_rng(number), FPS)
        result.append((sign, rig, style, performance_landmarks(performance, rig)))
    return result


def test_performances_last_between_one_and_three_seconds(performed):
    durations = np.array([len(points) / FPS for *_, points in performed])
    assert durations.min() >= 1.2
    assert durations.max() <= 3.0
    assert np.isfinite(np.concatenate([points.ravel() for *_, points in performed])).all()


def test_bones_keep_their_lengths(performed):
    for _, rig, _, points in performed[::12]:
        for hand in (LEFT_HAND, RIGHT_HAND):
            rest = np.linalg.norm(np.diff(rig.landmarks[hand][1:].reshape(5, 4, 3), axis=1), axis=-1)
            moved = np.linalg.norm(np.diff(points[:, hand][:, 1:].reshape(-1, 5, 4, 3), axis=2), axis=-1)
            assert np.abs(moved - rest).max() < 1e-4


def test_every_joint_stays_within_its_limits(performed):
    for sign, _, _, points in performed:
        excess = limit_excess(inverse(points))
        for name in ("left", "right"):
            hand = np.rad2deg(np.abs(getattr(excess, name)[:, :40]))
            assert hand.max() < 1.0, (sign.gloss, name, int(hand.max(axis=0).argmax()))
        elbows = np.rad2deg([elbow_angle(points, side) for side in ("left", "right")])
        assert elbows.min() > 3.0, sign.gloss
        assert elbows.max() < 152.0, sign.gloss


def test_hands_move_as_fast_as_hands_move_and_hardly_ever_jerk(performed):
    peaks = np.array([seconds(points[:, [2, 5]]).max() for *_, points in performed])
    assert 0.8 < np.median(peaks) < 4.0
    assert peaks.max() < 9.0
    # From one frame to the next a wrist changes its step by less than a hand thrown at full speed does.
    jerks = np.array([np.abs(np.diff(points[:, [2, 5]], 2, axis=0)).max() for *_, points in performed])
    assert np.mean(jerks > 0.12) < 0.03
    assert jerks.max() < 0.3


def test_a_hand_starts_and_ends_where_hands_rest(performed):
    for _, _, _, points in performed:
        shoulders, hips = points[:, [0, 3], 1].mean(axis=1), points[:, [6, 7], 1].mean(axis=1)
        middle = 0.5 * (shoulders + hips)
        for end in (0, -1):
            assert np.all(points[end, [2, 5], 1] < middle[end])


def active_point(points: np.ndarray, style: SignerStyle) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints of the leading hand, and of a body that leads with the left."""
    seen = points if style.leading == "left" else mirror_points(points)
    return seen[:, LEFT_HAND], seen


def test_a_hand_that_is_to_touch_a_place_comes_to_it():
    style = SignerStyle(leading="left", jitter=0.0)
    for rig in RIGS:
        for name, place in LOCATIONS.items():
            if place.region not in ("head", "trunk"):
                continue
            if name == "EAR" and rig is RIGS[2]:
                continue  # arms a tenth longer can't be folded as near to their own shoulder as this low ear is
            sign = Sign("INDEX", place.natural, name, Movement("CONTACT"))
            hand, body = active_point(
                performance_landmarks(perform(sign, rig, style, np.random.default_rng(0)), rig), style
            )
            spot = find_location(name, PosedBody(body, girth_of(rig))).point
            nearest = np.linalg.norm(hand - spot[:, None], axis=-1).min()
            assert nearest < 0.045, (name, nearest)  # keypoints lie within the hand, and a palm is broad


def test_palms_face_where_they_are_meant_to_for_people_of_all_builds(performed):
    missed = []
    for sign, _, style, points in performed:
        if sign.movement.kind in ("TWIST", "NOD", "SWAY"):
            continue
        hand, body = active_point(points, style)
        meant = intended_palm(style, PosedBody(body, np.zeros((8, 3))).trunk, sign.orientation)
        cosine = 0.5 * (np.einsum("tab,tab->t", palm_frame(hand), meant) - 1.0)
        missed.append(np.rad2deg(np.arccos(np.clip(cosine, -1.0, 1.0)).min()))
    missed = np.array(missed)
    assert np.mean(missed > 20.0) < 0.06
    assert np.median(missed) < 8.0


def test_hands_do_not_sink_into_head_or_trunk(performed):
    deepest = []
    for _, rig, style, points in performed:
        hand, body = active_point(points, style)
        push = push_out(PosedBody(body, girth_of(rig)), hand, 0.0)
        deepest.append(np.linalg.norm(push, axis=-1).max())
    assert np.max(deepest) < 0.08  # a wrist too near its own shoulder to move farther out
    assert np.mean(np.array(deepest) > 0.006) < 0.03


def test_forearms_hardly_ever_pass_through_the_trunk(performed):
    deepest = []
    for _, rig, style, points in performed:
        _, body = active_point(points, style)
        elbow, wrist = body[:, [L_ELBOW]], body[:, [L_ELBOW + 1]]
        line = elbow + np.linspace(0.2, 1.0, 5)[:, None] * (wrist - elbow)
        deepest.append(np.linalg.norm(push_out(PosedBody(body, girth_of(rig)), line, 0.0), axis=-1).max())
    assert np.mean(np.array(deepest) > 0.01) < 0.06
    assert np.mean(np.array(deepest) > 0.03) < 0.03


def test_two_moving_hands_stay_on_their_own_sides(performed):
    pairs = [(sign, points) for sign, *_, points in performed if sign.arrangement in ("SYMMETRIC", "ALTERNATING")]
    assert len(pairs) > 40
    for sign, points in pairs:
        apart = np.linalg.norm(points[:, LEFT_HAND][:, :, None] - points[:, RIGHT_HAND][:, None], axis=-1)
        assert apart.min() > 0.005, sign.gloss


def test_a_left_handed_signer_is_the_mirror_image_of_a_right_handed_one():
    rig = mannequin().rig
    right = random_style(np.random.default_rng(3))
    for number, sign in enumerate(make_signs(12, 2)):
        ours = performance_landmarks(
            perform(sign, rig, replace(right, leading="right"), np.random.default_rng(number)), rig
        )
        twin = mirror_rig(rig)
        theirs = performance_landmarks(
            perform(sign, twin, replace(right, leading="left"), np.random.default_rng(number)), twin
        )
        assert np.abs(mirror_points(ours) - theirs).max() < 1e-4


def test_the_same_generator_gives_the_same_performance_and_another_one_another():
    rig, style = mannequin_rig(), random_style(np.random.default_rng(1))
    sign = make_signs(1, 5)[0]
    once, again, other = (perform(sign, rig, style, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(once.rotations, again.rotations)
    assert other.rotations.shape != once.rotations.shape or not np.array_equal(other.rotations, once.rotations)


def test_rotations_are_rotations_and_idle_bones_are_at_rest():
    rig = mannequin_rig()
    performance = perform(make_signs(3, 5)[2], rig, SignerStyle(), np.random.default_rng(0))
    products = performance.rotations @ performance.rotations.swapaxes(-1, -2)
    assert np.abs(products - np.eye(3)).max() < 1e-5
    assert np.linalg.det(performance.rotations) == pytest.approx(np.ones(performance.rotations.shape[:2]), abs=1e-5)
    assert np.array_equal(
        performance.rotations[:, rig.bone("foot.L")],
        np.tile(np.eye(3, dtype=np.float32), (performance.num_frames, 1, 1)),
    )


def test_the_forearm_twists_along_its_length():
    rig = mannequin_rig()
    style = SignerStyle(leading="left", jitter=0.0)
    sign = Sign("FLAT-HAND", Orientation("OUT", "DOWN"), "SPACE-LOW", Movement("HELD"))
    performance = perform(sign, rig, style, np.random.default_rng(0))
    turned = pose_bones(rig, performance.rotations)[performance.num_frames // 2, :, :, :3]

    def twist(first: str, second: str) -> float:
        between = turned[rig.bone(first)].T @ turned[rig.bone(second)]
        return float(np.rad2deg(np.arccos(np.clip((np.trace(between) - 1) / 2, -1, 1))))

    parts = [twist("upperarm02.L", "lowerarm01.L"), twist("lowerarm01.L", "lowerarm02.L")]
    assert 5.0 < parts[1] < 60.0


def test_a_larger_manner_makes_larger_movements():
    rig = mannequin_rig()
    sign = Sign("INDEX", LOCATIONS["SPACE"].natural, "SPACE", Movement("STRAIGHT", "ASIDE"))

    def travel(amplitude: float) -> float:
        style = SignerStyle(leading="left", jitter=0.0, amplitude=amplitude)
        points = performance_landmarks(perform(sign, rig, style, np.random.default_rng(0)), rig)
        return float(np.ptp(points[18:32, 5, 0]))

    assert travel(1.25) > travel(0.8) + 0.02


def test_an_impossible_sign_is_not_performed():
    sign = Sign("INDEX", Orientation("UP", "DOWN"), "SPACE", Movement("HELD"))
    with pytest.raises(SignError, match="orientation"):
        perform(sign, mannequin_rig(), SignerStyle(), np.random.default_rng(0))
