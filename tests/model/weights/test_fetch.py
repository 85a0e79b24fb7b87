"""The command around the download: it converts what it fetched, and keeps a receipt of it."""

import dataclasses
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from model.errors import ExportError, FetchError
from model.runtime.onnx_encoder import half_precision_beside
from model.weights import fetch as fetching
from model.weights.fetch import SIGNREP, FetchRequest, fetch, load_onnx_converter, run
from tests.model.weights.assets import CONTENT, names, published

ROOT = Path(__file__).resolve().parents[3]


def plain_convert(checkpoint, out):
    """A converter that is easy to check."""
    out.write_bytes(b"encoder of " + checkpoint.read_bytes())


def converter_of(convert):
    return lambda order: convert


def order_of(asset, data, **changes):
    return FetchRequest("signrep", asset, data, **changes)


def test_a_fetched_encoder_has_a_receipt_that_fits_it(tmp_path, asset, callbacks):
    fetched = fetch(order_of(asset, tmp_path), converter_of(plain_convert), callbacks)
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


def test_a_second_fetch_downloads_and_converts_nothing(tmp_path, files, asset, callbacks):
    first = fetch(order_of(asset, tmp_path), converter_of(plain_convert), callbacks)
    second = fetch(order_of(asset, tmp_path), None, callbacks)
    assert not second.converted
    assert second.record == first.record
    assert len(files.asked) == 1
    assert "nothing to do" in callbacks.notes[-1]


def test_the_encoder_alone_is_enough_for_a_second_fetch(tmp_path, files, asset, callbacks):
    fetch(order_of(asset, tmp_path), converter_of(plain_convert), callbacks)
    (tmp_path / "downloads" / "file.pt").unlink()
    assert not fetch(order_of(asset, tmp_path), None, callbacks).converted
    assert len(files.asked) == 1


@pytest.mark.parametrize("harm", ["encoder changed", "receipt cut off", "receipt of another version", "receipt gone"])
def test_a_doubtful_encoder_is_converted_again_from_the_checkpoint_at_hand(tmp_path, files, asset, callbacks, harm):
    fetch(order_of(asset, tmp_path), converter_of(plain_convert), callbacks)
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
    assert fetch(order_of(asset, tmp_path), converter_of(plain_convert), callbacks).converted
    assert encoder.read_bytes() == b"encoder of " + CONTENT
    assert len(files.asked) == 1


def test_another_precision_is_converted_but_not_downloaded_again(tmp_path, files, asset, callbacks):
    fetch(order_of(asset, tmp_path), converter_of(plain_convert), callbacks)
    asked = []

    def load_converter(order):
        asked.append(order.precision)
        return plain_convert

    fetched = fetch(order_of(asset, tmp_path, precision="fp16"), load_converter, callbacks)
    assert asked == ["fp16"]
    assert fetched.converted
    assert fetched.record.precision == "fp16"
    assert fetched.request.encoder_file.name == "signrep.fp16.onnx"
    assert half_precision_beside(fetched.request.encoder_file.with_name("signrep.onnx")) == fetched.request.encoder_file
    assert len(files.asked) == 1


def test_a_newer_checkpoint_is_fetched_over_an_older_one(tmp_path, files, asset, callbacks):
    fetch(order_of(asset, tmp_path), converter_of(plain_convert), callbacks)
    files.content = CONTENT[::-1]
    newer = dataclasses.replace(published(files.url, files.content), name="newer.pt")
    assert fetch(order_of(newer, tmp_path), converter_of(plain_convert), callbacks).converted
    assert (tmp_path / "encoders" / "signrep.onnx").read_bytes() == b"encoder of " + files.content


