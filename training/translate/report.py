"""How well sentences are translated: BLEU by sacrebleu, beside what is published of the same data set."""

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sacrebleu.metrics.bleu import BLEU

from training.data.shard_files import write_whole
from training.errors import EvaluationError
from training.translate.data import Sample
from training.translate.network import translate
from training.translate.state import Trained

PUBLISHED = {"phoenix14t": 20.38, "csl-daily": 16.33}
"""BLEU-4 of SignRep, its encoder frozen, by the reader that the features were made with."""


@dataclass(frozen=True)
class Said:
    """One sentence: what it says, and what it was taken for."""

    name: str
    meant: tuple[str, ...]
    said: tuple[str, ...]


@dataclass(frozen=True)
class Assessment:
    """How a split went."""

    said: tuple[Said, ...]
    bleu: tuple[float, float, float, float]
    """BLEU-1 to BLEU-4, times 100."""
    right: float
    """Percent of sentences that are right to the last unit."""
    signature: str
    """How BLEU was computed, in sacrebleu's words."""


def assess(trained: Trained, samples: Sequence[Sample]) -> Assessment:
    """Translate some sentences and compare.

    Raises:
        EvaluationError: there is none, or its features have another width than those that were learned from.
    """
    if not samples:
        raise EvaluationError("there is no sentence to be tested on; the features have none in this split")
    if samples[0].sign.shape[1] != trained.dim:
        raise EvaluationError(
            f"features have {samples[0].sign.shape[1]} values a window, learned were {trained.dim}; use those of the"
            " encoder that was trained with"
        )
    network, config = trained.network, trained.config
    device = next(network.parameters()).device
    was_training = network.training
    network.eval()
    said = tuple(
        Said(
            sample.name,
            sample.text,
            trained.vocabulary.decode(
                translate(network, sample.sign.to(device), beam=config.beam, max_units=config.max_units)
            ),
        )
        for sample in samples
    )
    network.train(was_training)
    return compare(said)


def compare(said: Sequence[Said]) -> Assessment:
    """BLEU of some translations. Units count as they are: sacrebleu splits nothing further."""
    meant, found = [" ".join(one.meant) for one in said], [" ".join(one.said) for one in said]
    metrics = [BLEU(tokenize="none", force=True, max_ngram_order=order) for order in (1, 2, 3, 4)]
    scores = [float(metric.corpus_score(found, [meant]).score) for metric in metrics]
    right = 100.0 * sum(one.meant == one.said for one in said) / len(said)
    one, two, three, four = scores
    return Assessment(tuple(said), (one, two, three, four), right, str(metrics[-1].get_signature()))


def published(about: dict[str, Any]) -> str | None:
    """What is published of the data set of some features, in words; None where nothing is."""
    reader = about.get("reader")
    return f"published for SignRep on {reader}: BLEU-4 {PUBLISHED[reader]}" if reader in PUBLISHED else None


def lines(found: Assessment, about: dict[str, Any]) -> list[str]:
    """An assessment in words, beside what is published."""
    bleu = ", ".join(f"BLEU-{order} {score:.2f}" for order, score in enumerate(found.bleu, start=1))
    text = [
        f"{len(found.said)} sentences: {bleu}; {found.right:.1f} % right as a whole",
        f"sacrebleu {found.signature}",
    ]
    known = published(about)
    return [*text, known] if known else text


def write_report(found: Assessment, out: Path) -> None:
    """Write `report.json`, and `said.csv` with every sentence, into a folder."""
    out.mkdir(parents=True, exist_ok=True)
    figures = {key: value for key, value in asdict(found).items() if key != "said"}
    write_whole(out / "report.json", json.dumps({"num_sentences": len(found.said)} | figures, indent=1))
    with (out / "said.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["name", "meant", "said"])
        rows.writerows([one.name, " ".join(one.meant), " ".join(one.said)] for one in found.said)
