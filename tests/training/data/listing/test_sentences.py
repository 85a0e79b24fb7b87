import csv
import os
import pickle
from collections import OrderedDict
from pathlib import Path

import pytest

from training.data.listing.sentences import Sentence, read_sentences
from training.errors import ManifestError


def write_rows(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def phoenix(root: Path) -> Path:
    for split, name in (("train", "11August_2010_Wednesday_tagesschau-2"), ("dev", "01April_2011_Friday_heute-1")):
        path = root / "annotations" / "manual" / f"PHOENIX-2014-T.{split}.corpus.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        row = f'{name}|{name}/1/*.png|-1|-1|Signer08|JETZT WETTER|und nun das "wetter"'
        path.write_text(f"name|video|start|end|speaker|orth|translation\n{row}\n")
    return root


def csl_daily(root: Path, info: object) -> Path:
    (root / "sentence_label").mkdir(parents=True)
    (root / "sentence_label" / "split_1.txt").write_text(
        "name|split\nS000000_P0000_T00|train\nS000001_P0001_T00|test\n"
    )
    with (root / "sentence_label" / "csl2020ct_v2.pkl").open("wb") as file:
        pickle.dump({"info": info}, file)
    return root


def test_phoenix14t_is_read_as_it_is_published(tmp_path: Path) -> None:
    found = read_sentences(phoenix(tmp_path), "phoenix14t")
    assert [(one.split, one.signer, one.gloss) for one in found] == [
        ("dev", "Signer08", "JETZT WETTER"),
        ("train", "Signer08", "JETZT WETTER"),
    ]
    assert found[0].text == 'und nun das "wetter"', "quotes are part of the sentence"
    name = "01April_2011_Friday_heute-1"
    assert found[0].source == tmp_path / "features" / "fullFrame-210x260px" / "dev" / name


def test_csl_daily_is_read_as_it_is_published(tmp_path: Path) -> None:
    said = {"label_gloss": ["我", "去"], "label_char": ["我", "去", "。"], "signer": 3}
    info = [said | {"name": f"S00000{n}_P000{n}_T00"} for n in range(3)]
    found = read_sentences(csl_daily(tmp_path, info), "csl-daily")
    assert [(one.name, one.split) for one in found] == [("S000000_P0000_T00", "train"), ("S000001_P0001_T00", "test")]
    assert (found[0].gloss, found[0].text, found[0].signer) == ("我 去", "我去。", "3")
    assert found[1].source == tmp_path / "sentence" / "frames_512x512" / "S000001_P0001_T00"


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("true",)


@pytest.mark.parametrize("info", [Evil(), OrderedDict()])
def test_a_label_file_that_would_run_code_is_refused(tmp_path: Path, info: object) -> None:
    with pytest.raises(ManifestError, match=r"it asks for .*; plain data was expected"):
        read_sentences(csl_daily(tmp_path, info), "csl-daily")


def test_lists_of_ours_name_videos_from_their_own_folder(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    write_rows(path, [{"name": "a", "video": "clips/a.mp4", "split": "test", "text": "hello, you"}])
    assert read_sentences(path, "videos") == [Sentence("a", tmp_path / "clips" / "a.mp4", "test", text="hello, you")]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"name": "a", "video": ""}], "line 2: name or video is empty"),
        ([{"name": "a", "film": "a.mp4"}], "columns film; known are name, video, split, signer, gloss, text"),
        ([{"video": "a.mp4"}], "has columns video; name is missing"),
        (
            [{"name": "a", "video": "a.mp4", "split": "train"}, {"name": "a", "video": "b.mp4", "split": "test"}],
            "lists a twice, in train and test",
        ),
    ],
)
def test_a_list_of_another_form_is_refused(tmp_path: Path, rows: list[dict[str, str]], message: str) -> None:
    write_rows(tmp_path / "list.csv", rows)
    with pytest.raises(ManifestError, match=message):
        read_sentences(tmp_path / "list.csv", "videos")


def test_a_folder_that_is_no_such_data_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="is it PHOENIX-2014-T"):
        read_sentences(tmp_path, "phoenix14t")
    with pytest.raises(ManifestError, match=r"split_1.txt can't be read"):
        read_sentences(tmp_path, "csl-daily")
    with pytest.raises(ManifestError, match="'how2sign'; there are videos, phoenix14t, csl-daily"):
        read_sentences(tmp_path, "how2sign")
