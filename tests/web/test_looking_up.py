"""A learner looks a sign up."""

import base64
import time
from contextlib import ExitStack

import av
import numpy as np
import pytest
from playwright.sync_api import expect

from app.settings import Settings
from tests.web.camera import clip_s, write_camera
from tests.web.conftest import (
    DEMO,
    PHONE,
    QUERIES,
    Site,
    glosses,
    look_up,
    record,
    said,
    served,
    until,
    wait_for_results,
)

SIGN, GLOSS = "three-chin-wiggle", "THREE CHIN WIGGLE"
CLIP = DEMO / f"{SIGN}.mp4"


@pytest.fixture(scope="module")
def camera(tmp_path_factory):
    return write_camera(tmp_path_factory.mktemp("camera") / "camera.y4m", CLIP)


@pytest.fixture
def real_site(tmp_path, open_browser):
    """The page over the demo as `make run` serves it, with the encoder of the repository."""
    settings = Settings(data=tmp_path / "data", dictionary=DEMO)
    with served(settings, None) as (client, services, app), ExitStack() as stack:
        yield Site(client, services, app, None, open_browser, stack)


def test_a_recorded_sign_is_among_the_first_ten_of_the_demo(real_site, camera):
    page = real_site.visit(camera=camera)
    record(page, round(clip_s(CLIP) * 1000))
    assert GLOSS in glosses(page)
    assert len(glosses(page)) == 10
    page.context.close()


def test_recording_stops_by_itself_when_the_hands_rest(site, camera):
    page = site.visit(camera=camera)
    main = page.locator(".stage ~ .controls .primary")
    main.click()
    page.wait_for_selector(".stage[data-phase=live]")
    assert (
        page.evaluate("getComputedStyle(document.querySelector('.preview')).transform") == "matrix(-1, 0, 0, 1, 0, 0)"
    )
    main.click()
    page.wait_for_selector(".count:not([hidden])")
    page.wait_for_selector(".stage[data-phase=recording]")
    said(page, "Your hands rest")
    wait_for_results(page)
    expect(page.locator(".privacy")).to_contain_text("not kept")


def test_the_recording_is_not_mirrored(site, tmp_path):
    lopsided = QUERIES / "both-claw-hand-chest-nod.mp4"  # darker on one side
    page = site.visit(camera=write_camera(tmp_path / "camera.y4m", lopsided))
    record(page, 600)
    assert page.evaluate("getComputedStyle(document.querySelector('.review')).transform") == "none"
    until(page, "document.querySelector('.review').readyState >= 2")
    # The same places in the recording and in the clip: what is left there is left here.
    told = page.evaluate(
        """() => {
          const context = new OffscreenCanvas(8, 6).getContext("2d");
          context.drawImage(document.querySelector(".review"), 0, 0, 8, 6);
          return [...context.getImageData(0, 0, 8, 6).data];
        }"""
    )
    recorded = np.array(told).reshape(6, 8, 4)[..., :3]
    with av.open(str(lopsided)) as container:
        filmed = next(container.decode(video=0)).reformat(8, 6, "rgb24").to_ndarray().astype(int)
    assert abs(recorded - filmed).mean() < 0.3 * abs(recorded - filmed[:, ::-1]).mean()


def test_a_dictionary_video_finds_its_own_sign(site):
    page = site.visit()
    look_up(page, CLIP)
    assert glosses(page)[0] == GLOSS
    said(page, f"10 signs found. First: {GLOSS}.")
    expect(page.locator(".results .card").first.locator(".score-number")).to_have_text("100%")


