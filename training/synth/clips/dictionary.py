"""Rendered dictionaries on disk: H.264 or VP9 videos, exact keypoints, entries.csv."""

import csv
import io
import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from training.atomic import write_atomically
from training.errors import OutputError
from training.synth.clips.clip import Keypoints, PosedClip
from training.synth.clips.clip_source import ClipSource
from training.synth.clips.lexicon import make_signs
from training.synth.clips.signers import BodySource
from training.synth.language.phonology import Sign
from training.synth.render import backgrounds
from training.synth.render.backgrounds import Painter
from training.synth.render.random_scene import REAL_CLIP_CLOSENESS, SceneVariation, random_scene, studio_scene
from training.video_encoding import Container, encode

LANGUAGE = "x-forms"
"""Of every entry: invented forms, no sign language."""
FIELDS = ("id", "gloss", "video", "signer", "language", "tags", "keypoints")


@dataclass(frozen=True)
class RenderPlan:
    """Settings of `render`; the same plan makes the same clips on one machine."""

    num_signs: int = 40
    num_signers: int = 3
    seed: int = 7
    width: int = 640
    height: int = 360
    fps: float = 25.0
    container: Container = "mp4"
    crf: int = 23
    studio: bool = False
    """Every clip in a plain studio instead of another room each."""
    closest: float = REAL_CLIP_CLOSENESS
    """The most that a clip is filmed closer than an upper body with both arms held out needs; a studio never is."""
    bodies: str = "people"
    """Named in the plan, so that a folder is not continued with other bodies: people or mannequins."""
    pictures: str | None = None
    """Folder of backgrounds, used behind half of the clips."""
    lexicon_seed: int | None = None
    """Seed of the signs, where several folders should hold the same ones by other signers; None: `seed`."""

    @property
    def signs(self) -> tuple[Sign, ...]:
        """The signs to perform."""
        return make_signs(self.num_signs, self.seed if self.lexicon_seed is None else self.lexicon_seed)


@dataclass(frozen=True)
class RenderedEntry:
    """One clip of the table."""

    id: str
    gloss: str
    video: str
    signer: str
    tags: str
    keypoints: str

    def row(self) -> dict[str, str]:
        """The columns of entries.csv."""
        return {**asdict(self), "language": LANGUAGE}


def slug(gloss: str) -> str:
    """A gloss as a file name: lower case, words joined by hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", gloss.lower()).strip("-")


def render_dictionary(
    folder: Path,
    plan: RenderPlan,
    bodies: BodySource,
    *,
    advance: Callable[[RenderedEntry, bool], None] = lambda entry, made: None,
) -> tuple[RenderedEntry, ...]:
    """Render every sign by every signer into a folder; existing clips are kept.

    Args:
        folder: made when absent; it gets entries.csv, videos/ and keypoints/.
        plan: what to make.
        bodies: makes the signers.
        advance: called after each clip with its entry and whether it had to be made.

    Returns:
        All entries, in the order of the table.

    Raises:
        OutputError: the folder holds clips of another plan, or can't be written.
        RenderUnavailableError: no OpenGL can be had.
        AssetError: a file of a body or a background is missing or damaged.
    """
    pictures = None if plan.pictures is None else backgrounds.folder(Path(plan.pictures))
    _claim(folder, plan)
    signs = plan.signs
    source = ClipSource(bodies, seed=plan.seed, size=(plan.width, plan.height), fps=plan.fps)
    entries: list[RenderedEntry] = []
    for signer in range(plan.num_signers):
        for number, sign in enumerate(signs):
            entry = entry_of(sign, f"s{signer:02d}", plan.container)
            missing = not _exists(folder, entry)
            if missing:
                clip = _clip(source, plan, sign, number, signer, pictures)
                write_clip(folder, entry, clip, source, plan)
            advance(entry, missing)
            entries.append(entry)
    write_entries(folder, entries)
    source.close()
    return tuple(entries)


def entry_of(sign: Sign, signer: str, container: Container, tags: str = "synthetic") -> RenderedEntry:
    """The table's row of a sign by a signer."""
    name = f"{slug(sign.gloss)}__{signer}"
    return RenderedEntry(name, sign.gloss, f"videos/{name}.{container}", signer, tags, f"keypoints/{name}.npz")


def _clip(
    source: ClipSource, plan: RenderPlan, sign: Sign, number: int, signer_number: int, pictures: Painter | None
) -> PosedClip:
    """Sign `number` by a signer, in a studio or in a scene of its own."""
    signer, rng = source.signer(signer_number), source.rng(number, signer_number)
    if plan.studio:
        scene = studio_scene(signer.body.rig, *source.size)
    else:
        variation = SceneVariation(closest=plan.closest)
        scene = random_scene(rng, signer.body.rig, *source.size, variation=variation, pictures=pictures)
    return source.clip(sign, signer, scene, rng)


def write_clip(folder: Path, entry: RenderedEntry, clip: PosedClip, source: ClipSource, plan: RenderPlan) -> None:
    """Render a clip and write its video and keypoints, each whole or not at all.

    Raises:
        OutputError: the files can't be written; no half file is left.
    """
    crf = clip.scene.film.crf or plan.crf
    video = encode(source.batches(clip), plan.fps, container=plan.container, crf=crf)
    _write(folder / entry.keypoints, pack_keypoints(clip.keypoints, plan))
    # The video comes last: where it exists, the clip is whole.
    _write(folder / entry.video, video)


def pack_keypoints(keypoints: Keypoints, plan: RenderPlan) -> bytes:
    """Keypoints as the bytes of an .npz: world, pixels, inside, fps, size."""
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        world=keypoints.world,
        pixels=keypoints.pixels,
        inside=keypoints.inside,
        fps=np.float32(plan.fps),
        size=np.array([plan.width, plan.height]),
    )
    return buffer.getvalue()


def write_entries(folder: Path, entries: list[RenderedEntry]) -> None:
    """Write entries.csv.

    Raises:
        OutputError: it can't be written.
    """
    buffer = io.StringIO()
    table = csv.DictWriter(buffer, FIELDS, lineterminator="\n")
    table.writeheader()
    table.writerows(entry.row() for entry in entries)
    _write(folder / "entries.csv", buffer.getvalue().encode())


def _exists(folder: Path, entry: RenderedEntry) -> bool:
    return (folder / entry.video).is_file() and (folder / entry.keypoints).is_file()


def _claim(folder: Path, plan: RenderPlan) -> None:
    """Write the plan beside its clips, or refuse a folder that holds those of another plan."""
    wanted = json.dumps(asdict(plan), indent=1)
    path = folder / "plan.json"
    if path.is_file():
        if path.read_text() != wanted:
            raise OutputError(
                f"{folder} holds clips of another plan ({_difference(path.read_text(), wanted)}); give the same "
                "options to continue it, or another folder"
            )
        return
    if folder.is_dir() and any(folder.iterdir()):
        raise OutputError(f"{folder} is not empty and holds no plan.json of a rendering; give another folder")
    _write(path, wanted.encode())


def _difference(there: str, wanted: str) -> str:
    """Which options differ between two plans."""
    try:
        old, new = json.loads(there), json.loads(wanted)
    except json.JSONDecodeError:
        return "plan.json is damaged"
    return ", ".join(
        f"{name} {old.get(name)} there, {new[name]} requested" for name in new if old.get(name) != new[name]
    )


def _write(path: Path, content: bytes) -> None:
    try:
        write_atomically(path, content)
    except OSError as error:
        raise OutputError(
            f"{path} can't be written: {error}; what was finished is kept, the same command resumes"
        ) from error
