"""A browser, a service for it to talk to, and a page that is watched for what must never happen."""

import csv
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi import FastAPI
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Playwright, expect, sync_playwright

from app.demo import DICTIONARY as DEMO
from app.http.application import create_app
from app.http.lifecycle import Lifecycle
from app.replica.services import Services
from app.search.query_cache import QueryCache
from app.settings import Settings
from tests.conftest import ROOT
from tests.fakes import FakeEncoder
from tests.running import running

KEY = "a key for tests"
QUERIES = DEMO.parent / "queries"
ARTIFACTS = ROOT / "artifacts" / "page"
DESKTOP, PHONE = (1366, 768), (390, 844)
NO_CHROMIUM = "Chromium is not on this machine; `apt-get install chromium` for the tests in a real browser"
PATIENCE_S = 60
ARGUMENTS = ["--disable-gpu", "--mute-audio", "--use-fake-device-for-media-stream"]


LISTEN = """
  window.told = [];
  addEventListener("DOMContentLoaded", () => {
    const listener = new MutationObserver((changes) => {
      for (const { addedNodes } of changes) for (const node of addedNodes) told.push(node.textContent);
    });
    listener.observe(document.getElementById("announcer"), { childList: true });
  });
"""
"""Keeps what screen readers are told."""
expect.set_options(timeout=PATIENCE_S * 1000)
NUM_FORMS = 23
KEPT = ("three-chin-wiggle", "both-thumb-up-chest-aside-zigzag", "fist-chest-aside-contact", "both-claw-hand-chest-nod")


class SilentProgress:
    """A `ProgressCallback` that nobody looks at."""

    def start_phase(self, name, total):
        pass

    def advance(self):
        pass

    def report_skipped(self, skipped):
        pass


@pytest.fixture(scope="session")
def chromium() -> str:
    """Debian's Chromium."""
    path = shutil.which("chromium")
    if path is None:
        pytest.skip(NO_CHROMIUM)
    return path


@pytest.fixture(scope="module")
def playwright(chromium) -> Iterator[Playwright]:
    """Ended with each module: while it runs, no other event loop can run in this thread."""
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="module")
def open_browser(playwright, chromium) -> Iterator[Callable[..., Browser]]:
    """Opens browsers whose camera shows a clip, one browser for each."""
    opened: dict[Path | None, Browser] = {}

    def open_browser(camera: Path | None = None) -> Browser:
        if camera not in opened:
            arguments = [*ARGUMENTS, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
            if camera is not None:
                arguments.append(f"--use-file-for-fake-video-capture={camera}")
            opened[camera] = playwright.chromium.launch(executable_path=chromium, args=arguments)
        return opened[camera]

    yield open_browser
    for browser in opened.values():
        browser.close()


@dataclass
class Watched:
    """A page, and what it did."""

    page: Page
    origin: str
    errors: list[str] = field(default_factory=list)
    """Errors in its console, and what was thrown and not caught."""
    foreign: list[str] = field(default_factory=list)
    """Requests to anybody else."""
    searches: list[str] = field(default_factory=list)
    """Paths below /v1/search that it asked, in order."""
    tolerated: tuple[str, ...] = ()
    """Parts of errors that a test provokes."""

    def watch(self) -> None:
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self._request(request.url))

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(message.text)

    def _request(self, address: str) -> None:
        if not address.startswith((self.origin, "blob:" + self.origin)):
            self.foreign.append(address)
        path = urlsplit(address).path
        if path.startswith("/v1/search"):
            self.searches.append(path)

    def check(self) -> None:
        unexpected = [error for error in self.errors if not any(part in error for part in self.tolerated)]
        assert not unexpected
        assert not self.foreign


@dataclass
class Site:
    """A running service, and visitors of its page."""

    client: httpx.Client
    services: Services
    app: FastAPI
    encoder: FakeEncoder | None
    open_browser: Callable[..., Browser]
    stack: ExitStack

    @property
    def origin(self) -> str:
        return str(self.client.base_url).rstrip("/")

    def forget_queries(self) -> None:
        """As if a quarter of an hour had passed."""
        self.app.state.search_service.query_cache = QueryCache(self.services.settings.query_cache_mb * 1_000_000)

    def visit(
        self,
        path: str = "/",
        *,
        size=DESKTOP,
        camera: Path | None = None,
        allowed: bool = True,
        moving: bool = False,
        **options,
    ) -> Page:
        """Open a page of the service, as a new visitor. What must never happen is checked when the test ends.

        Args:
            path: which page.
            size: of the window, width and height in pixels.
            camera: what the camera shows.
            allowed: whether the page may use it.
            moving: whether videos play by themselves; for most tests that is so much work for nothing.
            options: further ones of the browser.
        """
        browser = self.open_browser(camera)
        defaults = {"viewport": {"width": size[0], "height": size[1]}, "locale": "en-GB", "has_touch": size == PHONE}
        defaults["reduced_motion"] = "no-preference" if moving else "reduce"
        context: BrowserContext = browser.new_context(**{**defaults, **options})
        self.stack.callback(context.close)
        if allowed:
            context.grant_permissions(["camera"], origin=self.origin)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_S * 1000)
        page.watched = Watched(page, self.origin)
        page.watched.watch()
        page.add_init_script(LISTEN)
        self.stack.callback(page.watched.check)
        page.goto(self.origin + path)
        return page


