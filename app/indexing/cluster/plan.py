"""The configuration of the workers of a cluster, and how many of them each node gets."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.decoding.limits import bulk_decoder_limits
from app.encoder import encoder_file
from app.errors import SourceError, SourceUnsetError
from app.indexing.bulk import MAX_DECODERS
from app.indexing.cluster.schedule import BLOCKS_PER_ENCODER, Worker
from app.indexing.cluster.workers import Role, WorkerConfig, software
from app.settings import Settings
from model.embed import Embedder


@dataclass(frozen=True)
class WorkerPlacement:
    """A worker, the node that it runs on, and the resources that it takes there."""

    node_id: str
    node: str
    role: Role
    number: int
    max_blocks: int
    cpus: float
    gpus: float

    @property
    def worker(self) -> Worker:
        """As the schedule knows it."""
        return Worker(f"{self.node_id}-{self.role}-{self.number}", self.node, self.max_blocks)


def planned_workers(node: Mapping[str, Any], config: WorkerConfig) -> list[WorkerPlacement]:
    """The workers of a node: one to decode per eight processors, one to encode per GPU or per `threads` processors.

    Encoding on processors reserves none of them in Ray: as on one machine, it shares them with decoding, which waits.
    """
    node_id, num_cpus = node["NodeID"], int(node["Resources"].get("CPU", 0))
    name = f"node {node['NodeManagerAddress']} ({node['NodeManagerHostname']}, {node_id[:8]})"
    decoders = [min(MAX_DECODERS, num_cpus - start) for start in range(0, num_cpus, MAX_DECODERS)]
    found = [WorkerPlacement(node_id, name, Role.DECODE, number, cpus, cpus, 0) for number, cpus in enumerate(decoders)]
    if config.provider == "cpu":
        num_encoders = max(1, num_cpus // config.threads) if num_cpus else 0
        return found + [
            WorkerPlacement(node_id, name, Role.ENCODE, n, BLOCKS_PER_ENCODER, 0, 0) for n in range(num_encoders)
        ]
    num_gpus = int(node["Resources"].get("GPU", 0))
    return found + [WorkerPlacement(node_id, name, Role.ENCODE, n, BLOCKS_PER_ENCODER, 0, 1) for n in range(num_gpus)]


def driver_settings(settings: Settings) -> Settings:
    """Settings of the driver, which only reads the encoder file: it encodes nothing and may have no GPU."""
    return settings.model_copy(update={"provider": "cpu", "encoder": encoder_file(settings).resolve()})


def worker_config(settings: Settings, embedder: Embedder) -> WorkerConfig:
    """The configuration of all workers.

    Args:
        settings: as they were set, with the device of the workers.
        embedder: of the driver.

    Raises:
        SourceError: the folder can't be read, or is empty.
    """
    if settings.dictionary is None:
        raise SourceUnsetError("no dictionary folder is set; name one")
    try:
        folder = settings.dictionary.resolve(strict=True)
        probe = min((path.name for path in folder.iterdir()), default=None)
    except OSError as error:
        raise SourceError(f"the dictionary folder {settings.dictionary} can't be read: {error}") from error
    if probe is None:
        raise SourceError(f"the dictionary folder {folder} is empty; put videos into it")
    return WorkerConfig(
        folder=folder,
        probe=probe,
        encoder=encoder_file(settings).resolve(),
        encoder_id=embedder.encoder.info.encoder_id,
        settings=embedder.settings,
        provider=settings.provider,
        threads=settings.threads or len(os.sched_getaffinity(0)),
        gpu_memory_bytes=int(settings.gpu_memory_gb * 1_000_000_000),
        engines=settings.engines.resolve(),
        windowing=embedder.windowing,
        video_limits=settings.video_limits,
        decoder_limits=bulk_decoder_limits(settings),
        software=software(),
    )
