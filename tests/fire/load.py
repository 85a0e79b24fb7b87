"""Load that does not wait for answers: `python -m tests.fire.load --seconds 600 --levels 0.5,1,2 --soak-s 3600`.

Callers come at random moments at a given rate, whether or not the service keeps up (open loop), each with a connection
of its own and one of the fixed queries; an answer is late by the clock of its caller. Meanwhile health, admin and page
routes are asked four times a second. Beforehand the capacity is measured: what callers get who always wait for their
answers. No test: it takes minutes, and its figures are those of the machine.
"""

import asyncio
import contextlib
import gc
import itertools
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import httpx
import numpy as np
import typer

from app.demo import DICTIONARY
from model.machine import machine
from tests.fire.server import KEY, Server, Usage, serving
from tests.fire.truth import Query, Truth, ask_all, fixed_queries

PROBES = ("/healthz", "/readyz", "/v1/info", "/metrics", "/v1/jobs", "/v1/snapshots", "/")
PROBE_EVERY_S = 0.25
USAGE_EVERY_S = 5.0
STALL_EVERY_S = 0.01
WORTH_A_SLOPE_S = 300.0
"""How long a level must last for the growth of memory to say something."""
CALLERS = 8
"""Who wait for their answers while the capacity is measured."""
MAX_REFUSAL_S, MAX_PROBE_S, MIN_GOODPUT = 0.05, 0.1, 0.9


@dataclass(frozen=True)
class Called:
    """One request, seen by its caller."""

    status: int
    """0 where the connection broke."""
    seconds: float
    """From the moment it should have been sent."""
    done_s: float
    """When it ended, from the start of the level."""
    has_retry_after: bool = False
    is_right: bool = True
    """Whether an answer named the signs that it names without load, in their order."""


@dataclass
class Level:
    """What happened at one rate."""

    name: str
    rate: float
    """Callers per second; 0 where they wait for their answers."""
    seconds: float
    calls: list[Called] = field(default_factory=list)
    probes: list[Called] = field(default_factory=list)
    usages: list[tuple[float, Usage]] = field(default_factory=list)
    stall_s: list[float] = field(default_factory=list)
    """How much later than they meant to callers woke up, a hundred times a second: what is not the service."""
    refusal_s: list[float] = field(default_factory=list)
    """How long refusals took by the service's own log: what is left of their time is the machine's, or the callers'."""

    def of(self, status: int) -> list[Called]:
        """Calls that ended with a status."""
        return [call for call in self.calls if call.status == status]

    @property
    def goodput(self) -> float:
        """Answers per second, those that came after the end left out."""
        return sum(call.done_s <= self.seconds for call in self.of(200)) / self.seconds

    def problems(self) -> list[str]:
        """What should not have happened, whatever the machine."""
        others = Counter(call.status for call in self.calls if call.status not in (200, 429))
        others += Counter(call.status for call in self.probes if call.status != 200)
        found = [f"{num} times status {status}" for status, num in others.items()]
        if num := sum(not call.is_right for call in self.calls):
            found.append(f"{num} wrong answers")
        if num := sum(not call.has_retry_after for call in self.of(429)):
            found.append(f"{num} refusals without Retry-After")
        return found

    def slow(self) -> list[str]:
        """What took longer than it may; on a machine that does nothing else."""
        refusals = sum(call.seconds > MAX_REFUSAL_S for call in self.of(429))
        probes = sum(call.seconds > MAX_PROBE_S for call in self.probes)
        named = {f"refusals over {MAX_REFUSAL_S * 1e3:g} ms": refusals, f"probes over {MAX_PROBE_S * 1e3:g} ms": probes}
        return [f"{num} {name}" for name, num in named.items() if num]


async def search(client: httpx.AsyncClient, query: Query, truth: Truth, due: float, began: float) -> Called:
    """One search."""
    try:
        response = await client.post("/v1/search", content=query.body, headers=query.headers)
    except httpx.TransportError:
        return Called(0, time.perf_counter() - due, time.perf_counter() - began)
    now = time.perf_counter()
    is_right = response.status_code != 200 or Truth.of(response.json()).ids == truth.ids
    return Called(response.status_code, now - due, now - began, "Retry-After" in response.headers, is_right)


async def probe(client: httpx.AsyncClient, level: Level, began: float) -> None:
    """Ask the routes that must always answer, until cancelled."""
    for route in itertools.cycle(PROBES):
        due = time.perf_counter()
        status = 0
        with contextlib.suppress(httpx.TransportError):
            status = (await client.get(route)).status_code
        level.probes.append(Called(status, time.perf_counter() - due, time.perf_counter() - began))
        await asyncio.sleep(PROBE_EVERY_S)


