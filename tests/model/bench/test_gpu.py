"""The benchmark for GPUs, tried out on the processor, and its refusal where the GPU is missing."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from model.bench import gpu as bench_gpu
from model.errors import ProviderError
from model.network.checkpoint import Checkpoint
from tests.clips import moving_square, write_clip


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, checkpoint: Checkpoint, encoder_file: Path) -> typer.Typer:
    """The command, spared the export of an encoder of its own."""
    files = {precision: encoder_file for precision in bench_gpu.PRECISIONS}
    monkeypatch.setattr(bench_gpu, "export_both", lambda source, folder: (checkpoint, files))
    app = typer.Typer()
    app.command()(bench_gpu.main)
    return app


def test_one_command_gives_every_table(command: typer.Typer, tmp_path: Path) -> None:
    written, clip = tmp_path / "gpu.md", tmp_path / "clip.mp4"
    write_clip(clip, moving_square(31, width=96, height=64, centre=(60, 30)))
    options = {"encoder": "micro", "provider": "cpu", "num-clips": 3, "num-vectors": 1000, "max-batch": 2}
    small = {"matrix": 64, "repeats": 2, "write": written, "clip": clip}
    arguments = [part for name, value in {**options, **small}.items() for part in (f"--{name}", str(value))]
    result = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    text = written.read_text()
    rates = [line for line in text.splitlines() if line.startswith(("| ONNX Runtime", "| torch"))]
    assert [line.split(" | ")[:2] for line in rates] == [
        [f"| {name}", str(num)] for name in ("ONNX Runtime fp32", "ONNX Runtime fp16", "torch fp16") for num in (1, 2)
    ]
    drift = next(line for line in text.splitlines() if line.startswith("| 1 | 0.99") or line.startswith("| 1 | 1.0"))
    assert float(drift.split(" | ")[1]) > 0.999
    assert "| warm |" in text
    assert "Memory over 3 clips" in text
    assert "nearest of 1,000 vectors of 768" in text


def test_without_a_gpu_nothing_is_measured(command: typer.Typer) -> None:
    if "CUDAExecutionProvider" in bench_gpu.ort.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    with pytest.raises(ProviderError, match="CUDAExecutionProvider was asked for"):
        CliRunner().invoke(command, ["--encoder", "micro"], catch_exceptions=False)
