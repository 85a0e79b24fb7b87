"""The commands as a person uses them."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.training.sl_slr.conftest import write_landmarks
from training.sl_slr.__main__ import app

SMALL = [
    "--set=data.sources=lexicon:1x2",
    "--set=data.num_frames=8",
    "--set=network.width=8",
    "--set=network.dim=8",
    "--set=steps=3",
    "--set=log_every=1",
]


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, words)
    return result.exit_code, result.stderr


def test_a_run_leaves_a_checkpoint_and_curves_and_goes_on(tmp_path: Path) -> None:
    output = f"--set=output={tmp_path / 'run'}"
    code, said = run("debug", *SMALL, output)
    assert code == 0, said
    assert "2 clips" in said
    assert "3 steps in" in said
    assert (tmp_path / "run" / "last.pt").is_file()
    assert any((tmp_path / "run" / "curves").iterdir())
    code, said = run("debug", *SMALL, output)
    assert code == 1
    assert "--resume" in said
    code, said = run("debug", *SMALL, output, "--resume")
    assert code == 0


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["huge"], "preset is 'huge'"),
        (["debug", "--set", "nothing=1"], "unknown setting 'nothing'"),
        (["debug", "--set", "data.sources=poses:nowhere"], "nowhere holds no landmarks"),
        (["debug", "--set", "method=swav"], "method=swav"),
    ],
)
def test_bad_input_is_named_and_ends_the_command(words: list[str], complaint: str, tmp_path: Path) -> None:
    code, said = run(*words, "--set", f"output={tmp_path}")
    assert code == 1
    assert complaint in said
    assert "Traceback" not in said


def test_clips_that_cannot_be_used_are_named_and_the_rest_is_learned_from(tmp_path: Path) -> None:
    folder = write_landmarks(tmp_path / "poses", "one__1")
    (folder / "bad.mp4.npz").write_bytes(b"")
    code, said = run("debug", *SMALL, f"--set=data.sources=poses:{folder}", f"--set=output={tmp_path / 'run'}")
    assert code == 0, said
    assert "bad.mp4.npz" in said
    assert "1 clips, 1 could not be used" in said
