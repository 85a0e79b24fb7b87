"""SL-SLR beside SimCLR, MoCo, BYOL and itself without its shuffle, in one command.

    python -m training.recipes.sl_slr_comparison OUT [--poses A --poses B] [--write FILE.md] [--set KEY=VALUE]

Every row pretrains the same network on the same clips for as many steps, three times from other seeds, and is
measured on signers who are in no training clip: by a linear classifier with all labels and with a few, on another
lexicon, and by looking signs up. Finished runs are kept; run again to resume.
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
from model.skeleton.features import bone_directions_wrists
from training.atomic import write_atomically
from training.commands import refusals
from training.errors import ResumeError, TrainingError
from training.fit.console import QuietCallbacks, messages
from training.fit.distributed import join_world
from training.fit.files import LAST, commit
from training.fit.overrides import as_plain_data, from_plain_data, override
from training.fit.resume import require_same_settings
from training.progress import progress_bar
from training.recipes.report import Assignments, Write, markdown, publish, table
from training.sl_slr.batches import Batches
from training.sl_slr.command import print_collapse
from training.sl_slr.config import SlSlrConfig
from training.sl_slr.config import table as table_preset
from training.sl_slr.corpus import Corpus, lexicon
from training.sl_slr.encode import TorchEncoder, ToVector, baseline_vectors, evaluate_vectors, vectors
from training.sl_slr.loop import pretrain
from training.sl_slr.network import make_network
from training.sl_slr.probe import probe
from training.sl_slr.sequences import Sequence61, gloss_of, landmark_files, read_sequence, shared_glosses
from training.sl_slr.state import SlSlrState, open_run, read_trained

NUM_SIGNS = 80
LEXICON, OTHER_LEXICON = 1, 2
NUM_SIGNERS, NUM_TEST_SIGNERS = 8, 5
"""Signers of training, and others of the test."""
NUM_OTHER, NUM_OTHER_TEST = 7, 3
SHARES = (1.0, 0.5, 0.3, 0.1)
LINEAR = tuple(f"linear, {share:.0%} of labels" for share in SHARES)
OTHER = ("other lexicon, all labels", "other lexicon, 10% of labels")
LOOKUP = ("look-up, DCG", "other lexicon, look-up, DCG")
REAL = ("real ASL, DCG", "real ASL, R@1", "real ASL, R@5")


@dataclass(frozen=True)
class ComparedMethod:
    """A row of the table."""

    name: str
    settings: tuple[str, ...] = ()
    untrained: bool = False


COMPARED_METHODS = (
    ComparedMethod("SL-SLR, middle third says something (paper)"),
    ComparedMethod("SL-SLR, raised hands say something (ours)", ("views.informative=raised",)),
    ComparedMethod("SL-SLR without the shuffle", ("views.shuffle=false",)),
    ComparedMethod("BYOL", ("method=byol",)),
    ComparedMethod("SimCLR", ("method=simclr",)),
    ComparedMethod("MoCo", ("method=moco",)),
    ComparedMethod("random weights", untrained=True),
)
BASELINE = "bone directions and wrists, no training"
PAPERS_ROW, RIVALS = COMPARED_METHODS[0].name, tuple(method.name for method in COMPARED_METHODS[2:6])


@dataclass(frozen=True)
class ClipSets:
    """The clips of a comparison."""

    train: tuple[Sequence61, ...]
    """For pretraining and for training the classifiers."""
    test: tuple[Sequence61, ...]
    """The same signs by other signers."""
    other_train: tuple[Sequence61, ...]
    """Other signs, for the classifiers alone."""
    other_test: tuple[Sequence61, ...]
    real: tuple[tuple[Sequence61, ...], ...] = ()
    """Two sources of real clips with the same glosses, or none."""


@dataclass(frozen=True)
class MethodResult:
    """The result of one run."""

    name: str
    seed: int
    steps: int
    seconds: float
    """Of processor time, for training."""
    collapsed_at: int | None
    figures: dict[str, float]
    config: dict[str, Any]
    """The settings, so that a folder is not resumed with others."""


def make_sets(poses: Sequence[Path], cache: str, num_signs: int) -> ClipSets:
    """Perform or read all clips.

    Raises:
        DataError: a folder of landmarks can't be used.
    """
    with progress_bar() as on_progress:
        clips = lexicon(num_signs, NUM_SIGNERS + NUM_TEST_SIGNERS, LEXICON, cache=cache, on_progress=on_progress)
        other = lexicon(num_signs, NUM_OTHER + NUM_OTHER_TEST, OTHER_LEXICON, cache=cache, on_progress=on_progress)
    return ClipSets(*split_cast(clips, NUM_SIGNERS), *split_cast(other, NUM_OTHER), real_clips(poses))


def check_same_clips(out: Path, signs: int, poses: Sequence[Path]) -> None:
    """Refuse a folder that holds results on other clips.

    Raises:
        ResumeError: it does.
    """
    clips = {"signs": signs, "poses": [folder.name for folder in poses]}
    note = out / "clips.json"
    if note.exists() and (existing := json.loads(note.read_text())) != clips:
        raise ResumeError(f"{out} holds results on other clips: {existing}, now {clips}; take another folder")
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(note, json.dumps(clips))


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


def run_method(method: ComparedMethod, seed: int, config: SlSlrConfig, out: Path, sets: ClipSets) -> MethodResult:
    """Pretrain and measure; an interrupted run is resumed, a finished result is read.

    Raises:
        ResumeError: the folder holds a run or result of other settings.
    """
    folder = out / f"{COMPARED_METHODS.index(method)}-{seed}"
    config = override(config, [*method.settings, f"seed={seed}", f"output={folder}"])
    done = folder / "outcome.json"
    if done.exists():
        result = MethodResult(**json.loads(done.read_text()))
        require_same_settings(done, as_plain_data(from_plain_data(SlSlrConfig, result.config)), config)
        return result
    steps, seconds, collapsed_at = 0, 0.0, None
    if method.untrained:
        network = make_network(config.network, config.data.num_frames, seed)
    else:
        start_s = time.process_time()
        state = train(config, sets.train)
        steps, seconds, collapsed_at = state.step, round(time.process_time() - start_s, 1), state.collapsed_at
        network = read_trained(folder / LAST).network
    figures = measure(TorchEncoder(network.encoder, config.data).vector, sets, seed)
    result = MethodResult(method.name, seed, steps, seconds, collapsed_at, figures, config_json(config))
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(done, json.dumps(asdict(result)))
    return result


def train(config: SlSlrConfig, clips: tuple[Sequence61, ...]) -> SlSlrState:
    """Start or resume a run on some clips."""
    batches = Batches(Corpus(clips, (0,) * len(clips), (1.0,)), config.data, config.batch_size, config.seed)
    with join_world(config.device) as world:
        state = open_run(config, world.device, resume=True)
        return pretrain(state, batches, world, callbacks=QuietCallbacks(), on_collapse=print_collapse)


def measure_baseline(out: Path, sets: ClipSets) -> MethodResult:
    """Measure the training-free vector; a finished result is read."""
    done = out / "by-hand.json"
    if done.exists():
        return MethodResult(**json.loads(done.read_text()))
    result = MethodResult(BASELINE, 0, 0, 0.0, None, measure(baseline_vectors(bone_directions_wrists), sets, 0), {})
    write_atomically(done, json.dumps(asdict(result)))
    return result


def config_json(config: SlSlrConfig) -> dict[str, Any]:
    """The settings as JSON gives them back, with lists for tuples."""
    plain: dict[str, Any] = json.loads(json.dumps(as_plain_data(config)))
    return plain


def measure(to_vector: ToVector, sets: ClipSets, seed: int) -> dict[str, float]:
    """Every figure of a row."""
    figures = {}
    train, test = vectors(to_vector, sets.train), vectors(to_vector, sets.test)
    names, truth = glosses(sets.train), glosses(sets.test)
    for title, share in zip(LINEAR, SHARES, strict=True):
        figures[title] = probe(train, names, test, truth, share, seed)
    other_train, other_test = vectors(to_vector, sets.other_train), vectors(to_vector, sets.other_test)
    names, truth = glosses(sets.other_train), glosses(sets.other_test)
    for title, share in zip(OTHER, (1.0, 0.1), strict=True):
        figures[title] = probe(other_train, names, other_test, truth, share, seed)
    for title, clips, rows in zip(LOOKUP, (sets.test, sets.other_test), (test, other_test), strict=True):
        figures[title] = lookup_dcg(clips, rows)
    if sets.real:
        directions = [evaluate_vectors(to_vector, *pair, also_mirrored=True) for pair in (sets.real, sets.real[::-1])]
        for title, values in zip(
            REAL,
            ([one.dcg for one in directions], *([one.recall[k] for one in directions] for k in (1, 5))),
            strict=True,
        ):
            figures[title] = float(np.mean(values))
    return figures


def lookup_dcg(clips: Sequence[Sequence61], vectors: Floats) -> float:
    """DCG of the clips of all other signers looked up among those of the first."""
    rows = {id(clip): row for row, clip in enumerate(clips)}
    gallery, queries = split_cast(clips, 1)
    return evaluate_vectors(lambda clip: vectors[rows[id(clip)]], gallery, queries).dcg


def glosses(clips: Iterable[Sequence61]) -> list[str]:
    """Of every clip."""
    return [clip.gloss for clip in clips]


# --------------------------------------------------------------------------------------------------------------- report


def summarise(results: Sequence[MethodResult]) -> dict[str, dict[str, tuple[float, float]]]:
    """Mean and standard deviation over seeds of every figure, by row and figure."""
    rows: dict[str, dict[str, tuple[float, float]]] = {}
    for name in dict.fromkeys(result.name for result in results):
        own = [result.figures for result in results if result.name == name]
        rows[name] = {key: (float(np.mean(v)), float(np.std(v))) for key in own[0] for v in [[o[key] for o in own]]}
    return rows


def compare_with_rivals(rows: dict[str, dict[str, tuple[float, float]]]) -> list[str]:
    """Whether the paper's row leads, figure by figure, in words."""
    lines = []
    for figure, (mean, spread) in rows[PAPERS_ROW].items():
        rival = max(RIVALS, key=lambda name: rows[name][figure][0])
        best, other = rows[rival][figure]
        lead, width = mean - best, float(np.hypot(spread, other))
        word = "leads" if lead > width else "is behind" if -lead > width else "is level"
        lines.append(f"- {figure}: SL-SLR {word} ({mean:.1f} against {best:.1f} of {rival}; spread {width:.1f})")
    return lines


