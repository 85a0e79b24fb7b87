"""What `app.simulation` predicts beside what happens: `python -m tests.fire.capacity --seconds 60`.

With one replica and with two on the same cores, whose encoders share them: stage times are measured with one caller of
each replica. Then callers who wait show the goodput, and callers who come at random a part of it show the waits; the
simulation is given the same callers, at the same moments. No test: its figures are those of the machine, and only on
one that does nothing else do they say something of the simulation. Status 1 where they differ by more than allowed.
"""

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import httpx
import numpy as np
import typer

from app import simulation
from app.bench_http import publish_random
from app.settings import Settings
from app.simulation import Plan, Prediction, Stages
from model.machine import machine
from model.runtime import OnnxEncoder
from tests.fire.load import CALLERS, Called, demo_videos, search
from tests.fire.server import Server, serving
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


def stages_of(server: Server, queries: Sequence[Query], threads: int, cores: int) -> Stages:
    """What searches cost, as medians of each query alone; the first is for warming up."""
    decodes, windows, per_window, others = [], [], [], []
    with server.client() as client:
        ask_all(client, queries[:1])
        for query in queries:
            began = time.perf_counter()
            answer = client.post("/v1/search", content=query.body, headers=query.headers).json()
            total_s = time.perf_counter() - began
            spent = answer["timings_ms"]
            num = max(1, answer["query"]["num_windows"])
            decodes.append(spent["decode"] / 1e3)
            windows.append(num)
            per_window.append(spent["encode"] / 1e3 / num)
            others.append(total_s - (spent["decode"] + spent["encode"]) / 1e3)
    medians = [float(np.median(each)) for each in (decodes, per_window, others)]
    return Stages(medians[0], round(float(np.median(windows))), medians[1], min(threads, cores), medians[2])


def stages_of_all(servers: Sequence[Server], queries: Sequence[Query], threads: int, cores: int) -> Stages:
    """What searches cost while every replica has one caller: a core beside an idle one is faster than under load."""
    with ThreadPoolExecutor(len(servers)) as callers:
        found = list(callers.map(lambda server: stages_of(server, queries, threads, cores), servers))
    decode_s, window_s, other_s = np.mean([(one.decode_s, one.window_s, one.other_s) for one in found], axis=0)
    return replace(found[0], decode_s=float(decode_s), window_s=float(window_s), other_s=float(other_s))


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


def got(calls: Sequence[Called], seconds: float) -> Prediction:
    """What callers got, in the words of a prediction."""
    answered = [call for call in calls if call.status == 200]
    assert all(call.is_right for call in answered), "a wrong answer"
    waits = [call.seconds for call in answered] or [0.0]
    p50, p95 = (float(np.percentile(waits, share)) for share in (50, 95))
    in_time = sum(call.done_s <= seconds for call in answered)
    return Prediction(in_time / seconds, 1 - len(answered) / max(1, len(calls)), p50, p95)


def compared(
    servers: Sequence[Server], queries: Sequence[Query], stages: Stages, plan: Plan, seconds: float, seed: int
) -> list[Compared]:
    """One number of replicas: callers who wait, then callers who come."""
    with servers[0].client() as client:
        truths = ask_all(client, queries)
    measured = got(asyncio.run(waiting(servers, queries, truths, seconds)), seconds)
    predicted = Prediction.of(simulation.closed_loop(plan, stages, CALLERS, seconds), seconds)
    rows = [Compared(plan.replicas, f"{CALLERS} wait", "answers/s", predicted.goodput, measured.goodput)]
    assert measured.goodput > 0, f"nothing was answered in {seconds:g} s: the machine is too busy to measure anything"
    rate = SHARE * measured.goodput
    arrivals = simulation.random_arrivals(rate, seconds, np.random.default_rng(seed))
    measured = got(asyncio.run(coming(servers, queries, truths, arrivals)), seconds)
    predicted = Prediction.of(simulation.open_loop(plan, stages, arrivals), seconds)
    figures: list[tuple[str, Callable[[Prediction], float]]] = [
        ("answers/s", lambda of: of.goodput), ("wait p50 s", lambda of: of.p50_s), ("wait p95 s", lambda of: of.p95_s)
    ]  # fmt: skip
    return [
        *rows,
        *(Compared(plan.replicas, f"{rate:.2f}/s come", name, of(predicted), of(measured)) for name, of in figures),
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
                stages = stages_of_all(servers, queries, threads, cores)
                plan = Plan(cores, replicas, threads, DECODERS, MAX_SEARCHES, MAX_WINDOWS)
                rows += compared(servers, queries, stages, plan, seconds, seed)
            lines.append(
                f"{replicas} with one caller each: decoding {stages.decode_s * 1e3:.0f} ms, {stages.windows} windows of"
                f" {stages.window_s * 1e3:.1f} ms on {stages.threads} cores, everything else"
                f" {stages.other_s * 1e3:.1f} ms."
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
