"""The clips to train on: performed by synthetic signers, re-enacted, or read from the landmarks of real clips.

Nothing is rendered: a performance is posed on its body, and its keypoints go through `simulated_estimator`.
"""

import hashlib
import json
import os
import tempfile
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.errors import ClipError, ConfigError, DataError, PoseError
from training.progress import OnProgress, ignore_progress
from training.sl_slr.config import Data
from training.sl_slr.sequences import (
    FPS,
    Sequence61,
    gloss_of,
    landmark_files,
    make_sequence,
    mirrored,
    read_folder,
    shared_glosses,
)
from training.sl_slr.simulated_estimator import random_conditions, simulate_estimator
from training.synth.clips.lexicon import make_signs
from training.synth.clips.signers import Mannequins, Signer, sample_signer
from training.synth.motion.perform import perform
from training.synth.people.rig import Performance, pose_bones, pose_landmarks
from training.synth.reenactment.clip_landmarks import read_clip_landmarks
from training.synth.reenactment.reenact import reenact

CAST_SEED = 61
MADE_AS = 1
"""To be raised when the same settings give other clips than before, so that kept clips are not used for them."""


@dataclass(frozen=True)
class Corpus:
    """Clips, and the weight of each source."""

    clips: tuple[Sequence61, ...]
    sources: tuple[int, ...]
    """[N] source number of every clip."""
    weights: tuple[float, ...]
    """By source."""
    failed: tuple[str, ...] = ()
    """Why clips could not be used."""

    def partners(self) -> dict[str, list[int]]:
        """Clips of every gloss, within its source."""
        found: dict[str, list[int]] = {}
        for row, (clip, source) in enumerate(zip(self.clips, self.sources, strict=True)):
            found.setdefault(f"{source} {clip.gloss}", []).append(row)
        return found

    def partners_of(self, row: int, partners: dict[str, list[int]]) -> list[int]:
        """The clips of the same gloss, the clip itself included."""
        return partners[f"{self.sources[row]} {self.clips[row].gloss}"]


def open_corpus(data: Data, on_progress: OnProgress = ignore_progress) -> Corpus:
    """All clips of the sources of a config.

    Raises:
        ConfigError: a source is no source.
        DataError: a source has no usable clip.
    """
    left_out = shared_glosses(data.leave_out)
    clips: list[Sequence61] = []
    sources: list[int] = []
    weights, failed = [], []
    for number, text in enumerate(data.sources):
        kind, where, weight = parse_source(text)
        opened, reasons = _open(kind, where, data, left_out, on_progress)
        clips += opened
        sources += [number] * len(opened)
        weights.append(weight)
        failed += reasons
    return Corpus(tuple(clips), tuple(sources), tuple(weights), tuple(failed))


def parse_source(text: str) -> tuple[str, str, float]:
    """Kind, place and weight of KIND:WHERE[@WEIGHT].

    Raises:
        ConfigError: it is no source.
    """
    named, _, weight = text.partition("@")
    kind, _, where = named.partition(":")
    if kind not in ("lexicon", "poses", "reenacted") or not where:
        raise ConfigError(
            f"data.sources has {text!r}; allowed are lexicon:SIGNSxSIGNERS, poses:FOLDER and reenacted:FOLDERxBODIES,"
            " each with @WEIGHT or without"
        )
    try:
        number = float(weight or 1.0)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise ConfigError(f"data.sources has {text!r}; a weight is a number above 0")
    return kind, where, number


def _open(
    kind: str, where: str, data: Data, left_out: frozenset[str], on_progress: OnProgress
) -> tuple[Sequence[Sequence61], list[str]]:
    if kind == "poses":
        return read_folder(Path(where), left_out)
    first, _, second = where.rpartition("x")
    if not second.isdigit() or int(second) < 1 or (kind == "lexicon" and not (first.isdigit() and int(first) >= 1)):
        wanted = "SIGNSxSIGNERS, two numbers" if kind == "lexicon" else "FOLDERxBODIES, a folder and a number"
        raise ConfigError(f"data.sources has {kind}:{where}; {kind} takes {wanted} of at least 1")
    if kind == "reenacted":
        return reenacted(Path(first), int(second), data.first_signer, left_out, on_progress)
    return lexicon(int(first), int(second), data.lexicon_seed, data.first_signer, data.cache, on_progress), []


# ------------------------------------------------------------------------------------------------------------ performed


