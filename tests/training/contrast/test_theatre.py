from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from tests.training.synth.conftest import gl  # noqa: F401
from tests.training.synth.test_reenact import FPS, detected, saved
from training.contrast.moments import arrays
from training.contrast.theatre import PAIRS_PER_CAST, Programme, Theatre, movement_of
from training.contrast.troupe import Troupe, following
from training.errors import DataError, SampleError
from training.synth.lexicon import make_signs
from training.synth.mannequin import mannequin
from training.synth.manner import Manners
from training.synth.measure import landmarks_of
from training.synth.motion import perform
from training.synth.style import SignerStyle

PROGRAMME = Programme(seed=2, size_px=64, num_moments=3)


@pytest.fixture(scope="module")
def theatre(gl):  # noqa: F811
    stage = Theatre(PROGRAMME)
    yield stage
    stage.close()


def first_duet(stage, start=0):
    for number in range(start, start + 8):
        try:
            return stage.duet(number)
        except SampleError:
            continue
    raise AssertionError("none of eight pairs can be drawn")


def _performances(stage, number):
    try:
        return stage.duet(number).performances
    except SampleError:
        return ()


@pytest.mark.gl
def test_two_people_do_the_same(theatre) -> None:
    duet = first_duet(theatre)
    one, other = duet.performances
    assert one.frames.shape == (3, 2, 64, 64, 3)
    assert one.frames.std() > 10
    assert (one.frames != other.frames).mean() > 0.5, "another body in another room"
    assert (one.targets != other.targets).any()
    assert one.activity_known.any()


@pytest.mark.gl
def test_a_pair_is_the_same_whatever_was_drawn_before(theatre) -> None:
    once = first_duet(theatre)
    first_duet(theatre, PAIRS_PER_CAST)
    again = theatre.duet(once.number)
    assert again.movement == once.movement
    for one, other in zip(once.performances, again.performances, strict=True):
        for name, values in arrays(one).items():
            assert np.array_equal(values, arrays(other)[name], equal_nan=values.dtype.kind == "f"), name


@pytest.mark.gl
def test_people_may_re_enact_in_manners_of_their_own(gl, tmp_path) -> None:  # noqa: F811
    rig = mannequin().rig
    sign = next(sign for sign in make_signs(60, 4) if sign.arrangement == "SYMMETRIC")
    points = landmarks_of(perform(sign, rig, SignerStyle(jitter=0.0), np.random.default_rng(0), FPS), rig)
    exact = Programme(seed=4, size_px=64, num_moments=3, motions=(saved(tmp_path, detected(points)),), reenacted=1.0)
    free = replace(exact, manners=Manners())
    poses = []
    for programme in (exact, exact, free):
        stage = Theatre(programme)
        poses.append(first_duet(stage).performances[0].targets)
        stage.close()
    assert np.array_equal(poses[0], poses[1], equal_nan=True)
    assert np.nanmax(np.abs(poses[0] - poses[2])) > 0.05


@pytest.mark.gl
def test_some_clips_are_wide_and_show_rest(gl) -> None:  # noqa: F811
    def told(**shares: float) -> tuple[float, float]:
        """How large hands are, in shares of the frame, and the share of moments that show a hand at rest."""
        stage = Theatre(replace(PROGRAMME, num_moments=8, **shares))
        clips = [clip for number in range(6) for clip in _performances(stage, number)]
        stage.close()
        sides = np.nanmedian([np.nanmedian(clip.hands[..., 2]) for clip in clips])
        shown = [clip.activity_known & (clip.activity == 0.0) & ~np.isnan(clip.hands[..., 0]) for clip in clips]
        resting = np.mean([one.any(axis=1).mean() for one in shown])
        return float(sides), float(resting)

    near, wide = told(wide=0.0, resting=0.0), told(wide=1.0, resting=1.0)
    assert wide[0] < 0.8 * near[0]
    assert wide[1] > near[1] + 0.1


@pytest.mark.gl
def test_processes_hand_over_what_they_draw(theatre) -> None:
    with Troupe(PROGRAMME, num_processes=1) as troupe:
        for duet in islice(troupe.drawn(wait_s=120.0), 1):
            expected = theatre.duet(duet.number)
            assert duet.movement == expected.movement
            for one, other in zip(duet.performances, expected.performances, strict=True):
                assert np.array_equal(one.frames, other.frames)
                assert np.array_equal(one.targets, other.targets)
            break
        else:
            raise AssertionError("nothing was drawn")


@pytest.mark.gl
def test_a_process_that_can_not_draw_says_why(gl, tmp_path) -> None:  # noqa: F811
    broken = Programme(size_px=64, num_moments=3, assets=tmp_path / "nowhere")
    with Troupe(broken, num_processes=1) as troupe, pytest.raises(DataError, match="AssetError"):
        next(troupe.drawn(wait_s=120.0))


def test_processes_share_out_casts() -> None:
    numbers = [PAIRS_PER_CAST * 2]
    for _ in range(PAIRS_PER_CAST):
        numbers.append(following(numbers[-1], 5))
    assert numbers == [*range(2 * PAIRS_PER_CAST, 3 * PAIRS_PER_CAST), 7 * PAIRS_PER_CAST]


def test_a_movement_has_the_name_of_its_clip(tmp_path) -> None:
    assert movement_of(tmp_path / "HOUSE__12.mp4.npz") == movement_of(tmp_path / "HOUSE__12") == "HOUSE__12"
