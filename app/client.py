"""A Python client of the service.

with Client("http://127.0.0.1:8000") as signdex:
    for hit in signdex.search(Path("query.mp4")).hits:
        print(hit.rank, hit.sign.gloss, hit.score)
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Literal, Self

import httpx

from app.http.schemas.admin import JobAnswer, SnapshotAnswer, SnapshotsAnswer
from app.http.schemas.problem import Problem
from app.http.schemas.search import SearchAnswer
from app.http.schemas.service import InfoAnswer
from app.http.schemas.signs import FacetsAnswer, ShownSignAnswer, SignsAnswer, SimilarAnswer
from app.progress import JobState

PAGE = 200
"""Signs per request."""
EVERY_S = 0.5
"""How often `reindex` polls its job."""


class ProblemReceived(Exception):  # noqa: N818 - a problem document is called a problem
    """The service answered with a problem document."""

    def __init__(self, problem: Problem, retry_after_s: float | None) -> None:
        super().__init__(f"{problem.status} {problem.title}: {problem.detail} (request {problem.request_id})")
        self.problem = problem
        self.retry_after_s = retry_after_s
        """Seconds after which to try again; None where the service did not say."""

    @property
    def kind(self) -> str:
        """The last part of the problem's type, e.g. `not-a-video`."""
        return self.problem.type.rpartition(":")[2]


class JobNotDone(Exception):  # noqa: N818 - neither a failed nor a cancelled job is an error of the client
    """A job ended without publishing anything."""

    def __init__(self, job: JobAnswer) -> None:
        super().__init__(f"job {job.id} is {job.state}: {job.error or 'it was cancelled'}")
        self.job = job


