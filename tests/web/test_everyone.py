"""For everybody: keyboard, screen reader, small screens, light and dark, two languages, and no word to anybody else."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.web.camera import write_camera
from tests.web.conftest import (
    ARTIFACTS,
    DEMO,
    DESKTOP,
    KEY,
    PHONE,
    QUERIES,
    glosses,
    look_up,
    record,
    said,
    until,
    wait_for_results,
)

CLIP = DEMO / "three-chin-wiggle.mp4"
FIRST_VIEW_BYTES = 100_000
SERIOUS = ("serious", "critical")


@pytest.fixture(scope="module")
def camera(tmp_path_factory):
    lopsided = QUERIES / "both-claw-hand-chest-nod.mp4"
    return write_camera(tmp_path_factory.mktemp("camera") / "camera.y4m", lopsided)


def keep(page, name):
    """Keep a picture of what one sees."""
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    page.wait_for_timeout(300)
    page.screenshot(path=ARTIFACTS / f"{name}.png")


def no_serious_finding(page, where):
    found = Axe().run(page).response["violations"]
    serious = [
        (each["id"], [node["html"] for node in each["nodes"]][:3]) for each in found if each["impact"] in SERIOUS
    ]
    assert not serious, where


def nothing_sticks_out(page):
    wider = """() => [...document.querySelectorAll("main *, header *")]
      .filter((node) => node.getBoundingClientRect().right > innerWidth && !node.closest(".scroll, .unseen"))
      .map((node) => node.outerHTML.slice(0, 120))"""
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (page.url, page.evaluate(wider))
    cut_off = "() => [...document.querySelectorAll('.capture')].some((node) => node.scrollWidth > node.clientWidth)"
    assert not page.evaluate(cut_off), page.url


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(site, scheme):
    page = site.visit(color_scheme=scheme)
    page.wait_for_selector(".stage")
    no_serious_finding(page, "start")
    look_up(page, CLIP)
    look_up(page, QUERIES / "three-chin-wiggle.mp4")
    page.wait_for_selector(".takes .toggle")
    page.locator(".handle.start").press("PageUp")
    no_serious_finding(page, "results")
    page.get_by_role("link", name="THREE CHIN WIGGLE").click()
    page.wait_for_selector(".similar .card")
    no_serious_finding(page, "sign")
    page.goto(f"{site.origin}/browse")
    page.wait_for_selector(".card")
    no_serious_finding(page, "browse")
    page.goto(f"{site.origin}/admin")
    page.get_by_label("Admin key").wait_for()
    no_serious_finding(page, "key")
    page.get_by_label("Admin key").fill(KEY)
    page.keyboard.press("Enter")
    page.wait_for_selector(".panel.near figcaption")
    no_serious_finding(page, "admin")


@pytest.mark.parametrize(
    ("size", "scheme", "language", "num_visible"), [(DESKTOP, "light", "en", 8), (PHONE, "dark", "de", 4)]
)
def test_enough_videos_are_seen_without_scrolling(site, camera, size, scheme, language, num_visible):
    page = site.visit(moving=True, size=size, color_scheme=scheme, camera=camera, locale=language)
    name = f"{size[0]}x{size[1]}-{scheme}-{language}"
    page.wait_for_selector(".stage")
    keep(page, f"start-{name}")
    record(page, 1500)
    page.wait_for_selector(".strip-pictures canvas")
    playing = """() => [...document.querySelectorAll(".results .picture")].filter((picture) => {
      const { top, bottom, left, right } = picture.getBoundingClientRect(), video = picture.querySelector("video");
      const whole = top >= 0 && left >= 0 && bottom <= innerHeight && right <= innerWidth;
      return whole && !video.paused && video.muted;
    }).length"""
    until(page, f"() => ({playing})() >= {num_visible}")
    nothing_sticks_out(page)
    keep(page, f"results-{name}")
    page.locator(".results .card").first.click()
    page.wait_for_selector(".similar .card")
    keep(page, f"sign-{name}")
    nothing_sticks_out(page)
    page.goto(f"{site.origin}/admin")
    page.fill("#key", KEY)
    page.keyboard.press("Enter")
    page.wait_for_selector(".panel.near figcaption")
    nothing_sticks_out(page)
    keep(page, f"admin-{name}")


def test_nothing_sticks_out_at_320_pixels(site):
    page = site.visit(size=(320, 640), locale="de")
    page.wait_for_selector(".stage")
    nothing_sticks_out(page)
    look_up(page, CLIP)
    nothing_sticks_out(page)
    for path in ("/browse", "/admin"):
        page.goto(site.origin + path)
        page.wait_for_selector(".card, #key")
        nothing_sticks_out(page)
    page.fill("#key", KEY)
    page.keyboard.press("Enter")
    page.wait_for_selector(".panel.near figcaption")
    nothing_sticks_out(page)


def test_the_first_view_is_small(site):
    page = site.visit()
    page.wait_for_selector(".stage")
    page.wait_for_load_state("networkidle")
    loaded = page.evaluate(
        """() => ["navigation", "resource"].flatMap((type) => performance.getEntriesByType(type))
          .map((entry) => [entry.name, entry.transferSize, entry.decodedBodySize])"""
    )
    assert len(loaded) > 10
    assert sum(sent for _, sent, _ in loaded) < FIRST_VIEW_BYTES
    assert sum(unpacked for _, _, unpacked in loaded) < FIRST_VIEW_BYTES, "even where nothing is compressed on the way"


def test_the_language_is_that_of_the_browser_or_the_one_chosen(site):
    page = site.visit(locale="de-CH")
    expect(page.locator("html")).to_have_attribute("lang", "de")
    expect(page.locator("html")).to_have_attribute("dir", "ltr")
    expect(page.get_by_role("button", name="Kamera einschalten")).to_be_visible()
    page.get_by_label("Sprache", exact=True).select_option("en")
    expect(page.get_by_role("button", name="Turn on the camera")).to_be_visible()
    page.goto(f"{site.origin}/browse")
    expect(page.get_by_role("heading", name="Browse the dictionary")).to_be_visible()
    other = site.visit(locale="xh-ZA")
    expect(other.locator("html")).to_have_attribute("lang", "en")


def test_another_language_keeps_takes_and_results(site):
    page = site.visit(locale="en")
    look_up(page, CLIP)
    look_up(page, CLIP)
    found = glosses(page)
    sent = []
    page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    page.locator("#header .language").select_option("de")
    expect(page.locator("html")).to_have_attribute("lang", "de")
    expect(page.locator("#header .language")).to_be_focused()
    wait_for_results(page)
    assert glosses(page) == found
    expect(page.locator(".takes .take")).to_have_count(2)
    assert not any(url.endswith("/v1/search") for url in sent), "a video was sent again"
    look_up(page, CLIP)
    expect(page.locator(".takes .take")).to_have_count(3)


def test_with_reduced_motion_nothing_moves_by_itself(site):
    page = site.visit()
    look_up(page, CLIP)
    page.wait_for_timeout(500)
    moving = "() => [...document.querySelectorAll('video')].filter((video) => !video.paused).length"
    assert page.evaluate(moving) == 0
    page.locator(".results .card").first.focus()
    until(page, f"() => ({moving})() === 1")
    page.get_by_role("button", name="Play videos").click()
    until(page, f"() => ({moving})() > 3")


class Keyboard:
    """Somebody without a mouse."""

    def __init__(self, page):
        self.page = page

    def focused(self):
        return self.page.evaluate("document.activeElement.outerHTML.slice(0, 300)")

    def tab_to(self, selector, key="Tab"):
        for _ in range(120):
            self.page.keyboard.press(key)
            if self.page.evaluate("selector => document.activeElement.matches(selector)", selector):
                return
        raise AssertionError(f"{selector} is not reached by {key}; the focus is on {self.focused()}")

    def press(self, key):
        self.page.keyboard.press(key)
        assert self.page.evaluate("document.activeElement !== document.body && document.activeElement.isConnected"), (
            f"focus lost after {key}"
        )


def test_everything_works_by_keyboard_alone(site, camera):
    page = site.visit(camera=camera)
    page.wait_for_selector(".stage")
    keyboard = Keyboard(page)
    keyboard.tab_to(".skip")
    keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    keyboard.tab_to(".primary")
    keyboard.press("Enter")
    page.wait_for_selector(".stage[data-phase=live]")
    keyboard.press("Enter")
    for spoken in ("3", "2", "1"):
        said(page, spoken)
    page.wait_for_selector(".stage[data-phase=recording]")
    page.wait_for_timeout(800)
    keyboard.press("Escape")
    wait_for_results(page)
    assert page.evaluate("document.activeElement.matches('.primary')"), keyboard.focused()
    said(page, "10 signs found")
    keyboard.tab_to(".handle.start")
    with page.expect_response("**/v1/search/vector"):
        keyboard.press("ArrowRight")
    assert page.locator(".handle.start").get_attribute("aria-valuenow") == "0.04"
    assert re.fullmatch(r"0(\.\d)? s", page.locator(".handle.start").get_attribute("aria-valuetext"))
    keyboard.tab_to(".handle.end")
    with page.expect_response("**/v1/search/vector"):
        keyboard.press("PageDown")
    keyboard.tab_to("input[type=search]")
    page.keyboard.type("o")
    keyboard.tab_to(".results .card")
    keyboard.press("Enter")
    page.wait_for_selector(".sign .pair")
    assert page.evaluate("document.activeElement.matches('h1')"), keyboard.focused()
    keyboard.tab_to(".together .primary")
    keyboard.press("Space")
    keyboard.tab_to("input[type=range]")
    keyboard.press("ArrowRight")
    keyboard.tab_to(".back a", "Shift+Tab")
    keyboard.press("Enter")
    page.wait_for_selector(".results")
    keyboard.tab_to(".end .button")
    keyboard.press("Enter")
    keyboard.tab_to(".header nav a", "Shift+Tab")


def test_every_control_has_a_name(site):
    page = site.visit()
    look_up(page, CLIP)
    look_up(page, QUERIES / "three-chin-wiggle.mp4")
    page.wait_for_selector(".takes .toggle")
    unnamed = [
        line
        for line in page.locator("body").aria_snapshot().splitlines()
        if re.fullmatch(r"\s*- (button|link|slider|checkbox|combobox|searchbox|textbox)( \[.*\])?:?", line)
    ]
    assert unnamed == []
