"""All settings of pretraining on keypoint sequences, as plain data. Where no source prints a value: "Decision".

A run is a preset with a few fields set: `override(paper(), ["steps=50", "method=byol"])`.
"""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from training.fit.optimiser import OptimiserConfig
from training.fit.overrides import Rules, positive, require

Method = Literal["sl-slr", "simclr", "moco", "byol"]
Informative = Literal["thirds", "raised"]


@dataclass(frozen=True)
class Data:
    """Which sequences are trained on, and which frames of them."""

    sources: tuple[str, ...] = ("lexicon:120x8",)
    """Each KIND:WHERE[@WEIGHT]. `lexicon:SIGNSxSIGNERS` performs that many signs by each of that many synthetic
    signers, as a pose estimator would see them; `poses:FOLDER` are landmarks of real clips; `reenacted:FOLDERxBODIES`
    those clips performed by other bodies. Sampled by weight, 1 where none is given."""
    leave_out: tuple[str, ...] = ()
    """Folders of landmarks. A gloss that two of them have is left out of `poses` and `reenacted`, so that clips of one
    folder can be looked up among those of the other."""
    lexicon_seed: int = 1
    """Of the signs."""
    first_signer: int = 0
    """Number of the first synthetic signer; a signer follows from the number."""
    cache: str = ""
    """Folder in which performed clips are kept; empty: every run performs them again."""
    fps: float = 12.5
    """Frames per second of what the encoder sees. Decision: 16 frames are then 1.28 s, about one sign."""
    num_frames: int = 16
    """Frames of a sequence."""
    stride_frames: int = 2
    """Frames between windows, where clips are looked up by windows."""
    cut: Literal["clip", "window"] = "clip"
    """`clip`: frames spread evenly over a whole clip (the paper); `window`: consecutive frames from anywhere in it, as
    in serving."""
    partners: Literal["clip", "signer"] = "clip"
    """Where the two views come from: the clip itself (the paper), or the same sign by another signer, where there is
    one. Decision: ours; the glosses of synthetic signs are no labels by annotators."""


@dataclass(frozen=True)
class Views:
    """How a view differs from the clip. All but the shuffle are the same for every method."""

    shuffle: bool = True
    """Uninformative frames are shuffled in both views (the paper; SL-SLR alone)."""
    informative: Informative = "thirds"
    """Which frames are informative: the middle third (the paper), or those in which a hand is raised above the middle
    of the trunk. Decision: of the activity prior only this condition; its other one, movement, would count raising and
    dropping a hand as informative, which is what is to be shuffled."""
    turn_deg: float = 8.0
    """Standard deviation of the camera's way around the signer; a third of it for pitch, a sixth for roll. Decision."""
    size: float = 0.08
    """Standard deviation of the logarithm of the signer's size, and of width against height. Decision."""
    noise: float = 0.004
    """Standard deviation of every keypoint, metres; depth has twice that. Decision."""
    hand_lost: float = 0.1
    """Probability that a hand is not found for a few frames. Decision."""
    pace: float = 0.15
    """How much earlier or later a frame is taken, as a share of the sequence. Decision."""


@dataclass(frozen=True)
class Network:
    """The encoder, and the projector and predictor on it during pretraining."""

    width: int = 96
    """Channels of a frame."""
    depth: int = 2
    """Transformer blocks over frames."""
    heads: int = 4
    dim: int = 128
    """Of the learned part of the embedding."""
    projection: int = 128
    """Of what the losses compare (the paper)."""
    hidden: int = 256
    """Of the projector and the predictor."""
    normed: bool = True
    """Projections end in a batch normalisation without weights. Decision: with the two MSE terms alone projections
    shrink to one point."""
    kept: int = 0
    """How many cosines over time of the hands' bones and wrists the embedding contains beside its learned part; 0: none
    (the paper). One, the mean, finds as much as all sixteen (docs/sl-slr.md). Decision: ours."""
    metric: bool = False
    """The kept values are centred and go through a matrix in which what differs between views of a sign counts less.
    It is initialised by WCCN (`initialisation`) and trained by `losses.on_embedding`. Decision: ours."""
    wccn_batches: int = 40
    """Batches that the WCCN matrix is estimated from."""
    wccn_floor: float = 0.3
    """Added to the variance of every direction, as a share of their mean, so that no direction counts without bound."""
    kept_share: float = 0.5
    """Their share of the embedding's square."""


@dataclass(frozen=True)
class Losses:
    """Of the methods."""

    temperature: float = 0.1
    """Of SimCLR and MoCo. Decision."""
    queue: int = 1024
    """Projections that MoCo remembers; a multiple of the batch. Decision."""
    momentum: float = 0.99
    """Of the momentum network of MoCo and BYOL. Decision."""
    activity: float = 0.2
    """Weight of the loss of the hands' activity, which is part of every method."""
    on_embedding: float = 0.0
    """Weight of an InfoNCE on the embedding itself, between both views. Decision: ours, off in every comparison."""
    collapse_spread: float = 0.05
    """A run whose projections have a spread below this is reported as collapsed; the spread is 1 where they are even in
    all directions, 0 where all are the same."""


