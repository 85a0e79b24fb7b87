"""An editor keeps the dictionary."""

import re
import shutil
from contextlib import ExitStack

import pytest
from playwright.sync_api import expect

from app.settings import Settings
from tests.fakes import FakeEncoder
from tests.tiny_videos import write_clip
from tests.web.conftest import DEMO, KEY, Site, said, served, until


@pytest.fixture
def editor(tmp_path, open_browser):
    """A small dictionary that a test may change: three signs, one video that shows two of them, one broken file."""
    folder = tmp_path / "clips"
    folder.mkdir()
    for gloss, clip in {
        "APPLE": "both-little-space-aside-zigzag",
        "BREAD": "three-chin-wiggle",
        "PEAR": "both-little-space-aside-zigzag",
    }.items():
        shutil.copy(DEMO / f"{clip}.mp4", folder / f"{gloss}.mp4")
    (folder / "LETTER.mp4").write_text("Dear Sir or Madam")
    settings = Settings(data=tmp_path / "data", dictionary=folder, admin_key=KEY)
    encoder = FakeEncoder()
    with served(settings, encoder) as (client, services, app), ExitStack() as stack:
        site = Site(client, services, app, encoder, open_browser, stack)
        site.folder = folder
        yield site
        encoder.gate.set()


def enter(page, key=KEY):
    page.get_by_label("Admin key").fill(key)
    page.keyboard.press("Enter")


def test_the_key_is_asked_for_and_kept_in_this_tab_only(editor):
    page = editor.visit("/admin")
    page.watched.tolerated = ("401",)
    enter(page, "another key")
    expect(page.get_by_role("alert")).to_contain_text("This is not the admin key")
    enter(page)
    expect(page.get_by_role("heading", name="In use")).to_be_visible()
    assert page.evaluate("Object.values(sessionStorage)") == [KEY]
    assert page.evaluate("Object.values(localStorage)") == []
    page.reload()
    expect(page.get_by_role("heading", name="In use")).to_be_visible()
    page.get_by_role("button", name="Leave").click()
    assert page.evaluate("Object.values(sessionStorage)") == []
    expect(page.get_by_label("Admin key")).to_be_focused()


def test_without_a_key_the_page_says_that_it_is_closed(editor, tmp_path):
    settings = Settings(data=tmp_path / "other", dictionary=editor.folder)
    with served(settings, FakeEncoder()) as (client, _, _):
        editor.client = client
        page = editor.visit("/admin")
        page.watched.tolerated = ("403",)
        enter(page)
        expect(page.get_by_role("alert")).to_contain_text("started without an admin key")
        page.context.close()


def test_report_card_skipped_files_and_near_duplicates(editor):
    page = editor.visit("/admin", moving=True)
    enter(page)
    card = page.locator(".panel.card")
    expect(card).to_contain_text("6 of 6 vectors find themselves")
    expect(card).to_contain_text("the first version")
    row = page.locator(".panel.skipped tbody tr")
    expect(row.locator("td").first).to_have_text("LETTER.mp4")
    expect(row.locator("td").last).to_contain_text("MP4, MOV, WebM")
    pair = page.locator(".panel.near .pairs > li")
    expect(pair).to_have_count(1)
    expect(pair).to_contain_text("APPLE")
    expect(pair).to_contain_text("PEAR")
    expect(pair).to_contain_text("100%")
    pair.scroll_into_view_if_needed()
    until(
        page,
        "() => [...document.querySelectorAll('.pairs video')].filter((video) => video.currentTime > 0).length === 2",
    )
    pair.get_by_role("link", name="PEAR").click()
    expect(page.get_by_role("heading", name="PEAR")).to_be_visible()


def test_a_reindex_shows_its_progress_and_takes_the_new_version_into_use(editor):
    page = editor.visit("/admin")
    enter(page)
    write_clip(editor.folder / "DANCE.mp4", 11)
    editor.encoder.gate.clear()
    page.get_by_role("button", name="What is new or changed").click()
    expect(page.locator(".panel.reindex")).to_contain_text(re.compile(r"Embedding videos: \d of 2"))
    value, of = page.locator("progress").evaluate("(bar) => [bar.value, bar.max]")
    assert value < of == 2
    # Loaded anew in the middle of it, the page finds the job again.
    page.reload()
    expect(page.locator(".panel.reindex")).to_contain_text(re.compile(r"Embedding videos: \d of 2"))
    editor.encoder.gate.set()
    expect(page.locator(".panel.reindex")).to_contain_text("Done: version")
    expect(page.locator(".panel.status")).to_contain_text("4")
    expect(page.locator(".panel.card")).to_contain_text("+1 signs, +1 videos")
    expect(page.locator(".panel.snapshots tbody tr")).to_have_count(2)
    said(page, "Done: version")


def test_a_reindex_can_be_stopped(editor):
    page = editor.visit("/admin")
    enter(page)
    for number in range(4):
        write_clip(editor.folder / f"NEW{number}.mp4", 20 + number)
    editor.encoder.gate.clear()
    page.get_by_role("button", name="Everything").click()
    expect(page.locator(".panel.reindex")).to_contain_text("Embedding videos")
    with page.expect_response(lambda response: response.request.method == "DELETE"):
        page.get_by_role("button", name="Stop").click()
    editor.encoder.gate.set()
    expect(page.locator(".panel.reindex")).to_contain_text("Stopped; the version in use stays.")
    assert editor.client.get("/v1/info").json()["dictionary"]["num_signs"] == 3


def test_another_version_is_taken_into_use_after_a_question(editor):
    page = editor.visit("/admin")
    enter(page)
    first = editor.services.active_snapshot.require_dictionary().snapshot_id
    write_clip(editor.folder / "DANCE.mp4", 11)
    page.get_by_role("button", name="What is new or changed").click()
    expect(page.locator(".panel.snapshots tbody tr")).to_have_count(2)
    page.get_by_role("button", name=f"Use version {first}").click()
    question = page.get_by_role("dialog")
    expect(question).to_contain_text("3 signs")
    question.get_by_role("button", name="Keep").click()
    assert editor.services.active_snapshot.require_dictionary().snapshot_id != first
    page.get_by_role("button", name=f"Use version {first}").click()
    question.get_by_role("button", name="Use this version").click()
    said(page, f"Version {first} is in use.")
    assert editor.services.active_snapshot.require_dictionary().snapshot_id == first
    expect(page.locator(f"[data-snapshot='{first}']")).to_contain_text("in use")
