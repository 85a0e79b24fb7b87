"""The demo dictionary, which is served by default: videos of a synthetic signer, in `dictionary/`."""

from pathlib import Path

from app.indexing.sources import VIDEO_SUFFIX
from app.settings import Settings
from index import snapshot_manifest
from index.errors import SnapshotError

DICTIONARY = Path(__file__).resolve().parent / "dictionary"


def with_demo(settings: Settings, demo: Path = DICTIONARY) -> Settings:
    """The settings, with the demo as dictionary folder if none is set and no other dictionary was published."""
    if settings.dictionary is not None or not _has_videos(demo) or _has_other_dictionary(settings.snapshots, demo):
        return settings
    return settings.model_copy(update={"dictionary": demo})


def _has_videos(folder: Path) -> bool:
    return folder.is_dir() and any(VIDEO_SUFFIX.fullmatch(path.suffix) for path in folder.rglob("*"))


def _has_other_dictionary(snapshots: Path, demo: Path) -> bool:
    """Whether another dictionary than the demo was published, which a reindex must not replace by the demo."""
    try:
        manifest = snapshot_manifest.read_manifest(snapshots / snapshot_manifest.current_id(snapshots))
    except SnapshotError:
        return False
    return manifest.report.get("source") != str(demo)
