"""Motion blur: the moments rendered while the shutter is open, and which frames are rendered together."""

from collections.abc import Iterator

import numpy as np

from model.encoder import Floats, Ints


def exposure_batches(exposures: Ints, batch_frames: int) -> Iterator[tuple[int, int, int]]:
    """Frames that are rendered together, in order: the first, how many, and the exposures of each.

    Args:
        exposures: [T] of every frame, each at most `batch_frames`.
        batch_frames: pictures rendered at once.
    """
    first = 0
    while first < len(exposures):
        each = int(exposures[first])
        alike = exposures[first : first + batch_frames // each] == each
        num = len(alike) if alike.all() else int(alike.argmin())
        yield first, num, each
        first += num


def shutter_transforms(transforms: Floats, num_frames: int, shutter: float, exposures: int) -> Floats:
    """The transforms while the shutter is open, frame by frame.

    Args:
        transforms: [N or N + 1, J, 3, 4], the last row being the next batch's first where there is one.
        num_frames: N.
        shutter: share of a frame's time it is open.
        exposures: times per frame.

    Returns:
        [N * exposures, J, 3, 4].
    """
    if exposures == 1:
        return transforms[:num_frames]
    following = np.minimum(np.arange(num_frames) + 1, len(transforms) - 1)
    now, then = transforms[:num_frames, None], transforms[following, None]
    share = (np.arange(exposures, dtype=np.float32) / exposures * shutter)[None, :, None, None, None]
    mixed: Floats = now + share * (then - now)
    return mixed.reshape(-1, *transforms.shape[1:])
