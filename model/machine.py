"""The machine that a benchmark runs on, for its heading."""

import os
import platform
from pathlib import Path


def machine() -> str:
    """Processor, cores and how busy they are, in one line."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return (
        f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}"
    )
