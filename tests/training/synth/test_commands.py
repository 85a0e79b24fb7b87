"""The commands as a user types them."""

import csv
import json
import sys
from pathlib import Path

import pytest

from training.synth.__main__ import main
from training.synth.clips.demo import demo_signs

ROOT = Path(__file__).resolve().parents[3]
DEMO = ROOT / "app/demo"


@pytest.fixture
def synth(monkeypatch, capsys):
    """Run a command in this process; its exit status, output and errors."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["training.synth", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            main()
        said = capsys.readouterr()
        return exit_.value.code or 0, said.out, " ".join(said.err.replace("│", " ").split())

    return run


@pytest.mark.gl
def test_render_writes_a_dictionary_and_says_so_as_json(gl, synth, tmp_path):
    out = tmp_path / "out"
    code, said, _ = synth("render", out, "--signs", 1, "--signers", 1, "--size", "64x64", "--mannequins", "--json")
    result = json.loads(said)
    assert (code, result["clips"], result["made"]) == (0, 1, 1)
    assert len(list((out / "videos").iterdir())) == 1


@pytest.mark.gl
def test_stream_and_preview_run_on_mannequins(gl, synth, tmp_path):
    code, said, _ = synth("stream", "--seconds", 1, "--signs", 2, "--size", "64x64", "--mannequins", "--json")
    assert code == 0
    assert json.loads(said)["windows"] >= 1
    sheet = tmp_path / "sheet.jpg"
    assert synth("preview", sheet, "--num", 1, "--size-px", 64, "--mannequins")[0] == 0
    assert sheet.stat().st_size > 500


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("render", "OUT", "--size", "huge"), "give even numbers of pixels as WIDTHxHEIGHT"),
        (("render", "OUT", "--assets", "OUT/nowhere", "--signs", "1"), "base.obj is missing; fetch it with"),
        (("preview", "OUT/sheet.bmp"), "must end in .png, .jpg or .webp"),
        (("bodies", "--assets", "OUT", "--from", "OUT/nowhere"), "is missing in the folder given by --from"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(synth, tmp_path, arguments, expected):
    code, _, said = synth(*(argument.replace("OUT", str(tmp_path)) for argument in arguments))
    assert code != 0
    assert expected in said


def test_the_committed_demo_is_small_and_its_files_are_named_after_their_glosses():
    total = sum(path.stat().st_size for path in DEMO.rglob("*") if path.is_file())
    assert total <= 5_000_000
    tables = {
        part: list(csv.DictReader((DEMO / part / "entries.csv").read_text().splitlines()))
        for part in ("dictionary", "queries")
    }
    assert len(tables["dictionary"]) == 40
    assert len(tables["queries"]) == 12
    for part, rows in tables.items():
        assert {path.name for path in (DEMO / part).iterdir()} == {row["video"] for row in rows} | {"entries.csv"}
        assert all(Path(row["video"]).stem == row["gloss"].lower().replace(" ", "-") for row in rows)
    glosses = {row["gloss"] for row in tables["dictionary"]}
    assert {row["gloss"] for row in tables["queries"]} <= glosses
    assert not {row["signer"] for row in tables["queries"]} & {row["signer"] for row in tables["dictionary"]}
    tags = [row["tags"] for row in tables["queries"]]
    assert sum("left-handed" in tag for tag in tags) == sum("portrait" in tag for tag in tags) == 1
    assert [row["video"] for row in tables["queries"] if row["video"].endswith(".webm")]


def test_the_demo_names_the_command_that_made_it():
    assert "python -m training.synth demo" in (DEMO / "README.md").read_text()


def test_the_committed_demo_shows_the_signs_the_lexicon_makes_today():
    rows = csv.DictReader((DEMO / "dictionary/entries.csv").read_text().splitlines())
    assert [row["gloss"] for row in rows] == [sign.gloss for sign in demo_signs()], "run the demo command again"
