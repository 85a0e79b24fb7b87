from dataclasses import replace

import numpy as np
import pytest

from training.data.priors.table import ACTIVITY
from training.data.windows.loading import PairNumbers, Pairs, load_batches, middle_frames
from training.data.windows.samples import SHAPES, Sample, check_sample, collate
from training.data.windows.sources import ArrayClip, ArraySource, MixedSource, generate_clips, shuffled
from training.errors import DataError, SampleError


@pytest.fixture(scope="module")
def clips() -> list[ArrayClip]:
    return generate_clips(4, 32)


@pytest.fixture(scope="module")
def sample(clips: list[ArrayClip]) -> Sample:
    return clips[0].window(3)


class Holed:
    """A source of which some pairs can't be had."""

    def __init__(self, whole: ArraySource, broken: set[int]) -> None:
        self.whole, self.broken = whole, broken

    def pair(self, number: int) -> tuple[Sample, Sample]:
        if number in self.broken:
            raise SampleError(f"clip {number} is cut short")
        return self.whole.pair(number)


def test_a_window_has_the_frames_and_targets_of_its_place(clips: list[ArrayClip]) -> None:
    clip, window = clips[1], clips[1].window(5)
    assert np.array_equal(window.frames, clip.frames[5:21])
    assert np.array_equal(window.targets["body_dist"], clip.targets["body_dist"][5:21])
    assert np.array_equal(window.targets[ACTIVITY], clip.targets[ACTIVITY][5])
    assert {name: values.shape for name, values in check_sample(window).targets.items()} == SHAPES


def test_both_windows_of_a_pair_are_of_one_video(clips: list[ArrayClip]) -> None:
    pairs = [ArraySource(clips).pair(number) for number in range(20)]
    assert all(first.video == second.video for first, second in pairs)
    assert any(not np.array_equal(first.frames, second.frames) for first, second in pairs)


def test_a_number_always_gives_the_same_pair(clips: list[ArrayClip]) -> None:
    asked_late = ArraySource(clips)
    for number in range(9):
        asked_late.pair(number)
    for ours, theirs in zip(asked_late.pair(9), ArraySource(clips).pair(9), strict=True):
        assert np.array_equal(ours.frames, theirs.frames)
        assert ours.video == theirs.video


def test_every_clip_comes_once_a_round_and_rounds_differ() -> None:
    rounds = [[shuffled(7 * r + i, 7, seed=0) for i in range(7)] for r in range(3)]
    assert all(sorted(numbers) == list(range(7)) for numbers in rounds)
    assert rounds[0] != rounds[1] != rounds[2]


def test_sources_are_mixed_by_weight() -> None:
    first, second = (
        ArraySource([replace(clip, video=name)]) for clip, name in zip(generate_clips(2, 32), "ab", strict=True)
    )
    mixed = MixedSource([first, second], [3, 1])
    videos = [mixed.pair(number)[0].video for number in range(2000)]
    assert videos.count("a") / 2000 == pytest.approx(0.75, abs=0.03)


def test_a_source_without_clips_or_with_too_short_ones_is_refused(clips: list[ArrayClip]) -> None:
    with pytest.raises(SampleError, match="no clips"):
        ArraySource([])
    short = replace(clips[0], frames=clips[0].frames[:15])
    with pytest.raises(SampleError, match="generated 0 has 15 frames; a window takes 16"):
        ArraySource([short])


def broken(sample: Sample, **changes: object) -> Sample:
    return replace(sample, **changes)  # type: ignore[arg-type]


def test_samples_that_break_the_contract_are_named(sample: Sample) -> None:
    nan = {**sample.targets, "body_pose": np.full((16, 183), np.nan, np.float32)}
    seen = {**sample.masks, "body_pose": np.ones((16, 183), np.bool_)}
    cases = [
        (broken(sample, frames=sample.frames[:15]), r"frames are uint8 \[15, 32, 32, 3\]"),
        (broken(sample, frames=sample.frames.astype(np.float32)), "frames are float32"),
        (broken(sample, targets={}), "no target for full_body_angles"),
        (broken(sample, masks={**sample.masks, "left_pose": np.ones(3)}), r"mask of left_pose is \[3\], expected"),
        (broken(sample, targets=nan, masks=seen), "body_pose has values that are not numbers"),
    ]
    for bad, message in cases:
        with pytest.raises(SampleError, match=f"generated 0: .*{message}"):
            check_sample(bad)


def test_a_pair_that_can_not_be_had_is_replaced_and_told(clips: list[ArrayClip]) -> None:
    batch = next(load_batches(Holed(ArraySource(clips), {1}), 6))
    assert len(batch.videos) == 6
    assert batch.skipped == ("clip 1 is cut short",)


def test_a_source_that_gives_nothing_ends_the_run(clips: list[ArrayClip]) -> None:
    class Empty:
        def pair(self, number: int) -> tuple[Sample, Sample]:
            raise SampleError(f"shard {number % 2} is empty")

    with pytest.raises(
        DataError, match="20 pairs of windows in a row can't be used, the last because shard 0 is empty"
    ):
        Pairs(Empty())[0]


def test_frames_of_different_size_do_not_make_a_batch(sample: Sample) -> None:
    with pytest.raises(SampleError, match=r"32x32 \(generated 0\), 64x64 \(generated 0\)"):
        collate([sample, generate_clips(1, 64)[0].window(0)])


def test_two_processes_see_together_what_one_with_twice_the_batch_sees() -> None:
    def take(numbers: PairNumbers) -> list[list[int]]:
        return [batch for _, batch in zip(range(3), numbers, strict=False)]

    one = take(PairNumbers(4, first_batch=5, rank=0, num_ranks=1))
    two = [take(PairNumbers(2, first_batch=5, rank=rank, num_ranks=2)) for rank in range(2)]
    assert one == [first + second for first, second in zip(*two, strict=True)]


@pytest.mark.parametrize("workers", [0, 2])
def test_loading_goes_on_from_any_batch(clips: list[ArrayClip], workers: int) -> None:
    source = ArraySource(clips)
    whole = load_batches(source, 4)
    late = load_batches(source, 4, first_batch=2, workers=workers)
    expected = [next(whole) for _ in range(4)][2:]
    for theirs in expected:
        ours = next(late)
        assert ours.frames.equal(theirs.frames)
        assert all(ours.targets[name].equal(theirs.targets[name]) for name in SHAPES)


def test_of_fewer_frames_the_middle_is_shown_and_known(sample: Sample) -> None:
    shown = middle_frames(sample, 2)
    assert np.array_equal(shown.frames, sample.frames[7:9])
    mask = shown.masks["body_pose"]
    assert mask.shape == sample.masks["body_pose"].shape
    assert not mask[:7].any()
    assert not mask[9:].any()
    assert np.array_equal(mask[7:9], sample.masks["body_pose"][7:9])
    assert np.array_equal(shown.masks[ACTIVITY], sample.masks[ACTIVITY])
    assert middle_frames(sample, 16) is sample
