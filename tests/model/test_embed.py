import io
import json
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from model.clip_stream import open_pictures
from model.embed import UNTRAINED, ClipEmbedding, Embedder, clip_embedding, joined, main
from model.encoder import Encoding, Frames, Ints
from model.errors import NotAVideoError
from model.pooling import pool
from model.runtime.onnx_encoder import OnnxEncoder
from model.video import open_frames
from tests.model.micro import micro


def write_clip(path: Path, num_frames: int, moves: range, fps: int = 25) -> Path:
    """A bright square on a grey ground that moves during some of the frames and rests before and after."""
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "10"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for i in range(num_frames):
            picture = np.full((64, 96, 3), 90, np.uint8)
            step = len(range(moves.start, min(i, moves.stop)))
            picture[20:36, 30 + 2 * (step % 10) : 46 + 2 * (step % 10)] = 220
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", 75, range(30, 45))


class Recorder:
    """An encoder that remembers what it was asked."""

    def __init__(self, encoder: OnnxEncoder) -> None:
        self.encoder, self.info = encoder, encoder.info
        self.windows: list[Frames] = []
        self.visible: list[Ints | None] = []

    def encode(self, windows: Frames, visible: Ints | None = None) -> Encoding:
        self.windows.append(windows)
        self.visible.append(visible)
        return self.encoder.encode(windows, visible)


def test_the_vector_is_the_pooled_encoding_of_every_window(encoder: OnnxEncoder, clip: Path) -> None:
    with open_frames(clip, fps=25, size=64) as stream:
        frames = np.stack(list(stream))
    windows = np.stack([frames[start : start + 16] for start in (*range(0, 59, 2), 59)])
    expected = encoder.encode(windows)
    result = Embedder(encoder, still=0).embed(clip)
    np.testing.assert_allclose(result.embeddings, expected.embedding, atol=1e-5)
    np.testing.assert_allclose(result.vector, pool(expected.embedding, expected.activity), atol=1e-5)
    assert result.encoded.all()
    assert result.start_s[-1] == pytest.approx(59 / 25)
    assert np.linalg.norm(result.vector) == pytest.approx(1, abs=1e-5)


def test_windows_without_motion_are_not_encoded_and_do_not_count(encoder: OnnxEncoder, clip: Path) -> None:
    recorder = Recorder(encoder)
    result = Embedder(recorder).embed(clip)
    starts = np.array([*range(0, 59, 2), 59])
    touches = (starts + 15 >= 31) & (starts <= 44)
    assert result.encoded.tolist() == touches.tolist()
    assert sum(len(windows) for windows in recorder.windows) == touches.sum()
    assert not result.activity[~touches].any()
    assert not result.embeddings[~touches].any()
    kept = result.embeddings[touches], result.activity[touches]
    np.testing.assert_allclose(result.vector, pool(*kept), atol=1e-6)


def test_a_clip_in_which_nothing_moves_still_has_a_vector_and_a_warning(encoder: OnnxEncoder, tmp_path: Path) -> None:
    result = Embedder(encoder).embed(write_clip(tmp_path / "still.mp4", 40, range(0)))
    assert result.encoded.sum() == 1
    assert any("nothing moves" in warning for warning in result.warnings)


def test_a_clip_shorter_than_a_window_is_padded_and_says_so(encoder: OnnxEncoder, tmp_path: Path) -> None:
    result = Embedder(encoder).embed(write_clip(tmp_path / "short.mp4", 5, range(5)))
    assert result.embeddings.shape == (1, micro().dim)
    assert "the clip has 5 frames at 25 per second, a window 16" in " ".join(result.warnings)


def test_an_untrained_encoder_says_so_every_time(encoder: OnnxEncoder, clip: Path) -> None:
    assert UNTRAINED in Embedder(encoder).embed(clip).warnings


def test_a_file_object_gives_what_its_path_gives(encoder: OnnxEncoder, clip: Path) -> None:
    embedder = Embedder(encoder)
    from_bytes = embedder.embed(io.BytesIO(clip.read_bytes()))
    assert np.array_equal(from_bytes.vector, embedder.embed(clip).vector)


def test_a_stretch_is_embedded_like_a_clip_of_its_own(encoder: OnnxEncoder, clip: Path) -> None:
    whole = Embedder(encoder, still=0).embed(clip)
    part = Embedder(encoder, still=0).embed(clip, start_s=1.2, end_s=2.0)
    assert part.video_info.num_frames == 20
    np.testing.assert_allclose(part.start_s, [1.2, 1.28, 1.36], atol=1e-6)
    # Windows at frames 30, 32, 34 of the whole. The crop was chosen anew, so only where it is the same are they equal.
    assert part.embeddings.shape == whole.embeddings[15:18].shape


def test_the_stride_can_be_chosen(encoder: OnnxEncoder, clip: Path) -> None:
    starts = Embedder(encoder, stride_frames=16, still=0).embed(clip).start_s * 25
    np.testing.assert_allclose(starts, [0, 16, 32, 48, 59], atol=1e-4)


