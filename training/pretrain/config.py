"""All settings of a pretraining run, as plain data. Where no source prints a value, the field says "Decision".

A run is a preset with a few fields set: `override(debug(), ["steps=50", "losses.adversarial=0"])`.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

from model.config import PRESETS as ENCODERS
from model.config import EncoderConfig, base, tiny
from training.data.priors.table import ACTIVITY_WEIGHT, PRIOR
from training.data.windows.augment import AugmentParams
from training.errors import ConfigError
from training.fit.optimiser import Betas, OptimiserConfig
from training.fit.overrides import Rules, assign, flatten, positive, require, split

C = TypeVar("C")
RENAMED = {"told": "teacher_forcing", "told_error": "teacher_forcing_noise"}
"""Fields that had other names in checkpoints of earlier versions."""


@dataclass(frozen=True)
class Data:
    """The windows to train on."""

    sources: tuple[str, ...] = ("synthetic",)
    """Each KIND[:WHERE][@WEIGHT]: `shards:FOLDER` (as `training.data.shards.write` writes them), `synthetic`
    (mannequins without end), `synthetic:FOLDER` (people, from the bodies' folder), `performed:N` (N clips of
    mannequins, kept in memory), `generated:N` (N clips of moving squares). Sampled by weight, 1 where none is given."""
    body: str = ""
    """The standard body of all targets, as `training.data priors measure` writes it. Empty: shards bring their own
    (the paper's median over the data set); all others, and mixtures, have that of a middling adult."""
    validation: str = ""
    """`retrieval:GALLERY:QUERIES`, two folders of videos named by their gloss, scored by the DCG of `training.evaluate`
    (the paper's way); or a source of held-out windows, scored by their prior loss; empty: none."""
    validation_pairs: int = 64
    """Pairs of windows that are held out."""
    mirrored: float = 0.0
    """Share of the pairs from shards that are mirrored, their targets with them. Decision: the paper does not."""
    cache: str = ""
    """Folder in which decoded clips of shards are kept, 200 kB a frame of 256 pixels; empty: they are decoded for every
    window. For sets that fit on the disk, where the processor is what is scarce."""
    frame_px: int = 256
    """Height and width of the upper-torso crop that sources give."""
    workers: int = 2
    """Processes that make batches ahead, per training process; 0: made when needed."""


@dataclass(frozen=True)
class Losses:
    """Weights and forms of the losses. The weights and scales of the priors are in `training.data.priors.table`."""

    priors: tuple[str, ...] = tuple(PRIOR)
    """The priors that count; the others are predicted and shown all the same."""
    weights: tuple[float, ...] = ()
    """Weights of the priors in the order of `training.data.priors.table`; empty: the table's. Those of the table leave
    nine tenths of the loss to angles, whose variance is ten times that of positions in metres."""
    prior_beta: float = 1.0
    """Error at which the priors' smooth L1 turns from a square to a line. Decision."""
    activity: float = ACTIVITY_WEIGHT
    """Weight of the hands' activity."""
    variance: float = 1.0
    """Weight of the variance hinge."""
    covariance: float = 0.004
    """Weight of the covariance."""
    covariance_per_channel: bool = True
    """Divide the covariance by the number of channels, as VICReg does. Decision: the paper prints the bare sum."""
    adversarial: float = 2.0
    """Weight of the adversarial term."""
    hands: float = 1.0
    """Weight of where the hands are, for encoders with a hand branch. Decision: ours."""

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.priors) - set(PRIOR)):
            raise ConfigError(f"unknown priors {', '.join(unknown)}; known are {', '.join(PRIOR)}")
        if self.weights and len(self.weights) != len(PRIOR):
            raise ConfigError(f"{len(self.weights)} weights; there are {len(PRIOR)} priors: {', '.join(PRIOR)}")


@dataclass(frozen=True)
class Adversary:
    """The discriminator and its optimiser."""

    style_stage: int = 1
    """Stage of the encoder whose token map gives the style. Decision."""
    hidden: int = 768
    """Units of every hidden layer."""
    style_scale: float = 100.0
    """Multiplies the style before the first layer."""
    ema_momentum: float = 0.1
    """Share of the newest batch in the averages of the verdicts."""
    ema_start: float = 0.5
    """The averages before the first batch. Decision: undecided."""
    learning_rate: float = 1e-4
    """At the end of the warm-up."""
    betas: Betas = (0.5, 0.9)
    """Of AdamW."""
    weight_decay: float = 1e-3
    """Of AdamW, on every parameter."""
    warmup_steps: int = 50_000
    """Steps until the full learning rate."""


