"""A Ray cluster as a worker pool: starts the workers, submits their tasks, translates Ray's errors.

Actors and not tasks, because a decoding process and an encoder take seconds to start; plain actors and not Ray Data:
docs/decisions/bulk-over-ray.md.
"""

import logging
import time
from collections.abc import Collection, Generator, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import ray
import ray.exceptions
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from app.decoding.limits import DecoderLimits
from app.errors import ClusterError, WorkLostError
from app.indexing.bulk import ClipResult, ClipToEmbed
from app.indexing.cluster.address import INSTALL, require_ray_at
from app.indexing.cluster.plan import WorkerPlacement, planned_workers, worker_config
from app.indexing.cluster.schedule import Worker, blocks_of, embed_blocks
from app.indexing.cluster.workers import ClipBlock, DecodingWorker, EncodingWorker, Role, WorkerConfig
from app.settings import Settings
from model.embed import Embedder
from model.errors import ModelError

log = logging.getLogger(__name__)

CLIPS_PER_BLOCK = 4
"""What is lost with a worker; 30 MB of frames for clips of two seconds."""
CLIPS_PER_GPU_BLOCK = 16
"""Batches of a GPU hold four times as many windows, and the last batch of a block is filled up."""
START_S = 600.0
"""How long the workers may take to get ready."""
POLL_S = 0.5


@dataclass
class _Actor:
    """A worker that was started."""

    placement: WorkerPlacement
    handle: Any
    """Ray's handle of the actor."""
    prepared: Any
    """Reference to the result of its `prepare`."""
    is_ready: bool = False


@dataclass
class RayWorkerPool:
    """A `WorkerPool` of Ray actors. References are Ray's object references."""

    config: WorkerConfig
    actors: dict[str, _Actor] = field(default_factory=dict)
    """By the name of the worker."""
    excluded_nodes: set[str] = field(default_factory=set)
    """Ids of nodes that were added later and whose verification failed."""
    windows: dict[Hashable, Any] = field(default_factory=dict)
    """References to the windows of decoded blocks that are not encoded yet, by the references to their errors."""

    def start(self) -> None:
        """Start the workers of all nodes, and wait until they are ready.

        Raises:
            ClusterError: a node does not pass its verification, none can encode, or a worker does not start.
        """
        self._start_missing()
        self._require_both_roles()
        prepared, late = ray.wait(
            [actor.prepared for actor in self.actors.values()], num_returns=len(self.actors), timeout=START_S
        )
        for actor in self.actors.values():
            if actor.prepared in prepared:
                self._require_ready(actor)
        if late:
            names = sorted({actor.placement.node for actor in self.actors.values() if not actor.is_ready})
            raise ClusterError(
                f"{', '.join(names)} did not get ready within {START_S:g} s: other work may hold its processors or"
                " GPUs; `ray status` says what is free"
            )

    def refresh(self) -> None:
        """See `WorkerPool`. A new node that does not pass its verification is excluded, with a warning."""
        self._start_missing()
        for actor in [actor for actor in self.actors.values() if not actor.is_ready]:
            if not ray.wait([actor.prepared], timeout=0)[0]:
                continue
            try:
                self._require_ready(actor)
            except WorkLostError as lost:
                log.warning("%s", lost)
                self._discard(actor)
            except (ClusterError, ModelError) as unfit:
                log.warning("%s; it is left out", unfit)
                self.excluded_nodes.add(actor.placement.node_id)

    @property
    def decoders(self) -> Sequence[Worker]:
        """See `WorkerPool`."""
        return self._ready_workers(Role.DECODE)

    @property
    def encoders(self) -> Sequence[Worker]:
        """See `WorkerPool`."""
        return self._ready_workers(Role.ENCODE)

    def decode(self, worker: Worker, block: ClipBlock) -> Hashable:
        """See `WorkerPool`."""
        method = self.actors[worker.name].handle.decode
        errors, windows = method.options(num_returns=2).remote(block)
        self.windows[errors] = windows
        reference: Hashable = errors
        return reference

    def encode(self, worker: Worker, block: ClipBlock, decoded: Hashable) -> Hashable:
        """See `WorkerPool`."""
        method = self.actors[worker.name].handle.encode
        reference: Hashable = method.remote(block, decoded, self.windows.pop(decoded))
        return reference

    def wait(self, references: Collection[Hashable], timeout_s: float) -> Collection[Hashable]:
        """See `WorkerPool`."""
        if not references:
            time.sleep(POLL_S)
            return ()
        done: Collection[Hashable]
        done, _ = ray.wait(list(references), num_returns=1, timeout=timeout_s, fetch_local=False)
        return done

    def errors(self, decoded: Hashable) -> Sequence[Exception | None]:
        """See `WorkerPool`."""
        try:
            with self._translating_errors():
                errors: Sequence[Exception | None] = ray.get(decoded)
        except BaseException:
            del self.windows[decoded]
            raise
        return errors

    def results(self, encoded: Hashable) -> Sequence[ClipResult]:
        """See `WorkerPool`."""
        with self._translating_errors():
            results: Sequence[ClipResult] = ray.get(encoded)
        return results

    def _require_ready(self, actor: _Actor) -> None:
        """Mark a worker as ready. Raises what its `prepare` raised."""
        with self._translating_errors():
            ray.get(actor.prepared)
        actor.is_ready = True

    @contextmanager
    def _translating_errors(self) -> Iterator[None]:
        """Raise what was raised on the node instead of Ray's error; WorkLostError if a process or its data is gone."""
        try:
            yield
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, ray.exceptions.RayError):  # an argument of the task is gone
                raise WorkLostError(_first_line(error.cause)) from error
            raise error.cause from error
        except ray.exceptions.RayActorError as error:
            self._discard_actor(error.actor_id)
            raise WorkLostError(_first_line(error)) from error
        except ray.exceptions.RayError as error:
            raise WorkLostError(_first_line(error)) from error

    def _discard_actor(self, actor_id: str | None) -> None:
        for actor in list(self.actors.values()):
            if actor.handle._actor_id.hex() == actor_id:
                self._discard(actor)

    def _discard(self, actor: _Actor) -> None:
        """Kill and forget a worker; the next refresh starts another one in its place."""
        del self.actors[actor.placement.worker.name]
        ray.kill(actor.handle)

    def _ready_workers(self, role: Role) -> list[Worker]:
        return [
            actor.placement.worker
            for actor in self.actors.values()
            if actor.is_ready and actor.placement.role == role and actor.placement.node_id not in self.excluded_nodes
        ]

    def _start_missing(self) -> None:
        """Start the missing workers of all nodes; forget those of nodes that are gone."""
        nodes = [node for node in ray.nodes() if node["Alive"]]
        node_ids = {node["NodeID"] for node in nodes}
        for actor in [actor for actor in self.actors.values() if actor.placement.node_id not in node_ids]:
            log.warning("%s is gone", actor.placement.node)
            self._discard(actor)
        for node in nodes:
            if node["NodeID"] not in self.excluded_nodes:
                for placement in planned_workers(node, self.config):
                    if placement.worker.name not in self.actors:
                        self.actors[placement.worker.name] = self._start_actor(placement)

    def _start_actor(self, placement: WorkerPlacement) -> _Actor:
        decodes = placement.role == Role.DECODE
        actor_class = ray.remote(DecodingWorker if decodes else EncodingWorker).options(
            num_cpus=placement.cpus,
            num_gpus=placement.gpus,
            max_concurrency=placement.max_blocks if decodes else 1,
            scheduling_strategy=NodeAffinitySchedulingStrategy(placement.node_id, soft=False),
        )
        extra = {} if decodes else {"is_gpu": placement.gpus > 0}
        handle = actor_class.remote(self.config, placement.node, **extra)
        return _Actor(placement, handle, handle.prepare.remote())

    def _require_both_roles(self) -> None:
        roles = {actor.placement.role for actor in self.actors.values()}
        num_nodes = len([node for node in ray.nodes() if node["Alive"]])
        if Role.ENCODE not in roles and self.config.provider != "cpu":
            raise ClusterError(
                f"SIGNDEX_PROVIDER is {self.config.provider}, and none of {num_nodes} nodes offers a GPU: start Ray on"
                " a GPU host (`ray start --num-gpus=N` where it finds none by itself), or set SIGNDEX_PROVIDER=cpu"
            )
        if roles != set(Role):
            raise ClusterError(f"none of {num_nodes} nodes offers a processor: start Ray with --num-cpus of at least 1")


