"""Everything that was tried on the service, in five minutes: `python -m tests.fire`.

A service with the demo dictionary and the encoder that ships stands hostile uploads and callers, questions beside its
description, faults and load; fifty fixed queries must have the same answers afterwards, bit for bit. A table says what
was tried, how often, and what happened; the status is 1 where something was not as it should be.
"""

import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from model.machine import machine
from tests.conftest import ROOT
from tests.fire import faults, uploads
from tests.fire.load import MIN_GOODPUT, Level, Plan, demo_videos, loaded, tables
from tests.fire.server import KEY, serving
from tests.fire.truth import Query, Truth, ask_all, fixed_queries

MAX_SEARCHES = 8
"""Fewer than usual, so that short load is refused as long load is."""


@dataclass(frozen=True)
class Tried:
    """A row of the table."""

    what: str
    times: str
    happened: str
    seconds: float
    is_well: bool


class Trials:
    """What was tried so far. One that fails does not keep the next from being tried."""

    def __init__(self) -> None:
        self.rows: list[Tried] = []

    def attempt(self, what: str, times: object, work: Callable[[], str]) -> None:
        """Try something, which says what it saw or raises."""
        sys.stderr.write(f"{what} ...\n")
        began = time.monotonic()
        try:
            happened, is_well = work(), True
        except Exception as error:  # noqa: BLE001 - it is not swallowed: it is a row of the table, and the status
            happened, is_well = f"{type(error).__name__}: {error}", False
        row = Tried(what, str(times), " ".join(happened.split())[:600], time.monotonic() - began, is_well)
        sys.stderr.write(f"  {'well' if is_well else 'NOT WELL'}, {row.seconds:.0f} s: {row.happened}\n")
        self.rows.append(row)

    def table(self) -> str:
        """All rows as Markdown."""
        rows = [
            f"| {row.what} | {row.times} | {'' if row.is_well else '**not well:** '}{row.happened.replace('|', '/')}"
            f" | {row.seconds:.0f} |"
            for row in self.rows
        ]
        return "\n".join(["| what was tried | times | what happened | s |", "|---|---|---|---|", *rows, ""])


def ran(*command: str) -> str:
    """What a command of the tests writes.

    Raises:
        AssertionError: it failed.
    """
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-500:]
    return done.stdout


def contract() -> str:
    """The description of the API, see `tests/app/http/test_contract.py`."""
    told = ran("pytest", "tests/app/http/test_contract.py", "-q", "-s", "-p", "no:cacheprovider")
    return f"{re.findall(r'([0-9]+) requests', told)[-1]} requests, every answer described, no error of the service"


def killed(module: str, folder: Path, *arguments: str) -> str:
    """SIGKILL at random moments, see the module."""
    folder.mkdir()
    told = json.loads(ran(module, str(folder), *arguments))
    return "always a whole snapshot; " + ", ".join(f"{name} {value}" for name, value in told.items())


def load_report(levels: list[Level], *, tolerate_slow: bool) -> str:
    """In one line what the tables say; raises where that is not as it should be."""
    by_name = {level.name: level for level in levels}
    kept = by_name["2 x"].goodput / max(by_name["1 x"].goodput, 1e-9)
    wrong = [f"{level.name}: {text}" for level in levels for text in level.problems()]
    slow = [f"{level.name}: {text}" for level in levels for text in level.slow()]
    if kept < MIN_GOODPUT:
        slow.append(f"answers at 2 x are {kept:.2f} of those at capacity")
    assert not wrong, "; ".join(wrong)
    assert tolerate_slow or not slow, "; ".join(slow)
    said = f"{by_name['capacity'].goodput:.2f} answers/s at capacity, at 2 x {kept:.2f} of those at 1 x"
    return f"{said}{'; too slow, which was allowed: ' if slow else ''}{'; '.join(slow)}"


