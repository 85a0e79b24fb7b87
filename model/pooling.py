"""From window embeddings to one clip vector."""

import numpy as np

from model.encoder import Floats
from model.errors import EncoderOutputError


def window_weights(activity: Floats) -> Floats:
    """How much each window counts: the activity of its more active hand (SignRep eq. 11).

    Args:
        activity: [N, 2] in [0, 1], left and right hand.

    Returns:
        [N] float32; all ones where no window shows any activity.
    """
    gamma = activity.max(axis=1)
    return gamma if gamma.any() else np.ones_like(gamma)


def pool(embeddings: Floats, activity: Floats) -> Floats:
    """Average window embeddings by hand activity into one clip vector (SignRep eq. 12).

    Dividing by the sum of the weights is left out: the vector is normalised afterwards.

    Args:
        embeddings: [N, D] float32, one row per window, N >= 1.
        activity: [N, 2] float32 in [0, 1], left and right hand.

    Returns:
        [D] float32 of unit length; all zero only where the weighted embeddings cancel out.

    Raises:
        EncoderOutputError: not all of it is finite.
    """
    if not (np.isfinite(embeddings).all() and np.isfinite(activity).all()):
        raise EncoderOutputError(
            "the encoder gave values that are no numbers (NaN or infinite); on a GPU half precision may be too little"
            " for this encoder: export it in full precision"
        )
    vector = window_weights(activity) @ embeddings
    norm = np.linalg.norm(vector)
    return np.asarray(vector / norm if norm > 0 else vector, dtype=np.float32)