def test_moving_a_handle_ranks_again_without_sending_the_video(site):
    page = site.visit()
    look_up(page, QUERIES / "three-chin-wiggle.mp4")
    scores = page.locator(".score-number").all_inner_texts()
    box = page.locator(".strip").bounding_box()
    page.locator(".handle.start").hover()
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 20, steps=4)
    page.mouse.up()
    until(
        page,
        "before => [...document.querySelectorAll('.score-number')].map((n) => n.textContent).join() !== before",
        ",".join(scores),
    )
    assert page.watched.searches.count("/v1/search") == 1
    assert page.watched.searches.count("/v1/search/vector") >= 1
    start = float(page.locator(".handle.start").get_attribute("aria-valuenow"))
    assert start == pytest.approx(0.6 * 2.2, abs=0.1)
    page.get_by_role("button", name="Whole video").click()
    until(
        page,
        "before => [...document.querySelectorAll('.score-number')].map((n) => n.textContent).join() === before",
        ",".join(scores),
    )


def test_a_query_that_was_forgotten_is_sent_again(site):
    page = site.visit()
    look_up(page, CLIP)
    page.watched.tolerated = ("404",)
    site.forget_queries()
    with page.expect_response(lambda response: response.url.endswith("/v1/search/vector") and response.ok):
        page.locator(".handle.end").press("ArrowLeft")
    until(page, "gloss => document.querySelector('.gloss').textContent === gloss", GLOSS)
    assert page.watched.searches == ["/v1/search", "/v1/search/vector", "/v1/search", "/v1/search/vector"]


def test_filters_narrow_the_answer(site):
    page = site.visit()
    look_up(page, CLIP)
    with page.expect_response("**/v1/search/vector"):
        page.get_by_label("Tag").select_option("two hands")
    until(page, "[...document.querySelectorAll('.gloss')].every((n) => /^(BOTH|IN-TURN)/.test(n.textContent))")
    with page.expect_response("**/v1/search/vector"):
        page.get_by_label("Language", exact=True).nth(1).select_option("x-other")
    until(page, "[...document.querySelectorAll('.results .tongue')].every((n) => n.textContent === 'x-other')")
    assert glosses(page)
    page.get_by_label("Tag").select_option("")
    page.get_by_label("Language", exact=True).nth(1).select_option("")
    until(page, "gloss => document.querySelector('.gloss').textContent === gloss", GLOSS)
    asked = len(page.watched.searches)
    page.get_by_label("Narrow by word").fill("chìn wigg")
    assert glosses(page) == [GLOSS]
    page.get_by_label("Narrow by word").fill("there is no such word")
    expect(page.locator(".results .end")).to_contain_text("No sign passes these filters")
    assert len(page.watched.searches) == asked, "a word narrows what is there already"
    assert page.watched.searches.count("/v1/search") == 1


def test_half_speed_and_holding_are_for_all_videos(site):
    page = site.visit(moving=True)
    look_up(page, CLIP)
    playing = "[...document.querySelectorAll('.results video')].filter((v) => !v.paused && v.readyState > 2)"
    until(page, f"{playing}.length >= 8")
    page.get_by_role("button", name="½ speed").click()
    assert page.evaluate(f"{playing}.every((v) => v.playbackRate === 0.5 && v.muted)")
    page.get_by_role("button", name="Play videos").click()
    until(page, f"{playing}.length === 0")


def test_none_of_these_gives_ten_more_once_and_then_says_so(site):
    page = site.visit()
    look_up(page, CLIP)
    none = page.get_by_role("button", name="None of these")
    none.click()
    assert len(glosses(page)) == 20
    assert page.evaluate("document.activeElement === document.querySelectorAll('.results .card')[10]")
    none.click()
    expect(page.locator(".notthere")).to_contain_text("may not be in this dictionary")
    expect(page.locator(".notthere")).to_be_focused()
    expect(none).to_have_count(0)


