"""What every test can ask for."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

import model  # noqa: F401 - before any test imports ONNX Runtime, which it keeps from reporting

# Machines are noisy: no test may fail for its time.
settings.register_profile("untimed", deadline=None)
settings.register_profile("thorough", deadline=None, max_examples=4000)
settings.load_profile("untimed")

ROOT = Path(__file__).resolve().parent.parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Side by side go files of tests; those of the service stay in one process and their order, for they look at it."""
    for item in items:
        of_the_service = ROOT / "tests" / "app" in item.path.parents
        item.add_marker(pytest.mark.xdist_group("app" if of_the_service else str(item.path)))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The shared clips folder's parent: clips/, bodies/, parity/ lie below it."""
    folder = (ROOT / os.environ.get("SIGNDEX_SHARED", "../shared")).resolve()
    if not (folder / "clips").is_dir():
        pytest.skip(f"the shared clips folder is not at {folder}; set SIGNDEX_SHARED to run the tests on real clips")
    return folder
