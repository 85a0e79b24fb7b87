import numpy as np
import pytest

from training.data.priors.table import ACTIVITY, NUM_FRAMES
from training.data.windows.samples import check_sample
from training.synth.clips.signers import Mannequins
from training.synth.clips.synthetic_source import SyntheticSource

pytestmark = pytest.mark.gl


def source() -> SyntheticSource:
    return SyntheticSource(Mannequins(), size_px=64, num_signs=5)


@pytest.fixture(scope="module")
def used() -> SyntheticSource:
    """A source that has already drawn another clip of the same signer, and one of another signer."""
    drawn = source()
    drawn.pair(9)
    drawn.pair(3)
    return drawn


def test_a_pair_is_two_windows_of_one_clip_with_everything_the_contract_asks_for(used: SyntheticSource) -> None:
    first, second = (check_sample(sample) for sample in used.pair(0))
    assert first.video == second.video
    assert first.frames.shape == (NUM_FRAMES, 64, 64, 3)
    assert first.masks["full_right_angles"].mean() > 0.5


def test_a_number_gives_the_same_pair_whatever_was_drawn_before(used: SyntheticSource) -> None:
    for ours, theirs in zip(used.pair(1), source().pair(1), strict=True):
        assert np.array_equal(ours.frames, theirs.frames)
        assert all(np.array_equal(ours.targets[name], theirs.targets[name]) for name in ours.targets)


def test_a_whole_clip_holds_the_same_targets_as_its_windows(used: SyntheticSource) -> None:
    clip = used.clip(2)
    starts = range(len(clip.frames) - NUM_FRAMES + 1)
    assert len(clip.targets[ACTIVITY]) == len(starts)
    for sample in used.pair(2):
        found = [
            start
            for start in starts
            if all(np.array_equal(clip.window(start).targets[name], sample.targets[name]) for name in sample.targets)
        ]
        assert found
        assert all(np.array_equal(clip.window(found[0]).masks[name], sample.masks[name]) for name in sample.masks)
