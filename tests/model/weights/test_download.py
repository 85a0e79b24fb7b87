"""The download, against a real server on this machine."""

import dataclasses
import hashlib
import resource
from pathlib import Path

import pytest

from model.errors import FetchError
from model.weights.download import RetryPolicy, download
from tests.model.weights.assets import CONTENT, IMPATIENT, Recorder, names, part_with, published


def test_a_file_arrives_whole_and_alone(tmp_path, files, asset, callbacks):
    path = download(asset, tmp_path / "new" / "folder", callbacks, retry=IMPATIENT)
    assert path.read_bytes() == CONTENT
    assert names(path.parent) == ["file.pt"]
    assert callbacks.progress[0] == 0
    assert callbacks.progress[-1] == len(CONTENT)
    assert callbacks.progress == sorted(callbacks.progress)
    assert files.asked[0]["accept-encoding"] == "identity"


def test_redirects_are_followed_also_when_resuming(tmp_path, files, callbacks):
    part_with(tmp_path, CONTENT[:1000], files.etag)
    path = download(published(files.moved_url), tmp_path, callbacks, retry=IMPATIENT)
    assert path.read_bytes() == CONTENT
    assert files.ranges_asked == ["bytes=1000-"]
    assert files.asked[0]["if-range"] == files.etag


def test_a_second_download_asks_for_nothing(tmp_path, files, asset, callbacks):
    download(asset, tmp_path, callbacks, retry=IMPATIENT)
    download(asset, tmp_path, callbacks, retry=IMPATIENT)
    assert len(files.asked) == 1


def test_a_cut_connection_is_resumed_and_only_the_rest_is_asked_for(tmp_path, files, asset, callbacks):
    files.cuts = [70_000, 50_000]
    path = download(asset, tmp_path, callbacks, retry=IMPATIENT)
    assert path.read_bytes() == CONTENT
    assert files.ranges_asked == [None, "bytes=70000-", "bytes=120000-"]
    assert [headers.get("if-range") for headers in files.asked] == [None, '"one"', '"one"']
    assert names(tmp_path) == ["file.pt"]


def test_a_short_answer_without_a_length_is_resumed_too(tmp_path, files, asset, callbacks):
    files.with_length, files.cuts = False, [70_000]
    assert download(asset, tmp_path, callbacks, retry=IMPATIENT).read_bytes() == CONTENT
    assert files.ranges_asked == [None, "bytes=70000-"]
    assert "ended after 70,000 of 200,000 bytes" in callbacks.notes[0]


def test_what_an_earlier_process_left_is_resumed(tmp_path, files, asset, callbacks):
    part_with(tmp_path, CONTENT[:150_000])
    assert download(asset, tmp_path, callbacks, retry=IMPATIENT).read_bytes() == CONTENT
    assert files.ranges_asked == ["bytes=150000-"]
    assert "if-range" not in files.asked[0]
    assert callbacks.progress[0] == 150_000


def test_a_complete_part_is_verified_without_asking_the_server(tmp_path, files, asset, callbacks):
    part_with(tmp_path, CONTENT, files.etag)
    assert download(asset, tmp_path, callbacks, retry=IMPATIENT).read_bytes() == CONTENT
    assert files.asked == []
    assert names(tmp_path) == ["file.pt"]


def test_a_part_that_is_too_long_is_begun_anew(tmp_path, files, asset, callbacks):
    part_with(tmp_path, CONTENT + b"!", files.etag)
    assert download(asset, tmp_path, callbacks, retry=IMPATIENT).read_bytes() == CONTENT
    assert files.ranges_asked == [None]


def test_a_server_that_ignores_ranges_sends_it_all_and_that_is_taken(tmp_path, files, asset, callbacks):
    files.ranges = False
    part_with(tmp_path, b"old bytes", files.etag)
    assert download(asset, tmp_path, callbacks, retry=IMPATIENT).read_bytes() == CONTENT
    assert files.ranges_asked == ["bytes=9-"]


def test_a_file_that_changed_on_the_server_is_begun_anew(tmp_path, files, asset, callbacks):
    part_with(tmp_path, b"bytes of another version", '"zero"')
    assert download(asset, tmp_path, callbacks, retry=IMPATIENT).read_bytes() == CONTENT
    assert len(files.asked) == 1


def test_a_weak_etag_is_not_used_for_resuming(tmp_path, files, asset, callbacks):
    files.etag, files.cuts = 'W/"one"', [70_000]
    assert download(asset, tmp_path, callbacks, retry=IMPATIENT).read_bytes() == CONTENT
    assert "if-range" not in files.asked[1]


