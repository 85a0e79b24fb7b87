"""What can be known of the container files without an engine; `make docker-test` runs them."""

import http.server
import re
import subprocess
import sys
import threading

import pytest

from app.settings import Settings
from tests.conftest import ROOT
from tests.docker import stack

DOCKER = ROOT / "docker"
COMPOSE = (DOCKER / "compose.yaml").read_text()
OF_THE_IMAGE = {"SIGNDEX_DATA", "SIGNDEX_HOST", "SIGNDEX_PORT"}
"""Settings that the image makes, and that ports and volumes depend on."""


def test_every_setting_can_be_set_from_outside():
    passed_on = set(re.findall(r"^ +(SIGNDEX_\w+):", COMPOSE, re.M))
    assert passed_on | OF_THE_IMAGE == {f"SIGNDEX_{name.upper()}" for name in Settings.model_fields}
    assert not passed_on & OF_THE_IMAGE


def test_the_example_names_every_variable_and_no_other():
    example = (DOCKER / ".env.example").read_text()
    named = set(re.findall(r"^#?([A-Z_]+)=", example, re.M))
    used = set(re.findall(r"\$\{(\w+)", COMPOSE)) | set(re.findall(r"^ +(SIGNDEX_\w+):$", COMPOSE, re.M))
    assert named - {"COMPOSE_PROJECT_NAME"} == used
    assert re.search(r"^SIGNDEX_ADMIN_KEY=$", example, re.M)  # no key that everybody knows


@pytest.mark.parametrize("name", ["Dockerfile", "train.Dockerfile"])
def test_images_come_from_debian_and_run_as_nobody_special(name):
    text = (DOCKER / name).read_text()
    outside = {
        base for base in re.findall(r"^FROM (\S+)", text, re.M) if base not in re.findall(r" AS (\S+)$", text, re.M)
    }
    assert outside == {"debian:bookworm-slim"}
    assert re.findall(r"^USER (\S+)", text, re.M) == ["signdex"]


def test_what_is_copied_into_images_is_let_through_to_the_builder():
    wanted = set()
    for name in ("Dockerfile", "train.Dockerfile"):
        for line in re.findall(r"^COPY (?!--)(.+)$", (DOCKER / name).read_text(), re.M):
            wanted |= set(line.split()[:-1])
    let_through = set(re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.M))
    assert wanted == let_through
    assert all((ROOT / path).exists() for path in wanted)


class Answers(http.server.BaseHTTPRequestHandler):
    """Says what the test wants it to say."""

    status, body = 200, b'{"status": "ready"}'

    def do_GET(self):
        assert self.path == "/readyz"
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, format, *arguments):
        pass


@pytest.mark.parametrize(("status", "body", "code"), [(200, b"", 0), (503, b'{"detail": "warming up"}', 1)])
def test_the_health_check_says_what_is_missing(status, body, code):
    handler = type("Handler", (Answers,), {"status": status, "body": body})
    with http.server.HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        ran = check_health(server.server_port)
        thread.join()
    assert (ran.returncode, ran.stderr.strip()) == (code, body.decode() if code else "")


def test_the_health_check_fails_where_nobody_listens():
    ran = check_health(stack.free_port())
    assert ran.returncode == 1
    assert ran.stderr.startswith("no answer: ")


def check_health(port):
    command = [sys.executable, str(DOCKER / "healthcheck.py")]
    environment = {"SIGNDEX_PORT": str(port)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)


def test_without_an_engine_one_line_says_that_nothing_was_tried(tmp_path):
    ran = subprocess.run(
        [sys.executable, "-m", "tests.docker.run"],
        cwd=ROOT, env={"PATH": str(tmp_path)}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == "skipped: no container can be run here (there is no docker command)\n"
