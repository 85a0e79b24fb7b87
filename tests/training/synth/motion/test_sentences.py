"""Signs performed one after the other."""

from dataclasses import replace

import numpy as np
import pytest

from training.errors import PoseError
from training.synth.clips.lexicon import make_signs
from training.synth.motion.perform import perform, random_style
from training.synth.motion.sentences import join_performances
from training.synth.people.mannequin import mannequin
from training.synth.people.rig import Performance, performance_landmarks

WRISTS = [2, 5]


@pytest.fixture(scope="module")
def signed() -> list[list[Performance]]:
    """The signs of eight sentences, each by another signer."""
    rig, signs = mannequin().rig, make_signs(24, 3)
    return [
        [
            perform(sign, rig, random_style(np.random.default_rng(n)), np.random.default_rng((n, place)))
            for place, sign in enumerate(signs[3 * n : 3 * n + 3])
        ]
        for n in range(8)
    ]


def test_every_sign_keeps_its_form_and_rest_is_only_at_both_ends(signed):
    rig = mannequin().rig
    for parts in signed:
        whole = join_performances(parts)
        at = whole.active.start
        for place, part in enumerate(parts):
            form = part.rotations[part.active]
            assert np.array_equal(whole.rotations[at : at + len(form)], form)
            way = min(7, part.num_frames - part.active.stop, parts[(place + 1) % 3].active.start)
            at += len(form) + (way if place < 2 else 0)
        assert at == whole.active.stop
        assert np.array_equal(whole.rotations[: parts[0].active.start], parts[0].rotations[: parts[0].active.start])
        assert np.array_equal(whole.rotations[at:], parts[2].rotations[parts[2].active.stop :])
        assert len(whole.rotations) == len(whole.gaze) == len(whole.mouth_open) == whole.num_frames
        assert performance_landmarks(whole, rig).shape == (whole.num_frames, 61, 3)
        assert whole.num_frames < sum(part.num_frames for part in parts)


def test_what_is_between_two_signs_are_rotations_and_hands_that_move_as_hands_do(signed):
    rig = mannequin().rig
    for parts in signed:
        whole = join_performances(parts)
        turned = whole.rotations @ np.swapaxes(whole.rotations, -1, -2)
        assert np.abs(turned - np.eye(3)).max() < 1e-4
        assert np.linalg.det(whole.rotations).min() > 0.99
        steps = np.linalg.norm(np.diff(performance_landmarks(whole, rig)[:, WRISTS], axis=0), axis=-1)
        assert steps.max() * whole.fps < 9.0


def test_a_single_sign_is_a_sentence(signed):
    assert join_performances(signed[0][:1]) is signed[0][0]


def test_signs_whose_form_is_not_known_are_refused(signed):
    parts = [signed[0][0], replace(signed[0][1], active=None)]
    with pytest.raises(PoseError, match="not known in which frames"):
        join_performances(parts)
