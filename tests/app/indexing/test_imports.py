"""Data sets as they are published become dictionaries. The layouts are real, the content is made up."""

import json

import pytest

from app.errors import SourceError
from app.indexing.imports import READERS, asl_citizen, signbank, wlasl, write_entries
from app.indexing.sources import scan


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def entries(folder):
    found = scan(folder)
    assert found.skipped == ()
    return {clip.entry.id: clip.entry for clip in found.clips}


@pytest.fixture
def wlasl_folder(tmp_path):
    def instance(video_id, **more):
        return {
            "bbox": [385, 37, 885, 720], "fps": 25, "frame_end": -1, "frame_start": 1, "instance_id": 0,
            "signer_id": 118, "source": "aslbrick", "split": "train", "url": f"http://example.org/{video_id}",
            "variation_id": 0, "video_id": video_id, **more,
        }  # fmt: skip

    content = [
        {
            "gloss": "book",
            "instances": [instance("69241"), instance("65225", split="test", signer_id=4), instance("1")],
        },
        {"gloss": "thank you", "instances": [instance("00377", frame_start=1555, frame_end=1600)]},
    ]
    (tmp_path / "WLASL_v0.3.json").write_text(json.dumps(content))
    touch(tmp_path, "videos/69241.mp4", "videos/65225.mp4", "videos/00377.mp4")
    return tmp_path


@pytest.fixture
def citizen_folder(tmp_path):
    header = "Participant ID,Video file,Gloss,ASL-LEX Code\n"
    tables = {
        "train": 'P1,4729912950-HELLO.mp4,HELLO,A_01_001\nP2,15890-seedHELLO.mp4," HELLO ",A_01_001\n',
        "val": 'P3,0001-THINK.mp4,"THINK, CHIN",B_02_011\n',
        "test": "P4,0002-GONE.mp4,GONE,C_03_020\n",
    }
    (tmp_path / "splits").mkdir()
    for split, rows in tables.items():
        (tmp_path / "splits" / f"{split}.csv").write_text(header + rows)
    touch(tmp_path, *(f"videos/{name}.mp4" for name in ("4729912950-HELLO", "15890-seedHELLO", "0001-THINK")))
    return tmp_path


@pytest.fixture
def signbank_folder(tmp_path):
    (tmp_path / "dictionary-export.csv").write_text(
        "Signbank ID,Dataset,Lemma ID Gloss (Dutch),Lemma ID Gloss (English),Annotation ID Gloss (Dutch),"
        "Annotation ID Gloss (English),Senses (Dutch),Handedness,Semantic Field,SignLanguages,Dialects,Tags\n"
        '1005,NGT,HUIS,HOUSE,HUIS-A,HOUSE-A,"1. huis, 2. woning",2s,"Home, Buildings",NGT,,checked\n'
        "1006,NGT,BOOM,TREE, ,TREE,boom,1, ,NGT,,\n"
        "1007,NGT,HOND,DOG,HOND,DOG,hond,1,,NGT,,\n"
        "1008,NGT,,,,,,,,NGT,,\n",
        encoding="utf-8-sig",
    )
    touch(
        tmp_path, "glossvideo/NGT/HU/HUIS-A-1005.mp4", "glossvideo/NGT/HU/HUIS-A-1005_left.mp4",
        "glossvideo/NGT/BO/BOOM-1006.webm", "glossvideo/NGT/XX/XX-10.mp4",
    )  # fmt: skip
    return tmp_path


@pytest.mark.parametrize("name", ["entries.csv", "entries.jsonl"])
def test_wlasl_becomes_a_dictionary(wlasl_folder, name):
    found = write_entries(wlasl, wlasl_folder, wlasl_folder / name)
    assert (found.num_entries, found.num_signs) == (3, 2)
    assert [skipped.video for skipped in found.skipped] == ["videos/1.mp4"]
    made = entries(wlasl_folder)
    book = made["wlasl-65225"]
    assert (book.gloss, book.video, book.signer, book.language) == ("book", "videos/65225.mp4", "wlasl-4", "ase")
    assert (book.tags, book.url, book.licence) == (("test",), "http://example.org/65225", "C-UDA-1.0")
    whole = made["wlasl-00377"]  # cut by its frame numbers when it was downloaded
    assert (whole.gloss, whole.start_s, whole.end_s) == ("thank you", 0, None)


