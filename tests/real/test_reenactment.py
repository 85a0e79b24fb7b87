import numpy as np
import pytest

from training.synth.measures.fidelity import measure_reenactment
from training.synth.people.mannequin import mannequin
from training.synth.people.rig import performance_landmarks
from training.synth.reenactment.clip_landmarks import read_clip_landmarks
from training.synth.reenactment.reenact import reenact

pytestmark = pytest.mark.real


def test_real_clips_are_performed_truly_by_another_body(shared):
    files = sorted((shared / "clips" / "poses").glob("asl_*/*.npz"))[::20]
    found = measure_reenactment(files, [mannequin().rig])
    assert found.num_clips == len(files)
    assert found.arm_error[0] < 0.02
    assert found.hand_error[0] < 0.06
    assert found.finger_degrees[0] < 10.0
    assert found.jitter[1] < found.jitter[0]


def test_a_one_handed_clip_moves_one_hand_much_more_than_the_other(shared):
    file = sorted((shared / "clips" / "poses" / "asl_rth").glob("*.npz"))[7]
    rig = mannequin().rig
    points = performance_landmarks(reenact(read_clip_landmarks(file), rig, "CLIP"), rig)
    right, left = (np.ptp(points[:, row], axis=0).max() for row in (2, 5))
    assert right > 3.0 * left