def main(
    *,
    mutations: Annotated[int, typer.Option(help="Videos with something wrong in them.")] = 300,
    level_s: Annotated[float, typer.Option(help="Seconds of each level of load.")] = 20,
    kills: Annotated[int, typer.Option(help="SIGKILL while it writes, of each kind.")] = 6,
    odd: Annotated[Path | None, typer.Option(help="A folder of clips that are uploaded as well.")] = None,
    tolerate_slow: Annotated[bool, typer.Option(help="Do not fail for time: the machine has other work.")] = False,
) -> None:
    """Try everything and say what happened."""
    trials, queries, began_on = Trials(), fixed_queries(demo_videos()), machine()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = folder / "data"
        with serving(data) as server, server.client() as client:
            before = ask_all(client, queries)
        trials.attempt("API beside its description", "", contract)
        attack(trials, data, queries, before, mutations, odd)
        break_things(trials, folder, queries, before, kills)
        levels = press(trials, data, queries, before, level_s, tolerate_slow=tolerate_slow)
        trials.attempt("the fixed queries again", len(queries), lambda: the_same(data, queries, before))
        trials.attempt("the admin key in all logs", "", lambda: untold((folder / "server.log").read_text()))
    sys.stdout.write(f"{began_on} when it began.\n\n{trials.table()}\n{tables(levels)}")
    sys.exit(not all(row.is_well for row in trials.rows))


def attack(
    trials: Trials, data: Path, queries: list[Query], before: list[Truth], mutations: int, odd: Path | None
) -> None:
    """Hostile uploads and callers."""
    settings = {"decode_s": uploads.DECODE_S, "upload_s": uploads.UPLOAD_S, "decode_mb": 512, "query_cache_mb": 0}
    with serving(data, **settings) as server:
        trials.attempt(
            "hostile uploads over HTTP", f"twice {mutations} mutated and those made by hand",
            lambda: uploads.stood(server, queries[0], before[0], mutations, odd)[1],
        )  # fmt: skip
        trials.attempt("bodies that never end", 64, lambda: uploads.dribbled(server, queries, before, 64))


def break_things(trials: Trials, folder: Path, queries: list[Query], before: list[Truth], kills: int) -> None:
    """Faults."""
    data = folder / "data"
    with serving(data) as server:
        trials.attempt(
            "SIGKILL of the decoders in a search", 3, lambda: faults.killed_decoders(server, queries, before, 3)
        )
    trials.attempt("SIGTERM in a search", 1, lambda: faults.terminated_in_a_search(data, queries[0]))
    trials.attempt("SIGTERM in a reindex", 1, lambda: faults.terminated_in_a_reindex(data, queries, before))
    trials.attempt(
        "SIGKILL in a reindex", kills,
        lambda: killed("tests.app.indexing.killed_reindexes", folder / "reindexes", "--kills", str(kills)),
    )  # fmt: skip
    trials.attempt(
        "SIGKILL while publishing", kills, lambda: killed("tests.index.killed_writers", folder / "writers", str(kills))
    )
    if faults.can_mount():
        trials.attempt("read-only disk", 1, lambda: faults.read_only_disk(data, queries, before))
        trials.attempt("full disk", 1, lambda: faults.full_disk(data, queries, before))
    else:
        trials.rows.append(Tried("read-only and full disk", "0", "not tried: may not mount here", 0.0, is_well=True))


def press(
    trials: Trials, data: Path, queries: list[Query], before: list[Truth], level_s: float, *, tolerate_slow: bool
) -> list[Level]:
    """Load."""
    levels: list[Level] = []

    def under_load() -> str:
        with serving(data, max_searches=MAX_SEARCHES) as server:
            levels.extend(loaded(server, queries, before, Plan((0.5, 1, 2), level_s, level_s)))
        return load_report(levels, tolerate_slow=tolerate_slow)

    trials.attempt("load at 0.5, 1 and 2 times capacity", f"{level_s:g} s each", under_load)
    return levels


def the_same(data: Path, queries: list[Query], before: list[Truth]) -> str:
    """The fixed queries have the answers that they had at first."""
    with serving(data) as server, server.client() as client:
        after = ask_all(client, queries)
    differ = [query.name for query, one, other in zip(queries, before, after, strict=True) if one != other]
    assert not differ, f"other answers: {', '.join(differ)}"
    return "the same signs, scores and vectors, bit for bit"


def untold(log: str) -> str:
    """The key is in no line."""
    assert KEY.lower() not in log.lower(), "a log has the admin key"
    return f"in none of {len(log.splitlines())} lines"


if __name__ == "__main__":
    typer.run(main)
