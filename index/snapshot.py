"""Snapshots on disk: published whole or not at all, checked when loaded. The only writer of them.

    snapshots/CURRENT               the id of the published one
    snapshots/FOLDER                the id of the data folder, for a server of vectors to tell it from others
    snapshots/<id>/manifest.json    what it is, and the sha256 of the other files
                   vectors.npy      float32 [N, D], unit rows: the truth
                   entries.jsonl    row i describes vector i: the truth
                   index.faiss      derived; made anew in memory where it is missing, damaged or unreadable

A new snapshot is written into a hidden staging folder and renamed once it is complete and on the disk, then CURRENT is
replaced. The one that was published before stays for going back; older ones go.
"""

import datetime
import errno
import json
import secrets
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from index import faiss_index
from index.dictionary import Dictionary
from index.entries import Entry
from index.errors import (
    IndexServerError,
    SnapshotDamagedError,
    SnapshotError,
    SnapshotMissingError,
    SnapshotWriteError,
    VectorsError,
)
from index.faiss_index import FaissIndex
from index.gpu_index import GpuIndex
from index.protocol import Floats, VectorIndex, VectorServer, unit_rows
from index.snapshot_files import (
    STAGING_PREFIX,
    only_writer,
    read_entries,
    read_vectors,
    replace_line,
    sha256,
    sync,
    without_collecting,
    write_entries,
    write_vectors,
)
from index.snapshot_manifest import (
    CURRENT,
    ENTRIES,
    INDEX,
    MANIFEST,
    SNAPSHOT_ID,
    VECTORS,
    Manifest,
    current_id,
    file_difference,
    read_manifest,
    snapshot_folders,
)

FOLDER = "FOLDER"
CLEANING_REFUSED = (errno.EWOULDBLOCK, errno.EROFS, errno.EACCES, errno.EPERM)
"""Why leftovers stay: another process writes, or this one may only read. They do a reader no harm."""
TRASH_PREFIX = ".trash-"

Device = Literal["cpu", "cuda"]


def publish(
    folder: Path,
    vectors: Floats,
    entries: Sequence[Entry],
    *,
    encoder_id: str,
    report: Mapping[str, Any] | None = None,
    built: FaissIndex | None = None,
    server: VectorServer | None = None,
) -> Manifest:
    """Write a snapshot and make it the current one.

    Args:
        folder: the snapshots folder; made when it does not exist.
        vectors: [N, D] float32, unit rows, N >= 1.
        entries: N of them; entry i belongs to vector i.
        encoder_id: the encoder that the vectors come from.
        report: JSON-ready data for the manifest.
        built: the index of these vectors, where it was built already.
        server: where the vectors are searched, if not in this process; it has them before the snapshot is current.

    Raises:
        VectorsError: vectors or entries can't be indexed.
        IndexServerError: the server did not take them. The snapshot that was current still is.
        SnapshotWriteError: the disk did not take it. The snapshot that was current still is.
    """
    rows = unit_rows(vectors)
    _check_entries(entries, len(rows))
    draft = _draft(rows, entries, encoder_id, report or {})
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with only_writer(folder):
            return _publish(folder, draft, rows, entries, built or faiss_index.build(rows), server)
    except OSError as error:
        raise SnapshotWriteError(f"snapshot not written to {folder}: {error}; what was published stays") from error


def current_if_unchanged(
    folder: Path, vectors: Floats, entries: Sequence[Entry], *, encoder_id: str
) -> Manifest | None:
    """The current snapshot, where these vectors and entries would only repeat it and its files are whole; else None.

    Args:
        folder: the snapshots folder.
        vectors: [N, D] float32, as they would be published; every bit counts.
        entries: N of them.
        encoder_id: the encoder that the vectors come from.
    """
    try:
        manifest = read_manifest(folder / current_id(folder))
    except SnapshotError:
        return None
    snapshot = folder / manifest.snapshot_id
    if manifest.encoder_id != encoder_id or any(file_difference(snapshot, manifest, name) for name in manifest.sha256):
        return None
    if not np.array_equal(read_vectors(snapshot / VECTORS), vectors):
        return None
    return manifest if read_entries(snapshot / ENTRIES) == list(entries) else None