@dataclass(frozen=True)
class PretrainConfig:
    """A pretraining run. The defaults are the paper's."""

    preset: str = "paper"
    """Where the settings come from, for the record."""
    output: Path = Path("runs/pretrain")
    """Folder of checkpoints and curves."""
    encoder: EncoderConfig = field(default_factory=base)
    """Geometry; `encoder=small` takes a whole preset, `encoder.embed_dim=48` one field."""
    data: Data = field(default_factory=Data)
    augment: AugmentParams = field(default_factory=AugmentParams)
    losses: Losses = field(default_factory=Losses)
    adversary: Adversary = field(default_factory=Adversary)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    augmented: bool = True
    """False: windows are only resized."""
    centred_on: int = 0
    """Pairs of windows over whose targets the heads' biases are initialised to the mean; 0: to zero. Without it a small
    network spends its first steps on the mean pose, with the same embedding for all windows. Decision: 0."""
    start_from: str = ""
    """Checkpoint to start from: Hiera trained as MAE on Kinetics (the paper), or any SignRep; empty: random weights."""
    seed: int = 0
    """Of all randomness."""
    steps: int = 500_000
    """Steps of the optimiser."""
    minutes: float = math.inf
    """Minutes of training in all, those before a resume included; the learning rate is at zero when they end."""
    batch_size: int = 20
    """Windows at once in one process: half as many videos, two windows of each. Decision: the paper says 20 and a
    matched pair per video, not which is counted."""
    accumulate: int = 1
    """Batches per step; the variance, covariance and adversarial terms look at one batch at a time."""
    mask: float = 0.8
    """Share of mask units, of those that could be seen, that the encoder does not see."""
    moving: float = 1.0
    """Share of mask units that could be seen: those in which most moves, which are the hands. 1: all. Decision."""
    hide: Literal["units", "moments"] = "units"
    """What is hidden together: single mask units, or as far as it goes all units of the same time. Decision: units."""
    teacher_forcing: float = 0.5
    """Share of windows in which an encoder with a hand branch is given the true places of the hands; in the others it
    uses those that it predicts, as when it serves. Decision: ours."""
    teacher_forcing_noise: float = 0.02
    """Standard deviation of noise on the places that it is given, in shares of the frame. Decision: ours."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """bf16 computes in bfloat16 under autocast; auto does so on GPUs that have it."""
    compile: bool = False
    """Compile the network before the first step."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train; auto takes a GPU when there is one."""
    log_every: int = 50
    """Steps between two points of a curve."""
    save_every: int = 1_000
    """Steps between two savings of everything that is needed to resume."""
    validate_every: int = 25_000
    """Steps between two validations; the best checkpoint so far is kept."""

    def __post_init__(self) -> None:
        """Refuse values that are not allowed.

        Raises:
            ConfigError: names the field, the value and what is allowed.
        """
        rules: Rules = {
            "batch_size": (self.batch_size >= 4 and self.batch_size % 2 == 0, "even and at least 4: two pairs"),
            "mask": (0 <= self.mask < 1, "at least 0 and below 1"),
            "moving": (0 < self.moving <= 1, "above 0 up to 1"),
            "teacher_forcing": (0 <= self.teacher_forcing <= 1, "from 0 to 1"),
            "teacher_forcing_noise": (self.teacher_forcing_noise >= 0, "at least 0"),
            "data.mirrored": (0 <= self.data.mirrored <= 1, "from 0 to 1"),
            "minutes": (self.minutes > 0, "more than 0"),
            "adversary.style_stage": (
                1 <= self.adversary.style_stage <= len(self.encoder.stages),
                f"a stage of the encoder, which has {len(self.encoder.stages)}",
            ),
        }
        counts = ("steps", "accumulate", "log_every", "save_every", "validate_every")
        require(self, {**rules, **positive(self, counts)})

    @property
    def num_visible(self) -> int:
        """Mask units that the encoder sees of a window: 78 of 392 in the paper."""
        return max(1, round(self.num_candidates * (1 - self.mask)))

    @property
    def num_candidates(self) -> int:
        """Mask units of a window that the encoder could see."""
        return max(1, round(self.encoder.num_units * self.moving))


def paper() -> PretrainConfig:
    """The paper's recipe; needs GPUs for days."""
    return PretrainConfig()


def small() -> PretrainConfig:
    """A laptop's encoder in an evening, or in as many `minutes` as there are."""
    return PretrainConfig(
        preset="small",
        output=Path("runs/small"),
        centred_on=64,
        encoder=ENCODERS["small"](),
        adversary=Adversary(hidden=384, learning_rate=2e-4, warmup_steps=500),
        optimiser=OptimiserConfig(learning_rate=5e-4, weight_decay=0.05, warmup_steps=500),
        steps=20_000,
        batch_size=32,
        validate_every=1_000,
    )


def debug() -> PretrainConfig:
    """Does training work at all? Overfits four clips of the synthetic signer, in about a minute on a CPU."""
    return PretrainConfig(
        preset="debug",
        output=Path("runs/debug"),
        encoder=dataclasses.replace(tiny(), image_size=64, drop_path=0.0),
        data=Data(sources=("performed:4",), frame_px=64, workers=0),
        adversary=Adversary(hidden=64, learning_rate=1e-3, warmup_steps=20),
        optimiser=OptimiserConfig(learning_rate=4e-4, weight_decay=0.0, warmup_steps=20, layer_decay=1.0),
        augmented=False,
        steps=400,
        batch_size=8,
        mask=0.0,
        log_every=10,
        save_every=100,
        validate_every=100,
    )


PRESETS = {"paper": paper, "small": small, "debug": debug}


def override(config: C, settings: Sequence[str]) -> C:
    """A config that has an encoder, with some fields set.

    Args:
        config: to start from; it stays as it is.
        settings: each KEY=VALUE, keys as `valid_keys` lists them. Values of tuples are separated by commas.

    Raises:
        ConfigError: not an assignment, an unknown key (all valid ones are listed), or a value that can't be.
    """
    for setting in settings:
        key, text = split(setting)
        if key == "encoder" and text in ENCODERS:
            config = cast("C", dataclasses.replace(cast("Any", config), encoder=ENCODERS[text]()))
        else:
            config = assign(config, key, text, valid_keys(config))
    return config


def valid_keys(config: object) -> list[str]:
    """All keys that can be set."""
    return [*dict(flatten(config)), "encoder (one of " + ", ".join(ENCODERS) + ")"]


def with_names_of_today(fields: Mapping[str, Any]) -> dict[str, Any]:
    """A config of a checkpoint, as plain data, whose fields may have names of an earlier version."""
    return {RENAMED.get(name, name): value for name, value in fields.items()}
