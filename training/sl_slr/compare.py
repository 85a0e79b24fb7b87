"""SL-SLR beside SimCLR, MoCo, BYOL and itself without its shuffle, in one command.

    python -m training.sl_slr.compare OUT [--poses A --poses B] [--write docs/benchmarks/sl_slr.md] [--set KEY=VALUE]

Every row pretrains the same network on the same clips for as many steps, three times from other seeds, and is
measured on signers nobody has learned from: by a linear classifier with all labels and with a few, on another lexicon,
and by looking signs up. Runs that are done are kept; run again to resume.
"""

import json
import platform
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from model.encoder import Floats
from model.skeleton.signing import bone_directions_wrists
from training.assignments import as_plain_data, override
from training.commands import refusals
from training.data.shard_files import write_whole
from training.errors import ResumeError, TrainingError
from training.fit.console import messages
from training.fit.distributed import join_world
from training.fit.files import commit
from training.sl_slr.batches import Batches
from training.sl_slr.config import SlSlrConfig, check_same, table
from training.sl_slr.console import Quiet, telling
from training.sl_slr.corpus import Corpus, lexicon
from training.sl_slr.encode import TorchEncoder, ToVector, by_hand, look_up, vectors
from training.sl_slr.loop import pretrain
from training.sl_slr.network import make_network
from training.sl_slr.probe import probe
from training.sl_slr.sequences import Sequence61, gloss_of, landmark_files, read_sequence, shared_glosses
from training.sl_slr.state import open_run, read_trained

NUM_SIGNS = 80
LEXICON, OTHER_LEXICON = 1, 2
NUM_SIGNERS, NUM_STRANGERS = 8, 5
"""Signers who are learned from, and of whom none is."""
NUM_OTHER, NUM_OTHER_STRANGERS = 7, 3
SHARES = (1.0, 0.5, 0.3, 0.1)
LINEAR = tuple(f"linear, {share:.0%} of labels" for share in SHARES)
OTHER = ("other lexicon, all labels", "other lexicon, 10% of labels")
LOOK_UP = ("look-up, DCG", "other lexicon, look-up, DCG")
REAL = ("real ASL, DCG", "real ASL, R@1", "real ASL, R@5")


@dataclass(frozen=True)
class Arm:
    """One line of the table."""

    name: str
    settings: tuple[str, ...] = ()
    untrained: bool = False


ARMS = (
    Arm("SL-SLR, middle third says something (paper)"),
    Arm("SL-SLR, raised hands say something (ours)", ("views.informative=raised",)),
    Arm("SL-SLR without the shuffle", ("views.shuffle=false",)),
    Arm("BYOL", ("method=byol",)),
    Arm("SimCLR", ("method=simclr",)),
    Arm("MoCo", ("method=moco",)),
    Arm("random weights", untrained=True),
)
BY_HAND = "bone directions and wrists, no training"
PAPERS_ROW, RIVALS = ARMS[0].name, tuple(arm.name for arm in ARMS[2:6])


@dataclass(frozen=True)
class Sets:
    """The clips of a comparison."""

    learned: tuple[Sequence61, ...]
    """What is pretrained on, and what classifiers learn from."""
    strangers: tuple[Sequence61, ...]
    """The same signs by others."""
    other: tuple[Sequence61, ...]
    """Other signs, for the classifier alone."""
    other_strangers: tuple[Sequence61, ...]
    real: tuple[tuple[Sequence61, ...], ...] = ()
    """Two sources of real clips with the same glosses, or none."""


@dataclass(frozen=True)
class Outcome:
    """What one run came to."""

    name: str
    seed: int
    steps: int
    seconds: float
    """Of processor time, for training."""
    collapsed_at: int | None
    figures: dict[str, float]
    config: dict[str, Any]
    """The settings, so that a folder is not gone on with under others."""


def make_sets(poses: Sequence[Path], cache: str, num_signs: int) -> Sets:
    """Perform and read all clips.

    Raises:
        DataError: a folder of landmarks can't be used.
    """
    with telling() as tell:
        clips = lexicon(num_signs, NUM_SIGNERS + NUM_STRANGERS, LEXICON, cache=cache, tell=tell)
        other = lexicon(num_signs, NUM_OTHER + NUM_OTHER_STRANGERS, OTHER_LEXICON, cache=cache, tell=tell)
    learned, strangers = split_cast(clips, NUM_SIGNERS)
    return Sets(learned, strangers, *split_cast(other, NUM_OTHER), real_clips(poses))


def claim(out: Path, signs: int, poses: Sequence[Path]) -> None:
    """Make sure that a folder holds outcomes on these clips and no others.

    Raises:
        ResumeError: it holds others.
    """
    wanted = {"signs": signs, "poses": [folder.name for folder in poses]}
    note = out / "clips.json"
    if note.exists() and (seen := json.loads(note.read_text())) != wanted:
        raise ResumeError(f"{out} holds outcomes on other clips: {seen}, now {wanted}; take another folder")
    out.mkdir(parents=True, exist_ok=True)
    write_whole(note, json.dumps(wanted))


