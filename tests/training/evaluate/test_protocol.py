import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from model.config import tiny
from model.encoder import Encoding
from model.skeleton.kinematics import mirror_angles
from tests.clips import flat, moving_square, write_clip
from tests.fakes import FakeEncoder
from tests.posed import keypoints_of, landmarks_of, raised_arm, write_posed_clip
from training.data.listing.manifest import ListedClip
from training.errors import EvaluationError
from training.evaluate.__main__ import landmarks_of as landmarks_folder
from training.evaluate.__main__ import main
from training.evaluate.baselines import FEATURES
from training.evaluate.figures import draw_results, spread_by_rank
from training.evaluate.protocol import (
    MirroredEncoder,
    SumRanker,
    VectorRanker,
    WarpRanker,
    evaluate,
    labelled_clips,
    landmark_vectors,
    video_vectors,
)
from training.evaluate.untrained import UntrainedEncoder

PLACES = {"north": (64, 24), "south": (64, 72), "west": (24, 48), "east": (104, 48)}


def silent(phase: str, done: int, total: int) -> None:
    """No progress."""


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sign is where something moves; north has two videos, of which one is nothing like a query."""
    folder = tmp_path_factory.mktemp("gallery")
    for gloss, centre in PLACES.items():
        write_clip(folder / f"{gloss}.mp4", moving_square(20, width=128, height=96, centre=centre))
    (folder / "north").mkdir()
    write_clip(folder / "north" / "other.mp4", [flat(10 * (k % 2), width=128, height=96) for k in range(20)])
    return folder


@pytest.fixture(scope="module")
def queries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("queries")
    for gloss, centre in PLACES.items():
        pictures = moving_square(26, width=128, height=96, centre=centre, noise=20)[2:]
        write_clip(folder / f"{gloss}.mp4", pictures)
    (folder / "east.mp4").write_text("no video")
    write_clip(folder / "unheard.mp4", moving_square(20, width=128, height=96, centre=(64, 48)))
    return folder


def test_a_gloss_is_scored_by_its_best_video_and_broken_queries_are_misses(gallery: Path, queries: Path) -> None:
    known, asked = labelled_clips(gallery, None), labelled_clips(queries, None)
    ranker = VectorRanker(video_vectors(FakeEncoder()), "fa4e00000000", known, silent, mirrored=False)
    result = evaluate(ranker, known, asked, silent)
    ranks = {result.query.gloss: result.rank for result in result.results}
    assert ranks == {"north": 0, "south": 0, "west": 0, "east": None}
    assert result.num_signs == 4
    assert result.metrics.recall[1] == 75
    assert result.unknown == ("unheard.mp4",)
    assert [(one.name, one.kind) for one in result.failed] == [("query east.mp4", "NotAVideoError")]
    best = next(result for result in result.results if result.query.gloss == "north").answers[0]
    assert best.clip.video_id == "north.mp4"


def test_gallery_clips_that_fail_are_named_and_queries_for_them_are_misses(gallery: Path, queries: Path) -> None:
    known = [*labelled_clips(gallery, None), ListedClip("gone", gallery / "gone.mp4", gallery, "gone")]
    ranker = VectorRanker(video_vectors(FakeEncoder()), "fa4e00000000", known, silent, mirrored=False)
    asked = [ListedClip("q", queries / "north.mp4", queries, "gone")]
    result = evaluate(ranker, known, asked, silent)
    assert [one.name for one in result.failed] == ["gallery gone"]
    assert result.results[0].rank is None


def test_glosses_that_nowhere_agree_end_the_evaluation(gallery: Path, queries: Path) -> None:
    known = labelled_clips(gallery, None)
    ranker = VectorRanker(video_vectors(FakeEncoder()), "fa4e00000000", known, silent, mirrored=False)
    with pytest.raises(EvaluationError, match="none of the 1 queries has a gloss"):
        evaluate(ranker, known, [ListedClip("q", queries, queries, "elsewhere")], silent)


def test_an_encoder_in_a_mirror_sees_mirrored_frames() -> None:
    windows = np.random.default_rng(0).integers(0, 255, (1, 16, 128, 128, 3), np.uint8)
    ours = MirroredEncoder(FakeEncoder()).encode(windows).embedding
    theirs = FakeEncoder().encode(np.ascontiguousarray(windows[:, :, :, ::-1])).embedding
    assert np.array_equal(ours, theirs)


def test_mirrored_windows_are_looked_at_where_their_own_units_move() -> None:
    class Looking(FakeEncoder):
        def encode(self, windows: np.ndarray, visible: np.ndarray | None = None) -> Encoding:
            assert visible is not None
            self.seen = visible
            return super().encode(windows)

    looking = Looking()
    _, rows, columns = looking.info.config.unit_grid
    windows = np.zeros((1, *looking.info.config.window_size, 3), np.uint8)
    MirroredEncoder(looking).encode(windows, np.array([[0, columns, rows * columns + 1]]))
    assert looking.seen.tolist() == [[columns - 1, 2 * columns - 1, rows * columns + columns - 2]]


@pytest.fixture(scope="module")
def posed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Signs that differ in how far the arm is lifted; the query of `high` is signed by the left hand."""
    folder = tmp_path_factory.mktemp("posed")
    for gloss, bend_deg in (("low", 80.0), ("middle", 105.0), ("high", 130.0)):
        poses = raised_arm(30, bend_deg=bend_deg)
        write_posed_clip(
            folder / "book" / f"{gloss}.mp4",
            folder / "poses" / "book" / f"{gloss}.mp4.npz",
            landmarks_of(keypoints_of(poses)),
        )
        shown = mirror_angles(poses) if gloss == "high" else poses
        write_posed_clip(
            folder / "asked" / f"{gloss}.mp4",
            folder / "poses" / "asked" / f"{gloss}.mp4.npz",
            landmarks_of(keypoints_of(shown), widths_per_m=0.35),
        )
    return folder


