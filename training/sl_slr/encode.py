"""Whole clips to vectors, and clips looked up among others by the protocol of `training.evaluate`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from model.encoder import Encoding, Flags, Floats
from model.errors import NoSignerError
from model.pooling import pool
from model.skeleton.kinematics import LEFT_HAND, RIGHT_HAND
from training.data.manifest import ListedClip
from training.evaluate.baselines import Feature, encode_signing
from training.evaluate.metrics import Metrics
from training.evaluate.protocol import VectorRanker, evaluate
from training.sl_slr.config import Data
from training.sl_slr.network import SkeletonEncoder
from training.sl_slr.sequences import Sequence61, mirrored, whole, windows

ToVector = Callable[[Sequence61], Floats]
"""A clip to a vector of unit length; raises NoSignerError where there is nothing to go by."""


@dataclass(frozen=True)
class TorchEncoder:
    """A network that clips are encoded with."""

    network: SkeletonEncoder
    data: Data

    @torch.no_grad()
    def encode(self, clip: Sequence61) -> Encoding:
        """Embedding and activity of the whole clip, or of its windows, as it was cut in training.

        Raises:
            NoSignerError: no hand was found in the clip.
        """
        rows = cut(clip, self.data)
        encoded = self.network.eval()(torch.from_numpy(clip.keypoints[rows]), torch.from_numpy(clip.known[rows]))
        return Encoding(encoded.embedding.numpy(), encoded.activity_logits.sigmoid().numpy())

    def vector(self, clip: Sequence61) -> Floats:
        """The pooled vector of a clip; see `ToVector`."""
        encoding = self.encode(clip)
        return pool(encoding.embedding, encoding.activity)


def cut(clip: Sequence61, data: Data) -> np.ndarray:
    """Rows of what the encoder sees of a clip: [N, num_frames].

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
    # A service leaves windows out in which no hand was found; here too, unless a slow rate passes every found one over.
    return rows[shown] if shown.any() else rows


def by_hand(feature: Feature) -> ToVector:
    """The vectors of a landmark baseline."""

    def to_vector(clip: Sequence61) -> Floats:
        encoding = encode_signing(clip.signing(), feature)
        return pool(encoding.embedding, encoding.activity)

    return to_vector


def side_by_side(first: ToVector, second: ToVector) -> ToVector:
    """Vectors whose cosine is the mean of both cosines."""

    def to_vector(clip: Sequence61) -> Floats:
        joined: Floats = (np.concatenate([first(clip), second(clip)]) / np.sqrt(2.0)).astype(np.float32)
        return joined

    return to_vector


def remembered(to_vector: ToVector) -> ToVector:
    """The same, each clip worked on once."""
    # The clip is held beside its vector: the id of one that is gone would be given to another.
    held: dict[int, tuple[Sequence61, Floats]] = {}

    def recalled(clip: Sequence61) -> Floats:
        if id(clip) not in held:
            held[id(clip)] = (clip, to_vector(clip))
        return held[id(clip)][1]

    return recalled


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


def look_up(
    to_vector: ToVector, gallery: Sequence[Sequence61], queries: Sequence[Sequence61], *, turned: bool = False
) -> Metrics:
    """How well queries find their gloss in a gallery; both may hold clips that can't be used, queries then miss.

    Args:
        to_vector: makes vectors.
        gallery: is searched.
        queries: are looked up.
        turned: put every clip into the gallery mirrored, too, as a service does.

    Raises:
        EvaluationError: no query has a gloss of the gallery, or no clip of the gallery can be used.
    """
    listed = {}
    for kind, clips in (("gallery", gallery), ("query", queries)):
        for number, clip in enumerate(clips):
            listed[f"{kind} {number} {clip.name}"] = clip
    entries = {name: ListedClip(name, Path(name), Path(name), clip.gloss) for name, clip in listed.items()}

    def of_listed(entry: ListedClip, mirror: bool) -> Floats:
        clip = listed[entry.video_id]
        return to_vector(mirrored(clip) if mirror else clip)

    known = [entry for name, entry in entries.items() if name.startswith("gallery")]
    asked = [entry for name, entry in entries.items() if name.startswith("query")]
    ranker = VectorRanker(of_listed, "0" * 12, known, _tell_nobody, mirrored=turned)
    return evaluate(ranker, known, asked, _tell_nobody).metrics


def _tell_nobody(phase: str, done: int, total: int) -> None:
    return
