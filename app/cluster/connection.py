"""A Ray cluster as a crew: who runs where, and what Ray's errors mean.

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

from app.bulk import Clip, EmbeddedClip
from app.cluster.address import INSTALL, require_ray_at
from app.cluster.plan import Place, order_of, places
from app.cluster.schedule import Member, blocks_of, embed_blocks
from app.cluster.workers import Block, BlockEncoder, Cutter, Order
from app.decoding.decoder import DecoderLimits
from app.errors import ClusterError, WorkLostError
from app.settings import Settings
from model.embed import Embedder
from model.errors import ModelError

log = logging.getLogger(__name__)

CLIPS_PER_BLOCK = 4
"""What is lost with a worker; 30 MB of frames for clips of two seconds."""
CLIPS_PER_GPU_BLOCK = 16
"""Batches of a GPU hold four times as many windows, and the last batch of a block is filled up."""
START_S = 600.0
"""How long nodes may take to get ready."""
POLL_S = 0.5


@dataclass
class _Actor:
    """A member that was started."""

    place: Place
    handle: Any
    ready: Any
    """What Ray gives for its `prepare`."""
    is_ready: bool = False


@dataclass
class RayCrew:
    """A `Crew` of Ray actors: on every node cutters for its processors, and encoders for its GPUs or processors."""

    order: Order
    actors: dict[str, _Actor] = field(default_factory=dict)
    """By the name of the member."""
    refused: set[str] = field(default_factory=set)
    """Nodes that came later and are not fit."""
    windows: dict[Hashable, Any] = field(default_factory=dict)
    """What was cut and not yet handed to an encoder, by ticket."""

    def start(self) -> None:
        """Start everybody, and wait until they are ready.

        Raises:
            ClusterError: a node is not fit, not one can encode, or somebody does not start.
        """
        self._start_missing()
        self._require_encoders()
        ready, late = ray.wait(
            [actor.ready for actor in self.actors.values()], num_returns=len(self.actors), timeout=START_S
        )
        for actor in self.actors.values():
            if actor.ready in ready:
                self._require_ready(actor)
        if late:
            names = sorted({actor.place.node for actor in self.actors.values() if not actor.is_ready})
            raise ClusterError(
                f"{', '.join(names)} did not get ready within {START_S:g} s: other work may hold its processors or"
                " GPUs; `ray status` says what is free"
            )

    def refresh(self) -> None:
        """See `Crew`. A node that comes later and is not fit is left out, with a warning."""
        self._start_missing()
        for actor in [actor for actor in self.actors.values() if not actor.is_ready]:
            if not ray.wait([actor.ready], timeout=0)[0]:
                continue
            try:
                self._require_ready(actor)
            except WorkLostError as lost:
                log.warning("%s", lost)
                self._let_go(actor)
            except (ClusterError, ModelError) as unfit:
                log.warning("%s; it is left out", unfit)
                self.refused.add(actor.place.node_id)

    @property
    def cutters(self) -> Sequence[Member]:
        """See `Crew`."""
        return self._ready("cut")

    @property
    def encoders(self) -> Sequence[Member]:
        """See `Crew`."""
        return self._ready("encode")

    def cut(self, cutter: Member, block: Block) -> Hashable:
        """See `Crew`."""
        method = self.actors[cutter.name].handle.cut
        errors, windows = method.options(num_returns=2).remote(block)
        self.windows[errors] = windows
        ticket: Hashable = errors
        return ticket

    def encode(self, encoder: Member, block: Block, cut: Hashable) -> Hashable:
        """See `Crew`."""
        ticket: Hashable = self.actors[encoder.name].handle.encode.remote(block, cut, self.windows.pop(cut))
        return ticket

    def wait(self, tickets: Collection[Hashable], timeout_s: float) -> Collection[Hashable]:
        """See `Crew`."""
        if not tickets:
            time.sleep(POLL_S)
            return ()
        done: Collection[Hashable] = ray.wait(list(tickets), num_returns=1, timeout=timeout_s, fetch_local=False)[0]
        return done

    def errors(self, cut: Hashable) -> Sequence[Exception | None]:
        """See `Crew`."""
        try:
            with self._translated():
                told: Sequence[Exception | None] = ray.get(cut)
        except BaseException:
            del self.windows[cut]
            raise
        return told

    def embedded(self, ticket: Hashable) -> Sequence[EmbeddedClip]:
        """See `Crew`."""
        with self._translated():
            clips: Sequence[EmbeddedClip] = ray.get(ticket)
        return clips

    def _require_ready(self, actor: _Actor) -> None:
        """Note that a member is ready. Raises what kept it from that."""
        with self._translated():
            ray.get(actor.ready)
        actor.is_ready = True

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn Ray's errors into what was raised on the node; where that, or the process, is gone, `WorkLostError`."""
        try:
            yield
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, ray.exceptions.RayError):  # what it was to work on is gone
                raise WorkLostError(_first_line(error.cause)) from error
            raise error.cause from error
        except ray.exceptions.RayActorError as error:
            self._drop(error.actor_id)
            raise WorkLostError(_first_line(error)) from error
        except ray.exceptions.RayError as error:
            raise WorkLostError(_first_line(error)) from error

    def _drop(self, actor_id: str | None) -> None:
        for actor in list(self.actors.values()):
            if actor.handle._actor_id.hex() == actor_id:
                self._let_go(actor)

    def _let_go(self, actor: _Actor) -> None:
        """Forget a member; another one takes its place as soon as somebody looks."""
        del self.actors[actor.place.member.name]
        ray.kill(actor.handle)

    def _ready(self, does: str) -> list[Member]:
        return [
            actor.place.member
            for actor in self.actors.values()
            if actor.is_ready and actor.place.does == does and actor.place.node_id not in self.refused
        ]

    def _start_missing(self) -> None:
        """Start who is missing on nodes that are there; forget who was on nodes that have gone."""
        nodes = [node for node in ray.nodes() if node["Alive"]]
        there = {node["NodeID"] for node in nodes}
        for actor in [actor for actor in self.actors.values() if actor.place.node_id not in there]:
            log.warning("%s is gone", actor.place.node)
            self._let_go(actor)
        for node in nodes:
            if node["NodeID"] not in self.refused:
                for place in places(node, self.order):
                    if place.member.name not in self.actors:
                        self.actors[place.member.name] = self._started(place)

    def _started(self, place: Place) -> _Actor:
        pinned = NodeAffinitySchedulingStrategy(place.node_id, soft=False)
        works = ray.remote(Cutter if place.does == "cut" else BlockEncoder).options(
            num_cpus=place.cpus,
            num_gpus=place.gpus,
            max_concurrency=place.num_at_once if place.does == "cut" else 1,
            scheduling_strategy=pinned,
        )
        extra = {} if place.does == "cut" else {"is_gpu": place.gpus > 0}
        handle = works.remote(self.order, place.node, **extra)
        return _Actor(place, handle, handle.prepare.remote())

    def _require_encoders(self) -> None:
        does = {actor.place.does for actor in self.actors.values()}
        num_nodes = len([node for node in ray.nodes() if node["Alive"]])
        if "encode" not in does and self.order.provider != "cpu":
            raise ClusterError(
                f"SIGNDEX_PROVIDER is {self.order.provider}, and none of {num_nodes} nodes offers a GPU: start Ray on a"
                " GPU host (`ray start --num-gpus=N` where it finds none by itself), or set SIGNDEX_PROVIDER=cpu"
            )
        if does != {"cut", "encode"}:
            raise ClusterError(f"none of {num_nodes} nodes offers a processor: start Ray with --num-cpus of at least 1")