def load(
    folder: Path,
    snapshot_id: str | None = None,
    *,
    device: Device = "cpu",
    server: VectorServer | None = None,
) -> Dictionary:
    """Load a snapshot, by default the current one, and check it against its manifest.

    Args:
        folder: the snapshots folder.
        snapshot_id: which; None for the current one.
        device: where its vectors are searched: exactly there, or an error.
        server: searches them instead; they are brought there where it does not have them.

    Raises:
        IndexDeviceError: the device can't be had.
        IndexServerError: the server can't be used.
        SnapshotMissingError: nothing was published here, or not this id.
        SnapshotDamagedError: vectors, entries or manifest are not what was published.
    """
    snapshot_id = current_id(folder) if snapshot_id is None else snapshot_id
    if not SNAPSHOT_ID.fullmatch(snapshot_id):
        raise SnapshotMissingError(f"{snapshot_id[:40]!r} is no snapshot; an id has 12 hex digits")
    snapshot = folder / snapshot_id
    manifest = read_manifest(snapshot)
    for name in (VECTORS, ENTRIES):
        if reason := file_difference(snapshot, manifest, name):
            raise SnapshotDamagedError(f"snapshot {manifest.snapshot_id}: {reason}; index the dictionary again")
    vectors = read_vectors(snapshot / VECTORS)
    with without_collecting():
        entries = read_entries(snapshot / ENTRIES)
        vector_index, notes = _vector_index(snapshot, manifest, vectors, entries, device, server)
        return Dictionary(
            snapshot_id=manifest.snapshot_id,
            encoder_id=manifest.encoder_id,
            created_at=manifest.created_at,
            entries=entries,
            vectors=vectors,
            vector_index=vector_index,
            notes=notes,
        )


def activate(
    folder: Path, snapshot_id: str, *, encoder_id: str, device: Device = "cpu", server: VectorServer | None = None
) -> Dictionary:
    """Make a snapshot on disk the current one once its files are verified; the one before stays.

    Args:
        folder: the snapshots folder.
        snapshot_id: which.
        encoder_id: the encoder in use, which must have made it.
        device: see `load`.
        server: see `load`.

    Raises:
        EncoderMismatchError: another encoder made it.
        IndexDeviceError: the device can't be had.
        IndexServerError: the server can't be used.
        SnapshotMissingError: there is no snapshot of this id.
        SnapshotDamagedError: it is not what was published.
        SnapshotWriteError: the disk did not take the change; what was current still is.
    """
    try:
        with only_writer(folder):
            loaded = load(folder, snapshot_id, device=device, server=server)
            loaded.require_encoder(encoder_id)
            _point_current_at(folder, snapshot_id)
            if server is not None:
                with suppress(IndexServerError):  # the file says which is current
                    server.set_current(loaded.snapshot_id, loaded.encoder_id)
    except FileNotFoundError as error:
        raise SnapshotMissingError(f"no snapshot was published in {folder} yet") from error
    except OSError as error:
        raise SnapshotWriteError(f"{folder / CURRENT} not replaced: {error}; what was current still is") from error
    return loaded


