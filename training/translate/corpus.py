"""Made-up sentences for translation: rendered with the synthetic signer, with a text in words of no language.

Every sign of a small lexicon has a word. A sentence is two to five signs in an order that comes nowhere else; its text
has their words, that of the last sign in second place, as languages do that put the verb there. So the order has to be
translated too, and no word can be guessed from another.

    FOLDER/plan.json        the settings
    FOLDER/videos/          a video per sentence
    FOLDER/sentences.csv    the list that `training.features` reads, once all are there
"""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import Literal

import numpy as np

from model.encoder import Frames
from training.atomic import write_atomically
from training.data.listing.sentences import COLUMNS
from training.errors import OutputError
from training.parallel import WorkReport, run_parallel
from training.synth.clips.clip_source import ClipSource, clip_rng
from training.synth.clips.lexicon import make_signs
from training.synth.clips.signers import BodySource, Signer, body_source, sample_signer
from training.synth.language.phonology import Sign
from training.synth.motion.perform import perform
from training.synth.motion.sentences import join_performances
from training.synth.people.rig import Performance
from training.synth.render.random_scene import SceneVariation, random_scene
from training.synth.render.scene import Scene
from training.video_encoding import encode

Split = Literal["train", "dev", "test"]
SPLITS: tuple[Split, ...] = ("train", "dev", "test")
LENGTHS = (2, 3, 4, 5)
"""Signs of a sentence."""
ORDERS = 0x5A1D
"""Keeps the random numbers of the sentences apart from those of their performance."""
SHARP = SceneVariation(blur_exposures=1)
"""Rooms, cameras and light as in all clips; no motion blur, which takes three renderings of a frame."""
CRF = 23
_SYLLABLES = [consonant + vowel for consonant in "bdfgklmnprstvz" for vowel in "aeiou"]


@dataclass(frozen=True)
class CorpusPlan:
    """Settings of a corpus; the same plan gives the same videos on one machine."""

    num_signs: int = 20
    train_signers: int = 10
    dev_signers: int = 2
    test_signers: int = 3
    per_signer: int = 24
    """Sentences."""
    seed: int = 4177
    size_px: int = 256
    bodies: str = "mannequins"
    """Or people."""

    @property
    def num_signers(self) -> int:
        """All of them; nobody is in two splits."""
        return self.train_signers + self.dev_signers + self.test_signers

    def split(self, signer: int) -> Split:
        """The split of a signer."""
        if signer < self.train_signers:
            return "train"
        return "dev" if signer < self.train_signers + self.dev_signers else "test"


@dataclass(frozen=True)
class SentencePlan:
    """A sentence to be rendered: who signs what."""

    number: int
    signer: int
    signs: tuple[int, ...]
    """Places in the lexicon, in the order in which they are signed."""

    @property
    def name(self) -> str:
        """Of its video."""
        return f"s{self.signer:02d}-{self.number:04d}"

    @property
    def text(self) -> str:
        """Its translation."""
        first, *rest = self.signs
        return " ".join(word(sign) for sign in (first, *rest[-1:], *rest[:-1]))


