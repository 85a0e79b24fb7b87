"""Looking around without a video."""

from playwright.sync_api import expect

from tests.web.conftest import until

GLOSS = "THREE CHIN WIGGLE"


def test_signs_are_found_by_their_word_and_the_address_says_which(site):
    page = site.visit("/")
    page.get_by_label("Do you know the word?").fill("chin wiggle")
    page.get_by_role("button", name="Find").click()
    page.wait_for_url("**/browse?text=chin*wiggle")
    expect(page.locator(".card")).to_have_count(1)
    expect(page.locator(".told")).to_have_text("1 sign")
    field = page.get_by_label("Find a word")
    field.fill("hand")
    until(page, "() => document.querySelectorAll('.card').length > 1")
    assert page.url.endswith("/browse?text=hand")
    page.get_by_label("Tag").select_option("two hands")
    until(page, "() => [...document.querySelectorAll('.gloss')].every((n) => /^(BOTH|IN-TURN)/.test(n.textContent))")
    page.reload()
    expect(field).to_have_value("hand")
    expect(page.get_by_label("Tag")).to_have_value("two hands")
    field.fill("no such word")
    expect(page.locator(".end")).to_have_text("No sign has this word.")


def test_a_sign_has_an_address_of_its_own(site):
    page = site.visit("/browse?text=chin+wiggle")
    page.get_by_role("link", name=GLOSS).click()
    page.wait_for_url("**/signs/*")
    expect(page.get_by_role("heading", name=GLOSS)).to_be_focused()
    assert page.title() == f"{GLOSS} · Signdex"
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=site.origin)
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_role("button", name="Link copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == page.url
    other = site.visit(page.url.removeprefix(site.origin))
    expect(other.get_by_role("heading", name=GLOSS)).to_be_visible()
    expect(other.locator(".similar .card")).to_have_count(8)
    expect(other.locator(".facts")).to_contain_text("one hand")


def test_all_videos_of_a_sign_and_who_signs_them(site):
    page = site.visit("/browse?text=wiggle", moving=True)
    page.get_by_role("link", name=GLOSS).click()
    expect(page.get_by_role("heading", name="2 videos")).to_be_visible()
    expect(page.locator(".shown figcaption")).to_contain_text("signed by s00")
    page.get_by_role("button", name="Video 2").click()
    expect(page.locator(".shown figcaption")).to_contain_text("signed by s01")
    expect(page.get_by_role("button", name="Video 2")).to_be_focused()
    until(page, "() => document.querySelector('.shown video').currentTime > 0")
    assert page.evaluate("document.querySelector('.shown video').src.endsWith('/v1/entries/second/video')")


def test_a_sign_that_is_not_there_is_said(site):
    page = site.visit("/signs/000000000000")
    page.watched.tolerated = ("404",)
    expect(page.get_by_role("alert")).to_contain_text("This dictionary has no such sign")
    expect(page.locator(".problem q")).to_contain_text("000000000000")


def test_listed_videos_play_while_one_points_at_them(site):
    page = site.visit("/browse")
    card = page.locator(".card").nth(1)
    card.wait_for()
    playing = "() => [...document.querySelectorAll('.card video')].filter((video) => !video.paused).length"
    assert page.evaluate(playing) == 0
    card.hover()
    until(page, f"() => ({playing})() === 1")
    page.mouse.move(0, 0)
    until(page, f"() => ({playing})() === 0")
