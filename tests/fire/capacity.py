"""Compares predictions of `app.bench.simulation` with reality: `python -m tests.fire.capacity --seconds 60`.

With one replica and with two on the same cores, whose encoders share them: what a search takes of a core is measured
while eight callers keep all of them busy. Then callers who wait show the goodput, and callers who come at random a part
of it show the waits; the simulation is given the same callers, at the same moments. No test: its figures are those of
the machine, and only on one that does nothing else do they say something of the simulation. Status 1 where they differ
by more than allowed.
"""

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import httpx
import numpy as np
import typer

from app.bench import simulation
from app.bench.http import publish_random
from app.bench.simulation import LoadPrediction, ServiceConfig, StageCosts
from app.settings import Settings
from model.machine import machine
from model.runtime.onnx_encoder import OnnxEncoder
from tests.fire.load import CALLERS, Called, demo_videos, search
from tests.fire.server import Server, cpu_s, descendants, serving
from tests.fire.truth import Query, Truth, ask_all, fixed_queries

DECODERS, MAX_SEARCHES, MAX_WINDOWS = 1, 64, 8
NUM_ENTRIES = 1000
ALLOWED = 0.2
"""How far a prediction may be from what happens, of what happens."""
SHARE = 0.7
"""Of the goodput, at which callers come at random."""


@dataclass(frozen=True)
class Compared:
    """One figure, predicted and measured."""

    replicas: int
    callers: str
    figure: str
    predicted: float
    measured: float

    @property
    def off(self) -> float:
        """By how much the prediction is too high, as a share of what was measured."""
        return self.predicted / self.measured - 1 if self.measured else float("inf")

    def line(self) -> str:
        """The Markdown table's row."""
        verdict = "yes" if abs(self.off) <= ALLOWED else "no"
        return (
            f"| {self.replicas} | {self.callers} | {self.figure} | {self.predicted:.2f} | {self.measured:.2f}"
            f" | {self.off:+.0%} | {verdict} |"
        )


def alone(server: Server, queries: Sequence[Query]) -> tuple[int, float]:
    """Windows of a search, and its seconds beside decoding and encoding, as medians of each query by itself."""
    windows, others = [], []
    with server.client() as client:
        ask_all(client, queries[:1])  # for warming up
        for query in queries:
            began = time.perf_counter()
            answer = client.post("/v1/search", content=query.body, headers=query.headers).json()
            total_s = time.perf_counter() - began
            windows.append(max(1, answer["query"]["num_windows"]))
            others.append(total_s - (answer["timings_ms"]["decode"] + answer["timings_ms"]["encode"]) / 1e3)
    return round(float(np.median(windows))), float(np.median(others))


def spent_s(servers: Sequence[Server]) -> tuple[float, float]:
    """Seconds of cores that decoders have taken so far, and servers and callers."""
    decoders = sum(cpu_s(pid) for server in servers for pid in descendants(server.pid))
    return decoders, sum(cpu_s(server.pid) for server in servers) + time.process_time()


def measured_costs(
    servers: Sequence[Server], queries: Sequence[Query], truths: Sequence[Truth], seconds: float
) -> StageCosts:
    """Costs of a search while callers keep all cores busy, which are higher than on an idle machine."""
    windows, other_s = alone(servers[0], queries)
    before = spent_s(servers)
    calls = asyncio.run(waiting(servers, queries, truths, seconds))
    decode_s, rest_s = (float(part) for part in (np.array(spent_s(servers)) - before) / len(calls))
    return StageCosts(decode_s, windows, (rest_s - other_s) / windows, other_s)


async def waiting(
    servers: Sequence[Server], queries: Sequence[Query], truths: Sequence[Truth], seconds: float
) -> list[Called]:
    """What callers get who wait for their answers, each of one replica."""
    calls: list[Called] = []
    began = time.perf_counter()

    async def caller(number: int) -> None:
        async with httpx.AsyncClient(base_url=servers[number % len(servers)].address, timeout=600) as client:
            which = number
            while (due := time.perf_counter()) < began + seconds:
                which = (which + CALLERS) % len(queries)
                calls.append(await search(client, queries[which], truths[which], due, began))

    await asyncio.gather(*(caller(number) for number in range(CALLERS)))
    return calls


async def coming(
    servers: Sequence[Server], queries: Sequence[Query], truths: Sequence[Truth], arrivals_s: Sequence[float]
) -> list[Called]:
    """What callers get who come when they come, to the replicas in turn."""
    began = time.perf_counter()

    async def one(number: int, client: httpx.AsyncClient) -> Called:
        due = began + arrivals_s[number]
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        which = number % len(queries)
        return await search(client, queries[which], truths[which], due, began)

    limits = httpx.Limits(max_connections=None)
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(httpx.AsyncClient(base_url=each.address, timeout=600, limits=limits))
            for each in servers
        ]
        return await asyncio.gather(*(one(n, clients[n % len(clients)]) for n in range(len(arrivals_s))))


