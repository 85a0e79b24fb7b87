"""Who belongs on which node, and what the nodes are told."""

from dataclasses import replace

import pytest

from app.cluster.plan import head_settings, order_of, places
from app.errors import SourceError
from app.settings import Settings
from model.embed import Embedder
from tests.fakes import FakeEncoder


@pytest.fixture
def order(dictionary_folder):
    return order_of(Settings(dictionary=dictionary_folder, threads=4), Embedder(FakeEncoder()))


def node(**resources):
    return {
        "NodeID": "0123456789abcdef",
        "NodeManagerAddress": "10.0.0.7",
        "NodeManagerHostname": "east",
        "Resources": {**resources, "memory": 1e9},
    }


def members(node, order):
    return [(place.does, place.num_at_once, place.cpus, place.gpus) for place in places(node, order)]


def test_a_node_with_processors_cuts_on_all_and_has_an_encoder_for_as_many_as_it_takes_threads(order):
    cutters = [("cut", 8, 8, 0), ("cut", 2, 2, 0)]
    assert members(node(CPU=10.0), order) == [*cutters, ("encode", 2, 0, 0), ("encode", 2, 0, 0)]


def test_a_small_node_has_one_encoder_all_the_same(order):
    assert members(node(CPU=1.0, GPU=1.0), order) == [("cut", 1, 1, 0), ("encode", 2, 0, 0)]


def test_with_a_gpu_asked_for_encoders_belong_on_gpus_and_nowhere_else(order):
    on_gpus = replace(order, provider="cuda")
    assert members(node(CPU=2.0, GPU=2.0), on_gpus) == [("cut", 2, 2, 0), ("encode", 2, 0, 1), ("encode", 2, 0, 1)]
    assert members(node(CPU=2.0), on_gpus) == [("cut", 2, 2, 0)]


def test_a_node_that_offers_nothing_is_given_nothing(order):
    assert members(node(), order) == []


def test_members_are_told_apart_and_their_node_can_be_found(order):
    found = places(node(CPU=16.0), order)
    assert len({place.member.name for place in found}) == len(found)
    assert {place.member.node for place in found} == {"node 10.0.0.7 (east, 01234567)"}


def test_nodes_are_told_whole_paths_and_the_number_of_threads(dictionary_folder, monkeypatch):
    monkeypatch.chdir(dictionary_folder.parent)
    told = order_of(Settings(dictionary=dictionary_folder.name), Embedder(FakeEncoder()))
    assert told.folder == dictionary_folder
    assert told.landmark == "APPLE.mp4"
    assert told.encoder.is_absolute()
    assert told.engines.is_absolute()
    assert told.threads >= 1


def test_a_folder_that_is_not_there_or_empty_is_refused_before_any_node_is_asked(tmp_path):
    with pytest.raises(SourceError, match="is empty"):
        order_of(Settings(dictionary=tmp_path), Embedder(FakeEncoder()))
    with pytest.raises(SourceError, match="can't be read"):
        order_of(Settings(dictionary=tmp_path / "nowhere"), Embedder(FakeEncoder()))


def test_the_machine_in_charge_needs_no_gpu_and_reads_the_file_that_the_gpus_use(tmp_path):
    for name in ("encoder.onnx", "encoder.fp16.onnx"):
        (tmp_path / name).touch()
    settings = Settings(provider="cuda", encoder=tmp_path / "encoder.onnx")
    assert head_settings(settings).provider == "cpu"
    assert head_settings(settings).encoder == tmp_path / "encoder.fp16.onnx"
