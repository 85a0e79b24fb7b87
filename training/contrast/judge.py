"""How well clips that are not learned from are looked up, and their hands read: asked now and then in a run."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from model.pixels import normalise
from training.closeup.learn import closeup_loss
from training.contrast.course import Course
from training.contrast.glimpses import glimpses
from training.contrast.losses import pooled
from training.contrast.pool import Rows, make_rows
from training.contrast.real import RealClip
from training.fit.loop import autocast

AT_ONCE = 128
RANKS = (1, 5, 10)


@dataclass(frozen=True)
class Exam:
    """Clips on the device, each as filmed and as in a mirror."""

    rows: Rows
    counts: list[int]
    clips: Sequence[tuple[str, str, bool]]
    """Gloss, signer, and whether as in a mirror."""


def make_exam(clips: Sequence[RealClip], device: torch.device) -> Exam:
    """Bring clips to the device."""
    counts = [len(clip.moments) for clip in clips]
    rows = make_rows(sum(counts), clips[0].moments.frames.shape[2], device)
    for clip, first in zip(clips, np.cumsum([0, *counts[:-1]]), strict=True):
        rows.put(int(first), clip.moments)
    return Exam(rows, counts, [(clip.gloss, clip.signer, clip.movement.mirrored) for clip in clips])


@torch.no_grad()
def judge(course: Course, exam: Exam) -> dict[str, float]:
    """Rec@1, 5 and 10 of every signer's clips in the others', which are taken as filmed and mirrored; bones' cosine.

    Returns:
        `signer@k` in per cent, and `cosine` of the bones of single hands.
    """
    vectors = _vectors(course, exam)
    found: dict[str, float] = {}
    for asking in sorted({signer for _, signer, _ in exam.clips}):
        queries = [row for row, (_, signer, mirrored) in enumerate(exam.clips) if signer == asking and not mirrored]
        gallery = [row for row, (_, signer, _) in enumerate(exam.clips) if signer != asking]
        ranks = _ranks(vectors, queries, gallery, [gloss for gloss, _, _ in exam.clips])
        found |= {f"{asking}@{k}": 100.0 * float(np.mean([rank < k for rank in ranks])) for k in RANKS if ranks}
    course.learner.reader.eval()
    size_px = course.learner.reader.backbone.config.image_size
    generator = torch.Generator(course.world.device)
    cosines, weights = [], []
    for part in batches(exam):
        pictures, bones, points = glimpses(exam.rows.at(part), size_px, None, generator)
        if len(pictures):
            with autocast("auto", course.world.device):
                read = course.learner.reader(pictures)
            cosines.append(float(closeup_loss(read, bones, points)[1]))
            weights.append(len(pictures))
    course.learner.reader.train()
    return found | ({"cosine": float(np.average(cosines, weights=weights))} if cosines else {})


def _vectors(course: Course, exam: Exam) -> Tensor:
    """[C, D] of all clips."""
    features, activity = [], []
    for part in batches(exam):
        with autocast("auto", course.world.device):
            output = course.average.encoder(normalise(exam.rows.frames[part]))
        features.append(output.features.float())
        activity.append(output.activity_logits.float())
    ends = np.cumsum(exam.counts)
    clips = [slice(int(end) - count, int(end)) for end, count in zip(ends, exam.counts, strict=True)]
    seen, active = torch.cat(features), torch.cat(activity)
    return torch.stack([pooled(seen[clip], active[clip], course.num_parts) for clip in clips])


def batches(exam: Exam) -> Iterator[Tensor]:
    """All rows, some at a time."""
    every = torch.arange(len(exam.rows.frames), device=exam.rows.frames.device)
    return iter(torch.split(every, AT_ONCE))


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
