"""The demo dictionary: signs by one signer in a studio, and queries by others, each in another room and light."""

import csv
import dataclasses
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from training.atomic import write_atomically
from training.errors import OutputError
from training.synth.clips.clip import PosedClip
from training.synth.clips.clip_source import ClipSource
from training.synth.clips.dictionary import LANGUAGE, slug
from training.synth.clips.lexicon import make_signs
from training.synth.clips.signers import BodySource, Leading, Signer
from training.synth.language.phonology import Sign
from training.synth.render.backgrounds import room
from training.synth.render.random_scene import random_scene, studio_scene
from training.video_encoding import Container, encode

SEED = 2026
NUM_SIGNS = 40
MAX_GLOSS = 34
"""Characters: the demo shows forms whose names can be read at a glance."""
DICTIONARY_SIZE = (480, 360)
DICTIONARY_CRF, QUERY_CRF = 25, 27
FIELDS = ("id", "gloss", "video", "signer", "language", "tags")
COMMAND = "python -m training.synth demo"


@dataclass(frozen=True)
class DemoQuery:
    """Size, rate and signer of one query clip."""

    size: tuple[int, int]
    fps: float = 25.0
    container: Container = "mp4"
    leading: Leading = "right"
    tags: str = "synthetic"


QUERIES: tuple[DemoQuery, ...] = (
    DemoQuery((640, 360)),
    DemoQuery((640, 360), leading="left", tags="synthetic;left-handed"),
    DemoQuery((360, 640), fps=30.0, container="webm", tags="synthetic;portrait"),
    DemoQuery((480, 480)),
    DemoQuery((640, 360), fps=30.0),
    DemoQuery((480, 360)),
    DemoQuery((640, 360)),
    DemoQuery((480, 360), fps=30.0),
    DemoQuery((640, 360)),
    DemoQuery((480, 480)),
    DemoQuery((640, 360)),
    DemoQuery((480, 360)),
)


def demo_signs() -> tuple[Sign, ...]:
    """The demo's signs: the first of a lexicon whose names are short."""
    return tuple(sign for sign in make_signs(8 * NUM_SIGNS, SEED) if len(sign.gloss) <= MAX_GLOSS)[:NUM_SIGNS]


def make_demo(folder: Path, bodies: BodySource, advance: Callable[[str], None] = lambda name: None) -> int:
    """Render `dictionary/` and `queries/` into a folder; clips that its tables named before and no longer name go.

    Args:
        folder: usually app/demo.
        bodies: makes the signers.
        advance: called with the name of every clip that is done.

    Returns:
        Bytes written.

    Raises:
        OutputError: the files can't be written.
        RenderUnavailableError: no OpenGL can be had.
        AssetError: a file of a body is missing or damaged.
    """
    signs = demo_signs()
    total = _write_dictionary(folder / "dictionary", signs, bodies, advance)
    total += _write_queries(folder / "queries", signs, bodies, advance)
    return total + _put(folder / "README.md", readme(len(signs)).encode())


def _write_dictionary(folder: Path, signs: tuple[Sign, ...], bodies: BodySource, advance: Callable[[str], None]) -> int:
    source = ClipSource(bodies, seed=SEED, size=DICTIONARY_SIZE)
    signer = source.signer(0, "right")
    scene = studio_scene(signer.body.rig, *DICTIONARY_SIZE)
    body = source.load(signer, scene)
    total, rows = 0, []
    for number, sign in enumerate(signs):
        clip = source.clip(sign, signer, scene, source.rng(number, 0))
        name = f"{slug(sign.gloss)}.mp4"
        total += _put(folder / name, encode(source.batches(clip, body), clip.fps, crf=DICTIONARY_CRF))
        rows.append(_row(name, sign, signer, "synthetic"))
        advance(f"dictionary/{name}")
    body.release()
    source.close()
    return total + _put_table(folder, rows)


def _write_queries(folder: Path, signs: tuple[Sign, ...], bodies: BodySource, advance: Callable[[str], None]) -> int:
    total, rows = 0, []
    for number, query in enumerate(QUERIES):
        sign_number = (number * len(signs)) // len(QUERIES)
        sign = signs[sign_number]
        source = ClipSource(bodies, seed=SEED, size=query.size, fps=query.fps)
        clip = _query_clip(source, sign, sign_number, number + 1, query.leading)
        name = f"{slug(sign.gloss)}.{query.container}"
        video = encode(source.batches(clip), query.fps, container=query.container, crf=QUERY_CRF)
        total += _put(folder / name, video)
        rows.append(_row(name, sign, clip.signer, query.tags))
        source.close()
        advance(f"queries/{name}")
    return total + _put_table(folder, rows)


def _query_clip(source: ClipSource, sign: Sign, sign_number: int, signer_number: int, leading: Leading) -> PosedClip:
    signer, rng = source.signer(signer_number, leading), source.rng(sign_number, signer_number)
    scene = random_scene(rng, signer.body.rig, *source.size)
    # Sensor noise would be most of the file.
    film = dataclasses.replace(scene.film, noise=min(scene.film.noise, 0.012), crf=None)
    scene = dataclasses.replace(scene, film=film, background=room(rng, *source.size))
    return source.clip(sign, signer, scene, rng)


def _row(name: str, sign: Sign, signer: Signer, tags: str) -> dict[str, str]:
    return {
        "id": Path(name).stem,
        "gloss": sign.gloss,
        "video": name,
        "signer": signer.id,
        "language": LANGUAGE,
        "tags": tags,
    }


def _put_table(folder: Path, rows: list[dict[str, str]]) -> int:
    """Write entries.csv and remove the clips that only the table before it named."""
    path = folder / "entries.csv"
    before = list(csv.DictReader(path.read_text().splitlines())) if path.is_file() else []
    size = _put(path, _table(rows))
    for name in {row["video"] for row in before} - {row["video"] for row in rows}:
        (folder / Path(name).name).unlink(missing_ok=True)
    return size


def _table(rows: list[dict[str, str]]) -> bytes:
    buffer = io.StringIO()
    table = csv.DictWriter(buffer, FIELDS, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return buffer.getvalue().encode()


def readme(num_signs: int) -> str:
    """The folder's README."""
    return f"""# The demo

`dictionary/`: {num_signs} invented forms, performed by one synthetic signer. `queries/`: {len(QUERIES)} of them by
other signers, each in another room and light, one left-handed, one filmed upright as WebM. Each file is named after its
gloss; `entries.csv` says the rest.

These are forms, not words of any sign language: a gloss names handshape, place, movement, and how the hand is held.
Nobody was filmed. The clips are drawn from MakeHuman's CC0 meshes by

    {COMMAND}
"""


def _put(path: Path, content: bytes) -> int:
    try:
        write_atomically(path, content)
    except OSError as error:
        raise OutputError(f"{path} can't be written: {error}") from error
    return len(content)
