"""What a run of learning to look up asks for."""

from dataclasses import dataclass, field

from model.config import EncoderConfig, compact
from training.closeup.learn import Looks as HandLooks
from training.contrast.looks import Looks
from training.fit.loop import Precision
from training.pretrain.config import Losses

LEVELLED = (30.0, 8.0, 8.0, 150.0, 260.0, 260.0, 100.0, 45.0, 45.0)
"""Weights of the priors: the table's leave nine tenths of the loss to angles."""


@dataclass(frozen=True)
class Lesson:
    """What a step asks for. Decisions, all of them."""

    seconds: float
    """In all, earlier attempts included; the learning rate is at zero when they end."""
    encoder: EncoderConfig = field(default_factory=compact)
    """Geometry; it has windows of two frames and looks closer at hands."""
    num_real: int = 20
    """Real movements a step and process."""
    num_rendered: int = 44
    """Drawn movements a step and process."""
    num_windows: int = 8
    """Moments of every clip."""
    learning_rate: float = 1.2e-3
    """The highest."""
    weight_decay: float = 0.05
    clip_norm: float = 1.0
    losses: Losses = field(default_factory=lambda: Losses(weights=LEVELLED, adversarial=0.0))
    num_parts: int = 4
    """Parts of a clip, one after the other, of which its vector is made (`model.pooling`)."""
    contrast: float = 1.0
    """Weight of the contrast."""
    temperature: float = 0.07
    closeup: float = 2.0
    """Weight of what single hands show; 0: they are not looked at by themselves."""
    hands_first: float = 0.0
    """Share of the time, from the start, in which single hands are all that is learned from: many more a second."""
    hands_moments: int = 96
    """Moments a step and process while it is."""
    frame: bool = True
    """Whether what sees the whole frame learns, too; else only the closer look and all that comes behind both."""
    told: float = 0.5
    """Share of moments in which the network is told where the hands are."""
    told_error: float = 0.02
    """Standard deviation of what it is told, in shares of the frame."""
    averaged: float = 0.998
    """Share of the average of the weights that a step leaves; the average is what is kept."""
    looks: Looks = field(default_factory=Looks)
    hand_looks: HandLooks = field(default_factory=HandLooks)
    precision: Precision = "auto"
    """bf16, fp32, or auto: bf16 where a GPU has it."""
    compile: bool = False
    """Compile what every step computes before the first one: a minute for faster steps on a GPU."""
    seed: int = 0
