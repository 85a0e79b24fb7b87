import itertools
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from model.checkpoint import load_tensors
from model.skeleton.kinematics import LEFT_HAND, RIGHT_HAND, Angles, forward, standard_proportions, standing
from model.skeleton.normal import normalise
from tests.model.test_hands import looking_closer
from training.closeup.__main__ import app
from training.closeup.course import STATE, Lesson, begin, teach
from training.closeup.crops import FINGER_BONES, KEPT_PX, ROOM, Crops, directions, read_crops, write_crops
from training.closeup.learn import Looks, blank, closeup_loss, draw_batch, rate
from training.data.shard_files import Form, SampleFacts, ShardSample, ShardWriter, write_whole
from training.errors import DataError
from training.pretrain.distributed import World
from training.pretrain.network import PretrainNetwork, published_state
from training.pretrain.state import write_whole as write_checkpoint
from training.priors import write_body

SIZE_PX = 128
NUM_FRAMES = 6


def raised() -> np.ndarray:
    """[61, 3] metres: somebody with both forearms up, the hands not alike."""
    stance = standing()
    left, right = stance.left.copy(), stance.right.copy()
    right[[4, 12, 20]] += 0.7
    points = forward(Angles(stance.body, left, right), standard_proportions())
    for hand, x in ((LEFT_HAND, 0.25), (RIGHT_HAND, -0.25)):
        points[hand] += np.array([x, 0.05, 0.3]) - points[hand].mean(axis=0)
    return points


def in_picture(points: np.ndarray) -> np.ndarray:
    """[61, 3] metres to [61, 2] pixels, seen from straight ahead."""
    return (points[:, :2] * (1, -1) * 0.9 + 0.5) * SIZE_PX


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """One clip: dark, with a dot on every keypoint of both hands."""
    folder = tmp_path / "shards"
    folder.mkdir()
    points = raised()
    pixels = in_picture(points)
    frames = np.full((NUM_FRAMES, SIZE_PX, SIZE_PX, 3), 40, np.uint8)
    for x, y in pixels[19:].round().astype(int):
        frames[:, y - 1 : y + 1, x - 1 : x + 1] = 250
    pose = normalise(np.repeat(points[None], NUM_FRAMES, 0), np.ones((NUM_FRAMES, 61)))
    facts = SampleFacts("one", "one", NUM_FRAMES)
    form = Form(size_px=SIZE_PX)
    writer = ShardWriter(folder / "000000.tar", form)
    writer.add(ShardSample(facts, frames, pose, np.repeat(pixels[None], NUM_FRAMES, 0)))
    writer.finish(["one"], [])
    write_body(folder / "body.json", standard_proportions())
    write_whole(folder / "data.json", json.dumps(form.__dict__))
    return folder


@pytest.fixture
def crops(shards: Path, tmp_path: Path) -> Crops:
    num = write_crops([shards], tmp_path / "crops", standard_proportions(), stride=2, told=lambda *_: None)
    assert num == 6, "both hands from frames 0, 2 and 4 on"
    return read_crops(tmp_path / "crops")


def brightness_at(picture: np.ndarray, points: np.ndarray) -> np.ndarray:
    """How bright a kept square is at points given in sides of the encoder's square."""
    places = ((points / ROOM + 0.5) * KEPT_PX).round().astype(int).clip(1, KEPT_PX - 2)
    return np.array([picture[y - 1 : y + 2, x - 1 : x + 2].max() for x, y in places])


def test_hands_are_cut_with_their_keypoints_and_left_ones_in_the_mirror(crops: Crops) -> None:
    for pictures, points in zip(crops.pictures, crops.points, strict=True):
        assert brightness_at(pictures[0], points).min() > 120
        assert brightness_at(pictures[0], points * (-1, 1)).min() < 80
    left, right = crops.bones[0], crops.bones[1]
    expected = directions(raised()[LEFT_HAND])
    assert np.allclose(left, expected * (-1, 1, 1), atol=0.02), "a left hand in the mirror"
    assert np.allclose(right, directions(raised()[RIGHT_HAND]), atol=0.02)
    assert not np.allclose(left, right, atol=0.1)


