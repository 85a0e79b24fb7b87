"""The benchmark of reindexing measures a reindex."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from app import bench
from tests.fakes import FakeEncoder


def test_the_table_has_both_halves_the_reindex_and_the_second_run(monkeypatch, tmp_path):
    monkeypatch.setattr(bench, "OnnxEncoder", lambda path, threads: FakeEncoder())
    target = tmp_path / "reindex.md"
    arguments = ["reindex", "--clips", "2", "--entries", "3", "--repeats", "1", "--write", str(target)]
    result = CliRunner().invoke(bench.commands, arguments)
    assert result.exit_code == 0, result.output
    text = target.read_text()
    for part in ("decoding and cutting alone", "encoding alone", "reindex from nothing", "3 entries"):
        assert part in text


def test_no_reindex_is_expected_to_be_faster_than_its_slower_half_or_the_work_on_all_cores():
    decode, encode = bench.Spent(1.0, 2.0), bench.Spent(4.0, 7.9)
    assert bench.Turn(decode, encode, encode).allowed_s(2) == pytest.approx(4.95)
    assert bench.Turn(decode, encode, encode).allowed_s(16) == 4.0


def test_work_in_other_processes_counts_into_the_processor_time():
    busy = "import time\nwhile time.process_time() < 0.3: pass"
    assert bench.timed(lambda: subprocess.run([sys.executable, "-c", busy], check=True)).cpu_s >= 0.3


def test_a_clip_that_is_left_out_spoils_the_benchmark():
    with pytest.raises(RuntimeError, match=r"x\.mp4: broken"):
        bench.Quiet().skip(bench.Skipped("x.mp4", "broken"))
