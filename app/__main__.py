"""The command line: `python -m app`."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import httpx
import typer
import uvicorn
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from app.console import bar, errors
from app.errors import EXPECTED_ERRORS, DictionaryEmptyError, SourceError
from app.evaluate import Evaluation, ask_offline, ask_over_http, evaluate, write_csv
from app.lookup import Stretch, look_up
from app.main import create_app
from app.schemas import SearchAnswer
from app.services import Services, open_services
from app.settings import MAX_K, Settings
from index import snapshot
from index.snapshot import Manifest

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Look a sign up by signing it.")
index_commands = typer.Typer(no_args_is_help=True, help="The dictionary on disk.")
app.add_typer(index_commands, name="index")

results = Console()

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Folder = Annotated[Path, typer.Argument(help="A folder of videos: DIR/GLOSS.mp4 or DIR/GLOSS/ANY.mp4.")]
K = Annotated[int, typer.Option("--k", min=1, max=MAX_K, help="How many signs.")]


@app.command()
def serve() -> None:
    """Answer searches over HTTP, on SIGNDEX_HOST:SIGNDEX_PORT."""
    settings = Settings()
    services = open_services(settings)
    _fill(services)
    _say_what_to_try(services)
    uvicorn.run(create_app(settings, services), host=settings.host, port=settings.port)


@app.command()
def search(
    video: Path, k: K = 10, start_s: float = 0.0, end_s: float | None = None, *, as_json: AsJson = False
) -> None:
    """Look one video up, without a running service; the hits are those of POST /search."""
    services = open_services(Settings())
    found = look_up(
        video,
        encoder=services.encoder,
        dictionary=services.dictionary(),
        limits=services.settings.video_limits,
        k=k,
        stretch=Stretch(start_s, end_s),
    )
    answer = SearchAnswer.of(found, receive_s=0.0, total_s=found.decode_s + found.encode_s + found.search_s)
    if as_json:
        print(answer.model_dump_json(indent=2))
    else:
        _show_hits(answer)


@index_commands.command("build")
def build(folder: Folder, *, as_json: AsJson = False) -> None:
    """Embed every video of a folder and publish them as the dictionary."""
    services = open_services(Settings(dictionary=folder))
    _show_build(_rebuild(services), as_json=as_json)


@index_commands.command("list")
def list_snapshots(*, as_json: AsJson = False) -> None:
    """Show the snapshots on disk, newest first."""
    folder = Settings().snapshots
    found = snapshot.manifests(folder)
    current = snapshot.current_id(folder) if found else None
    if as_json:
        print(json.dumps([{**asdict(manifest), "current": manifest.snapshot_id == current} for manifest in found]))
        return
    table = Table("", "snapshot", "created", "entries", "signs", "encoder")
    for manifest in found:
        counts = (str(manifest.counts["entries"]), str(manifest.counts["signs"]))
        mark = "current" if manifest.snapshot_id == current else ""
        table.add_row(mark, manifest.snapshot_id, manifest.created_at[:16], *counts, manifest.encoder_id)
    results.print(table)


@app.command("evaluate")
def evaluate_folder(
    folder: Folder,
    *,
    as_json: AsJson = False,
    csv: Annotated[Path | None, typer.Option(help="Write one row per query to this file.")] = None,
    url: Annotated[str | None, typer.Option(help="Ask this running service, e.g. http://127.0.0.1:8000.")] = None,
) -> None:
    """Look up a folder of videos that are named by their gloss: Rec@k, DCG, MRR, seconds per query."""
    figures = _evaluate_running(folder, url) if url else _evaluate_offline(folder)
    if csv:
        write_csv(csv, figures.queries)
    if as_json:
        print(json.dumps(asdict(figures), indent=2, ensure_ascii=False))
    else:
        _show_evaluation(figures)


def _evaluate_offline(folder: Path) -> Evaluation:
    services = open_services(Settings())
    services.encoder.warm()
    dictionary = services.dictionary()
    known = frozenset(sign.gloss for sign in dictionary.signs)
    with bar() as progress:
        return evaluate(folder, ask_offline(services, dictionary.num_signs), known, dictionary.num_signs, progress)


def _evaluate_running(folder: Path, url: str) -> Evaluation:
    with httpx.Client(base_url=url, timeout=600) as client, bar() as progress:
        return evaluate(folder, ask_over_http(client), None, MAX_K, progress)


def _rebuild(services: Services) -> Manifest:
    with bar() as progress:
        return services.rebuild(progress)


def _fill(services: Services) -> None:
    """Index SIGNDEX_DICTIONARY where it is set and nothing usable was published."""
    try:
        services.dictionary()
    except DictionaryEmptyError as empty:
        errors.print(str(empty), style="yellow", markup=False)
        if services.settings.dictionary is None:
            return
        errors.print(f"indexing {services.settings.dictionary} (SIGNDEX_DICTIONARY)", markup=False)
        try:
            _show_build(_rebuild(services), as_json=False, console=errors)
        except SourceError as error:
            errors.print(f"nothing indexed: {error}", style="red", markup=False)


def _say_what_to_try(services: Services) -> None:
    address = f"http://{services.settings.host}:{services.settings.port}"
    errors.print(f"open  {address}/docs\ntry   curl -F video=@VIDEO {address}/search", markup=False)


def _show_build(manifest: Manifest, *, as_json: bool, console: Console = results) -> None:
    if as_json:
        print(json.dumps(asdict(manifest), indent=2, ensure_ascii=False))
        return
    for skipped in manifest.report["skipped"]:
        console.print(f"skipped {skipped['video']}: {skipped['reason']}", markup=False, soft_wrap=True)
    counts = manifest.counts
    console.print(
        f"snapshot {manifest.snapshot_id}: {counts['entries']} videos of {counts['signs']} signs,"
        f" {len(manifest.report['skipped'])} skipped",
        markup=False,
        soft_wrap=True,
    )


def _show_hits(answer: SearchAnswer) -> None:
    for warning in answer.query.warnings:
        errors.print(f"warning: {warning}", style="yellow", markup=False)
    table = Table("rank", "score", "sign", "video")
    for hit in answer.hits:
        table.add_row(str(hit.rank), f"{hit.score:.4f}", hit.sign.gloss, hit.entries[0].video)
    results.print(table)


def _show_evaluation(figures: Evaluation) -> None:
    table = Table("queries", *(f"Rec@{k}" for k in figures.recall), "DCG", "MRR", "median s", "p95 s")
    recalls = (f"{percent:.2f}" for percent in figures.recall.values())
    seconds = (f"{figures.median_s:.3f}", f"{figures.p95_s:.3f}")
    table.add_row(str(figures.num_queries), *recalls, f"{figures.dcg:.2f}", f"{figures.mrr:.2f}", *seconds)
    results.print(table)
    for query in figures.queries:
        if query.refusal:
            results.print(f"refused {query.video}: {query.refusal}", markup=False, soft_wrap=True)
    if figures.unknown:
        results.print(f"not in the dictionary: {', '.join(figures.unknown)}", markup=False, soft_wrap=True)


def main() -> None:
    """Run the command line; what is raised on purpose becomes one line and exit status 1."""
    try:
        app()
    except EXPECTED_ERRORS as error:
        errors.print(f"error: {error}", style="red", markup=False)
        sys.exit(1)
    except ValidationError as error:
        for wrong in error.errors():
            name = "_".join(["SIGNDEX", *(str(part).upper() for part in wrong["loc"])])
            seen = "its value" if "KEY" in name else repr(wrong["input"])
            errors.print(f"error: {name}: {seen}: {wrong['msg']}", style="red", markup=False)
        sys.exit(1)


if __name__ == "__main__":
    main()
