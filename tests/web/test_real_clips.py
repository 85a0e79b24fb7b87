"""Files as phones and browsers send them, and a real person in front of the camera."""

import pytest
from playwright.sync_api import expect

from tests.real.test_odd_clips import READ, REFUSED
from tests.web.camera import write_camera
from tests.web.conftest import glosses, look_up, record

pytestmark = pytest.mark.real

UNUSABLE = {"bit_errors.mp4", *REFUSED}


@pytest.mark.parametrize("name", sorted(READ))
def test_every_clip_that_can_be_decoded_is_looked_up(site, shared, name):
    page = site.visit()
    look_up(page, shared / "clips" / "odd" / name)
    assert len(glosses(page)) == 10
    page.wait_for_selector(".strip-pictures > *")


@pytest.mark.parametrize("name", sorted(UNUSABLE))
def test_every_clip_that_can_not_be_used_is_refused_with_the_reason(site, shared, name):
    page = site.visit()
    page.watched.tolerated = ("415", "422")
    with page.expect_response("**/v1/search") as answer:
        page.set_input_files("input[type=file]", shared / "clips" / "odd" / name)
    expect(page.locator(".problem q")).to_have_text(answer.value.json()["detail"])


def test_a_person_at_home_is_recorded_and_looked_up(site, shared, tmp_path):
    camera = write_camera(tmp_path / "camera.y4m", shared / "clips" / "ukg" / "home" / "house.mp4")
    page = site.visit(camera=camera)
    record(page, 2500)
    assert len(glosses(page)) == 10
