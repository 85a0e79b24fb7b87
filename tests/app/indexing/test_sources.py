"""Plain folders of videos."""

import os
import unicodedata

import pytest

from app.errors import SourceError
from app.indexing.sources import scan


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def glosses(folder):
    return {clip.entry.id: clip.entry.gloss for clip in scan(folder).clips}


def test_a_file_in_the_folder_has_its_name_as_gloss(tmp_path):
    touch(tmp_path, "house.mp4", "Guten Tag.webm")
    assert glosses(tmp_path) == {"house.mp4": "house", "Guten Tag.webm": "Guten Tag"}


def test_a_file_in_a_sub_folder_has_the_name_of_its_folder_as_gloss(tmp_path):
    touch(tmp_path, "house/anna.mp4", "house/ben.mp4", "animals/dog/1.mov")
    assert glosses(tmp_path) == {"house/anna.mp4": "house", "house/ben.mp4": "house", "animals/dog/1.mov": "dog"}


def test_two_files_of_the_same_stem_are_two_entries_of_one_sign(tmp_path):
    touch(tmp_path, "house.mp4", "house.MOV")
    clips = scan(tmp_path).clips
    assert len({clip.entry.id for clip in clips}) == 2
    assert len({clip.entry.sign for clip in clips}) == 1


def test_hidden_files_and_files_of_other_kinds_are_left_alone(tmp_path):
    touch(tmp_path, ".house.mp4", ".git/x.mp4", "README.md", "house.mp4.part", "notes.txt", "house")
    found = scan(tmp_path)
    assert (found.clips, found.skipped) == ((), ())


def test_the_order_is_that_of_the_paths(tmp_path):
    touch(tmp_path, "b.mp4", "a.mp4", "c/1.mp4")
    assert [clip.entry.id for clip in scan(tmp_path).clips] == ["a.mp4", "b.mp4", "c/1.mp4"]


def test_both_spellings_of_an_umlaut_are_one_gloss(tmp_path):
    touch(tmp_path, unicodedata.normalize("NFD", "Tür") + ".mp4", unicodedata.normalize("NFC", "Tür") + "/1.mp4")
    assert set(glosses(tmp_path).values()) == {unicodedata.normalize("NFC", "Tür")}


def test_links_are_followed_inside_the_folder_and_refused_outside(tmp_path):
    folder, outside = tmp_path / "videos", tmp_path / "outside"
    touch(folder, "house.mp4")
    touch(outside, "secret.mp4")
    (folder / "home.mp4").symlink_to("house.mp4")
    (folder / "leak.mp4").symlink_to(outside / "secret.mp4")
    (folder / "gone.mp4").symlink_to("nothing.mp4")
    (folder / "linked").symlink_to(outside)
    (folder / "loop").symlink_to(folder)
    found = scan(folder)
    assert [clip.entry.gloss for clip in found.clips] == ["home", "house"]
    assert {skipped.video for skipped in found.skipped} == {"leak.mp4", "gone.mp4", "linked", "loop"}


def test_a_folder_that_is_itself_a_link_is_fine(tmp_path):
    touch(tmp_path / "real", "house.mp4")
    (tmp_path / "link").symlink_to("real")
    assert glosses(tmp_path / "link") == {"house.mp4": "house"}


def test_a_name_that_is_no_text_is_skipped_and_can_be_shown(tmp_path):
    name = os.fsdecode(b"h\xff.mp4")
    touch(tmp_path, name)
    [skipped] = scan(tmp_path).skipped
    assert "UTF-8" in skipped.reason
    skipped.video.encode()


@pytest.mark.parametrize("name", ["two\nlines.mp4", "tab\t/1.mp4", "\x1b[31m.mp4"])
def test_a_name_with_a_control_character_is_skipped(tmp_path, name):
    touch(tmp_path, name)
    found = scan(tmp_path)
    assert found.clips == ()
    assert "control character" in found.skipped[0].reason


def test_a_pipe_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    assert scan(tmp_path).skipped[0].reason == "it is not a file"


def test_a_name_of_spaces_gives_no_gloss(tmp_path):
    touch(tmp_path, "  /1.mp4")
    assert "no gloss" in scan(tmp_path).skipped[0].reason


@pytest.mark.parametrize("name", ["nowhere", "file.mp4"])
def test_what_is_no_folder_is_refused(tmp_path, name):
    touch(tmp_path, "file.mp4")
    with pytest.raises(SourceError, match=name):
        scan(tmp_path / name)
