"""What a service would do under load, without running it: `python -m app.simulation --replicas 2 --rate 4`.

A simulation by events: searches arrive at random, wait for a decoder, then for the encoder, whose batches are made as
`batcher` makes them, and are refused where as many are in the works as may be. Threads are shared out to cores as an
operating system does it: a thread that begins goes to the core with the fewest, threads on one core have it in equal
parts, and a core without any takes one from another. The encoder's threads take the windows of a batch one by one.
What a stage takes of a core is measured, best while all cores are busy; `tests.fire.capacity` does that and compares
what is predicted with what happens.

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
class Stages:
    """What one search takes of a core."""

    decode_s: float
    """Decoding and cutting."""
    windows: int
    """That are encoded."""
    window_s: float
    """Encoding one of them."""
    other_s: float
    """Everything else: HTTP, search, and the caller's own work where callers share the machine."""


@dataclass(frozen=True)
class Plan:
    """A service on one machine, and who asks it."""

    cores: int
    replicas: int
    threads: int
    """Of each replica's encoder."""
    decoders: int
    """Of each replica."""
    max_searches: int
    """In the works in each replica."""
    max_windows: int
    """In one batch."""


@dataclass(eq=False)
class Search:
    """One search, and how far it is."""

    number: int
    arrived_s: float
    replica: "Replica"
    left: int
    """Windows that are in no batch yet."""
    unfinished: int
    """Windows that are not encoded yet."""


@dataclass(eq=False)
class Batch:
    """Windows that are encoded together."""

    shares: "list[tuple[Search, int]]"
    """Who has how many in it."""
    waiting: int
    """Windows that no thread has taken yet."""
    threads: int
    """That work on it."""


@dataclass(eq=False)
class Task:
    """What one thread computes: something of a search, or one window of a batch."""

    of: Search | Batch
    left_s: float


@dataclass(eq=False)
class Replica:
    """One process."""

    in_works: int = 0
    free_decoders: int = 0
    waiting: "deque[Search]" = field(default_factory=deque)
    """For a decoder."""
    line: "deque[Search]" = field(default_factory=deque)
    """For the encoder."""
    is_encoding: bool = False


@dataclass(frozen=True)
class Outcome:
    """What became of one search."""

    arrived_s: float
    done_s: float
    was_refused: bool = False


@dataclass(frozen=True)
class Prediction:
    """What callers got."""

    goodput: float
    """Answers per second, within the time."""
    refused: float
    """Share of the searches."""
    p50_s: float
    p95_s: float

    @classmethod
    def of(cls, outcomes: Sequence[Outcome], seconds: float) -> "Prediction":
        """From single searches."""
        answered = [each for each in outcomes if not each.was_refused]
        waits = [each.done_s - each.arrived_s for each in answered] or [0.0]
        in_time = sum(each.done_s <= seconds for each in answered)
        refused = (len(outcomes) - len(answered)) / max(1, len(outcomes))
        return cls(in_time / seconds, refused, *(float(np.percentile(waits, share)) for share in (50, 95)))


Core = list[Task]
"""What takes turns on one core."""


