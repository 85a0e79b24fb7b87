"""What Prometheus is told: stages, batches, what waits, the dictionary, the job, problems."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from app.board import JobState
from app.errors import DictionaryEmptyError, NotReadyError

if TYPE_CHECKING:
    from app.searches import Searches
    from app.services import Services

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """The metrics of one app."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.stages = Histogram(
            "signdex_stage_seconds", "Stages of a search, waiting for one's turn included", ["stage"],
            buckets=SECONDS, registry=self.registry,
        )  # fmt: skip
        self.requests = Histogram(
            "signdex_request_seconds", "Requests, by route and status", ["method", "route", "status"],
            buckets=SECONDS, registry=self.registry,
        )  # fmt: skip
        self.batch_windows = Histogram(
            "signdex_batch_windows", "Windows in a batch of the encoder", buckets=(1, 2, 3, 4, 5, 6, 7, 8, 16, 24, 32),
            registry=self.registry,
        )  # fmt: skip
        self.problems = Counter(
            "signdex_problems", "Problem documents sent, by the last part of their type", ["type"],
            registry=self.registry,
        )  # fmt: skip
        self.decoders_replaced = Counter(
            "signdex_decoders_replaced",
            "Decoding processes ended because of a video, or of a caller that had gone",
            registry=self.registry,
        )

    def watch(self, services: "Services", searches: "Searches") -> None:
        """Also tell what is the case when Prometheus asks."""
        self.registry.register(Now(services, searches))

    def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self.registry)


class Now(Collector):
    """What is read at the moment of asking."""

    def __init__(self, services: "Services", searches: "Searches") -> None:
        self._services = services
        self._searches = searches

    def collect(self) -> Iterator[Metric]:
        """See `Collector`."""
        searches = self._searches
        yield _gauge("signdex_ready", "1 where /readyz would say so", self._is_ready())
        yield _gauge("signdex_searches", "Searches in the works", searches.places.num_taken)
        yield _gauge("signdex_windows_waiting", "Windows that are in no batch yet", searches.num_windows_waiting)
        yield _gauge("signdex_queries_kept", "Queries that can be asked again", len(searches.kept))
        yield _gauge("signdex_queries_kept_bytes", "Memory of the queries that are kept", searches.kept.num_bytes)
        entries, signs, vectors = self._dictionary()
        yield _gauge("signdex_dictionary_entries", "Entries of the dictionary in use", entries)
        yield _gauge("signdex_dictionary_signs", "Signs of the dictionary in use", signs)
        yield _gauge("signdex_index_vectors", "Vectors that are searched", vectors)
        yield self._job()

    def _is_ready(self) -> bool:
        try:
            self._services.require_ready(decoders=self._searches.decoders_state)
        except NotReadyError:
            return False
        return True

    def _dictionary(self) -> tuple[int, int, int]:
        try:
            used = self._services.published.dictionary()
        except DictionaryEmptyError:
            return 0, 0, 0
        return used.num_entries, used.num_signs, len(used.entries)

    def _job(self) -> GaugeMetricFamily:
        latest = self._services.jobs.latest()
        family = GaugeMetricFamily(
            "signdex_job_state", "State of the latest job: 1 for the one it is in", labels=["state"]
        )
        for state in JobState:
            family.add_metric([state], float(latest is not None and latest.state == state))
        return family


def _gauge(name: str, meaning: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, meaning, value=value)
