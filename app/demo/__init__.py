"""The dictionary that is served where no other is named: videos of a synthetic signer, in `dictionary/`."""

from pathlib import Path

from app.settings import Settings
from app.sources import VIDEO_SUFFIX
from index import snapshot
from index.errors import SnapshotError

DICTIONARY = Path(__file__).resolve().parent / "dictionary"


def with_demo(settings: Settings, demo: Path = DICTIONARY) -> Settings:
    """The settings, with the demo as dictionary folder where none is set and no other dictionary was published."""
    if settings.dictionary is not None or not _has_videos(demo) or _holds_another(settings.snapshots, demo):
        return settings
    return settings.model_copy(update={"dictionary": demo})


def _has_videos(folder: Path) -> bool:
    return folder.is_dir() and any(VIDEO_SUFFIX.fullmatch(path.suffix) for path in folder.rglob("*"))


def _holds_another(snapshots: Path, demo: Path) -> bool:
    """Whether the published dictionary is somebody's own: a reindex must not put the demo in its place."""
    try:
        manifest = snapshot.read_manifest(snapshots / snapshot.current_id(snapshots))
    except SnapshotError:
        return False
    return manifest.report.get("source") != str(demo)