def lexicon(
    num_signs: int,
    num_signers: int,
    lexicon_seed: int,
    first_signer: int = 0,
    cache: str = "",
    on_progress: OnProgress = ignore_progress,
) -> list[Sequence61]:
    """Every sign of a lexicon by every signer of a cast, sign after sign.

    Args:
        num_signs: of the lexicon.
        num_signers: of the cast.
        lexicon_seed: draws the signs.
        first_signer: number of the first of the cast.
        cache: folder in which they are kept; empty for none.
        on_progress: called before every sign.
    """
    wanted = {"made_as": MADE_AS, "signs": num_signs, "signers": num_signers, "lexicon": lexicon_seed}
    wanted |= {"first": first_signer}
    kept = Path(cache) / f"lexicon-{_short(wanted)}.npz" if cache else None
    if kept is not None and kept.exists():
        return read_kept(kept)
    signs = make_signs(num_signs, lexicon_seed)
    cast = [sample_signer(Mannequins(), first_signer + number, CAST_SEED) for number in range(num_signers)]
    clips = []
    for row, sign in enumerate(signs):
        on_progress("performing", row, num_signs)
        for number, signer in enumerate(cast):
            rng = np.random.default_rng((lexicon_seed, row, first_signer + number))
            performance = perform(sign, signer.body.rig, signer.style, rng, FPS)
            clip = observe_performance(performance, signer, sign.gloss, rng)
            # A service indexes every clip mirrored, too; here a left-handed signer counts as filmed in a mirror.
            clips.append(mirrored(clip) if signer.style.leading == "left" else clip)
    if kept is not None:
        write_kept(kept, clips)
    return clips


def observe_performance(performance: Performance, signer: Signer, gloss: str, rng: np.random.Generator) -> Sequence61:
    """A performance as a pose estimator would observe it."""
    rig = signer.body.rig
    world = pose_landmarks(rig, pose_bones(rig, performance.rotations)).astype(np.float64)
    if performance.fps != FPS:
        num_frames = max(1, int(len(world) * FPS / performance.fps))
        world = world[np.minimum((np.arange(num_frames) * performance.fps / FPS).astype(int), len(world) - 1)]
    keypoints, confidence = simulate_estimator(world, random_conditions(rng), rng, FPS)
    return make_sequence(keypoints, confidence, gloss, signer.id)


def reenacted(
    folder: Path,
    num_bodies: int,
    first_signer: int,
    left_out: frozenset[str],
    on_progress: OnProgress = ignore_progress,
) -> tuple[list[Sequence61], list[str]]:
    """Every clip of a folder of landmarks performed by several bodies, and why others could not be.

    Raises:
        DataError: not one can be performed.
    """
    cast = [sample_signer(Mannequins(), first_signer + number, CAST_SEED) for number in range(num_bodies)]
    files = [file for file in landmark_files(folder) if gloss_of(file) not in left_out]
    clips, failed = [], []
    for row, file in enumerate(files):
        on_progress("re-enacting", row, len(files))
        try:
            landmarks = read_clip_landmarks(file)
        except (PoseError, ClipError) as error:
            failed.append(str(error))
            continue
        for number, signer in enumerate(cast):
            rng = np.random.default_rng((row, first_signer + number))
            # The file, not the gloss: two clips of a gloss are not the same movement.
            clips.append(observe_performance(reenact(landmarks, signer.body.rig, file.stem), signer, file.stem, rng))
    if not clips:
        raise DataError(f"none of the {len(files)} clips of {folder} can be re-enacted; {failed[0] if failed else ''}")
    return clips, failed


# ---------------------------------------------------------------------------------------------------------------- kept


def _short(wanted: dict[str, int]) -> str:
    return hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()[:12]


def write_kept(file: Path, clips: Iterable[Sequence61]) -> None:
    """Write clips such that `read_kept` reads them, or nothing."""
    clips = list(clips)
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, staged = tempfile.mkstemp(dir=file.parent, suffix=".part")
    with os.fdopen(handle, "wb") as out:
        np.savez(
            out,
            keypoints=np.concatenate([clip.keypoints for clip in clips]),
            known=np.concatenate([clip.known for clip in clips]),
            points=np.concatenate([clip.points for clip in clips]),
            lengths=np.array([clip.num_frames for clip in clips]),
            glosses=np.array([clip.gloss for clip in clips]),
            signers=np.array([clip.signer for clip in clips]),
        )
    Path(staged).replace(file)


def read_kept(file: Path) -> list[Sequence61]:
    """The inverse of `write_kept`.

    Raises:
        DataError: the file is damaged.
    """
    try:
        with np.load(file) as stored:
            ends = np.cumsum(stored["lengths"])[:-1]
            parts = [np.split(stored[name], ends) for name in ("keypoints", "known", "points")]
            names = zip(stored["glosses"].tolist(), stored["signers"].tolist(), strict=True)
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{file} does not hold kept clips ({error}); delete it, and they are performed again"
        ) from error
    return [Sequence61(*arrays, *both) for *arrays, both in zip(*parts, names, strict=True)]
