"""How well sentences are translated: BLEU by sacrebleu, beside the published result of the same data set."""

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sacrebleu.metrics.bleu import BLEU

from training.atomic import write_atomically
from training.errors import EvaluationError
from training.translate.data import Sample
from training.translate.network import translate
from training.translate.state import TrainedTranslator

PUBLISHED = {"phoenix14t": 20.38, "csl-daily": 16.33}
"""BLEU-4 of SignRep, its encoder frozen, by the reader of the features."""


@dataclass(frozen=True)
class TranslatedSentence:
    """A sentence: its text, and its translation."""

    name: str
    reference: tuple[str, ...]
    translation: tuple[str, ...]


@dataclass(frozen=True)
class TranslationResult:
    """How well the sentences of a split were translated."""

    sentences: tuple[TranslatedSentence, ...]
    bleu: tuple[float, float, float, float]
    """BLEU-1 to BLEU-4, times 100."""
    right: float
    """Percent of sentences that are right to the last unit."""
    signature: str
    """How BLEU was computed, in sacrebleu's words."""


def evaluate_sentences(trained: TrainedTranslator, samples: Sequence[Sample]) -> TranslationResult:
    """Translate some sentences and compare.

    Raises:
        EvaluationError: there is none, or its features have another width than those of the training.
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
    sentences = []
    for sample in samples:
        units = translate(network, sample.sign.to(device), beam=config.beam, max_units=config.max_units)
        sentences.append(TranslatedSentence(sample.name, sample.text, trained.vocabulary.decode(units)))
    network.train(was_training)
    return compare(sentences)


def compare(sentences: Sequence[TranslatedSentence]) -> TranslationResult:
    """BLEU of some translations. Units count as they are: sacrebleu splits nothing further."""
    references, translations = zip(
        *((" ".join(one.reference), " ".join(one.translation)) for one in sentences), strict=True
    )
    metrics = [BLEU(tokenize="none", force=True, max_ngram_order=order) for order in (1, 2, 3, 4)]
    one, two, three, four = (float(metric.corpus_score(translations, [references]).score) for metric in metrics)
    right = 100.0 * sum(one.reference == one.translation for one in sentences) / len(sentences)
    return TranslationResult(tuple(sentences), (one, two, three, four), right, str(metrics[-1].get_signature()))


def published(features_info: dict[str, Any]) -> str | None:
    """The published result on the data set of some features, in words; None where there is none."""
    reader = features_info.get("reader")
    return f"published for SignRep on {reader}: BLEU-4 {PUBLISHED[reader]}" if reader in PUBLISHED else None


def lines(result: TranslationResult, features_info: dict[str, Any]) -> list[str]:
    """A result in words, beside the published one."""
    bleu = ", ".join(f"BLEU-{order} {score:.2f}" for order, score in enumerate(result.bleu, start=1))
    text = [
        f"{len(result.sentences)} sentences: {bleu}; {result.right:.1f} % right as a whole",
        f"sacrebleu {result.signature}",
    ]
    known = published(features_info)
    return [*text, known] if known else text


def write_report(result: TranslationResult, out: Path) -> None:
    """Write `report.json`, and `said.csv` with every sentence, into a folder."""
    out.mkdir(parents=True, exist_ok=True)
    figures = {key: value for key, value in asdict(result).items() if key != "sentences"}
    write_atomically(out / "report.json", json.dumps({"num_sentences": len(result.sentences)} | figures, indent=1))
    with (out / "said.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["name", "meant", "said"])
        rows.writerows([one.name, " ".join(one.reference), " ".join(one.translation)] for one in result.sentences)
