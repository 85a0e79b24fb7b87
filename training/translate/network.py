"""A small encoder-decoder on features, of torch's transformer layers.

The encoder makes a memory of the features; the decoder predicts the next unit from the memory and the units so far. A
head on the memory predicts glosses, which trains the encoder to find signs (Sign Language Transformers, CVPR 2020).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from training.translate.config import Network
from training.translate.data import END, PAD, START, UNKNOWN


@dataclass(frozen=True)
class EncodedSentences:
    """Output of the encoder for some sentences."""

    memory: Tensor
    """[B, T, W]."""
    padding: Tensor
    """[B, T] True where there is no window."""


class Translator(nn.Module):
    """Features to text."""

    mean: Tensor
    spread: Tensor

    def __init__(self, config: Network, dim: int, num_words: int, num_glosses: int) -> None:
        """Make the network with random weights.

        Args:
            config: sizes.
            dim: of the features of a window.
            num_words: units of texts, special ones included.
            num_glosses: without CTC's blank.
        """
        super().__init__()
        width = config.width
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("spread", torch.ones(dim))
        self.enter = nn.Conv1d(dim, width, config.reach_windows, padding=config.reach_windows // 2)
        self.entered = nn.LayerNorm(width)
        self.drop = nn.Dropout(config.dropout)
        sizes = (width, config.heads, config.hidden, config.dropout)
        self.encoder = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(*sizes, batch_first=True, norm_first=True),
            config.encoder_layers,
            nn.LayerNorm(width),
            enable_nested_tensor=False,
        )
        self.decoder = nn.TransformerDecoder(
            nn.TransformerDecoderLayer(*sizes, batch_first=True, norm_first=True),
            config.decoder_layers,
            nn.LayerNorm(width),
        )
        self.words = nn.Embedding(num_words, width, padding_idx=PAD)
        self.to_words = nn.Linear(width, num_words)
        self.to_glosses = nn.Linear(width, 1 + num_glosses)

    def measure(self, features: Tensor) -> None:
        """Store mean and standard deviation of every feature over [N, D] windows, for standardising them."""
        self.mean.copy_(features.mean(dim=0))
        self.spread.copy_(features.std(dim=0).clamp(min=1e-6))

    def encode(self, features: Tensor, num_windows: Tensor) -> EncodedSentences:
        """Encode [B, T, D] features of sentences that are [B] windows long."""
        padding = torch.arange(features.shape[1], device=features.device) >= num_windows[:, None]
        standardised = ((features - self.mean) / self.spread).masked_fill(padding[..., None], 0.0)
        entered = self.entered(self.enter(standardised.transpose(1, 2)).transpose(1, 2))
        placed = self.drop(entered + positions(entered))
        return EncodedSentences(self.encoder(placed, src_key_padding_mask=padding), padding)

    def glosses(self, encoded: EncodedSentences) -> Tensor:
        """[B, T, 1 + glosses] logits; 0 is CTC's blank."""
        return self.to_glosses(encoded.memory)  # type: ignore[no-any-return]

    def next_words(self, encoded: EncodedSentences, text: Tensor) -> Tensor:
        """[B, L, words] logits of what follows each of [B, L] units."""
        length = text.shape[1]
        future = torch.ones(length, length, dtype=torch.bool, device=text.device).triu(1)
        units = self.words(text) * math.sqrt(self.words.embedding_dim)
        out = self.decoder(
            self.drop(units + positions(units)),
            encoded.memory,
            tgt_mask=future,
            tgt_key_padding_mask=text == PAD,
            memory_key_padding_mask=encoded.padding,
        )
        return self.to_words(out)  # type: ignore[no-any-return]


def positions(like: Tensor) -> Tensor:
    """[T, W] sine and cosine of positions, for [B, T, W]."""
    length, width = like.shape[1:]
    rates = torch.exp(torch.arange(0, width, 2, device=like.device) * (-math.log(1e4) / width))
    angles = torch.arange(length, device=like.device)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)


@torch.no_grad()
def translate(network: Translator, features: Tensor, *, beam: int, max_units: int) -> list[int]:
    """The likeliest text of a sentence, by beam search over the mean log-probability of its units.

    Args:
        network: in evaluation mode.
        features: [T, D] of one sentence, where the network is.
        beam: width of the beam.
        max_units: the longest text.

    Returns:
        Numbers of units, without START and END.
    """
    encoded = network.encode(features[None], torch.tensor([len(features)], device=features.device))
    texts = torch.tensor([[START]], device=features.device)
    sums = torch.zeros(1, device=features.device)
    ended: list[tuple[float, list[int]]] = []
    for length in range(1, max_units + 1):
        repeated = EncodedSentences(encoded.memory.expand(len(texts), -1, -1), encoded.padding.expand(len(texts), -1))
        scores = network.next_words(repeated, texts)[:, -1].log_softmax(dim=-1)
        scores[:, [PAD, START, UNKNOWN]] = -math.inf
        best, places = (sums[:, None] + scores).flatten().topk(min(beam, scores.numel() - 3 * len(texts)))
        rows, units = places // scores.shape[1], places % scores.shape[1]
        texts = torch.cat([texts[rows], units[:, None]], dim=1)
        over = units == END
        ended += [(float(s) / length, text[1:-1].tolist()) for s, text in zip(best[over], texts[over], strict=True)]
        texts, sums = texts[~over], best[~over]
        if len(ended) >= beam or not len(texts):
            break
    if not ended:
        ended = [(float(s) / max_units, text[1:].tolist()) for s, text in zip(sums, texts, strict=True)]
    return max(ended)[1]
