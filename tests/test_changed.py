from pathlib import Path

from tests.changed import matching_tests


def lay_out(root: Path, **texts: str) -> None:
    for name, text in texts.items():
        file = root / name.replace("__", "/")
        file = file.with_suffix(".py")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def test_a_module_is_tested_by_the_file_of_its_name_in_the_mirrored_folder(tmp_path):
    lay_out(tmp_path, tests__app__http__test_uploads="", tests__app__http__test_pages="import app.http.uploads")
    assert matching_tests(["app/http/uploads.py"], tmp_path) == ["tests/app/http/test_uploads.py"]


def test_a_module_without_a_file_of_its_name_is_tested_by_those_that_import_it(tmp_path):
    lay_out(tmp_path, tests__index__test_search="from index.protocol import VectorIndex", tests__index__test_cache="")
    assert matching_tests(["index/protocol.py"], tmp_path) == ["tests/index/test_search.py"]


def test_changed_tests_run_themselves_unless_they_need_a_browser_or_are_gone(tmp_path):
    lay_out(tmp_path, tests__index__test_cache="", tests__web__test_trouble="")
    changed = ["tests/index/test_cache.py", "tests/web/test_trouble.py", "tests/index/test_gone.py", "docs/log.md"]
    assert matching_tests(changed, tmp_path) == ["tests/index/test_cache.py"]
