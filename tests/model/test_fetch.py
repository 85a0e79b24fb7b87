"""The download and the command around it, against a real server on this machine."""

import dataclasses
import hashlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from model import fetch as fetching
from model.download import Asset, Patience, download
from model.errors import ExportError, FetchError
from model.fetch import SIGNREP, Order, fetch, load_export, run
from model.runtime import half_beside
from tests.model.file_server import FileServer, serving

ROOT = Path(__file__).resolve().parents[2]
CONTENT = random.Random(7).randbytes(200_000)
IMPATIENT = Patience(attempts=3, first_wait_s=0.0, timeout_s=5.0)


@dataclasses.dataclass
class Recorder:
    """Remembers what it was told."""

    notes: list[str] = dataclasses.field(default_factory=list)
    progress: list[int] = dataclasses.field(default_factory=list)

    def note(self, sentence):
        self.notes.append(sentence)

    def bytes_done(self, num_bytes):
        self.progress.append(num_bytes)


@pytest.fixture
def files(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving(FileServer(CONTENT)) as server:
        yield server


@pytest.fixture
def asset(files):
    return published(files.url)


@pytest.fixture
def listener():
    return Recorder()


def published(url, content=CONTENT):
    digest = hashlib.sha256(content).hexdigest()
    return Asset("file.pt", "A publisher", url, len(content), digest, "CC BY-NC-SA 4.0", "https://example.org/licence")


def plain_convert(checkpoint, out):
    """A converter that is easy to check."""
    out.write_bytes(b"encoder of " + checkpoint.read_bytes())


def converter_of(convert):
    return lambda order: convert


def part_with(folder, content, etag=None):
    """What an interrupted download leaves."""
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / "file.pt.part"
    part.write_bytes(content)
    if etag:
        (folder / "file.pt.part.etag").write_text(etag)
    return part


def names(folder):
    return sorted(path.name for path in folder.iterdir())


# The download


def test_a_file_arrives_whole_and_alone(tmp_path, files, asset, listener):
    path = download(asset, tmp_path / "new" / "folder", listener, patience=IMPATIENT)
    assert path.read_bytes() == CONTENT
    assert names(path.parent) == ["file.pt"]
    assert listener.progress[0] == 0
    assert listener.progress[-1] == len(CONTENT)
    assert listener.progress == sorted(listener.progress)
    assert files.asked[0]["accept-encoding"] == "identity"


def test_redirects_are_followed_also_when_resuming(tmp_path, files, listener):
    part_with(tmp_path, CONTENT[:1000], files.etag)
    path = download(published(files.moved_url), tmp_path, listener, patience=IMPATIENT)
    assert path.read_bytes() == CONTENT
    assert files.ranges_asked == ["bytes=1000-"]
    assert files.asked[0]["if-range"] == files.etag


def test_a_second_download_asks_for_nothing(tmp_path, files, asset, listener):
    download(asset, tmp_path, listener, patience=IMPATIENT)
    download(asset, tmp_path, listener, patience=IMPATIENT)
    assert len(files.asked) == 1


def test_a_cut_connection_is_resumed_and_only_the_rest_is_asked_for(tmp_path, files, asset, listener):
    files.cuts = [70_000, 50_000]
    path = download(asset, tmp_path, listener, patience=IMPATIENT)
    assert path.read_bytes() == CONTENT
    assert files.ranges_asked == [None, "bytes=70000-", "bytes=120000-"]
    assert [headers.get("if-range") for headers in files.asked] == [None, '"one"', '"one"']
    assert names(tmp_path) == ["file.pt"]


def test_a_short_answer_without_a_length_is_resumed_too(tmp_path, files, asset, listener):
    files.with_length, files.cuts = False, [70_000]
    assert download(asset, tmp_path, listener, patience=IMPATIENT).read_bytes() == CONTENT
    assert files.ranges_asked == [None, "bytes=70000-"]
    assert "ended after 70,000 of 200,000 bytes" in listener.notes[0]


def test_what_an_earlier_process_left_is_resumed(tmp_path, files, asset, listener):
    part_with(tmp_path, CONTENT[:150_000])
    assert download(asset, tmp_path, listener, patience=IMPATIENT).read_bytes() == CONTENT
    assert files.ranges_asked == ["bytes=150000-"]
    assert "if-range" not in files.asked[0]
    assert listener.progress[0] == 150_000


def test_a_complete_part_is_verified_without_asking_the_server(tmp_path, files, asset, listener):
    part_with(tmp_path, CONTENT, files.etag)
    assert download(asset, tmp_path, listener, patience=IMPATIENT).read_bytes() == CONTENT
    assert files.asked == []
    assert names(tmp_path) == ["file.pt"]


def test_a_part_that_is_too_long_is_begun_anew(tmp_path, files, asset, listener):
    part_with(tmp_path, CONTENT + b"!", files.etag)
    assert download(asset, tmp_path, listener, patience=IMPATIENT).read_bytes() == CONTENT
    assert files.ranges_asked == [None]


def test_a_server_that_ignores_ranges_sends_it_all_and_that_is_taken(tmp_path, files, asset, listener):
    files.ranges = False
    part_with(tmp_path, b"old bytes", files.etag)
    assert download(asset, tmp_path, listener, patience=IMPATIENT).read_bytes() == CONTENT
    assert files.ranges_asked == ["bytes=9-"]


def test_a_file_that_changed_on_the_server_is_begun_anew(tmp_path, files, asset, listener):
    part_with(tmp_path, b"bytes of another version", '"zero"')
    assert download(asset, tmp_path, listener, patience=IMPATIENT).read_bytes() == CONTENT
    assert len(files.asked) == 1


def test_a_weak_etag_is_not_used_for_resuming(tmp_path, files, asset, listener):
    files.etag, files.cuts = 'W/"one"', [70_000]
    assert download(asset, tmp_path, listener, patience=IMPATIENT).read_bytes() == CONTENT
    assert "if-range" not in files.asked[1]


@pytest.mark.parametrize("content_range", ["bytes 0-199999/200000", "bytes 9-", "nonsense"])
def test_an_answer_for_another_range_is_thrown_away(tmp_path, files, asset, listener, content_range):
    files.content_range = content_range
    part_with(tmp_path, CONTENT[:70_000], files.etag)
    assert download(asset, tmp_path, listener, patience=IMPATIENT).read_bytes() == CONTENT
    assert files.ranges_asked == ["bytes=70000-", None]
    assert content_range in listener.notes[0]


def test_a_range_that_can_not_be_had_is_begun_anew_and_the_wrong_size_named(tmp_path, files, asset, listener):
    files.content = CONTENT[:500]
    part_with(tmp_path, CONTENT[:1000], files.etag)
    with pytest.raises(FetchError, match="has 500 bytes; 200,000 were published"):
        download(asset, tmp_path, listener, patience=IMPATIENT)
    assert files.ranges_asked == ["bytes=1000-", None]
    assert "416" in listener.notes[0]
    assert names(tmp_path) == []


def test_a_busy_server_is_asked_again(tmp_path, files, asset, listener):
    files.statuses = [503, 429]
    assert download(asset, tmp_path, listener, patience=IMPATIENT).read_bytes() == CONTENT
    assert [note.split(";")[0] for note in listener.notes] == [
        "127.0.0.1 answered 503 Service Unavailable",
        "127.0.0.1 answered 429 Too Many Requests",
    ]


def test_pauses_grow_and_start_small_again_after_progress(tmp_path, files, asset, listener):
    files.statuses, files.cuts = [503, 503, 503], [70_000]
    download(asset, tmp_path, listener, patience=Patience(attempts=4, first_wait_s=0.01))
    assert [note.split("next attempt in ")[1] for note in listener.notes] == ["0.01 s", "0.02 s", "0.04 s", "0.01 s"]


def test_a_server_that_stays_broken_is_given_up_and_the_part_kept(tmp_path, files, asset, listener):
    part_with(tmp_path, CONTENT[:1000], files.etag)
    files.statuses = [500, 502, 503]
    with pytest.raises(FetchError, match=r"3 attempts: .*503.* 1,000 of 200,000 bytes are kept.*--from FILE"):
        download(asset, tmp_path, listener, patience=IMPATIENT)
    assert len(files.asked) == 3
    assert (tmp_path / "file.pt.part").read_bytes() == CONTENT[:1000]
    assert not (tmp_path / "file.pt").exists()


def test_a_server_that_always_cuts_and_can_not_resume_is_given_up(tmp_path, files, asset, listener):
    files.content_range, files.cuts = "bytes 0-199999/200000", [70_000] * 30
    with pytest.raises(FetchError, match="in 3 attempts"):
        download(asset, tmp_path, listener, patience=IMPATIENT)
    assert len(files.asked) < 6


def test_a_silent_server_is_given_up(tmp_path, files, asset, listener):
    files.hold_after = 0
    with pytest.raises(FetchError, match=r"in 2 attempts: .*(timed out|Timeout)"):
        download(asset, tmp_path, listener, patience=Patience(attempts=2, first_wait_s=0.0, timeout_s=0.1))
    assert not (tmp_path / "file.pt").exists()


def test_a_missing_file_is_refused_at_once_and_leaves_nothing(tmp_path, files, listener):
    with pytest.raises(FetchError, match=r"answered 404 Not Found; .*--from FILE.*--url URL"):
        download(published(f"{files.url}/gone"), tmp_path, listener, patience=IMPATIENT)
    assert names(tmp_path) == []
    assert listener.notes == []


@pytest.mark.parametrize("status", [204, 401, 403, 404, 410])
def test_a_refusal_is_not_repeated(tmp_path, files, asset, listener, status):
    files.statuses = [status]
    with pytest.raises(FetchError, match=str(status)):
        download(asset, tmp_path, listener, patience=IMPATIENT)
    assert len(files.asked) == 1
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/file", "http://name.invalid/file", "ftp://example.org/file", "http://[/file"]
)
def test_without_a_network_the_other_ways_are_named(tmp_path, monkeypatch, listener, url):
    monkeypatch.setenv("NO_PROXY", "*")
    with pytest.raises(FetchError, match=r"--from FILE, or name a mirror with --url URL"):
        download(published(url), tmp_path, listener, patience=IMPATIENT)
    assert names(tmp_path) == []