@dataclass(frozen=True)
class ClusterEmbedding:
    """An `EmbedClips` whose work is done by a crew."""

    crew: RayCrew
    order: Order

    def __call__(self, clips: Sequence[Clip], embedder: Embedder, *, limits: DecoderLimits) -> Generator[EmbeddedClip]:
        """Embed clips on the cluster, which was told of embedder and limits when it was opened.

        Raises:
            ClusterError: the cluster can't go on.
        """
        assert (embedder.settings, embedder.encoder.info.encoder_id) == (self.order.settings, self.order.encoder_id)
        assert limits == self.order.decoding
        size = CLIPS_PER_BLOCK if self.order.provider == "cpu" else CLIPS_PER_GPU_BLOCK
        return embed_blocks(blocks_of(clips, size), self.crew)

    def __str__(self) -> str:
        cutters = sum(member.num_at_once for member in self.crew.cutters)
        nodes = {member.node for member in (*self.crew.cutters, *self.crew.encoders)}
        return (
            f"{len(nodes)} nodes: {cutters} clips cut at the same time, {len(self.crew.encoders)} encoders on"
            f" {self.order.provider}"
        )


@contextmanager
def open_cluster(address: str, settings: Settings, embedder: Embedder) -> Iterator[ClusterEmbedding]:
    """Embed on a Ray cluster as long as the block runs; what was started there ends with it.

    Args:
        address: HOST:PORT of the head node, from a machine that is a node of the cluster itself.
        settings: as they were set.
        embedder: of this machine.

    Raises:
        ClusterError: it can't be reached, runs other versions, or a node of it is not fit; what to do.
        SourceError: the folder can't be read.
    """
    order = order_of(settings, embedder)
    require_ray_at(address)
    _connect(address)
    try:
        crew = RayCrew(order)
        crew.start()
        yield ClusterEmbedding(crew, order)
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
    """Ray's errors go over many lines."""
    lines = str(error).strip().splitlines()
    return lines[0].strip() if lines else type(error).__name__
