"""The service: HTTP routes and command line over model and index."""

VERSION = "0.1.0"
"""The version of the project, as in pyproject.toml."""
