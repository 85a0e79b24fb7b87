"""What the page does when something is missing, refused, busy or gone."""

import socket
import threading

import httpx
import pytest
from playwright.sync_api import expect

from app.settings import Settings
from tests.fakes import FakeEncoder
from tests.tiny_videos import write_clip, write_dictionary
from tests.web.conftest import DEMO, KEY, glosses, look_up, said, served, until, wait_for_results

CLIP = DEMO / "three-chin-wiggle.mp4"


def test_a_refused_camera_is_said_and_a_file_still_works(site):
    page = site.visit(allowed=False)
    page.get_by_role("button", name="Turn on the camera").click()
    expect(page.get_by_role("alert")).to_contain_text("The camera was not allowed")
    expect(page.get_by_role("alert")).to_contain_text("choose a video")
    look_up(page, CLIP)
    expect(page.locator(".problem")).to_be_hidden()


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        ("delete navigator.mediaDevices.__proto__.getUserMedia", "This browser can't record"),
        (
            "navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('', 'NotFoundError'))",
            "No camera was found",
        ),
        (
            "navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('', 'NotReadableError'))",
            "another program",
        ),
    ],
)
def test_why_there_is_no_camera_is_said(site, broken, told):
    page = site.visit()
    page.wait_for_selector(".stage")
    page.evaluate(f"() => {{ {broken} }}")
    page.get_by_role("button", name="Turn on the camera").click()
    expect(page.get_by_role("alert")).to_contain_text(told)
    expect(page.get_by_role("button", name="Choose a video")).to_be_enabled()


def test_a_refused_video_shows_the_reason_of_the_service(site, tmp_path):
    page = site.visit()
    page.watched.tolerated = ("415",)
    broken = tmp_path / "letter.mp4"
    broken.write_text("Dear Sir or Madam")
    with page.expect_response("**/v1/search") as answer:
        page.set_input_files("input[type=file]", broken)
    expect(page.locator(".problem q")).to_have_text(answer.value.json()["detail"])
    expect(page.locator(".problem")).to_contain_text("letter.mp4 can't be looked up")
    expect(page.locator(".stage ~ .controls .primary")).to_be_focused()
    look_up(page, CLIP)
    expect(page.locator(".problem")).to_be_hidden()
    assert glosses(page)[0] == "THREE CHIN WIGGLE"


def test_after_a_refused_take_the_one_before_is_there_again(site, tmp_path):
    page = site.visit()
    page.watched.tolerated = ("415",)
    look_up(page, CLIP)
    before = glosses(page)
    broken = tmp_path / "broken.webm"
    broken.write_bytes(b"\0" * 100)
    page.set_input_files("input[type=file]", broken)
    page.wait_for_selector(".problem:not([hidden])")
    assert glosses(page) == before
    page.wait_for_selector(".trim")


def test_a_busy_service_is_asked_again_and_the_wait_is_shown(site):
    page = site.visit()
    page.watched.tolerated = ("429",)
    page.wait_for_selector(".stage")
    site.encoder.gate.clear()
    with CLIP.open("rb") as video:
        content = video.read()
    others = [
        threading.Thread(
            target=httpx.post, args=(f"{site.origin}/v1/search",), kwargs={"files": {"video": content}, "timeout": 60}
        )
        for _ in range(2)
    ]
    for other in others:
        other.start()
    while "signdex_searches 2.0" not in site.client.get("/metrics").text:
        page.wait_for_timeout(20)
    page.set_input_files("input[type=file]", CLIP)
    expect(page.locator(".work")).to_contain_text("The service is busy. Trying again in")
    site.encoder.gate.set()
    wait_for_results(page)
    for other in others:
        other.join()
    assert page.watched.searches.count("/v1/search") >= 2
    said(page, "The service is busy")
    expect(page.locator(".work")).to_be_hidden()


def test_a_wait_can_be_cancelled(site):
    page = site.visit()
    page.wait_for_selector(".stage")
    site.encoder.gate.clear()
    page.set_input_files("input[type=file]", CLIP)
    page.locator(".work").get_by_role("button", name="Cancel").click()
    site.encoder.gate.set()
    expect(page.locator(".search")).to_have_attribute("data-phase", "start")
    expect(page.get_by_role("button", name="Turn on the camera")).to_be_focused()


def test_a_service_that_went_away_is_waited_for(site, tmp_path):
    clips = write_dictionary(tmp_path / "clips", ["APPLE", "BREAD", "CHAIR"])
    settings = Settings(data=tmp_path / "data", dictionary=clips, admin_key=KEY)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with served(settings, FakeEncoder(), port) as (client, _, _):
        site.client = client
        page = site.visit()
        page.watched.tolerated = ("ERR_CONNECTION_REFUSED", "ERR_EMPTY_RESPONSE", "ERR_CONNECTION_RESET")
        look_up(page, clips / "APPLE.mp4")
    page.set_input_files("input[type=file]", write_clip(tmp_path / "again.mp4", 1))
    expect(page.locator(".work")).to_contain_text("can't be reached. Your take is safe here")
    with served(settings, FakeEncoder(), port):
        until(page, "() => document.querySelectorAll('.take').length === 2")
        wait_for_results(page)
        until(page, "() => document.querySelector('.gloss').textContent === 'BREAD'")
        page.context.close()


def test_an_empty_dictionary_is_said(site, tmp_path):
    from app.http.application import create_app
    from app.http.lifecycle import Lifecycle
    from tests.running import running

    settings = Settings(data=tmp_path / "data")
    lifecycle = Lifecycle.open(settings, FakeEncoder())
    with running(create_app(settings, lifecycle)) as client:
        site.client = client
        page = site.visit()
        page.watched.tolerated = ("503",)
        page.set_input_files("input[type=file]", CLIP)
        expect(page.locator(".problem")).to_contain_text("The dictionary is still empty")
        page.goto(f"{site.origin}/browse")
        expect(page.get_by_role("alert")).to_contain_text("The dictionary is still empty")
        page.context.close()
