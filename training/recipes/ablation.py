"""The paper's ablation in one command: what each part of the objective contributes to retrieval.

    python -m training.recipes.ablation OUT [--steps N] [--assets BODIES] [--set KEY=VALUE]

Every row pretrains one encoder on synthetic signers and evaluates it on others: a dictionary by one signer in a studio,
queries by others at home, none of them in training. Finished rows are kept; run again to resume.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from index.metrics import RetrievalMetrics, retrieval_metrics
from model.encoder import Encoder, EncoderInfo, Encoding, Frames, Ints
from model.network.checkpoint import read_checkpoint
from training.atomic import write_atomically
from training.commands import refusals
from training.data.listing.manifest import ListedClip
from training.evaluate.protocol import VectorRanker, evaluate, video_vectors
from training.fit.console import messages
from training.fit.distributed import join_world
from training.fit.files import LAST
from training.fit.overrides import read_preset
from training.pretrain.command import train
from training.pretrain.config import PRESETS, PretrainConfig, override
from training.pretrain.validation import NetworkEncoder
from training.progress import ignore_progress
from training.recipes.report import AsJson, Assets, Assignments, Write, markdown, options, publish, table
from training.synth.clips.dictionary import RenderPlan, render_dictionary, slug
from training.synth.clips.signers import body_source

ANGLES = "losses.priors=full_body_angles,full_right_angles,full_left_angles"
NO_REGULARISATION = ("losses.variance=0", "losses.covariance=0")
NO_ADVERSARY = ("losses.adversarial=0",)
DEBUG_SOURCE = "performed:64"
LEXICON_SEED = 77
"""Of the signs that are looked up; training has its own from another seed."""


@dataclass(frozen=True)
class AblationRow:
    """A row of the table: the settings of a run, and the result of the paper on WLASL2000."""

    name: str
    settings: tuple[str, ...]
    paper_dcg: float


ROWS = (
    AblationRow("angles", (ANGLES, *NO_REGULARISATION, *NO_ADVERSARY), 45.1),
    AblationRow("all priors, no masking", ("mask=0", *NO_REGULARISATION, *NO_ADVERSARY), 46.3),
    AblationRow("all priors", (*NO_REGULARISATION, *NO_ADVERSARY), 48.5),
    AblationRow("+ variance and covariance", NO_ADVERSARY, 49.9),
    AblationRow("+ adversarial", (), 50.7),
)


@dataclass(frozen=True)
class AblationResult:
    """The result of a row."""

    name: str
    steps: int
    seconds: float
    weighted: RetrievalMetrics
    """Windows pooled by hand activity."""
    plain: RetrievalMetrics
    """Windows averaged."""
    paper_dcg: float


class ConstantActivity:
    """An encoder with full activity in every window, so that pooling is an average."""

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


def run_row(row: AblationRow, config: PretrainConfig, out: Path, clips: Path) -> AblationResult:
    """Pretrain and evaluate; an interrupted run is resumed, a finished result is read.

    Raises:
        TrainingError, ModelError: see `training.pretrain`.
    """
    folder = out / slug(row.name)
    done = folder / "outcome.json"
    if done.exists():
        return read_result(done)
    config = override(config, [*row.settings, f"output={folder}"])
    with join_world(config.device) as world:
        state = train(config, world, resume=True)
    trained = read_checkpoint(folder / LAST)
    encoder = NetworkEncoder(trained.network(), trained.kept_share)
    result = AblationResult(
        row.name,
        state.step,
        round(state.elapsed_s, 1),
        evaluate_clips(encoder, clips),
        evaluate_clips(ConstantActivity(encoder), clips),
        row.paper_dcg,
    )
    write_atomically(done, json.dumps(asdict(result)))
    return result


def read_result(path: Path) -> AblationResult:
    """A result that `run_row` wrote."""
    stored = json.loads(path.read_text())
    weighted, plain = (
        RetrievalMetrics(kept["dcg"], kept["mrr"], {int(k): value for k, value in kept["recall"].items()})
        for kept in (stored.pop("weighted"), stored.pop("plain"))
    )
    return AblationResult(**stored, weighted=weighted, plain=plain)


def evaluate_clips(encoder: Encoder, clips: Path) -> RetrievalMetrics:
    """Retrieval of the clips of all other signers in the dictionary of the first."""
    gallery, queries = (tuple(listed(clips / kind)) for kind in ("dictionary", "queries"))
    ranker = VectorRanker(video_vectors(encoder), encoder.info.encoder_id, gallery, ignore_progress, mirrored=True)
    return evaluate(ranker, gallery, queries, ignore_progress).metrics


def listed(folder: Path) -> Iterator[ListedClip]:
    """Every rendered clip of a folder, with its gloss."""
    for video in sorted((folder / "videos").glob("*.mp4")):
        yield ListedClip(video.stem, video, video, gloss=video.stem.rpartition("__")[0])


def render_clips(out: Path, *, num_signs: int, num_signers: int, size_px: int, assets: Path | None) -> None:
    """A dictionary in a studio by one signer, and the same signs at home by others; none of them is in training."""
    bodies = body_source(assets)
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


def as_markdown(results: Sequence[AblationResult], command: str, config: PretrainConfig, num_signs: int) -> str:
    """The report; its last row is guessing, for comparison with small runs."""
    chance = figures(retrieval_metrics(range(num_signs)))
    rows = [(one.name, one.steps, figures(one.weighted), figures(one.plain), one.paper_dcg) for one in results]
    columns = ("row", "steps", "DCG / R@1 / R@5", "the same, plain average", "DCG in the paper (WLASL2000)")
    return markdown(
        "# What each part of the objective brings",
        f"`{command}`. {num_signs} signs of the lexicon, a dictionary by one signer, queries by others; seed"
        f" {config.seed}. Each row keeps what the rows above brought, but that masking comes third.",
        table(columns, [*rows, ("guessing", "", chance, chance, "")]),
    )


def figures(metrics: RetrievalMetrics) -> str:
    """DCG, Rec@1 and Rec@5."""
    return f"{metrics.dcg:.1f} / {metrics.recall[1]:.1f} / {metrics.recall[5]:.1f}"


def main(
    out: Annotated[Path, typer.Argument(help="Folder for clips, checkpoints and the table.")],
    *,
    preset: Annotated[str, typer.Option(help=f"Scale: {', '.join(PRESETS)}.")] = "debug",
    steps: Annotated[int, typer.Option(min=1, help="Steps of every row.")] = 300,
    signs: Annotated[int, typer.Option(min=2, help="Signs of the dictionary.")] = 40,
    signers: Annotated[int, typer.Option(min=1, help="Signers of the queries.")] = 2,
    assets: Assets = None,
    assignments: Assignments = None,
    write: Write = None,
    as_json: AsJson = False,
) -> None:
    """Run all rows of the paper's ablation and print the table."""
    with refusals():
        common = ["mask=0.5", f"data.sources={DEBUG_SOURCE}"] if preset == "debug" else []
        config = override(read_preset(PRESETS, preset), [*common, f"steps={steps}", *(assignments or [])])
        render_clips(out / "clips", num_signs=signs, num_signers=signers, size_px=128, assets=assets)
        results = []
        for row in ROWS:
            messages.print(f"row: {row.name}", markup=False)
            results.append(run_row(row, config, out / "rows", out / "clips"))
    scale = f"--preset {preset} --steps {steps} --signs {signs} --signers {signers}"
    command = f"python -m training.recipes.ablation OUT {scale}{options(assignments, assets)}"
    report = as_markdown(results, command, config, signs)
    publish(report, [asdict(one) for one in results], write, as_json=as_json)


if __name__ == "__main__":
    typer.run(main)
