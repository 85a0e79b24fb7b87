from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from tests.training.synth.conftest import gl  # noqa: F401
from tests.training.synth.reenactment.test_reenact import FPS, detected, saved
from training.contrastive.clips.pair_renderer import PAIRS_PER_CAST, PairRenderer, PairRendererConfig, movement_of
from training.contrastive.clips.render_workers import RenderWorkers, following
from training.contrastive.clips.windows import arrays
from training.errors import DataError, SampleError
from training.synth.clips.lexicon import make_signs
from training.synth.motion.perform import perform
from training.synth.motion.style import SignerStyle
from training.synth.people.mannequin import mannequin
from training.synth.people.rig import performance_landmarks
from training.synth.reenactment.variation import MotionVariation

CONFIG = PairRendererConfig(seed=2, size_px=64, num_windows=3)


@pytest.fixture(scope="module")
def renderer(gl):  # noqa: F811
    renderer = PairRenderer(CONFIG)
    yield renderer
    renderer.close()


def first_pair(renderer, start=0):
    for number in range(start, start + 8):
        try:
            return renderer.render(number)
        except SampleError:
            continue
    raise AssertionError("none of eight pairs can be rendered")


def _performances(renderer, number):
    try:
        return renderer.render(number).clips
    except SampleError:
        return ()


@pytest.mark.gl
def test_two_people_do_the_same(renderer) -> None:
    pair = first_pair(renderer)
    one, other = pair.clips
    assert one.frames.shape == (3, 2, 64, 64, 3)
    assert one.frames.std() > 10
    assert (one.frames != other.frames).mean() > 0.5, "another body in another room"
    assert (one.targets != other.targets).any()
    assert one.activity_known.any()


@pytest.mark.gl
def test_a_pair_is_the_same_whatever_was_rendered_before(renderer) -> None:
    once = first_pair(renderer)
    first_pair(renderer, PAIRS_PER_CAST)
    again = renderer.render(once.number)
    assert again.movement == once.movement
    for one, other in zip(once.clips, again.clips, strict=True):
        for name, values in arrays(one).items():
            assert np.array_equal(values, arrays(other)[name], equal_nan=values.dtype.kind == "f"), name


@pytest.mark.gl
def test_people_may_vary_what_they_re_enact(gl, tmp_path) -> None:  # noqa: F811
    rig = mannequin().rig
    sign = next(sign for sign in make_signs(60, 4) if sign.arrangement == "SYMMETRIC")
    points = performance_landmarks(perform(sign, rig, SignerStyle(jitter=0.0), np.random.default_rng(0), FPS), rig)
    exact = PairRendererConfig(
        seed=4, size_px=64, num_windows=3, motions=(saved(tmp_path, detected(points)),), reenacted=1.0
    )
    free = replace(exact, motion_variation=MotionVariation())
    poses = []
    for config in (exact, exact, free):
        renderer = PairRenderer(config)
        poses.append(first_pair(renderer).clips[0].targets)
        renderer.close()
    assert np.array_equal(poses[0], poses[1], equal_nan=True)
    assert np.nanmax(np.abs(poses[0] - poses[2])) > 0.05


@pytest.mark.gl
def test_some_clips_are_wide_and_show_rest(gl) -> None:  # noqa: F811
    def sizes_and_rest(**shares: float) -> tuple[float, float]:
        """How large hands are, in shares of the frame, and the share of windows that show a hand at rest."""
        renderer = PairRenderer(replace(CONFIG, num_windows=8, **shares))
        clips = [clip for number in range(6) for clip in _performances(renderer, number)]
        renderer.close()
        sides = np.nanmedian([np.nanmedian(clip.hands[..., 2]) for clip in clips])
        shown = [clip.activity_known & (clip.activity == 0.0) & ~np.isnan(clip.hands[..., 0]) for clip in clips]
        resting = np.mean([one.any(axis=1).mean() for one in shown])
        return float(sides), float(resting)

    near, wide = sizes_and_rest(wide=0.0, resting=0.0), sizes_and_rest(wide=1.0, resting=1.0)
    assert wide[0] < 0.8 * near[0]
    assert wide[1] > near[1] + 0.1


@pytest.mark.gl
def test_processes_hand_over_what_they_render(renderer) -> None:
    with RenderWorkers(CONFIG, num_processes=1) as workers:
        for pair in islice(workers.rendered(wait_s=120.0), 1):
            expected = renderer.render(pair.number)
            assert pair.movement == expected.movement
            for one, other in zip(pair.clips, expected.clips, strict=True):
                assert np.array_equal(one.frames, other.frames)
                assert np.array_equal(one.targets, other.targets)
            break
        else:
            raise AssertionError("nothing was rendered")


@pytest.mark.gl
def test_a_process_that_can_not_render_says_why(gl, tmp_path) -> None:  # noqa: F811
    broken = PairRendererConfig(size_px=64, num_windows=3, assets=tmp_path / "nowhere")
    with RenderWorkers(broken, num_processes=1) as workers, pytest.raises(DataError, match="AssetError"):
        next(workers.rendered(wait_s=120.0))


def test_processes_share_out_casts() -> None:
    numbers = [PAIRS_PER_CAST * 2]
    for _ in range(PAIRS_PER_CAST):
        numbers.append(following(numbers[-1], 5))
    assert numbers == [*range(2 * PAIRS_PER_CAST, 3 * PAIRS_PER_CAST), 7 * PAIRS_PER_CAST]


def test_a_movement_has_the_name_of_its_clip(tmp_path) -> None:
    assert movement_of(tmp_path / "HOUSE__12.mp4.npz") == movement_of(tmp_path / "HOUSE__12") == "HOUSE__12"
