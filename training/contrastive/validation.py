"""Validation: how well held-out clips are retrieved across signers, and how well single hands are read."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from model.network.pixels import normalise
from training.contrastive.clips.clip_pool import WindowTable, make_table
from training.contrastive.clips.shard_clips import RealClip
from training.contrastive.hand_crops import hand_crops
from training.contrastive.hand_reader import hand_loss
from training.contrastive.losses import pooled
from training.contrastive.state import ContrastiveState
from training.errors import DataError
from training.fit.loop import SCORE, Scores, autocast

BATCH = 128
RANKS = (1, 5, 10)


@dataclass(frozen=True)
class ValidationSet:
    """Held-out clips on the device, each as filmed and mirrored."""

    rows: WindowTable
    counts: list[int]
    """Windows of every clip."""
    clips: Sequence[tuple[str, str, bool]]
    """Gloss, signer, and whether mirrored."""


def make_validation_set(clips: Sequence[RealClip], device: torch.device) -> ValidationSet:
    """Bring clips to the device.

    Raises:
        DataError: no gloss is signed by two signers, so that nothing can be retrieved.
    """
    signers: dict[str, set[str]] = {}
    for clip in clips:
        signers.setdefault(clip.gloss, set()).add(clip.signer)
    if all(len(who) < 2 for who in signers.values()):
        raise DataError("no gloss of the held-out clips is signed by two signers; hold others out, or none")
    counts = [len(clip.windows) for clip in clips]
    rows = make_table(sum(counts), clips[0].windows.frames.shape[2], device)
    for clip, first in zip(clips, np.cumsum([0, *counts[:-1]]), strict=True):
        rows.put(int(first), clip.windows)
    return ValidationSet(rows, counts, [(clip.gloss, clip.signer, clip.movement.mirrored) for clip in clips])


@torch.no_grad()
def validate(state: ContrastiveState, held_out: ValidationSet) -> Scores:
    """Retrieve every signer's clips from those of the others, as filmed and mirrored, by the averaged weights.

    Returns:
        Recall `signer@k` in per cent, `bone_cosine` of single hands, and as score the mean of all `signer@1`.
    """
    vectors = _vectors(state, held_out)
    found: dict[str, float] = {}
    for asking in sorted({signer for _, signer, _ in held_out.clips}):
        queries = [row for row, (_, signer, mirrored) in enumerate(held_out.clips) if signer == asking and not mirrored]
        gallery = [row for row, (_, signer, _) in enumerate(held_out.clips) if signer != asking]
        ranks = _ranks(vectors, queries, gallery, [gloss for gloss, _, _ in held_out.clips])
        found |= {f"{asking}@{k}": 100.0 * float(np.mean([rank < k for rank in ranks])) for k in RANKS if ranks}
    score = float(np.mean([value for name, value in found.items() if name.endswith("@1")]))
    return {SCORE: score} | found | _bone_cosine(state, held_out)


def _bone_cosine(state: ContrastiveState, held_out: ValidationSet) -> dict[str, float]:
    reader = state.network.reader
    size_px = reader.backbone.config.image_size
    cosines, weights = [], []
    for rows in batches(held_out):
        crops = hand_crops(held_out.rows.at(rows), size_px, None, torch.Generator(rows.device))
        if len(crops.pictures):
            with autocast("auto", rows.device):
                bones, points = reader(crops.pictures)
            cosines.append(float(hand_loss(bones, points, crops)[1]))
            weights.append(len(crops.pictures))
    return {"bone_cosine": float(np.average(cosines, weights=weights))} if cosines else {}


def _vectors(state: ContrastiveState, held_out: ValidationSet) -> Tensor:
    """[C, D] of all clips."""
    features, activity = [], []
    for rows in batches(held_out):
        with autocast("auto", rows.device):
            output = state.average.encoder(normalise(held_out.rows.frames[rows]))
        features.append(output.features.float())
        activity.append(output.activity_logits.float())
    ends = np.cumsum(held_out.counts)
    clips = [slice(int(end) - count, int(end)) for end, count in zip(ends, held_out.counts, strict=True)]
    every, logits = torch.cat(features), torch.cat(activity)
    return torch.stack([pooled(every[clip], logits[clip], state.config.num_parts) for clip in clips])


def batches(held_out: ValidationSet) -> Iterator[Tensor]:
    """All rows, BATCH at a time."""
    every = torch.arange(len(held_out.rows.frames), device=held_out.rows.frames.device)
    return iter(torch.split(every, BATCH))


def _ranks(vectors: Tensor, queries: list[int], gallery: list[int], glosses: list[str]) -> list[int]:
    """Of every query whose gloss the gallery has: how many other glosses are nearer."""
    ranks = []
    for query in queries:
        best: dict[str, float] = {}
        for row, score in zip(gallery, (vectors[gallery] @ vectors[query]).tolist(), strict=True):
            best[glosses[row]] = max(score, best.get(glosses[row], -2.0))
        if glosses[query] in best:
            ranks.append(sum(score > best[glosses[query]] for score in best.values()))
    return ranks
