import numpy as np
import pytest

from training.errors import PoseError
from training.synth.clips.lexicon import make_signs
from training.synth.measures.detection import measure_detection
from training.synth.measures.distinctness import measure_distinctness
from training.synth.motion.perform import perform
from training.synth.motion.style import SignerStyle, random_style
from training.synth.people.mannequin import mannequin
from training.synth.people.rig import performance_landmarks


def test_signs_are_told_apart_across_signers_by_their_hands():
    signers = [
        (mannequin().rig, random_style(np.random.default_rng(1))),
        (mannequin(scale=0.93, girth=1.1).rig, random_style(np.random.default_rng(2))),
    ]
    done: list[None] = []
    found = measure_distinctness(signers, num_signs=40, seed=3, advance=lambda: done.append(None))
    assert found.num_signs == 40
    assert found.hands_rank1 >= 0.9
    assert found.hands_and_arms_rank1 >= 0.95
    assert len(found.confused) == round(40 * (1 - found.hands_rank1))
    assert len(done) == 80


def test_a_left_handed_signer_is_found_among_right_handed_ones():
    rig = mannequin().rig
    found = measure_distinctness([(rig, SignerStyle()), (rig, SignerStyle(leading="left"))], num_signs=20, seed=5)
    assert found.hands_rank1 == 1.0


def filmed(points: np.ndarray) -> dict[str, np.ndarray]:
    """Exact keypoints as the render command writes them, for a camera that shows 300 pixels a metre."""
    pixels = np.array([320.0, 480.0]) + np.array([300.0, -300.0]) * points[..., :2]
    return {"world": points, "pixels": pixels, "inside": np.ones(pixels.shape[:2], bool), "size": np.array([640, 480])}


def seen(points: np.ndarray) -> dict[str, np.ndarray]:
    """What a detector without fault says of it."""
    fractions = np.concatenate([filmed(points)["pixels"] / (640, 480), np.zeros((*points.shape[:2], 1))], axis=-1)
    body = np.zeros((len(points), 33, 3))
    body[:, [12, 14, 16, 11, 13, 15, 24, 23]] = fractions[:, :8]
    return {
        "pose": body,
        "world": np.zeros((len(points), 33, 3)),
        "left": fractions[:, 40:61],
        "right": fractions[:, 19:40],
        "fps": np.array(25.0),
        "size": np.array([640, 480]),
    }


def test_a_faultless_detector_has_no_error_and_a_blind_one_is_counted(tmp_path):
    rig = mannequin().rig
    sign = next(sign for sign in make_signs(30, 2) if sign.arrangement == "SYMMETRIC")
    points = performance_landmarks(perform(sign, rig, SignerStyle(), np.random.default_rng(0)), rig)
    np.savez(tmp_path / "truth.npz", **filmed(points))
    np.savez(tmp_path / "found.npz", **seen(points))
    found = measure_detection([tmp_path / "truth.npz"], [tmp_path / "found.npz"])
    assert (found.body_found, found.hands_found) == (1.0, 1.0)
    assert max(found.arm_error.max(), found.hand_error.max(), found.hand_shape_error.max()) < 1e-6
    assert np.isnan(found.jitter[1])
    assert np.isnan(found.real_hands_found)

    half_blind = seen(points)
    half_blind["left"][:] = np.nan
    shoulder_width = np.linalg.norm(rig.landmarks[0] - rig.landmarks[3])
    half_blind["right"][..., 0] += 0.1 * shoulder_width * 300.0 / 640.0
    np.savez(tmp_path / "found.npz", **half_blind)
    found = measure_detection([tmp_path / "truth.npz"], [tmp_path / "found.npz"], [tmp_path / "found.npz"])
    assert 0.4 < found.hands_found < 0.6
    assert 0.09 < found.hand_error[0] < 0.11
    assert found.hand_shape_error.max() < 1e-6
    assert found.jitter[1] > 0.0
    assert found.real_hands_found == pytest.approx(found.hands_found)


def test_clips_without_landmarks_are_refused(tmp_path):
    with pytest.raises(PoseError, match="1 clips with keypoints and 0 with landmarks"):
        measure_detection([tmp_path / "truth.npz"], [])
