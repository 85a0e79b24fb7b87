from pathlib import Path

import numpy as np
import pytest

from model.skeleton.kinematics import mirror_points
from training.errors import PoseError
from training.synth.clips.lexicon import make_signs
from training.synth.measures.fidelity import measure_reenactment
from training.synth.motion.perform import perform
from training.synth.motion.style import SignerStyle
from training.synth.people.mannequin import mannequin
from training.synth.people.rig import performance_landmarks
from training.synth.reenactment.clip_landmarks import read_clip_landmarks
from training.synth.reenactment.reenact import reenact

FPS = 25.0
SIZE = (640, 480)


def detected(points: np.ndarray, *, lost: slice | None = None, swapped: bool = False) -> dict[str, np.ndarray]:
    """A performance's exact keypoints as the detector would have found them, in the fractions and axes it uses.

    Args:
        points: [T, 61, 3] metres.
        lost: frames in which the left hand was not found.
        swapped: whether the detector took each hand for the other.
    """
    body = np.full((len(points), 33, 3), 0.0)
    body[:, :11] = points[:, 8:19]
    body[:, [12, 14, 16, 11, 13, 15, 24, 23]] = points[:, :8]
    world = body - points[:, None, 6:8].mean(axis=2)
    width, height = SIZE
    in_picture = (
        np.array([0.5, 1.3, 0.0]) + np.array([1.0, -1.0, -1.0]) * [300 / width, 300 / height, 300 / width] * body
    )
    hands = [
        np.array([0.5, 1.3, 0.0])
        + np.array([1.0, -1.0, -1.0]) * [300 / width, 300 / height, 300 / width] * points[:, part]
        for part in (slice(40, 61), slice(19, 40))
    ]
    left, right = hands[::-1] if swapped else hands
    if lost:
        left = left.copy()
        left[lost] = np.nan

    def seen(values: np.ndarray) -> np.ndarray:
        return np.concatenate([values, np.ones_like(values[..., :1])], axis=-1)

    return {
        "pose": seen(in_picture),
        "world": seen(world * np.array([1.0, -1.0, -1.0])),
        "left": seen(left),
        "right": seen(right),
        "fps": np.array(FPS),
        "size": np.array(SIZE),
    }


@pytest.fixture(scope="module")
def rig():
    return mannequin().rig


@pytest.fixture(scope="module")
def truth(rig) -> np.ndarray:
    """Keypoints of a two-handed sign."""
    sign = next(sign for sign in make_signs(60, 4) if sign.arrangement == "SYMMETRIC")
    style = SignerStyle(leading="left", jitter=0.3)
    return performance_landmarks(perform(sign, rig, style, np.random.default_rng(0), FPS), rig)


def saved(folder: Path, arrays: dict[str, np.ndarray]) -> Path:
    np.savez(folder / "clip.npz", **arrays)
    return folder / "clip.npz"


def performed(file: Path, rig, smoothing_s: float = 0.0) -> np.ndarray:
    return performance_landmarks(reenact(read_clip_landmarks(file), rig, "CLIP", smoothing_s=smoothing_s), rig)


def from_shoulders(points: np.ndarray) -> np.ndarray:
    """Hands seen from between the shoulders: where the trunk stands does not matter."""
    return points[:, 19:] - points[:, [0, 3]].mean(axis=1)[:, None]


def test_a_performance_is_performed_again_as_it_was(tmp_path, rig, truth):
    again = performed(saved(tmp_path, detected(truth)), rig)
    error = np.linalg.norm(from_shoulders(again) - from_shoulders(truth), axis=-1)
    assert np.median(error) < 0.01
    assert np.percentile(error, 99) < 0.04


def test_each_side_moves_its_own_hand(tmp_path, rig, truth):
    again = performed(saved(tmp_path, detected(mirror_points(truth))), rig)
    error = np.linalg.norm(from_shoulders(again) - from_shoulders(mirror_points(truth)), axis=-1)
    assert np.median(error) < 0.01


def test_a_hand_that_is_lost_for_a_moment_is_bridged(tmp_path, rig, truth):
    whole = performed(saved(tmp_path, detected(truth)), rig)
    gapped = performed(saved(tmp_path, detected(truth, lost=slice(20, 26))), rig)
    assert np.isfinite(gapped).all()
    shape = gapped[:, 40:] - gapped[:, 40:41] - (whole[:, 40:] - whole[:, 40:41])
    assert np.linalg.norm(shape, axis=-1).max() < 0.06
    assert np.abs(np.diff(gapped, axis=0)).max() < 1.2 * np.abs(np.diff(whole, axis=0)).max()


def test_a_hand_that_is_never_found_hangs_at_rest_from_an_arm_that_moves(tmp_path, rig, truth):
    again = performed(saved(tmp_path, detected(truth, lost=slice(0, len(truth)))), rig)
    assert np.isfinite(again).all()
    fingers = again[:, 40:61] - again[:, 40:41]
    lengths = np.linalg.norm(fingers[:, 12], axis=-1)
    assert np.ptp(lengths) < 1e-3
    assert np.linalg.norm(np.diff(again[:, 5], axis=0), axis=-1).sum() > 0.3


def test_hands_taken_for_each_other_go_back_to_their_arms(tmp_path, rig, truth):
    one_hand = detected(truth, lost=slice(0, len(truth)))
    strayed = dict(one_hand, left=one_hand["right"], right=np.full_like(one_hand["right"], np.nan))
    wanted = performed(saved(tmp_path, one_hand), rig)
    again = performed(saved(tmp_path, strayed), rig)
    assert np.abs(again[:, 19:40] - wanted[:, 19:40]).max() < 1e-4


def test_smoothing_does_not_lag(tmp_path, rig, truth):
    sharp, soft = (performed(saved(tmp_path, detected(truth)), rig, seconds)[:, 5, 1] for seconds in (0.0, 0.05))
    shifts = [np.abs(sharp[5:-5] - np.roll(soft, shift)[5:-5]).mean() for shift in (-2, -1, 0, 1, 2)]
    assert int(np.argmin(shifts)) == 2


def test_the_report_says_what_a_body_of_the_same_build_loses(tmp_path, rig, truth):
    found = measure_reenactment([saved(tmp_path, detected(truth))], [rig])
    assert (found.num_clips, found.num_frames) == (1, len(truth))
    assert found.arm_error[0] < 0.02
    assert found.finger_degrees[0] < 8.0


def test_what_is_no_clip_is_refused(tmp_path, truth):
    with pytest.raises(PoseError, match="no landmarks"):
        read_clip_landmarks(tmp_path / "nothing.npz")
    (tmp_path / "empty.npz").write_bytes(b"")
    with pytest.raises(PoseError, match=r"empty\.npz holds no landmarks"):
        read_clip_landmarks(tmp_path / "empty.npz")
    arrays = detected(truth)
    del arrays["world"]
    with pytest.raises(PoseError, match="world"):
        read_clip_landmarks(saved(tmp_path, arrays))
    with pytest.raises(PoseError, match="33 of the body"):
        read_clip_landmarks(saved(tmp_path, detected(truth) | {"left": np.zeros((len(truth), 20, 4))}))
    with pytest.raises(PoseError, match="no body was found"):
        read_clip_landmarks(saved(tmp_path, detected(truth) | {"world": np.full((len(truth), 33, 4), np.nan)}))
    with pytest.raises(PoseError, match="no clips"):
        measure_reenactment([], [mannequin().rig])
