"""The workers of a cluster, here without a cluster."""

import hashlib
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.errors import ClusterError
from app.indexing.bulk import ClipToEmbed, embed_clips
from app.indexing.cluster.plan import worker_config
from app.indexing.cluster.workers import (
    ClipBlock,
    DecodingWorker,
    EncodingWorker,
    OtherContentError,
    error_of_clip,
    fingerprint,
    verify_node,
)
from app.settings import Settings
from model.embed import Embedder
from model.errors import NotAVideoError
from model.runtime.onnx_encoder import DEFAULT_ENCODER, OnnxEncoder
from tests.tiny_videos import write_clip

NODE = "node 10.0.0.7 (east)"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three short videos, and one that is none."""
    folder = tmp_path_factory.mktemp("videos")
    for number in range(3):
        write_clip(folder / f"{number}.mp4", number, seconds=0.3 + 0.1 * number)
    (folder / "broken.mp4").write_text("no video")
    return folder


@pytest.fixture(scope="module")
def embedder():
    return Embedder(OnnxEncoder(DEFAULT_ENCODER, threads=1))


@pytest.fixture(scope="module")
def config(folder, embedder):
    return worker_config(Settings(dictionary=folder, threads=1), embedder)


@pytest.fixture
def decoder(config):
    with closing(DecodingWorker(config, NODE)) as decoder:
        yield decoder


def clip_of(path):
    return ClipToEmbed(path, 0.0, None, hashlib.sha256(path.read_bytes()).hexdigest())


def block_of(paths, *numbers):
    return ClipBlock(numbers, tuple(clip_of(paths[number]) for number in numbers))


def test_blocks_on_other_machines_give_bit_for_bit_what_this_machine_gives(folder, embedder, config, decoder):
    paths = sorted(folder.iterdir())
    encoder = EncodingWorker(config, NODE, is_gpu=False)
    decoder.prepare()
    encoder.prepare()
    local = {clip.number: clip for clip in embed_clips([clip_of(path) for path in paths], embedder, 2)}
    away = {}
    for block in (block_of(paths, 2, 3), block_of(paths, 0), block_of(paths, 1)):
        away |= {clip.number: clip for clip in encoder.encode(block, *decoder.decode(block))}
    assert sorted(away) == sorted(local) == [0, 1, 2, 3]
    for number in (0, 1, 2):
        for here, there in zip(both(local[number]), both(away[number]), strict=True):
            for one, other in zip(here, there, strict=True):
                assert np.array_equal(one, other)
    assert isinstance(away[3].error, NotAVideoError)
    assert str(away[3].error) == str(local[3].error)


def both(clip):
    """The numbers of a clip as filmed and mirrored, in the config of its windows."""
    for side in (clip.filmed, clip.mirrored):
        order = np.argsort(side.start_frames)
        yield side.start_frames[order], side.encoding.embedding[order], side.encoding.activity[order]


def test_a_node_that_is_like_this_machine_is_accepted(config):
    verify_node(config, NODE)


def test_a_node_that_does_not_see_the_folder_is_refused(config):
    with pytest.raises(
        ClusterError, match=r"10\.0\.0\.7 \(east\) does not see .*: nothing is at /nowhere.*Mount the same"
    ):
        verify_node(replace(config, folder=Path("/nowhere")), NODE)


def test_an_empty_mount_point_is_not_taken_for_the_folder(config, tmp_path):
    with pytest.raises(ClusterError, match=r"an empty folder, or another one, is at .*, where '0\.mp4' should be"):
        verify_node(replace(config, folder=tmp_path), NODE)


def test_a_node_with_another_encoder_file_or_none_is_refused(config, tmp_path):
    other = tmp_path / "encoder.onnx"
    other.write_bytes(b"another")
    seen = hashlib.sha256(b"another").hexdigest()[:12]
    with pytest.raises(ClusterError, match=rf"has encoder {seen} at .*, this machine {config.encoder_id}"):
        verify_node(replace(config, encoder=other), NODE)
    with pytest.raises(ClusterError, match=r"can't read the encoder file: .*SIGNDEX_ENCODER"):
        verify_node(replace(config, encoder=tmp_path / "none.onnx"), NODE)


def test_a_node_with_other_software_is_refused_with_what_differs(config):
    wanted = {**config.software, "onnxruntime": "1.0", "code": "0123456789ab", "rocket": "2"}
    with pytest.raises(ClusterError, match=r"other software") as told:
        verify_node(replace(config, software=wanted), NODE)
    assert f"onnxruntime {config.software['onnxruntime']} (here 1.0)" in str(told.value)
    assert "rocket missing (here 2)" in str(told.value)
    assert "numpy" not in str(told.value)


def test_the_code_is_told_apart_by_what_embeds_and_by_nothing_else(tmp_path):
    (tmp_path / "model/video").mkdir(parents=True)
    (tmp_path / "model/video/crop.py").write_text("one")
    first = fingerprint(tmp_path)
    (tmp_path / "README.md").write_text("words")
    assert fingerprint(tmp_path) == first
    (tmp_path / "model/video/crop.py").write_text("two")
    assert fingerprint(tmp_path) != first


def test_a_node_that_sees_another_file_under_the_name_is_to_blame_and_embeds_nothing(folder, decoder):
    clip = clip_of(folder / "1.mp4")
    errors, windows = decoder.decode(ClipBlock((0,), (replace(clip, sha256="0" * 64),)))
    assert windows == [None]
    assert isinstance(errors[0], OtherContentError)
    with pytest.raises(ClusterError, match=r"can't read .*1\.mp4 as this machine does"):
        error_of_clip(clip, errors[0], NODE)


def test_a_file_that_changed_here_too_is_the_clip_s_own_fault(folder):
    changed = replace(clip_of(folder / "1.mp4"), sha256="0" * 64)
    assert "index again" in str(error_of_clip(changed, OtherContentError("it changed"), NODE))
    error = NotAVideoError("no video")
    assert error_of_clip(changed, error, NODE) is error