@pytest.mark.parametrize("name", ["entries.csv", "entries.jsonl"])
def test_asl_citizen_becomes_a_dictionary(citizen_folder, name):
    found = write_entries(asl_citizen, citizen_folder, citizen_folder / name)
    assert (found.num_entries, found.num_signs) == (3, 2)
    assert [(skipped.video, skipped.line) for skipped in found.skipped] == [("videos/0002-GONE.mp4", 2)]
    made = entries(citizen_folder)
    assert made["aslcitizen-15890-seedHELLO"].gloss == "HELLO"
    think = made["aslcitizen-0001-THINK"]
    assert (think.gloss, think.signer, think.tags, think.language) == ("THINK, CHIN", "P3", ("val",), "ase")


@pytest.mark.parametrize("name", ["entries.csv", "entries.jsonl"])
def test_a_signbank_export_becomes_a_dictionary(signbank_folder, name):
    found = write_entries(signbank, signbank_folder, signbank_folder / name)
    assert (found.num_entries, found.num_signs) == (2, 2)
    assert {skipped.line: skipped.reason for skipped in found.skipped} == {
        4: "no video ends in -1007",
        5: "it has no gloss",
    }
    made = entries(signbank_folder)
    house = made["signbank-1005"]
    assert (house.gloss, house.video, house.language) == ("HUIS-A", "glossvideo/NGT/HU/HUIS-A-1005.mp4", "NGT")
    assert house.tags == ("Home", "Buildings", "checked")
    assert (made["signbank-1006"].gloss, made["signbank-1006"].tags) == ("TREE", ())


def test_a_signbank_import_can_be_repeated_in_place(signbank_folder):
    for _ in range(2):
        write_entries(signbank, signbank_folder, signbank_folder / "entries.csv")
    assert len(entries(signbank_folder)) == 2


def test_the_entries_file_may_lie_above_the_data_set(wlasl_folder, tmp_path):
    target = tmp_path.parent / "entries.jsonl"
    write_entries(wlasl, wlasl_folder, target)
    assert json.loads(target.read_text().splitlines()[0])["video"] == f"{wlasl_folder.name}/videos/69241.mp4"
    target.unlink()


@pytest.mark.parametrize("reader", READERS.values())
def test_a_folder_of_another_layout_is_refused_and_says_what_is_missing(reader, tmp_path):
    with pytest.raises(SourceError, match=r"WLASL_v|splits/|CSV files"):
        write_entries(reader, tmp_path, tmp_path / "entries.csv")


def test_lists_of_another_layout_are_refused(tmp_path):
    for content in ("{", "[1]", '[{"gloss": "x"}]', '{"a": 1}'):
        (tmp_path / "WLASL_v0.3.json").write_text(content)
        with pytest.raises(SourceError, match=r"WLASL_v0\.3\.json is not"):
            write_entries(wlasl, tmp_path, tmp_path / "entries.csv")
    (tmp_path / "export.csv").write_text("id,gloss\n")
    with pytest.raises(SourceError, match="no column signbank id"):
        write_entries(signbank, tmp_path, tmp_path / "entries.csv")


def test_a_target_that_can_not_reach_the_videos_is_refused(wlasl_folder, tmp_path_factory):
    with pytest.raises(SourceError, match="not below"):
        write_entries(wlasl, wlasl_folder, tmp_path_factory.mktemp("elsewhere") / "entries.csv")
    with pytest.raises(SourceError, match=r"neither \.csv nor \.jsonl"):
        write_entries(wlasl, wlasl_folder, wlasl_folder / "entries.txt")


def test_nothing_is_written_where_no_video_is_there(citizen_folder):
    for path in (citizen_folder / "videos").iterdir():
        path.unlink()
    with pytest.raises(SourceError, match="4 left out"):
        write_entries(asl_citizen, citizen_folder, citizen_folder / "entries.csv")
    assert not (citizen_folder / "entries.csv").exists()
