"""Pixels as the encoder wants them: zero mean and unit variance over ImageNet, per channel."""

import torch
from torch import Tensor

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def normalise(windows: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Windows of frames as the network takes them.

    Args:
        windows: [B, frames, rows, columns, 3] uint8 RGB.
        dtype: of the result.

    Returns:
        [B, 3, frames, rows, columns].
    """
    return standardise(windows, -1).movedim(-1, 1).to(dtype)


def standardise(pixels: Tensor, channel: int) -> Tensor:
    """Bytes to float32 of the same shape; a float32 tensor is changed in place.

    Args:
        pixels: uint8, of any shape, or float32 from 0 to 255.
        channel: the axis of red, green and blue.
    """
    shape = [1] * pixels.ndim
    shape[channel] = 3
    mean = torch.tensor(IMAGENET_MEAN, device=pixels.device, dtype=torch.float32).reshape(shape)
    std = torch.tensor(IMAGENET_STD, device=pixels.device, dtype=torch.float32).reshape(shape)
    return pixels.to(torch.float32).mul_(1.0 / (255.0 * std)).sub_(mean / std)
