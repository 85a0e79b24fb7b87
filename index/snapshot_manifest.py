"""What lies in the snapshots folder: which snapshot is the current one, and what each says about itself. Only reads."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from index.errors import SnapshotDamagedError, SnapshotError, SnapshotMissingError
from index.snapshot_files import sha256

SCHEMA = 1
CURRENT = "CURRENT"
MANIFEST = "manifest.json"
VECTORS = "vectors.npy"
ENTRIES = "entries.jsonl"
INDEX = "index.faiss"
SNAPSHOT_ID = re.compile("[0-9a-f]{12}")


@dataclass(frozen=True)
class Manifest:
    """What a snapshot says about itself."""

    snapshot_id: str
    encoder_id: str
    dim: int
    created_at: str
    """ISO 8601, UTC."""
    counts: Mapping[str, int]
    """`entries`, `signs`, `vectors`."""
    sha256: Mapping[str, str]
    """Per file, in hex."""
    report: Mapping[str, Any] = field(default_factory=dict)
    """What the maker wants to be known: settings, skipped videos, what was found out about the vectors."""
    schema: int = SCHEMA


def current_id(folder: Path) -> str:
    """The id that CURRENT names.

    Raises:
        SnapshotMissingError: nothing was published here.
        SnapshotDamagedError: CURRENT holds no id.
    """
    try:
        named = (folder / CURRENT).read_text(encoding="utf-8", errors="replace").strip()
    except FileNotFoundError as error:
        raise SnapshotMissingError(f"no snapshot was published in {folder} yet") from error
    if not SNAPSHOT_ID.fullmatch(named):
        raise SnapshotDamagedError(f"{folder / CURRENT} holds {named[:40]!r}; it must name a snapshot, 12 hex digits")
    return named


def read_manifest(snapshot: Path) -> Manifest:
    """The manifest of one snapshot folder.

    Raises:
        SnapshotMissingError: there is no such folder.
        SnapshotDamagedError: it has no manifest, or one that is not understood.
    """
    if not (SNAPSHOT_ID.fullmatch(snapshot.name) and snapshot.is_dir()):
        raise SnapshotMissingError(f"there is no snapshot {snapshot.name} in {snapshot.parent}")
    try:
        manifest = Manifest(**json.loads((snapshot / MANIFEST).read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise SnapshotDamagedError(f"snapshot {snapshot.name}: {MANIFEST} is not readable: {error}") from error
    if manifest.schema != SCHEMA:
        raise SnapshotDamagedError(
            f"snapshot {snapshot.name} has schema {manifest.schema}; this version reads {SCHEMA}"
        )
    return manifest


def manifests(folder: Path) -> list[Manifest]:
    """The manifests of all readable snapshots, newest first."""
    found = []
    for snapshot in snapshot_folders(folder):
        try:
            found.append(read_manifest(snapshot))
        except SnapshotError:  # a damaged one is no choice to offer; loading it says what is wrong
            continue
    return sorted(found, key=lambda manifest: manifest.created_at, reverse=True)


def snapshot_folders(folder: Path) -> list[Path]:
    """The snapshot folders, in no order."""
    if not folder.is_dir():
        return []
    return [path for path in folder.iterdir() if SNAPSHOT_ID.fullmatch(path.name)]


def file_difference(snapshot: Path, manifest: Manifest, name: str) -> str | None:
    """Why a file is not the one that was published, or None where it is."""
    expected = manifest.sha256.get(name)
    try:
        actual = sha256(snapshot / name)
    except OSError as error:
        return f"{name} is not readable: {error}"
    return None if actual == expected else f"{name} has sha256 {actual[:12]}, the manifest says {str(expected)[:12]}"
