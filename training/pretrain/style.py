"""Style: the appearance of a video, as opposed to what is signed in it."""

import torch
from torch import Tensor


def gram_style(tokens: Tensor) -> Tensor:
    """The Gram matrix of a token map: which channels occur together, anywhere and at any time.

        G = X^T X / (C N),  X the N visible tokens of C channels;  style = G_jk for j <= k

    Paper: says Gram matrix only; here: of the first stage, divided by channels x tokens, upper triangle with diagonal.

    Args:
        tokens: [B, K, L, C].

    Returns:
        [B, C (C + 1) / 2] float32.
    """
    x = tokens.flatten(1, 2).float()
    num_tokens, channels = x.shape[1:]
    with torch.autocast(x.device.type, enabled=False):  # sums over thousands of tokens need full precision
        gram = x.transpose(1, 2) @ x / (channels * num_tokens)
    rows, columns = torch.triu_indices(channels, channels, device=x.device)
    return gram[:, rows, columns]


def style_dim(channels: int) -> int:
    """Length of the style of a map of `channels` channels."""
    return channels * (channels + 1) // 2
