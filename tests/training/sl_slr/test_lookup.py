"""Look-ups by an encoder file."""

from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from model.errors import EncoderFileError
from tests.training.sl_slr.conftest import write_landmarks
from training.sl_slr.encode import TorchEncoder
from training.sl_slr.lookup import main, open_encoder
from training.sl_slr.sequences import Sequence61
from training.sl_slr.state import Trained

ROOT = Path(__file__).resolve().parents[3]


def look(*words: str) -> tuple[int, str, str]:
    app = typer.Typer()
    app.command()(main)
    result = CliRunner().invoke(app, words)
    return result.exit_code, result.stdout, result.stderr


def test_the_file_gives_the_vectors_of_the_network(
    trained: Trained, file: Path, performed: tuple[Sequence61, ...]
) -> None:
    ours = TorchEncoder(trained.network.encoder, trained.config.data)
    theirs = open_encoder(file)
    for clip in performed[:3]:
        np.testing.assert_allclose(ours.vector(clip), theirs.vector(clip), atol=1e-5)


def test_a_gallery_finds_itself_and_other_glosses_are_not_asked(file: Path, tmp_path: Path) -> None:
    gallery = write_landmarks(tmp_path / "a", "one__1", "two__2")
    queries = write_landmarks(tmp_path / "b", "one__1", "two__2", "three__3")
    code, said, complaint = look(str(file), "--gallery", str(gallery), "--queries", str(queries))
    assert code == 0, complaint
    lines = said.splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "the file",
        "bone directions and wrists, no training",
        "both similarities",
    ]
    assert all("2 queries, 2 signs" in line for line in lines)
    assert "Rec@1 100.0" in lines[1]


def test_an_encoder_of_pictures_is_refused() -> None:
    with pytest.raises(EncoderFileError, match=r"is of kind pictures; expected skeleton.*training\.evaluate"):
        open_encoder(ROOT / "model" / "encoders" / "default.onnx")


def test_bad_input_is_named_and_ends_the_command(file: Path, tmp_path: Path) -> None:
    here, there = write_landmarks(tmp_path / "a", "one__1"), write_landmarks(tmp_path / "b", "two__2")
    code, _, said = look(str(tmp_path / "none.onnx"), "--gallery", str(here), "--queries", str(here))
    assert code == 1
    assert "there is no encoder file" in said
    code, _, said = look(str(file), "--gallery", str(here), "--queries", str(there))
    assert code == 1
    assert "has a gloss of the 1 in" in said
