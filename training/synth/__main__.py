"""The synthetic signer's commands: bodies, render, preview, stream, shards, bench, demo, distinct, fidelity, detect."""

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from training.atomic import write_atomically
from training.errors import OutputError, SynthError
from training.synth.clips.demo import NUM_SIGNS, QUERIES, make_demo
from training.synth.clips.dictionary import RenderPlan, render_dictionary
from training.synth.clips.lexicon import make_signs
from training.synth.clips.preview import motion_sheet, people_sheet, picture_bytes
from training.synth.clips.shards import ShardPlan, find_motions, render_shards
from training.synth.clips.signers import BodySource, body_source
from training.synth.clips.window_stream import stream_windows
from training.synth.measures.commands import measures
from training.synth.people.assets import DEFAULT_FOLDER, fetch_assets, read_manifest
from training.synth.render import backgrounds
from training.synth.render.random_scene import REAL_CLIP_CLOSENESS

cli = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
cli.add_typer(measures)
console = Console(stderr=True)

Assets = Annotated[Path, typer.Option("--assets", help="Folder of the bodies' files.")]
Figures = Annotated[bool, typer.Option("--mannequins", help="Plain figures; needs no download.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Seed = Annotated[int, typer.Option(help="Seed of everything.")]
Size = Annotated[str, typer.Option(help="Frame size in pixels, WIDTHxHEIGHT.")]
Backgrounds = Annotated[Path | None, typer.Option(help="Folder of pictures, used behind half of the clips.")]


@contextmanager
def _progress(total: int, what: str) -> Iterator[Progress]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        progress.add_task(what, total=total)
        yield progress


def _step(progress: Progress) -> None:
    progress.advance(progress.task_ids[0])


def _say(result: dict[str, object], as_json: bool) -> None:
    print(json.dumps(result) if as_json else "\n".join(f"{name}: {value}" for name, value in result.items()))


def _bodies(assets: Path, mannequins: bool) -> BodySource:
    return body_source(None if mannequins else assets)


def _size(text: str) -> tuple[int, int]:
    width, cross, height = text.partition("x")
    if not (cross and width.isdigit() and height.isdigit()) or int(width) % 2 or int(height) % 2:
        raise typer.BadParameter(f"{text!r} is no size; give even numbers of pixels as WIDTHxHEIGHT, like 640x360")
    return int(width), int(height)


@cli.command()
def bodies(
    assets: Assets = DEFAULT_FOLDER,
    source: Annotated[Path | None, typer.Option("--from", help="Copy from this folder instead of the network.")] = None,
    json_: Json = False,
) -> None:
    """Fetch the meshes, targets, clothes, hair and skins, checked by SHA-256; run again to resume."""
    manifest = read_manifest()
    with _progress(len(manifest), "fetching") as progress:
        fetched = fetch_assets(assets, source_folder=source, advance=lambda asset, new: _step(progress))
    _say({"folder": str(assets), "files": len(manifest), "fetched": fetched}, json_)


@cli.command()
def render(
    out: Path,
    signs: Annotated[int, typer.Option(min=1)] = 40,
    signers: Annotated[int, typer.Option(min=1)] = 3,
    seed: Seed = 7,
    size: Size = "640x360",
    fps: Annotated[float, typer.Option(min=5, max=60)] = 25.0,
    webm: Annotated[bool, typer.Option("--webm", help="VP9 in WebM instead of H.264 in MP4.")] = False,
    studio: Annotated[bool, typer.Option("--studio", help="A plain studio instead of another room each.")] = False,
    closest: Annotated[
        float, typer.Option(min=1, help="Film clips up to so many times closer than both arms held out need.")
    ] = REAL_CLIP_CLOSENESS,
    pictures: Backgrounds = None,
    assets: Assets = DEFAULT_FOLDER,
    mannequins: Figures = False,
    json_: Json = False,
) -> None:
    """Write clips, entries.csv and exact keypoints; run again to resume."""
    width, height = _size(size)
    plan = RenderPlan(
        num_signs=signs,
        num_signers=signers,
        seed=seed,
        width=width,
        height=height,
        fps=fps,
        container="webm" if webm else "mp4",
        studio=studio,
        closest=closest,
        bodies="mannequins" if mannequins else "people",
        pictures=None if pictures is None else str(pictures),
    )
    start, num_made = time.perf_counter(), 0
    with _progress(signs * signers, "rendering") as progress:

        def advance(entry: object, made: bool) -> None:
            nonlocal num_made
            num_made += made
            _step(progress)

        entries = render_dictionary(out, plan, _bodies(assets, mannequins), advance=advance)
    seconds = round(time.perf_counter() - start, 1)
    _say({"folder": str(out), "clips": len(entries), "made": num_made, "seconds": seconds}, json_)


@cli.command()
def preview(
    out: Path,
    num: Annotated[int, typer.Option(min=1, help="People, or rows of signs.")] = 24,
    seed: Seed = 7,
    motion: Annotated[bool, typer.Option("--motion", help="One row per sign, from start to end.")] = False,
    size_px: Annotated[int, typer.Option(min=64, max=1024)] = 224,
    assets: Assets = DEFAULT_FOLDER,
    mannequins: Figures = False,
) -> None:
    """Write a contact sheet as .png, .jpg or .webp."""
    if out.suffix not in (".png", ".jpg", ".jpeg", ".webp"):
        raise typer.BadParameter(f"{out.name} must end in .png, .jpg or .webp")
    sheet = (motion_sheet if motion else people_sheet)(_bodies(assets, mannequins), num=num, seed=seed, size_px=size_px)
    try:
        write_atomically(out, picture_bytes(sheet, out.suffix))
    except OSError as error:
        raise OutputError(f"{out} can't be written: {error}") from error
    print(out)


@cli.command()
def stream(
    seconds: Annotated[float, typer.Option(min=1)] = 10.0,
    signs: Annotated[int, typer.Option(min=1)] = 200,
    seed: Seed = 7,
    size: Size = "224x224",
    worker: Annotated[int, typer.Option(min=0)] = 0,
    pictures: Backgrounds = None,
    assets: Assets = DEFAULT_FOLDER,
    mannequins: Figures = False,
    json_: Json = False,
) -> None:
    """Render windows for a while and report the rate; a training loop calls `stream_windows` itself."""
    windows = stream_windows(
        make_signs(signs, seed),
        _bodies(assets, mannequins),
        seed=seed,
        size=_size(size),
        worker=worker,
        pictures=None if pictures is None else backgrounds.folder(pictures),
    )
    start, count, signers, glosses = time.perf_counter(), 0, set(), set()
    while time.perf_counter() - start < seconds:
        window = next(windows)
        count += 1
        signers.add(window.signer)
        glosses.add(window.gloss)
    rate = round(count / (time.perf_counter() - start), 2)
    _say({"windows": count, "windows_per_s": rate, "signers": len(signers), "signs": len(glosses)}, json_)


@cli.command("shards")
def shards_command(
    out: Path,
    clips: Annotated[int, typer.Option(min=1, help="Clips in all; more continue a folder.")] = 1000,
    motions: Annotated[
        list[Path] | None, typer.Option(help="Landmarks to re-enact: files, or folders with sub-folders.")
    ] = None,
    reenacted: Annotated[float, typer.Option(min=0, max=1, help="Share of clips that re-enact, given motions.")] = 0.5,
    seed: Seed = 0,
    size_px: Annotated[int, typer.Option(min=64, max=1024)] = 256,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = os.cpu_count() or 1,
    assets: Assets = DEFAULT_FOLDER,
    mannequins: Figures = False,
) -> None:
    """Render clips into shards for pretraining; run again to resume. Exits with 1 when none could be rendered."""
    plan = ShardPlan(
        num_clips=clips,
        seed=seed,
        size_px=size_px,
        motions=tuple(find_motions(motions or ())),
        reenacted=reenacted,
        assets=None if mannequins else assets,
    )
    # A process per core: Mesa's own threads would only get in each other's way.
    os.environ.setdefault("LP_NUM_THREADS", "0")
    report = render_shards(plan, out, workers=workers)
    print("\n".join(report.lines()))
    if report.num_done + report.num_there == 0:
        raise typer.Exit(1)


@cli.command()
def bench(
    seconds: Annotated[float, typer.Option(min=1, help="Per row of the table.")] = 10.0,
    processes: Annotated[list[int] | None, typer.Option(help="Numbers of processes to measure.")] = None,
    write: Annotated[Path | None, typer.Option(help="Write the table to this Markdown file.")] = None,
    assets: Assets = DEFAULT_FOLDER,
    mannequins: Figures = False,
    json_: Json = False,
) -> None:
    """Measure frames per second of rendering and of the whole stream."""
    from training.bench.synth import as_json, as_markdown, run_bench

    folder = None if mannequins else str(assets)
    speeds = run_bench(folder, seconds, tuple(processes or (1, 2)))
    command = "python -m training.synth bench" + (" --mannequins" if mannequins else "")
    table = as_markdown(speeds, folder, command)
    if write is not None:
        write_atomically(write, table.encode())
    print(as_json(speeds) if json_ else table)


@cli.command()
def demo(
    out: Annotated[Path, typer.Option(help="Gets dictionary/ and queries/.")] = Path("app/demo"),
    assets: Assets = DEFAULT_FOLDER,
    mannequins: Figures = False,
    json_: Json = False,
) -> None:
    """Make the demo dictionary and its query clips."""
    with _progress(NUM_SIGNS + len(QUERIES), "rendering") as progress:
        total = make_demo(out, _bodies(assets, mannequins), advance=lambda name: _step(progress))
    _say({"folder": str(out), "clips": NUM_SIGNS + len(QUERIES), "bytes": total}, json_)


def main() -> None:
    """Run a command; errors of the synthetic signer are printed in one line."""
    try:
        cli()
    except SynthError as error:
        console.print(f"[red]error:[/red] {error}", highlight=False, soft_wrap=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
