"""Diagnosis of an installation in ten lines to paste: `python -m app doctor`.

Every line is independent of the others. One that does not match the settings makes the whole fail.
"""

import platform
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from statistics import median

import numpy as np

from app import VERSION
from app.encoder import encoder_file, open_encoder
from app.replica.active_snapshot import FILL_COMMAND
from app.replica.index_server import make_index_server
from app.settings import Settings
from index import snapshot
from index.errors import DictionaryError, SnapshotMissingError
from index.gpu_index import require_gpu
from model.config import EncoderConfig, SkeletonConfig
from model.encoder import Windows
from model.errors import ModelError, ProviderError
from model.machine import machine
from model.motion import looked_at
from model.runtime import devices

REPEATS = 5
K = 10
PACKAGES = (*devices.DISTRIBUTIONS, "faiss-cpu", "faiss-gpu", "mediapipe")
CGROUP = Path("/sys/fs/cgroup")
LIMITS = (("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"))
"""Files with a container's memory limit and use, in version 2 and version 1 of control groups."""


@dataclass(frozen=True)
class Finding:
    """One line of the diagnosis."""

    name: str
    text: str
    is_fine: bool = True


def examine(settings: Settings) -> list[Finding]:
    """Ten findings, in the order in which one thing needs the other."""
    return [
        Finding("signdex", f"{VERSION}, Python {platform.python_version()}, {machine()}"),
        Finding("memory", memory()),
        Finding("disk", f"{_gigabytes(_free_disk(settings.data))} free for {settings.data.resolve()}"),
        *_gpu(settings),
        Finding("wheels", wheels()),
        *_encoder(settings),
        *_dictionary(settings),
    ]


def memory(cgroup: Path = CGROUP, meminfo: Path = Path("/proc/meminfo")) -> str:
    """Memory that is free, of the machine or of the container where that has less."""
    entries = dict(line.split(":") for line in meminfo.read_text().splitlines())
    free, total = (1024 * int(entries[name].split()[0]) for name in ("MemAvailable", "MemTotal"))
    for limit_name, used_name in LIMITS:
        if not (cgroup / limit_name).is_file():
            continue
        limit = (cgroup / limit_name).read_text().strip()
        if limit.isdecimal() and int(limit) < total:
            total = int(limit)
            free = min(free, total - int((cgroup / used_name).read_text()))
    return f"{_gigabytes(free)} of {_gigabytes(total)} free"


def wheels() -> str:
    """Versions of the packages that decide what runs where."""
    found = [f"{name} {metadata.version(name)}" for name in PACKAGES if any(metadata.distributions(name=name))]
    cuda = devices.installed_build().cuda
    return ", ".join(found) + (f" (for CUDA {cuda})" if cuda else " (without CUDA)")


def _gpu(settings: Settings) -> list[Finding]:
    """The driver and the GPU."""
    is_required = settings.provider != "cpu" or settings.index_device != "cpu"
    try:
        driver = devices.nvidia_driver()
    except ProviderError as error:
        text = str(error) if is_required else "none, and none is asked for"
        return [Finding("driver", text, is_fine=not is_required), Finding("gpu", "none", is_fine=not is_required)]
    gpus = [f"{gpu.name}, {_gigabytes(gpu.free_bytes)} of {_gigabytes(gpu.total_bytes)} free" for gpu in driver.gpus]
    return [
        Finding("driver", f"{driver.version}, for CUDA up to {driver.cuda}"),
        Finding("gpu", "; ".join(gpus) or "none", is_fine=bool(gpus) or not is_required),
    ]


def _encoder(settings: Settings) -> list[Finding]:
    """The encoder, and the time per window in batches of the size that suits the device."""
    try:
        encoder = open_encoder(settings)
    except ModelError as error:
        return [Finding("encoder", str(error), is_fine=False), Finding("encode", "not tried", is_fine=False)]
    info = encoder.info
    trained = "" if info.trained else ", untrained"
    about = f"{info.encoder_id}, {info.precision}{trained}, {encoder_file(settings)} on {settings.provider}"
    num = info.num_at_once if settings.provider != "cpu" else devices.Device(threads=settings.threads).num_runs
    windows = _random_windows(info.config, num)
    visible = looked_at(windows, info.config, info.kept_share)
    seconds = _timed(lambda: encoder.encode(windows, visible))
    return [Finding("encoder", about), Finding("encode", f"{1000 * seconds / num:.2f} ms a window, {num} at once")]


def _random_windows(config: EncoderConfig | SkeletonConfig, num: int) -> Windows:
    """Noise, as hard to encode as anything."""
    rng = np.random.default_rng(0)
    if isinstance(config, SkeletonConfig):
        keypoints = rng.normal(size=(num, *config.window_shape)).astype(np.float32)
        keypoints[..., 3] = 1.0
        return keypoints
    return rng.integers(0, 256, (num, *config.window_shape), dtype=np.uint8)


def _dictionary(settings: Settings) -> list[Finding]:
    """The published dictionary, and the time of a search in it."""
    try:
        if settings.index_device == "cuda":
            require_gpu()
        server = make_index_server(settings)
        if server is not None:
            server.require_usable()
        found = snapshot.load(settings.snapshots, device=settings.index_device, server=server)
    except SnapshotMissingError:
        return [
            Finding("dictionary", f"none is published yet; `{FILL_COMMAND}` does so"),
            Finding("search", "not tried"),
        ]
    except DictionaryError as error:
        return [Finding("dictionary", str(error), is_fine=False), Finding("search", "not tried", is_fine=False)]
    vector = np.full(found.dim, found.dim**-0.5, np.float32)
    seconds = _timed(lambda: found.search(vector, k=K, encoder_id=found.encoder_id))
    about = f"{found.snapshot_id} of encoder {found.encoder_id}, {found.num_entries} videos of {found.num_signs} signs"
    return [
        Finding("dictionary", about),
        Finding("search", f"{1000 * seconds:.2f} ms for {K} signs, on {settings.index or settings.index_device}"),
    ]


def _timed(task: Callable[[], object]) -> float:
    """Median seconds of a task, after a first run that is not measured."""
    task()
    seconds = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        task()
        seconds.append(time.perf_counter() - began)
    return median(seconds)


def _free_disk(folder: Path) -> int:
    """Free bytes on the disk of a folder that may not exist yet."""
    existing = folder.resolve()
    while not existing.exists():
        existing = existing.parent
    return shutil.disk_usage(existing).free


def _gigabytes(num_bytes: float) -> str:
    return f"{num_bytes / 1e9:.1f} GB"