def test_a_redirect_in_a_circle_is_refused(tmp_path, files, asset, listener):
    files.statuses = [302] * 30
    with pytest.raises(FetchError, match="redirects"):
        download(asset, tmp_path, listener, patience=IMPATIENT)


def test_another_size_is_refused_before_a_byte_is_taken(tmp_path, files, asset, listener):
    files.content = CONTENT + b"!"
    with pytest.raises(FetchError, match="has 200,001 bytes; 200,000 were published"):
        download(asset, tmp_path, listener, patience=IMPATIENT)
    assert listener.progress == []
    assert names(tmp_path) == []


def test_another_size_is_noticed_when_resuming(tmp_path, files, asset, listener):
    files.content = CONTENT + b"!"
    part_with(tmp_path, CONTENT[:1000], files.etag)
    with pytest.raises(FetchError, match="has 200,001 bytes; 200,000 were published"):
        download(asset, tmp_path, listener, patience=IMPATIENT)
    assert names(tmp_path) == []


def test_a_server_that_sends_more_and_more_is_stopped(tmp_path, files, asset, listener):
    files.with_length, files.content = False, CONTENT + b"!"
    with pytest.raises(FetchError, match="sends more than the 200,000 bytes"):
        download(asset, tmp_path, listener, patience=IMPATIENT)
    assert names(tmp_path) == []