class Machine:
    """Cores, and the replicas that share them."""

    def __init__(self, plan: Plan, stages: Stages) -> None:
        self._plan = plan
        self._stages = stages
        self._replicas = [Replica(free_decoders=plan.decoders) for _ in range(plan.replicas)]
        self._cores: list[Core] = [[] for _ in range(plan.cores)]
        self.now_s = 0.0

    def arrive(self, number: int) -> Search | None:
        """A search comes to a replica, in turn; None where it is refused."""
        replica = self._replicas[number % len(self._replicas)]
        if replica.in_works >= self._plan.max_searches:
            return None
        search = Search(number, self.now_s, replica, self._stages.windows, self._stages.windows)
        replica.in_works += 1
        replica.waiting.append(search)
        self._decode(replica)
        return search

    def until(self, end_s: float) -> Iterator[Search]:
        """Compute until a moment; gives the searches that are answered, as they are."""
        while True:
            nearest_s = min((task.left_s * len(core) for core in self._cores for task in core), default=np.inf)
            step_s = min(nearest_s, end_s - self.now_s)
            ended: list[tuple[Task, Core]] = []
            for core in self._cores:
                for task in core:
                    task.left_s -= step_s / len(core)
                ended += [(task, core) for task in core if task.left_s <= EPSILON]
                core[:] = [task for task in core if task.left_s > EPSILON]
            self.now_s += step_s
            if not ended:
                return
            for task, core in ended:
                if (answered := self._end(task, core)) is not None:
                    yield answered
            self._balance()

    def _begin(self, task: Task) -> None:
        """A thread begins on the core with the fewest."""
        min(self._cores, key=len).append(task)

    def _balance(self) -> None:
        """Cores that have nothing to do take a thread of one that has several."""
        for core in self._cores:
            fullest = max(self._cores, key=len)
            if not core and len(fullest) > 1:
                core.append(fullest.pop())

    def _end(self, task: Task, core: Core) -> Search | None:
        """What follows when a task is done on a core; gives a search that is answered by it."""
        if isinstance(task.of, Batch):
            self._window_encoded(task.of, core)
            return None
        replica = task.of.replica
        if not task.of.left:
            replica.in_works -= 1
            return task.of
        replica.free_decoders += 1
        replica.line.append(task.of)
        self._decode(replica)
        self._encode(replica)
        return None

    def _window_encoded(self, batch: Batch, core: Core) -> None:
        """The thread takes the next window, on the same core; the last one ends the batch."""
        if batch.waiting:
            batch.waiting -= 1
            core.append(Task(batch, self._stages.window_s))
            return
        batch.threads -= 1
        if batch.threads:
            return
        replica = batch.shares[0][0].replica
        replica.is_encoding = False
        for search, num in batch.shares:
            search.unfinished -= num
            if not search.unfinished:
                self._begin(Task(search, self._stages.other_s))
        self._encode(replica)

    def _decode(self, replica: Replica) -> None:
        while replica.free_decoders and replica.waiting:
            replica.free_decoders -= 1
            self._begin(Task(replica.waiting.popleft(), self._stages.decode_s))

    def _encode(self, replica: Replica) -> None:
        """Begin a batch: callers take turns, and whoever has windows left goes to the end of the line."""
        if replica.is_encoding or not replica.line:
            return
        room, shares, again = self._plan.max_windows, [], []
        while room and replica.line:
            search = replica.line.popleft()
            num = min(room, search.left)
            search.left -= num
            room -= num
            shares.append((search, num))
            if search.left:
                again.append(search)
        replica.line.extend(again)
        replica.is_encoding = True
        num = self._plan.max_windows - room
        threads = min(num, self._plan.threads)
        batch = Batch(shares, num - threads, threads)
        for _ in range(threads):
            self._begin(Task(batch, self._stages.window_s))


def open_loop(plan: Plan, stages: Stages, arrivals_s: Sequence[float]) -> list[Outcome]:
    """What becomes of callers who come when they come.

    Args:
        plan: the service.
        stages: what a search costs.
        arrivals_s: when they come, in order.
    """
    machine = Machine(plan, stages)
    outcomes: list[Outcome] = []

    def answered(until_s: float) -> None:
        outcomes.extend(Outcome(search.arrived_s, machine.now_s) for search in machine.until(until_s))

    for number, arrival_s in enumerate(arrivals_s):
        answered(arrival_s)
        if machine.arrive(number) is None:
            outcomes.append(Outcome(arrival_s, arrival_s, was_refused=True))
    answered(np.inf)
    return outcomes


def closed_loop(plan: Plan, stages: Stages, callers: int, seconds: float) -> list[Outcome]:
    """What callers get who send the next search when they have their answer; each keeps to one replica."""
    machine = Machine(plan, stages)
    came = [machine.arrive(caller) for caller in range(callers)]
    outcomes = [Outcome(0.0, 0.0, was_refused=True) for search in came if search is None]
    for search in machine.until(np.inf):
        outcomes.append(Outcome(search.arrived_s, machine.now_s))
        if machine.now_s < seconds:
            machine.arrive(search.number)
    return outcomes


def random_arrivals(rate: float, seconds: float, rng: np.random.Generator) -> list[float]:
    """Moments at which callers come who know nothing of each other."""
    gaps = rng.exponential(1 / rate, size=round(2 * rate * seconds) + 100)
    moments = np.cumsum(gaps)
    return [float(moment) for moment in moments[moments < seconds]]


def main(
    *,
    rate: Annotated[float, typer.Option(help="Callers per second.")] = 2.0,
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
    seconds: Annotated[float, typer.Option(help="How long callers come.")] = 600.0,
    seed: int = 0,
) -> None:
    """Predict goodput, refusals and waits; stage times are those of `python -m app.bench_http` on the machine meant."""
    stages = Stages(decode_ms / 1000, windows, window_ms / 1000, other_ms / 1000)
    plan = Plan(cores, replicas, threads, decoders, max_searches, max_windows)
    arrivals = random_arrivals(rate, seconds, np.random.default_rng(seed))
    predicted = Prediction.of(open_loop(plan, stages, arrivals), seconds)
    typer.echo(json.dumps({"plan": asdict(plan), "stages": asdict(stages), "predicted": asdict(predicted)}, indent=2))


if __name__ == "__main__":
    typer.run(main)
