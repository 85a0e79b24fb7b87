"""Features with their sentences, as `training.features` or the code of Sign Language Transformers writes them.

Windows are padded at the end. In vocabularies PAD, START, END and UNKNOWN come before the units of texts, and the blank
of CTC before the glosses.
"""

import gzip
import io
import json
import pickle
import zlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from training.errors import DataError, ManifestError
from training.translate.config import TranslateConfig, Units

PAD, START, END, UNKNOWN = range(4)
SPECIAL = ("<pad>", "<start>", "<end>", "<unknown>")
ORDER = 41
"""Keeps the random numbers of the order apart from all others."""
SPLITS = ("train", "dev", "test")
FIELDS = ("name", "signer", "gloss", "text", "sign")
MAX_NAMED = 5


@dataclass(frozen=True)
class Sample:
    """One sentence."""

    name: str
    glosses: tuple[str, ...]
    """Empty where they are not known."""
    text: tuple[str, ...]
    """Its units."""
    sign: Tensor
    """[T, D] float32 features."""


@dataclass(frozen=True)
class Corpus:
    """All sentences that can be used."""

    splits: dict[str, tuple[Sample, ...]]
    dim: int
    """Of a window."""
    features_info: dict[str, Any]
    """`features.json`; empty where there is none."""
    warnings: tuple[str, ...]


class TensorUnpickler(pickle.Unpickler):
    """Reads pickles of plain data and tensors; everything that could run code is refused."""

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 pickle's own signature
        """The constructors of tensors.

        Raises:
            UnpicklingError: the pickle needs something else.
        """
        allowed = {
            ("torch._utils", "_rebuild_tensor_v2"): torch._utils._rebuild_tensor_v2,
            ("torch.storage", "_load_from_bytes"): _load_storage,
            ("collections", "OrderedDict"): OrderedDict,
        }
        if (module, name) not in allowed:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}; plain data and tensors were expected")
        return allowed[module, name]


def _load_storage(content: bytes) -> object:
    return torch.load(io.BytesIO(content), weights_only=True)


def read_corpus(folder: Path, units: Units) -> Corpus:
    """The splits of a folder.

    Raises:
        DataError: there is no training sentence, a file is damaged, or features differ in width.
        ManifestError: a sentence is in two splits.
    """
    splits: dict[str, tuple[Sample, ...]] = {}
    warnings: list[str] = []
    for split in SPLITS:
        path = folder / f"{split}.pkl.gz"
        if path.exists():
            splits[split], found = read_split(path, units)
            warnings += found
    if not splits.get("train"):
        raise DataError(f"{folder} has no sentence to train on in train.pkl.gz; python -m training.features writes it")
    _check_apart(splits)
    dims = {sample.sign.shape[1]: sample.name for part in splits.values() for sample in part}
    if len(dims) > 1:
        raise DataError(f"{folder} has features of several widths: {', '.join(f'{d} of {n}' for d, n in dims.items())}")
    path = folder / "features.json"
    features_info = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return Corpus(splits, next(iter(dims)), features_info, tuple(warnings))


def _check_apart(splits: dict[str, tuple[Sample, ...]]) -> None:
    split_of: dict[str, str] = {}
    for split, samples in splits.items():
        for sample in samples:
            if sample.name in split_of:
                raise ManifestError(f"{sample.name} is in {split_of[sample.name]} and in {split}; a sentence is in one")
            split_of[sample.name] = split


def read_split(path: Path, units: Units) -> tuple[tuple[Sample, ...], list[str]]:
    """The sentences of a file that can be used, and warnings about the others.

    Raises:
        DataError: the file is cut short, damaged, or of another form; it is named.
    """
    try:
        with gzip.open(path) as file:
            content = TensorUnpickler(file).load()
    except (OSError, EOFError, zlib.error, pickle.UnpicklingError, RuntimeError, ValueError) as error:
        raise DataError(
            f"{path} is damaged ({error}); delete it and run training.features again, which keeps what was finished"
        ) from error
    if not isinstance(content, list):
        raise DataError(f"{path} holds a {type(content).__name__}; features are a list of sentences")
    samples = [_sample(item, path, place, units) for place, item in enumerate(content)]
    usable = tuple(sample for sample in samples if sample.text and len(sample.sign))
    return usable, [
        *_warning(path, "no text and are left out", [one.name for one in samples if not one.text]),
        *_warning(path, "no window and are left out", [one.name for one in samples if not len(one.sign)]),
        *_warning(path, "no gloss; only their text counts", [one.name for one in usable if not one.glosses]),
    ]


def _warning(path: Path, what: str, names: Sequence[str]) -> list[str]:
    shown = ", ".join(names[:MAX_NAMED]) + (", ..." if len(names) > MAX_NAMED else "")
    return [f"{path.name}: {len(names)} sentences have {what}: {shown}"] if names else []


