"""The command line: `python -m app`."""

import json
import secrets
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
import uvicorn
from pydantic import SecretStr, ValidationError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from app.console import errors, progress_bar
from app.demo import with_demo
from app.errors import (
    EXPECTED_ERRORS,
    CoordinationError,
    DictionaryEmptyError,
    JobRunningError,
    ServiceAwayError,
    SourceError,
)
from app.evaluate import Evaluation, evaluate, search_offline, search_over_http, write_csv
from app.http.answers import search_answer
from app.http.application import create_app
from app.http.lifecycle import Lifecycle
from app.http.schemas.search import MAX_K, SearchAnswer
from app.indexing.imports import READERS, DatasetLayout, write_entries
from app.indexing.reindex import ReindexMode
from app.logs import log_json
from app.replica.services import Services, open_services
from app.search.offline import look_up
from app.settings import Settings
from app.settings_table import values_in_use, write_table
from index import snapshot_manifest
from index.catalogue import Filters
from index.errors import IndexAwayError, IndexServerError
from index.snapshot_manifest import Manifest
from model.video.time_range import TimeRange

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Look a sign up by signing it.")
index_commands = typer.Typer(no_args_is_help=True, help="The dictionary on disk.")
app.add_typer(index_commands, name="index")

results = Console()

SHUTDOWN_S = 10
"""Seconds that requests may go on after the service was stopped."""
MAX_ROWS = 10
"""Rows of longer lists in a terminal; --json gives all."""

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Folder = Annotated[
    Path, typer.Argument(help="A folder with entries.csv or entries.jsonl, or DIR/GLOSS.mp4, DIR/GLOSS/ANY.mp4.")
]
K = Annotated[int, typer.Option("--k", min=1, max=MAX_K, help="How many signs.")]


@app.command()
def serve(
    *,
    make_admin_key: Annotated[
        bool, typer.Option("--make-admin-key", help="Without SIGNDEX_ADMIN_KEY, make a key for this run and print it.")
    ] = False,
) -> None:
    """Answer searches over HTTP, on SIGNDEX_HOST:SIGNDEX_PORT."""
    log_json()
    settings = with_demo(Settings())
    if make_admin_key and settings.admin_key is None:
        key = secrets.token_urlsafe(24)
        settings = settings.model_copy(update={"admin_key": SecretStr(key)})
        errors.print(f"admin key of this run: {key}", markup=False, soft_wrap=True)
    lifecycle = Lifecycle.open(settings)
    lifecycle.join_replicas()
    _index_if_empty(lifecycle.services)
    _print_addresses(settings)
    uvicorn.run(
        create_app(settings, lifecycle),
        host=settings.host,
        port=settings.port,
        log_config=None,
        timeout_graceful_shutdown=SHUTDOWN_S,
    )