@contextmanager
def served(
    settings: Settings, encoder: FakeEncoder | None, port: int = 0
) -> Iterator[tuple[httpx.Client, Services, FastAPI]]:
    """A service that has indexed its dictionary."""
    lifecycle = Lifecycle.open(settings, encoder)
    services = lifecycle.services
    services.reindex(SilentProgress())
    app = create_app(settings, lifecycle)
    with running(app, port) as client:
        yield client, services, app


def write_forms(folder: Path) -> Path:
    """The demo with more to choose from: two languages, tags, a second signer, a file that is no video."""
    shutil.copytree(DEMO, folder)
    with (folder / "entries.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    rows = [row for row in rows if row["id"] in KEPT or row not in rows[:-NUM_FORMS]]
    for number, row in enumerate(sorted(rows, key=lambda row: row["id"])):
        row["language"] = "x-forms" if number % 4 else "x-other"
        row["tags"] = "two hands" if row["id"].startswith(("both", "in-turn")) else "one hand"
    shutil.copy(QUERIES / "three-chin-wiggle.mp4", folder / "second.mp4")
    first = next(row for row in rows if row["id"] == "three-chin-wiggle")
    (folder / "broken.mp4").write_text("no video")
    rows += [{**first, "id": "second", "video": "second.mp4", "signer": "s01"}]
    rows += [{**first, "id": "broken", "video": "broken.mp4", "gloss": "BROKEN"}]
    with (folder / "entries.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(first))
        writer.writeheader()
        writer.writerows(rows)
    return folder


@pytest.fixture(scope="session")
def forms(tmp_path_factory, chromium) -> Path:
    return write_forms(tmp_path_factory.mktemp("forms") / "dictionary")


@pytest.fixture(scope="session")
def quick_service(tmp_path_factory, forms):
    """A service whose encoder takes no time: it looks at colours."""
    encoder = FakeEncoder()
    settings = Settings(data=tmp_path_factory.mktemp("data"), dictionary=forms, admin_key=KEY, max_searches=2)
    with served(settings, encoder) as (client, services, app):
        yield client, services, app, encoder


@pytest.fixture
def site(quick_service, open_browser) -> Iterator[Site]:
    """The page over the demo and a fake encoder."""
    client, services, app, encoder = quick_service
    with ExitStack() as stack:
        yield Site(client, services, app, encoder, open_browser, stack)
    encoder.gate.set()


def look_up(page: Page, video: Path) -> None:
    """Choose a file and wait for its results."""
    page.set_input_files("input[type=file]", video)
    wait_for_results(page)


def wait_for_results(page: Page) -> None:
    page.wait_for_selector(".search:not([data-busy]):not(.filming) .results .card")


def record(page: Page, ms: int) -> None:
    """Turn the camera on and record for a while."""
    main = page.locator(".stage ~ .controls .primary")
    main.click()
    page.wait_for_selector(".stage[data-phase=live]")
    page.locator(".check input").uncheck()
    main.click()
    page.wait_for_selector(".stage[data-phase=recording]")
    page.wait_for_timeout(ms)
    main.click()
    wait_for_results(page)


def glosses(page: Page) -> list[str]:
    """Those shown, best first."""
    return page.locator(".results .gloss").all_inner_texts()


def until(page: Page, script: str, arg: object = None) -> None:
    """Wait until a script gives something true. Playwright's own way needs `eval`, which the page forbids."""
    deadline = time.monotonic() + PATIENCE_S
    while not page.evaluate(script, arg):
        assert time.monotonic() < deadline, f"not within {PATIENCE_S} s: {script}"
        page.wait_for_timeout(50)


def said(page: Page, part: str) -> None:
    """Wait until screen readers are told something."""
    until(page, "part => told.some((text) => text.includes(part))", part)