def word(sign: int) -> str:
    """The word of a sign: two syllables, another word for every one of the first 4,900 signs."""
    num = len(_SYLLABLES)
    return _SYLLABLES[sign % num] + _SYLLABLES[(11 * sign + sign // num + 3) % num]


def token(sign: Sign) -> str:
    """The gloss of a sign as one token."""
    return sign.gloss.replace(" ", "_")


def plan_sentences(plan: CorpusPlan) -> tuple[SentencePlan, ...]:
    """All sentences, no two of them the same; all lengths alike.

    Raises:
        OutputError: there are not so many.
    """
    num, num_pairs = plan.num_signers * plan.per_signer, plan.num_signs * (plan.num_signs - 1)
    if plan.num_signs < max(LENGTHS) or num > len(LENGTHS) * num_pairs:
        raise OutputError(
            f"{num} sentences of {plan.num_signs} signs can't all differ; there are to be at least {max(LENGTHS)} signs"
            f" and, of so many signs, at most {len(LENGTHS) * num_pairs} sentences"
        )
    rng = np.random.default_rng((plan.seed, ORDERS))
    known: set[tuple[int, ...]] = set()
    made = []
    for number in range(num):
        signs = _new_order(rng, plan.num_signs, LENGTHS[number % len(LENGTHS)], known)
        made.append(SentencePlan(number, number // plan.per_signer, signs))
    return tuple(made)


def _new_order(rng: np.random.Generator, num_signs: int, length: int, known: set[tuple[int, ...]]) -> tuple[int, ...]:
    while True:
        order = tuple(int(sign) for sign in rng.choice(num_signs, length, replace=False))
        if order not in known:
            known.add(order)
            return order


def render_corpus(folder: Path, plan: CorpusPlan, assets: Path | None, *, workers: int = 1) -> WorkReport:
    """Render the sentences that do not exist yet; the list is written when all do.

    Args:
        folder: of the corpus.
        plan: of the sentences.
        assets: bodies of people; None for mannequins.
        workers: processes.

    Raises:
        OutputError: the folder holds sentences of another plan, or can't be written.
        RenderUnavailableError: no OpenGL can be had.
        AssetError: a file of a body is missing or damaged.
    """
    _claim(folder, plan)
    sentences = plan_sentences(plan)
    missing = [one for one in sentences if not video_of(folder, one).is_file()]
    failed = run_parallel(
        missing,
        partial(render_sentence, folder=folder, plan=plan, assets=assets),
        name=lambda one: one.name,
        workers=workers,
        phase="sentences",
    )
    if not failed:
        write_list(folder, plan, sentences)
    return WorkReport(len(missing) - len(failed), len(sentences) - len(missing), failed)


def render_sentence(sentence: SentencePlan, folder: Path, plan: CorpusPlan, assets: Path | None) -> None:
    """Render one sentence and write its video in one step."""
    frames = render_frames(sentence, plan, assets)
    write_atomically(video_of(folder, sentence), encode(frames, 25.0, crf=CRF))


@dataclass(frozen=True)
class PerformedSentence:
    """A performed sentence, before it is rendered."""

    signer: Signer
    scene: Scene
    performance: Performance
    rng: np.random.Generator
    """For the rest of the randomness, in rendering."""


def perform_sentence(sentence: SentencePlan, plan: CorpusPlan, assets: Path | None) -> PerformedSentence:
    """Perform a sentence in a scene of its own; it does not depend on other sentences."""
    signer, lexicon = _signer(sentence.signer, plan.seed, assets), _lexicon(plan)
    rng = clip_rng(plan.seed, sentence.number, sentence.signer)
    scene = random_scene(rng, signer.body.rig, plan.size_px, plan.size_px, variation=SHARP)
    signs = [perform(lexicon[sign], signer.body.rig, signer.style, rng) for sign in sentence.signs]
    return PerformedSentence(signer, scene, join_performances(signs), rng)


def render_frames(sentence: SentencePlan, plan: CorpusPlan, assets: Path | None) -> Iterator[Frames]:
    """The frames of a sentence, batch by batch, uint8 [N, H, W, 3]."""
    source, performed = _source(plan, assets), perform_sentence(sentence, plan, assets)
    clip = source.clip(performed.performance, performed.signer, performed.scene, performed.rng)
    yield from source.batches(clip)


@cache
def _source(plan: CorpusPlan, assets: Path | None) -> ClipSource:
    return ClipSource(_bodies(assets), seed=plan.seed, size=(plan.size_px, plan.size_px))


@cache
def _bodies(assets: Path | None) -> BodySource:
    return body_source(assets)


@cache
def _signer(number: int, seed: int, assets: Path | None) -> Signer:
    return sample_signer(_bodies(assets), number, seed, "right")


@cache
def _lexicon(plan: CorpusPlan) -> tuple[Sign, ...]:
    return make_signs(plan.num_signs, plan.seed)


def write_list(folder: Path, plan: CorpusPlan, sentences: Sequence[SentencePlan]) -> None:
    """Write sentences.csv."""
    lexicon = _lexicon(plan)
    buffer = io.StringIO()
    table = csv.DictWriter(buffer, COLUMNS, lineterminator="\n")
    table.writeheader()
    for one in sentences:
        table.writerow(
            {
                "name": one.name,
                "video": str(video_of(folder, one).relative_to(folder)),
                "split": plan.split(one.signer),
                "signer": f"s{one.signer:02d}",
                "gloss": " ".join(token(lexicon[sign]) for sign in one.signs),
                "text": one.text,
            }
        )
    write_atomically(folder / "sentences.csv", buffer.getvalue().encode())


def video_of(folder: Path, sentence: SentencePlan) -> Path:
    """Where a sentence's video lies."""
    return folder / "videos" / f"{sentence.name}.mp4"


def _claim(folder: Path, plan: CorpusPlan) -> None:
    """Write the plan beside its videos, or refuse a folder that holds those of another one."""
    path = folder / "plan.json"
    settings = asdict(plan)
    if path.is_file():
        existing = json.loads(path.read_text(encoding="utf-8"))
        changed = [
            f"{name} {existing.get(name)} there, {value} requested"
            for name, value in settings.items()
            if existing.get(name) != value
        ]
        if changed:
            raise OutputError(f"{folder} holds sentences of another plan ({', '.join(changed)}); give another folder")
        return
    write_atomically(path, json.dumps(settings, indent=1).encode())
