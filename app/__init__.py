"""The service: HTTP routes and command line over model and index."""

import tomllib
from pathlib import Path

VERSION: str = tomllib.loads((Path(__file__).resolve().parents[1] / "pyproject.toml").read_text("utf-8"))["project"][
    "version"
]
"""The version of the project; pyproject.toml is the one place where it stands."""
