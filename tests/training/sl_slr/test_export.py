"""The file that serves."""

import copy
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from typer import Typer
from typer.testing import CliRunner

from model.errors import ExportError
from model.runtime.devices import Device
from model.skeleton.encoders import open_file as open_skeleton_encoder
from tests.training.sl_slr.conftest import write_landmarks
from training.data.listing.manifest import ListedClip
from training.errors import ConfigError
from training.evaluate.__main__ import main
from training.evaluate.protocol import skeleton_vectors
from training.sl_slr import export as exporting
from training.sl_slr.encode import TorchEncoder
from training.sl_slr.export import export, open_file, with_kept_share
from training.sl_slr.sequences import Sequence61, gloss_of, landmark_files, read_sequence, windows
from training.sl_slr.state import TrainedSkeletonEncoder


@pytest.fixture
def traced(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exports that follow take the graph of the file instead of tracing again."""
    graph = onnx.load(file)
    del graph.metadata_props[:]
    monkeypatch.setattr(exporting, "trace", lambda network: copy.deepcopy(graph))


def test_the_file_computes_what_the_network_computes(
    trained: TrainedSkeletonEncoder, file: Path, performed: tuple[Sequence61, ...]
) -> None:
    clip = performed[0]
    rows = windows(clip.num_frames, 12.5, 8, 2)
    embedding, activity = open_file(file).run(None, {"keypoints": clip.keypoints[rows], "known": clip.known[rows]})
    with torch.no_grad():
        encoded = trained.network.encoder(torch.from_numpy(clip.keypoints[rows]), torch.from_numpy(clip.known[rows]))
    np.testing.assert_allclose(embedding, encoded.embedding.numpy(), atol=1e-5)
    np.testing.assert_allclose(activity, encoded.activity_logits.numpy(), atol=1e-4)


def test_keypoints_that_are_not_known_may_be_anything(file: Path, performed: tuple[Sequence61, ...]) -> None:
    clip = performed[0]
    rows = windows(clip.num_frames, 12.5, 8, 2)
    known = clip.known[rows]
    spoilt = np.where(known[..., None], clip.keypoints[rows], np.nan).astype(np.float32)
    session = open_file(file)
    for a, b in zip(
        session.run(None, {"keypoints": clip.keypoints[rows], "known": known}),
        session.run(None, {"keypoints": spoilt, "known": known}),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)


def test_the_file_says_what_it_is(trained: TrainedSkeletonEncoder, file: Path) -> None:
    model = onnx.load(file)
    (stored,) = (json.loads(p.value) for p in model.metadata_props if p.key == "signdex")
    assert stored["kind"] == "skeleton"
    assert stored["config"] == {"num_frames": 8, "dim": trained.network.encoder.dim, "form": "metres"}
    assert (stored["fps"], stored["stride_frames"]) == (12.5, 2)
    assert (stored["provenance"], stored["licence"], stored["trained"]) == ("made for a test", "Apache-2.0", True)
    shapes = {value.name: [size.dim_value for size in value.type.tensor_type.shape.dim] for value in model.graph.input}
    assert shapes == {"keypoints": [0, 8, 61, 3], "known": [0, 8, 61]}
    assert [value.name for value in model.graph.output] == ["embedding", "activity"]
    assert str(Path(__file__).parents[3]) not in file.read_bytes().decode("latin-1")


@pytest.mark.usefixtures("traced")
def test_weights_in_halves_are_a_smaller_file_that_still_agrees(
    trained: TrainedSkeletonEncoder, file: Path, tmp_path: Path
) -> None:
    report = export(trained, tmp_path / "half.onnx")
    assert report.num_bytes < 0.8 * file.stat().st_size
    assert max(report.max_relative_error.values()) < 1e-4


@pytest.mark.usefixtures("traced")
def test_a_file_that_disagrees_is_deleted(
    trained: TrainedSkeletonEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "difference", lambda *_: 0.5)
    with pytest.raises(ExportError, match=r"differs from the network by .*0\.5.*It was deleted"):
        export(trained, tmp_path / "out.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_network_of_whole_clips_is_not_exported(trained: TrainedSkeletonEncoder, tmp_path: Path) -> None:
    data = replace(trained.config.data, cut="clip")
    with pytest.raises(ConfigError, match=r"data\.cut=clip"):
        export(replace(trained, config=replace(trained.config, data=data)), tmp_path / "out.onnx")


def test_the_share_of_kept_values_can_be_chosen_afterwards(trained: TrainedSkeletonEncoder, waving: Sequence61) -> None:
    own = replace(trained, network=copy.deepcopy(trained.network))
    rows = windows(waving.num_frames, 12.5, 8, 2)
    inputs = torch.from_numpy(waving.keypoints[rows]), torch.from_numpy(waving.known[rows])
    with torch.no_grad():
        before = own.network.encoder(*inputs).embedding
        changed = with_kept_share(own, 0.9)
        after = changed.network.encoder(*inputs).embedding
    assert "share of the kept values 0.9 instead of 0.5" in changed.provenance
    torch.testing.assert_close(after[:, :-16], before[:, :-16] * (0.9 / 0.5) ** 0.5)
    torch.testing.assert_close(after[:, -16:], before[:, -16:] * (0.1 / 0.5) ** 0.5)


def test_an_unknown_precision_is_refused(trained: TrainedSkeletonEncoder, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="'int8'; allowed are fp32, fp16-stored"):
        export(trained, tmp_path / "out.onnx", precision="int8")


def test_the_evaluation_looks_signs_up_with_the_file_as_with_the_network(
    trained: TrainedSkeletonEncoder, file: Path, tmp_path: Path
) -> None:
    poses = [write_landmarks(tmp_path / "poses" / name, "one__1", "two__2") for name in ("a", "b")]
    clips = [ListedClip(path.name, path, path, gloss_of(path)) for path in landmark_files(poses[0])]
    by_file = skeleton_vectors(open_skeleton_encoder(file, Device()))
    by_network = TorchEncoder(trained.network.encoder, trained.config.data).vector
    for clip in clips:
        np.testing.assert_allclose(by_file(clip, False), by_network(read_sequence(clip.landmarks, "a")), atol=1e-4)
    for folder in poses:
        for path in landmark_files(folder):
            video = tmp_path / folder.name / path.name.removesuffix(".npz")
            video.parent.mkdir(exist_ok=True)
            video.touch()
    app = Typer()
    app.command()(main)
    folders = ("--gallery", str(tmp_path / "a"), "--queries", str(tmp_path / "b"), "--poses", str(tmp_path / "poses"))
    result = CliRunner().invoke(app, [*folders, "--encoder", str(file), "--stems", "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["recall"]["1"] == 100.0
