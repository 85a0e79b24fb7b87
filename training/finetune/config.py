"""All settings of fine-tuning, as plain data. Where no source prints a value, the field says "Decision"."""

import dataclasses
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from training.data.windows.augment import AugmentParams
from training.finetune.readers import READERS
from training.fit.optimiser import OptimiserConfig
from training.fit.overrides import Rules, positive, require


@dataclass(frozen=True)
class Data:
    """The clips to train on."""

    reader: str = "wlasl"
    """Layout of the folder: a name of `training.finetune.readers`."""
    folder: str = ""
    """The data set, or an entries file."""
    num_signs: int = 0
    """Only the first signs of the list; 0: all. 100 of WLASL are WLASL100."""
    cache: str = ""
    """Folder in which decoded clips are kept, 200 kB a frame of 256 pixels; empty: they are decoded every time."""
    workers: int = 2
    """Processes that load batches ahead, per training process; 0: loaded when needed."""

    @property
    def cache_folder(self) -> Path | None:
        """The folder of decoded clips, if any."""
        return Path(self.cache) if self.cache else None


@dataclass(frozen=True)
class Losses:
    """Of recognition."""

    label_smoothing: float = 0.1
    """Share of the target that is spread evenly over all classes."""
    distribution: float = 0.2
    """Weight of the divergence from the class distribution; 0: without."""


@dataclass(frozen=True)
class FinetuneConfig:
    """A fine-tuning run. The defaults are the paper's."""

    preset: str = "paper"
    """Where the settings come from, for the record."""
    output: Path = Path("runs/finetune")
    """Folder of checkpoints, curves and reports."""
    start_from: str = ""
    """Checkpoint of the encoder: the published one, one of ours, or `untrained:PRESET` for random weights."""
    data: Data = field(default_factory=Data)
    augment: AugmentParams = field(default_factory=AugmentParams)
    losses: Losses = field(default_factory=Losses)
    optimiser: OptimiserConfig = field(
        default_factory=lambda: OptimiserConfig(
            learning_rate=1e-4, layer_decay=0.85, betas=(0.9, 0.999), weight_decay=0.05, warmup_steps=1_000
        )
    )
    augmented: bool = True
    """False: clips are only resized. Decision: augmented as in pretraining."""
    num_frames: int = 64
    """Frames of a clip that the network takes: one inflated window of 64, or as many windows as they make."""
    num_moments: int = 1
    """Parts in time of a clip of several windows, each pooled by itself; 1 is SignRep's pooling. Decision."""
    seed: int = 0
    """Of all randomness."""
    epochs: int = 100
    """Times that every training clip is trained on."""
    steps: int = 0
    """Steps of the optimiser; 0: those of the epochs."""
    minutes: float = math.inf
    """Minutes of training in all, earlier parts of the run included; the learning rate is at zero when they end."""
    batch_size: int = 8
    """Clips at once in one process."""
    accumulate: int = 1
    """Batches per step."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """bf16 computes in bfloat16 under autocast; auto does so on GPUs that have it."""
    compile: bool = False
    """Compile the network before the first step."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train; auto takes a GPU when there is one."""
    log_every: int = 50
    """Steps between two points of a curve."""
    save_every: int = 500
    """Steps between two checkpoints to resume from."""
    validate_every: int = 0
    """Steps between two validations, by which the best checkpoint is chosen where there is a split for it; 0: an epoch.
    Decision: by top-1."""

    def __post_init__(self) -> None:
        """Refuse values that can't be.

        Raises:
            ConfigError: names the field, the value and what is allowed.
        """
        rules: Rules = {
            "data.reader": (self.data.reader in READERS, f"one of {', '.join(READERS)}"),
            "data.num_signs": (self.data.num_signs >= 0, "at least 0"),
            "losses.label_smoothing": (0 <= self.losses.label_smoothing < 1, "at least 0 and below 1"),
            "losses.distribution": (self.losses.distribution >= 0, "at least 0"),
            "steps": (self.steps >= 0, "at least 0"),
            "minutes": (self.minutes > 0, "more than 0"),
            "validate_every": (self.validate_every >= 0, "at least 0"),
        }
        counts = ("num_frames", "num_moments", "epochs", "batch_size", "accumulate", "log_every", "save_every")
        require(self, {**rules, **positive(self, counts)})

    def resolved(self, num_clips: int, num_processes: int) -> "FinetuneConfig":
        """The same with the number of steps, once the number of training clips is known."""
        epoch = max(1, round(num_clips / (self.batch_size * self.accumulate * num_processes)))
        return dataclasses.replace(
            self, steps=self.steps or self.epochs * epoch, validate_every=self.validate_every or epoch
        )


def paper() -> FinetuneConfig:
    """The paper's recipe for an inflated encoder; needs a GPU for a day or so."""
    return FinetuneConfig()


def compact() -> FinetuneConfig:
    """For encoders of two frames, as the one that ships, on a CPU: eight such windows in four parts."""
    return FinetuneConfig(
        preset="compact",
        output=Path("runs/recognise"),
        data=Data(reader="entries"),
        optimiser=OptimiserConfig(
            learning_rate=3e-4, layer_decay=0.85, betas=(0.9, 0.999), weight_decay=0.05, warmup_steps=50
        ),
        num_frames=16,
        num_moments=4,
        epochs=20,
        save_every=100,
        log_every=20,
    )


PRESETS = {"paper": paper, "compact": compact}