def as_markdown(results: Sequence[MethodResult], config: SlSlrConfig, sets: ClipSets, num_signs: int) -> str:
    """The report."""
    rows = summarise(results)
    figures = list(next(iter(rows.values())))
    seeds = len({result.seed for result in results if result.name != BASELINE})
    steps = max(result.steps for result in results)
    seconds = sum(result.seconds for result in results)
    collapsed = [f"{o.name}, seed {o.seed}, step {o.collapsed_at}" for o in results if o.collapsed_at is not None]
    cells = [
        (name, *(f"{mean:.1f} ± {spread:.1f}" if spread else f"{mean:.1f}" for mean, spread in row.values()))
        for name, row in rows.items()
    ]
    real = (
        f" Real ASL: {len(sets.real[0])} and {len(sets.real[1])} clips of the glosses that two sources share, each"
        " looked up in the other, mirrored too; no run has seen a real clip. One query is"
        f" {100 / (len(sets.real[0]) + len(sets.real[1])):.1f} points."
        if sets.real
        else ""
    )
    return markdown(
        "# SL-SLR and its baselines",
        f"`python -m training.recipes.sl_slr_comparison OUT`, commit {commit()}, {platform.machine()}: {steps} steps of"
        f" {config.batch_size} clips per run, {seeds} seeds, {seconds:.0f} s of processor time for training in all."
        " Mean and standard deviation over seeds, percent.",
        f"Pretrained on {len(sets.train)} clips: {num_signs} invented signs by {NUM_SIGNERS} synthetic signers, seen"
        f" as by a pose estimator. Tested on {NUM_TEST_SIGNERS} signers who are not among them; the other lexicon has"
        f" {num_signs} other signs by {NUM_OTHER} signers for the classifier, tested on {NUM_OTHER_TEST} more.{real}",
        table(("", *figures), cells),
        f"Collapsed: {'; '.join(collapsed) or 'no run'}.",
        f"## {PAPERS_ROW} against the best of {', '.join(RIVALS)}",
        "\n".join(compare_with_rivals(rows)) if seeds > 1 else "One seed has no spread, so there is no verdict.",
    )


