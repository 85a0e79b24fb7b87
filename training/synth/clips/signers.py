"""Signers: a body and a signing style each, sampled by number from a seed."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from training.synth.motion.perform import SignerStyle, random_style
from training.synth.people.body import Body
from training.synth.people.human_body import BodyLibrary, build_body
from training.synth.people.identity import random_identity
from training.synth.people.mannequin import mannequin

SIGNER_STREAM = 0xCA57
"""Keeps the random numbers of signers apart from those of clips."""


@dataclass(frozen=True)
class Signer:
    """One person who signs."""

    id: str
    body: Body
    style: SignerStyle


class BodySource(Protocol):
    """Makes bodies."""

    def __call__(self, rng: np.random.Generator) -> Body:
        """A body sampled at random."""


class People:
    """Bodies of people, from MakeHuman's assets."""

    def __init__(self, library: BodyLibrary) -> None:
        self._library = library

    def __call__(self, rng: np.random.Generator) -> Body:
        """A person sampled at random.

        Raises:
            AssetError: a file that the person needs is missing or damaged.
        """
        return build_body(random_identity(rng), self._library)


class Mannequins:
    """Plain figures of different size and colour, from nothing."""

    def __call__(self, rng: np.random.Generator) -> Body:
        """A mannequin sampled at random."""
        skin = np.array([0.80, 0.62, 0.50]) * rng.uniform(0.45, 1.1)
        cloth = rng.uniform(0.1, 0.8, 3)
        return mannequin(
            scale=float(rng.uniform(0.92, 1.08)),
            skin=(float(skin[0]), float(skin[1]), float(skin[2])),
            cloth=(float(cloth[0]), float(cloth[1]), float(cloth[2])),
            girth=float(rng.uniform(0.9, 1.15)),
        )


Leading = Literal["left", "right"]


def sample_signer(bodies: BodySource, number: int, seed: int, leading: Leading | None = None) -> Signer:
    """Signer `number` of a seed: the same person however many others there are.

    Args:
        bodies: makes the body.
        number: which one, from 0.
        seed: of the signers.
        leading: the hand they lead with; None: as sampled.
    """
    rng = np.random.default_rng((seed, SIGNER_STREAM, number))
    style = random_style(rng)
    if leading is not None:
        style = dataclasses.replace(style, leading=leading)
    return Signer(f"s{number:02d}", bodies(rng), style)


def body_source(assets: Path | str | None) -> BodySource:
    """People made of the files in a folder; mannequins for None."""
    return Mannequins() if assets is None else People(BodyLibrary(Path(assets)))
