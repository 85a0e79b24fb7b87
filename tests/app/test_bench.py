"""The benchmark of reindexing measures a reindex."""

import pytest
from typer.testing import CliRunner

from app import bench
from tests.fakes import FakeEncoder


def test_the_table_has_both_halves_the_reindex_and_the_second_run(monkeypatch, tmp_path):
    monkeypatch.setattr(bench, "OnnxEncoder", lambda path: FakeEncoder())
    target = tmp_path / "reindex.md"
    arguments = ["reindex", "--clips", "2", "--entries", "3", "--repeats", "1", "--write", str(target)]
    result = CliRunner().invoke(bench.commands, arguments)
    assert result.exit_code == 0, result.output
    text = target.read_text()
    for part in ("decoding and cutting alone", "encoding alone", "reindex from nothing", "3 entries"):
        assert part in text


def test_a_clip_that_is_left_out_spoils_the_benchmark():
    with pytest.raises(RuntimeError, match=r"x\.mp4: broken"):
        bench.Quiet().skip(bench.Skipped("x.mp4", "broken"))
