"""Fetching the meshes: whole, checked, resumable, and every fault named."""

import gzip
import hashlib
import http.server
import threading

import pytest

from training.errors import AssetError
from training.synth.people.assets import SOURCES, Asset, AssetFolder, fetch_assets, read_manifest

FILES = {"base.obj": b"v 0 0 0\n" * 300, "skins/pale.png": b"\x89PNG" + bytes(500), "targets/old.target": b"3 0 1 0\n"}


def manifest_of(files):
    return tuple(
        Asset(name, len(content), hashlib.sha256(content).hexdigest(), "here", f"data/{name}")
        for name, content in files.items()
    )


class Server:
    """A local HTTP server that counts what it is asked for and can be told to fail."""

    def __init__(self, files):
        self.files, self.asked, self.failures = dict(files), [], 0
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                name = self.path.removeprefix("/data/")
                server.asked.append(name)
                if server.failures:
                    server.failures -= 1
                    self.send_error(503)
                elif name not in server.files:
                    self.send_error(404)
                else:
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(server.files[name])))
                    self.end_headers()
                    self.wfile.write(server.files[name])

            def log_message(self, *args):
                pass

        self._http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.sources = {"here": f"http://127.0.0.1:{self._http.server_port}/"}
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()

    def close(self):
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture
def server():
    running = Server(FILES)
    yield running
    running.close()


def test_every_file_arrives_whole(server, tmp_path):
    assert fetch_assets(tmp_path, sources=server.sources, manifest=manifest_of(FILES)) == len(FILES)
    assert {name: (tmp_path / name).read_bytes() for name in FILES} == FILES


def test_an_interrupted_fetch_resumes_with_what_is_missing_or_damaged(server, tmp_path):
    manifest = manifest_of(FILES)
    fetch_assets(tmp_path, sources=server.sources, manifest=manifest)
    (tmp_path / "base.obj").unlink()
    (tmp_path / "skins/pale.png").write_bytes(b"half")
    server.asked.clear()
    assert fetch_assets(tmp_path, sources=server.sources, manifest=manifest) == 2
    assert server.asked == ["base.obj", "skins/pale.png"]


def test_a_file_with_another_checksum_is_refused_and_not_written(server, tmp_path):
    server.files["base.obj"] = b"something else"
    with pytest.raises(AssetError, match=r"base\.obj holds 14 bytes with another SHA-256"):
        fetch_assets(tmp_path, sources=server.sources, manifest=manifest_of(FILES))
    assert list(tmp_path.rglob("*.obj")) == []


def test_a_server_that_stumbles_is_asked_again(server, tmp_path):
    server.failures = 2
    assert fetch_assets(tmp_path, sources=server.sources, manifest=manifest_of(FILES)) == len(FILES)


def test_a_file_the_server_does_not_have_is_named(server, tmp_path):
    del server.files["skins/pale.png"]
    with pytest.raises(AssetError, match=r"skins/pale\.png answered 404"):
        fetch_assets(tmp_path, sources=server.sources, manifest=manifest_of(FILES))


def test_a_server_that_is_gone_is_named_with_what_to_do(tmp_path):
    sources = {"here": "http://127.0.0.1:9/"}
    with pytest.raises(AssetError, match=r"can't be reached .* or give --from DIR"):
        fetch_assets(tmp_path, sources=sources, manifest=manifest_of(FILES))


def test_a_folder_can_be_the_source_and_may_hold_packed_files(tmp_path):
    source = tmp_path / "source"
    for name, content in FILES.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        packed = name.endswith(".target")
        (source / f"{name}{'.gz' if packed else ''}").write_bytes(gzip.compress(content) if packed else content)
    fetch_assets(tmp_path / "assets", source_folder=source, manifest=manifest_of(FILES))
    assert {name: (tmp_path / "assets" / name).read_bytes() for name in FILES} == FILES


def test_a_folder_that_can_not_be_written_is_named(server, tmp_path):
    (tmp_path / "assets").write_bytes(b"a file")
    with pytest.raises(AssetError, match=r"assets/base\.obj can't be written"):
        fetch_assets(tmp_path / "assets", sources=server.sources, manifest=manifest_of(FILES))


def test_reading_names_a_missing_and_a_damaged_file(tmp_path):
    folder = AssetFolder(tmp_path, manifest_of(FILES))
    with pytest.raises(AssetError, match=r"base\.obj is missing; fetch it with: python -m training\.synth bodies"):
        folder.read("base.obj")
    (tmp_path / "base.obj").write_bytes(FILES["base.obj"][:-1])
    with pytest.raises(AssetError, match=r"base\.obj is damaged: 2399 bytes"):
        folder.read("base.obj")
    (tmp_path / "base.obj").unlink()
    (tmp_path / "base.obj.gz").write_bytes(gzip.compress(FILES["base.obj"])[:20])
    with pytest.raises(AssetError, match=r"base\.obj can't be read"):
        folder.read("base.obj")


def test_the_committed_manifest_names_each_file_once_with_a_pinned_source():
    manifest = read_manifest()
    assert len({asset.name for asset in manifest}) == len(manifest) > 150
    assert all(asset.source in SOURCES and len(asset.sha256) == 64 and asset.num_bytes > 0 for asset in manifest)
    assert all("a8bc2d54" in url or "8cf9645b" in url or "@0.0.2" in url for url in SOURCES.values())


@pytest.mark.real
def test_the_committed_manifest_describes_the_shared_meshes(shared):
    folder = AssetFolder(shared / "bodies")
    for asset in read_manifest():
        assert len(folder.read(asset.name)) == asset.num_bytes
