"""The life cycle of the service. All threads and processes beside the requests are started and ended here.

    open             the encoder; decoding processes start and the encoder warms up while the snapshot is loaded
    join_replicas    snapshots that any process publishes are loaded; heartbeats; jobs of all replicas
    running          searches are taken, the index server is monitored
    close            at the end of `running`: searches, jobs, heartbeats, monitor, warm-up

Commands other than `serve` need only `app.replica.services.open_services`.
"""

import logging
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Self

from anyio import to_thread

from app.decoding.limits import query_decoder_limits
from app.decoding.pool import DecoderPool
from app.encoder import WarmableEncoder
from app.replica.periodic import PeriodicTask
from app.replica.services import READY, Services, make_services
from app.search.service import SearchService
from app.settings import Settings

REFRESH_INTERVAL_S = 0.5
"""How often to look for a newly published snapshot."""
HEARTBEAT_INTERVAL_S = 1.0
"""How often to send a heartbeat to the other replicas, with the state of the job of this one."""

log = logging.getLogger(__name__)


class Lifecycle:
    """Starts and ends the threads and processes of one service. Each is started at most once."""

    def __init__(self, services: Services) -> None:
        """Start nothing yet."""
        self.services = services
        self._decoders: DecoderPool | None = None
        self._warming: threading.Thread | None = None
        self._periodic_tasks: list[PeriodicTask] = []

    @classmethod
    def open(cls, settings: Settings, encoder: WarmableEncoder | None = None) -> Self:
        """Open a service, and warm it up while its snapshot is loaded.

        Raises what `make_services` and `Services.load` raise.
        """
        lifecycle = cls(make_services(settings, encoder))
        lifecycle._warm_up()
        lifecycle.services.load()
        return lifecycle

    def join_replicas(self) -> None:
        """From now on load what any process publishes, and take part in the jobs of all replicas."""
        if not self._periodic_tasks:
            self._periodic_tasks = [
                PeriodicTask("refresh", self.services.active_snapshot.refresh, REFRESH_INTERVAL_S),
                PeriodicTask("heartbeat", self._heartbeat, HEARTBEAT_INTERVAL_S),
            ]

    @asynccontextmanager
    async def running(self, observe_batch: Callable[[int], None]) -> AsyncIterator[SearchService]:
        """Take searches in this event loop until the block ends; then end everything.

        Args:
            observe_batch: called with the number of windows of every batch of the encoder.
        """
        search_service = SearchService(self.services, self._warm_up(), observe_batch)
        self.join_replicas()
        if self.services.index_monitor is not None:
            self.services.index_monitor.start()
        yield search_service
        await search_service.close()
        await to_thread.run_sync(self.close)

    def close(self) -> None:
        """End the background work and wait for it."""
        services = self.services
        services.jobs.close()  # the last steps of a job may take long: until then this replica lives
        for task in self._periodic_tasks:
            task.close()
        services.coordination.leave()
        if services.index_monitor is not None:
            services.index_monitor.close()
        if self._decoders is not None:
            self._decoders.close()
        if self._warming is not None:
            self._warming.join()

    def _warm_up(self) -> DecoderPool:
        """Start the processes that decode query videos, and the encoder's first runs; they go on in the background."""
        services = self.services
        if self._decoders is None:
            limits = query_decoder_limits(services.settings)
            self._decoders = DecoderPool(services.settings.decoders, limits, services.encoder.info.estimator)
        if self._warming is None:
            self._warming = threading.Thread(target=self._warm_encoder, name="warm-up")
            self._warming.start()
        return self._decoders

    def _warm_encoder(self) -> None:
        try:
            self.services.encoder.warm()
        except Exception as error:
            log.exception("the encoder could not be warmed up")
            self.services.encoder_state = f"failed at its first run: {error}"
        else:
            self.services.encoder_state = READY

    def _heartbeat(self) -> None:
        """Show the other replicas that this one is alive, and exchange the states of jobs with them."""
        self.services.coordination.heartbeat()
        self.services.jobs.synchronise()
