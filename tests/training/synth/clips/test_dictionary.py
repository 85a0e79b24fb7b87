"""A rendered dictionary on disk: complete, exact, resumable, never half-written."""

import csv
import json
import resource

import av
import numpy as np
import pytest

from training.errors import OutputError
from training.synth.clips.dictionary import RenderPlan, render_dictionary, slug
from training.synth.clips.signers import Mannequins

pytestmark = pytest.mark.gl
PLAN = RenderPlan(num_signs=2, num_signers=2, seed=3, width=64, height=48, bodies="mannequins")


@pytest.fixture(scope="module")
def rendered(gl, tmp_path_factory):
    folder = tmp_path_factory.mktemp("rendered")
    return folder, render_dictionary(folder, PLAN, Mannequins())


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_table_lists_every_clip_and_all_its_files_are_there(rendered):
    folder, entries = rendered
    rows = list(csv.DictReader((folder / "entries.csv").read_text().splitlines()))
    assert [row["id"] for row in rows] == [entry.id for entry in entries]
    assert len({row["gloss"] for row in rows}) == len({row["signer"] for row in rows}) == 2
    assert all((folder / row["video"]).is_file() and (folder / row["keypoints"]).is_file() for row in rows)
    assert {row["language"] for row in rows} == {"x-forms"}
    assert all(row["id"].startswith(slug(row["gloss"])) for row in rows)


def test_keypoints_are_those_of_the_video_frame_by_frame(rendered):
    folder, entries = rendered
    for entry in entries:
        with av.open(str(folder / entry.video)) as video:
            num_frames = sum(1 for _ in video.decode(video=0))
        keypoints = np.load(folder / entry.keypoints)
        assert keypoints["world"].shape == (num_frames, 61, 3)
        assert keypoints["pixels"].shape == (num_frames, 61, 2)
        assert keypoints["size"].tolist() == [64, 48]
        shoulders = np.linalg.norm(keypoints["world"][:, 0] - keypoints["world"][:, 3], axis=1)
        assert ((shoulders > 0.25) & (shoulders < 0.5)).all()
        assert keypoints["inside"][:, [0, 3, 8]].all()


def test_a_rendering_that_was_interrupted_continues_to_the_same_bytes(rendered, tmp_path):
    folder, entries = rendered
    whole = contents(folder)
    for name, content in whole.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    (tmp_path / entries[1].video).unlink()
    (tmp_path / entries[2].keypoints).unlink()
    made = []
    render_dictionary(tmp_path, PLAN, Mannequins(), advance=lambda entry, new: made.append(new))
    assert made == [False, True, True, False]
    assert contents(tmp_path) == whole


def test_a_folder_of_another_plan_is_refused_with_the_difference(rendered, tmp_path):
    folder, _ = rendered
    other = RenderPlan(num_signs=2, num_signers=2, seed=4, width=64, height=48, bodies="mannequins")
    with pytest.raises(OutputError, match=r"clips of another plan \(seed 3 there, 4 requested\)"):
        render_dictionary(folder, other, Mannequins())
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(OutputError, match=r"not empty and holds no plan\.json"):
        render_dictionary(tmp_path, PLAN, Mannequins())


def test_a_full_disk_leaves_no_half_clip_and_the_command_resumes(rendered, tmp_path):
    folder, _ = rendered
    largest = max(len(content) for content in contents(folder).values())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest - 1, hard))  # the largest file does not fit
    try:
        with pytest.raises(OutputError, match=r"can't be written: .* what was finished is kept"):
            render_dictionary(tmp_path, PLAN, Mannequins())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    whole = contents(folder)
    assert all(content == whole[name] for name, content in contents(tmp_path).items())
    assert len(contents(tmp_path)) < len(whole)
    render_dictionary(tmp_path, PLAN, Mannequins())
    assert contents(tmp_path) == whole


def test_the_plan_lies_beside_its_clips(rendered):
    assert json.loads((rendered[0] / "plan.json").read_text())["seed"] == 3
