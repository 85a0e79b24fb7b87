"""All settings of a translation run, as plain data. Where no source prints a value: "Decision"."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from training.fit.optimiser import OptimiserConfig
from training.fit.overrides import Rules, positive, require

Units = Literal["words", "characters"]


@dataclass(frozen=True)
class Data:
    """The features to train on."""

    folder: str = ""
    """Features, as `training.features` writes them."""
    units: Units = "words"
    """Units of a text, and of BLEU: words between spaces, or characters, as is usual for Chinese."""
    drop_windows: float = 0.2
    """Up to this share of the windows of a sentence is left out, anew in every epoch. Decision."""


@dataclass(frozen=True)
class Network:
    """An encoder-decoder of torch's own transformer layers."""

    width: int = 128
    hidden: int = 256
    """Of the feed-forward layers."""
    heads: int = 4
    encoder_layers: int = 2
    decoder_layers: int = 2
    dropout: float = 0.2
    reach_windows: int = 5
    """Windows that the first convolution spans, an odd number: a short window alone shows no movement. Decision."""


@dataclass(frozen=True)
class Losses:
    """Of the text and, beside it, of the glosses, as in Sign Language Transformers."""

    words: float = 1.0
    """Weight of the cross-entropy of the text."""
    glosses: float = 1.0
    """Weight of the CTC loss of the glosses, in sentences that have any; 0: without."""
    label_smoothing: float = 0.1
    """Of the text. Decision."""


@dataclass(frozen=True)
class TranslateConfig:
    """A translation run."""

    preset: str = "small"
    """Where the settings come from, for the record."""
    output: Path = Path("runs/translate")
    """Folder of checkpoints, curves and the report."""
    data: Data = field(default_factory=Data)
    network: Network = field(default_factory=Network)
    losses: Losses = field(default_factory=Losses)
    optimiser: OptimiserConfig = field(
        default_factory=lambda: OptimiserConfig(
            learning_rate=1e-3, layer_decay=1.0, betas=(0.9, 0.998), weight_decay=0.01, warmup_steps=100
        )
    )
    beam: int = 4
    """Width of the beam search."""
    max_units: int = 60
    """Longest text."""
    seed: int = 0
    """Of all randomness."""
    steps: int = 800
    minutes: float = math.inf
    """Minutes of training in all, earlier parts of the run included; the learning rate is at zero when they end."""
    batch_size: int = 32
    """Sentences."""
    accumulate: int = 1
    """Batches per step."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    log_every: int = 50
    save_every: int = 200
    validate_every: int = 100
    """Steps between two translations of the split `dev`, where there is one; the best BLEU-4 chooses the checkpoint."""

    def __post_init__(self) -> None:
        """Refuse values that can't be.

        Raises:
            ConfigError: names the field, the value and what is allowed.
        """
        rules: Rules = {
            "data.drop_windows": (0 <= self.data.drop_windows < 1, "at least 0 and below 1"),
            "network.heads": (self.network.width % self.network.heads == 0, "a divisor of network.width"),
            "network.width": (self.network.width % 2 == 0, "even"),
            "network.reach_windows": (self.network.reach_windows % 2 == 1, "odd"),
            "network.dropout": (0 <= self.network.dropout < 1, "at least 0 and below 1"),
            "losses.words": (self.losses.words > 0, "more than 0"),
            "losses.glosses": (self.losses.glosses >= 0, "at least 0"),
            "losses.label_smoothing": (0 <= self.losses.label_smoothing < 1, "at least 0 and below 1"),
            "minutes": (self.minutes > 0, "more than 0"),
        }
        counts = ("beam", "max_units", "steps", "batch_size", "accumulate", "log_every", "save_every", "validate_every")
        require(self, {**rules, **positive(self, counts)})


def small() -> TranslateConfig:
    """For a few hundred sentences of few words, on a CPU."""
    return TranslateConfig()


def large() -> TranslateConfig:
    """As wide and deep as Sign Language Transformers are published, for PHOENIX14T and CSL-Daily, on a GPU."""
    return TranslateConfig(
        preset="large",
        network=Network(width=512, hidden=2048, heads=8, encoder_layers=3, decoder_layers=3, dropout=0.1),
        optimiser=OptimiserConfig(
            learning_rate=5e-4, layer_decay=1.0, betas=(0.9, 0.998), weight_decay=0.001, warmup_steps=500
        ),
        steps=20_000,
        save_every=1_000,
        validate_every=1_000,
    )


PRESETS = {"small": small, "large": large}