@pytest.mark.parametrize("content_range", ["bytes 0-199999/200000", "bytes 9-", "nonsense"])
def test_an_answer_for_another_range_is_thrown_away(tmp_path, files, asset, callbacks, content_range):
    files.content_range = content_range
    part_with(tmp_path, CONTENT[:70_000], files.etag)
    assert download(asset, tmp_path, callbacks, retry=IMPATIENT).read_bytes() == CONTENT
    assert files.ranges_asked == ["bytes=70000-", None]
    assert content_range in callbacks.notes[0]


def test_a_range_that_can_not_be_had_is_begun_anew_and_the_wrong_size_named(tmp_path, files, asset, callbacks):
    files.content = CONTENT[:500]
    part_with(tmp_path, CONTENT[:1000], files.etag)
    with pytest.raises(FetchError, match="has 500 bytes; 200,000 were published"):
        download(asset, tmp_path, callbacks, retry=IMPATIENT)
    assert files.ranges_asked == ["bytes=1000-", None]
    assert "416" in callbacks.notes[0]
    assert names(tmp_path) == []


def test_a_busy_server_is_asked_again(tmp_path, files, asset, callbacks):
    files.statuses = [503, 429]
    assert download(asset, tmp_path, callbacks, retry=IMPATIENT).read_bytes() == CONTENT
    assert [note.split(";")[0] for note in callbacks.notes] == [
        "127.0.0.1 answered 503 Service Unavailable",
        "127.0.0.1 answered 429 Too Many Requests",
    ]


def test_pauses_grow_and_start_small_again_after_progress(tmp_path, files, asset, callbacks):
    files.statuses, files.cuts = [503, 503, 503], [70_000]
    download(asset, tmp_path, callbacks, retry=RetryPolicy(attempts=4, first_wait_s=0.01))
    assert [note.split("next attempt in ")[1] for note in callbacks.notes] == [
        "0.01 s",
        "0.02 s",
        "0.04 s",
        "0.01 s",
    ]


def test_a_server_that_stays_broken_is_given_up_and_the_part_kept(tmp_path, files, asset, callbacks):
    part_with(tmp_path, CONTENT[:1000], files.etag)
    files.statuses = [500, 502, 503]
    with pytest.raises(FetchError, match=r"3 attempts: .*503.* 1,000 of 200,000 bytes are kept.*--from FILE"):
        download(asset, tmp_path, callbacks, retry=IMPATIENT)
    assert len(files.asked) == 3
    assert (tmp_path / "file.pt.part").read_bytes() == CONTENT[:1000]
    assert not (tmp_path / "file.pt").exists()


def test_a_server_that_always_cuts_and_can_not_resume_is_given_up(tmp_path, files, asset, callbacks):
    files.content_range, files.cuts = "bytes 0-199999/200000", [70_000] * 30
    with pytest.raises(FetchError, match="in 3 attempts"):
        download(asset, tmp_path, callbacks, retry=IMPATIENT)
    assert len(files.asked) < 6


def test_a_silent_server_is_given_up(tmp_path, files, asset, callbacks):
    files.hold_after = 0
    with pytest.raises(FetchError, match=r"in 2 attempts: .*(timed out|Timeout)"):
        download(asset, tmp_path, callbacks, retry=RetryPolicy(attempts=2, first_wait_s=0.0, timeout_s=0.1))
    assert not (tmp_path / "file.pt").exists()


def test_a_missing_file_is_refused_at_once_and_leaves_nothing(tmp_path, files, callbacks):
    with pytest.raises(FetchError, match=r"answered 404 Not Found; .*--from FILE.*--url URL"):
        download(published(f"{files.url}/gone"), tmp_path, callbacks, retry=IMPATIENT)
    assert names(tmp_path) == []
    assert callbacks.notes == []


@pytest.mark.parametrize("status", [204, 401, 403, 404, 410])
def test_a_refusal_is_not_repeated(tmp_path, files, asset, callbacks, status):
    files.statuses = [status]
    with pytest.raises(FetchError, match=str(status)):
        download(asset, tmp_path, callbacks, retry=IMPATIENT)
    assert len(files.asked) == 1
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/file", "http://name.invalid/file", "ftp://example.org/file", "http://[/file"]
)
def test_without_a_network_the_other_ways_are_named(tmp_path, monkeypatch, callbacks, url):
    monkeypatch.setenv("NO_PROXY", "*")
    with pytest.raises(FetchError, match=r"--from FILE, or name a mirror with --url URL"):
        download(published(url), tmp_path, callbacks, retry=IMPATIENT)
    assert names(tmp_path) == []


def test_a_redirect_in_a_circle_is_refused(tmp_path, files, asset, callbacks):
    files.statuses = [302] * 30
    with pytest.raises(FetchError, match="redirects"):
        download(asset, tmp_path, callbacks, retry=IMPATIENT)


