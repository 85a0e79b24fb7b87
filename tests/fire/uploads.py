"""Hostile uploads and callers over HTTP, against a whole service. See `tests.hostile` for what they are."""

import contextlib
import socket
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import numpy as np

from tests.fire.server import Server, Usage
from tests.fire.truth import BOUNDARY, Query, Truth, ask, form
from tests.hostile.corpus import bases, handmade, mutant
from tests.hostile.decoding import bait

ANSWERS_WITHIN_S = 60.0
SETTLES_WITHIN_S = 60.0
MEMORY_TOLERANCE = 0.05
DECODE_S = 8
"""For the service under attack: what runs into it costs that long."""
UPLOAD_S = 5
LARGE_BYTES = 95_000_000


def hostile(num_mutations: int, seed: int, odd: Path | None, url: str, path: str) -> Iterator[tuple[str, bytes]]:
    """Every upload, by name: made for one weakness, odd, mutated, as large as can be."""
    yield from handmade(url, path).items()
    if odd is not None:
        yield from ((video.name, video.read_bytes()) for video in sorted(odd.iterdir()))
    rng, originals = np.random.default_rng(seed), bases()
    for number in range(num_mutations):
        name = list(originals)[number % len(originals)]
        yield f"{name} {number}", mutant(originals[name], rng)
    yield "as large as can be", bytes(LARGE_BYTES)
    yield "too large", bytes(LARGE_BYTES + 10_000_000)


def sent(client: httpx.Client, name: str, upload: bytes) -> tuple[str, float]:
    """Upload something, and again where its caller has to wait; gives the kind of the answer and the seconds."""
    while True:
        began = time.monotonic()
        response = client.post(
            "/v1/search", content=form(upload), headers={"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
        )
        seconds = time.monotonic() - began
        assert response.status_code < 500, f"{name}: {response.status_code} {response.text[:300]}"
        assert seconds < ANSWERS_WITHIN_S, f"{name} took {seconds:.1f} s"
        kind = "answered" if response.is_success else response.json()["type"].rpartition(":")[2]
        if kind != "too-many-failures":
            return kind, seconds
        time.sleep(float(response.headers["Retry-After"]))


def attacked(server: Server, num_mutations: int, seed: int, odd: Path | None) -> tuple[Counter[str], float]:
    """Send everything once; gives how often what was answered, and the longest that one took."""
    kinds: Counter[str] = Counter()
    longest_s = 0.0
    with server.client() as client, bait() as (url, path, callers):
        for name, upload in hostile(num_mutations, seed, odd, url, path):
            kind, seconds = sent(client, name, upload)
            kinds[kind] += 1
            longest_s = max(longest_s, seconds)
    assert callers == [], "an upload made the service call a server"
    return kinds, longest_s


def stood(server: Server, query: Query, truth: Truth, num_mutations: int, odd: Path | None) -> tuple[int, str]:
    """Attack twice; of the second time nothing may be left: memory, files, processes."""
    attacked(server, num_mutations, 0, odd)
    with server.client() as client:
        assert ask(client, query) == truth
        before = server.usage()
        kinds, longest_s = attacked(server, num_mutations, 1, odd)
        assert ask(client, query) == truth
    after = settled(server, before.rss_bytes)
    growth = after.rss_bytes / before.rss_bytes - 1
    assert growth < MEMORY_TOLERANCE, f"the server has {growth:.1%} more memory than before"
    assert after.num_files <= before.num_files + 1, f"{before.num_files} open files became {after.num_files}"
    assert after.num_processes == before.num_processes, "decoding processes are missing, or too many"
    left = list((server.log.parent / "temporary").iterdir())
    assert left == [], f"left in the temporary folder: {left}"
    told = ", ".join(f"{num} {kind}" for kind, num in kinds.most_common())
    return kinds.total(), f"{told}; the longest {longest_s:.1f} s; memory {growth:+.1%}, nothing left"


def settled(server: Server, rss_bytes: int) -> Usage:
    """What the service takes once it has calmed down."""
    deadline = time.monotonic() + SETTLES_WITHIN_S
    while True:
        usage = server.usage()
        is_calm = usage.rss_bytes < rss_bytes * (1 + MEMORY_TOLERANCE)
        if is_calm or time.monotonic() > deadline:
            return usage
        time.sleep(1)


def dribbled(server: Server, queries: Sequence[Query], truths: Sequence[Truth], num: int) -> str:
    """Bodies that never end: others are served meanwhile, and the bodies are cut off in time."""
    host, port = server.address.removeprefix("http://").split(":")
    head = (
        f"POST /v1/search HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n"
    )
    with contextlib.ExitStack() as stack, server.client() as client:
        callers = [stack.enter_context(socket.create_connection((host, int(port)), timeout=60)) for _ in range(num)]
        began = time.monotonic()
        for caller in callers:
            caller.sendall(head.encode() + queries[0].body[:1000])
        assert ask(client, queries[1]) == truths[1]
        statuses = Counter(caller.recv(65536).split(b" ")[1].decode() for caller in callers)
        seconds = time.monotonic() - began
    assert statuses == {"408": num}, f"they got {statuses}"
    return f"all got 408, after {seconds:.1f} s of {UPLOAD_S} allowed; a search meanwhile was right"
