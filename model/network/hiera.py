"""Hiera for video: a transformer that stays a plain transformer by keeping its tokens sorted by mask unit.

Source: Ryali et al., "Hiera: A Hierarchical Vision Transformer without the Bells-and-Whistles", ICML 2023.

Shapes are written with these letters:
    B windows, C channels, T x H x W tokens of the first stage (time, height, width), N = T*H*W,
    U mask units of a window, K visible ones, L tokens in a unit (fewer after each pooling), h heads of d channels.

The one idea that everything rests on is the order of the tokens. A mask unit is a block of 1 x 8 x 8 tokens that is
kept or dropped as a whole. Inside a unit the tokens are ordered such that those which the first pooling merges (2 x 2
neighbours) stand next to each other, then the groups that the second pooling merges, and so on. With that order

    pooling             is a maximum over consecutive tokens:        [.., L, C] -> [.., L/4, 4, C] -> [.., L/4, C]
    local attention     is attention over L with units as batch:     [B*K, L, C]
    dropping units      is picking K of U, and nothing later knows:  [B, U, L, C] -> [B, K, L, C]

`pooling_order` computes it once; one gather right after the patch embedding applies it and drops what is not visible.
"""

import itertools
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.config import EncoderConfig
from model.network.pixels import standardise

MAX_PLAIN_TOKENS = 128
"""Tokens up to which attention is computed by plain products on a CPU."""