def test_another_size_is_refused_before_a_byte_is_taken(tmp_path, files, asset, callbacks):
    files.content = CONTENT + b"!"
    with pytest.raises(FetchError, match="has 200,001 bytes; 200,000 were published"):
        download(asset, tmp_path, callbacks, retry=IMPATIENT)
    assert callbacks.progress == []
    assert names(tmp_path) == []


def test_another_size_is_noticed_when_resuming(tmp_path, files, asset, callbacks):
    files.content = CONTENT + b"!"
    part_with(tmp_path, CONTENT[:1000], files.etag)
    with pytest.raises(FetchError, match="has 200,001 bytes; 200,000 were published"):
        download(asset, tmp_path, callbacks, retry=IMPATIENT)
    assert names(tmp_path) == []


def test_a_server_that_sends_more_and_more_is_stopped(tmp_path, files, asset, callbacks):
    files.with_length, files.content = False, CONTENT + b"!"
    with pytest.raises(FetchError, match="sends more than the 200,000 bytes"):
        download(asset, tmp_path, callbacks, retry=IMPATIENT)
    assert names(tmp_path) == []


@pytest.mark.parametrize("resumed", [False, True])
def test_wrong_bytes_are_removed_and_both_checksums_named(tmp_path, files, asset, callbacks, resumed):
    if resumed:
        part_with(tmp_path, b"x" * 1000, files.etag)
        arrived = b"x" * 1000 + CONTENT[1000:]
    else:
        arrived = files.content = bytes(reversed(CONTENT))
    with pytest.raises(FetchError, match=f"sha256 {hashlib.sha256(arrived).hexdigest()}; .*{asset.sha256}.*removed"):
        download(asset, tmp_path, callbacks, retry=IMPATIENT)
    assert names(tmp_path) == []


def test_a_file_damaged_on_the_disk_is_downloaded_again(tmp_path, files, asset, callbacks):
    (tmp_path / "file.pt").write_bytes(bytes(reversed(CONTENT)))
    assert download(asset, tmp_path, callbacks, retry=IMPATIENT).read_bytes() == CONTENT
    assert "damaged" in callbacks.notes[0]


def test_a_file_damaged_on_the_disk_does_not_stay_when_the_download_fails(tmp_path, files, asset, callbacks):
    (tmp_path / "file.pt").write_bytes(bytes(reversed(CONTENT)))
    files.statuses = [404]
    with pytest.raises(FetchError):
        download(asset, tmp_path, callbacks, retry=IMPATIENT)
    assert names(tmp_path) == []


def test_a_disk_too_small_is_refused_before_anything_is_asked(tmp_path, files, asset, callbacks):
    huge = dataclasses.replace(asset, num_bytes=1 << 60)
    with pytest.raises(FetchError, match=r"bytes free; 1,152,921,504,606,846,976 are needed\. Make room"):
        download(huge, tmp_path, callbacks, retry=IMPATIENT)
    with pytest.raises(FetchError, match="are needed"):
        download(asset, tmp_path, callbacks, retry=IMPATIENT, reserve_bytes=1 << 60)
    assert files.asked == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full, the disk that is always full")
def test_a_disk_that_fills_up_leaves_no_part(tmp_path, files, asset, callbacks):
    (tmp_path / "file.pt.part").symlink_to("/dev/full")
    with pytest.raises(FetchError, match=r"no room to write .*No space left on device.*Make room"):
        download(asset, tmp_path, callbacks, retry=IMPATIENT)
    assert len(files.asked) == 1
    assert names(tmp_path) == []


def test_a_limit_reached_half_way_leaves_no_part(tmp_path, files, asset, callbacks):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(FetchError, match=r"no room to write .*File too large"):
            download(asset, tmp_path, callbacks, retry=IMPATIENT)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert 0 < max(callbacks.progress) <= len(CONTENT)
    assert names(tmp_path) == []


def test_a_folder_that_can_not_be_made_is_named_before_anything_is_asked(tmp_path, files, asset, callbacks):
    (tmp_path / "data").write_text("a file in the way")
    with pytest.raises(FetchError, match=r"data/downloads can't be made .*--data DIR"):
        download(asset, tmp_path / "data" / "downloads", callbacks, retry=IMPATIENT)
    assert files.asked == []


def test_two_downloads_do_not_write_one_file(tmp_path, files, asset, callbacks):
    second = []

    class Intruder(Recorder):
        def on_bytes(self, num_bytes):
            if not second:
                with pytest.raises(FetchError, match="another download is writing") as refusal:
                    download(asset, tmp_path, callbacks, retry=IMPATIENT)
                second.append(refusal)

    assert download(asset, tmp_path, Intruder(), retry=IMPATIENT).read_bytes() == CONTENT
    assert len(second) == len(files.asked) == 1
