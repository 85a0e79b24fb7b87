"""How well signs are recognised, per clip and per class, beside published results; a picture of the confusions.

A clip that can't be read, or whose sign has no training clip, counts as a miss.
"""

import csv
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

from index.metrics import RECALL_AT, RetrievalMetrics, retrieval_metrics
from model.encoder import Floats
from training.atomic import write_atomically
from training.data.listing.manifest import ListedClip
from training.errors import EvaluationError
from training.finetune.config import Data
from training.finetune.data import evaluation_batches
from training.finetune.state import TrainedRecogniser
from training.parallel import Failure

BATCH = 8
SHOWN = 5
"""Best labels that are kept of every clip."""
PUBLISHED = {
    "wlasl": "top-1 61.05, top-5 90.27 (WLASL2000)",
    "nmfs-csl": "top-1 84.1, top-5 98.8",
    "asl-citizen": "DCG 90.84, MRR 88.05, Rec@1 81.37, Rec@5 96.11",
}
"""Of SignRep, fine-tuned, by reader."""
CELL, MARGIN, INK = 16, 240, (40, 40, 40)
MOST = 40
"""Classes in the picture."""


@dataclass(frozen=True)
class ClipPrediction:
    """The prediction for one clip."""

    clip: ListedClip
    rank: int | None
    """Of its true label, from 0; None where no training clip had it or the clip can't be read."""
    best: tuple[tuple[str, float], ...]
    """The likeliest labels with their probabilities."""


@dataclass(frozen=True)
class RecognitionResult:
    """How well the clips of a split were recognised."""

    predictions: tuple[ClipPrediction, ...]
    metrics: RetrievalMetrics
    """Means over clips; Rec@1 and Rec@5 are top-1 and top-5."""
    per_class: dict[int, float]
    """The same as Rec@k, but every class counts alike, however many clips it has."""
    num_classes: int
    """Labels of the recogniser."""
    failed: tuple[Failure, ...]
    unlearned: tuple[str, ...]
    """Clips whose label has no training clip."""


@torch.no_grad()
def evaluate_clips(
    trained: TrainedRecogniser, clips: Sequence[ListedClip], *, cache: Path | None = None, workers: int = 0
) -> RecognitionResult:
    """Recognise every clip of a split.

    Raises:
        EvaluationError: there is none.
    """
    if not clips:
        raise EvaluationError("there is no clip to be tested on; the data set has none in this split")
    network, device = trained.network, next(trained.network.parameters()).device
    was_training = network.training
    network.eval()
    predictions: list[ClipPrediction] = []
    failed: list[Failure] = []
    rest = iter(clips)
    for batch in evaluation_batches(clips, trained.clip_format, cache=cache, batch_size=BATCH, workers=workers):
        windows = [one for one in batch if not isinstance(one, Failure)]
        failed += [one for one in batch if isinstance(one, Failure)]
        found = iter(
            network(torch.from_numpy(np.stack(windows)).to(device)).float().softmax(dim=1).cpu().numpy()
            if windows
            else ()
        )
        for one in batch:
            clip = next(rest)
            predictions.append(
                ClipPrediction(clip, None, ())
                if isinstance(one, Failure)
                else predict_clip(clip, next(found), trained.labels)
            )
    network.train(was_training)
    labels = set(trained.labels)
    return RecognitionResult(
        tuple(predictions),
        retrieval_metrics([one.rank for one in predictions]),
        class_recall(predictions),
        len(trained.labels),
        tuple(failed),
        tuple(one.clip.video_id for one in predictions if one.clip.gloss not in labels),
    )


def predict_clip(clip: ListedClip, probabilities: Floats, labels: Sequence[str]) -> ClipPrediction:
    """A clip's rank and its best labels, from the probability of every label."""
    order = np.argsort(-probabilities, kind="stable")
    places = [labels[place] for place in order]
    rank = places.index(clip.gloss) if clip.gloss in places else None
    return ClipPrediction(clip, rank, tuple((labels[place], float(probabilities[place])) for place in order[:SHOWN]))


def class_recall(predictions: Sequence[ClipPrediction]) -> dict[int, float]:
    """Rec@k averaged over the clips of every class, then over classes; times 100."""
    ranks: dict[str, list[int | None]] = {}
    for one in predictions:
        ranks.setdefault(one.clip.gloss, []).append(one.rank)
    parts = [retrieval_metrics(part).recall for part in ranks.values()]
    return {k: sum(part[k] for part in parts) / len(parts) for k in RECALL_AT}


