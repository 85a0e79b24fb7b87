import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner
from webdataset.tariterators import group_by_keys, tar_file_iterator

from model.skeleton.kinematics import L_SHOULDER, R_SHOULDER
from model.skeleton.landmarks import observe
from model.skeleton.normalisation import normalise
from tests.posed import SIZE, keypoints_of, landmarks_of, raised_arm, write_posed_clip
from training.data.listing.manifest import ListedClip, clips_of_folder, write_manifest
from training.data.poses.crops import signer_square
from training.data.priors.standard_body import read_body
from training.data.priors.targets import prior_targets
from training.data.shard_commands import app
from training.data.shards.files import ShardFormat, check_shard, decode_frames, encode_frames, find_shards, read_sample
from training.data.shards.source import ShardSource
from training.data.shards.write import clip_samples, write_shards
from training.data.windows.samples import check_sample
from training.errors import ConfigError, SampleError, ShardError
from training.pretrain.config import Data
from training.pretrain.sources import open_sources

FORM = ShardFormat(size_px=64)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five clips: three good ones, one with landmarks of another length, one that is no video."""
    folder = tmp_path_factory.mktemp("clips")
    for number, name in enumerate(("a", "b", "c", "long")):
        seen = landmarks_of(keypoints_of(raised_arm(24 + 8 * number)))
        count = 90 if name == "long" else None
        write_posed_clip(folder / f"{name}.mp4", folder / "poses" / f"{name}.mp4.npz", seen, num_frames=count)
    (folder / "text.mp4").write_text("no video")
    (folder / "poses" / "text.mp4.npz").write_bytes((folder / "poses" / "a.mp4.npz").read_bytes())
    return folder


@pytest.fixture(scope="module")
def clips(folder: Path) -> list[ListedClip]:
    return clips_of_folder(folder, folder / "poses")


@pytest.fixture(scope="module")
def written(clips: list[ListedClip], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("shards")
    write_shards(clips, out, shard_format=FORM, body=None, clips_per_shard=2, workers=1)
    return out


@pytest.fixture
def shards(written: Path, tmp_path: Path) -> Path:
    """A copy, to be damaged at will."""
    return Path(shutil.copytree(written, tmp_path / "out"))


def test_good_clips_are_written_and_the_others_are_named(clips: list[ListedClip], tmp_path: Path) -> None:
    report = write_shards(clips, tmp_path, shard_format=FORM, body=None, clips_per_shard=2, workers=1)
    assert report.num_done == 3
    assert [(one.name, one.kind) for one in report.failed] == [
        ("long.mp4", "LengthMismatchError"),
        ("text.mp4", "NotAVideoError"),
    ]
    assert json.loads((tmp_path / "report.json").read_text())["num_done"] == 3
    assert not list(tmp_path.glob(".*")), "parts are left behind"


def test_writing_goes_on_where_it_stopped(clips: list[ListedClip], tmp_path: Path) -> None:
    write_shards(clips[:1], tmp_path, shard_format=FORM, body=None, clips_per_shard=2, workers=1)
    first = (tmp_path / "000000.tar").read_bytes()
    report = write_shards(clips[:3], tmp_path, shard_format=FORM, body=None, clips_per_shard=2, workers=1)
    assert (report.num_done, report.num_there) == (2, 1)
    assert (tmp_path / "000000.tar").read_bytes() == first
    assert sorted(path.name for path in find_shards(tmp_path)) == ["000000.tar", "000001.tar"]
    whole = {place.info.video_id for shard in find_shards(tmp_path) for place in check_shard(shard).samples}
    assert whole == {"a.mp4", "b.mp4", "c.mp4"}


def test_webdataset_reads_the_shards(shards: Path) -> None:
    read: list[dict[str, bytes]] = []
    for shard in find_shards(shards):
        with shard.open("rb") as file:
            read += group_by_keys({"__url__": shard.name, **member} for member in tar_file_iterator(file))
    assert [json.loads(sample["json"])["video_id"] for sample in read] == ["a.mp4", "b.mp4", "c.mp4"]
    for sample in read:
        facts = json.loads(sample["json"])
        assert len(decode_frames(sample["mp4"], 0, facts["num_frames"])) == facts["num_frames"]


def test_windows_have_the_frames_and_targets_of_their_clip(shards: Path, clips: list[ListedClip]) -> None:
    body = read_body(shards / "body.json")
    [whole] = clip_samples(clips[0], FORM)
    source = ShardSource(shards)
    for number in range(source.num_samples):
        for window in source.pair(number):
            check_sample(window)
            if window.video != "a.mp4":
                continue
            away = np.abs(whole.frames[:, None].astype(int) - window.frames[None]).mean(axis=(2, 3, 4))
            start = int(np.argmin([away[s : s + 16].diagonal().mean() for s in range(len(whole.frames) - 15)]))
            assert away[start : start + 16].diagonal().mean() < 6, "another stretch, or compressed beyond recognition"
            for name, (values, known) in prior_targets(whole.pose.window(start), body).items():
                assert np.allclose(window.targets[name], values, atol=1e-5), name
                assert (window.masks[name] == known).all()


def test_every_sample_comes_once_a_round_and_pairs_repeat(shards: Path) -> None:
    source = ShardSource(shards, seed=3)
    assert sorted(source.pair(number)[0].video for number in range(3)) == ["a.mp4", "b.mp4", "c.mp4"]
    assert sorted(source.pair(number)[0].video for number in range(3, 6)) == ["a.mp4", "b.mp4", "c.mp4"]
    for ours, theirs in zip(source.pair(1), ShardSource(shards, seed=3).pair(1), strict=True):
        assert (ours.frames == theirs.frames).all()


def test_pretraining_opens_shards_of_its_frame_size(shards: Path) -> None:
    source = open_sources(Data(sources=(f"shards:{shards}@2", "generated:1"), frame_px=64), 0)
    assert {source.pair(number)[0].frames.shape for number in range(6)} == {(16, 64, 64, 3)}
    with pytest.raises(ConfigError, match=r"frames of 64 pixels, data\.frame_px is 256; --set data\.frame_px=64"):
        open_sources(Data(sources=(f"shards:{shards}",)), 0)


def test_any_stretch_decodes_to_the_same_frames_as_the_whole() -> None:
    frames = np.random.default_rng(0).integers(0, 255, (30, 4, 4, 3), np.uint8).repeat(16, axis=1).repeat(16, axis=2)
    video = encode_frames(frames, FORM)
    whole = decode_frames(video, 0, 30)
    assert np.abs(whole.astype(int) - frames).mean() < 12
    for start in (1, 7, 8, 13, 14):
        assert (decode_frames(video, start, 16) == whole[start : start + 16]).all()


def test_long_clips_are_cut_into_samples(clips: list[ListedClip]) -> None:
    parts = list(clip_samples(clips[2], ShardFormat(size_px=64, segment_frames=16)))
    assert [part.info.num_frames for part in parts] == [16, 16, 8]
    assert [part.info.start_s for part in parts] == [0.0, 0.64, 1.28]
    assert len({part.info.video_id for part in parts}) == 1
    assert len({part.info.key for part in parts}) == 3


def test_a_stretch_of_a_video_is_what_its_clip_says(clips: list[ListedClip], folder: Path) -> None:
    [whole] = clip_samples(clips[2], FORM)
    stretch = ListedClip("c.mp4", clips[2].video, clips[2].landmarks, start_s=0.4, end_s=1.2)
    [part] = clip_samples(stretch, FORM)
    assert part.info.num_frames == 20
    assert np.allclose(part.pose.angles, whole.pose.angles[10:30], atol=1e-3)


def test_a_shard_cut_short_is_named_left_out_and_written_again(shards: Path, clips: list[ListedClip]) -> None:
    shard = shards / "000000.tar"
    shard.write_bytes(shard.read_bytes()[:5000])
    with pytest.raises(ShardError, match=r"000000\.tar has 5000 bytes, .* samples are lost"):
        check_shard(shard)
    source = ShardSource(shards)
    assert source.num_samples == 1
    assert len(source.broken) == 1
    report = write_shards(clips, shards, shard_format=FORM, body=None, clips_per_shard=2, workers=1)
    assert (report.num_done, report.num_there) == (2, 1)
    assert report.failed[0].name == "000000.tar"
    assert ShardSource(shards).num_samples == 3


def test_damage_inside_a_shard_is_a_failure_of_its_sample_alone(shards: Path) -> None:
    shard = shards / "000000.tar"
    first, second = check_shard(shard).samples
    content = bytearray(shard.read_bytes())
    content[first.pose_at : first.pose_at + first.pose_bytes] = bytes(first.pose_bytes)
    shard.write_bytes(content)
    with pytest.raises(ShardError, match=f"sample {first.info.key} .* is damaged"):
        read_sample(shard, first, 0, 16)
    read_sample(shard, second, 0, 16)
    source = ShardSource(shards)
    refused = []
    for number in range(3):
        try:
            source.pair(number)
        except SampleError as error:
            refused.append(str(error))
    assert len(refused) == 1
    result = CliRunner().invoke(app, ["check", str(shards)])
    assert result.exit_code == 1
    assert "2 samples" in result.output
    assert first.info.key in result.output


def test_shards_of_another_form_do_not_mix(shards: Path, clips: list[ListedClip]) -> None:
    with pytest.raises(ShardError, match="choose another"):
        write_shards(clips, shards, shard_format=ShardFormat(size_px=32), body=None, clips_per_shard=2, workers=1)


def test_the_command_refuses_videos_of_the_test_set(folder: Path, clips: list[ListedClip], tmp_path: Path) -> None:
    write_manifest(tmp_path / "test.csv", clips[1:2])
    arguments = ["write", str(folder), str(tmp_path / "out"), "--poses", str(folder / "poses"), "--workers", "1"]
    result = CliRunner().invoke(app, [*arguments, "--apart-from", str(tmp_path / "test.csv")])
    assert result.exit_code == 1
    assert "1 videos are also in" in result.output
    assert "b.mp4" in result.output


def test_leaks_are_listed_between_shards_and_manifests(shards: Path, clips: list[ListedClip], tmp_path: Path) -> None:
    write_manifest(tmp_path / "some.csv", clips[2:])
    found = CliRunner().invoke(app, ["leaks", str(shards), str(tmp_path / "some.csv")])
    assert (found.exit_code, "c.mp4" in found.output) == (1, True)
    write_manifest(tmp_path / "none.csv", clips[3:])
    assert CliRunner().invoke(app, ["leaks", str(shards), str(tmp_path / "none.csv")]).exit_code == 0


def test_the_square_holds_head_and_raised_hands_and_stays_in_the_picture() -> None:
    observed = observe(landmarks_of(keypoints_of(raised_arm()), widths_per_m=0.3))
    square = signer_square(observed, SIZE[1])
    points = observed.project(observed.keypoints) * SIZE
    inside = (points > [square.left, square.top]) & (points < [square.left + square.side, square.top + square.side])
    assert inside[:, [*range(6), *range(8, 40)]].mean() > 0.98
    assert square.left >= 0
    assert square.top >= 0
    assert square.left + square.side <= SIZE[0] + 1e-6
    assert square.top + square.side <= SIZE[1] + 1e-6
    middle = points[:, [L_SHOULDER, R_SHOULDER], 0].mean()
    assert square.left + square.side / 2 == pytest.approx(middle, abs=2)


def test_a_square_is_cut_as_pixels() -> None:
    from training.data.poses.crops import CropSquare

    frame = np.zeros((60, 80, 3), np.uint8)
    frame[20:40, 30:50] = 255
    assert (
        CropSquare(60, 40, 40, 120).crop(frame, 16).min() > 230
    )  # of 10 x 10 pixels in white, with the blur of enlarging


def test_keypoints_are_found_again_in_the_cut_frame() -> None:
    from training.data.poses.crops import CropSquare

    frame = np.zeros((60, 80, 3), np.uint8)
    frame[30:34, 50:54] = 255
    square = CropSquare(60, 40, 60, 120)  # of a picture of 120 rows, so twice as large as this frame
    [[row, column]] = np.argwhere(square.crop(frame, 64)[..., 1] == square.crop(frame, 64)[..., 1].max())[:1]
    point = square.pixels(np.array([52 / 80, 32 / 60]), 80 / 60, 64)
    assert point == pytest.approx([column, row], abs=5)
    assert point == pytest.approx([(104 - 60) * 64 / 60, (64 - 40) * 64 / 60])


def test_normalised_poses_are_stored_without_loss(shards: Path, clips: list[ListedClip]) -> None:
    [whole] = clip_samples(clips[0], FORM)
    place = check_shard(shards / "000000.tar").samples[0]
    _, stored = read_sample(shards / "000000.tar", place, 0, 16)
    assert np.array_equal(stored.pose.angles, whole.pose.angles, equal_nan=True)
    assert np.allclose(stored.pixels, whole.pixels, atol=1e-3, equal_nan=True)
    assert normalise(np.zeros((1, 61, 3)), np.ones((1, 61))).known.shape == (1, 61)