def _sample(item: object, path: Path, place: int, units: Units) -> Sample:
    if not isinstance(item, dict) or (missing := [field for field in FIELDS if field not in item]):
        lacking = f"has no {', '.join(missing)}" if isinstance(item, dict) else f"is a {type(item).__name__}"
        raise DataError(f"{path}, sentence {place + 1} {lacking}; it needs {', '.join(FIELDS)}")
    if odd := [field for field in ("gloss", "text") if not isinstance(item[field], str)]:
        raise DataError(
            f"{path}: {' and '.join(odd)} of {item['name']} is no text; leave it empty where it is not known"
        )
    sign = item["sign"]
    if not isinstance(sign, Tensor) or sign.ndim != 2 or not sign.is_floating_point():
        raise DataError(f"{path}: the features of {item['name']} are not float [T, D]")
    if not torch.isfinite(sign).all():
        raise DataError(f"{path}: the features of {item['name']} hold values that are no numbers")
    return Sample(str(item["name"]), tuple(item["gloss"].split()), units_of(item["text"], units), sign.float())


def units_of(text: str, units: Units) -> tuple[str, ...]:
    """The units of a text."""
    return tuple(text.split()) if units == "words" else tuple("".join(text.split()))


@dataclass(frozen=True)
class Vocabulary:
    """Units of texts and glosses, in the order of their numbers."""

    words: tuple[str, ...]
    glosses: tuple[str, ...]

    @property
    def num_words(self) -> int:
        """Rows of the table of words, the special ones included."""
        return len(SPECIAL) + len(self.words)

    def encode(self, text: Sequence[str]) -> list[int]:
        """Numbers of a text, START before and END after it."""
        places = {unit: len(SPECIAL) + place for place, unit in enumerate(self.words)}
        return [START, *(places.get(unit, UNKNOWN) for unit in text), END]

    def encode_glosses(self, glosses: Sequence[str]) -> list[int]:
        """Numbers of glosses from 1; unknown ones are left out."""
        places = {gloss: 1 + place for place, gloss in enumerate(self.glosses)}
        return [places[gloss] for gloss in glosses if gloss in places]

    def decode(self, numbers: Sequence[int]) -> tuple[str, ...]:
        """The units of a text; special ones are left out."""
        return tuple(self.words[number - len(SPECIAL)] for number in numbers if number >= len(SPECIAL))


def vocabulary_of(samples: Sequence[Sample]) -> Vocabulary:
    """The vocabulary of some sentences."""
    return Vocabulary(
        tuple(sorted({unit for sample in samples for unit in sample.text})),
        tuple(sorted({gloss for sample in samples for gloss in sample.glosses})),
    )


@dataclass(frozen=True)
class Batch:
    """A batch of sentences."""

    sign: Tensor
    """[B, T, D], zeros behind the end of each."""
    num_windows: Tensor
    """[B]."""
    text: Tensor
    """[B, L] numbers of units, PAD behind the end of each."""
    glosses: Tensor
    """[sum of num_glosses] numbers, one sentence behind the other."""
    num_glosses: Tensor
    """[B], 0 where they are not known."""

    def __len__(self) -> int:
        return len(self.sign)

    def to(self, device: torch.device) -> "Batch":
        """The same on a device."""
        return Batch(
            self.sign.to(device),
            self.num_windows.to(device),
            self.text.to(device),
            self.glosses.to(device),
            self.num_glosses.to(device),
        )


def batches(
    samples: Sequence[Sample], vocabulary: Vocabulary, config: TranslateConfig, *, first_batch: int = 0
) -> Iterator[Batch]:
    """Batches without end, in epochs of another order each.

    The sentences of a batch follow from its number, the dropped windows from torch's generator.
    """
    stream = _rows(len(samples), config.seed, first_batch * config.batch_size)
    while True:
        chosen = [samples[next(stream)] for _ in range(config.batch_size)]
        yield collate(chosen, vocabulary, config.data.drop_windows)


def _rows(num: int, seed: int, first: int) -> Iterator[int]:
    epoch, done = divmod(first, num)
    while True:
        order = np.random.default_rng((seed, ORDER, epoch)).permutation(num)
        yield from (int(place) for place in order[done:])
        epoch, done = epoch + 1, 0


def collate(samples: Sequence[Sample], vocabulary: Vocabulary, drop_windows: float = 0.0) -> Batch:
    """A batch of sentences.

    Args:
        samples: the sentences.
        vocabulary: gives the numbers.
        drop_windows: up to this share of the windows of each is left out, by torch's generator; at least one stays.
    """
    signs = [_thinned(sample.sign, drop_windows) if drop_windows else sample.sign for sample in samples]
    texts = [torch.tensor(vocabulary.encode(sample.text)) for sample in samples]
    glosses = [vocabulary.encode_glosses(sample.glosses) for sample in samples]
    return Batch(
        pad_sequence(signs, batch_first=True),
        torch.tensor([len(sign) for sign in signs]),
        pad_sequence(texts, batch_first=True, padding_value=PAD),
        torch.tensor([number for one in glosses for number in one], dtype=torch.int64),
        torch.tensor([len(one) for one in glosses]),
    )


def _thinned(sign: Tensor, drop_windows: float) -> Tensor:
    share = float(torch.rand(())) * drop_windows
    kept = torch.rand(len(sign)) >= share
    return sign[kept] if kept.any() else sign[:1]
