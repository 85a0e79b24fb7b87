"""All settings of a contrastive run, as plain data. Decisions, all of them.

A run is a preset with a few fields set: `override(compact(), ["data.shards=SHARDS", "minutes=8"])`.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from model.config import EncoderConfig
from model.config import compact as compact_encoder
from training.contrastive.augment import AugmentConfig
from training.contrastive.clips.shard_clips import MAX_WINDOWS
from training.contrastive.clips.windows import NUM_SHOWN
from training.contrastive.hand_crops import HandAugmentConfig
from training.fit.loop import Precision
from training.fit.optimiser import OptimiserConfig
from training.fit.overrides import Rules, positive, require
from training.pretrain.config import Losses

BALANCED = (30.0, 8.0, 8.0, 150.0, 260.0, 260.0, 100.0, 45.0, 45.0)
"""Weights of the priors: those of the prior table leave nine tenths of the loss to angles."""


@dataclass(frozen=True)
class Data:
    """The clips to train on."""

    shards: str = ""
    """Folder of shards of real clips, as `training.data shards write` makes them."""
    validation: str = ""
    """Folder of shards of held-out clips; empty: no validation."""
    pairs: str = ""
    """Folder of pairs by synthetic signers, as `render-pairs` makes it; empty: pairs are rendered before the first
    step. Not during training: on one GPU, beside fifteen processes that rendered, it took one step a second instead of
    six."""
    windows_per_clip: int = MAX_WINDOWS
    """Most windows of a real clip."""


@dataclass(frozen=True)
class Render:
    """The pairs that are rendered where `data.pairs` is empty."""

    motions: tuple[str, ...] = ()
    """Landmarks of the real clips, to be re-enacted: files or folders."""
    bodies: str = ""
    """Folder of the bodies' files; empty: mannequins perform."""
    vary_motion: bool = False
    """People vary the movement that they re-enact, instead of repeating it to the frame."""
    windows_per_clip: int = 14
    """Windows of every rendered clip."""
    max_pairs: int = 4000
    """Most pairs."""
    max_s: float = 180.0
    """Most seconds of rendering."""
    workers: int = 0
    """Processes that render; 0: one less than there are cores."""
    first_cast: int = 0
    """Number of the cast that renders first; a resumed run sees other pairs with another one."""


@dataclass(frozen=True)
class ContrastiveConfig:
    """A contrastive run."""

    preset: str = "compact"
    """Where the settings come from, for the record."""
    output: Path = Path("runs/contrastive")
    """Folder of checkpoints and curves."""
    encoder: EncoderConfig = field(default_factory=compact_encoder)
    """Geometry; it has windows of two frames and a hand branch."""
    data: Data = field(default_factory=Data)
    render: Render = field(default_factory=Render)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    hand_augment: HandAugmentConfig = field(default_factory=HandAugmentConfig)
    losses: Losses = field(default_factory=lambda: Losses(weights=BALANCED, adversarial=0.0))
    contrast_weight: float = 1.0
    """Weight of the contrastive loss."""
    hand_weight: float = 2.0
    """Weight of the loss on single hands; 0: no single hands."""
    temperature: float = 0.07
    """Of the contrastive loss."""
    num_parts: int = 4
    """Parts of a clip, one after the other, of which its vector consists (`model.pooling`)."""
    num_real: int = 20
    """Real movements per step and process."""
    num_rendered: int = 44
    """Rendered movements per step and process."""
    num_windows: int = 8
    """Windows of every clip."""
    hands_first: float = 0.0
    """Share of the run, from its start, that trains on single hands alone: many more a second."""
    hands_windows: int = 96
    """Windows per step and process during that share."""
    freeze_backbone: bool = False
    """Keep the network of the whole frame as it is: only the hand branch and what comes after both is trained."""
    teacher_forcing: float = 0.5
    """Share of windows in which the network is given the true places of the hands."""
    teacher_forcing_noise: float = 0.02
    """Standard deviation of noise on the places that it is given, in shares of the frame."""
    learning_rate: float = 1.2e-3
    """The highest."""
    weight_decay: float = 0.05
    """Of AdamW, on matrices."""
    clip_norm: float = 1.0
    """Longest gradient."""
    ema_decay: float = 0.998
    """Decay of the moving average of the weights, which is what is validated and exported."""
    start_from: str = ""
    """Checkpoint to start from, also of an encoder with fewer blocks; empty: random weights."""
    seed: int = 0
    """Of all randomness."""
    steps: int = 1_000_000
    """Steps of the optimiser."""
    minutes: float = 8.0
    """Minutes of training in all, those before a resume included; the learning rate is at zero when they end."""
    precision: Precision = "auto"
    """bf16 computes in bfloat16 under autocast; auto does so on GPUs that have it."""
    compile: bool = False
    """Compile what a step computes: a minute before the first step for faster steps on a GPU."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train; auto takes a GPU when there is one."""
    log_every: int = 20
    """Steps between two points of a curve."""
    save_every: int = 200
    """Steps between two savings of everything that is needed to resume."""
    validate_every: int = 200
    """Steps between two validations; the best checkpoint so far is kept."""

    @property
    def optimiser(self) -> OptimiserConfig:
        """That of all parameters."""
        return OptimiserConfig(
            self.learning_rate, layer_decay=1.0, weight_decay=self.weight_decay, clip_norm=self.clip_norm
        )

    def __post_init__(self) -> None:
        """Refuse values that are not allowed.

        Raises:
            ConfigError: names the field, the value and what is allowed.
        """
        encoder = self.encoder
        rules: Rules = {
            "encoder.num_frames": (
                encoder.num_frames == NUM_SHOWN,
                f"{NUM_SHOWN}: take encoder=compact or a geometry like it",
            ),
            "encoder.hand_px": (
                encoder.hand_px > 0,
                "above 0, for the encoder needs a hand branch: take encoder=compact or a geometry like it",
            ),
            "hands_first": (0 <= self.hands_first <= 1, "from 0 to 1"),
            "teacher_forcing": (0 <= self.teacher_forcing <= 1, "from 0 to 1"),
            "teacher_forcing_noise": (self.teacher_forcing_noise >= 0, "at least 0"),
            "temperature": (self.temperature > 0, "more than 0"),
            "ema_decay": (0 <= self.ema_decay < 1, "at least 0 and below 1"),
            "minutes": (self.minutes > 0, "more than 0"),
            "data.windows_per_clip": (self.data.windows_per_clip >= 2, "at least 2"),
            "render.windows_per_clip": (self.render.windows_per_clip >= 2, "at least 2"),
            "render.max_s": (self.render.max_s >= 0, "at least 0"),
        }
        counts = ("num_parts", "num_windows", "hands_windows", "steps", "log_every", "save_every", "validate_every")
        require(self, {**rules, **positive(self, (*counts, "render.max_pairs"))})


def compact() -> ContrastiveConfig:
    """The encoder `compact` in eight minutes on a GPU, or in hours on a CPU."""
    return ContrastiveConfig()


PRESETS = {"compact": compact}
