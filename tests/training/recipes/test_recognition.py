import csv
from pathlib import Path

import pytest
from typer import Typer
from typer.testing import CliRunner

from tests.training.finetune.runs import run_config
from training.errors import RenderUnavailableError
from training.finetune.readers import read_labelled
from training.recipes import recognition as table
from training.recipes.recognition import ROWS, RecognitionRow, RecognitionRowResult, as_markdown, run_row, write_split
from training.synth.clips.dictionary import RenderedEntry
from training.synth.render.gl_resources import open_context


def entry(sign: str, signer: str) -> RenderedEntry:
    return RenderedEntry(f"{sign}-{signer}", sign, f"{sign}-{signer}.mp4", signer, "", "")


def test_the_last_signers_are_tested_on_and_never_learned_from(tmp_path: Path) -> None:
    entries = [entry(sign, f"s{n:02d}") for sign in ("A", "B") for n in range(8)]
    write_split(tmp_path / "split.csv", entries, 6)
    with (tmp_path / "split.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["signer"] for row in rows if row["split"] == "test"} == {"s06", "s07"}
    for row in rows:
        (tmp_path / row["video"]).touch()
    labelled = read_labelled("entries", tmp_path / "split.csv")
    assert labelled.glosses == ("A", "B")
    assert (len(labelled.clips("train")), len(labelled.clips("test"))) == (12, 4)
    assert labelled.warnings == ()


@pytest.mark.gl
def test_clips_can_be_drawn_before_there_is_an_encoder(tmp_path: Path) -> None:
    try:
        open_context().release()
    except RenderUnavailableError as error:
        pytest.skip(str(error))
    app = Typer()
    app.command()(table.main)
    words = [str(tmp_path), "--signs", "2", "--train-signers", "1", "--test-signers", "1"]
    drawn = CliRunner().invoke(app, [*words, "--render-only"])
    assert (drawn.exit_code, drawn.output) == (0, f"4 clips in {tmp_path / 'lexicon'}\n")
    labelled = read_labelled("entries", tmp_path / "lexicon" / "split.csv")
    assert (len(labelled.clips("train")), len(labelled.clips("test"))) == (2, 2)
    assert not (tmp_path / "rows").exists()
    refused = CliRunner().invoke(app, words)
    assert refused.exit_code == 1
    assert "start_from is empty" in refused.output


def test_rows_are_pretrained_or_not_with_and_without_the_distribution() -> None:
    assert {(row.pretrained, row.distribution) for row in ROWS} == {
        (a, b) for a in (True, False) for b in (True, False)
    }
    assert RecognitionRow("x", pretrained=False, distribution=False).settings("a.pt", "untrained:tiny") == [
        "start_from=untrained:tiny",
        "losses.distribution=0",
    ]


def test_a_row_that_is_done_is_not_trained_again_and_the_table_has_its_figures(
    tmp_path: Path, clips: Path, encoder: Path
) -> None:
    config = run_config(tmp_path / "row", clips, encoder, num_frames=16, steps=2, validate_every=100)
    first, again = (run_row(ROWS[0], config) for _ in range(2))
    assert (first.steps, first.num_clips, first.num_labels) == (2, 3, 3)
    assert again == first
    text = as_markdown([RecognitionRowResult(ROWS[1], 5, 90.0, (50.0, 75.5, 48.25), 40, 20)], "python -m x")
    assert "| pretrained | yes | 50.0 | 75.5 | 48.2 | 5 | 1.5 |" in text
    assert "one clip is 2.5 points and chance is 5.0" in text
