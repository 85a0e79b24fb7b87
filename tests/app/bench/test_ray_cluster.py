"""The benchmark of bulk embedding over Ray: its figures; the run itself needs a cluster."""

import sys

import pytest
from typer.testing import CliRunner

from app.bench import ray_cluster as bench_ray
from app.bench.ray_cluster import ClusterBenchmark, PairedRun


def test_the_figures_are_medians_of_repeats_on_both():
    measured = ClusterBenchmark(
        [PairedRun(8.0, 10.0, True), PairedRun(9.0, 10.0, True), PairedRun(1.0, 10.0, True)], 10, 2, 4.0
    )
    assert measured.reached == pytest.approx(0.8)
    assert measured.overhead_ms == pytest.approx(200.0)


def test_the_table_says_what_was_reached_and_whether_the_vectors_are_the_same():
    text = bench_ray.report(ClusterBenchmark([PairedRun(8.0, 10.0, True)], 10, 2, 4.0), "A busy machine.")
    assert "0.80 of the speed of the machine alone (goal 0.85), 200 ms more for a clip" in text
    assert "the same bit for bit" in text
    assert "A busy machine." in text
    assert "NOT the same" in bench_ray.report(ClusterBenchmark([PairedRun(8.0, 10.0, False)], 10, 2, 4.0), "")


def test_without_ray_the_benchmark_says_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    app = bench_ray.typer.Typer()
    app.command()(bench_ray.main)
    result = CliRunner().invoke(app, [])
    assert result.exit_code == 1
    assert "uv sync --locked --group ray" in result.output
