import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from training.errors import ManifestError
from training.finetune.readers import read_labelled


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def write_table(path: Path, rows: Sequence[Sequence[Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return path


def write_entries(folder: Path, rows: Sequence[tuple[str, str, str]], missing: Sequence[str] = ()) -> Path:
    """Rows of id, gloss, split; videos are named by the id."""
    for identity, _, _ in rows:
        if identity not in missing:
            touch(folder / f"{identity}.mp4")
    lines = [["id", "gloss", "video", "split"], *([i, gloss, f"{i}.mp4", split] for i, gloss, split in rows)]
    return write_table(folder / "entries.csv", lines).parent


def wlasl(folder: Path) -> Path:
    """In the form of WLASL v0.3."""
    signs = [
        {
            "gloss": gloss,
            "instances": [
                {
                    "video_id": f"{place}{n}",
                    "split": split,
                    "signer_id": n,
                    "frame_start": 1,
                    "frame_end": -1,
                    "url": "",
                }
                for n, split in enumerate(("train", "train", "val", "test"))
            ],
        }
        for place, gloss in enumerate(("book", "drink", "computer"))
    ]
    (folder / "WLASL_v0.3.json").write_text(json.dumps(signs))
    for sign in signs:
        for one in sign["instances"]:
            touch(folder / "videos" / f"{one['video_id']}.mp4")  # type: ignore[index]
    return folder


def test_wlasl_is_read_with_its_splits_and_signers(tmp_path: Path) -> None:
    labelled = read_labelled("wlasl", wlasl(tmp_path))
    assert labelled.glosses == ("book", "drink", "computer")
    assert {name: len(labelled.clips(name)) for name in ("train", "val", "test")} == {"train": 6, "val": 3, "test": 3}
    first = labelled.clips("val")[0]
    assert (first.video, first.gloss, first.signer) == (tmp_path / "videos" / "02.mp4", "book", "2")
    assert labelled.warnings == ()


def test_the_first_glosses_of_wlasl_are_its_smaller_versions(tmp_path: Path) -> None:
    labelled = read_labelled("wlasl", wlasl(tmp_path), num_signs=2)
    assert labelled.glosses == ("book", "drink")
    assert len(labelled.clips("test")) == 2


def test_asl_citizen_is_read_from_its_tables(tmp_path: Path) -> None:
    head = ["Participant ID", "Video file", "Gloss", "ASL-LEX Code"]
    for split, names in (("train", ("1-DOG.mp4", "2-CAT.mp4")), ("val", ("3-DOG.mp4",)), ("test", ("4-CAT.mp4",))):
        rows = [[f"P{name[0]}", name, name[2:5], "A_01_001"] for name in names]
        write_table(tmp_path / "splits" / f"{split}.csv", [head, *rows])
        for name in names:
            touch(tmp_path / "videos" / name)
    labelled = read_labelled("asl-citizen", tmp_path)
    assert labelled.glosses == ("DOG", "CAT")
    assert [clip.signer for clip in labelled.clips("train")] == ["P1", "P2"]
    assert labelled.clips("test")[0].video == tmp_path / "videos" / "4-CAT.mp4"
    assert labelled.warnings == (
        "the split val has no clip of 1 of 2 labels: CAT",
        "the split test has no clip of 1 of 2 labels: DOG",
    )


def test_nmfs_csl_is_read_from_its_lists_of_frame_folders(tmp_path: Path) -> None:
    for split, names in (("train", ("000001/P01_1", "000002/P01_1")), ("test", ("000001/P09_1", "000002/P09_1"))):
        write_table(tmp_path / f"uni_{split}list01.csv", [[name, int(name[:6]) - 1] for name in names])
        for name in names:
            touch(tmp_path / "jpg_video" / name / "image_00001.jpg")
    labelled = read_labelled("nmfs-csl", tmp_path)
    assert labelled.glosses == ("0", "1")
    assert labelled.clips("test")[1].video == tmp_path / "jpg_video" / "000002" / "P09_1"


def test_our_entries_give_stretches_of_videos_too(tmp_path: Path) -> None:
    touch(tmp_path / "a.mp4")
    head = ["id", "gloss", "video", "signer", "start_s", "end_s", "split"]
    path = write_table(tmp_path / "mine.csv", [head, ["a", "TREE", "a.mp4", "ann", "0.5", "", "Training"]])
    clip = read_labelled("entries", path).clips("train")[0]
    assert (clip.start_s, clip.end_s, clip.signer, clip.video) == (0.5, None, "ann", tmp_path / "a.mp4")


def test_what_is_missing_is_counted_and_named(tmp_path: Path) -> None:
    rows = [
        ("a", "TREE", "train"), ("b", "TREE", "test"), ("c", "HOUSE", "train"),
        ("d", "GONE", "train"), ("e", "GONE", "test"), ("f", "NEW", "test"),
    ]  # fmt: skip
    labelled = read_labelled("entries", write_entries(tmp_path, rows, missing=("d", "e")))
    assert labelled.glosses == ("TREE", "HOUSE")
    gone, empty, untrained, without = labelled.warnings
    assert gone.startswith("2 clips are listed whose files are not there: ")
    assert "d.mp4" in gone
    assert empty == "1 labels have no clip at all and are left out: GONE"
    assert untrained == "1 labels have no training clip; their clips in other splits count as misses: NEW"
    assert without == "the split test has no clip of 1 of 2 labels: HOUSE"
    assert [clip.video_id for clip in labelled.clips("test")] == ["b", "f"]


def test_a_clip_in_two_splits_is_refused_by_name_and_number(tmp_path: Path) -> None:
    rows = [(f"v{n}", "TREE", "train") for n in range(7)] + [(f"v{n}", "TREE", "test") for n in range(1, 7)]
    with pytest.raises(ManifestError, match=r"6 clips are in more than one split: v1 \(test, train\).* and 1 more; "):
        read_labelled("entries", write_entries(tmp_path, rows))


def test_two_stretches_of_one_video_are_not_split_either(tmp_path: Path) -> None:
    touch(tmp_path / "long.mp4")
    rows = [["id", "gloss", "video", "split"], ["a", "TREE", "long.mp4", "train"], ["b", "HOUSE", "long.mp4", "test"]]
    write_table(tmp_path / "entries.csv", rows)
    with pytest.raises(
        ManifestError, match=r"2 clips are in more than one split: a \(test, train\), b \(test, train\)"
    ):
        read_labelled("entries", tmp_path)


def test_data_that_can_not_be_used_says_why(tmp_path: Path) -> None:
    nothing = write_entries(tmp_path / "nothing", [("a", "TREE", "test")])
    unsplit = write_table(tmp_path / "unsplit" / "entries.csv", [["id", "gloss", "video"], ["a", "TREE", "a.mp4"]])
    bare = write_table(tmp_path / "bare.csv", [["id", "gloss", "video", "split"], ["a", "", "a.mp4", "train"]])
    odd = write_entries(tmp_path / "odd", [("a", "TREE", "holdout")])
    (tmp_path / "WLASL_v0.3.json").write_text('{"book": []}')
    cases: list[tuple[str, Path, str]] = [
        ("films", tmp_path, "reader is 'films'; allowed are entries, wlasl, asl-citizen, nmfs-csl"),
        ("entries", nothing, "lists 1 clips, 1 of them there, and none of these is in the split train"),
        ("entries", unsplit, "has the columns id, gloss, video; split is missing"),
        ("entries", bare, r"bare\.csv, line 2: gloss is empty"),
        ("entries", odd, "a split is 'holdout'; allowed are train, training"),
        ("entries", tmp_path / "none.csv", "can't be read"),
        ("wlasl", tmp_path / "odd", r"has no WLASL_v\*\.json"),
        ("wlasl", tmp_path, "is not WLASL's list of glosses"),
        ("asl-citizen", tmp_path, r"train\.csv can't be read"),
        ("nmfs-csl", tmp_path, r"uni_trainlist01\.csv can't be read"),
    ]
    for reader, where, message in cases:
        with pytest.raises(ManifestError, match=message):
            read_labelled(reader, where)