def main(
    out: Annotated[Path, typer.Argument(help="Folder for runs and results; what is done there is not done again.")],
    *,
    poses: Annotated[
        list[Path] | None, typer.Option(help="Landmarks of one source of real clips; given twice, for two.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs per row.")] = 3,
    signs: Annotated[int, typer.Option(min=2, help="Signs of each lexicon.")] = NUM_SIGNS,
    assignments: Assignments = None,
    write: Write = None,
) -> None:
    """Train and measure every row, and print the table."""
    with refusals():
        if poses and len(poses) != 2:
            raise TrainingError(f"--poses was given {len(poses)} times; two sources are looked up in each other")
        config = override(table_preset(), assignments or [])
        check_same_clips(out, signs, poses or [])
        sets = make_sets(poses or [], str(out / "clips"), signs)
        results = []
        for seed in range(seeds):
            for method in COMPARED_METHODS:
                begin = time.perf_counter()
                results.append(run_method(method, seed, config, out, sets))
                messages.print(f"{method.name}, seed {seed}: {time.perf_counter() - begin:.0f} s", markup=False)
        results.append(measure_baseline(out, sets))
        report = as_markdown(results, config, sets, signs)
    publish(report, [asdict(result) for result in results], write, as_json=False)


if __name__ == "__main__":
    typer.run(main)
