"""The service in containers, for real: `python -m tests.docker.run`, or `make docker-test`.

Builds the image, starts it with docker/compose.yaml, and does to it what operators and accidents do. Every step prints
one line; figures stand in it. Where no engine can be reached nothing is tried, and one line says so.
"""

import csv
import io
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import av
import numpy as np
import typer

from app.client import Client, ProblemReceived
from app.http.schemas.admin import JobAnswer
from app.http.schemas.search import SearchAnswer
from app.progress import JobState
from tests.docker.stack import PATIENCE_S, ROOT, CommandError, Stack, run, why_no_engine

DEMO = ROOT / "app" / "demo"
IMAGE = "signdex:test"
GOAL_MB = 700
GOAL_HEALTHY_S = 60
NUM_QUERIES = 4
CLEAR = "both-claw-hand-chest-nod"
"""A query whose sign the shipped encoder has first."""
NUM_AT_FIRST = 32
"""Videos of the dictionary that are there at the first start; the others come later."""


@dataclass(frozen=True)
class Query:
    """A video of the demo and the gloss it shows."""

    path: Path
    gloss: str


def queries() -> list[Query]:
    """Those of the demo."""
    with (DEMO / "queries" / "entries.csv").open(encoding="utf-8") as file:
        return [Query(DEMO / "queries" / row["video"], row["gloss"]) for row in csv.DictReader(file)]


def rows_of_dictionary() -> tuple[list[str], list[dict[str, str]]]:
    """Columns and rows of the demo's entries file."""
    with (DEMO / "dictionary" / "entries.csv").open(encoding="utf-8") as file:
        reader = csv.DictReader(file)
        return list(reader.fieldnames or ()), list(reader)


def write_dictionary(folder: Path, num: int) -> None:
    """The first videos of the demo dictionary, readable for the user in the container."""
    columns, rows = rows_of_dictionary()
    folder.mkdir(exist_ok=True)
    text = io.StringIO()
    writer = csv.DictWriter(text, columns)
    writer.writeheader()
    for row in rows[:num]:
        shutil.copy(DEMO / "dictionary" / row["video"], folder)
        writer.writerow(row)
    (folder / "entries.csv").write_text(text.getvalue(), encoding="utf-8")
    folder.chmod(0o755)


def bomb(folder: Path) -> Path:
    """A small video that takes much memory to decode: pictures as large as allowed, sixteen to look back at."""
    path = folder / "bomb.mp4"
    with av.open(str(path), "w") as out:
        options = {"preset": "ultrafast", "x264-params": "ref=16:dpb=16:bframes=0:level=6.2", "crf": "40"}
        stream = out.add_stream("libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 4096, 2304, "yuv444p"
        for number in range(24):
            shade = np.full((2304, 4096, 3), 10 * number, np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(shade, "rgb24")))
        out.mux(stream.encode())
    return path


def answers(client: Client) -> list[list[tuple[str, float]]]:
    """Glosses and scores of the hits of some queries."""
    return [told(client.search(query.path)) for query in queries()[:NUM_QUERIES]]


def told(answer: SearchAnswer) -> list[tuple[str, float]]:
    """Glosses and scores of an answer."""
    return [(hit.sign.gloss, hit.score) for hit in answer.hits]


