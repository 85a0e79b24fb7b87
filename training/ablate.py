"""The paper's ablation, one command: what each part of the objective brings to finding a sign.

    python -m training.ablate OUT [--steps N] [--assets BODIES] [--set KEY=VALUE]

Every row pretrains one encoder on synthetic signers and looks the signs of others up: a dictionary by one signer in a
studio, queries by others at home, none of them trained on. Rows that are done are kept; run again to resume.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from model.checkpoint import read_checkpoint
from model.encoder import Encoder, EncoderInfo, Encoding, Frames, Ints
from training.assignments import read_preset
from training.commands import refusals
from training.data.manifest import ListedClip
from training.data.shard_files import write_whole
from training.evaluate.metrics import Metrics, summarise
from training.evaluate.protocol import VectorRanker, evaluate, video_vectors
from training.fit.console import messages
from training.fit.distributed import join_world
from training.fit.files import LAST
from training.pretrain.__main__ import train
from training.pretrain.config import PRESETS, PretrainConfig, override
from training.pretrain.validation import NetworkEncoder
from training.synth.bench import body_source
from training.synth.write import RenderPlan, render_dictionary, slug

ANGLES = "losses.priors=full_body_angles,full_right_angles,full_left_angles"
NO_REGULARISATION = ("losses.variance=0", "losses.covariance=0")
NO_ADVERSARY = ("losses.adversarial=0",)
DEBUG_SOURCE = "performed:64"
LEXICON_SEED = 77
"""Of the signs that are looked up; training draws its own from another."""


@dataclass(frozen=True)
class Row:
    """One line of the table: what is trained, and what the paper found on WLASL2000."""

    name: str
    settings: tuple[str, ...]
    paper_dcg: float


ROWS = (
    Row("angles", (ANGLES, *NO_REGULARISATION, *NO_ADVERSARY), 45.1),
    Row("all priors, no masking", ("mask=0", *NO_REGULARISATION, *NO_ADVERSARY), 46.3),
    Row("all priors", (*NO_REGULARISATION, *NO_ADVERSARY), 48.5),
    Row("+ variance and covariance", NO_ADVERSARY, 49.9),
    Row("+ adversarial", (), 50.7),
)


@dataclass(frozen=True)
class Outcome:
    """What a row came to."""

    name: str
    steps: int
    seconds: float
    weighted: Metrics
    """Windows pooled by hand activity."""
    plain: Metrics
    """Windows averaged."""
    paper_dcg: float


class EveryWindowCounts:
    """An encoder that calls both hands active in every window: pooling becomes an average."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    @property
    def info(self) -> EncoderInfo:
        """The encoder's own."""
        return self._encoder.info

    def encode(self, windows: Frames, visible: Ints | None = None) -> Encoding:
        """See `Encoder.encode`."""
        encoding = self._encoder.encode(windows, visible)
        return Encoding(encoding.embedding, np.ones_like(encoding.activity))


def run_row(row: Row, config: PretrainConfig, out: Path, clips: Path) -> Outcome:
    """Pretrain and look up; a row that was cut off goes on, one that is done is read.

    Raises:
        TrainingError, ModelError: see `training.pretrain`.
    """
    folder = out / slug(row.name)
    done = folder / "outcome.json"
    if done.exists():
        return read_outcome(done)
    config = override(config, [*row.settings, f"output={folder}"])
    with join_world(config.device) as world:
        run = train(config, world, resume=True)
    trained = read_checkpoint(folder / LAST)
    encoder = NetworkEncoder(trained.network(), trained.kept_share)
    found = Outcome(
        row.name,
        run.step,
        round(run.elapsed_s, 1),
        look_up(encoder, clips),
        look_up(EveryWindowCounts(encoder), clips),
        row.paper_dcg,
    )
    write_whole(done, json.dumps(asdict(found)))
    return found


def read_outcome(path: Path) -> Outcome:
    """What `run_row` left."""
    stored = json.loads(path.read_text())
    weighted, plain = (
        Metrics(kept["dcg"], kept["mrr"], {int(k): value for k, value in kept["recall"].items()})
        for kept in (stored.pop("weighted"), stored.pop("plain"))
    )
    return Outcome(**stored, weighted=weighted, plain=plain)


