"""A file server on 127.0.0.1 that misbehaves when told to, and keeps a record of what it was asked."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PIECE = 4096


@dataclass
class FileServer:
    """What is served at /file, how, and what was asked so far. Lists are used up, one item per request."""

    content: bytes
    port: int = 0
    etag: str | None = '"one"'
    statuses: list[int] = field(default_factory=list)
    """Answered before anything good."""
    cuts: list[int] = field(default_factory=list)
    """The connection is cut after so many bytes of the body."""
    hold_after: int | None = None
    """The body stops after so many bytes until `go_on` is set."""
    go_on: threading.Event = field(default_factory=threading.Event)
    ranges: bool = True
    """False: a Range is ignored."""
    content_range: str | None = None
    """Said instead of the true Content-Range."""
    with_length: bool = True
    """False: the end of the body is the end of the connection."""
    asked: list[dict[str, str]] = field(default_factory=list)
    """Headers of every request for the file."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/file"

    @property
    def moved_url(self) -> str:
        """Redirects to `url`."""
        return f"http://127.0.0.1:{self.port}/moved"

    @property
    def ranges_asked(self) -> list[str | None]:
        return [headers.get("range") for headers in self.asked]

    def start_for(self, headers: dict[str, str]) -> int | None:
        """First byte of a partial answer, None for a whole one."""
        asked = re.fullmatch(r"bytes=(\d+)-", headers.get("range", ""))
        same = headers.get("if-range", self.etag) == self.etag
        return int(asked[1]) if asked and same and self.ranges else None


class _Handler(BaseHTTPRequestHandler):
    files: FileServer

    def do_GET(self) -> None:
        if self.path != "/file":
            self.answer(302 if self.path == "/moved" else 404, {"Location": "/file", "Content-Length": "0"})
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.files.asked.append(headers)
        if self.files.statuses:
            self.answer(self.files.statuses.pop(0), {"Location": "/file", "Content-Length": "0"})
        else:
            self.send_file(headers)

    def send_file(self, headers: dict[str, str]) -> None:
        files, total = self.files, len(self.files.content)
        start = files.start_for(headers)
        if start is not None and start >= total:
            self.answer(416, {"Content-Range": f"bytes */{total}", "Content-Length": "0"})
            return
        body = files.content[start or 0 :]
        extra = {"ETag": files.etag} if files.etag else {}
        if files.with_length:
            extra["Content-Length"] = str(len(body))
        if start is not None:
            extra["Content-Range"] = files.content_range or f"bytes {start}-{total - 1}/{total}"
        self.answer(200 if start is None else 206, extra)
        self.send_body(body[: files.cuts.pop(0)] if files.cuts else body)

    def send_body(self, body: bytes) -> None:
        for offset in range(0, len(body), PIECE):
            if self.files.hold_after is not None and offset >= self.files.hold_after:
                self.files.go_on.wait(timeout=30)
            try:
                self.wfile.write(body[offset : offset + PIECE])
                self.wfile.flush()
            except ConnectionError:  # the client went away, as some tests want it to
                return

    def answer(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """The record is `asked`; nothing goes to standard error."""


@contextmanager
def serving(files: FileServer) -> Iterator[FileServer]:
    """Serve until the end of the block."""
    handler = type("Handler", (_Handler,), {"files": files})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        files.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield files
        finally:
            files.go_on.set()
            server.shutdown()
            thread.join()
