"""Signs by text, one by one, look-alikes, filter values; their videos and pictures."""

import io
import json
import shutil

import av
import pytest

from tests.app.conftest import GLOSSES
from tests.tiny_videos import write_clip


def get(served, path, **asked):
    return served.client.get(path, **asked)


def sign_id(served, gloss):
    [found] = get(served, "/v1/signs", params={"text": gloss}).json()["signs"]
    return found["id"]


def test_all_signs_come_in_the_order_of_the_alphabet(served):
    answer = get(served, "/v1/signs").json()
    assert (answer["total"], answer["offset"]) == (5, 0)
    assert [sign["gloss"] for sign in answer["signs"]] == GLOSSES
    assert answer["snapshot_id"] == get(served, "/v1/info").json()["dictionary"]["snapshot_id"]


def test_signs_are_found_by_part_of_their_gloss(served):
    assert [sign["gloss"] for sign in get(served, "/v1/signs", params={"text": "ea"}).json()["signs"]] == [
        "EARTH",
        "BREAD",
    ]
    assert get(served, "/v1/signs", params={"text": "nothing"}).json()["signs"] == []


def test_pages_follow_one_another(served):
    pages = [get(served, "/v1/signs", params={"limit": 2, "offset": offset}).json() for offset in (0, 2, 4, 6)]
    assert [[sign["gloss"] for sign in page["signs"]] for page in pages] == [GLOSSES[:2], GLOSSES[2:4], GLOSSES[4:], []]
    assert {page["total"] for page in pages} == {5}


@pytest.mark.parametrize("asked", [{"limit": 0}, {"limit": 201}, {"offset": -1}, {"text": "x" * 201}])
def test_what_does_not_fit_is_refused(served, asked):
    assert get(served, "/v1/signs", params=asked).status_code == 422


def test_one_sign_comes_with_its_videos(served):
    answer = get(served, f"/v1/signs/{sign_id(served, 'BREAD')}").json()
    [entry] = answer["entries"]
    assert (answer["gloss"], entry["video"], entry["tags"]) == ("BREAD", "BREAD.mp4", [])
    assert get(served, entry["video_url"]).status_code == 200


def test_look_alikes_are_other_signs(served):
    answer = get(served, f"/v1/signs/{sign_id(served, 'BREAD')}/similar", params={"k": 3}).json()
    assert answer["sign"]["gloss"] == "BREAD"
    assert len(answer["hits"]) == 3
    assert "BREAD" not in [hit["sign"]["gloss"] for hit in answer["hits"]]


@pytest.mark.parametrize("path", ["/v1/signs/nope", "/v1/signs/nope/similar"])
def test_an_unknown_sign_is_not_found(served, path):
    response = get(served, path)
    assert (response.status_code, response.json()["type"]) == (404, "urn:signdex:problem:sign-unknown")


def test_facets_of_a_plain_folder_are_empty(served):
    assert get(served, "/v1/facets").json() == {"languages": [], "tags": [], "signers": []}


def test_without_a_dictionary_every_route_says_so(start):
    served = start()
    for path in ("/v1/signs", "/v1/signs/x", "/v1/signs/x/similar", "/v1/facets", "/v1/entries/x/video"):
        assert get(served, path).json()["type"] == "urn:signdex:problem:dictionary-empty"


def test_a_hit_leads_to_its_video_and_its_picture(served, dictionary_folder):
    path = dictionary_folder / "DANCE.mp4"
    [entry] = served.post(path).json()["hits"][0]["entries"]
    video = get(served, entry["video_url"])
    assert video.content == path.read_bytes()
    assert video.headers["Content-Type"] == "video/mp4"
    picture = get(served, entry["thumbnail_url"])
    assert picture.headers["Content-Type"] == "image/jpeg"
    with av.open(io.BytesIO(picture.content)) as jpeg:
        [frame] = jpeg.decode(video=0)
    assert (frame.width, frame.height) == (256, 256)


ODD_IDS = [
    "a b",
    "50% off",
    "%2e%2e",
    "..a/b..",
    "...",
    "what?#now",
    "Tür/日本/手",
    "a&b=c;d+e",
    "back\\slash",
    "video",
    "x/video",
    "x/thumbnail/video",
    "~{}|^`[]<>'\"",
    "\u202eturned",
]


