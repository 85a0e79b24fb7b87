"""Dictionaries that are listed in a file."""

import csv
import json
import os
import unicodedata

import pytest

from app.errors import SourceError
from app.indexing.sources import scan


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "dictionary"
    for name in ("house.mp4", "tree.mp4", "signs/dog.webm"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    (tmp_path / "secret.mp4").write_bytes(b"x")
    return root


def write_csv(folder, *lines, encoding="utf-8"):
    (folder / "entries.csv").write_bytes("\n".join(lines).encode(encoding))
    return scan(folder)


def write_jsonl(folder, *rows):
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    (folder / "entries.jsonl").write_text("\n".join(lines))
    return scan(folder)


def reasons(found):
    return {skipped.line: skipped.reason for skipped in found.skipped}


def test_every_column_arrives_in_the_entry(folder):
    found = write_csv(
        folder,
        "id,gloss,video,signer,language,tags,start_s,end_s,url,licence",
        "h1,HOUSE,house.mp4,anna,ase,home|buildings,0.5,2.25,https://example.org/h,CC BY 4.0",
    )
    [clip] = found.clips
    entry = clip.entry
    assert (entry.id, entry.gloss, entry.video, entry.signer, entry.language) == (
        "h1", "HOUSE", "house.mp4", "anna", "ase",
    )  # fmt: skip
    assert (entry.tags, entry.start_s, entry.end_s) == (("home", "buildings"), 0.5, 2.25)
    assert (entry.url, entry.licence) == ("https://example.org/h", "CC BY 4.0")
    assert clip.path == folder / "house.mp4"
    assert found.skipped == ()


def test_json_lines_say_the_same_as_csv(folder):
    from_csv = write_csv(
        folder, "id,gloss,video,tags,start_s", "1,HOUSE,house.mp4,home|big,0.5", "2,DOG,signs/dog.webm,,"
    )
    (folder / "entries.csv").unlink()
    from_jsonl = write_jsonl(
        folder,
        {"id": 1, "gloss": "HOUSE", "video": "house.mp4", "tags": ["home", "big"], "start_s": 0.5},
        "",
        {"id": "2", "gloss": "DOG", "video": "signs/dog.webm", "tags": None},
    )
    assert [clip.entry for clip in from_jsonl.clips] == [clip.entry for clip in from_csv.clips]
    assert [clip.line for clip in from_jsonl.clips] == [1, 3]


def test_only_what_is_listed_is_taken_and_the_order_is_the_lists(folder):
    found = write_csv(folder, "gloss,video", "TREE,tree.mp4", "HOUSE,house.mp4")
    assert [clip.entry.gloss for clip in found.clips] == ["TREE", "HOUSE"]
    assert [clip.entry.id for clip in found.clips] == ["tree.mp4", "house.mp4"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_what_spreadsheets_write_is_read(folder, encoding, separator, newline):
    gloss = "Tür;,\u2028Haus"
    rows = [["Video", " GLOSS ", "end_s", "Remarks"], ["house.mp4", gloss, "1,5", "two\nlines"]]
    with (folder / "entries.csv").open("w", encoding=encoding, newline="") as file:
        csv.writer(file, delimiter=separator, lineterminator=newline).writerows([*rows, ["tree.mp4", "Baum"]])
    found = scan(folder)
    assert found.skipped == ()
    assert [(clip.entry.gloss, clip.entry.end_s) for clip in found.clips] == [
        (gloss, 1.5),
        ("Baum", None),
    ]


def test_rows_that_can_not_be_used_are_reported_with_line_and_reason_and_stop_nothing(folder):
    (folder / "leak.mp4").symlink_to("../secret.mp4")
    (folder / "loop.mp4").symlink_to("loop.mp4")
    (folder / "gone.mp4").symlink_to("nothing.mp4")
    os.mkfifo(folder / "pipe.mp4")
    rows = [
        ("A,HOUSE,house.mp4,,", None),
        ("A,TREE,tree.mp4,,", "line 2 already"),
        ("B,TREE,nowhere.mp4,,", "leads nowhere: nowhere.mp4"),
        ("C,TREE,../secret.mp4,,", "leads out"),
        ("D,TREE,/etc/hostname,,", "leads out"),
        ("E,TREE,leak.mp4,,", "leads out"),
        ("F,TREE,loop.mp4,,", "leads nowhere"),
        ("G,TREE,gone.mp4,,", "leads nowhere"),
        ("H,TREE,signs,,", "not a file"),
        ("I,TREE,pipe.mp4,,", "not a file"),
        ("J,TREE,signs\\dog.webm,,", "put / between"),
        ("K,,tree.mp4,,", "no gloss"),
        ("L,TREE,,,", "no video"),
        ("M,TREE,tree.mp4,soon,", "start_s is 'soon'"),
        ("N,TREE,tree.mp4,nan,", "start_s is nan"),
        ("O,TREE,tree.mp4,-1,", "start_s is -1"),
        ("P,TREE,tree.mp4,2,1", "end_s must be larger"),
        ("Q,TREE,tree.mp4,1e999,", "start_s is inf"),
        ("R,TREE,tree.mp4,,,one,too,many", "values for 5 columns"),
        (f"S,{'X' * 600},tree.mp4,,", "600 characters"),
        ('T,"TREE,tree.mp4,,', "well-formed"),
        ('U,"TREE" x,tree.mp4,,', "well-formed"),
        ("V,TR\x07EE,tree.mp4,,", "control character"),
        (f"W,TREE,{'x' * 300}.mp4,,", "no such file"),
        ("X,TREE,tree\0.mp4,,", "control character"),
        ("Z,DOG,signs/dog.webm,,", None),
    ]
    found = write_csv(folder, "id,gloss,video,start_s,end_s", *(row for row, _ in rows))
    assert [clip.entry.id for clip in found.clips] == ["A", "Z"]
    told = reasons(found)
    expected = {line: reason for line, (_, reason) in enumerate(rows, start=2) if reason}
    assert set(told) == set(expected)
    for line, reason in expected.items():
        assert reason in told[line], (line, told[line])


@pytest.mark.parametrize("identity", ["..", ".", "a/../b", "../../etc/passwd", "/a", "a/", "a//b", "./a"])
def test_an_id_that_no_address_can_hold_is_refused(folder, identity):
    (folder / "entries.csv").write_text(f"id,gloss,video\n{identity},HOUSE,house.mp4\n")
    found = scan(folder)
    assert found.clips == ()
    [skipped] = found.skipped
    assert skipped.line == 2
    assert "can't be part of an address" in skipped.reason


def test_an_id_that_is_left_out_is_the_shortest_form_of_the_path(folder):
    (folder / "entries.csv").write_text("gloss,video\nHOUSE,.//house.mp4\n")
    assert [clip.entry.id for clip in scan(folder).clips] == ["house.mp4"]


def test_a_quotation_mark_that_is_never_closed_costs_one_row(folder):
    found = write_csv(folder, "gloss,video", '"HOUSE,house.mp4', *["TREE,tree.mp4"] * 60, "DOG,signs/dog.webm")
    assert [clip.entry.gloss for clip in found.clips] == ["TREE", "DOG"]
    assert "well-formed" in reasons(found)[2]


def test_bytes_that_are_no_text_cost_their_row_only(folder):
    content = "gloss,video\nT\u00fcr,house.mp4\nTREE,tree.mp4\n".encode("latin-1")
    (folder / "entries.csv").write_bytes(content)
    found = scan(folder)
    assert [clip.entry.gloss for clip in found.clips] == ["TREE"]
    assert "save the file as UTF-8" in reasons(found)[2]
    (folder / "entries.csv").write_bytes(b"gloss,video\nHOUSE,h\xfcuse.mp4\n")
    assert scan(folder).skipped[0].video.encode()


def test_json_lines_that_can_not_be_used_are_reported(folder):
    (folder / "entries.jsonl").write_bytes(
        b"\xef\xbb\xbf"
        + b"\n".join(
            [
                b'{"gloss": "HOUSE", "video": "house.mp4"}',
                b'{"gloss": "TREE"',
                b'["TREE", "tree.mp4"]',
                b'{"gloss": "T\xff", "video": "tree.mp4"}',
                b'{"gloss": ["TREE"], "video": "tree.mp4"}',
                b'{"gloss": "TREE", "video": "tree.mp4", "start_s": true}',
                b'{"gloss": "TREE", "video": "tree.mp4", "end_s": NaN}',
                b'{"gloss": "TREE", "video": "tree.mp4", "end_s": 1' + b"0" * 400 + b"}",
                b'{"gloss": "TREE", "video": "tree.mp4", "tags": [{"a": 1}]}',
                b"[" * 100_000,
                b'{"gloss": "DOG", "video": "signs/dog.webm"}',
            ]
        )
    )
    found = scan(folder)
    assert [clip.entry.gloss for clip in found.clips] == ["HOUSE", "DOG"]
    assert sorted(reasons(found)) == list(range(2, 11))


def test_a_video_whose_name_spells_accents_otherwise_is_found(folder):
    (folder / unicodedata.normalize("NFD", "Tür.mp4")).write_bytes(b"x")
    [clip] = write_csv(folder, "gloss,video", unicodedata.normalize("NFC", "Tür,Tür.mp4")).clips
    assert clip.path.is_file()
    assert (folder / clip.entry.video).is_file()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no column gloss"),
        (b"id,name\n1,HOUSE\n", "no column gloss and no column video"),
        (b"\xff\xfe", "no column"),
    ],
)
def test_a_table_without_the_needed_columns_is_refused(folder, content, said):
    (folder / "entries.csv").write_bytes(content)
    with pytest.raises(SourceError, match=said):
        scan(folder)


def test_two_lists_are_refused(folder):
    for name in ("entries.csv", "entries.jsonl"):
        (folder / name).write_text("")
    with pytest.raises(SourceError, match="keep the one that is meant"):
        scan(folder)
