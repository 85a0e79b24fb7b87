"""The demo dictionary: signs by one signer in a studio, and queries by others, each in another room and light."""

import csv
import dataclasses
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from training.errors import OutputError
from training.synth.backgrounds import room
from training.synth.cast import BodySource, Leading, Signer, cast_signer
from training.synth.clips import Take, clip_rng, draw, load_signer, take
from training.synth.files import write_whole
from training.synth.lexicon import make_signs
from training.synth.phonology import Sign
from training.synth.render import Renderer
from training.synth.settings import random_scene, studio_scene
from training.synth.video import Container, encode
from training.synth.write import LANGUAGE, slug

SEED = 2026
NUM_SIGNS = 40
MAX_GLOSS = 34
"""Characters: the demo shows forms whose names can be read at a glance."""
DICTIONARY_SIZE = (480, 360)
DICTIONARY_CRF, QUERY_CRF = 25, 27
FIELDS = ("id", "gloss", "video", "signer", "language", "tags")
COMMAND = "python -m training.synth demo"


@dataclass(frozen=True)
class Query:
    """How one query clip is filmed."""

    size: tuple[int, int]
    fps: float = 25.0
    container: Container = "mp4"
    leading: Leading = "right"
    tags: str = "synthetic"


QUERIES: tuple[Query, ...] = (
    Query((640, 360)),
    Query((640, 360), leading="left", tags="synthetic;left-handed"),
    Query((360, 640), fps=30.0, container="webm", tags="synthetic;portrait"),
    Query((480, 480)),
    Query((640, 360), fps=30.0),
    Query((480, 360)),
    Query((640, 360)),
    Query((480, 360), fps=30.0),
    Query((640, 360)),
    Query((480, 480)),
    Query((640, 360)),
    Query((480, 360)),
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
    signer = cast_signer(bodies, 0, SEED, "right")
    renderer = Renderer(*DICTIONARY_SIZE)
    scene = studio_scene(signer.body.rig, *DICTIONARY_SIZE)
    body = load_signer(renderer, signer, scene)
    total, rows = 0, []
    for place, sign in enumerate(signs):
        clip = take(sign, signer, scene, DICTIONARY_SIZE, clip_rng(SEED, place, 0))
        name = f"{slug(sign.gloss)}.mp4"
        total += _put(folder / name, encode(draw(renderer, body, clip), clip.fps, crf=DICTIONARY_CRF))
        rows.append(_row(name, sign, signer, "synthetic"))
        advance(f"dictionary/{name}")
    body.release()
    renderer.close()
    return total + _put_table(folder, rows)


def _write_queries(folder: Path, signs: tuple[Sign, ...], bodies: BodySource, advance: Callable[[str], None]) -> int:
    total, rows = 0, []
    for number, query in enumerate(QUERIES):
        place = (number * len(signs)) // len(QUERIES)
        sign, signer = signs[place], cast_signer(bodies, number + 1, SEED, query.leading)
        clip = _query_take(sign, signer, query, place, number + 1)
        renderer = Renderer(*query.size)
        body = load_signer(renderer, signer, clip.scene)
        name = f"{slug(sign.gloss)}.{query.container}"
        video = encode(draw(renderer, body, clip), query.fps, container=query.container, crf=QUERY_CRF)
        total += _put(folder / name, video)
        rows.append(_row(name, sign, signer, query.tags))
        renderer.close()
        advance(f"queries/{name}")
    return total + _put_table(folder, rows)


def _query_take(sign: Sign, signer: Signer, query: Query, place: int, number: int) -> Take:
    rng = clip_rng(SEED, place, number)
    scene = random_scene(rng, signer.body.rig, *query.size)
    # Sensor noise would be most of the file.
    film = dataclasses.replace(scene.film, noise=min(scene.film.noise, 0.012), crf=None)
    filmed = dataclasses.replace(scene, film=film, background=room(rng, *query.size))
    return take(sign, signer, filmed, query.size, rng, fps=query.fps)


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
    """What the folder's README says."""
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
        write_whole(path, content)
    except OSError as error:
        raise OutputError(f"{path} can't be written: {error}") from error
    return len(content)
