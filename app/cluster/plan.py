"""What the nodes of a cluster are told, and who belongs on which of them."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.bulk import MAX_DECODERS
from app.cluster.schedule import BLOCKS_IN_HAND, Member
from app.cluster.workers import Order, software
from app.errors import SourceError, SourceUnsetError
from app.opening import bulk_decoding, encoder_file
from app.settings import Settings
from model.embed import Embedder


@dataclass(frozen=True)
class Place:
    """Where a member belongs."""

    node_id: str
    node: str
    does: str
    """`cut` or `encode`."""
    number: int
    num_at_once: int
    cpus: float
    gpus: float

    @property
    def member(self) -> Member:
        """Who is there."""
        return Member(f"{self.node_id}-{self.does}-{self.number}", self.node, self.num_at_once)


def places(node: Mapping[str, Any], order: Order) -> list[Place]:
    """Who belongs on a node: a cutter for every eight processors, an encoder for every GPU or share of the processors.

    Encoders on processors ask Ray for none: like on one machine they share them with the cutters, which wait for them.
    """
    node_id, num_cpus = node["NodeID"], int(node["Resources"].get("CPU", 0))
    name = f"node {node['NodeManagerAddress']} ({node['NodeManagerHostname']}, {node_id[:8]})"
    cutters = [min(MAX_DECODERS, num_cpus - start) for start in range(0, num_cpus, MAX_DECODERS)]
    found = [Place(node_id, name, "cut", number, cpus, cpus, 0) for number, cpus in enumerate(cutters)]
    if order.provider == "cpu":
        num_encoders = max(1, num_cpus // order.threads) if num_cpus else 0
        return found + [Place(node_id, name, "encode", n, BLOCKS_IN_HAND, 0, 0) for n in range(num_encoders)]
    num_gpus = int(node["Resources"].get("GPU", 0))
    return found + [Place(node_id, name, "encode", n, BLOCKS_IN_HAND, 0, 1) for n in range(num_gpus)]


def head_settings(settings: Settings) -> Settings:
    """Settings for the machine in charge, which encodes nothing and may have no GPU: it only reads the encoder file."""
    return settings.model_copy(update={"provider": "cpu", "encoder": encoder_file(settings).resolve()})


def order_of(settings: Settings, embedder: Embedder) -> Order:
    """What the nodes have to know.

    Args:
        settings: as they were set, with the device that encodes.
        embedder: of the machine in charge.

    Raises:
        SourceError: the folder can't be read, or is empty.
    """
    if settings.dictionary is None:
        raise SourceUnsetError("no dictionary folder is set; name one")
    try:
        folder = settings.dictionary.resolve(strict=True)
        landmark = min((path.name for path in folder.iterdir()), default=None)
    except OSError as error:
        raise SourceError(f"the dictionary folder {settings.dictionary} can't be read: {error}") from error
    if landmark is None:
        raise SourceError(f"the dictionary folder {folder} is empty; put videos into it")
    return Order(
        folder=folder,
        landmark=landmark,
        encoder=encoder_file(settings).resolve(),
        encoder_id=embedder.encoder.info.encoder_id,
        settings=embedder.settings,
        provider=settings.provider,
        threads=settings.threads or len(os.sched_getaffinity(0)),
        gpu_memory_bytes=int(settings.gpu_memory_gb * 1_000_000_000),
        engines=settings.engines.resolve(),
        cutting=embedder.cutting,
        video_limits=settings.video_limits,
        decoding=bulk_decoding(settings),
        software=software(),
    )