def look_up(encoder: Encoder, clips: Path) -> Metrics:
    """The signs of all other signers, in the dictionary of the first."""
    gallery, queries = (tuple(listed(clips / kind)) for kind in ("dictionary", "queries"))
    ranker = VectorRanker(video_vectors(encoder), encoder.info.encoder_id, gallery, _tell_nobody, mirrored=True)
    return evaluate(ranker, gallery, queries, _tell_nobody).metrics


def listed(folder: Path) -> Iterator[ListedClip]:
    """Every rendered clip of a folder, by what it shows."""
    for video in sorted((folder / "videos").glob("*.mp4")):
        yield ListedClip(video.stem, video, video, gloss=video.stem.rpartition("__")[0])


def render_clips(out: Path, *, num_signs: int, num_signers: int, size_px: int, assets: Path | None) -> None:
    """A dictionary in a studio by one signer, and the same signs at home by others; nobody of them is trained on."""
    bodies = body_source(None if assets is None else str(assets))
    for kind, signers, seed, studio in (("dictionary", 1, 11, True), ("queries", num_signers, 12, False)):
        plan = RenderPlan(
            num_signs=num_signs,
            num_signers=signers,
            seed=seed,
            width=size_px,
            height=size_px,
            studio=studio,
            closest=1.0,
            bodies="mannequins" if assets is None else "people",
            lexicon_seed=LEXICON_SEED,
        )
        render_dictionary(out / kind, plan, bodies)


def as_markdown(outcomes: Sequence[Outcome], command: str, config: PretrainConfig, num_signs: int) -> str:
    """The table; guessing stands under it, because small runs learn little."""
    chance = figures(summarise(range(num_signs)))
    rows = [
        f"| {one.name} | {one.steps} | {figures(one.weighted)} | {figures(one.plain)} | {one.paper_dcg} |"
        for one in outcomes
    ]
    return "\n".join(
        [
            "# What each part of the objective brings",
            "",
            f"`{command}`. {num_signs} signs of the lexicon, a dictionary by one signer, queries by others; seed"
            f" {config.seed}. Each row keeps what the rows above brought, but that masking comes third.",
            "",
            "| row | steps | DCG / R@1 / R@5 | the same, plain average | DCG in the paper (WLASL2000) |",
            "|---|---|---|---|---|",
            *rows,
            f"| guessing | | {chance} | {chance} | |",
            "",
        ]
    )


def figures(metrics: Metrics) -> str:
    """DCG, Rec@1 and Rec@5."""
    return f"{metrics.dcg:.1f} / {metrics.recall[1]:.1f} / {metrics.recall[5]:.1f}"


def _tell_nobody(phase: str, done: int, total: int) -> None:
    """Progress of a look-up is not shown."""


def main(
    out: Annotated[Path, typer.Argument(help="Folder for clips, checkpoints and the table.")],
    *,
    preset: Annotated[str, typer.Option(help=f"Scale: {', '.join(PRESETS)}.")] = "debug",
    steps: Annotated[int, typer.Option(min=1, help="Of every row.")] = 300,
    signs: Annotated[int, typer.Option(min=2, help="In the dictionary.")] = 40,
    signers: Annotated[int, typer.Option(min=1, help="Who ask.")] = 2,
    assets: Annotated[Path | None, typer.Option(help="Bodies of people; mannequins if left out.")] = None,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set a field of every row.")
    ] = None,
    write: Annotated[Path | None, typer.Option(help="Write the table to this Markdown file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcomes as JSON.")] = False,
) -> None:
    """Run all rows of the paper's ablation and print the table."""
    with refusals():
        common = ["mask=0.5", f"data.sources={DEBUG_SOURCE}"] if preset == "debug" else []
        config = override(read_preset(PRESETS, preset), [*common, f"steps={steps}", *(assignments or [])])
        render_clips(out / "clips", num_signs=signs, num_signers=signers, size_px=128, assets=assets)
        outcomes = []
        for row in ROWS:
            messages.print(f"row: {row.name}", markup=False)
            outcomes.append(run_row(row, config, out / "rows", out / "clips"))
    scale = f"--preset {preset} --steps {steps} --signs {signs} --signers {signers}"
    extra = "".join(f" --set {assignment}" for assignment in assignments or ()) + (" --assets BODIES" if assets else "")
    command = f"python -m training.ablate OUT {scale}{extra}"
    table = as_markdown(outcomes, command, config, signs)
    if write is not None:
        write_whole(write, table)
    typer.echo(json.dumps([asdict(one) for one in outcomes]) if as_json else table)


if __name__ == "__main__":
    typer.run(main)
