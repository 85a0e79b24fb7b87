"""The benchmark of other indexes, in small: what it measures is what it says."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from index.bench import scale as scale_bench
from index.bench.scale import VARIANTS
from index.exact import ExactIndex

NUM, DIM = 2_000, 64


@pytest.fixture
def vectors(tmp_path):
    return scale_bench.stored_vectors(tmp_path, "clustered", NUM, DIM)


def test_vectors_are_unit_rows_and_the_same_again(tmp_path, vectors):
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(NUM), abs=1e-5)
    assert np.array_equal(scale_bench.stored_vectors(tmp_path, "clustered", NUM, DIM), vectors)
    random = scale_bench.stored_vectors(tmp_path, "random", NUM, DIM)
    nearest = [np.sort((each @ each.T)[0])[-2] for each in (np.asarray(vectors), np.asarray(random))]
    assert nearest[0] > nearest[1] + 0.1


def test_true_neighbours_are_those_of_the_exact_index(monkeypatch, vectors):
    monkeypatch.setattr(scale_bench, "BLOCK", 300)
    queries = scale_bench.queries_of(vectors, 7)
    _, expected = ExactIndex(np.array(vectors)).search(queries, 10)
    assert np.array_equal(scale_bench.nearest(vectors, queries), expected)


def test_each_index_is_measured_with_each_setting_and_looking_harder_finds_no_less(vectors):
    for variant in VARIANTS:
        rows = scale_bench.measure_variant("clustered", variant, vectors, 20, 1)
        assert len(rows) == max(1, len(variant.settings))
        recalls = [row.recall_of_candidates for row in rows]
        assert recalls == sorted(recalls)
        assert all(row.recall <= row.recall_of_candidates for row in rows)
        if variant.name == "flat fp16":
            assert rows[0].recall == pytest.approx(1, abs=0.02)
            assert rows[0].bytes_per_vector == pytest.approx(2 * DIM, rel=0.02)


def test_a_run_that_was_cut_off_goes_on_where_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr(scale_bench, "VARIANTS", VARIANTS[:1])
    first = scale_bench.all_rows(tmp_path, NUM, DIM, 5, 1)
    assert [row.kind for row in first] == ["clustered", "random"]
    lines = (tmp_path / "rows.jsonl").read_text().splitlines()
    (tmp_path / "rows.jsonl").write_text(lines[0] + "\n")
    measured = []
    monkeypatch.setattr(scale_bench, "measure_variant", lambda *given: measured.append(given[0]) or [first[0]])
    scale_bench.all_rows(tmp_path, NUM, DIM, 5, 1)
    assert measured == [kind for kind in scale_bench.MAKERS if kind != json.loads(lines[0])["kind"]]


def test_the_command_writes_the_table_that_it_prints(tmp_path, monkeypatch):
    import typer

    monkeypatch.setattr(scale_bench, "VARIANTS", VARIANTS[:1])
    monkeypatch.setattr(scale_bench, "DIM", DIM)
    command = typer.Typer()
    command.command()(scale_bench.main)
    arguments = ["--num", "500", "--num-queries", "3", "--folder", tmp_path, "--write", tmp_path / "scale.md"]
    ran = CliRunner().invoke(command, [str(each) for each in arguments])
    assert ran.exit_code == 0, ran.output
    assert (tmp_path / "scale.md").read_text().strip() in ran.stdout
    assert "| clustered | 500 | flat fp16 | – | 1.000 |" in ran.stdout
