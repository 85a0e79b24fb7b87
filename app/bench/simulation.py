"""Simulates the service under load: `python -m app.bench.simulation --replicas 2 --rate 4`.

A discrete-event simulation: searches arrive at random, wait for a decoder, then for the encoder, whose batches are
formed as in `app.search.batcher`, and are refused above the limit of searches. Threads are scheduled as by an operating
system: a new thread goes to the core with the fewest, threads on one core share it equally, and an idle core takes a
thread from another. The threads of the encoder take the windows of a batch one by one. The cost of each stage is an
input, best measured while all cores are busy; `tests.fire.capacity` does that, and compares predictions with reality.

Not modelled: network, threads that wait for Python's interpreter lock, and work that other programs do.
"""

import json
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Annotated

import numpy as np
import typer

EPSILON = 1e-9


@dataclass(frozen=True)
class StageCosts:
    """Core seconds that one search takes in each stage."""

    decode_s: float
    """Decoding into windows."""
    windows: int
    """That are encoded, per search."""
    window_s: float
    """Encoding one of them."""
    other_s: float
    """Everything else: HTTP, search, and the caller's own work where callers share the machine."""


@dataclass(frozen=True)
class ServiceConfig:
    """A service on one machine."""

    cores: int
    replicas: int
    threads: int
    """Of each replica's encoder."""
    decoders: int
    """Of each replica."""
    max_searches: int
    """Admitted by each replica at the same time."""
    max_windows: int
    """In one batch."""


@dataclass(eq=False)
class SimulatedSearch:
    """One search, and what is left of it."""

    number: int
    arrived_s: float
    replica: "SimulatedReplica"
    left: int
    """Windows that are in no batch yet."""
    unfinished: int
    """Windows that are not encoded yet."""


@dataclass(eq=False)
class EncoderBatch:
    """Windows that are encoded together."""

    shares: "list[tuple[SimulatedSearch, int]]"
    """The searches, and how many windows of each."""
    waiting: int
    """Windows that no thread has taken yet."""
    threads: int
    """That work on it."""


@dataclass(eq=False)
class CoreTask:
    """What one thread computes: a stage of a search, or one window of a batch."""

    of: SimulatedSearch | EncoderBatch
    left_s: float


@dataclass(eq=False)
class SimulatedReplica:
    """One process."""

    num_admitted: int = 0
    free_decoders: int = 0
    waiting: "deque[SimulatedSearch]" = field(default_factory=deque)
    """Searches that wait for a decoder."""
    encoder_queue: "deque[SimulatedSearch]" = field(default_factory=deque)
    """Searches that wait for the encoder."""
    is_encoding: bool = False


@dataclass(frozen=True)
class SearchResult:
    """When a search was answered or refused."""

    arrived_s: float
    done_s: float
    was_refused: bool = False


@dataclass(frozen=True)
class LoadPrediction:
    """The service that callers get."""

    goodput: float
    """Answers per second, of those within the time."""
    refused: float
    """Share of searches that are refused."""
    p50_s: float
    p95_s: float

    @classmethod
    def from_results(cls, results: Sequence[SearchResult], seconds: float) -> "LoadPrediction":
        """From the results of single searches."""
        answered = [each for each in results if not each.was_refused]
        waits = [each.done_s - each.arrived_s for each in answered] or [0.0]
        in_time = sum(each.done_s <= seconds for each in answered)
        refused = (len(results) - len(answered)) / max(1, len(results))
        return cls(in_time / seconds, refused, *(float(np.percentile(waits, share)) for share in (50, 95)))


Core = list[CoreTask]
"""The tasks that share one core."""


class SimulatedMachine:
    """Cores, and the replicas that share them."""

    def __init__(self, config: ServiceConfig, costs: StageCosts) -> None:
        self._config = config
        self._costs = costs
        self._replicas = [SimulatedReplica(free_decoders=config.decoders) for _ in range(config.replicas)]
        self._cores: list[Core] = [[] for _ in range(config.cores)]
        self.now_s = 0.0

    def arrive(self, number: int) -> SimulatedSearch | None:
        """A search arrives at the next replica; None if it is refused."""
        replica = self._replicas[number % len(self._replicas)]
        if replica.num_admitted >= self._config.max_searches:
            return None
        search = SimulatedSearch(number, self.now_s, replica, self._costs.windows, self._costs.windows)
        replica.num_admitted += 1
        replica.waiting.append(search)
        self._decode(replica)
        return search

    def run_until(self, end_s: float) -> Iterator[SimulatedSearch]:
        """Run until a moment; yields searches as they are answered."""
        while True:
            nearest_s = min((task.left_s * len(core) for core in self._cores for task in core), default=np.inf)
            step_s = min(nearest_s, end_s - self.now_s)
            ended: list[tuple[CoreTask, Core]] = []
            for core in self._cores:
                for task in core:
                    task.left_s -= step_s / len(core)
                ended += [(task, core) for task in core if task.left_s <= EPSILON]
                core[:] = [task for task in core if task.left_s > EPSILON]
            self.now_s += step_s
            if not ended:
                return
            for task, core in ended:
                if (answered := self._finish(task, core)) is not None:
                    yield answered
            self._balance()

    def _start(self, task: CoreTask) -> None:
        """Start a thread on the core with the fewest."""
        min(self._cores, key=len).append(task)

    def _balance(self) -> None:
        """Idle cores take a thread from a core that has several."""
        for core in self._cores:
            fullest = max(self._cores, key=len)
            if not core and len(fullest) > 1:
                core.append(fullest.pop())

    def _finish(self, task: CoreTask, core: Core) -> SimulatedSearch | None:
        """Continue after a task of a core is done; gives the search that is answered now, if one is."""
        if isinstance(task.of, EncoderBatch):
            self._finish_window(task.of, core)
            return None
        replica = task.of.replica
        if not task.of.left:
            replica.num_admitted -= 1
            return task.of
        replica.free_decoders += 1
        replica.encoder_queue.append(task.of)
        self._decode(replica)
        self._encode(replica)
        return None

    def _finish_window(self, batch: EncoderBatch, core: Core) -> None:
        """The thread takes the next window, on the same core; the last thread ends the batch."""
        if batch.waiting:
            batch.waiting -= 1
            core.append(CoreTask(batch, self._costs.window_s))
            return
        batch.threads -= 1
        if batch.threads:
            return
        replica = batch.shares[0][0].replica
        replica.is_encoding = False
        for search, num in batch.shares:
            search.unfinished -= num
            if not search.unfinished:
                self._start(CoreTask(search, self._costs.other_s))
        self._encode(replica)

    def _decode(self, replica: SimulatedReplica) -> None:
        while replica.free_decoders and replica.waiting:
            replica.free_decoders -= 1
            self._start(CoreTask(replica.waiting.popleft(), self._costs.decode_s))

    def _encode(self, replica: SimulatedReplica) -> None:
        """Start a batch: searches take turns, and one with windows left goes to the end of the queue."""
        if replica.is_encoding or not replica.encoder_queue:
            return
        room, shares, again = self._config.max_windows, [], []
        while room and replica.encoder_queue:
            search = replica.encoder_queue.popleft()
            num = min(room, search.left)
            search.left -= num
            room -= num
            shares.append((search, num))
            if search.left:
                again.append(search)
        replica.encoder_queue.extend(again)
        replica.is_encoding = True
        num = self._config.max_windows - room
        threads = min(num, self._config.threads)
        batch = EncoderBatch(shares, num - threads, threads)
        for _ in range(threads):
            self._start(CoreTask(batch, self._costs.window_s))


