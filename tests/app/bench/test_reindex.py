"""The benchmark of reindexing measures a reindex."""

import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from app.bench import reindex as bench
from tests.fakes import FakeEncoder


def test_the_table_has_both_halves_the_reindex_and_the_second_run(monkeypatch, tmp_path):
    monkeypatch.setattr(bench, "OnnxEncoder", lambda path, threads: FakeEncoder())
    target = tmp_path / "reindex.md"
    arguments = ["--clips", "2", "--entries", "3", "--repeats", "1", "--write", str(target)]
    command = typer.Typer()
    command.command()(bench.main)
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0, result.output
    text = target.read_text()
    for part in ("decoding alone", "encoding alone", "reindex from nothing", "3 entries"):
        assert part in text


def test_no_reindex_is_expected_to_be_faster_than_its_slower_half_or_the_work_on_all_cores():
    decode, encode = bench.TimeSpent(1.0, 2.0), bench.TimeSpent(4.0, 7.9)
    assert bench.RepeatTimes(decode, encode, encode).lower_bound_s(2) == pytest.approx(4.95)
    assert bench.RepeatTimes(decode, encode, encode).lower_bound_s(16) == 4.0


def test_work_in_other_processes_counts_into_the_processor_time():
    busy = "import time\nwhile time.process_time() < 0.3: pass"
    assert bench.timed(lambda: subprocess.run([sys.executable, "-c", busy], check=True)).cpu_s >= 0.3


def test_a_clip_that_is_left_out_spoils_the_benchmark():
    with pytest.raises(RuntimeError, match=r"x\.mp4: broken"):
        bench.NoSkipsCallback().report_skipped(bench.SkippedVideo("x.mp4", "broken"))
