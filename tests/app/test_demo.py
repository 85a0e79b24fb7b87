"""What is served where no dictionary is named."""

from app.demo import with_demo
from app.replica.services import open_services
from tests.fakes import FakeEncoder
from tests.tiny_videos import write_clip


def test_the_demo_is_taken_where_nothing_else_is_named(settings, tmp_path):
    demo = tmp_path / "demo"
    unset = settings.model_copy(update={"dictionary": None})
    assert with_demo(unset, demo).dictionary is None, "there is no demo yet"
    demo.mkdir()
    (demo / "LICENSE").touch()
    assert with_demo(unset, demo).dictionary is None, "there are no videos in it"
    write_clip(demo / "HELLO" / "anna.mp4", 1)
    assert with_demo(unset, demo).dictionary == demo
    assert with_demo(settings, demo).dictionary == settings.dictionary


def test_the_demo_never_takes_the_place_of_another_dictionary(settings, tmp_path, progress):
    demo = tmp_path / "demo"
    write_clip(demo / "HELLO.mp4", 1)
    unset = settings.model_copy(update={"dictionary": None})
    open_services(with_demo(unset, demo), FakeEncoder()).reindex(progress)
    assert with_demo(unset, demo).dictionary == demo, "it was the demo that was published"
    open_services(settings, FakeEncoder()).reindex(progress)
    assert with_demo(unset, demo).dictionary is None