def split_cast(clips: Iterable[Sequence61], num_first: int) -> tuple[tuple[Sequence61, ...], tuple[Sequence61, ...]]:
    """The clips of the first signers, and those of the others."""
    clips = tuple(clips)
    first = set(sorted({clip.signer for clip in clips})[:num_first])
    return tuple(c for c in clips if c.signer in first), tuple(c for c in clips if c.signer not in first)


def real_clips(poses: Sequence[Path]) -> tuple[tuple[Sequence61, ...], ...]:
    """The clips of two folders of landmarks whose glosses both have.

    Raises:
        DataError: a folder holds no landmarks.
        ClipError: a clip can't be used.
    """
    shared = shared_glosses([str(folder) for folder in poses])
    return tuple(
        tuple(read_sequence(file, folder.name) for file in landmark_files(folder) if gloss_of(file) in shared)
        for folder in poses
    )


def run_arm(arm: Arm, seed: int, config: SlSlrConfig, out: Path, sets: Sets) -> Outcome:
    """Pretrain and measure; a run that was cut off goes on, one that is done is read.

    Raises:
        ResumeError: what lies there is of other settings.
    """
    folder = out / f"{ARMS.index(arm)}-{seed}"
    config = override(config, [*arm.settings, f"seed={seed}", f"output={folder}"])
    done = folder / "outcome.json"
    if done.exists():
        outcome = Outcome(**json.loads(done.read_text()))
        check_same(done, outcome.config, config)
        return outcome
    steps, seconds, collapsed = 0, 0.0, None
    if arm.untrained:
        network = make_network(config.network, config.data.num_frames, seed)
    else:
        with join_world(config.device) as world:
            run = open_run(config, world.device, resume=True)
        corpus = Corpus(sets.learned, (0,) * len(sets.learned), (1.0,))
        begin = time.process_time()
        pretrain(run, Batches(corpus, config.data, config.batch_size, seed), Quiet())
        steps, seconds, collapsed = run.step, round(time.process_time() - begin, 1), run.collapsed_at
        network = read_trained(run.path).network
    found = measure(TorchEncoder(network.encoder, config.data).vector, sets, seed)
    outcome = Outcome(arm.name, seed, steps, seconds, collapsed, found, config_json(config))
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(done, json.dumps(asdict(outcome)))
    return outcome


def run_by_hand(out: Path, sets: Sets) -> Outcome:
    """Measure the vector that needs no training; done once, it is read."""
    done = out / "by-hand.json"
    if done.exists():
        return Outcome(**json.loads(done.read_text()))
    outcome = Outcome(BY_HAND, 0, 0, 0.0, None, measure(by_hand(bone_directions_wrists), sets, 0), {})
    write_whole(done, json.dumps(asdict(outcome)))
    return outcome


def config_json(config: SlSlrConfig) -> dict[str, Any]:
    """The settings as JSON gives them back, with lists for tuples."""
    plain: dict[str, Any] = json.loads(json.dumps(as_plain_data(config)))
    return plain


def measure(to_vector: ToVector, sets: Sets, seed: int) -> dict[str, float]:
    """Every figure of a row."""
    figures = {}
    learned, strangers = vectors(to_vector, sets.learned), vectors(to_vector, sets.strangers)
    names, truth = glosses(sets.learned), glosses(sets.strangers)
    for title, share in zip(LINEAR, SHARES, strict=True):
        figures[title] = probe(learned, names, strangers, truth, share, seed)
    other, unseen = vectors(to_vector, sets.other), vectors(to_vector, sets.other_strangers)
    names, truth = glosses(sets.other), glosses(sets.other_strangers)
    for title, share in zip(OTHER, (1.0, 0.1), strict=True):
        figures[title] = probe(other, names, unseen, truth, share, seed)
    for title, clips, known in zip(LOOK_UP, (sets.strangers, sets.other_strangers), (strangers, unseen), strict=True):
        figures[title] = among_strangers(clips, known)
    if sets.real:
        ways = [look_up(to_vector, *pair, turned=True) for pair in (sets.real, sets.real[::-1])]
        for title, values in zip(
            REAL, ([way.dcg for way in ways], *([way.recall[k] for way in ways] for k in (1, 5))), strict=True
        ):
            figures[title] = float(np.mean(values))
    return figures


def among_strangers(clips: Sequence[Sequence61], known: Floats) -> float:
    """DCG of all signers' clips looked up among those of the first."""
    rows = {id(clip): row for row, clip in enumerate(clips)}
    gallery, queries = split_cast(clips, 1)
    return look_up(lambda clip: known[rows[id(clip)]], gallery, queries).dcg


def glosses(clips: Iterable[Sequence61]) -> list[str]:
    """Of every clip."""
    return [clip.gloss for clip in clips]


# --------------------------------------------------------------------------------------------------------------- report