def open_loop(config: ServiceConfig, costs: StageCosts, arrivals_s: Sequence[float]) -> list[SearchResult]:
    """The results of searches that arrive independently of the answers.

    Args:
        config: of the service.
        costs: of one search.
        arrivals_s: times of arrival, in order.
    """
    machine = SimulatedMachine(config, costs)
    results: list[SearchResult] = []

    def answered(until_s: float) -> None:
        results.extend(SearchResult(search.arrived_s, machine.now_s) for search in machine.run_until(until_s))

    for number, arrival_s in enumerate(arrivals_s):
        answered(arrival_s)
        if machine.arrive(number) is None:
            results.append(SearchResult(arrival_s, arrival_s, was_refused=True))
    answered(np.inf)
    return results


def closed_loop(config: ServiceConfig, costs: StageCosts, callers: int, seconds: float) -> list[SearchResult]:
    """The results for callers who send the next search after each answer; each caller uses one replica."""
    machine = SimulatedMachine(config, costs)
    first = [machine.arrive(caller) for caller in range(callers)]
    results = [SearchResult(0.0, 0.0, was_refused=True) for search in first if search is None]
    for search in machine.run_until(np.inf):
        results.append(SearchResult(search.arrived_s, machine.now_s))
        if machine.now_s < seconds:
            machine.arrive(search.number)
    return results


def random_arrivals(rate: float, seconds: float, rng: np.random.Generator) -> list[float]:
    """Arrival times of a Poisson process of `rate` per second."""
    gaps = rng.exponential(1 / rate, size=round(2 * rate * seconds) + 100)
    moments = np.cumsum(gaps)
    return [float(moment) for moment in moments[moments < seconds]]


def main(
    *,
    rate: Annotated[float, typer.Option(help="Searches per second.")] = 2.0,
    replicas: Annotated[int, typer.Option(min=1)] = 1,
    cores: Annotated[int, typer.Option(min=1, help="Of the machine that the replicas share.")] = 2,
    threads: Annotated[int, typer.Option(min=1, help="SIGNDEX_THREADS of each.")] = 2,
    decoders: Annotated[int, typer.Option(min=1, help="SIGNDEX_DECODERS of each.")] = 2,
    max_searches: Annotated[int, typer.Option(min=1, help="SIGNDEX_MAX_SEARCHES of each.")] = 16,
    max_windows: Annotated[int, typer.Option(min=1, help="In one batch of the encoder.")] = 8,
    decode_ms: Annotated[float, typer.Option(help="Decoding one clip.")] = 60.0,
    windows: Annotated[int, typer.Option(min=1, help="Of one clip.")] = 6,
    window_ms: Annotated[float, typer.Option(help="Encoding one window on one thread.")] = 25.0,
    other_ms: Annotated[float, typer.Option(help="HTTP and search.")] = 4.0,
    seconds: Annotated[float, typer.Option(help="How long searches arrive.")] = 600.0,
    seed: int = 0,
) -> None:
    """Predict goodput, refusals and waits; take stage times from `python -m app.bench.http` on the same machine."""
    costs = StageCosts(decode_ms / 1000, windows, window_ms / 1000, other_ms / 1000)
    config = ServiceConfig(cores, replicas, threads, decoders, max_searches, max_windows)
    arrivals = random_arrivals(rate, seconds, np.random.default_rng(seed))
    predicted = LoadPrediction.from_results(open_loop(config, costs, arrivals), seconds)
    typer.echo(json.dumps({"plan": asdict(config), "stages": asdict(costs), "predicted": asdict(predicted)}, indent=2))


if __name__ == "__main__":
    typer.run(main)
