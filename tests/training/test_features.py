import gzip
import json
import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from typer import Typer
from typer.testing import CliRunner

from model.network.checkpoint import untrained
from model.network.export import export
from model.runtime.onnx_encoder import OnnxEncoder
from model.video import open_frames
from model.windows import slide
from tests.model.micro import micro
from tests.tiny_videos import write_clip
from training import features
from training.data.listing.manifest import find_videos
from training.data.listing.sentences import Sentence
from training.errors import ClipError, ConfigError, OutputError
from training.features import FeaturePlan, embeddings_path, make_features, one_ahead, open_sentence

SIZE = micro().image_size


@pytest.fixture(scope="module")
def encoder_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("encoder") / "micro.onnx"
    export(untrained(micro(), "micro"), path)
    return path


@pytest.fixture
def plan(encoder_file: Path) -> FeaturePlan:
    return FeaturePlan(encoder_file, stride_frames=4)


@pytest.fixture
def sentences(tmp_path: Path) -> list[Sentence]:
    (tmp_path / "clips").mkdir()
    for number, name in enumerate(("a", "b", "c")):
        write_clip(tmp_path / "clips" / f"{name}.mp4", seed=number)
    (tmp_path / "clips" / "c.mp4").write_bytes(b"no video")
    splits = ("train", "test", "test")
    return [
        Sentence(path.stem, path, split, signer="s1", gloss="ONE TWO", text="one, two")
        for path, split in zip(find_videos(tmp_path / "clips"), splits, strict=True)
    ]


def read_split(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path) as file:
        return list(pickle.load(file))


def test_features_are_the_serving_encoder_s_embeddings_of_every_window(
    sentences: list[Sentence], plan: FeaturePlan, tmp_path: Path
) -> None:
    report = make_features(sentences, plan, tmp_path / "out")
    assert (report.num_done, [one.name for one in report.failed]) == (2, ["c"])
    with open_frames(sentences[0].source, fps=25.0, size=SIZE) as frames:
        windows = np.stack([window.frames for window in slide(frames, micro().num_frames, 4)])
    expected = OnnxEncoder(plan.encoder, threads=1).encode(windows).embedding
    found = np.load(embeddings_path(tmp_path / "out", sentences[0]))
    assert found.dtype == np.float32
    assert np.allclose(found, expected, atol=1e-5)
    [sample] = read_split(tmp_path / "out" / "train.pkl.gz")
    assert {name: sample[name] for name in ("name", "signer", "gloss", "text")} == {
        "name": "a",
        "signer": "s1",
        "gloss": "ONE TWO",
        "text": "one, two",
    }
    assert torch.equal(sample["sign"], torch.from_numpy(found))
    assert [sample["name"] for sample in read_split(tmp_path / "out" / "test.pkl.gz")] == ["b"]


def test_another_run_goes_on_and_mends_what_is_damaged(
    sentences: list[Sentence], plan: FeaturePlan, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    make_features(sentences[:1], plan, out)
    first = embeddings_path(out, sentences[0])
    whole, written_ns = first.read_bytes(), first.stat().st_mtime_ns
    report = make_features(sentences[:2], plan, out)
    assert (report.num_done, report.num_there) == (1, 1)
    assert first.stat().st_mtime_ns == written_ns
    first.write_bytes(whole[:-20])
    assert make_features(sentences[:2], plan, out).num_done == 1
    assert first.read_bytes() == whole
    assert not list(out.rglob(".*")), "parts are left behind"


def test_windows_are_read_one_batch_ahead_in_order_and_what_goes_wrong_there_is_said_here() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for number in (1, 2, 3):
            made.append(number)
            yield number
        raise ClipError("the fourth is broken")

    seen: list[int] = []
    with pytest.raises(ClipError, match="the fourth"):
        seen.extend(one_ahead(items()))
    assert seen == made == [1, 2, 3]
    left = one_ahead(items())
    assert next(left) == 1
    left.close()
    assert made == [1, 2, 3, 1, 2], "one ahead, and nothing after the reader has gone"


def test_a_folder_of_another_encoder_is_refused(sentences: list[Sentence], plan: FeaturePlan, tmp_path: Path) -> None:
    make_features(sentences[:1], plan, tmp_path / "out")
    with pytest.raises(OutputError, match="choose another folder"):
        make_features(sentences[:1], replace(plan, stride_frames=2), tmp_path / "out")
    there = json.loads((tmp_path / "out" / "features.json").read_text())
    assert (there["stride_frames"], there["reader"]) == (4, "videos")


def test_a_stride_that_would_skip_frames_is_refused_before_anything_is_written(
    sentences: list[Sentence], plan: FeaturePlan, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="stride_frames is 17; from 1 to 16 every frame is in a window"):
        make_features(sentences[:1], replace(plan, stride_frames=17), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def write_pictures(folder: Path, count: int, size: tuple[int, int] = (210, 260)) -> Path:
    folder.mkdir(parents=True)
    for number in range(count):
        pixels = np.full((size[1], size[0], 3), 90, np.uint8)
        pixels[40 + 4 * number : 60 + 4 * number, 90:110] = 250
        Image.fromarray(pixels).save(folder / f"images{number + 1:04d}.png")
    return folder


def test_a_folder_of_pictures_is_a_video(plan: FeaturePlan, tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "frames" / "one", 20)
    with open_sentence(folder, 25.0, SIZE) as pictures:
        frames = list(pictures)
    assert {frame.shape for frame in frames} == {(SIZE, SIZE, 3)}
    assert all((frame > 200).any() for frame in frames), "the moving hand is kept"
    report = make_features([Sentence("one", folder)], plan, tmp_path / "out")
    assert report.num_done == 1
    assert len(np.load(tmp_path / "out" / "embeddings" / "one.npy")) == 2


def spoilt(folder: Path) -> Iterator[tuple[str, str]]:
    write_pictures(folder / "broken", 3)
    (folder / "broken" / "images0002.png").write_bytes(b"PNG?")
    yield "broken", "images0002.png can't be read"
    write_pictures(folder / "mixed", 2)
    Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(folder / "mixed" / "images0009.png")
    yield "mixed", "another size than images0001.png"
    (folder / "empty").mkdir()
    yield "empty", "holds no pictures"
    yield "missing", "missing"


def test_what_can_not_be_used_is_named_and_the_rest_is_done(plan: FeaturePlan, tmp_path: Path) -> None:
    reasons = dict(spoilt(tmp_path / "frames"))
    good = write_pictures(tmp_path / "frames" / "good", 8)
    listed = [Sentence(name, tmp_path / "frames" / name) for name in reasons]
    report = make_features([*listed, Sentence("good", good)], plan, tmp_path / "out")
    assert report.num_done == 1
    assert {one.name for one in report.failed} == set(reasons)
    for one in report.failed:
        assert reasons[one.name] in one.reason
    assert [sample["name"] for sample in read_split(tmp_path / "out" / "all.pkl.gz")] == ["good"]


def test_the_command_takes_a_folder_of_videos(sentences: list[Sentence], encoder_file: Path, tmp_path: Path) -> None:
    app = Typer()
    app.command()(features.main)
    words = [str(encoder_file), str(tmp_path / "clips"), str(tmp_path / "out"), "--workers", "1"]
    found = CliRunner().invoke(app, words)
    assert found.exit_code == 0, found.output
    assert "2 done, 0 were there, 1 failed (1 NotAVideoError)" in found.output
    assert len(read_split(tmp_path / "out" / "all.pkl.gz")) == 2
    nothing = CliRunner().invoke(app, [*words[:2], str(tmp_path / "none"), "--split", "dev"])
    assert nothing.exit_code == 1
