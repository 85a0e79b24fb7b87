"""Made-up sentences to be translated: drawn by the synthetic signer, with a text in words of no language.

Every sign of a small lexicon has a word. A sentence is two to five signs in an order that comes nowhere else; its text
has their words, that of the last sign in second place, as languages do that put the verb there. So the order has to be
translated too, and no word follows from another: what a model says it has seen.

    FOLDER/plan.json        what is drawn
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
from training.batch import Report, run
from training.errors import OutputError
from training.sentences import COLUMNS
from training.synth.bench import body_source
from training.synth.cast import Signer, cast_signer
from training.synth.clips import clip_rng, draw, load_signer, take_of
from training.synth.files import write_whole
from training.synth.lexicon import make_signs
from training.synth.motion import perform
from training.synth.phonology import Sign
from training.synth.render import Renderer
from training.synth.rig import Performance
from training.synth.scene import Scene
from training.synth.sentences import join
from training.synth.settings import Variety, random_scene
from training.synth.video import encode

Split = Literal["train", "dev", "test"]
SPLITS: tuple[Split, ...] = ("train", "dev", "test")
LENGTHS = (2, 3, 4, 5)
"""Signs of a sentence."""
SAID = 0x5A1D
"""Keeps the random numbers of what is said apart from those of how."""
SHARP = Variety(blur_exposures=1)
"""Rooms, cameras and light as in all clips; no motion blur, which costs three pictures for one."""
CRF = 23
_SYLLABLES = [consonant + vowel for consonant in "bdfgklmnprstvz" for vowel in "aeiou"]


@dataclass(frozen=True)
class Plan:
    """What is drawn; the same plan gives the same videos on one machine."""

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
        """Where a signer belongs."""
        if signer < self.train_signers:
            return "train"
        return "dev" if signer < self.train_signers + self.dev_signers else "test"


@dataclass(frozen=True)
class Saying:
    """One sentence: who signs what."""

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
        """What it says."""
        first, *rest = self.signs
        return " ".join(word(sign) for sign in (first, *rest[-1:], *rest[:-1]))


def word(sign: int) -> str:
    """The word of a sign: two syllables, another word for every one of the first 4,900 signs."""
    num = len(_SYLLABLES)
    return _SYLLABLES[sign % num] + _SYLLABLES[(11 * sign + sign // num + 3) % num]


def token(sign: Sign) -> str:
    """A sign's gloss as one token among others."""
    return sign.gloss.replace(" ", "_")


