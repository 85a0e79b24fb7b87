"""MediaPipe, where it is installed."""

import importlib.util

import pytest

WHY = "MediaPipe is not installed in this environment; `make test-pose` runs these tests with it"


def pytest_collection_modifyitems(items):
    """One reason for all, seen in the report."""
    if importlib.util.find_spec("mediapipe") is None:
        for item in items:
            if item.get_closest_marker("pose"):
                item.add_marker(pytest.mark.skip(reason=WHY))
