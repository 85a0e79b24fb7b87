import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from typer.testing import CliRunner

from model.errors import ExportError
from model.network import export as export_module
from model.network.checkpoint import Checkpoint
from model.network.export import export, export_checkpoint, main
from model.network.pixels import normalise
from model.network.signrep import SignRep
from model.runtime.metadata import KEY
from model.runtime.onnx_encoder import OnnxEncoder
from tests.model.micro import micro


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (3, *micro().window_size, 3), dtype=np.uint8)


@torch.no_grad()
def test_the_file_computes_what_the_network_computes(
    checkpoint: Checkpoint, encoder: OnnxEncoder, pixels: np.ndarray
) -> None:
    output = checkpoint.network()(normalise(torch.from_numpy(pixels)))
    encoding = encoder.encode(pixels)
    np.testing.assert_allclose(encoding.embedding, output.features.numpy(), atol=1e-4)
    np.testing.assert_allclose(encoding.activity, output.activity_logits.sigmoid().numpy(), atol=1e-5)


@torch.no_grad()
def test_weights_kept_in_halves_make_half_the_file_and_nearly_the_same_vectors(
    checkpoint: Checkpoint, pixels: np.ndarray, tmp_path: Path
) -> None:
    wide = replace(micro(), embed_dim=32)
    torch.manual_seed(0)
    trained = replace(checkpoint, state=SignRep(wide).state_dict(), config=wide, kept_share=0.5, num_parts=3)
    whole, halves = (
        export(trained, tmp_path / f"{kind}.onnx", precision=kind).path for kind in ("fp32", "fp16-stored")
    )
    # The graph itself takes as much in both.
    assert whole.stat().st_size - halves.stat().st_size > 0.4 * 4 * sum(
        parameter.numel() for parameter in SignRep(wide).parameters()
    )
    encoder = OnnxEncoder(halves)
    assert (encoder.info.precision, encoder.info.kept_share, encoder.info.num_parts) == ("fp16-stored", 0.5, 3)
    assert encoder.info.vector_dim == 3 * wide.dim
    output = trained.network()(normalise(torch.from_numpy(pixels)))
    np.testing.assert_allclose(encoder.encode(pixels).embedding, output.features.numpy(), atol=2e-2)


@torch.no_grad()
def test_a_file_with_weights_in_halves_is_compared_with_the_network_of_those_weights(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = replace(micro(), embed_dim=32)
    trained = replace(checkpoint, state=SignRep(wide).state_dict(), config=wide)
    report = export(trained, tmp_path / "halves.onnx", precision="fp16-stored")
    assert max(report.max_relative_error.values()) < 1e-4
    monkeypatch.setattr(export_module, "halve", lambda network: None)
    with pytest.raises(ExportError, match=r"allowed is 0\.0001"):
        export(trained, tmp_path / "not.onnx", precision="fp16-stored")


def test_naming_all_units_is_exactly_the_same_as_naming_none(encoder: OnnxEncoder, pixels: np.ndarray) -> None:
    every = np.tile(np.arange(micro().num_units), (3, 1))
    assert np.array_equal(encoder.encode(pixels, every).embedding, encoder.encode(pixels).embedding)


@torch.no_grad()
@pytest.mark.parametrize("count", [1, 7, 31])
def test_any_number_of_units_can_be_named(
    checkpoint: Checkpoint, encoder: OnnxEncoder, pixels: np.ndarray, count: int
) -> None:
    rng = np.random.default_rng(count)
    visible = np.stack([rng.permutation(32)[:count] for _ in pixels])
    output = checkpoint.network()(normalise(torch.from_numpy(pixels)), torch.from_numpy(visible))
    np.testing.assert_allclose(encoder.encode(pixels, visible).embedding, output.features.numpy(), atol=1e-4)


def test_the_file_says_what_it_is_and_nothing_of_the_machine_it_came_from(encoder_file: Path) -> None:
    proto = onnx.load(encoder_file)
    fields = json.loads({p.key: p.value for p in proto.metadata_props}[KEY])
    assert fields["trained"] is False
    assert fields["provenance"] == "untrained: random weights, preset micro, seed 0"
    assert fields["config"]["embed_dim"] == 8
    content = encoder_file.read_bytes()
    assert str(Path.cwd()).encode() not in content
    assert b"site-packages" not in content
    assert b"Traceback" not in content


def test_the_same_checkpoint_gives_the_same_bytes(checkpoint: Checkpoint, encoder_file: Path, tmp_path: Path) -> None:
    export(checkpoint, tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == encoder_file.read_bytes()


def test_half_precision_is_half_the_size_and_close(checkpoint: Checkpoint, encoder_file: Path, tmp_path: Path) -> None:
    report = export(checkpoint, tmp_path / "half.onnx", precision="fp16")
    assert report.num_bytes < 0.6 * encoder_file.stat().st_size
    assert OnnxEncoder(report.path).info.precision == "fp16"
    assert 1e-5 < max(report.max_relative_error.values()) < 1e-2


def test_a_file_that_disagrees_is_deleted_and_the_old_one_stays(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "encoder.onnx"
    out.write_bytes(b"the encoder of yesterday")

    def wrong(network: SignRep, precision: str) -> onnx.ModelProto:
        with torch.no_grad():
            network.fc[1].weight *= 1.01
        return honest(network, precision)

    honest = export_module.trace
    monkeypatch.setattr(export_module, "trace", wrong)
    with pytest.raises(ExportError, match="differs from the network"):
        export(checkpoint, out)
    assert out.read_bytes() == b"the encoder of yesterday"
    assert [path.name for path in tmp_path.iterdir()] == ["encoder.onnx"]


def test_provenance_and_licence_can_be_given(checkpoint: Checkpoint, tmp_path: Path) -> None:
    torch.save(
        {
            "model": dict(checkpoint.state),
            "encoder": micro().to_json(),
            "fps": 25.0,
            "stride_frames": 3,
            "provenance": "a run",
            "licence": "Apache-2.0",
            "trained": True,
        },
        tmp_path / "c.pt",
    )
    report = export_checkpoint(tmp_path / "c.pt", tmp_path / "e.onnx", licence="CC0-1.0")
    info = OnnxEncoder(report.path).info
    assert (info.provenance, info.licence, info.trained, info.stride_frames) == ("a run", "CC0-1.0", True, 3)
    assert info.encoder_id == report.encoder_id


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere.pt", "out.onnx"], "there is no checkpoint at nowhere.pt"),
        (["untrained:huge", "out.onnx"], "preset is 'huge'; allowed are base, small, compact, tiny"),
        (["untrained:tiny", "out.onnx", "--precision", "int4"], "precision is 'int4'; allowed are fp32, fp16"),
    ],
)
def test_the_command_says_what_is_wrong(arguments: list[str], words: str) -> None:
    import typer

    app = typer.Typer()
    app.command()(main)
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1
    assert words in result.stderr


def test_missing_tensors_stop_the_export_before_anything_is_written(checkpoint: Checkpoint, tmp_path: Path) -> None:
    partial = replace(checkpoint, state={name: t for name, t in checkpoint.state.items() if name != "fc.1.weight"})
    with pytest.raises(Exception, match=r"missing fc\.1\.weight"):
        export(partial, tmp_path / "e.onnx")
    assert list(tmp_path.iterdir()) == []