@pytest.mark.parametrize("resumed", [False, True])
def test_wrong_bytes_are_removed_and_both_checksums_named(tmp_path, files, asset, listener, resumed):
    if resumed:
        part_with(tmp_path, b"x" * 1000, files.etag)
        arrived = b"x" * 1000 + CONTENT[1000:]
    else:
        arrived = files.content = bytes(reversed(CONTENT))
    with pytest.raises(FetchError, match=f"sha256 {hashlib.sha256(arrived).hexdigest()}; .*{asset.sha256}.*removed"):
        download(asset, tmp_path, listener, patience=IMPATIENT)
    assert names(tmp_path) == []


def test_a_file_damaged_on_the_disk_is_downloaded_again(tmp_path, files, asset, listener):
    (tmp_path / "file.pt").write_bytes(bytes(reversed(CONTENT)))
    assert download(asset, tmp_path, listener, patience=IMPATIENT).read_bytes() == CONTENT
    assert "damaged" in listener.notes[0]


def test_a_file_damaged_on_the_disk_does_not_stay_when_the_download_fails(tmp_path, files, asset, listener):
    (tmp_path / "file.pt").write_bytes(bytes(reversed(CONTENT)))
    files.statuses = [404]
    with pytest.raises(FetchError):
        download(asset, tmp_path, listener, patience=IMPATIENT)
    assert names(tmp_path) == []


