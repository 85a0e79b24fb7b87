"""Clips on disk: H.264 or VP9 videos, exact keypoints, and the table a dictionary is read from."""

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from training.errors import OutputError
from training.synth import backgrounds
from training.synth.backgrounds import Painter
from training.synth.cast import BodySource, Signer, cast_signer
from training.synth.clips import Keypoints, Take, clip_rng, draw, load_signer, take
from training.synth.files import write_whole
from training.synth.lexicon import make_signs
from training.synth.phonology import Sign
from training.synth.render import Renderer
from training.synth.settings import AS_REAL_CLIPS, Variety, random_scene, studio_scene
from training.synth.video import Container, encode

LANGUAGE = "x-forms"
"""Of every entry: invented forms, no sign language."""
FIELDS = ("id", "gloss", "video", "signer", "language", "tags", "keypoints")


@dataclass(frozen=True)
class RenderPlan:
    """What `render` makes; the same plan makes the same clips on one machine."""

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
    closest: float = AS_REAL_CLIPS
    """The most that a clip is filmed closer than an upper body with both arms held out needs; a studio never is."""
    bodies: str = "people"
    """Named in the plan, so that a folder is not continued with other bodies: people or mannequins."""
    pictures: str | None = None
    """Folder of backgrounds, used behind half of the clips."""
    lexicon_seed: int | None = None
    """Draws the signs, where several folders should hold the same ones by other signers; None: `seed`."""

    @property
    def signs(self) -> tuple[Sign, ...]:
        """What is performed."""
        return make_signs(self.num_signs, self.seed if self.lexicon_seed is None else self.lexicon_seed)


@dataclass(frozen=True)
class Entry:
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
    advance: Callable[[Entry, bool], None] = lambda entry, made: None,
) -> tuple[Entry, ...]:
    """Render every sign by every signer into a folder; clips that are there already are kept.

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
    renderer = Renderer(plan.width, plan.height)
    entries: list[Entry] = []
    for number in range(plan.num_signers):
        wanted = [entry_of(sign, f"s{number:02d}", plan.container) for sign in signs]
        missing = [place for place, entry in enumerate(wanted) if not _is_there(folder, entry)]
        clips = _takes(plan, signs, missing, number=number, bodies=bodies, pictures=pictures)
        for place, entry in enumerate(wanted):
            if place in missing:
                write_clip(folder, entry, next(clips), renderer, plan)
            advance(entry, place in missing)
        entries += wanted
    write_entries(folder, entries)
    renderer.close()
    return tuple(entries)


def entry_of(sign: Sign, signer: str, container: Container, tags: str = "synthetic") -> Entry:
    """The table's row of a sign by a signer."""
    name = f"{slug(sign.gloss)}__{signer}"
    return Entry(name, sign.gloss, f"videos/{name}.{container}", signer, tags, f"keypoints/{name}.npz")


def _takes(
    plan: RenderPlan,
    signs: tuple[Sign, ...],
    places: list[int],
    *,
    number: int,
    bodies: BodySource,
    pictures: Painter | None,
) -> Iterator[Take]:
    """The takes of some signs by one signer, whose body is made when the first is asked for."""
    signer: Signer | None = None
    size = (plan.width, plan.height)
    for place in places:
        signer = signer or cast_signer(bodies, number, plan.seed)
        rng = clip_rng(plan.seed, place, number)
        rig = signer.body.rig
        scene = (
            studio_scene(rig, *size)
            if plan.studio
            else random_scene(rng, rig, *size, variety=Variety(closest=plan.closest), pictures=pictures)
        )
        yield take(signs[place], signer, scene, size, rng, fps=plan.fps)


def write_clip(folder: Path, entry: Entry, clip: Take, renderer: Renderer, plan: RenderPlan) -> None:
    """Draw a take and write its video and keypoints, each whole or not at all.

    Raises:
        OutputError: the files can't be written; no half file is left.
    """
    body = load_signer(renderer, clip.signer, clip.scene)
    video = encode(draw(renderer, body, clip), plan.fps, container=plan.container, crf=clip.scene.film.crf or plan.crf)
    body.release()
    _write(folder / entry.keypoints, pack_keypoints(clip.keypoints, plan))
    # The video comes last: where it is, the clip is whole.
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


def write_entries(folder: Path, entries: list[Entry]) -> None:
    """Write entries.csv.

    Raises:
        OutputError: it can't be written.
    """
    buffer = io.StringIO()
    table = csv.DictWriter(buffer, FIELDS, lineterminator="\n")
    table.writeheader()
    table.writerows(entry.row() for entry in entries)
    _write(folder / "entries.csv", buffer.getvalue().encode())


def _is_there(folder: Path, entry: Entry) -> bool:
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
        f"{name} {old.get(name)} there, {new[name]} asked for" for name in new if old.get(name) != new[name]
    )


def _write(path: Path, content: bytes) -> None:
    try:
        write_whole(path, content)
    except OSError as error:
        raise OutputError(
            f"{path} can't be written: {error}; what was finished is kept, the same command resumes"
        ) from error
