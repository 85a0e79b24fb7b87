"""Embeddings of clips for tests of searches."""

import numpy as np

from model.embed import ClipEmbedding
from model.pooling import pool


def make_clip(num_windows=10, still=()):
    rng = np.random.default_rng(num_windows)
    encoded = np.array([number not in still for number in range(num_windows)])
    embeddings = rng.normal(size=(num_windows, 4)).astype(np.float32) * encoded[:, None]
    activity = rng.random((num_windows, 2)).astype(np.float32) * encoded[:, None]
    return ClipEmbedding(
        vector=pool(embeddings[encoded], activity[encoded]),
        embeddings=embeddings,
        activity=activity,
        encoded=encoded,
        start_s=np.arange(num_windows, dtype=np.float32) * 0.32,
        video_info=None,
        warnings=(),
    )