def test_a_disk_too_small_is_refused_before_anything_is_asked(tmp_path, files, asset, listener):
    huge = dataclasses.replace(asset, num_bytes=1 << 60)
    with pytest.raises(FetchError, match=r"bytes free; 1,152,921,504,606,846,976 are needed\. Make room"):
        download(huge, tmp_path, listener, patience=IMPATIENT)
    with pytest.raises(FetchError, match="are needed"):
        download(asset, tmp_path, listener, patience=IMPATIENT, reserve_bytes=1 << 60)
    assert files.asked == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full, the disk that is always full")
def test_a_disk_that_fills_up_leaves_no_part(tmp_path, files, asset, listener):
    (tmp_path / "file.pt.part").symlink_to("/dev/full")
    with pytest.raises(FetchError, match=r"no room to write .*No space left on device.*Make room"):
        download(asset, tmp_path, listener, patience=IMPATIENT)
    assert len(files.asked) == 1
    assert names(tmp_path) == []


def test_a_limit_reached_half_way_leaves_no_part(tmp_path, files, asset, listener):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(FetchError, match=r"no room to write .*File too large"):
            download(asset, tmp_path, listener, patience=IMPATIENT)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert 0 < max(listener.progress) <= len(CONTENT)
    assert names(tmp_path) == []


def test_a_folder_that_can_not_be_made_is_named_before_anything_is_asked(tmp_path, files, asset, listener):
    (tmp_path / "data").write_text("a file in the way")
    with pytest.raises(FetchError, match=r"data/downloads can't be made .*--data DIR"):
        download(asset, tmp_path / "data" / "downloads", listener, patience=IMPATIENT)
    assert files.asked == []


def test_two_downloads_do_not_write_one_file(tmp_path, files, asset, listener):
    second = []

    class Intruder(Recorder):
        def bytes_done(self, num_bytes):
            if not second:
                with pytest.raises(FetchError, match="another download is writing") as refusal:
                    download(asset, tmp_path, listener, patience=IMPATIENT)
                second.append(refusal)

    assert download(asset, tmp_path, Intruder(), patience=IMPATIENT).read_bytes() == CONTENT
    assert len(second) == len(files.asked) == 1


# The fetch: download, convert, receipt


def order_of(asset, data, **changes):
    return Order("signrep", asset, data, **changes)


def test_a_fetched_encoder_has_a_receipt_that_fits_it(tmp_path, asset, listener):
    fetched = fetch(order_of(asset, tmp_path), converter_of(plain_convert), listener)
    encoder = tmp_path / "encoders" / "signrep.onnx"
    assert encoder.read_bytes() == b"encoder of " + CONTENT
    digest = hashlib.sha256(encoder.read_bytes()).hexdigest()
    assert fetched.converted
    assert fetched.to_json()["encoder_id"] == digest[:12]
    assert json.loads((tmp_path / "encoders" / "signrep.json").read_text()) == {
        "encoder_sha256": digest,
        "checkpoint_sha256": asset.sha256,
        "precision": "fp32",
        "licence": "CC BY-NC-SA 4.0",
        "licence_url": "https://example.org/licence",
    }
    assert names(tmp_path / "encoders") == ["signrep.json", "signrep.onnx"]
    assert names(tmp_path / "downloads") == ["file.pt"]