def pooling_order(config: EncoderConfig) -> Tensor:
    """Which token stands where once tokens are sorted by mask unit.

    Returns:
        [U, L] int64: row-major numbers over the T x H x W grid. Row u holds the tokens of unit u, and those that are
        pooled together stand together.
    """
    # Each axis of the grid falls apart, from coarse to fine, into: unit, what is left after all poolings, then one
    # factor per pooling. E.g. 56 rows = 7 units x 2 x 2 (second pooling) x 2 (first pooling).
    axes = [
        (units, unit // stride**config.q_pool, *[stride] * config.q_pool)
        for units, unit, stride in zip(config.unit_grid, config.mask_unit, config.q_stride, strict=True)
    ]
    levels = 2 + config.q_pool
    numbers = torch.arange(math.prod(config.token_grid)).reshape([size for axis in axes for size in axis])
    # [uT, rT, sT.., uH, rH, sH.., uW, rW, sW..] -> [uT, uH, uW, rT, rH, rW, sT, sH, sW, ..]
    coarse_to_fine = [axis * levels + level for level in range(levels) for axis in range(3)]
    return numbers.permute(coarse_to_fine).reshape(config.num_units, -1)


def max_pool(x: Tensor, factor: int) -> Tensor:
    """Merge every `factor` consecutive tokens: [.., L, C] -> [.., L/factor, C]."""
    if factor == 1:
        return x
    return x.reshape(*x.shape[:-2], x.shape[-2] // factor, factor, x.shape[-1]).amax(dim=-2)


class DropPath(nn.Module):
    """Drop a residual branch for whole samples while training (stochastic depth, Huang et al. 2016)."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """[B, ..] -> [B, ..], some samples zero, the others scaled up so that the mean stays."""
        if not self.training or self.rate == 0:
            return x
        keep = x.new_empty([x.shape[0]] + [1] * (x.ndim - 1)).bernoulli_(1 - self.rate)
        return x * keep / (1 - self.rate)


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Scaled dot-product attention: [.., Lq, d], [.., L, d], [.., L, d] -> [.., Lq, d].

    Few tokens on a CPU are faster by plain products than by torch's fused kernel, backward above all.
    """
    if k.shape[-2] > MAX_PLAIN_TOKENS or k.device.type != "cpu":
        return F.scaled_dot_product_attention(q, k, v)
    weights = (q @ k.transpose(-1, -2) * k.shape[-1] ** -0.5).softmax(dim=-1)
    return torch.matmul(weights.to(v.dtype), v)


class Attention(nn.Module):
    """Multi-head attention within each mask unit or over all visible tokens, queries pooled on the way."""

    def __init__(self, dim: int, dim_out: int, num_heads: int, *, pool: int, local: bool) -> None:
        super().__init__()
        self.num_heads, self.pool, self.local = num_heads, pool, local
        self.qkv = nn.Linear(dim, 3 * dim_out)
        self.proj = nn.Linear(dim_out, dim_out)

    def forward(self, x: Tensor) -> Tensor:
        """[B, K, L, C] -> [B, K, L/pool, C_out]."""
        batch, num_units, length, _ = x.shape
        x = x.flatten(0, 1) if self.local else x.flatten(1, 2)  # [B*K, L, C] or [B, K*L, C]
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        q, k, v = self._split_heads(max_pool(q, self.pool)), self._split_heads(k), self._split_heads(v)
        x = attend(q, k, v).transpose(1, 2).flatten(2)
        x = self.proj(x)
        return x.reshape(batch, num_units, length // self.pool, -1)

    def _split_heads(self, x: Tensor) -> Tensor:
        """[.., L, h*d] -> [.., h, L, d]."""
        return x.reshape(*x.shape[:-1], self.num_heads, -1).transpose(1, 2)


class Mlp(nn.Module):
    """Two linear layers with a GELU between."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        """[.., C] -> [.., C]."""
        x = F.gelu(self.fc1(x))
        x = self.fc2(x)
        return x


class Block(nn.Module):
    """A transformer block; the first of a stage also widens the channels, and pools if its stage does."""

    def __init__(
        self, dim: int, dim_out: int, num_heads: int, *, pool: int, local: bool, mlp_ratio: float, drop_path: float
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = Attention(dim, dim_out, num_heads, pool=pool, local=local)
        self.norm2 = nn.LayerNorm(dim_out, eps=1e-6)
        self.mlp = Mlp(dim_out, int(dim_out * mlp_ratio))
        self.drop_path = DropPath(drop_path)
        self.proj = nn.Linear(dim, dim_out) if dim != dim_out else None

    def forward(self, x: Tensor) -> Tensor:
        """[B, K, L, C] -> [B, K, L/pool, C_out]."""
        normed = self.norm1(x)
        if self.proj is not None:
            x = max_pool(self.proj(normed), self.attn.pool)
        x = x + self.drop_path(self.attn(normed))
        x = x + self.drop_path(self.mlp(self.norm2(x)))
        return x


class PatchEmbed(nn.Module):
    """Overlapping patches to tokens, by a strided 3D convolution."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.proj = nn.Conv3d(
            3, config.embed_dim, config.patch_kernel, stride=config.patch_stride, padding=config.patch_padding
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, 3, frames, rows, columns] -> [B, N, C], row-major over time, height, width."""
        x = self.proj(x)
        return x.flatten(2).transpose(1, 2)


class Residual(nn.Module):
    """A convolution beside which what comes in goes on unchanged; it begins as doing nothing."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.before = nn.Conv2d(channels, channels, 3, padding=1)
        self.after = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, rows, columns], the same shape."""
        x = x + self.after(F.relu(self.before(F.relu(x))))
        return x


class ConvStem(nn.Module):
    """What a patch embedding does, in several layers: each halves the picture, the first does what is left."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.stride_t = config.patch_stride[0]
        widths = (3 * self.stride_t, *config.stem, config.embed_dim)
        strides = (config.patch_stride[1] // 2 ** len(config.stem), *(2 for _ in config.stem))
        self.layers = nn.ModuleList(
            nn.Conv2d(before, after, 2 * stride - 1, stride=stride, padding=stride - 1)
            for (before, after), stride in zip(itertools.pairwise(widths), strides, strict=True)
        )
        # Not where the picture is still large: there a layer costs as much as all the others.
        self.refine = nn.ModuleList(Residual(width) for width in widths[2:])

    def forward(self, x: Tensor) -> Tensor:
        """[B, 3, frames, rows, columns], normalised or uint8 -> [B, N, C], row-major over time, height, width."""
        batch, _, num_frames, rows, columns = x.shape
        steps = num_frames // self.stride_t
        x = x.reshape(batch, 3, steps, self.stride_t, rows, columns).permute(0, 2, 4, 5, 1, 3)
        # Channels last is how convolutions like it on a CPU; bytes are brought there with a quarter of the traffic.
        x = x.reshape(batch * steps, rows, columns, 3, self.stride_t)
        if x.dtype == torch.uint8:
            x = standardise(x, 3)
        x = self.layers[0](x.flatten(3).permute(0, 3, 1, 2))
        for layer, refine in zip(list(self.layers)[1:], self.refine, strict=True):
            x = refine(layer(F.relu(x)))
        x = x.flatten(2).transpose(1, 2)  # [B * steps, rows * columns, C]
        return x.reshape(batch, -1, x.shape[-1])


def make_blocks(config: EncoderConfig) -> list[Block]:
    """The blocks of all stages, in order."""
    depth = sum(config.stages)
    blocks: list[Block] = []
    dim, num_heads = config.embed_dim, config.num_heads
    for stage, num_blocks in enumerate(config.stages):
        for i in range(num_blocks):
            first = i == 0 and stage > 0
            dim_out = 2 * dim if first else dim
            num_heads = 2 * num_heads if first else num_heads
            blocks.append(
                Block(
                    dim,
                    dim_out,
                    num_heads,
                    pool=math.prod(config.q_stride) if first and stage <= config.q_pool else 1,
                    # The first block of a stage still sees the resolution, and so the reach, of the stage before.
                    local=config.local_stages[stage - 1 if first else stage],
                    mlp_ratio=config.mlp_ratio,
                    drop_path=config.drop_path * len(blocks) / max(1, depth - 1),
                )
            )
            dim = dim_out
    return blocks


class Hiera(nn.Module):
    """The backbone: windows to the token maps of all stages."""

    pooling_order: Tensor

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        num_frames, height, width = config.token_grid
        self.pos_embed_spatial = nn.Parameter(torch.zeros(1, height * width, config.embed_dim))
        self.pos_embed_temporal = nn.Parameter(torch.zeros(1, num_frames, config.embed_dim))
        self.patch_embed = ConvStem(config) if config.stem else PatchEmbed(config)
        self.blocks = nn.ModuleList(make_blocks(config))
        self.stage_ends = [sum(config.stages[: i + 1]) - 1 for i in range(len(config.stages))]
        self.register_buffer("pooling_order", pooling_order(config), persistent=False)
        self._init_weights()

    def forward(self, x: Tensor, visible: Tensor | None = None) -> list[Tensor]:
        """Encode windows, or only some of their mask units.

        Args:
            x: [B, 3, frames, rows, columns], normalised; or uint8, which is normalised here.
            visible: [B, K] int64, numbers of the mask units to encode (row-major over time, height, width), each at
                most once; None encodes all of them. What is not visible costs nothing after the patch embedding and
                has no influence on the result: its pixels are blanked before.

        Returns:
            One map per stage: [B, K, L_stage, C_stage].
        """
        x = self._tokens(x, visible)
        maps = []
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i in self.stage_ends:
                maps.append(x)
        return maps

    def _tokens(self, x: Tensor, visible: Tensor | None) -> Tensor:
        """[B, 3, frames, rows, columns] -> [B, K, L, C] by the patch embedding or the stem."""
        if x.dtype == torch.uint8 and (visible is not None or not self.config.stem):
            x = standardise(x, 1)
        if visible is not None:
            x = x * self._visible_pixels(visible)
        return self._sort_by_unit(self.patch_embed(x) + self._position(), visible)

    def _position(self) -> Tensor:
        """[1, N, C]: every token's place in the frame plus its time."""
        return (self.pos_embed_temporal[:, :, None] + self.pos_embed_spatial[:, None]).flatten(1, 2)

    def _sort_by_unit(self, x: Tensor, visible: Tensor | None) -> Tensor:
        """[B, N, C] -> [B, K, L, C], tokens of the visible units in the order in which they are pooled."""
        if visible is None:
            return x[:, self.pooling_order]
        rows = torch.arange(x.shape[0], device=x.device)[:, None, None] * x.shape[1]
        return x.flatten(0, 1)[rows + self.pooling_order[visible]]

    def _visible_pixels(self, visible: Tensor) -> Tensor:
        """[B, K] -> [B, 1, frames, rows, columns]: 1 where a pixel belongs to a visible unit, else 0.

        Patches overlap, so without this a visible unit would see three pixels of its hidden neighbours.
        """
        units = torch.arange(self.config.num_units, device=visible.device)
        shown = (visible[:, :, None] == units).any(dim=1).to(self.pos_embed_spatial.dtype)
        shown = shown.reshape(-1, 1, *self.config.unit_grid)
        for axis, (unit, stride) in enumerate(zip(self.config.mask_unit, self.config.patch_stride, strict=True)):
            shown = shown.repeat_interleave(unit * stride, dim=axis + 2)
        return shown

    def _init_weights(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            elif isinstance(module, nn.Linear | nn.Conv3d):
                nn.init.xavier_uniform_(module.weight.flatten(1))
            if isinstance(module, nn.Linear | nn.Conv2d | nn.Conv3d) and module.bias is not None:
                nn.init.zeros_(module.bias)
        for module in self.modules():
            if isinstance(module, Residual):
                nn.init.zeros_(module.after.weight)
        # Places as large as contents: a network that starts from nothing has to see where a hand is, not only that.
        _, height, width = self.config.token_grid
        with torch.no_grad():
            self.pos_embed_spatial.copy_(sinusoidal_positions(height, width, self.config.embed_dim))
            self.pos_embed_temporal.copy_(
                sinusoidal_positions(1, self.pos_embed_temporal.shape[1], self.config.embed_dim)
            )


def sinusoidal_positions(height: int, width: int, dim: int) -> Tensor:
    """Sines and cosines of rows and columns, fast to slow: [1, height * width, dim].

    After MAE (He et al. 2022), with speeds that span a factor of 100 and not 10,000: grids are small.
    """
    quarter = -(-dim // 4)
    speeds = 10.0 ** (-2.0 * torch.arange(quarter) / quarter)
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    angles = [place.flatten()[:, None] * speeds for place in (rows, columns)]
    return torch.cat([part for angle in angles for part in (angle.sin(), angle.cos())], dim=1)[None, :, :dim]
