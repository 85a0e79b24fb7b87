"""Clips to vectors, and the evaluation of such vectors by the protocol of `training.evaluate`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from index.metrics import RetrievalMetrics
from model.encoder import Encoding, Flags, Floats
from model.errors import NoSignerError
from model.pooling import pool
from model.skeleton.kinematics import LEFT_HAND, RIGHT_HAND
from training.data.listing.manifest import ListedClip
from training.evaluate.baselines import Feature, encode_signing
from training.evaluate.protocol import VectorRanker, evaluate
from training.progress import ignore_progress
from training.sl_slr.config import Data
from training.sl_slr.network import SkeletonEncoder
from training.sl_slr.sequences import Sequence61, mirrored, whole, windows

ToVector = Callable[[Sequence61], Floats]
"""A clip to a vector of unit length; raises NoSignerError where it shows no hand."""


@dataclass(frozen=True)
class TorchEncoder:
    """Encodes clips with a network."""

    network: SkeletonEncoder
    data: Data

    @torch.no_grad()
    def encode(self, clip: Sequence61) -> Encoding:
        """Embedding and activity of the whole clip, or of its windows, as `data.cut` says.

        Raises:
            NoSignerError: no hand was found in the clip.
        """
        rows = encoder_rows(clip, self.data)
        encoded = self.network.eval()(torch.from_numpy(clip.keypoints[rows]), torch.from_numpy(clip.known[rows]))
        return Encoding(encoded.embedding.numpy(), encoded.activity_logits.sigmoid().numpy())

    def vector(self, clip: Sequence61) -> Floats:
        """The pooled vector of a clip; see `ToVector`."""
        encoding = self.encode(clip)
        return pool(encoding.embedding, encoding.activity)


def encoder_rows(clip: Sequence61, data: Data) -> np.ndarray:
    """Rows of the frames that the encoder takes of a clip: [N, num_frames].

    Raises:
        NoSignerError: no hand was found in the clip.
    """
    hands: Flags = np.asarray(clip.known[:, LEFT_HAND].all(axis=1) | clip.known[:, RIGHT_HAND].all(axis=1))
    if not hands.any():
        raise NoSignerError(f"{clip.name}: no hand was found in the clip")
    if data.cut == "clip":
        return whole(clip.num_frames, data.num_frames)[None]
    rows = windows(clip.num_frames, data.fps, data.num_frames, data.stride_frames)
    shown = hands[rows].any(axis=1)
    # As in serving, windows without a hand are left out, unless at a low frame rate no window has one.
    return rows[shown] if shown.any() else rows


def baseline_vectors(feature: Feature) -> ToVector:
    """The vectors of a landmark baseline."""

    def to_vector(clip: Sequence61) -> Floats:
        encoding = encode_signing(clip.signing(), feature)
        return pool(encoding.embedding, encoding.activity)

    return to_vector


def vectors(to_vector: ToVector, clips: Sequence[Sequence61]) -> Floats:
    """[N, D] of many clips; zeros for a clip that shows no hand."""
    found: list[Floats | None] = []
    for clip in clips:
        try:
            found.append(to_vector(clip))
        except NoSignerError:
            found.append(None)
    dim = next((len(vector) for vector in found if vector is not None), 1)
    return np.stack([np.zeros(dim, np.float32) if vector is None else vector for vector in found])


def evaluate_vectors(
    to_vector: ToVector, gallery: Sequence[Sequence61], queries: Sequence[Sequence61], *, also_mirrored: bool = False
) -> RetrievalMetrics:
    """How well queries find their gloss in a gallery; both may hold clips that can't be used, queries then miss.

    Args:
        to_vector: encodes a clip.
        gallery: is searched.
        queries: are looked up.
        also_mirrored: index every clip of the gallery mirrored, too, as the service does.

    Raises:
        EvaluationError: no query has a gloss of the gallery, or no clip of the gallery can be used.
    """
    by_name = {}
    for kind, clips in (("gallery", gallery), ("query", queries)):
        for number, clip in enumerate(clips):
            by_name[f"{kind} {number} {clip.name}"] = clip
    entries = {name: ListedClip(name, Path(name), Path(name), clip.gloss) for name, clip in by_name.items()}

    def listed_to_vector(entry: ListedClip, mirror: bool) -> Floats:
        clip = by_name[entry.video_id]
        return to_vector(mirrored(clip) if mirror else clip)

    gallery_entries = [entry for name, entry in entries.items() if name.startswith("gallery")]
    query_entries = [entry for name, entry in entries.items() if name.startswith("query")]
    ranker = VectorRanker(listed_to_vector, "0" * 12, gallery_entries, ignore_progress, mirrored=also_mirrored)
    return evaluate(ranker, gallery_entries, query_entries, ignore_progress).metrics