@app.command()
def search(
    video: Path,
    k: K = 10,
    start_s: float = 0.0,
    end_s: float | None = None,
    language: Annotated[str | None, typer.Option(help="Only signs of this language.")] = None,
    tag: Annotated[str | None, typer.Option(help="Only videos with this tag.")] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Look one video up, without a running service; the hits are those of POST /search."""
    services = open_services(Settings())
    found = look_up(
        video,
        encoder=services.encoder,
        dictionary=services.active_snapshot.require_dictionary(),
        limits=services.settings.video_limits,
        k=k,
        time_range=TimeRange(start_s, end_s),
        filters=Filters(language, tag),
    )
    answer = search_answer(found, receive_s=0.0, total_s=found.decode_s + found.encode_s + found.search_s)
    if as_json:
        print(answer.model_dump_json(indent=2))
    else:
        _show_hits(answer)


@index_commands.command("build")
def build(
    folder: Folder,
    *,
    mode: Annotated[
        ReindexMode, typer.Option(help="Embed what is missing (new or changed), or everything.")
    ] = ReindexMode.MISSING,
    ray: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Embed on this Ray cluster, of which this machine is a node."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Index a dictionary folder and publish it; clips that were embedded before are not embedded again."""
    settings = Settings(dictionary=folder)
    if ray is not None:
        _show_build(_reindex_on_cluster(ray, settings, mode), as_json=as_json)
        return
    _show_build(_reindex(open_services(settings), mode), as_json=as_json)


@index_commands.command("activate")
def activate(snapshot_id: Annotated[str, typer.Argument(metavar="ID")], *, as_json: AsJson = False) -> None:
    """Go back, or forth, to another snapshot on disk. A running service takes it into use within two seconds."""
    used = open_services(Settings()).active_snapshot.activate(snapshot_id)
    if as_json:
        counts = {"entries": used.num_entries, "signs": used.num_signs}
        print(json.dumps({"snapshot_id": used.snapshot_id, "encoder_id": used.encoder_id, "counts": counts}))
    else:
        results.print(f"snapshot {used.snapshot_id} is current: {used.num_entries} videos of {used.num_signs} signs")


@index_commands.command("list")
def list_snapshots(*, as_json: AsJson = False) -> None:
    """Show the snapshots on disk, newest first."""
    folder = Settings().snapshots
    found = snapshot_manifest.manifests(folder)
    current = snapshot_manifest.current_id(folder) if found else None
    if as_json:
        print(json.dumps([{**asdict(manifest), "current": manifest.snapshot_id == current} for manifest in found]))
        return
    table = Table("", "snapshot", "created", "entries", "signs", "encoder")
    for manifest in found:
        counts = (str(manifest.counts["entries"]), str(manifest.counts["signs"]))
        mark = "current" if manifest.snapshot_id == current else ""
        table.add_row(mark, manifest.snapshot_id, manifest.created_at[:16], *counts, manifest.encoder_id)
    results.print(table)


@app.command()
def doctor(*, as_json: AsJson = False) -> None:
    """Show what runs here and how fast, in ten lines to paste; exits with 1 where it does not match the settings."""
    from app.doctor import examine  # nothing else should wait for its import

    findings = examine(Settings())
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            _say(f"{'ok ' if finding.is_fine else 'BAD'} {finding.name:<10} {finding.text}")
    if not all(finding.is_fine for finding in findings):
        raise typer.Exit(1)


@app.command("settings")
def show_settings(
    *,
    write: Annotated[
        Path | None, typer.Option(help="Write the table of all settings between the markers in this file instead.")
    ] = None,
) -> None:
    """Show the value in use of every setting; secrets are masked."""
    if write is not None:
        write_table(write)
        return
    table = Table("variable", "value", "")
    for variable, value, is_set in values_in_use(Settings()):
        table.add_row(variable, escape(value), "set" if is_set else "default")
    results.print(table)


@app.command("import")
def import_entries(
    layout: Annotated[DatasetLayout, typer.Argument(help="What the data set is.")],
    source: Annotated[Path, typer.Argument(help="Its folder, as it was published.")],
    target: Annotated[Path, typer.Argument(help="The entries.csv or entries.jsonl to write.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Write the entries file of a published data set; `index build` on its folder then indexes it."""
    made = write_entries(READERS[layout], source, target)
    if as_json:
        print(json.dumps({**asdict(made), "target": str(target)}, indent=2, ensure_ascii=False))
        return
    for skipped in made.skipped:
        _show_skipped(skipped.video, skipped.reason, skipped.line)
    results.print(
        f"{target}: {made.num_entries} videos of {made.num_signs} signs, {len(made.skipped)} left out",
        markup=False,
        soft_wrap=True,
    )


@app.command("evaluate")
def evaluate_folder(
    folder: Folder,
    *,
    as_json: AsJson = False,
    csv: Annotated[Path | None, typer.Option(help="Write one row per query to this file.")] = None,
    url: Annotated[str | None, typer.Option(help="Ask this running service, e.g. http://127.0.0.1:8000.")] = None,
) -> None:
    """Look up a folder of videos with known glosses: Rec@k, DCG, MRR, latency percentiles and the worst signs."""
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
    dictionary = services.active_snapshot.require_dictionary()
    known = frozenset(sign.gloss for sign in dictionary.signs)
    with progress_bar() as progress:
        return evaluate(folder, search_offline(services, dictionary.num_signs), known, dictionary.num_signs, progress)


def _evaluate_running(folder: Path, url: str) -> Evaluation:
    import httpx  # its import takes longer than `serve` should wait for what it does not need

    from app.client import Client

    try:
        with Client(url, timeout_s=600) as client, progress_bar() as progress:
            return evaluate(folder, search_over_http(client), None, MAX_K, progress)
    except (httpx.TransportError, httpx.InvalidURL) as error:
        raise ServiceAwayError(
            f"nothing answers at {url}: {error}; give the address of a service that runs, such as"
            " http://127.0.0.1:8000, or leave --url out"
        ) from error


def _reindex(services: Services, mode: ReindexMode = ReindexMode.MISSING) -> Manifest:
    with progress_bar() as progress:
        return services.reindex(progress, mode)


def _reindex_on_cluster(address: str, settings: Settings, mode: ReindexMode) -> Manifest:
    from app.indexing.cluster.address import require_ray  # only here: no other command knows of clusters

    require_ray()
    from app.indexing.cluster.connection import open_cluster
    from app.indexing.cluster.plan import driver_settings

    services = open_services(driver_settings(settings))
    with open_cluster(address, settings, services.embedder()) as embed_clips:
        errors.print(f"embedding on {embed_clips}", markup=False)
        with progress_bar() as progress:
            return services.reindex(progress, mode, embed_clips=embed_clips)


def _index_if_empty(services: Services) -> None:
    """Index SIGNDEX_DICTIONARY where it is set and nothing usable was published."""
    try:
        services.searchable_dictionary()
    except IndexServerError as error:
        errors.print(str(error), style="yellow", markup=False)
    except DictionaryEmptyError as empty:
        errors.print(str(empty), style="yellow", markup=False)
        if services.settings.dictionary is None:
            return
        errors.print(f"indexing {services.settings.dictionary} (SIGNDEX_DICTIONARY)", markup=False)
        try:
            with progress_bar() as progress:
                manifest = services.reindex_as_job(progress)
            _show_build(manifest, as_json=False, console=errors)
        except (JobRunningError, CoordinationError) as error:
            errors.print(f"not indexed here: {error}", style="yellow", markup=False)
        except (SourceError, IndexAwayError) as error:
            errors.print(f"nothing indexed: {error}", style="red", markup=False)


def _print_addresses(settings: Settings) -> None:
    address = f"http://{settings.host}:{settings.port}"
    errors.print(f"open  {address}/\ntry   curl -F video=@VIDEO {address}/search\nread  {address}/docs", markup=False)


def _show_build(manifest: Manifest, *, as_json: bool, console: Console = results) -> None:
    if as_json:
        print(json.dumps(asdict(manifest), indent=2, ensure_ascii=False))
        return
    card = manifest.report
    unchanged = card["previous"] is not None and card["previous"]["snapshot_id"] == manifest.snapshot_id
    for skipped in card["skipped"]:
        _show_skipped(skipped["video"], skipped["reason"], skipped["line"], console)
    for pair in card["near_duplicates"]["pairs"][:MAX_ROWS]:
        (one, other), (gloss, other_gloss) = pair["ids"], pair["glosses"]
        _say(f"nearly the same: {gloss} ({one}) and {other_gloss} ({other}), {pair['score']:.4f}", console)
    for note in card["cache"]["notes"]:
        _say(note, console)
    _say(
        f"snapshot {manifest.snapshot_id}{', in which nothing has changed' if unchanged else ''}:"
        f" {card['entries']} videos of {card['signs']} signs, {len(card['skipped'])}"
        f" skipped; {card['cache']['num_embedded']} embedded, {card['cache']['num_cached']} from the cache;"
        f" {card['single_video_signs']['num']} signs with one video; {card['near_duplicates']['num']} pairs of videos"
        f" of different signs nearly the same; {sum(card['durations_s'].values()):.1f} s",
        console,
    )


def _show_skipped(video: str, reason: str, line: int | None, console: Console = results) -> None:
    _say(f"skipped {video}{f' (line {line})' if line else ''}: {reason}", console)


def _say(text: str, console: Console = results) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _show_hits(answer: SearchAnswer) -> None:
    for warning in answer.query.warnings if answer.query else ():
        errors.print(f"warning: {warning}", style="yellow", markup=False)
    table = Table("rank", "score", "sign", "video")
    for hit in answer.hits:
        table.add_row(str(hit.rank), f"{hit.score:.4f}", hit.sign.gloss, hit.entries[0].video)
    results.print(table)


def _show_evaluation(figures: Evaluation) -> None:
    table = Table("queries", *(f"Rec@{k}" for k in figures.recall), "DCG", "MRR")
    recalls = (f"{percent:.2f}" for percent in figures.recall.values())
    table.add_row(str(figures.num_queries), *recalls, f"{figures.dcg:.2f}", f"{figures.mrr:.2f}")
    results.print(table)
    _say("seconds per query: " + ", ".join(f"{name} {spent:.3f}" for name, spent in figures.latency_s.items()))
    if figures.worst:
        worst = Table("worst signs", "queries", "mean DCG", "ranks", "taken for")
        for sign in figures.worst[:MAX_ROWS]:
            ranks = ", ".join(str(rank or "not found") for rank in sign.ranks)
            worst.add_row(sign.gloss, str(len(sign.ranks)), f"{sign.dcg:.1f}", ranks, ", ".join(sign.taken_for))
        results.print(worst)
    for query in figures.queries:
        if query.refusal:
            _say(f"refused {query.video}: {query.refusal}")
    if figures.unknown:
        _say(f"not in the dictionary: {', '.join(figures.unknown)}")


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
            is_secret = "KEY" in name or "TOKEN" in name or "@" in str(wrong["input"])
            seen = "its value" if is_secret else repr(wrong["input"])
            errors.print(f"error: {name}: {seen}: {wrong['msg']}", style="red", markup=False)
        sys.exit(1)


if __name__ == "__main__":
    main()