class Trial:
    """The steps, in order; each begins with what the one before left."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stack = Stack(folder, IMAGE, folder / "dictionary")
        self.before: list[list[tuple[str, float]]] = []

    def steps(self) -> list[Callable[[], str]]:
        """All of them."""
        return [
            self.the_image_is_built,
            self.it_holds_no_compiler_no_torch_and_no_root,
            self.without_an_admin_key_nothing_starts,
            self.it_becomes_healthy,
            self.nothing_but_the_data_can_be_written,
            self.a_demo_clip_is_found,
            self.a_reindex_takes_up_what_is_new_in_the_mounted_folder,
            self.after_a_restart_the_answers_are_the_same,
            self.killed_in_the_middle_of_a_reindex_it_comes_back_whole,
            self.a_decoding_bomb_stops_at_the_limit_of_its_process,
            self.a_decoding_bomb_stops_at_the_limit_of_the_container,
            self.it_stops_within_its_grace_period,
        ]

    def the_image_is_built(self) -> str:
        began = time.monotonic()
        run(["docker/build.sh", "cpu", IMAGE])
        megabytes = int(run(["docker", "image", "inspect", "--format", "{{.Size}}", IMAGE])) / 1e6
        layers = run(["docker", "history", "--format", "{{.Size}}", IMAGE]).split()
        large = ", ".join(size for size in layers if size.endswith("MB"))
        assert megabytes < GOAL_MB, f"the image has {megabytes:.0f} MB; the goal is {GOAL_MB}"
        return f"{megabytes:.0f} MB in layers of {large} (goal: under {GOAL_MB} MB); {time.monotonic() - began:.0f} s"

    def it_holds_no_compiler_no_torch_and_no_root(self) -> str:
        program = (
            "import importlib.util, os, shutil, sys;"
            "found = [n for n in ('cc', 'gcc', 'g++', 'ld', 'pip', 'uv', 'curl') if shutil.which(n)];"
            "found += [n for n in ('torch', 'onnx', 'pip', 'pytest') if importlib.util.find_spec(n)];"
            "print(sys.version.split()[0], os.getuid(), found)"
        )
        command = ["docker", "run", "--rm", "--network", "none", "--entrypoint", "python", IMAGE, "-c", program]
        version, user, found = run(command).split(maxsplit=2)
        assert version.startswith("3.11."), version
        assert user == "10001", user
        assert found.strip() == "[]", found
        return f"Python {version}, user {user}"

    def without_an_admin_key_nothing_starts(self) -> str:
        said = refusal(lambda: self.stack.compose("config", SIGNDEX_ADMIN_KEY=""))
        assert "set it in docker/.env" in said, said
        return "compose says what is missing"

    def it_becomes_healthy(self) -> str:
        write_dictionary(self.stack.dictionary, NUM_AT_FIRST)
        seconds = self.stack.up()
        state = self.stack.inspect()
        memory, grace = state["HostConfig"]["Memory"], state["Config"]["StopTimeout"]
        assert memory == 4 * 1024**3, memory
        assert state["HostConfig"]["LogConfig"]["Config"] == {"max-size": "10m", "max-file": "5"}
        return (
            f"{seconds:.1f} s from nothing, {NUM_AT_FIRST} videos indexed (goal: under {GOAL_HEALTHY_S} s);"
            f" limit {memory / 1e9:.1f} GB, {grace} s to stop"
        )

    def nothing_but_the_data_can_be_written(self) -> str:
        for path in ("/opt/signdex/app/x", "/opt/venv/x", "/etc/x", "/dictionary/x", "/encoders/x", "/x"):
            said = refusal(lambda path=path: self.stack.inside("python", "-c", f"open({path!r}, 'w')"))
            assert "Read-only file system" in said, said
        self.stack.inside("python", "-c", "open('/data/x', 'w'); open('/tmp/x', 'w')")
        return "root, dictionary and encoders are read-only"

    def a_demo_clip_is_found(self) -> str:
        query = next(query for query in queries() if query.path.stem == CLEAR)
        with self.stack.client() as client:
            answer = client.search(query.path)
        glosses = [hit.sign.gloss for hit in answer.hits]
        assert query.gloss in glosses, f"{query.gloss} was looked up and {glosses} found"
        rank = 1 + glosses.index(query.gloss)
        return f"{query.gloss} at rank {rank} of {len(glosses)}; {answer.timings_ms.total:.0f} ms"

    def a_reindex_takes_up_what_is_new_in_the_mounted_folder(self) -> str:
        num = len(rows_of_dictionary()[1])
        write_dictionary(self.stack.dictionary, num)
        began = time.monotonic()
        with self.stack.client() as client:
            client.reindex()
            found = client.info().dictionary
            report = client.snapshots()[0].report
            self.before = answers(client)
        assert found is not None
        assert found.num_entries == num
        assert report["cache"]["num_cached"] == NUM_AT_FIRST, report["cache"]
        first = sum(hits[0][0] == query.gloss for hits, query in zip(self.before, queries(), strict=False))
        return (
            f"{num - NUM_AT_FIRST} videos more in {time.monotonic() - began:.1f} s;"
            f" {first} of {len(self.before)} queries have their sign first"
        )

    def after_a_restart_the_answers_are_the_same(self) -> str:
        began = time.monotonic()
        self.stack.compose("restart")
        self.stack.wait_until_healthy()
        seconds = time.monotonic() - began
        with self.stack.client() as client:
            assert answers(client) == self.before
        return f"{NUM_QUERIES} queries, scores included; healthy again after {seconds:.1f} s"

    def killed_in_the_middle_of_a_reindex_it_comes_back_whole(self) -> str:
        with self.stack.client() as client:
            job = client.start_reindex("full")
            while job.phase != "embed" or job.done < 5:
                assert job.finished_at is None, f"the job ended before it was killed: {job}"
                time.sleep(0.05)
                job = client.job(job.id)
        run(["docker", "kill", "--signal", "KILL", self.stack.container])
        assert self.stack.state()["ExitCode"] == 128 + signal.SIGKILL
        began = time.monotonic()
        seconds = self.stack.up()
        with self.stack.client() as client:
            assert answers(client) == self.before
            resumed = until_over(client, job.id)
            waited = time.monotonic() - began
            assert resumed.state == JobState.DONE, resumed
            assert resumed.replica != job.replica, resumed
            assert client.reindex().state == JobState.DONE
            assert answers(client) == self.before
        return (
            f"killed with {job.done} of {job.total} embedded; healthy after {seconds:.1f} s, same answers;"
            f" the job taken over, and done after {waited:.1f} s"
        )

    def a_decoding_bomb_stops_at_the_limit_of_its_process(self) -> str:
        self.stack.settings = {"SIGNDEX_DECODE_MB": "256"}
        kind, highest = self._throw_bomb()
        assert kind in ("video-too-costly", "video-broken"), kind
        return f"SIGNDEX_DECODE_MB 256: {kind}; the container's most was {highest:.0f} MB"

    def a_decoding_bomb_stops_at_the_limit_of_the_container(self) -> str:
        """As if its process had no limit of its own; the kernel is to take the decoder, not the service."""
        self.stack.settings = {"SIGNDEX_DECODE_MB": "16000", "MEMORY": "700m", "UPLOADS": "64m"}
        kind, highest = self._throw_bomb()
        assert kind == "video-unusable", kind
        self.stack.settings = {}
        return f"MEMORY 700m: {kind}; the container's most was {highest:.0f} MB, and it went on"

    def _throw_bomb(self) -> tuple[str, float]:
        """Kind of the problem that a bomb gets, and the most memory that the container had, in megabytes."""
        self.stack.up()
        started = self.stack.state()["StartedAt"]
        path = bomb(self.folder)
        with self.stack.client() as client:
            try:
                client.search(path)
            except ProblemReceived as problem:
                kind = problem.kind
            else:
                raise AssertionError(f"a bomb of {path.stat().st_size} bytes was searched for; it should cost too much")
            assert answers(client) == self.before
        state = self.stack.state()
        assert (state["StartedAt"], state["Status"]) == (started, "running"), state
        return kind, int(self.stack.inside("python", "-c", MOST_MEMORY)) / 1e6

    def it_stops_within_its_grace_period(self) -> str:
        self.stack.up()
        container = self.stack.container
        with self.stack.client() as client, ThreadPoolExecutor(1) as pool:
            client.start_reindex("full")
            search = pool.submit(client.search, queries()[0].path)
            time.sleep(0.5)
            began = time.monotonic()
            self.stack.compose("stop")
            seconds = time.monotonic() - began
            ended = outcome(search.result)
            assert ended in ("answered", "told: stopped"), ended
        status = run(["docker", "inspect", "--format", "{{.State.ExitCode}}", container]).strip()
        assert status != str(128 + signal.SIGKILL), "it had to be killed"
        return f"{seconds:.1f} s in the middle of a reindex and a search, which was {ended}; exit status {status}"


MOST_MEMORY = """
from pathlib import Path
for name in ("memory.peak", "memory/memory.max_usage_in_bytes"):
    path = Path("/sys/fs/cgroup") / name
    if path.exists():
        print(path.read_text())
        break