def test_a_retake_takes_one_press_and_takes_are_searched_together(site, camera):
    page = site.visit(camera=camera, size=PHONE)
    look_up(page, DEMO / "both-thumb-up-chest-aside-zigzag.mp4")
    page.get_by_role("button", name="Record again").click()
    page.wait_for_selector(".stage[data-phase=recording]")
    page.wait_for_timeout(1500)
    page.keyboard.press("Escape")
    wait_for_results(page)
    expect(page.locator(".take")).to_have_count(2)
    assert page.watched.searches.count("/v1/search") == 2
    with page.expect_request("**/v1/search/vector") as asked:
        page.get_by_role("button", name="Search 2 takes together").click()
    vector = asked.value.post_data_json["vector"]
    expect(page.locator(".takes .toggle")).to_have_attribute("aria-pressed", "true")
    assert len(vector) == site.encoder.info.vector_dim
    with page.expect_response("**/v1/search/vector"):
        page.get_by_role("button", name="Take 1", exact=True).click()
    until(page, "document.querySelector('.gloss').textContent === 'BOTH THUMB-UP CHEST-ASIDE ZIGZAG'")
    page.get_by_role("button", name="Remove take 2").click()
    expect(page.locator(".takes")).to_be_hidden()


def test_the_mean_of_takes_is_the_mean_of_their_vectors(site):
    page = site.visit()
    vectors = []
    for clip in (CLIP, DEMO / "fist-chest-aside-contact.mp4"):
        with page.expect_response("**/v1/search") as answer:
            look_up(page, clip)
        vectors.append(answer.value.json()["vector"])
    page.wait_for_selector(".takes .toggle")
    with page.expect_request("**/v1/search/vector") as asked:
        page.get_by_role("button", name="Search 2 takes together").click()
    mean = [(one + other) / 2 for one, other in zip(*vectors, strict=True)]
    assert asked.value.post_data_json["vector"] == pytest.approx(mean, abs=1e-9)


@pytest.mark.parametrize("event", ["drop", "paste"])
def test_a_video_can_be_dropped_and_pasted(site, event):
    page = site.visit()
    page.wait_for_selector(".stage")
    content = base64.b64encode(CLIP.read_bytes()).decode()
    page.evaluate(
        """async ([event, content]) => {
          const transfer = new DataTransfer();
          const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
          transfer.items.add(new File([bytes], "dropped.mp4", { type: "video/mp4" }));
          const how = { dataTransfer: transfer, clipboardData: transfer, bubbles: true, cancelable: true };
          document.body.dispatchEvent(event === "drop" ? new DragEvent(event, how) : new ClipboardEvent(event, how));
        }""",
        [event, content],
    )
    wait_for_results(page)
    assert glosses(page)[0] == GLOSS


def test_results_are_as_they_were_when_one_comes_back(site):
    page = site.visit()
    look_up(page, CLIP)
    before = glosses(page)
    page.locator(".results .card").nth(2).click()
    page.wait_for_selector(".sign .pair")
    page.go_back()
    page.wait_for_selector(".results")
    assert glosses(page) == before
    assert page.watched.searches.count("/v1/search") == 1


def test_takes_in_step_with_the_dictionary(site):
    page = site.visit(moving=True)
    look_up(page, QUERIES / "three-chin-wiggle.mp4")
    page.get_by_role("link", name=GLOSS).click()
    page.wait_for_selector(".pair")
    shares = (
        """() => [...document.querySelectorAll(".pair video")].map((video) => video.currentTime / video.duration)"""
    )
    until(
        page, "[...document.querySelectorAll('.pair video')].every((video) => !video.paused && video.currentTime > 0.2)"
    )
    for _ in range(5):
        time.sleep(0.2)
        theirs, mine = page.evaluate(shares)
        # At the moment that both begin again one may be there before the other.
        apart = abs(theirs - mine)
        assert min(apart, 1 - apart) < 0.2
    page.get_by_role("button", name="Pause").click()
    page.get_by_label("Position in both videos").fill("100")
    until(page, "[...document.querySelectorAll('.pair video')].every((video) => video.paused && !video.seeking)")
    theirs, mine = page.evaluate(shares)
    assert theirs == pytest.approx(0.5, abs=0.02)
    assert mine == pytest.approx(0.5, abs=0.05)
    mirror = page.get_by_role("button", name="Mirror my take")
    mirror.click()
    expect(mirror).to_have_attribute("aria-pressed", "true")