@pytest.mark.parametrize("name", ["bone-directions-wrists", "dtw"])
def test_left_handed_queries_are_found_once_the_gallery_is_mirrored_too(name: str, posed: Path) -> None:
    known = labelled_clips(posed / "book", posed / "poses" / "book")
    asked = labelled_clips(posed / "asked", posed / "poses" / "asked")
    for mirrored, expected in ((False, {"low", "middle"}), (True, {"low", "middle", "high"})):
        ranker = (
            WarpRanker(known, silent, mirrored=mirrored)
            if name == "dtw"
            else VectorRanker(landmark_vectors(FEATURES[name]), name, known, silent, mirrored=mirrored)
        )
        result = evaluate(ranker, known, asked, silent)
        found = {result.query.gloss for result in result.results if result.rank == 0}
        assert found >= expected


def command(*arguments: str) -> tuple[int, str]:
    import typer

    app = typer.Typer()
    app.command()(main)
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.output


def test_the_command_prints_figures_writes_json_and_draws(posed: Path, tmp_path: Path) -> None:
    folders = ["--gallery", str(posed / "book"), "--queries", str(posed / "asked"), "--poses", str(posed / "poses")]
    code, output = command(*folders, "--baseline", "hand-keypoints", "--figure", str(tmp_path / "figure.png"))
    assert code == 0
    assert "hand-keypoints: 3 queries, 3 signs: DCG" in output
    with Image.open(tmp_path / "figure.png") as figure:
        assert figure.width == 6 * 128
    code, output = command(*folders, "--baseline", "dtw", "--mirrored", "--json")
    found = json.loads(output[output.index("{") :].splitlines()[0])
    assert found["recall"]["1"] == 100
    assert found["ranks"] == {"high.mp4": 0, "low.mp4": 0, "middle.mp4": 0}


def test_the_encoder_that_serves_ranks_as_its_baseline_does(posed: Path) -> None:
    folders = ["--gallery", str(posed / "book"), "--queries", str(posed / "asked"), "--poses", str(posed / "poses")]
    served, offline = (
        json.loads(output[output.index("{") :].splitlines()[0])
        for _, output in (
            command(*folders, "--mirrored", "--json", *which)
            for which in (("--encoder", "pose"), ("--baseline", "bone-directions-wrists"))
        )
    )
    assert served["ranks"] == offline["ranks"] == {"high.mp4": 0, "low.mp4": 0, "middle.mp4": 0}


