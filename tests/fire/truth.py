"""Fixed queries whose answers must be the same before and after whatever is done to a service, bit for bit."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

NUM = 50
BOUNDARY = "fixed-query"
PART_S = 1.0
STEP_S = 0.25


@dataclass(frozen=True)
class Query:
    """A search by video, ready to be sent."""

    name: str
    body: bytes

    @property
    def headers(self) -> dict[str, str]:
        """Of the request."""
        return {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


@dataclass(frozen=True)
class Truth:
    """What of an answer must not change: ids, their order, scores, and the vector that was looked up."""

    hits: tuple[tuple[str, float, bool, tuple[tuple[str, float], ...]], ...]
    vector: tuple[float, ...]
    snapshot_id: str

    @classmethod
    def of(cls, answer: dict[str, Any]) -> "Truth":
        """The truth in the JSON of a search."""
        hits = tuple(
            (
                hit["sign"]["id"],
                hit["score"],
                hit["mirrored"],
                tuple((entry["id"], entry["score"]) for entry in hit["entries"]),
            )
            for hit in answer["hits"]
        )
        return cls(hits, tuple(answer["vector"]), answer["snapshot_id"])

    @property
    def ids(self) -> tuple[str, ...]:
        """The signs, best first."""
        return tuple(sign for sign, *_ in self.hits)


def form(video: bytes, **fields: object) -> bytes:
    """A form of a video and other fields."""
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="video"; filename="x.mp4"\r\n\r\n'.encode()
    return b"".join(parts) + head + video + f"\r\n--{BOUNDARY}--\r\n".encode()


def fixed_queries(videos: Sequence[Path], num: int = NUM) -> list[Query]:
    """As many queries of one second, from all videos in turn, each time a little later in them."""
    queries = []
    for number in range(num):
        video, start_s = videos[number % len(videos)], number // len(videos) * STEP_S
        body = form(video.read_bytes(), start_s=start_s, end_s=start_s + PART_S)
        queries.append(Query(f"{video.stem} from {start_s:g} s", body))
    return queries


def ask(client: httpx.Client, query: Query) -> Truth:
    """The answer to a query.

    Raises:
        AssertionError: it was not answered.
    """
    response = client.post("/v1/search", content=query.body, headers=query.headers)
    assert response.status_code == 200, f"{query.name}: {response.status_code} {response.text[:300]}"
    return Truth.of(response.json())


def ask_all(client: httpx.Client, queries: Sequence[Query]) -> list[Truth]:
    """The answers to all queries, one after the other."""
    return [ask(client, query) for query in queries]