def test_bones_go_from_the_wrist_and_from_joint_to_joint() -> None:
    assert FINGER_BONES[:5] == ((0, 1), (1, 2), (2, 3), (3, 4), (0, 5))
    assert FINGER_BONES[-1] == (19, 20)


def test_turned_hands_keep_their_keypoints_and_bones_turn_with_the_picture(crops: Crops) -> None:
    still = Looks(turn_deg=25, move=0.05, coarse_px=(96, 96), light=0.0, grey=0.0, noise=0.0, hidden=0.0)
    rows = np.zeros(16, int) + 1
    plain, bones, points = draw_batch(crops, rows, None, 96, torch.Generator())
    turned, bones_turned, points_turned = draw_batch(crops, rows, still, 96, torch.Generator().manual_seed(3))
    for picture, places in ((plain, points), (turned, points_turned)):
        pixels = ((places + 0.5) * 96).round().long().clamp(1, 94)
        seen = torch.stack(
            [
                picture[i, 1, 0, pixels[i, :, 1] + dy, pixels[i, :, 0] + dx]
                for i in range(16)
                for dx in (-1, 0, 1)
                for dy in (-1, 0, 1)
            ]
        )
        inside = ((places > -0.48) & (places < 0.48)).all(dim=-1)
        assert (seen.reshape(16, 9, 21).amax(dim=1)[inside] > picture.mean() + 0.5).all()
    # A bone's direction across the picture turns as the line between its ends does.
    starts, ends = np.array(FINGER_BONES).T
    before, after = (at[:, ends] - at[:, starts] for at in (points, points_turned))
    turn = torch.atan2(after[..., 1], after[..., 0]) - torch.atan2(before[..., 1], before[..., 0])
    angle = [-torch.atan2(some[..., 1], some[..., 0]) for some in (bones, bones_turned)]
    assert torch.allclose(torch.cos(turn - (angle[1] - angle[0])), torch.ones(()), atol=1e-3)
    assert turn.abs().max() > 0.2
    assert torch.allclose(bones_turned.norm(dim=-1), torch.ones(()), atol=1e-5)


def test_the_loss_is_the_cosine_of_bones_and_the_way_to_keypoints() -> None:
    rng = np.random.default_rng(0)
    bones, true = rng.normal(size=(2, 3, 20, 3)).astype(np.float32)
    points, places = rng.normal(size=(2, 3, 21, 2)).astype(np.float32)
    cosines = [
        b @ t / np.linalg.norm(b) / np.linalg.norm(t)
        for b, t in zip(bones.reshape(-1, 3), true.reshape(-1, 3), strict=True)
    ]
    away = np.abs(points - places)
    smooth = np.where(away < 0.05, away**2 / 0.1, away - 0.025).mean()
    loss, cosine = closeup_loss(tuple(map(torch.tensor, (bones, points))), torch.tensor(true), torch.tensor(places))
    assert float(cosine) == pytest.approx(np.mean(cosines), abs=1e-5)
    assert float(loss) == pytest.approx(1 - np.mean(cosines) + 2 * smooth, rel=1e-5)


def test_the_rate_rises_and_ends_at_zero() -> None:
    assert rate(0.0, 1.0) == 0
    assert rate(0.02, 1.0) == pytest.approx(1.0, abs=0.01)
    assert rate(1.0, 1.0) == pytest.approx(0, abs=1e-9)


def test_a_share_of_pictures_is_blank_in_part() -> None:
    hidden = blank(400, 32, 0.5, torch.Generator().manual_seed(0))
    assert 0.35 < hidden.flatten(1).any(dim=1).float().mean() < 0.55
    assert hidden.flatten(1).float().mean(dim=1).max() < 0.2