class Client:
    """One service. Safe to share between threads."""

    def __init__(
        self, url: str, *, admin_key: str | None = None, timeout_s: float = 120.0, http: httpx.Client | None = None
    ) -> None:
        """Connect on first use.

        Args:
            url: e.g. `http://127.0.0.1:8000`.
            admin_key: for reindexing and snapshots.
            timeout_s: of one request.
            http: instead of a client of its own; `close` leaves it open.
        """
        self._owns_http = http is None
        self._http = http or httpx.Client(timeout=timeout_s)
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {admin_key}"} if admin_key else {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        if self._owns_http:
            self._http.close()

    def search(
        self,
        video: Path | bytes | BinaryIO,
        *,
        k: int = 10,
        start_s: float = 0.0,
        end_s: float | None = None,
        language: str | None = None,
        tag: str | None = None,
    ) -> SearchAnswer:
        """The signs nearest to a video, best first.

        Args:
            video: a path, the bytes, or an open binary file.
            k: how many signs, 1 to 50.
            start_s: where the sign begins in the video, seconds.
            end_s: where it ends; None for the end of the video.
            language: only signs of this language.
            tag: only entries with this tag.

        Raises:
            ProblemReceived: the service refused; `kind` says why.
        """
        fields = {"k": k, "start_s": start_s, "end_s": end_s, "language": language, "tag": tag}
        given = {name: str(value) for name, value in fields.items() if value is not None}
        if isinstance(video, Path):
            with video.open("rb") as file:
                answer = self._request("POST", "/v1/search", files={"video": ("video", file)}, data=given)
        else:
            answer = self._request("POST", "/v1/search", files={"video": ("video", video)}, data=given)
        return SearchAnswer.model_validate_json(answer.content)

    def search_again(
        self,
        query: str | list[float],
        *,
        k: int = 10,
        start_s: float = 0.0,
        end_s: float | None = None,
        language: str | None = None,
        tag: str | None = None,
    ) -> SearchAnswer:
        """The signs nearest to an earlier query or a part of it, or to a vector; no video is sent or encoded again.

        Args:
            query: the `query_id` of an answer, or a vector.
            k: how many signs, 1 to 50.
            start_s: where the part begins in the video, seconds; of a `query_id` only.
            end_s: where it ends.
            language: only signs of this language.
            tag: only entries with this tag.

        Raises:
            ProblemReceived: the query is not cached any more (`query-unknown`), or another problem.
        """
        what = {"query_id": query} if isinstance(query, str) else {"vector": query}
        fields = {**what, "k": k, "start_s": start_s, "end_s": end_s, "language": language, "tag": tag}
        return SearchAnswer.model_validate_json(self._request("POST", "/v1/search/vector", json=fields).content)

    def signs(
        self, text: str = "", *, language: str | None = None, tag: str | None = None
    ) -> Iterator[ShownSignAnswer]:
        """All signs whose gloss contains a text, page by page."""
        offset = 0
        while True:
            fields = {"text": text, "language": language or "", "tag": tag or "", "limit": PAGE, "offset": offset}
            page = SignsAnswer.model_validate_json(self._request("GET", "/v1/signs", params=fields).content)
            yield from page.signs
            offset += len(page.signs)
            if offset >= page.total or not page.signs:
                return

    def sign(self, sign_id: str) -> ShownSignAnswer:
        """One sign with its videos."""
        return ShownSignAnswer.model_validate_json(self._request("GET", f"/v1/signs/{sign_id}").content)

    def similar(self, sign_id: str, *, k: int = 10) -> SimilarAnswer:
        """Signs that look like a sign."""
        answer = self._request("GET", f"/v1/signs/{sign_id}/similar", params={"k": k})
        return SimilarAnswer.model_validate_json(answer.content)

    def facets(self) -> FacetsAnswer:
        """Languages, tags and signers to filter by."""
        return FacetsAnswer.model_validate_json(self._request("GET", "/v1/facets").content)

    def info(self) -> InfoAnswer:
        """Versions, encoder, dictionary and limits."""
        return InfoAnswer.model_validate_json(self._request("GET", "/v1/info").content)

    def download(self, address: str) -> bytes:
        """The file at a `video_url` or `thumbnail_url` of an answer."""
        return self._request("GET", address.partition("#")[0]).content

    def start_reindex(self, mode: Literal["missing", "full"] = "missing") -> JobAnswer:
        """Index the service's dictionary folder again, in the background. Needs the admin key."""
        return self._job(self._request("POST", "/v1/reindex", params={"mode": mode}))

    def job(self, job_id: str) -> JobAnswer:
        """A job as it is now."""
        return self._job(self._request("GET", f"/v1/jobs/{job_id}"))

    def cancel(self, job_id: str) -> JobAnswer:
        """Ask a job to stop."""
        return self._job(self._request("DELETE", f"/v1/jobs/{job_id}"))

    def reindex(
        self, mode: Literal["missing", "full"] = "missing", *, progress: Callable[[JobAnswer], None] = lambda _: None
    ) -> JobAnswer:
        """Reindex and wait until it is done.

        Args:
            mode: `missing` embeds what is new or changed, `full` everything.
            progress: called with the job whenever it is polled.

        Raises:
            ProblemReceived: it did not start; `job-running` where one runs already.
            JobNotDone: it failed or was cancelled.
        """
        job = self.start_reindex(mode)
        while job.finished_at is None:
            progress(job)
            time.sleep(EVERY_S)
            job = self.job(job.id)
        progress(job)
        if job.state != JobState.DONE:
            raise JobNotDone(job)
        return job

    def snapshots(self) -> list[SnapshotAnswer]:
        """The versions of the dictionary on the service's disk, newest first."""
        return SnapshotsAnswer.model_validate_json(self._request("GET", "/v1/snapshots").content).snapshots

    def activate(self, snapshot_id: str) -> SnapshotAnswer:
        """Make another snapshot the active one."""
        answer = self._request("POST", f"/v1/snapshots/{snapshot_id}/activate")
        return SnapshotAnswer.model_validate_json(answer.content)

    def _job(self, response: httpx.Response) -> JobAnswer:
        return JobAnswer.model_validate_json(response.content)

    def _request(self, method: str, path: str, **options: Any) -> httpx.Response:  # noqa: ANN401 - what httpx takes
        """Send a request; raises problems."""
        response = self._http.request(method, f"{self._url}{path}", headers=self._headers, **options)
        if response.is_error:
            raise _problem(response)
        return response


def _problem(response: httpx.Response) -> Exception:
    """The problem document of a response; a proxy in between may answer in another form."""
    if response.headers.get("Content-Type") != "application/problem+json":
        return httpx.HTTPStatusError(
            f"{response.status_code} from {response.url}", request=response.request, response=response
        )
    after = response.headers.get("Retry-After")
    return ProblemReceived(Problem.model_validate_json(response.content), float(after) if after else None)