def lines(result: RecognitionResult, data: Data) -> list[str]:
    """A result in words, beside the published one of the same data set."""
    metrics = result.metrics
    text = [
        f"{len(result.predictions)} clips, {result.num_classes} labels: top-1 {metrics.recall[1]:.2f}, top-5"
        f" {metrics.recall[5]:.2f} per clip; {result.per_class[1]:.2f}, {result.per_class[5]:.2f} per class",
        f"DCG {metrics.dcg:.2f}, MRR {metrics.mrr:.2f},"
        f" {', '.join(f'Rec@{k} {value:.2f}' for k, value in metrics.recall.items())}",
    ]
    if data.reader in PUBLISHED and not data.num_signs:
        text.append(f"published for SignRep on {data.reader}: {PUBLISHED[data.reader]}")
    if result.failed:
        text.append(f"{len(result.failed)} clips could not be read and count as misses:")
        text += [f"  {failure.name}: {failure.reason}" for failure in result.failed]
    if result.unlearned:
        text.append(f"{len(result.unlearned)} clips show signs without a training clip and count as misses")
    return text


def write_report(result: RecognitionResult, out: Path) -> None:
    """Write `report.json`, `named.csv` with every clip, and `confusions.png` into a folder."""
    out.mkdir(parents=True, exist_ok=True)
    figures = {
        "num_clips": len(result.predictions),
        "num_labels": result.num_classes,
        "per_clip": asdict(result.metrics),
        "per_class": result.per_class,
        "failed": [asdict(failure) for failure in result.failed],
        "unlearned": result.unlearned,
    }
    write_atomically(out / "report.json", json.dumps(figures, indent=1))
    with (out / "named.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["clip", "gloss", "signer", "rank", *(f"{n}" for n in range(1, SHOWN + 1))])
        for one in result.predictions:
            best = [f"{label} {share:.3f}" for label, share in one.best]
            rows.writerow([one.clip.video_id, one.clip.gloss, one.clip.signer, one.rank, *best])
    draw_confusions(confusions(result.predictions)).save(out / "confusions.png")


Pairs = Mapping[tuple[str, str], int]
"""How often a clip of the first label was taken for the second."""


def confusions(predictions: Sequence[ClipPrediction]) -> Pairs:
    """Of all clips with a prediction."""
    return Counter((one.clip.gloss, one.best[0][0]) for one in predictions if one.best)


def draw_confusions(pairs: Pairs) -> Image.Image:
    """True labels down, answers across; the darker, the more of a label's clips; right ones green, wrong ones red.

    Of more than 40 labels the picture shows those that are confused most.
    """
    labels = _most_confused(pairs)
    totals = {label: sum(count for (true, _), count in pairs.items() if true == label) for label in labels}
    side = CELL * len(labels)
    sheet = Image.new("RGB", (MARGIN + side + CELL, side + 3 * CELL), (255, 255, 255))
    pen = ImageDraw.Draw(sheet)
    for row, true in enumerate(labels):
        top = 2 * CELL + row * CELL
        pen.text((4, top + 2), f"{row + 1:2d} {true}"[: MARGIN // 6 - 1], fill=INK)
        pen.text((MARGIN + row * CELL + 2, CELL), f"{row + 1}", fill=INK)
        for column, taken in enumerate(labels):
            share = pairs.get((true, taken), 0) / max(1, totals[true])
            box = [MARGIN + column * CELL, top, MARGIN + (column + 1) * CELL, top + CELL]
            pen.rectangle(box, fill=_shade(share, right=row == column), outline=(225, 225, 225))
    pen.text((MARGIN, 2), "taken for (numbers as on the left)", fill=INK)
    return sheet


def _most_confused(pairs: Pairs) -> list[str]:
    labels = sorted({label for pair in pairs for label in pair})
    if len(labels) <= MOST:
        return labels
    wrong: Counter[str] = Counter()
    for (true, taken), count in pairs.items():
        if true != taken:
            wrong.update({true: count, taken: count})
    return sorted(label for label, _ in wrong.most_common(MOST))


def _shade(share: float, *, right: bool) -> tuple[int, int, int]:
    colour = (30, 130, 60) if right else (190, 50, 40)
    red, green, blue = (round(255 + (part - 255) * share) for part in colour)
    return red, green, blue