def test_several_rankers_add_up(posed: Path) -> None:
    known = labelled_clips(posed / "book", posed / "poses" / "book")
    [asked, *_] = labelled_clips(posed / "asked", posed / "poses" / "asked")
    rankers = [
        VectorRanker(landmark_vectors(FEATURES[name]), name, known, silent, mirrored=False)
        for name in ("bone-directions", "wrists")
    ]
    scores = [{answer.gloss: answer.score for answer in ranker.rank(asked)} for ranker in rankers]
    summed = SumRanker(rankers).rank(asked)
    assert {answer.gloss: answer.score for answer in summed} == pytest.approx(
        {gloss: scores[0][gloss] + scores[1][gloss] for gloss in scores[0]}
    )
    assert [answer.score for answer in summed] == sorted((answer.score for answer in summed), reverse=True)
    folders = ["--gallery", str(posed / "book"), "--queries", str(posed / "asked"), "--poses", str(posed / "poses")]
    code, output = command(*folders, "--encoder", "pose", "--baseline", "wrists")
    assert (code, "pose + wrists: 3 queries" in output) == (0, True)


def test_a_gloss_that_one_ranker_lacks_gets_nothing_from_it(posed: Path) -> None:
    known = labelled_clips(posed / "book", posed / "poses" / "book")
    whole, part = (
        VectorRanker(landmark_vectors(FEATURES["wrists"]), "wrists", clips, silent, mirrored=False)
        for clips in (known, known[1:])
    )
    summed = {answer.gloss: answer.score for answer in SumRanker([whole, part]).rank(known[0])}
    alone = {answer.gloss: answer.score for answer in whole.rank(known[0])}
    assert summed[known[0].gloss] == pytest.approx(alone[known[0].gloss])
    assert summed[known[1].gloss] == pytest.approx(2 * alone[known[1].gloss])


def test_the_command_says_what_is_wrong(posed: Path) -> None:
    folders = ["--gallery", str(posed / "book"), "--queries", str(posed / "asked")]
    assert command(*folders)[0] == 2
    code, output = command(*folders, "--baseline", "magic")
    assert (code, "known are hand-angles" in output) == (1, True)
    code, output = command(*folders, "--baseline", "wrists")  # no landmarks beside the videos
    assert code == 1
    assert "none of the 3 gallery clips can be used" in output


def test_landmarks_are_found_under_the_folders_name_or_its_parents(tmp_path: Path) -> None:
    for name in ("poses/home", "poses/ukg_studio", "ukg/home", "ukg/studio", "ukg/attic"):
        (tmp_path / name).mkdir(parents=True)
    poses = tmp_path / "poses"
    assert landmarks_folder(tmp_path / "ukg" / "home", poses) == poses / "home"
    assert landmarks_folder(tmp_path / "ukg" / "studio", poses) == poses / "ukg_studio"
    assert landmarks_folder(tmp_path / "ukg" / "attic", poses) == poses


def test_the_figure_shows_good_and_bad_answers_alike(posed: Path) -> None:
    known = labelled_clips(posed / "book", posed / "poses" / "book")
    ranker = VectorRanker(landmark_vectors(FEATURES["wrists"]), "wrists", known, silent, mirrored=False)
    asked = labelled_clips(posed / "asked", posed / "poses" / "asked")
    results = evaluate(ranker, known, asked, silent).results
    shown = spread_by_rank(results, 2)
    assert shown[0].rank == min(one.rank for one in results if one.rank is not None)
    assert shown[1].rank == max(one.rank for one in results if one.rank is not None)
    assert draw_results(shown).height == 2 * (4 * (128 + 16) + 16)


def test_the_untrained_network_is_the_same_every_time() -> None:
    torch.set_num_threads(1)
    windows = np.random.default_rng(0).integers(0, 255, (1, 16, 64, 64, 3), np.uint8)
    config = replace(tiny(), image_size=64)
    one, other = UntrainedEncoder(config).encode(windows), UntrainedEncoder(config).encode(windows)
    assert np.array_equal(one.embedding, other.embedding)
    assert one.embedding.shape == (1, 192)
    assert not np.allclose(one.embedding, UntrainedEncoder(config, seed=1).encode(windows).embedding)
