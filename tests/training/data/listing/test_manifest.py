from pathlib import Path

import pytest

from training.data.listing.manifest import ListedClip, clips_of_folder, read_manifest, write_manifest
from training.errors import ManifestError


def test_a_folder_is_a_list_of_clips_with_their_landmarks(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    for name in ("house.mp4", "tree/anna.webm", ".hidden.mp4", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    house, tree = clips_of_folder(tmp_path, Path("poses"))
    assert (house.video_id, house.gloss, house.landmarks) == ("house.mp4", "house", Path("poses/house.mp4.npz"))
    assert (tree.video_id, tree.gloss, tree.landmarks) == ("tree/anna.webm", "tree", Path("poses/tree/anna.webm.npz"))


def test_a_manifest_is_read_as_it_was_written(tmp_path: Path) -> None:
    clips = [
        ListedClip("news", tmp_path / "n.mp4", tmp_path / "n.npz", "WEATHER", "ann", 1.5, 4.0),
        ListedClip("news", tmp_path / "n.mp4", tmp_path / "n.npz", start_s=4.0),
    ]
    write_manifest(tmp_path / "list.csv", clips)
    assert read_manifest(tmp_path / "list.csv") == clips
    assert len({clip.key for clip in clips}) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("video_id,video\na,b\n", r"missing are \['landmarks'\], unknown \[\]"),
        ("video_id,video,landmarks,colour\n", r"unknown \['colour'\]"),
        ("video_id,video,landmarks,start_s\na,b,c,soon\n", "line 2: could not convert"),
        ("video_id,video,landmarks\na,b,c\na,b,c\n", "twice"),
    ],
)
def test_what_is_wrong_with_a_manifest_is_said(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(ManifestError, match=message):
        read_manifest(tmp_path / "list.csv")