async def notice_stalls(level: Level) -> None:
    """Note how late callers wake up, until cancelled."""
    while True:
        due = time.perf_counter() + STALL_EVERY_S
        await asyncio.sleep(STALL_EVERY_S)
        level.stall_s.append(time.perf_counter() - due)


@contextlib.contextmanager
def no_long_collections() -> Iterator[None]:
    """Keep callers from stopping to look through all that they remember, which would make the service seem slow."""
    gc.collect()
    gc.freeze()
    young, middle, old = gc.get_threshold()
    gc.set_threshold(young, middle, 1_000_000)
    try:
        yield
    finally:
        gc.set_threshold(young, middle, old)
        gc.unfreeze()


async def watch(server: Server, level: Level, began: float) -> None:
    """Note what the server takes, until cancelled."""
    while True:
        level.usages.append((time.perf_counter() - began, await asyncio.to_thread(server.usage)))
        await asyncio.sleep(USAGE_EVERY_S)


Traffic = Callable[[httpx.AsyncClient, Level, float], Coroutine[Any, Any, None]]


async def under(server: Server, level: Level, traffic: Traffic) -> Level:
    """A level: its traffic, and who looks on meanwhile."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    num_logged = server.log.stat().st_size
    async with (
        httpx.AsyncClient(base_url=server.address, timeout=120, limits=limits) as client,
        httpx.AsyncClient(base_url=server.address, timeout=60, headers={"Authorization": f"Bearer {KEY}"}) as admin,
    ):
        # Both are there before any clock runs: making one takes a good part of what a probe may take.
        began = time.perf_counter()
        looking_on = (probe(admin, level, began), watch(server, level, began), notice_stalls(level))
        onlookers = [asyncio.create_task(each) for each in looking_on]
        await traffic(client, level, began)
        for onlooker in onlookers:
            onlooker.cancel()
        await asyncio.gather(*onlookers, return_exceptions=True)
    level.refusal_s += [line["ms"] / 1e3 for line in server.log_lines(num_logged) if line.get("status") == 429]
    return level


def waiting_callers(queries: Sequence[Query], truths: Sequence[Truth]) -> Traffic:
    """So many callers, each of whom waits for an answer before the next search."""

    async def traffic(client: httpx.AsyncClient, level: Level, began: float) -> None:
        async def caller(first: int) -> None:
            number = first
            while (due := time.perf_counter()) < began + level.seconds:
                which = number % len(queries)
                level.calls.append(await search(client, queries[which], truths[which], due, began))
                number += CALLERS

        await asyncio.gather(*(caller(first) for first in range(CALLERS)))

    return traffic


def coming_callers(queries: Sequence[Query], truths: Sequence[Truth], rng: np.random.Generator) -> Traffic:
    """Callers who come at random at the rate of the level."""

    async def traffic(client: httpx.AsyncClient, level: Level, began: float) -> None:
        async def caller(number: int, due: float) -> None:
            which = number % len(queries)
            level.calls.append(await search(client, queries[which], truths[which], due, began))

        calls, due = [], began
        while (due := due + rng.exponential(1 / level.rate)) < began + level.seconds:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            calls.append(asyncio.create_task(caller(len(calls), due)))
        await asyncio.gather(*calls)

    return traffic


def demo_videos() -> list[Path]:
    """Queries that the demo brings along."""
    return sorted((DICTIONARY.parent / "queries").glob("*.mp4"))


def percentiles(seconds: Sequence[float], unit: float = 1.0) -> str:
    """p50, p95, p99 and the longest, with a dash where there was none."""
    if not seconds:
        return "– | – | – | –"
    return " | ".join(f"{value:.3g}" for value in np.percentile(np.array(seconds) * unit, [50, 95, 99, 100]))


def of(calls: Sequence[Called]) -> list[float]:
    """How long calls took."""
    return [call.seconds for call in calls]


def slope_mb_per_h(usages: Sequence[tuple[float, Usage]]) -> float:
    """How fast the server's memory grows, by least squares over the second half."""
    later = usages[len(usages) // 2 :]
    if len(later) < 2:
        return 0.0
    at, size = np.array([(at, usage.rss_bytes) for at, usage in later]).T
    return float(np.polyfit(at, size, 1)[0]) * 3600 / 1e6


def row(level: Level) -> str:
    """A row of the first table."""
    offered = f"{level.rate:.2f}" if level.rate else f"{CALLERS} wait"
    return (
        f"| {level.name} | {offered} | {len(level.calls)} | {level.goodput:.2f} | {percentiles(of(level.of(200)))}"
        f" | {len(level.of(429))} | {percentiles(of(level.of(429)), 1e3)} | {percentiles(level.refusal_s, 1e3)}"
        f" | {percentiles(of(level.probes), 1e3)} | {percentiles(level.stall_s, 1e3)}"
        f" | {'; '.join([*level.problems(), *level.slow()]) or '–'} |"
    )


def usage_row(level: Level) -> str:
    """A row of the second table."""
    first, last = level.usages[0][1], level.usages[-1][1]
    slope = f"{slope_mb_per_h(level.usages):+.1f}" if level.seconds >= WORTH_A_SLOPE_S else "–"
    most = max(usage.rss_bytes for _, usage in level.usages)
    return (
        f"| {level.name} | {first.rss_bytes / 1e6:.0f} | {most / 1e6:.0f} | {last.rss_bytes / 1e6:.0f}"
        f" | {slope} | {first.num_files} | {last.num_files}"
        f" | {first.num_processes} | {last.num_processes} |"
    )


def tables(levels: Sequence[Level]) -> str:
    """Everything as Markdown."""
    return "\n".join(
        [
            "| load | callers/s | searches | answers/s | wait s: p50 | p95 | p99 | longest | refused"
            " | refusal ms: p50 | p95 | p99 | longest | by the service's log: p50 | p95 | p99 | longest"
            " | other routes ms: p50 | p95 | p99 | longest | callers wake up late by ms: p50 | p95 | p99 | longest"
            " | not well |",
            "|" + "---|" * 26,
            *(row(level) for level in levels),
            "",
            "| load | server MB: at first | most | at the end | MB/h, second half | files at first | at the end"
            " | processes at first | at the end |",
            "|---|---|---|---|---|---|---|---|---|",
            *(usage_row(level) for level in levels),
            "",
        ]
    )


def loaded(server: Server, queries: Sequence[Query], truths: Sequence[Truth], plan: "Plan") -> list[Level]:
    """All levels, one after the other, and the soak."""
    rng = np.random.default_rng(plan.seed)
    levels = [Level("capacity", 0.0, plan.capacity_s)]
    asyncio.run(under(server, levels[0], waiting_callers(queries, truths)))
    capacity = levels[0].goodput
    assert capacity > 0, f"nothing was answered in {plan.capacity_s:g} s: the machine is too busy to measure anything"
    wanted = [(f"{share:g} x", share, plan.seconds) for share in plan.shares]
    if plan.soak_s:
        wanted.append(("soak at 0.8 x", 0.8, plan.soak_s))
    for name, share, seconds in wanted:
        level = Level(name, share * capacity, seconds)
        levels.append(asyncio.run(under(server, level, coming_callers(queries, truths, rng))))
    return levels


@dataclass(frozen=True)
class Plan:
    """How long, and how much."""

    shares: tuple[float, ...]
    """Of the capacity."""
    seconds: float
    """Of each."""
    capacity_s: float
    soak_s: float = 0.0
    seed: int = 0


def main(
    *,
    clips: Annotated[list[Path] | None, typer.Option("--clip", help="Videos to search with, not the demo's.")] = None,
    levels: Annotated[str, typer.Option(help="Shares of the capacity; empty for none.")] = "0.5,1,2",
    seconds: Annotated[float, typer.Option(help="Of each level.")] = 600,
    capacity_s: Annotated[float, typer.Option(help="How long the capacity is measured.")] = 60,
    soak_s: Annotated[float, typer.Option(help="How long 0.8 of the capacity is kept up; 0 for not.")] = 0,
    write: Annotated[Path | None, typer.Option(help="Also write the tables to this file.")] = None,
) -> None:
    """Measure a service of its own, with the demo dictionary and the encoder that ships."""
    shares = tuple(float(share) for share in levels.split(",") if share)
    queries = fixed_queries(clips or demo_videos())
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder) / "data") as server, server.client() as client:
        began_on = machine()
        before = ask_all(client, queries)
        with no_long_collections():
            measured = loaded(server, queries, before, Plan(shares, seconds, capacity_s, soak_s))
        same = sum(one == other for one, other in zip(before, ask_all(client, queries), strict=True))
    text = "\n".join(
        [
            "# Load", "", f"{began_on} when it began; {seconds:g} s a level. Callers run on the same machine.", "",
            tables(measured), f"Of {len(queries)} fixed queries {same} have the same answer after it, bit for bit.", "",
        ]
    )  # fmt: skip
    sys.stdout.write(text)
    if write is not None:
        write.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