def adamw(learning_rate: float = 1e-4, warmup_steps: int = 100) -> OptimiserConfig:
    """AdamW, one learning rate for all layers (the paper's 1e-4). Decision: the other values."""
    return OptimiserConfig(
        learning_rate, layer_decay=1.0, betas=(0.9, 0.999), weight_decay=0.01, warmup_steps=warmup_steps
    )


@dataclass(frozen=True)
class SlSlrConfig:
    """A run. The defaults are the paper's where it prints any."""

    preset: str = "paper"
    """Where the settings come from, for the record."""
    output: Path = Path("runs/sl-slr")
    """Folder of checkpoints and curves."""
    method: Method = "sl-slr"
    data: Data = field(default_factory=Data)
    views: Views = field(default_factory=Views)
    network: Network = field(default_factory=Network)
    losses: Losses = field(default_factory=Losses)
    optimiser: OptimiserConfig = field(default_factory=adamw)
    seed: int = 0
    """Of everything but the lexicon."""
    steps: int = 20_000
    minutes: float = math.inf
    """Minutes of training in all; the learning rate is at zero when they end."""
    batch_size: int = 128
    device: Literal["auto", "cpu", "cuda"] = "auto"
    log_every: int = 50
    save_every: int = 500

    def __post_init__(self) -> None:
        """Refuse values that can't be.

        Raises:
            ConfigError: names the field, the value and what is allowed.
        """
        data, network, losses = self.data, self.network, self.losses
        rules: Rules = {
            "data.fps": (0 < data.fps <= 25, "above 0 up to 25"),
            "data.num_frames": (data.num_frames >= 4, "at least 4"),
            "data.stride_frames": (1 <= data.stride_frames <= data.num_frames, "from 1 to data.num_frames"),
            "data.sources": (bool(data.sources), "at least one source"),
            "network.heads": (network.width % network.heads == 0, f"a divisor of network.width, {network.width}"),
            "network.kept": (0 <= network.kept <= data.num_frames, "from 0 to data.num_frames"),
            "network.kept_share": (0 < network.kept_share < 1, "between 0 and 1"),
            "network.wccn_floor": (network.wccn_floor > 0, "more than 0"),
            "network.metric": (not network.metric or network.kept > 0, "true only with network.kept above 0"),
            "losses.temperature": (losses.temperature > 0, "more than 0"),
            "losses.momentum": (0 <= losses.momentum < 1, "at least 0 and below 1"),
            "losses.queue": (
                self.method != "moco" or losses.queue % self.batch_size == 0,
                f"a multiple of batch_size, {self.batch_size}",
            ),
            "batch_size": (self.batch_size >= 4, "at least 4"),
            "minutes": (self.minutes > 0, "more than 0"),
        }
        require(self, {**rules, **positive(self, ("steps", "network.wccn_batches", "log_every", "save_every"))})


def paper() -> SlSlrConfig:
    """The paper's recipe on synthetic signers."""
    return SlSlrConfig()


def table() -> SlSlrConfig:
    """What `training.recipes.sl_slr_comparison` trains with every method: small enough for a minute on one core."""
    return SlSlrConfig(
        preset="table",
        output=Path("runs/sl-slr-table"),
        data=Data(sources=("lexicon:80x8",)),
        network=Network(width=64),
        optimiser=adamw(1e-3, 30),
        steps=400,
        batch_size=64,
    )


def serving() -> SlSlrConfig:
    """An encoder for looking signs up: windows, views by other signers, and the hands' bones in the embedding."""
    return SlSlrConfig(
        preset="serving",
        output=Path("runs/skeleton"),
        data=Data(sources=("lexicon:400x6",), cut="window", partners="signer"),
        network=Network(kept=1, metric=True, kept_share=0.9),
        losses=Losses(on_embedding=1.0),
        optimiser=adamw(1e-3, 100),
        steps=4_000,
    )


def debug() -> SlSlrConfig:
    """A check that training works, in seconds on a CPU."""
    return SlSlrConfig(
        preset="debug",
        output=Path("runs/sl-slr-debug"),
        data=Data(sources=("lexicon:6x2",), num_frames=12),
        network=Network(width=32, depth=1, heads=2, dim=32, projection=16, hidden=32),
        losses=Losses(queue=32),
        optimiser=adamw(1e-3, 5),
        steps=30,
        batch_size=8,
        log_every=10,
        save_every=10,
    )


PRESETS = {"paper": paper, "table": table, "serving": serving, "debug": debug}