def sayings(plan: Plan) -> tuple[Saying, ...]:
    """All sentences, no two of which are the same; as many of each length as can be.

    Raises:
        OutputError: there are not so many.
    """
    num, num_pairs = plan.num_signers * plan.per_signer, plan.num_signs * (plan.num_signs - 1)
    if plan.num_signs < max(LENGTHS) or num > len(LENGTHS) * num_pairs:
        raise OutputError(
            f"{num} sentences of {plan.num_signs} signs can't all differ; there are to be at least {max(LENGTHS)} signs"
            f" and, of so many signs, at most {len(LENGTHS) * num_pairs} sentences"
        )
    rng = np.random.default_rng((plan.seed, SAID))
    known: set[tuple[int, ...]] = set()
    made = []
    for number in range(num):
        signs = _new_order(rng, plan.num_signs, LENGTHS[number % len(LENGTHS)], known)
        made.append(Saying(number, number // plan.per_signer, signs))
    return tuple(made)


def _new_order(rng: np.random.Generator, num_signs: int, length: int, known: set[tuple[int, ...]]) -> tuple[int, ...]:
    while True:
        order = tuple(int(sign) for sign in rng.choice(num_signs, length, replace=False))
        if order not in known:
            known.add(order)
            return order


def draw_corpus(folder: Path, plan: Plan, assets: Path | None, *, workers: int = 1) -> Report:
    """Draw the sentences that are not there yet; the list is written when all are.

    Args:
        folder: of the corpus.
        plan: what to draw.
        assets: bodies of people; None for mannequins.
        workers: processes.

    Raises:
        OutputError: the folder holds sentences of another plan, or can't be written.
        RenderUnavailableError: no OpenGL can be had.
        AssetError: a file of a body is missing or damaged.
    """
    _claim(folder, plan)
    said = sayings(plan)
    missing = [one for one in said if not video_of(folder, one).is_file()]
    failed = run(
        missing,
        partial(draw_sentence, folder=folder, plan=plan, assets=assets),
        name=lambda one: one.name,
        workers=workers,
        phase="sentences",
    )
    if not failed:
        write_list(folder, plan, said)
    return Report(len(missing) - len(failed), len(said) - len(missing), failed)


def draw_sentence(said: Saying, folder: Path, plan: Plan, assets: Path | None) -> None:
    """Draw one sentence and write its video, whole or not at all."""
    frames = film(said, plan, assets)
    write_whole(video_of(folder, said), encode(frames, 25.0, crf=CRF))


@dataclass(frozen=True)
class Staged:
    """A sentence as it is performed, before anything is drawn."""

    signer: Signer
    scene: Scene
    performance: Performance
    rng: np.random.Generator
    """For what is still to be drawn at random."""


def stage(said: Saying, plan: Plan, assets: Path | None) -> Staged:
    """Perform a sentence in a room of its own; the same whatever else is performed."""
    signer, lexicon = _signer(said.signer, plan.seed, assets), _lexicon(plan)
    rng = clip_rng(plan.seed, said.number, said.signer)
    scene = random_scene(rng, signer.body.rig, plan.size_px, plan.size_px, variety=SHARP)
    signs = [perform(lexicon[sign], signer.body.rig, signer.style, rng) for sign in said.signs]
    return Staged(signer, scene, join(signs), rng)


def film(said: Saying, plan: Plan, assets: Path | None) -> Iterator[Frames]:
    """The frames of a sentence, batch by batch, uint8 [N, H, W, 3]."""
    renderer, staged = _renderer(plan.size_px), stage(said, plan, assets)
    size = (plan.size_px, plan.size_px)
    body = load_signer(renderer, staged.signer, staged.scene)
    yield from draw(renderer, body, take_of(staged.performance, staged.signer, staged.scene, size, staged.rng))
    body.release()


@cache
def _renderer(size_px: int) -> Renderer:
    return Renderer(size_px, size_px)


@cache
def _signer(number: int, seed: int, assets: Path | None) -> Signer:
    return cast_signer(body_source(None if assets is None else str(assets)), number, seed, "right")


@cache
def _lexicon(plan: Plan) -> tuple[Sign, ...]:
    return make_signs(plan.num_signs, plan.seed)


def write_list(folder: Path, plan: Plan, said: Sequence[Saying]) -> None:
    """Write sentences.csv."""
    lexicon = _lexicon(plan)
    buffer = io.StringIO()
    table = csv.DictWriter(buffer, COLUMNS, lineterminator="\n")
    table.writeheader()
    for one in said:
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
    write_whole(folder / "sentences.csv", buffer.getvalue().encode())


def video_of(folder: Path, said: Saying) -> Path:
    """Where a sentence's video lies."""
    return folder / "videos" / f"{said.name}.mp4"


def _claim(folder: Path, plan: Plan) -> None:
    """Write the plan beside its videos, or refuse a folder that holds those of another one."""
    path = folder / "plan.json"
    wanted = asdict(plan)
    if path.is_file():
        there = json.loads(path.read_text(encoding="utf-8"))
        changed = [
            f"{name} {there.get(name)} there, {value} asked for"
            for name, value in wanted.items()
            if there.get(name) != value
        ]
        if changed:
            raise OutputError(f"{folder} holds sentences of another plan ({', '.join(changed)}); give another folder")
        return
    write_whole(path, json.dumps(wanted, indent=1).encode())