def got(calls: Sequence[Called], seconds: float) -> LoadPrediction:
    """What callers got, in the words of a prediction."""
    answered = [call for call in calls if call.status == 200]
    assert all(call.is_right for call in answered), "a wrong answer"
    waits = [call.seconds for call in answered] or [0.0]
    p50, p95 = (float(np.percentile(waits, share)) for share in (50, 95))
    in_time = sum(call.done_s <= seconds for call in answered)
    return LoadPrediction(in_time / seconds, 1 - len(answered) / max(1, len(calls)), p50, p95)


def compared(
    servers: Sequence[Server], queries: Sequence[Query], truths: Sequence[Truth], costs: StageCosts,
    config: ServiceConfig, seconds: float, seed: int,
) -> list[Compared]:  # fmt: skip
    """One number of replicas: callers who wait, then callers who come."""
    measured = got(asyncio.run(waiting(servers, queries, truths, seconds)), seconds)
    predicted = LoadPrediction.from_results(simulation.closed_loop(config, costs, CALLERS, seconds), seconds)
    rows = [Compared(config.replicas, f"{CALLERS} wait", "answers/s", predicted.goodput, measured.goodput)]
    assert measured.goodput > 0, f"nothing was answered in {seconds:g} s: the machine is too busy to measure anything"
    rate = SHARE * measured.goodput
    arrivals = simulation.random_arrivals(rate, seconds, np.random.default_rng(seed))
    measured = got(asyncio.run(coming(servers, queries, truths, arrivals)), seconds)
    predicted = LoadPrediction.from_results(simulation.open_loop(config, costs, arrivals), seconds)
    figures: list[tuple[str, Callable[[LoadPrediction], float]]] = [
        ("answers/s", lambda of: of.goodput), ("wait p50 s", lambda of: of.p50_s), ("wait p95 s", lambda of: of.p95_s)
    ]  # fmt: skip
    return [
        *rows,
        *(Compared(config.replicas, f"{rate:.2f}/s come", name, of(predicted), of(measured)) for name, of in figures),
    ]


def report(seconds: float, cores: int, queries: Sequence[Query], seed: int) -> tuple[str, list[Compared]]:
    """Everything as Markdown, and the rows of its table; the dictionary is of random vectors."""
    rows: list[Compared] = []
    lines = [f"{machine()} when it began; {seconds:g} s each, callers on the same machine.", ""]
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data=Path(folder) / "data")
        publish_random(settings, OnnxEncoder(settings.encoder, threads=1).info, NUM_ENTRIES)
        for replicas in (1, 2):
            threads = max(1, cores // replicas)
            how = {"threads": threads, "decoders": DECODERS, "max_searches": MAX_SEARCHES}
            with ExitStack() as stack:
                servers = [stack.enter_context(serving(settings.data, **how)) for _ in range(replicas)]
                with servers[0].client() as client:
                    truths = ask_all(client, queries)
                costs = measured_costs(servers, queries, truths, seconds / 2)
                config = ServiceConfig(cores, replicas, threads, DECODERS, MAX_SEARCHES, MAX_WINDOWS)
                rows += compared(servers, queries, truths, costs, config, seconds, seed)
            lines.append(
                f"{replicas} with {threads} encoder threads each: a search takes {costs.decode_s * 1e3:.0f} ms of a"
                f" core to decode, {costs.windows} windows of {costs.window_s * 1e3:.1f} ms, and"
                f" {costs.other_s * 1e3:.1f} ms for everything else."
            )
    lines += [
        "",
        f"| replicas | callers | figure | predicted | measured | off | within {ALLOWED:.0%} |",
        "|---|---|---|---|---|---|---|",
        *(row.line() for row in rows),
        "",
    ]
    return "\n".join(["# What the simulation predicts", "", "`python -m tests.fire.capacity`.", "", *lines]), rows


def main(
    *,
    seconds: Annotated[float, typer.Option(help="Of each kind of callers.")] = 60,
    cores: Annotated[int, typer.Option(help="That replicas share; 0 takes all.")] = 0,
    clips: Annotated[list[Path] | None, typer.Option("--clip", help="Videos to search with, not the demo's.")] = None,
    num_queries: Annotated[int, typer.Option("--queries", help="Different searches, of a second each.")] = 20,
    seed: int = 0,
    write: Annotated[Path | None, typer.Option(help="Also write the table to this file.")] = None,
) -> None:
    """Compare the simulation with one and with two replicas."""
    queries = fixed_queries(clips or demo_videos(), num_queries)
    text, rows = report(seconds, cores or os.cpu_count() or 1, queries, seed)
    sys.stdout.write(text)
    if write is not None:
        write.write_text(text, encoding="utf-8")
    if any(abs(row.off) > ALLOWED for row in rows):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
