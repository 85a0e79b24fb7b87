"""Prometheus metrics of the service."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from app.errors import DictionaryEmptyError, NotReadyError
from app.progress import JobState
from app.replica.services import Services
from app.search.service import SearchService

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """The metrics of one app: those that are counted as requests go by."""

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

    def collect_from(self, services: Services, search_service: SearchService) -> None:
        """Also read the state of a service whenever Prometheus scrapes."""
        self.registry.register(ServiceStateCollector(services, search_service))

    def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self.registry)


class ServiceStateCollector(Collector):
    """Metrics that are read from the service at the moment of a scrape."""

    def __init__(self, services: Services, search_service: SearchService) -> None:
        self._services = services
        self._search_service = search_service

    def collect(self) -> Iterator[Metric]:
        """See `Collector`."""
        searches = self._search_service
        yield CounterMetricFamily(
            "signdex_decoders_replaced",
            "Decoding processes ended because of a video, or of a caller that had gone",
            value=searches.num_decoders_replaced,
        )
        yield _gauge("signdex_ready", "1 where /readyz would say so", self._is_ready())
        yield _gauge("signdex_searches", "Searches in progress", searches.admission.num_in_progress)
        yield _gauge("signdex_windows_waiting", "Windows that are in no batch yet", searches.num_windows_waiting)
        yield _gauge("signdex_queries_kept", "Queries that can be searched again", len(searches.query_cache))
        yield _gauge("signdex_queries_kept_bytes", "Memory of these queries", searches.query_cache.num_bytes)
        entries, signs, vectors = self._dictionary()
        yield _gauge("signdex_dictionary_entries", "Entries of the dictionary in use", entries)
        yield _gauge("signdex_dictionary_signs", "Signs of the dictionary in use", signs)
        yield _gauge("signdex_index_vectors", "Vectors that are searched", vectors)
        yield self._job()

    def _is_ready(self) -> bool:
        try:
            self._services.require_ready(decoders=self._search_service.decoders_state)
        except NotReadyError:
            return False
        return True

    def _dictionary(self) -> tuple[int, int, int]:
        """Number of entries, signs and vectors."""
        try:
            used = self._services.active_snapshot.require_dictionary()
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
