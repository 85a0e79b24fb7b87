import numpy as np
import pytest

from model.skeleton.kinematics import Angles, forward, standard_proportions, standing
from training.synth.kinematics.hands import palm_frame
from training.synth.reenactment.clip_landmarks import ClipLandmarks
from training.synth.reenactment.variation import MotionVariation, vary_motion

STILL = MotionVariation(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
ARMS = ((11, 13, 15), (12, 14, 16))


@pytest.fixture
def clip() -> ClipLandmarks:
    """Forty frames of arms that swing and a left hand that is there but for five frames; no right one."""
    rng = np.random.default_rng(0)
    body = np.repeat(rng.normal(size=(1, 33, 3)), 40, axis=0)
    swing = np.linspace(-0.5, 0.5, 40)[:, None]
    body[:, [15, 16]] += swing[..., None] * np.array([0.0, 1.0, 0.3])
    hand = forward(Angles(*standing_hands()), standard_proportions())[-42:-21]
    left = np.repeat(100.0 * hand[None], 40, axis=0)
    left[10:15] = np.nan
    return ClipLandmarks(body, body[..., :2], left, np.full((40, 21, 3), np.nan), 25.0)


def standing_hands() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    stance = standing()
    return stance.body, stance.left, stance.right


def bones(points: np.ndarray) -> np.ndarray:
    return np.linalg.norm(np.diff(points[..., 1:, :].reshape(*points.shape[:-2], 5, 4, 3), axis=-2), axis=-1)


def test_people_who_do_not_differ_do_the_same(clip: ClipLandmarks) -> None:
    same = vary_motion(clip, np.random.default_rng(1), STILL)
    for name in ("body", "image", "left", "right"):
        assert np.allclose(getattr(same, name), getattr(clip, name), equal_nan=True), name


def test_lengths_stay_and_directions_change_by_some_degrees(clip: ClipLandmarks) -> None:
    manners = MotionVariation(log_speed=0.0, log_pace=0.0)
    other = vary_motion(clip, np.random.default_rng(1), manners)
    for start, middle, end in ARMS:
        for one, two in ((start, middle), (middle, end)):
            before, after = (some.body[:, two] - some.body[:, one] for some in (clip, other))
            lengths = [np.linalg.norm(some, axis=-1) for some in (before, after)]
            assert np.allclose(*lengths)
            angle = np.rad2deg(np.arccos((before * after).sum(-1) / np.prod(lengths, axis=0)))
            assert 0.5 < angle.mean() < 25.0
    known = ~np.isnan(clip.left[:, 0, 0])
    assert np.allclose(bones(other.left[known]), bones(clip.left[known]))
    assert np.isnan(other.left[~known]).all()
    assert np.isnan(other.right).all()


def test_fingers_are_held_the_same_way_all_along(clip: ClipLandmarks) -> None:
    manners = MotionVariation(log_speed=0.0, log_pace=0.0)
    other = vary_motion(clip, np.random.default_rng(2), manners)
    known = ~np.isnan(other.left[:, 0, 0])
    held = np.einsum("tba,tkb->tka", palm_frame(other.left[known]), other.left[known] - other.left[known][:, :1])
    assert np.allclose(held, held[:1])
    assert not np.allclose(other.left[0], clip.left[0], atol=0.5)


def test_others_take_their_time_at_other_moments(clip: ClipLandmarks) -> None:
    manners = MotionVariation(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, log_speed=0.3, log_pace=0.5)
    lengths = set()
    for seed in range(6):
        other = vary_motion(clip, np.random.default_rng(seed), manners)
        lengths.add(other.num_frames)
        height = other.body[:, 15, 1]
        assert (np.diff(height) >= -1e-9).all(), "in the same order"
        assert np.isclose(height[0], clip.body[0, 15, 1])
        assert np.isclose(height[-1], clip.body[-1, 15, 1])
        assert other.fps == 25.0
    assert len(lengths) > 3


def test_other_people_every_time_but_the_same_for_a_seed(clip: ClipLandmarks) -> None:
    one, again, other = (vary_motion(clip, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(one.body, again.body)
    assert one.body.shape != other.body.shape or not np.allclose(one.body, other.body)
