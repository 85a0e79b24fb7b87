"""The benchmark of search measures what it says."""

import typer
from typer.testing import CliRunner

from index.bench import search as bench
from index.milvus.connection import Address, Connection


def test_every_backend_has_a_row_with_speed_recall_and_memory(tmp_path):

    app = typer.Typer()
    app.command()(bench.main)
    target = tmp_path / "docs" / "search.md"
    result = CliRunner().invoke(app, ["--size", "300", "--dim", "32", "--num-queries", "5", "--write", str(target)])
    assert result.exit_code == 0, result.output
    rows = [line.split(" | ") for line in target.read_text().splitlines() if line.startswith("| 300")]
    assert [row[1] for row in rows][:3] == ["numpy float32", "faiss IndexFlatIP", "ours, CPU"]
    assert rows[1][4] == "1.00"
    assert all(float(row[5]) > 0.97 for row in rows)
    assert rows[2][6].startswith("64")


def test_a_milvus_server_has_a_row_and_nothing_is_left_there(new_database):
    address = new_database()
    app = typer.Typer()
    app.command()(bench.main)
    result = CliRunner().invoke(app, ["--size", "200", "--dim", "16", "--num-queries", "3", "--milvus", address])
    assert result.exit_code == 0, result.output
    [row] = [line.split(" | ") for line in result.output.splitlines() if "Milvus" in line]
    assert float(row[5]) == 1
    connection = Connection(Address.parse(address))
    assert connection.call(lambda client: client.list_collections()) == []
    connection.close()


def test_the_vectors_are_unit_rows_in_clusters():
    vectors = bench.clustered(2000, 64, 0)
    cosines = vectors[:200] @ vectors.T
    assert abs((vectors**2).sum(axis=1) - 1).max() < 1e-5
    assert ((cosines > 0.4).sum(axis=1) > 1).mean() > 0.9