def summarise(outcomes: Sequence[Outcome]) -> dict[str, dict[str, tuple[float, float]]]:
    """Mean and standard deviation over seeds of every figure, by row and figure."""
    rows: dict[str, dict[str, tuple[float, float]]] = {}
    for name in dict.fromkeys(outcome.name for outcome in outcomes):
        own = [outcome.figures for outcome in outcomes if outcome.name == name]
        rows[name] = {key: (float(np.mean(v)), float(np.std(v))) for key in own[0] for v in [[o[key] for o in own]]}
    return rows


def verdict(rows: dict[str, dict[str, tuple[float, float]]]) -> list[str]:
    """Whether the paper's row leads, figure by figure, in words."""
    lines = []
    for figure, (mean, spread) in rows[PAPERS_ROW].items():
        rival = max(RIVALS, key=lambda name: rows[name][figure][0])
        best, other = rows[rival][figure]
        away, width = mean - best, float(np.hypot(spread, other))
        word = "leads" if away > width else "is behind" if -away > width else "is level"
        lines.append(f"- {figure}: SL-SLR {word} ({mean:.1f} against {best:.1f} of {rival}; spread {width:.1f})")
    return lines


def as_markdown(outcomes: Sequence[Outcome], config: SlSlrConfig, sets: Sets, num_signs: int) -> str:
    """The report."""
    rows = summarise(outcomes)
    figures = list(next(iter(rows.values())))
    seeds = len({outcome.seed for outcome in outcomes if outcome.name != BY_HAND})
    steps = max(outcome.steps for outcome in outcomes)
    seconds = sum(outcome.seconds for outcome in outcomes)
    collapsed = [f"{o.name}, seed {o.seed}, step {o.collapsed_at}" for o in outcomes if o.collapsed_at is not None]
    lines = [
        "# SL-SLR and its baselines",
        "",
        f"`python -m training.sl_slr.compare OUT`, commit {commit()}, {platform.machine()}: {steps} steps of"
        f" {config.batch_size} clips per run, {seeds} seeds, {seconds:.0f} s of processor time for training in all."
        " Mean and standard deviation over seeds, percent.",
        "",
        f"Pretrained on {len(sets.learned)} clips: {num_signs} invented signs by {NUM_SIGNERS} synthetic signers, seen"
        f" as by a pose estimator. Tested on {NUM_STRANGERS} signers who are not among them; the other lexicon has"
        f" {num_signs} other signs by {NUM_OTHER} signers for the classifier, tested on {NUM_OTHER_STRANGERS} more."
        + (
            f" Real ASL: {len(sets.real[0])} and {len(sets.real[1])} clips of the glosses that two sources share, each"
            " looked up in the other, mirrored too; no run has seen a real clip. One query is"
            f" {100 / (len(sets.real[0]) + len(sets.real[1])):.1f} points."
            if sets.real
            else ""
        ),
        "",
        "| | " + " | ".join(figures) + " |",
        "|" + "---|" * (1 + len(figures)),
    ]
    for name, row in rows.items():
        cells = [f"{mean:.1f} ± {spread:.1f}" if spread else f"{mean:.1f}" for mean, spread in row.values()]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += ["", f"Collapsed: {'; '.join(collapsed) or 'no run'}."]
    lines += ["", f"## {PAPERS_ROW} against the best of {', '.join(RIVALS)}", ""]
    lines += verdict(rows) if seeds > 1 else ["One seed has no spread, so there is no verdict."]
    return "\n".join(lines) + "\n"


def main(
    out: Annotated[Path, typer.Argument(help="Folder for runs and outcomes; what is done there is not done again.")],
    *,
    poses: Annotated[
        list[Path] | None, typer.Option(help="Landmarks of one source of real clips; given twice, for two.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs per row.")] = 3,
    signs: Annotated[int, typer.Option(min=2, help="Signs of each lexicon.")] = NUM_SIGNS,
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="For every run.")] = None,
    write: Annotated[Path | None, typer.Option(help="Markdown file for the table.")] = None,
) -> None:
    """Train and measure every row, and print the table."""
    with refusals():
        if poses and len(poses) != 2:
            raise TrainingError(f"--poses was given {len(poses)} times; two sources are looked up in each other")
        config = override(table(), settings or [])
        claim(out, signs, poses or [])
        sets = make_sets(poses or [], str(out / "clips"), signs)
        outcomes = []
        for seed in range(seeds):
            for arm in ARMS:
                begin = time.perf_counter()
                outcomes.append(run_arm(arm, seed, config, out, sets))
                messages.print(f"{arm.name}, seed {seed}: {time.perf_counter() - begin:.0f} s", markup=False)
        outcomes.append(run_by_hand(out, sets))
        report = as_markdown(outcomes, config, sets, signs)
    if write is not None:
        write.write_text(report, encoding="utf-8")
    typer.echo(report)


if __name__ == "__main__":
    typer.run(main)
