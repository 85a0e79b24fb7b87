"""The workers of a node, and their configuration."""

from dataclasses import replace

import pytest

from app.errors import SourceError
from app.indexing.cluster.plan import driver_settings, planned_workers, worker_config
from app.settings import Settings
from model.embed import Embedder
from tests.fakes import FakeEncoder


@pytest.fixture
def config(dictionary_folder):
    return worker_config(Settings(dictionary=dictionary_folder, threads=4), Embedder(FakeEncoder()))


def node(**resources):
    return {
        "NodeID": "0123456789abcdef",
        "NodeManagerAddress": "10.0.0.7",
        "NodeManagerHostname": "east",
        "Resources": {**resources, "memory": 1e9},
    }


def workers(node, config):
    return [(each.role, each.max_blocks, each.cpus, each.gpus) for each in planned_workers(node, config)]


def test_a_node_with_processors_decodes_on_all_and_has_an_encoder_for_as_many_as_it_takes_threads(config):
    decoders = [("decode", 8, 8, 0), ("decode", 2, 2, 0)]
    assert workers(node(CPU=10.0), config) == [*decoders, ("encode", 2, 0, 0), ("encode", 2, 0, 0)]


def test_a_small_node_has_one_encoder_all_the_same(config):
    assert workers(node(CPU=1.0, GPU=1.0), config) == [("decode", 1, 1, 0), ("encode", 2, 0, 0)]


def test_with_a_gpu_asked_for_encoders_belong_on_gpus_and_nowhere_else(config):
    on_gpus = replace(config, provider="cuda")
    assert workers(node(CPU=2.0, GPU=2.0), on_gpus) == [("decode", 2, 2, 0), ("encode", 2, 0, 1), ("encode", 2, 0, 1)]
    assert workers(node(CPU=2.0), on_gpus) == [("decode", 2, 2, 0)]


def test_a_node_that_offers_nothing_is_given_nothing(config):
    assert workers(node(), config) == []


def test_members_are_config_apart_and_their_node_can_be_found(config):
    found = planned_workers(node(CPU=16.0), config)
    assert len({placement.worker.name for placement in found}) == len(found)
    assert {placement.worker.node for placement in found} == {"node 10.0.0.7 (east, 01234567)"}


def test_nodes_are_told_whole_paths_and_the_number_of_threads(dictionary_folder, monkeypatch):
    monkeypatch.chdir(dictionary_folder.parent)
    config = worker_config(Settings(dictionary=dictionary_folder.name), Embedder(FakeEncoder()))
    assert config.folder == dictionary_folder
    assert config.probe == "APPLE.mp4"
    assert config.encoder.is_absolute()
    assert config.engines.is_absolute()
    assert config.threads >= 1


def test_a_folder_that_is_not_there_or_empty_is_refused_before_any_node_is_asked(tmp_path):
    with pytest.raises(SourceError, match="is empty"):
        worker_config(Settings(dictionary=tmp_path), Embedder(FakeEncoder()))
    with pytest.raises(SourceError, match="can't be read"):
        worker_config(Settings(dictionary=tmp_path / "nowhere"), Embedder(FakeEncoder()))


def test_the_machine_in_charge_needs_no_gpu_and_reads_the_file_that_the_gpus_use(tmp_path):
    for name in ("encoder.onnx", "encoder.fp16.onnx"):
        (tmp_path / name).touch()
    settings = Settings(provider="cuda", encoder=tmp_path / "encoder.onnx")
    assert driver_settings(settings).provider == "cpu"
    assert driver_settings(settings).encoder == tmp_path / "encoder.fp16.onnx"