def test_a_second_fetch_downloads_and_converts_nothing(tmp_path, files, asset, listener):
    first = fetch(order_of(asset, tmp_path), converter_of(plain_convert), listener)
    second = fetch(order_of(asset, tmp_path), None, listener)
    assert not second.converted
    assert second.receipt == first.receipt
    assert len(files.asked) == 1
    assert "nothing to do" in listener.notes[-1]


def test_the_encoder_alone_is_enough_for_a_second_fetch(tmp_path, files, asset, listener):
    fetch(order_of(asset, tmp_path), converter_of(plain_convert), listener)
    (tmp_path / "downloads" / "file.pt").unlink()
    assert not fetch(order_of(asset, tmp_path), None, listener).converted
    assert len(files.asked) == 1


@pytest.mark.parametrize("harm", ["encoder changed", "receipt cut off", "receipt of another version", "receipt gone"])
def test_a_doubtful_encoder_is_converted_again_from_the_checkpoint_at_hand(tmp_path, files, asset, listener, harm):
    fetch(order_of(asset, tmp_path), converter_of(plain_convert), listener)
    encoder, receipt = tmp_path / "encoders" / "signrep.onnx", tmp_path / "encoders" / "signrep.json"
    match harm:
        case "encoder changed":
            encoder.write_bytes(b"encoder of nobody")
        case "receipt cut off":
            receipt.write_text(receipt.read_text()[:40])
        case "receipt of another version":
            receipt.write_text('{"version": 0}')
        case "receipt gone":
            receipt.unlink()
    assert fetch(order_of(asset, tmp_path), converter_of(plain_convert), listener).converted
    assert encoder.read_bytes() == b"encoder of " + CONTENT
    assert len(files.asked) == 1


def test_another_precision_is_converted_but_not_downloaded_again(tmp_path, files, asset, listener):
    fetch(order_of(asset, tmp_path), converter_of(plain_convert), listener)
    asked = []

    def load_converter(order):
        asked.append(order.precision)
        return plain_convert

    fetched = fetch(order_of(asset, tmp_path, precision="fp16"), load_converter, listener)
    assert asked == ["fp16"]
    assert fetched.converted
    assert fetched.receipt.precision == "fp16"
    assert fetched.order.encoder_file.name == "signrep.fp16.onnx"
    assert half_beside(fetched.order.encoder_file.with_name("signrep.onnx")) == fetched.order.encoder_file
    assert len(files.asked) == 1


def test_a_newer_checkpoint_is_fetched_over_an_older_one(tmp_path, files, asset, listener):
    fetch(order_of(asset, tmp_path), converter_of(plain_convert), listener)
    files.content = CONTENT[::-1]
    newer = dataclasses.replace(published(files.url, files.content), name="newer.pt")
    assert fetch(order_of(newer, tmp_path), converter_of(plain_convert), listener).converted
    assert (tmp_path / "encoders" / "signrep.onnx").read_bytes() == b"encoder of " + files.content


