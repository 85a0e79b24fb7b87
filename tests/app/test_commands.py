"""The command line."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from app import __main__ as commands
from index import snapshot
from tests.app.conftest import GLOSSES
from tests.conftest import ROOT
from tests.fakes import FakeEncoder
from tests.running import running


@pytest.fixture
def encoders(monkeypatch, tmp_path):
    """Every command gets a fake encoder and a data folder of its own."""
    made = FakeEncoder()
    monkeypatch.setattr("app.services.OnnxEncoder", lambda path, **settings: made)
    monkeypatch.setenv("SIGNDEX_DATA", str(tmp_path / "data"))
    return made


@pytest.fixture
def run(encoders, monkeypatch, capsys):
    """Runs one command; gives exit status, standard output and error output."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["app", *map(str, arguments)])
        status = 0
        try:
            commands.main()
        except SystemExit as ended:
            status = ended.code or 0
        told = capsys.readouterr()
        return status, told.out, told.err

    return run


def test_a_folder_is_indexed_and_its_videos_are_found(run, dictionary_folder):
    code, out, _ = run("index", "build", dictionary_folder)
    assert code == 0
    assert re.search(r"snapshot [0-9a-f]{12}: 5 videos of 5 signs, 0 skipped", out)
    code, out, _ = run("search", dictionary_folder / "CHAIR.mp4", "--json", "--k", 3)
    assert code == 0
    hits = json.loads(out)["hits"]
    assert len(hits) == 3
    assert hits[0]["sign"]["gloss"] == "CHAIR"


def test_offline_search_gives_the_hits_of_http(run, served, dictionary_folder):
    run("index", "build", dictionary_folder)
    for gloss in GLOSSES:
        _, out, _ = run("search", dictionary_folder / f"{gloss}.mp4", "--json")
        offline, http = json.loads(out), served.post(dictionary_folder / f"{gloss}.mp4").json()
        assert offline["hits"] == http["hits"]
        assert offline["query"] == http["query"]
        assert set(offline) == set(http)


def test_search_shows_a_table_and_the_warnings(run, encoders, dictionary_folder):
    run("index", "build", dictionary_folder)
    encoders.info = FakeEncoder(trained=False).info
    _, out, err = run("search", dictionary_folder / "CHAIR.mp4")
    assert "CHAIR" in out
    assert "1.0000" in out
    assert "untrained" in err


def test_unusable_clips_are_listed_with_reasons_at_the_end(run, dictionary_folder, tmp_path):
    folder = shutil.copytree(dictionary_folder, tmp_path / "videos")
    (folder / "BROKEN.mp4").write_bytes(b"nothing")
    code, out, _ = run("index", "build", folder)
    assert code == 0
    assert re.search(r"skipped BROKEN\.mp4: .+\n.*5 videos of 5 signs, 1 skipped", out)
    _, out, _ = run("index", "build", folder, "--json")
    assert [skipped["video"] for skipped in json.loads(out)["report"]["skipped"]] == ["BROKEN.mp4"]


def test_a_folder_with_nothing_usable_ends_with_status_one_and_keeps_the_old_snapshot(run, dictionary_folder, tmp_path):
    run("index", "build", dictionary_folder)
    before = snapshot.current_id(tmp_path / "data/snapshots")
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "nowhere"):
        code, _, err = run("index", "build", folder)
        assert code == 1
        assert folder.name in err
    assert snapshot.current_id(tmp_path / "data/snapshots") == before


def test_an_interrupted_build_keeps_the_old_snapshot(run, encoders, dictionary_folder, tmp_path):
    run("index", "build", dictionary_folder)
    before = snapshot.current_id(tmp_path / "data/snapshots")
    encoders.error = KeyboardInterrupt()
    code, _, _ = run("index", "build", dictionary_folder)
    assert code != 0
    assert snapshot.current_id(tmp_path / "data/snapshots") == before
    assert len(snapshot.manifests(tmp_path / "data/snapshots")) == 1


def test_snapshots_are_listed_newest_first(run, dictionary_folder):
    assert json.loads(run("index", "list", "--json")[1]) == []
    for _ in range(2):
        run("index", "build", dictionary_folder)
    listed = json.loads(run("index", "list", "--json")[1])
    assert [entry["current"] for entry in listed] == [True, False]
    assert listed[0]["created_at"] >= listed[1]["created_at"]
    assert "current" in run("index", "list")[1]