def folder_id(folder: Path) -> str:
    """The id of the data folder, 12 hex digits; made where it has none yet. Copies of the folder have the same.

    Raises:
        SnapshotDamagedError: FOLDER holds no id.
        SnapshotWriteError: it has none, and none can be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / FOLDER).exists():
            with only_writer(folder):
                if not (folder / FOLDER).exists():
                    replace_line(folder / FOLDER, secrets.token_hex(6))
        named = (folder / FOLDER).read_text(encoding="utf-8", errors="replace").strip()
    except OSError as error:
        raise SnapshotWriteError(f"{folder / FOLDER} is not there and can't be written: {error}") from error
    if not SNAPSHOT_ID.fullmatch(named):
        raise SnapshotDamagedError(f"{folder / FOLDER} holds {named[:40]!r}; expected 12 hex digits")
    return named


def remove_leftovers(folder: Path) -> list[str]:
    """Remove what a killed writer left behind; nothing while another process writes, or where nothing can be written.

    Returns:
        The names of what was removed.
    """
    if not folder.is_dir():
        return []
    try:
        with only_writer(folder, wait=False):
            leftovers = [path for path in folder.iterdir() if path.name.startswith((STAGING_PREFIX, TRASH_PREFIX))]
            for path in leftovers:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            return sorted(path.name for path in leftovers)
    except OSError as error:
        if error.errno not in CLEANING_REFUSED:
            raise
        return []


def _draft(rows: Floats, entries: Sequence[Entry], encoder_id: str, report: Mapping[str, Any]) -> Manifest:
    """The manifest of a snapshot that is still to be written: everything but the sha256 of its files."""
    return Manifest(
        snapshot_id=secrets.token_hex(6),
        encoder_id=encoder_id,
        dim=rows.shape[1],
        created_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
        counts={
            "entries": len({entry.id for entry in entries}),
            "signs": len({entry.sign for entry in entries}),
            "vectors": len(rows),
        },
        sha256={},
        report=report,
    )


def _publish(
    folder: Path,
    draft: Manifest,
    rows: Floats,
    entries: Sequence[Entry],
    built: FaissIndex,
    server: VectorServer | None,
) -> Manifest:
    """Write aside, rename, point CURRENT at it, remove what is older than the previous one."""
    staging = folder / f"{STAGING_PREFIX}{draft.snapshot_id}"
    staging.mkdir()
    try:
        manifest = _write_files(staging, draft, rows, entries, built)
        # Whoever sees the new CURRENT finds its vectors on the server.
        opened = server.open_index(manifest.snapshot_id, manifest.encoder_id, rows, entries) if server else None
        staging.rename(folder / manifest.snapshot_id)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    sync(folder)
    previous = current_id(folder) if (folder / CURRENT).exists() else None
    _point_current_at(folder, manifest.snapshot_id)
    _remove_all_but(folder, {manifest.snapshot_id, previous})
    if server is not None:
        with suppress(IndexServerError):  # it is published; the next one that publishes tidies up after both
            server.set_current(manifest.snapshot_id, manifest.encoder_id)
            server.drop_all_but({path.name for path in snapshot_folders(folder)})
    del opened  # in use until here
    return manifest


def _write_files(staging: Path, draft: Manifest, rows: Floats, entries: Sequence[Entry], built: FaissIndex) -> Manifest:
    """Write all files of a snapshot and bring them to the disk; the manifest comes last."""
    write_vectors(staging / VECTORS, rows)
    write_entries(staging / ENTRIES, entries)
    built.write(staging / INDEX)
    manifest = replace(draft, sha256={name: sha256(staging / name) for name in (VECTORS, ENTRIES, INDEX)})
    (staging / MANIFEST).write_text(json.dumps(asdict(manifest), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    for path in staging.iterdir():
        sync(path)
    sync(staging)
    return manifest


def _point_current_at(folder: Path, snapshot_id: str) -> None:
    """Replace CURRENT in one step: a reader sees the old id or the new one."""
    replace_line(folder / CURRENT, snapshot_id)


def _remove_all_but(folder: Path, kept: set[str | None]) -> None:
    """Remove other snapshots. Renamed first, so that half of one never looks like a snapshot."""
    for snapshot in snapshot_folders(folder):
        if snapshot.name not in kept:
            trash = snapshot.rename(folder / f"{TRASH_PREFIX}{snapshot.name}")
            shutil.rmtree(trash, ignore_errors=True)  # `remove_leftovers` takes the rest


def _check_entries(entries: Sequence[Entry], num_vectors: int) -> None:
    """Raise VectorsError unless there is one entry per vector, and none twice."""
    if len(entries) != num_vectors:
        raise VectorsError(f"{len(entries)} entries for {num_vectors} vectors; they must be as many")
    seen: set[tuple[str, bool]] = set()
    for entry in entries:
        if (entry.id, entry.mirrored) in seen:
            raise VectorsError(f"the entry id {entry.id!r} is there twice; ids must differ")
        seen.add((entry.id, entry.mirrored))


def _vector_index(
    snapshot: Path,
    manifest: Manifest,
    vectors: Floats,
    entries: Sequence[Entry],
    device: Device,
    server: VectorServer | None,
) -> tuple[VectorIndex, tuple[str, ...]]:
    """The index on the device or server that was requested, and notes for the operator."""
    if server is not None:
        return server.open_index(manifest.snapshot_id, manifest.encoder_id, vectors, entries), ()
    return (GpuIndex(vectors), ()) if device == "cuda" else _derived_index(snapshot, manifest, vectors)


def _derived_index(snapshot: Path, manifest: Manifest, vectors: Floats) -> tuple[VectorIndex, tuple[str, ...]]:
    """The index from its file, or built anew with a note that says why."""
    reason = file_difference(snapshot, manifest, INDEX)
    if reason is None:
        try:
            return faiss_index.read(snapshot / INDEX, *vectors.shape), ()
        except VectorsError as error:
            reason = str(error)
    note = f"snapshot {manifest.snapshot_id}: {reason}; the index was made anew from {VECTORS}"
    return faiss_index.build(vectors), (note,)
