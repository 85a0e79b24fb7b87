"""Opens the sources of windows that a config names."""

import logging
import math
from dataclasses import dataclass
from pathlib import Path

from model.skeleton.kinematics import Proportions, standard_proportions
from training.data.priors.standard_body import read_body
from training.data.shards.source import ShardSource
from training.data.windows.samples import PairSource
from training.data.windows.sources import ArraySource, MixedSource, generate_clips
from training.errors import ConfigError
from training.pretrain.config import Data
from training.synth.clips.signers import Mannequins, People
from training.synth.clips.synthetic_source import CLIPS_PER_SIGNER, SyntheticSource
from training.synth.people.human_body import BodyLibrary

log = logging.getLogger(__name__)
KINDS = "shards:FOLDER, synthetic, synthetic:FOLDER, performed:N, generated:N"


@dataclass(frozen=True)
class Spec:
    """KIND[:WHERE][@WEIGHT], parsed."""

    kind: str
    where: str
    weight: float


def parse(text: str) -> Spec:
    """Parse a source as written in a config.

    Raises:
        ConfigError: an empty kind or a weight that is no number above 0.
    """
    place, _, weight = text.partition("@")
    kind, _, where = place.partition(":")
    try:
        spec = Spec(kind, where, float(weight or 1))
    except ValueError as error:
        raise ConfigError(f"source {text!r} has weight {weight!r}; a weight is a number above 0") from error
    if not 0 < spec.weight < math.inf:
        raise ConfigError(f"source {text!r} has weight {weight}; a weight is a number above 0")
    return spec


def open_sources(config: Data, seed: int) -> PairSource:
    """The mixture of all sources of a run.

    Raises:
        ConfigError: a source is of no known kind, or none is given.
        DataError: a source has no clips.
    """
    specs = [parse(text) for text in config.sources]
    if not specs:
        raise ConfigError(f"data.sources is empty; give at least one of {KINDS}")
    sources = [open_source(spec, config, seed) for spec in specs]
    return sources[0] if len(sources) == 1 else MixedSource(sources, [spec.weight for spec in specs], seed)


def open_source(spec: Spec, config: Data, seed: int) -> PairSource:
    """One source.

    Raises:
        ConfigError: of no known kind.
        DataError: it has no clips.
    """
    body = read_body(Path(config.body)) if config.body else None
    if body is None and len(config.sources) > 1:
        body = standard_proportions()
    if spec.kind == "generated" and spec.where.isdigit():
        return ArraySource(generate_clips(int(spec.where), config.frame_px, seed=seed), seed)
    if spec.kind == "performed" and spec.where.isdigit():
        signer = SyntheticSource(Mannequins(), seed=seed, size_px=config.frame_px, body=body)
        return ArraySource([signer.clip(number * CLIPS_PER_SIGNER) for number in range(int(spec.where))], seed)
    if spec.kind == "shards" and spec.where:
        return open_shards(Path(spec.where), config, seed, body)
    if spec.kind == "synthetic":
        bodies = People(BodyLibrary(Path(spec.where))) if spec.where else Mannequins()
        return SyntheticSource(bodies, seed=seed, size_px=config.frame_px, body=body)
    raise ConfigError(f"source {spec.kind}:{spec.where} is unknown; allowed are {KINDS}")


def open_shards(folder: Path, config: Data, seed: int, body: Proportions | None) -> PairSource:
    """Real clips; broken shards are left out and logged.

    Raises:
        ConfigError: the shards have frames of another size.
        ShardError: there is no usable shard in the folder.
    """
    cache = Path(config.cache) if config.cache else None
    source = ShardSource(folder, seed=seed, body=body, mirrored=config.mirrored, cache=cache)
    if source.format.size_px != config.frame_px:
        raise ConfigError(
            f"the shards in {folder} have frames of {source.format.size_px} pixels, data.frame_px is {config.frame_px};"
            f" --set data.frame_px={source.format.size_px}"
        )
    for reason in source.broken:
        log.warning("left out: %s", reason)
    return source