@dataclass(frozen=True)
class ClusterEmbedClips:
    """An `EmbedClips` that uses a worker pool."""

    pool: RayWorkerPool
    config: WorkerConfig

    def __call__(
        self, clips: Sequence[ClipToEmbed], embedder: Embedder, *, limits: DecoderLimits
    ) -> Generator[ClipResult]:
        """Embed clips on the cluster, whose workers were configured with the same embedder and limits.

        Raises:
            ClusterError: the cluster can't continue.
        """
        assert (embedder.settings, embedder.encoder.info.encoder_id) == (self.config.settings, self.config.encoder_id)
        assert limits == self.config.decoder_limits
        size = CLIPS_PER_BLOCK if self.config.provider == "cpu" else CLIPS_PER_GPU_BLOCK
        return embed_blocks(blocks_of(clips, size), self.pool)

    def __str__(self) -> str:
        num_clips = sum(worker.max_blocks for worker in self.pool.decoders)
        nodes = {worker.node for worker in (*self.pool.decoders, *self.pool.encoders)}
        return (
            f"{len(nodes)} nodes: {num_clips} clips decoded at the same time, {len(self.pool.encoders)} encoders on"
            f" {self.config.provider}"
        )


@contextmanager
def open_cluster(address: str, settings: Settings, embedder: Embedder) -> Iterator[ClusterEmbedClips]:
    """Start workers on a Ray cluster, for as long as the block runs.

    Args:
        address: HOST:PORT of the head node; this machine must be a node of the cluster too.
        settings: as they were set.
        embedder: of the driver.

    Raises:
        ClusterError: it can't be reached, runs other versions, or a node does not pass its verification.
        SourceError: the folder can't be read.
    """
    config = worker_config(settings, embedder)
    require_ray_at(address)
    _connect(address)
    try:
        pool = RayWorkerPool(config)
        pool.start()
        yield ClusterEmbedClips(pool, config)
    finally:
        ray.shutdown()


def _connect(address: str) -> None:
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, configure_logging=False)
    except RuntimeError as error:
        if "ersion mismatch" not in str(error):
            raise _refused(address, error) from error
        seen = " ".join(str(error).split())
        raise ClusterError(
            f"the cluster at {address} runs other versions than this machine: {seen} Bring the same checkout and"
            f" {INSTALL} to every node, then start Ray there again"
        ) from error
    except (ConnectionError, ValueError, ray.exceptions.RayError) as error:
        raise _refused(address, error) from error


def _refused(address: str, error: BaseException) -> ClusterError:
    return ClusterError(
        f"the Ray cluster at {address} can't be used from here: {_first_line(error)}; this machine must be a node of it"
        f" (`ray start --address={address}`), and see the same network"
    )


def _first_line(error: BaseException) -> str:
    """The first line of an error; Ray's have many."""
    lines = str(error).strip().splitlines()
    return lines[0].strip() if lines else type(error).__name__