def test_the_room_for_the_encoder_is_asked_for_before_the_download(tmp_path, files, asset, callbacks):
    roomy = dataclasses.replace(asset, num_bytes=shutil.disk_usage(tmp_path).free * 3 // 4)
    with pytest.raises(FetchError, match="are needed"):
        fetch(order_of(roomy, tmp_path), converter_of(plain_convert), callbacks)
    assert files.asked == []


def test_a_failed_conversion_keeps_the_checkpoint_and_no_encoder(tmp_path, files, asset, callbacks):
    def fail(checkpoint, out):
        out.write_bytes(b"half of it")
        raise ExportError("the two disagree")

    with pytest.raises(ExportError):
        fetch(order_of(asset, tmp_path), converter_of(fail), callbacks)
    assert names(tmp_path / "encoders") == []
    assert fetch(order_of(asset, tmp_path), converter_of(plain_convert), callbacks).converted
    assert len(files.asked) == 1


def test_a_failed_conversion_leaves_the_earlier_encoder_valid(tmp_path, asset, callbacks):
    def fail(checkpoint, out):
        raise ExportError("the two disagree")

    first = fetch(order_of(asset, tmp_path), converter_of(plain_convert), callbacks)
    with pytest.raises(ExportError):
        fetch(order_of(asset, tmp_path, precision="fp16"), converter_of(fail), callbacks)
    assert fetch(order_of(asset, tmp_path), None, callbacks).record == first.record


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full, the disk that is always full")
def test_a_disk_that_fills_up_while_converting_leaves_no_encoder(tmp_path, asset, callbacks):
    def convert_to_full_disk(checkpoint, out):
        out.symlink_to("/dev/full")
        plain_convert(checkpoint, out)

    with pytest.raises(FetchError, match="No space left on device"):
        fetch(order_of(asset, tmp_path), converter_of(convert_to_full_disk), callbacks)
    assert names(tmp_path / "encoders") == []


def test_where_nothing_can_be_converted_nothing_is_downloaded(tmp_path, files, asset, callbacks):
    def refuse(order):
        raise FetchError("no torch")

    with pytest.raises(FetchError, match="no torch"):
        fetch(order_of(asset, tmp_path), refuse, callbacks)
    assert files.asked == []


def test_a_file_at_hand_is_converted_without_a_server_and_left_where_it_is(tmp_path, files, asset, callbacks):
    source = tmp_path / "mine.pt"
    source.write_bytes(CONTENT)
    fetch(order_of(asset, tmp_path / "data", source=source), converter_of(plain_convert), callbacks)
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
def test_a_wrong_file_at_hand_is_refused_but_never_removed(tmp_path, asset, callbacks, content, said):
    source = tmp_path / "mine.pt"
    if content is not None:
        source.write_bytes(content)
    with pytest.raises(FetchError, match=said):
        fetch(order_of(asset, tmp_path / "data", source=source), converter_of(plain_convert), callbacks)
    assert source.exists() == (content is not None)
    assert not (tmp_path / "data").exists()


def test_a_wrong_file_at_hand_is_refused_even_when_the_encoder_is_there(tmp_path, asset, callbacks):
    fetch(order_of(asset, tmp_path), converter_of(plain_convert), callbacks)
    with pytest.raises(FetchError, match="is not a file"):
        fetch(order_of(asset, tmp_path, source=tmp_path / "nothing.pt"), converter_of(plain_convert), callbacks)


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
from model.weights.download import ReleaseAsset
from model.weights.fetch import FetchRequest, run

signal.signal(signal.SIGINT, signal.default_int_handler)
name, origin, url, num_bytes, sha256, licence, licence_url, data = sys.argv[1:]
asset = ReleaseAsset(name, origin, url, int(num_bytes), sha256, licence, licence_url)
sys.exit(run(FetchRequest("signrep", asset, Path(data)), lambda request: shutil.copyfile, as_json=True))
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
    program = "import sys, model.weights.fetch; sys.exit('torch' in sys.modules or 'onnx' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


def test_without_torch_the_group_that_brings_it_is_named(tmp_path, monkeypatch):
    # None in sys.modules is Python's own way of saying that a module can't be found.
    monkeypatch.delitem(sys.modules, "model.network.export", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(FetchError, match=r"converting needs .*uv sync --group train"):
        load_onnx_converter(order_of(SIGNREP, tmp_path))


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
