"""The service as docker compose runs it, on a port of its own."""

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.client import Client

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
BASE = "debian:bookworm-slim"
"""What images are made of; docker/base.sh makes it where no registry is reached."""
KEY = "only for this run"
PATIENCE_S = 600.0
"""How long anything may take on a machine that does other things as well."""


class CommandError(Exception):
    """A command ended with another status than 0; what it said."""


def run(command: Sequence[str], **environment: str) -> str:
    """What a command prints."""
    ran = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=ROOT, env={**os.environ, **environment}
    )
    if ran.returncode:
        raise CommandError(
            f"{' '.join(command)} ended with {ran.returncode}:\n{ran.stdout[-3000:]}{ran.stderr[-3000:]}"
        )
    return ran.stdout


def why_no_engine() -> str | None:
    """Why no container can be made and run here; None where they can."""
    if shutil.which("docker") is None:
        return "there is no docker command"
    try:
        run(["docker", "version", "--format", "{{.Server.Version}}"])
        compose_command()
        if not run(["docker", "images", "--quiet", BASE]):
            run(["docker", "pull", "--quiet", BASE])
    except CommandError as error:
        return str(error).strip().splitlines()[-1]
    return None


def compose_command() -> list[str]:
    """Compose as a part of docker, or as the program of its own that it used to be."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if (
            shutil.which(command[0])
            and not subprocess.run([*command, "version"], capture_output=True, check=False).returncode
        ):
            return command
    raise CommandError("there is neither `docker compose` nor docker-compose")


def has_bridge() -> bool:
    """Whether the engine can give containers a network of their own."""
    return '"bridge"' in run(["docker", "network", "ls", "--format", "{{json .Driver}}"])


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@dataclass
class Stack:
    """docker/compose.yaml with a dictionary folder, under a project name of its own."""

    folder: Path
    """For the files that this makes."""
    image: str
    dictionary: Path
    settings: dict[str, str] = field(default_factory=dict)
    """Variables of docker/.env that are other than usual."""

    def __post_init__(self) -> None:
        """Write the files that compose is given."""
        self.port = free_port()
        self.project = f"signdex-test-{os.getpid()}"
        text = (DOCKER / "compose.yaml").read_text()
        override = [f"image: {self.image}"]
        if not has_bridge():
            # Ports can't be published on the host's network, and no override can take a list away.
            ports = [line for line in text.splitlines() if line.startswith("  ports:")]
            assert len(ports) == 1, ports
            text = text.replace(ports[0], "")
            override += [
                "network_mode: host",
                "environment:",
                "  SIGNDEX_HOST: 127.0.0.1",
                f'  SIGNDEX_PORT: "{self.port}"',
            ]
        (self.folder / "compose.yaml").write_text(text)
        (self.folder / "override.yaml").write_text(
            "\n".join(["services:", "  cpu:", *(f"    {line}" for line in override), ""])
        )

    @property
    def environment(self) -> Mapping[str, str]:
        """What docker/.env would hold."""
        usual = {
            "SIGNDEX_ADMIN_KEY": KEY,
            "COMPOSE_PROJECT_NAME": self.project,
            "DICTIONARY": str(self.dictionary),
            "PUBLISH": f"127.0.0.1:{self.port}",
        }
        return usual | self.settings

    def compose(self, *arguments: str, **environment: str) -> str:
        """Run one compose command."""
        files = ["--file", str(self.folder / "compose.yaml"), "--file", str(self.folder / "override.yaml")]
        command = [*compose_command(), *files, "--project-directory", str(DOCKER), "--profile", "cpu", *arguments]
        return run(command, **{**self.environment, **environment})

    def up(self) -> float:
        """Start, or start again with other settings; seconds until the engine calls it healthy."""
        began = time.monotonic()
        self.compose("up", "--detach", "--no-build")
        self.wait_until_healthy()
        return time.monotonic() - began

    def wait_until_healthy(self) -> None:
        """Wait for the health check of the image."""
        deadline = time.monotonic() + PATIENCE_S
        while (state := self.state())["Health"]["Status"] != "healthy":
            last = state["Health"]["Log"][-1:] or ["no check yet"]
            assert state["Running"], f"the container is {state['Status']}:\n{self.logs()}"
            assert time.monotonic() < deadline, f"not healthy within {PATIENCE_S:g} s: {last[0]}\n{self.logs()}"
            time.sleep(0.2)

    @property
    def container(self) -> str:
        """Id of the container."""
        return self.compose("ps", "--quiet").strip()

    def inspect(self) -> dict[str, Any]:
        """What the engine knows of the container."""
        told: list[dict[str, Any]] = json.loads(run(["docker", "inspect", self.container]))
        return told[0]

    def state(self) -> dict[str, Any]:
        """Whether it runs, and how it ended."""
        state: dict[str, Any] = self.inspect()["State"]
        return state

    def logs(self) -> str:
        """The end of what it said."""
        return self.compose("logs", "--tail", "40")

    def inside(self, *command: str) -> str:
        """Run a command in the container."""
        return run(["docker", "exec", self.container, *command])

    def client(self) -> Client:
        """A client of the service, with the admin key."""
        return Client(f"http://127.0.0.1:{self.port}", admin_key=KEY, timeout_s=PATIENCE_S)

    def down(self) -> None:
        """Remove the container and its volume."""
        self.compose("down", "--volumes", "--timeout", "1")