def test_the_room_for_the_encoder_is_asked_for_before_the_download(tmp_path, files, asset, listener):
    roomy = dataclasses.replace(asset, num_bytes=shutil.disk_usage(tmp_path).free * 3 // 4)
    with pytest.raises(FetchError, match="are needed"):
        fetch(order_of(roomy, tmp_path), converter_of(plain_convert), listener)
    assert files.asked == []


def test_a_failed_conversion_keeps_the_checkpoint_and_no_encoder(tmp_path, files, asset, listener):
    def fail(checkpoint, out):
        out.write_bytes(b"half of it")
        raise ExportError("the two disagree")

    with pytest.raises(ExportError):
        fetch(order_of(asset, tmp_path), converter_of(fail), listener)
    assert names(tmp_path / "encoders") == []
    assert fetch(order_of(asset, tmp_path), converter_of(plain_convert), listener).converted
    assert len(files.asked) == 1


def test_a_failed_conversion_leaves_the_earlier_encoder_valid(tmp_path, asset, listener):
    def fail(checkpoint, out):
        raise ExportError("the two disagree")

    first = fetch(order_of(asset, tmp_path), converter_of(plain_convert), listener)
    with pytest.raises(ExportError):
        fetch(order_of(asset, tmp_path, precision="fp16"), converter_of(fail), listener)
    assert fetch(order_of(asset, tmp_path), None, listener).receipt == first.receipt


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full, the disk that is always full")
def test_a_disk_that_fills_up_while_converting_leaves_no_encoder(tmp_path, asset, listener):
    def convert_to_full_disk(checkpoint, out):
        out.symlink_to("/dev/full")
        plain_convert(checkpoint, out)

    with pytest.raises(FetchError, match="No space left on device"):
        fetch(order_of(asset, tmp_path), converter_of(convert_to_full_disk), listener)
    assert names(tmp_path / "encoders") == []


def test_where_nothing_can_be_converted_nothing_is_downloaded(tmp_path, files, asset, listener):
    def refuse(order):
        raise FetchError("no torch")

    with pytest.raises(FetchError, match="no torch"):
        fetch(order_of(asset, tmp_path), refuse, listener)
    assert files.asked == []


def test_a_file_at_hand_is_converted_without_a_server_and_left_where_it_is(tmp_path, files, asset, listener):
    source = tmp_path / "mine.pt"
    source.write_bytes(CONTENT)
    fetch(order_of(asset, tmp_path / "data", source=source), converter_of(plain_convert), listener)
    assert (tmp_path / "data" / "encoders" / "signrep.onnx").read_bytes() == b"encoder of " + CONTENT
    assert source.read_bytes() == CONTENT
    assert files.asked == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "is not a file"),
        (b"", "has 0 bytes; .* has 200,000"),
        (CONTENT[:-1], "has 199,999 bytes; .* has 200,000"),
        (CONTENT[:-1] + b"!", "was published with"),
    ],
)
def test_a_wrong_file_at_hand_is_refused_but_never_removed(tmp_path, asset, listener, content, said):
    source = tmp_path / "mine.pt"
    if content is not None:
        source.write_bytes(content)
    with pytest.raises(FetchError, match=said):
        fetch(order_of(asset, tmp_path / "data", source=source), converter_of(plain_convert), listener)
    assert source.exists() == (content is not None)
    assert not (tmp_path / "data").exists()


def test_a_wrong_file_at_hand_is_refused_even_when_the_encoder_is_there(tmp_path, asset, listener):
    fetch(order_of(asset, tmp_path), converter_of(plain_convert), listener)
    with pytest.raises(FetchError, match="is not a file"):
        fetch(order_of(asset, tmp_path, source=tmp_path / "nothing.pt"), converter_of(plain_convert), listener)


# The command


def test_json_is_one_object_on_standard_output_and_the_rest_on_standard_error(tmp_path, asset, capsys):
    def talkative(checkpoint, out):
        sys.stdout.write("exporters print")
        plain_convert(checkpoint, out)

    assert run(order_of(asset, tmp_path), converter_of(talkative), as_json=True) == 0
    out, err = capsys.readouterr()
    answer = json.loads(out)
    assert out.count("\n") == 1
    assert answer["encoder"] == str(tmp_path / "encoders" / "signrep.onnx")
    assert answer["converted"] is True
    assert answer["licence"] == "CC BY-NC-SA 4.0"
    assert "exporters print" in err
    assert err.count("A publisher: these weights are licensed CC BY-NC-SA 4.0 (https://example.org/licence)") == 2
    assert "200.0/200.0 kB" in err


def test_without_json_the_answer_is_the_path_of_the_encoder(tmp_path, asset, capsys):
    assert run(order_of(asset, tmp_path), converter_of(plain_convert)) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'encoders' / 'signrep.onnx'}\n"


def test_an_error_is_said_on_standard_error_and_as_json(tmp_path, files, asset, capsys):
    files.statuses = [404, 404]
    assert run(order_of(asset, tmp_path), converter_of(plain_convert), as_json=True) == 1
    out, err = capsys.readouterr()
    assert "answered 404" in json.loads(out)["error"]
    assert json.loads(out)["error"] in err
    assert run(order_of(asset, tmp_path), converter_of(plain_convert)) == 1
    assert capsys.readouterr().out == ""