def test_entries_of_odd_ids_are_reached_by_their_addresses(start, dictionary_folder, tmp_path):
    folder = tmp_path / "videos"
    shutil.copytree(dictionary_folder, folder)
    rows = [{"id": identity, "gloss": f"SIGN {i}", "video": "DANCE.mp4"} for i, identity in enumerate(ODD_IDS)]
    (folder / "entries.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    served = start(filled=True, dictionary=folder)
    entries = [entry for sign in get(served, "/v1/signs").json()["signs"] for entry in sign["entries"]]
    assert {entry["id"] for entry in entries} == set(ODD_IDS)
    for entry in entries:
        assert get(served, entry["video_url"]).content == (folder / "DANCE.mp4").read_bytes(), entry["id"]
        assert get(served, entry["thumbnail_url"]).status_code == 200, entry["id"]


def test_a_video_is_given_in_ranges(served, dictionary_folder):
    content = (dictionary_folder / "APPLE.mp4").read_bytes()
    part = get(served, "/v1/entries/APPLE.mp4/video", headers={"Range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, content[100:200])
    assert part.headers["Content-Range"] == f"bytes 100-199/{len(content)}"
    end = get(served, "/v1/entries/APPLE.mp4/video", headers={"Range": "bytes=-50"})
    assert end.content == content[-50:]
    beyond = get(served, "/v1/entries/APPLE.mp4/video", headers={"Range": f"bytes={len(content)}-"})
    assert beyond.status_code == 416
    head = served.client.head("/v1/entries/APPLE.mp4/video")
    assert (head.content, int(head.headers["Content-Length"])) == (b"", len(content))


@pytest.mark.parametrize("what", ["video", "thumbnail"])
def test_who_has_it_already_gets_nothing_again(served, what):
    first = get(served, f"/v1/entries/APPLE.mp4/{what}")
    etag = first.headers["ETag"]
    for known in (etag, f'"x", {etag}', f"W/{etag}", "*"):
        again = get(served, f"/v1/entries/APPLE.mp4/{what}", headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", etag)
    assert get(served, f"/v1/entries/APPLE.mp4/{what}", headers={"If-None-Match": '"x"'}).content == first.content


def test_a_picture_is_made_once_until_the_video_changes(start, tmp_path):
    folder = tmp_path / "videos"
    write_clip(folder / "ONE.mp4", 1)
    served = start(filled=True, dictionary=folder)
    first = get(served, "/v1/entries/ONE.mp4/thumbnail")
    before = decoded(served)
    assert get(served, "/v1/entries/ONE.mp4/thumbnail").content == first.content
    assert decoded(served) == before
    write_clip(folder / "ONE.mp4", 2, seconds=1.2)
    changed = get(served, "/v1/entries/ONE.mp4/thumbnail", headers={"If-None-Match": first.headers["ETag"]})
    assert changed.status_code == 200
    assert changed.content != first.content


def decoded(served):
    return [process.num_done for process in served.app.state.search_service._decoders._all]


def test_ids_with_folders_blanks_and_signs_work(start, tmp_path):
    folder = tmp_path / "videos"
    names = ["HAUS/anna schmidt.mp4", "GRÜN/50%.mp4", "A#B/c?d&e.mp4", "QUOTE/'x\".mp4"]
    for seed, name in enumerate(names):
        write_clip(folder / name, seed)
    served = start(filled=True, dictionary=folder)
    for name in names:
        [entry] = served.post(folder / name).json()["hits"][0]["entries"]
        assert entry["id"] == name
        assert get(served, entry["video_url"]).content == (folder / name).read_bytes()
        assert get(served, entry["thumbnail_url"]).status_code == 200


def test_an_unknown_entry_is_not_found(served):
    for path in ("x", "../../etc/passwd", "%2e%2e/x", "/etc/passwd"):
        response = get(served, f"/v1/entries/{path}/video")
        assert response.status_code == 404


def test_a_video_that_has_gone_or_leads_out_of_the_folder_is_missing(start, tmp_path):
    folder = tmp_path / "videos"
    for seed, name in enumerate(("GONE", "OUT")):
        write_clip(folder / f"{name}.mp4", seed)
    served = start(filled=True, dictionary=folder)
    (folder / "GONE.mp4").unlink()
    secret = write_clip(tmp_path / "secret.mp4", 9)
    (folder / "OUT.mp4").unlink()
    (folder / "OUT.mp4").symlink_to(secret)
    for name in ("GONE", "OUT"):
        for what in ("video", "thumbnail"):
            response = get(served, f"/v1/entries/{name}.mp4/{what}")
            assert (response.status_code, response.json()["type"]) == (404, "urn:signdex:problem:video-missing")


def test_a_picture_of_a_broken_video_is_a_problem(start, tmp_path):
    folder = tmp_path / "videos"
    write_clip(folder / "ONE.mp4", 1)
    served = start(filled=True, dictionary=folder)
    (folder / "ONE.mp4").write_bytes(b"no video any more")
    assert get(served, "/v1/entries/ONE.mp4/thumbnail").status_code == 415


def test_videos_indexed_by_the_command_line_are_served_without_a_set_folder(start, settings, progress, tmp_path):
    from app.replica.services import open_services
    from tests.fakes import FakeEncoder

    open_services(settings, FakeEncoder()).reindex(progress)
    served = start(dictionary=None)
    assert get(served, "/v1/entries/APPLE.mp4/video").status_code == 200