@pytest.fixture
def start(tmp_path: Path) -> Path:
    torch.manual_seed(1)
    network = PretrainNetwork(looking_closer())
    write_checkpoint(
        {"model": published_state(network), "encoder": looking_closer().to_json(), "provenance": "made up"},
        tmp_path / "start.pt",
    )
    return tmp_path / "start.pt"


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock on which every look takes a tenth of a second, so that minutes are a number of steps."""
    clock = itertools.count()
    monkeypatch.setattr("training.closeup.course.time", SimpleNamespace(perf_counter=lambda: next(clock) / 10))


def learn(*words: object) -> str:
    result = CliRunner().invoke(app, ["learn", *map(str, words)])
    return f"{result.exit_code} {result.output}"


@pytest.mark.usefixtures("ticking")
def test_only_the_closer_look_is_taught_and_the_run_says_what_it_did(crops: Crops, start: Path, tmp_path: Path) -> None:
    out = tmp_path / "taught.pt"
    words = (tmp_path / "crops", "--out", out, "--start-from", start, "--batch", 4, "--validation", tmp_path / "crops")
    assert learn(*words, "--minutes", 0.01).startswith("0 ")
    before, after = load_tensors(start)["model"], load_tensors(out)["model"]
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(name.startswith("hands.backbone.") for name in changed)
    content = load_tensors(out)
    assert content["provenance"].startswith("made up; the closer look taught by training.closeup")
    assert "hands of crops, 4 a step" in content["provenance"]
    assert STATE not in content
    assert learn(*words).startswith(f"0 {out} is finished")


def test_a_run_goes_on_where_it_was_saved(crops: Crops, start: Path, tmp_path: Path) -> None:
    out = tmp_path / "taught.pt"
    course = begin(out, start, 0)
    course.step, course.elapsed_s = 7, 3.5
    write_checkpoint(course.checkpoint(), out)
    again = begin(out, None, 0)
    assert (again.step, again.elapsed_s, again.provenance) == (7, 3.5, "made up")
    for name, weight in course.reader.state_dict().items():
        assert torch.equal(weight, again.reader.state_dict()[name])


@pytest.mark.usefixtures("ticking")
def test_hands_are_learned(crops: Crops, start: Path, tmp_path: Path) -> None:
    course = begin(tmp_path / "none.pt", start, 0)
    seen: list[float] = []
    lesson = Lesson([crops], np.ones(1), 6.0, 3e-3, 8, 0)
    teach(course, lesson, World(torch.device("cpu")), lambda loss, _: seen.append(loss))
    assert np.mean(seen[-3:]) < 0.6 * np.mean(seen[:3])


def test_unfinished_and_damaged_crops_are_refused(crops: Crops, tmp_path: Path) -> None:
    folder = tmp_path / "crops"
    with (folder / "pictures.u8").open("r+b") as file:
        file.truncate(2 * KEPT_PX * KEPT_PX * 3)
    with pytest.raises(DataError, match="1 pictures, 6 were written"):
        read_crops(folder)
    (folder / "crops.json").unlink()
    with pytest.raises(DataError, match="no finished crops"):
        read_crops(folder)


@pytest.mark.parametrize(
    ("shares", "message"), [("1,2", "give each a number"), ("x", "write numbers"), ("0", "above 0")]
)
def test_shares_that_do_not_fit_are_refused(
    shares: str, message: str, crops: Crops, start: Path, tmp_path: Path
) -> None:
    told = learn(tmp_path / "crops", "--out", tmp_path / "taught.pt", "--start-from", start, "--shares", shares)
    assert told.startswith("1 error")
    assert message in told


def test_cutting_again_does_nothing_unless_something_changed(crops: Crops, shards: Path, tmp_path: Path) -> None:
    folder, body = tmp_path / "crops", standard_proportions()
    before = (folder / "pictures.u8").stat().st_mtime_ns
    assert write_crops([shards], folder, body, stride=2, told=lambda *_: None) == 6
    assert (folder / "pictures.u8").stat().st_mtime_ns == before
    assert write_crops([shards], folder, body, stride=4, told=lambda *_: None) == 4
    assert len(read_crops(folder)) == 4