"""


def refusal(command: Callable[[], str]) -> str:
    """What a command that must fail says."""
    try:
        printed = command()
    except CommandError as error:
        return str(error)
    raise AssertionError(f"it was done: {printed}")


def until_over(client: Client, job_id: str) -> JobAnswer:
    """A job once it has ended, whichever replica ends it."""
    deadline = time.monotonic() + PATIENCE_S
    while (job := client.job(job_id)).finished_at is None:
        assert time.monotonic() < deadline, f"the job goes on after {PATIENCE_S:g} s: {job}"
        time.sleep(0.2)
    return job


def outcome(result: Callable[[], SearchAnswer]) -> str:
    """What became of a search that the end of the service overtook."""
    try:
        result()
    except ProblemReceived as problem:
        return f"told: {problem.kind}"
    return "answered"


def main(*, keep: Annotated[bool, typer.Option(help="Leave the containers for a look.")] = False) -> None:
    """Run every step; exits with 1 at the first that fails."""
    if reason := why_no_engine():
        print(f"skipped: no container can be run here ({reason})")
        return
    with tempfile.TemporaryDirectory(prefix="signdex-docker-") as folder:
        Path(folder).chmod(0o755)
        trial = Trial(Path(folder))
        try:
            for step in trial.steps():
                print(f"{step.__name__.replace('_', ' ')}: ", end="", flush=True)
                print(step(), flush=True)
        finally:
            if not keep:
                trial.stack.down()


if __name__ == "__main__":
    typer.run(main)
