"""The discriminator: does this style belong to the video that this embedding is of?

Where it can tell, the embedding carries the appearance of the video, so the encoder is trained to make it guess.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from training.pretrain.config import Adversary
from training.pretrain.losses import discriminator_loss
from training.pretrain.style import style_dim


class Verdict(NamedTuple):
    """Logits [B] of being matched, for embeddings with their own video's style and with another's."""

    matched: Tensor
    unmatched: Tensor


class Discriminator(nn.Module):
    """Two layers on the style, four on style and embedding together; it also keeps running averages of its verdicts."""

    ema_matched: Tensor
    ema_unmatched: Tensor

    def __init__(self, channels: int, dim: int, config: Adversary) -> None:
        """Make it for a style map of so many channels and embeddings of so many dimensions."""
        super().__init__()
        hidden = config.hidden
        self.style_scale, self.momentum = config.style_scale, config.ema_momentum
        self.style = nn.Sequential(
            nn.Linear(style_dim(channels), hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU()
        )
        self.norm = nn.LayerNorm(hidden)
        sizes = [hidden + dim, hidden, hidden, hidden]
        layers = [part for size in sizes[:-1] for part in (spectral_norm(nn.Linear(size, hidden)), nn.GELU())]
        self.judge = nn.Sequential(*layers, spectral_norm(nn.Linear(hidden, 1)))
        self.register_buffer("ema_matched", torch.tensor(config.ema_start))
        self.register_buffer("ema_unmatched", torch.tensor(config.ema_start))

    def forward(self, style: Tensor, features: Tensor) -> Tensor:
        """[B, S] and [B, D] -> [B] logits of being matched."""
        style = self.norm(self.style(self.style_scale * style))
        x: Tensor = self.judge(torch.cat([style, features.float()], dim=1))
        return x.squeeze(1)

    def compare(self, style: Tensor, features: Tensor, other: Tensor) -> Verdict:
        """Classify every embedding with the style of its video's other window, and with another video's.

        Args:
            style: [B, S]; rows 2i and 2i + 1 are two windows of one video.
            features: [B, D] likewise.
            other: [B] int64, for every row one of another video.
        """
        partner = torch.arange(len(style), device=style.device) ^ 1
        logits = self(torch.cat([style[partner], style[other]]), torch.cat([features, features]))
        return Verdict(*logits.chunk(2))

    def loss(self, style: Tensor, features: Tensor, other: Tensor) -> Tensor:
        """The discriminator's own loss; see `compare`. Also moves the averages."""
        verdict = self.compare(style, features.detach(), other)
        with torch.no_grad():
            self.ema_matched.lerp_(verdict.matched.sigmoid().mean(), self.momentum)
            self.ema_unmatched.lerp_(verdict.unmatched.sigmoid().mean(), self.momentum)
        return discriminator_loss(verdict.matched, verdict.unmatched)

    @contextmanager
    def frozen(self) -> Iterator["Discriminator"]:
        """Discriminate without being trained: gradients pass through, none is kept."""
        self.requires_grad_(False).eval()
        try:
            yield self
        finally:
            self.requires_grad_(True).train()


def draw_others(batch_size: int, generator: torch.Generator) -> Tensor:
    """For every window of a batch of pairs one of another video: the batch, turned by a random number of pairs.

    Returns:
        [B] int64.
    """
    shift = 2 * int(torch.randint(1, batch_size // 2, (1,), generator=generator))
    return (torch.arange(batch_size) + shift) % batch_size


def make_adversary_optimiser(discriminator: nn.Module, config: Adversary) -> torch.optim.AdamW:
    """AdamW of the discriminator."""
    group = {"params": list(discriminator.parameters()), "rate_scale": 1.0}
    return torch.optim.AdamW([group], lr=config.learning_rate, betas=config.betas, weight_decay=config.weight_decay)
