"""An untrained encoder file, exported once for all tests of the package."""

from pathlib import Path

import pytest

from model.network.checkpoint import Checkpoint, untrained
from model.network.export import export
from model.runtime.onnx_encoder import OnnxEncoder
from tests.model.micro import micro


@pytest.fixture(scope="session")
def checkpoint() -> Checkpoint:
    return untrained(micro(), "micro")


@pytest.fixture(scope="session")
def encoder_file(checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("encoder") / "micro.onnx"
    export(checkpoint, path)
    return path


@pytest.fixture(scope="session")
def encoder(encoder_file: Path) -> OnnxEncoder:
    return OnnxEncoder(encoder_file, threads=1)
