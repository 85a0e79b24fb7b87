"""From window embeddings to one clip vector."""

import numpy as np

from model.encoder import Floats
from model.errors import EncoderOutputError

LEAST_SHARE = 1e-4
"""Weight of a window in parts it is not near, so that no part of a clip of few windows is empty."""


def window_weights(activity: Floats) -> Floats:
    """How much each window counts: the activity of its more active hand (SignRep eq. 11).

    Args:
        activity: [N, 2] in [0, 1], left and right hand.

    Returns:
        [N] float32; all ones where no window shows any activity.
    """
    gamma = activity.max(axis=1)
    return gamma if gamma.any() else np.ones_like(gamma)


def part_weights(gamma: Floats, num_parts: int) -> Floats:
    """How much each window counts for each part of the clip.

    A clip's parts follow each other and hold as much activity each, so that rest at either end and the pace of the
    signer do not matter. A window's time is the share of all activity that lies before its middle; between the middles
    of two parts it counts for both, the more, the nearer. One part is the whole clip.

    Args:
        gamma: [N] what `window_weights` gives, in the order of time.
        num_parts: K.

    Returns:
        [K, N] float32.
    """
    passed = (np.cumsum(gamma) - 0.5 * gamma) / gamma.sum()
    position = np.clip(num_parts * passed - 0.5, 0.0, num_parts - 1.0)
    near = 1.0 - np.abs(position - np.arange(num_parts)[:, None])
    return np.asarray(gamma * np.maximum(near, LEAST_SHARE), np.float32)


def pool(embeddings: Floats, activity: Floats, num_parts: int = 1) -> Floats:
    """Average window embeddings by hand activity into one clip vector (SignRep eq. 12).

    Dividing by the sum of the weights is left out: the vector is normalised afterwards. With several parts every part
    is averaged and normalised by itself, and the clip's vector is theirs one after the other
    (docs/decisions/parts-in-time.md).

    Args:
        embeddings: [N, D] float32, one row per window, N >= 1, in the order of time.
        activity: [N, 2] float32 in [0, 1], left and right hand.
        num_parts: K; 1 is the paper's.

    Returns:
        [K D] float32 of unit length; a part is zero only where its weighted embeddings cancel out.

    Raises:
        EncoderOutputError: not all of it is finite.
    """
    if not (np.isfinite(embeddings).all() and np.isfinite(activity).all()):
        raise EncoderOutputError(
            "the encoder gave values that are no numbers (NaN or infinite); on a GPU half precision may be too little"
            " for this encoder: export it in full precision"
        )
    parts = part_weights(window_weights(activity), num_parts) @ embeddings
    norms = np.linalg.norm(parts, axis=1, keepdims=True)
    vector = np.divide(parts, norms, out=np.zeros_like(parts), where=norms > 0.0).ravel()
    return np.asarray(vector / max(np.linalg.norm(vector), 1e-30), dtype=np.float32)