def test_only_the_moving_units_are_encoded_when_asked(encoder: OnnxEncoder, clip: Path) -> None:
    recorder = Recorder(encoder)
    Embedder(recorder, kept_share=0.25).embed(clip)
    for visible in recorder.visible:
        assert visible is not None
        assert visible.shape[1] == 8


def test_the_encoder_file_says_how_much_of_a_window_is_looked_at(encoder: OnnxEncoder, clip: Path) -> None:
    recorder = Recorder(encoder)
    recorder.info = replace(encoder.info, kept_share=0.5)
    Embedder(recorder).embed(clip)
    assert recorder.visible
    assert all(visible is not None and visible.shape[1] == 16 for visible in recorder.visible)


def mirrored_copy(source: Path, target: Path) -> Path:
    """The clip as a mirror shows it, without loss."""
    with av.open(source) as original, av.open(target, "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "bgr0"
        for frame in original.decode(video=0):
            flipped = np.ascontiguousarray(frame.to_ndarray(format="rgb24")[:, ::-1])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(flipped, format="rgb24").reformat(format="bgr0")))
        container.mux(stream.encode())
    return target


def test_both_gives_what_the_film_and_its_mirror_image_give(encoder: OnnxEncoder, clip: Path, tmp_path: Path) -> None:
    embedder = Embedder(encoder)
    filmed, flipped = embedder.embed_both(clip)
    assert np.array_equal(filmed.vector, embedder.embed(clip).vector)
    mirror_image = embedder.embed(mirrored_copy(clip, tmp_path / "mirrored.mkv"))
    assert flipped.encoded.tolist() == mirror_image.encoded.tolist()
    assert flipped.vector @ mirror_image.vector > 0.999
    assert flipped.vector @ mirror_image.vector > filmed.vector @ mirror_image.vector
    assert flipped.video_info == filmed.video_info


def test_the_steps_taken_apart_give_what_embed_gives(encoder: OnnxEncoder, clip: Path) -> None:
    embedder = Embedder(encoder, kept_share=0.5)
    with open_pictures(clip, embedder.windowing, start_s=0.4) as windows:
        moving = list(windows)
    parts = joined([embedder.encode(moving[:3]), embedder.encode(moving[3:])])
    assembled = clip_embedding(parts, windows.info, embedder.windowing, encoder.info)
    whole = embedder.embed(clip, start_s=0.4)
    np.testing.assert_allclose(assembled.vector, whole.vector, atol=1e-6)
    np.testing.assert_array_equal(assembled.start_s, whole.start_s)
    assert (assembled.video_info, assembled.warnings) == (whole.video_info, whole.warnings)


def test_the_settings_tell_apart_what_gives_other_embeddings(encoder: OnnxEncoder) -> None:
    embedders = [
        Embedder(encoder),
        Embedder(encoder, stride_frames=4),
        Embedder(encoder, still=0),
        Embedder(encoder, kept_share=0.5),
    ]
    assert len({embedder.settings for embedder in embedders}) == 4


@pytest.mark.parametrize("share", [0, -1, 1.01])
def test_a_share_that_keeps_nothing_is_refused(encoder: OnnxEncoder, share: float) -> None:
    with pytest.raises(ValueError, match="kept_share is"):
        Embedder(encoder, kept_share=share)


def test_no_video_is_an_error_of_the_package(encoder: OnnxEncoder) -> None:
    with pytest.raises(NotAVideoError):
        Embedder(encoder).embed(io.BytesIO(b""))


def run(*arguments: str) -> tuple[int, str, str]:
    app = typer.Typer()
    app.command()(main)
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.stdout, result.stderr


def test_the_command_prints_one_json_object_per_video(
    encoder: OnnxEncoder, encoder_file: Path, clip: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty.mp4").touch()
    code, out, _ = run(str(clip), str(tmp_path / "empty.mp4"), "--encoder", str(encoder_file), "--json")
    good, bad = (json.loads(line) for line in out.splitlines())
    expected: ClipEmbedding = Embedder(encoder).embed(clip)
    np.testing.assert_allclose(good["vector"], expected.vector, atol=1e-6)
    assert good["num_encoded"] == expected.encoded.sum()
    assert good["facts"]["num_frames"] == 75
    assert "empty" in bad["error"]
    assert code == 1


def test_the_command_summarises_in_words(encoder_file: Path, clip: Path) -> None:
    code, out, _ = run(str(clip), "--encoder", str(encoder_file))
    assert code == 0
    assert "75 frames, 31 windows" in out
    assert f"warning: {UNTRAINED}" in out


def test_the_command_names_a_missing_encoder(clip: Path) -> None:
    code, _, err = run(str(clip), "--encoder", "nowhere.onnx")
    assert code == 1
    assert "there is no encoder file at nowhere.onnx" in err
