"""The weights and inputs on which the published network's numbers were computed, made from names and seeds alone."""

import json
import math
import zlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

TOLERANCE = 1e-4


def weight(key: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    noise = np.random.default_rng(zlib.crc32(key.encode())).standard_normal(shape).astype(np.float32)
    if "pos_embed" in key:
        return 0.3 * noise
    if key.endswith("bias"):
        return 0.1 * noise
    if len(shape) == 1:
        return 1 + 0.1 * noise
    if key == "cls_head.latent_proj.2.weight":
        return noise / math.sqrt(shape[0])
    return noise / math.sqrt(math.prod(shape[1:]))


def published_weights(parity: Path) -> dict[str, torch.Tensor]:
    shapes: dict[str, list[int]] = json.loads((parity / "checkpoint_keys.json").read_text())
    return {key: torch.from_numpy(weight(key, tuple(shape))) for key, shape in shapes.items()}


def published_noise() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(20251).standard_normal((2, 3, 16, 224, 224)).astype(np.float32))


def relative_error(ours: torch.Tensor, theirs: NDArray[np.float32]) -> float:
    return float(np.abs(ours.detach().numpy() - theirs).max() / np.abs(theirs).max())
