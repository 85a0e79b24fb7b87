"""The command line."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from app import __main__ as commands
from app.demo import with_demo
from index import snapshot_manifest
from tests.app.conftest import GLOSSES
from tests.conftest import ROOT
from tests.fakes import FakeEncoder
from tests.running import running


@pytest.fixture
def encoders(monkeypatch, tmp_path):
    """Every command gets a fake encoder and a data folder of its own."""
    made = FakeEncoder()
    monkeypatch.setattr("app.encoder.open_file", lambda path, device: made)
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


def test_a_cluster_without_ray_installed_is_refused_before_anything_is_done(run, dictionary_folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    code, _, err = run("index", "build", dictionary_folder, "--ray", "127.0.0.1:6379")
    assert code == 1
    assert "--ray needs Ray, which is not installed here: `uv sync --locked --group ray`" in err


def test_a_folder_with_nothing_usable_ends_with_status_one_and_keeps_the_old_snapshot(run, dictionary_folder, tmp_path):
    run("index", "build", dictionary_folder)
    before = snapshot_manifest.current_id(tmp_path / "data/snapshots")
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "nowhere"):
        code, _, err = run("index", "build", folder)
        assert code == 1
        assert folder.name in err
    assert snapshot_manifest.current_id(tmp_path / "data/snapshots") == before


def test_an_interrupted_build_keeps_the_old_snapshot(run, encoders, dictionary_folder, tmp_path):
    run("index", "build", dictionary_folder)
    before = snapshot_manifest.current_id(tmp_path / "data/snapshots")
    encoders.error = KeyboardInterrupt()
    code, _, _ = run("index", "build", dictionary_folder, "--mode", "full")
    assert code != 0
    assert snapshot_manifest.current_id(tmp_path / "data/snapshots") == before
    assert len(snapshot_manifest.manifests(tmp_path / "data/snapshots")) == 1


def build_twice(run, folder, tmp_path):
    """Publish two snapshots: of one folder, and of another one that holds the same."""
    run("index", "build", folder)
    run("index", "build", shutil.copytree(folder, tmp_path / "copy"))


def test_snapshots_are_listed_newest_first(run, dictionary_folder, tmp_path):
    assert json.loads(run("index", "list", "--json")[1]) == []
    build_twice(run, dictionary_folder, tmp_path)
    listed = json.loads(run("index", "list", "--json")[1])
    assert [entry["current"] for entry in listed] == [True, False]
    assert listed[0]["created_at"] >= listed[1]["created_at"]
    assert "current" in run("index", "list")[1]


def test_a_snapshot_can_be_activated_and_a_wrong_id_is_an_error_of_one_line(run, dictionary_folder, tmp_path):
    build_twice(run, dictionary_folder, tmp_path)
    new, old = (listed["snapshot_id"] for listed in json.loads(run("index", "list", "--json")[1]))
    code, out, _ = run("index", "activate", old, "--json")
    assert (code, json.loads(out)["snapshot_id"]) == (0, old)
    assert snapshot_manifest.current_id(tmp_path / "data/snapshots") == old
    assert f"snapshot {new} is current: 5 videos of 5 signs" in run("index", "activate", new)[1]
    code, _, err = run("index", "activate", "0" * 12)
    assert (code, len(err.splitlines())) == (1, 1)
    assert snapshot_manifest.current_id(tmp_path / "data/snapshots") == new


def test_a_second_build_says_that_it_embedded_nothing(run, dictionary_folder):
    assert "5 embedded, 0 from the cache" in run("index", "build", dictionary_folder)[1]
    again = run("index", "build", dictionary_folder)[1]
    assert "0 embedded, 5 from the cache" in again
    assert "nothing has changed" in again
    card = json.loads(run("index", "build", dictionary_folder, "--mode", "full", "--json")[1])["report"]
    assert card["cache"]["num_embedded"] == 5


def test_lines_that_were_left_out_and_near_duplicates_are_told(run, dictionary_folder, tmp_path):
    folder = shutil.copytree(dictionary_folder, tmp_path / "videos")
    shutil.copy(folder / "APPLE.mp4", folder / "PEAR.mp4")
    (folder / "entries.csv").write_text("gloss,video\nAPPLE,APPLE.mp4\nGONE,gone.mp4\nPEAR,PEAR.mp4\n")
    code, out, _ = run("index", "build", folder)
    assert code == 0
    assert re.search(r"skipped gone\.mp4 \(line 3\): .*no such file", out)
    assert "nearly the same: APPLE (APPLE.mp4) and PEAR (PEAR.mp4), 1.0000" in out


def test_search_keeps_to_language_and_tag(run, dictionary_folder, tmp_path):
    folder = shutil.copytree(dictionary_folder, tmp_path / "videos")
    (folder / "entries.csv").write_text(
        "gloss,video,language,tags\nAPPLE,APPLE.mp4,ase,food\nBREAD,BREAD.mp4,gsg,food\nCHAIR,CHAIR.mp4,gsg,\n"
    )
    run("index", "build", folder)

    def found(*options):
        return [
            hit["sign"]["gloss"]
            for hit in json.loads(run("search", folder / "CHAIR.mp4", "--json", *options)[1])["hits"]
        ]

    assert found()[0] == "CHAIR"
    assert found("--language", "ase") == ["APPLE"]
    assert set(found("--tag", "food")) == {"APPLE", "BREAD"}
    assert found("--tag", "food", "--language", "gsg") == ["BREAD"]
    assert found("--tag", "tool") == []


def test_a_published_data_set_becomes_a_dictionary(run, dictionary_folder, tmp_path):
    source = tmp_path / "citizen"
    shutil.copytree(dictionary_folder, source / "videos")
    (source / "splits").mkdir()
    (source / "splits" / "train.csv").write_text(
        "Participant ID,Video file,Gloss,ASL-LEX Code\nP1,APPLE.mp4,APPLE,A\nP1,GONE.mp4,GONE,B\n"
    )
    code, out, _ = run("import", "asl-citizen", source, source / "entries.csv")
    assert code == 0
    assert "skipped videos/GONE.mp4 (line 3)" in out
    assert "1 videos of 1 signs, 1 left out" in out
    assert json.loads(run("import", "asl-citizen", source, source / "entries.csv", "--json")[1])["num_entries"] == 1
    run("index", "build", source)
    hit = json.loads(run("search", source / "videos" / "APPLE.mp4", "--json")[1])["hits"][0]
    assert (hit["sign"]["gloss"], hit["sign"]["language"], hit["entries"][0]["signer"]) == ("APPLE", "ase", "P1")
    code, _, err = run("import", "wlasl", source, source / "entries.csv")
    assert (code, "WLASL_v" in err) == (1, True)
    assert run("import", "nothing", source, source / "entries.csv")[0] != 0


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


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "nowhere", "http://[::1"])
def test_evaluate_says_where_no_service_answers(run, dictionary_folder, url):
    code, _, err = run("evaluate", dictionary_folder, "--url", url)
    assert code == 1
    assert f"nothing answers at {url}" in " ".join(err.split())
    assert "Traceback" not in err


def serve_once(monkeypatch, seen):
    """Instead of serving for ever: serve, and keep what a visitor sees."""

    def run_app(app, *, host, port, log_config, timeout_graceful_shutdown):
        with running(app) as client:
            seen.update(host=host, port=port, info=client.get("/v1/info").json())

    monkeypatch.setattr(commands.uvicorn, "run", run_app)
    monkeypatch.setattr(commands, "log_json", lambda: None)  # it would change the logs of all tests


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
    monkeypatch.setattr(commands, "with_demo", lambda settings: settings)  # the demo is there in every checkout
    seen = {}
    serve_once(monkeypatch, seen)
    monkeypatch.setattr(commands, "with_demo", lambda settings: settings)
    code, _, err = run("serve")
    assert (code, seen["info"]["dictionary"]) == (0, None)
    assert "python -m app index build DIR" in err
    monkeypatch.setenv("SIGNDEX_DICTIONARY", str(tmp_path / "nowhere"))
    code, _, err = run("serve")
    assert (code, seen["info"]["dictionary"]) == (0, None)
    assert "nowhere" in err


def test_serve_indexes_the_demo_where_no_folder_is_named_and_makes_a_key_when_asked(
    run, monkeypatch, dictionary_folder
):
    seen = {}
    serve_once(monkeypatch, seen)
    monkeypatch.setattr(commands, "with_demo", lambda settings: with_demo(settings, dictionary_folder))
    code, out, err = run("serve", "--make-admin-key")
    assert (code, seen["info"]["dictionary"]["num_signs"]) == (0, 5)
    assert len(re.findall(r"admin key of this run: [\w-]{32}$", err, re.M)) == 1
    assert out == ""
    monkeypatch.setenv("SIGNDEX_ADMIN_KEY", "a key of one's own")
    for arguments in (["--make-admin-key"], []):
        told = run("serve", *arguments)
        assert "admin key of this run" not in told[2]
        assert "a key of one's own" not in told[1] + told[2]


def test_an_encoder_that_is_not_there_is_an_error_of_one_line(tmp_path):
    environment = {**os.environ, "SIGNDEX_ENCODER": str(tmp_path / "none.onnx"), "SIGNDEX_DATA": str(tmp_path)}
    ended = subprocess.run(
        [sys.executable, "-m", "app", "serve"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert "none.onnx" in ended.stderr
    assert "Traceback" not in ended.stderr