def test_searching_an_empty_dictionary_names_the_command(run, dictionary_folder):
    code, _, err = run("search", dictionary_folder / "APPLE.mp4")
    assert code == 1
    assert "python -m app index build DIR" in err


def test_what_is_no_video_is_an_error_of_one_line(run, dictionary_folder, tmp_path):
    run("index", "build", dictionary_folder)
    (tmp_path / "x.mp4").write_bytes(b"no")
    code, _, err = run("search", tmp_path / "x.mp4")
    assert code == 1
    assert len(err.splitlines()) == 1
    assert "x.mp4" in run("search", tmp_path / "missing" / "x.mp4")[2]


def test_a_setting_that_makes_no_sense_is_named_and_a_key_not_shown(run, monkeypatch):
    monkeypatch.setenv("SIGNDEX_PORT", "many")
    monkeypatch.setenv("SIGNDEX_ADMIN_KEY", "tiny")
    code, _, err = run("index", "list")
    assert code == 1
    assert "SIGNDEX_PORT: 'many'" in err
    assert "SIGNDEX_ADMIN_KEY" in err
    assert "tiny" not in err


def test_evaluate_prints_figures_and_writes_ranks(run, dictionary_folder, tmp_path):
    run("index", "build", dictionary_folder)
    code, out, _ = run("evaluate", dictionary_folder, "--json", "--csv", tmp_path / "ranks.csv")
    assert code == 0
    figures = json.loads(out)
    assert (figures["num_queries"], figures["recall"]["1"], figures["mrr"]) == (5, 100, 100)
    assert len((tmp_path / "ranks.csv").read_text().splitlines()) == 6
    assert "Rec@10" in run("evaluate", dictionary_folder)[1]


def test_evaluate_asks_a_running_service(run, served, dictionary_folder):
    _, out, _ = run("evaluate", dictionary_folder, "--json", "--url", str(served.client.base_url))
    assert json.loads(out)["recall"]["1"] == 100


def serve_once(monkeypatch, seen):
    """Instead of serving for ever: serve, and keep what a visitor sees."""

    def run_app(app, *, host, port):
        with running(app) as client:
            seen.update(host=host, port=port, info=client.get("/v1/info").json())

    monkeypatch.setattr(commands.uvicorn, "run", run_app)


def test_serve_indexes_the_dictionary_folder_first_and_only_once(run, monkeypatch, dictionary_folder, encoders):
    seen = {}
    serve_once(monkeypatch, seen)
    monkeypatch.setenv("SIGNDEX_DICTIONARY", str(dictionary_folder))
    monkeypatch.setenv("SIGNDEX_PORT", "8123")
    code, _, err = run("serve")
    assert code == 0
    assert seen["info"]["dictionary"]["num_signs"] == 5
    assert (seen["host"], seen["port"]) == ("127.0.0.1", 8123)
    assert "http://127.0.0.1:8123/docs" in err
    assert "curl -F video=@" in err
    first = seen["info"]["dictionary"]["snapshot_id"]
    run("serve")
    assert seen["info"]["dictionary"]["snapshot_id"] == first
    encoders.info = FakeEncoder("bbbbbbbbbbbb").info
    run("serve")
    assert seen["info"]["dictionary"]["snapshot_id"] != first


def test_serve_starts_on_an_empty_dictionary_and_says_how_to_fill_it(run, monkeypatch, tmp_path):
    seen = {}
    serve_once(monkeypatch, seen)
    code, _, err = run("serve")
    assert (code, seen["info"]["dictionary"]) == (0, None)
    assert "python -m app index build DIR" in err
    monkeypatch.setenv("SIGNDEX_DICTIONARY", str(tmp_path / "nowhere"))
    code, _, err = run("serve")
    assert (code, seen["info"]["dictionary"]) == (0, None)
    assert "nowhere" in err


def test_an_encoder_that_is_not_there_is_an_error_of_one_line(tmp_path):
    environment = {**os.environ, "SIGNDEX_ENCODER": str(tmp_path / "none.onnx"), "SIGNDEX_DATA": str(tmp_path)}
    ended = subprocess.run(
        [sys.executable, "-m", "app", "serve"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert "none.onnx" in ended.stderr
    assert "Traceback" not in ended.stderr