# A process that was started in the background inherits an ignored SIGINT, and would hand it on.
DRIVER = """
import shutil, signal, sys
from pathlib import Path
from model.download import Asset
from model.fetch import Order, run

signal.signal(signal.SIGINT, signal.default_int_handler)
name, origin, url, num_bytes, sha256, licence, licence_url, data = sys.argv[1:]
asset = Asset(name, origin, url, int(num_bytes), sha256, licence, licence_url)
sys.exit(run(Order("signrep", asset, Path(data)), lambda order: shutil.copyfile, as_json=True))
"""


def driver(asset, data):
    fields = [str(value) for value in dataclasses.astuple(asset)]
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, *fields, str(data)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "NO_PROXY": "127.0.0.1"},
    )


def wait_for(condition, limit_s=20.0):
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.01)


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_process_leaves_a_part_from_which_the_next_goes_on(tmp_path, files, stop):
    content = CONTENT * 20
    files.content, files.hold_after = content, 3_000_000
    asset = published(files.url, content)
    part = tmp_path / "downloads" / "file.pt.part"

    with driver(asset, tmp_path) as first:
        wait_for(lambda: part.exists() and part.stat().st_size > 1_000_000)
        first.send_signal(stop)
        out, err = first.communicate(timeout=20)
    kept = part.stat().st_size
    assert 1_000_000 < kept < len(content)
    assert part.read_bytes() == content[:kept]
    assert names(tmp_path / "downloads") == ["file.pt.part", "file.pt.part.etag"]
    if stop == signal.SIGINT:
        assert first.returncode == 130
        assert f"{kept:,} of {len(content):,} bytes are kept" in json.loads(out)["error"]
        assert "the same command goes on from there" in err.decode()
        assert "Traceback" not in err.decode()

    files.go_on.set()
    with driver(asset, tmp_path) as second:
        out, err = second.communicate(timeout=20)
    assert second.returncode == 0, err.decode()
    assert json.loads(out)["converted"] is True
    assert (tmp_path / "encoders" / "signrep.onnx").read_bytes() == content
    assert files.ranges_asked == [None, f"bytes={kept}-"]
    assert names(tmp_path / "downloads") == ["file.pt"]


def test_importing_the_command_brings_no_torch():
    program = "import sys, model.fetch; sys.exit('torch' in sys.modules or 'onnx' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


def test_without_torch_the_group_that_brings_it_is_named(tmp_path, monkeypatch):
    # None in sys.modules is Python's own way of saying that a module can't be found.
    monkeypatch.delitem(sys.modules, "model.export", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(FetchError, match=r"converting needs .*uv sync --group train"):
        load_export(order_of(SIGNREP, tmp_path))


def command(*arguments):
    app = fetching.typer.Typer()
    app.command()(fetching.main)
    return CliRunner().invoke(app, [*map(str, arguments)])


def test_the_command_line_verifies_a_file_at_hand(tmp_path):
    (tmp_path / "ckpt.pt").write_bytes(b"not it")
    result = command("signrep", "--data", tmp_path, "--from", tmp_path / "ckpt.pt", "--json")
    assert result.exit_code == 1
    assert "has 6 bytes; https://github.com/ryanwongsa/SignRep" in json.loads(result.stdout)["error"]
    assert "CC BY-NC-SA 4.0 (https://creativecommons.org/licenses/by-nc-sa/4.0/)" in result.stderr


@pytest.mark.parametrize("arguments", [[], ["signpep"], ["signrep", "--precision", "fp8"]])
def test_the_command_line_knows_what_there_is(arguments):
    result = command(*arguments)
    assert result.exit_code == 2
    assert "Usage" in result.stderr


def test_the_published_checkpoint_is_the_one_of_the_release():
    assert SIGNREP.url == "https://github.com/ryanwongsa/SignRep/releases/download/v0.0.1/ckpt.pt"
    assert SIGNREP.num_bytes == 222_676_746
    assert SIGNREP.sha256 == "f8be8ca44aec4d7066175dccc681338f376ec86de6ba72bc79223a6bbd3c766b"
