"""Many clips through one encoder."""

import os
import signal
import threading
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from app.decoding.decoder import Decoder
from app.decoding.limits import DecoderLimits
from app.errors import ServiceError, VideoTooCostlyError, VideoUndecodableError
from app.indexing.bulk import ClipToEmbed, EmbeddedClip, FailedClip, embed_clips
from model.embed import Embedder
from model.errors import NotAVideoError
from model.pooling import pool
from model.runtime.onnx_encoder import DEFAULT_ENCODER, OnnxEncoder
from tests.fakes import FakeEncoder
from tests.tiny_videos import write_clip


class Recorder(FakeEncoder):
    """Remembers the sizes of its batches."""

    def __init__(self):
        super().__init__()
        self.sizes = []

    def encode(self, windows, visible=None):
        self.sizes.append(len(windows))
        return super().encode(windows, visible)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    return [ClipToEmbed(write_clip(folder / f"{i}.mp4", i, seconds=0.8 + 0.2 * (i % 4)), 0.0, None) for i in range(12)]


@pytest.mark.parametrize("num_decoders", [1, 3])
def test_every_clip_gets_the_vectors_it_gets_alone(clips, num_decoders):
    embedder = Embedder(FakeEncoder())
    seen = set()
    for clip in embed_clips(clips, embedder, num_decoders):
        seen.add(clip.number)
        for part, alone in zip((clip.filmed, clip.mirrored), embedder.embed_both(clips[clip.number].path), strict=True):
            vector = pool(part.encoding.embedding, part.encoding.activity)
            np.testing.assert_allclose(vector, alone.vector, atol=1e-6)
            assert len(part.start_frames) == alone.encoded.sum()
    assert seen == set(range(12))


def test_the_encoder_works_on_full_batches_and_the_last_is_filled_up(clips):
    encoder = Recorder()
    windows = sum(len(clip.filmed.start_frames) for clip in embed_clips(clips[1:], Embedder(encoder)))
    assert windows % 4, "the last batch has to be one that is not full by itself"
    assert encoder.sizes == [8] * -(-windows // 4)


def test_the_digits_of_a_clip_do_not_depend_on_the_clips_beside_it(tmp_path):
    embedder = Embedder(OnnxEncoder(DEFAULT_ENCODER, threads=1))
    clips = [ClipToEmbed(write_clip(tmp_path / f"{i}.mp4", i, seconds=0.3 + 0.04 * i), 0.0, None) for i in range(3)]
    together = {clip.number: clip.filmed for clip in embed_clips(clips, embedder)}
    assert any(len(together[number].start_frames) % 4 for number in together)
    for number, clip in enumerate(clips):
        [alone] = embed_clips([clip], embedder)
        assert np.array_equal(alone.filmed.encoding.embedding, together[number].encoding.embedding)
        assert np.array_equal(alone.filmed.encoding.activity, together[number].encoding.activity)


def test_a_clip_is_embedded_within_its_time_range(clips):
    embedder = Embedder(FakeEncoder())
    part = ClipToEmbed(clips[3].path, 0.2, 0.9)
    [embedded] = embed_clips([part], embedder)
    alone = embedder.embed(part.path, start_s=0.2, end_s=0.9)
    vector = pool(embedded.filmed.encoding.embedding, embedded.filmed.encoding.activity)
    np.testing.assert_allclose(vector, alone.vector, atol=1e-6)


def test_a_clip_that_can_not_be_used_is_reported_and_the_others_continue(clips, tmp_path):
    (tmp_path / "text.mp4").write_text("no video")
    broken = [ClipToEmbed(tmp_path / "text.mp4", 0, None), *clips[:3], ClipToEmbed(tmp_path / "gone.mp4", 0, None)]
    found = {clip.number: clip for clip in embed_clips(broken, Embedder(FakeEncoder()))}
    assert sorted(found) == [0, 1, 2, 3, 4]
    assert isinstance(found[0].error, NotAVideoError)
    assert isinstance(found[4], FailedClip)
    assert all(isinstance(found[number], EmbeddedClip) for number in (1, 2, 3))


def test_nothing_to_embed_is_done_at_once():
    assert list(embed_clips([], Embedder(FakeEncoder()))) == []


@pytest.fixture
def left():
    """What is left of decoders since the test began: services of other tests may live in this process, too."""
    before = decoders()
    return lambda: [one for one in decoders() if one not in before]


def decoders():
    """Threads that decode, and their processes."""
    threads = [thread.name for thread in threading.enumerate() if thread.name.startswith("decoder-")]
    children = [pid for task in Path("/proc/self/task").iterdir() for pid in told(task / "children").split()]
    return threads + [pid for pid in children if "decoding.worker" in told(Path(f"/proc/{pid}/cmdline"))]


def told(file):
    """What a file of /proc says; nothing where its thread or process has ended."""
    try:
        return file.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def test_stopping_early_leaves_no_decoder_behind(clips, left):
    with closing(embed_clips(clips, Embedder(FakeEncoder()), 3)) as embedded:
        next(embedded)
    assert left() == []


def test_an_encoder_that_fails_ends_the_work_and_the_decoders(clips, left):
    encoder = FakeEncoder()
    encoder.error = MemoryError("no more")
    with pytest.raises(MemoryError), closing(embed_clips(clips, Embedder(encoder))) as embedded:
        list(embedded)
    assert left() == []


def test_a_fault_of_a_decoder_is_no_skipped_clip(clips, monkeypatch, left):
    def faulty(*_, **__):
        raise ZeroDivisionError("a fault")

    monkeypatch.setattr("app.indexing.bulk.Decoder.decode_windows", faulty)
    with pytest.raises(ZeroDivisionError, match="a fault"):
        list(embed_clips(clips, Embedder(FakeEncoder())))
    assert left() == []


def test_processes_that_do_not_start_end_the_work_instead_of_skipping_every_clip(clips, monkeypatch, left):
    monkeypatch.setattr("app.decoding.decoder.sys.executable", "/bin/false")
    with pytest.raises(ServiceError, match="does not start"):
        list(embed_clips(clips, Embedder(FakeEncoder())))
    assert left() == []


def test_a_process_that_a_clip_takes_down_costs_that_clip_alone(clips, monkeypatch):
    decode = Decoder.decode_windows
    killed = []

    def killed_once(decoder, video, *others):
        if not killed:
            killed.append(decoder.pid)
            os.kill(decoder.pid, signal.SIGKILL)
        return decode(decoder, video, *others)

    monkeypatch.setattr("app.indexing.bulk.Decoder.decode_windows", killed_once)
    found = list(embed_clips(clips, Embedder(FakeEncoder())))
    assert sorted(clip.number for clip in found) == list(range(12))
    [error] = [clip.error for clip in found if isinstance(clip, FailedClip)]
    assert isinstance(error, VideoUndecodableError)
    assert "SIGKILL" in str(error)


def test_a_clip_that_takes_more_than_is_allowed_is_left_out(clips):
    limits = DecoderLimits(memory_bytes=256_000_000, seconds=0.001)
    found = list(embed_clips(clips[:2], Embedder(FakeEncoder()), limits=limits))
    assert [type(clip.error) for clip in found] == [VideoTooCostlyError] * 2
