"""Sentences: several signs in a row by one body, without coming to rest in between."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from model.encoder import Floats
from model.skeleton.rotations import Reals
from training.errors import PoseError
from training.synth.kinematics.retarget import nearest_rotations
from training.synth.motion.timing import minimum_jerk
from training.synth.people.rig import Performance


def join_performances(performances: Sequence[Performance], overlap_frames: int = 7) -> Performance:
    """One performance out of several.

    The way back from a sign and the way to the next one are passed through together: a hand that has hardly been
    lowered from the one is already nearly raised for the other.

    Args:
        performances: one or more, by one body that stays in place, at one rate, from rest to rest.
        overlap_frames: from the end of a sign's form to the beginning of the next one's; fewer where a way is shorter.

    Returns:
        a performance whose active frames reach from the first sign's to the last one's.

    Raises:
        PoseError: of some it is not known when the sign has its form.
    """
    result = performances[0]
    for following in performances[1:]:
        result = _append(result, following, overlap_frames)
    return result


def _append(before: Performance, after: Performance, overlap_frames: int) -> Performance:
    leaves, arrives = _active(before).stop, _active(after).start
    shared = min(overlap_frames, before.num_frames - leaves, arrives)
    progress = minimum_jerk(np.arange(1, shared + 1) / (shared + 1))

    def joined(a: Floats | None, b: Floats | None) -> Floats | None:
        return None if a is None or b is None else _overlapped(a[: leaves + shared], b[arrives - shared :], progress)

    rotations = _overlapped(before.rotations[: leaves + shared], after.rotations[arrives - shared :], progress)
    way = slice(leaves, leaves + shared)
    rotations[way] = nearest_rotations(rotations[way].astype(float))
    return replace(
        before,
        rotations=rotations,
        gloss=f"{before.gloss}, {after.gloss}",
        gaze=joined(before.gaze, after.gaze),
        mouth_open=joined(before.mouth_open, after.mouth_open),
        active=slice(_active(before).start, leaves + shared + _active(after).stop - arrives),
    )


def _overlapped(a: Floats, b: Floats, progress: Reals) -> Floats:
    """The first, then the second; over the last frames of the one and the first of the other, the one turns into it."""
    shared = len(progress)
    share = progress.reshape(-1, *(1 for _ in a.shape[1:]))
    middle = (1.0 - share) * a[len(a) - shared :] + share * b[:shared]
    return np.concatenate([a[: len(a) - shared], middle.astype(np.float32), b[shared:]])


def _active(performance: Performance) -> slice:
    if performance.active is None:
        raise PoseError(f"it is not known in which frames {performance.gloss} has its form; it can't be joined")
    return performance.active
