"""From a folder of videos to a published snapshot: scan, hash, embed what is new, check, publish.

The window embeddings of a clip are cached by the content of its video, so a second run embeds only what is new or
changed. Nothing is published before the last step; a run that ends early leaves the published snapshot as it is.
"""

import hashlib
import math
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from app.decoding.limits import DecoderLimits
from app.errors import NothingUsableError
from app.indexing import bulk
from app.indexing.bulk import ClipToEmbed, EmbedClips, EmbeddedClip, FailedClip
from app.indexing.sources import FolderScan, SourceClip, scan
from app.progress import ProgressCallback, SkippedVideo
from index import checks, faiss_index, snapshot, snapshot_manifest
from index.cache import ClipKey, EmbeddingCache, WindowEmbeddings
from index.checks import SelfCheck
from index.entries import Entry
from index.errors import SnapshotError, VectorsError
from index.protocol import Floats, VectorServer, unit_rows
from index.snapshot_manifest import Manifest
from model.embed import Embedder, EncodedWindows
from model.errors import EncoderOutputError
from model.pooling import pool

COMPARED = ("source", "settings", "stride_frames", "trained", "skipped")
"""Parts of the report that make a new snapshot necessary where they differ from those of the current one."""
MAX_LISTED = 100
"""Signs with one video that the report names."""

VectorsByKey = Mapping[ClipKey, Floats]
"""[2, D] of a clip, as filmed and mirrored."""
SkippedById = Mapping[str, SkippedVideo]
"""Why an entry can't be used, by its id."""


class ReindexMode(StrEnum):
    """Which clips a reindex embeds."""

    MISSING = "missing"
    """Those that are new or changed."""
    FULL = "full"
    """All."""


@dataclass(frozen=True)
class KeyedClip:
    """A clip of the dictionary and its key in the cache."""

    clip: SourceClip
    key: ClipKey
    """As filmed."""


@dataclass(frozen=True)
class HashedClips:
    """The clips whose videos could be read, and what the cache has of them."""

    clips: Sequence[KeyedClip]
    cached: VectorsByKey
    skipped: SkippedById


@dataclass(frozen=True)
class NewVectors:
    """The vectors of clips that were not cached."""

    vectors: VectorsByKey
    skipped: SkippedById


@dataclass(frozen=True)
class IndexRows:
    """The rows of the index: every usable entry as filmed and mirrored."""

    entries: Sequence[Entry]
    vectors: Floats
    """[num_entries, D] of unit length."""
    skipped: SkippedById


class _PhaseTimer:
    """Measures phases."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        """By phase."""

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Measure the block."""
        started = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - started, 3)


def reindex(
    folder: Path,
    embedder: Embedder,
    *,
    snapshots: Path,
    cache: EmbeddingCache,
    progress: ProgressCallback,
    mode: ReindexMode = ReindexMode.MISSING,
    decoder_limits: DecoderLimits = bulk.DECODER_LIMITS,
    embed_clips: EmbedClips = bulk.embed_clips,
    server: VectorServer | None = None,
) -> Manifest:
    """Publish the clips of a folder as a new snapshot, unless it would be the same as the current one.

    A clip that can't be used is left out and reported; it stops nothing else.

    Args:
        folder: see `app.indexing.sources`.
        embedder: turns clips into vectors.
        snapshots: folder of the snapshots.
        cache: of window embeddings; new ones are added, and no clip is embedded twice in the cache's own run.
        progress: callback for the phases `scan`, `hash`, `embed`, `check` and `publish`; may raise to stop the work.
        mode: embed what is new or changed, or everything.
        decoder_limits: of one clip.
        embed_clips: embeds on this machine, or on several.
        server: the index server, if the vectors are not searched in this process.

    Returns:
        The manifest of the snapshot that is current now. If nothing has changed it is the one before, with the report
        of this run, in which `previous` then names that snapshot itself.

    Raises:
        ServiceError: the decoding processes do not start.
        SourceError: the folder can't be read.
        NothingUsableError: not one clip could be used.
        SelfCheckError: the new vectors do not find themselves.
        SnapshotWriteError: the disk did not take the snapshot.
        IndexServerError: the server did not take the vectors.
    """
    timer = _PhaseTimer()
    with timer.phase("scan"):
        found = _scan(folder, progress)
    with timer.phase("hash"):
        hashed = _hash(found.clips, embedder, cache, mode, progress)
    with timer.phase("embed"):
        new = _embed_missing(hashed, embedder, cache, progress, embed_clips, decoder_limits)
    rows = _index_rows(hashed.clips, {**hashed.cached, **new.vectors}, progress)
    skipped = _in_order(found, {**hashed.skipped, **new.skipped, **rows.skipped})
    if not rows.entries:
        raise NothingUsableError(
            f"{folder} gave no usable video: {len(skipped)} skipped{_first_reason(skipped)};"
            " it should hold videos named by their gloss, one sub-folder per gloss, or an entries.csv"
        )
    with timer.phase("check"):
        built, examination = _check(rows, progress)
    progress.start_phase("publish", 1)
    report = {
        "source": str(folder),
        "mode": mode,
        "settings": embedder.settings,
        "stride_frames": embedder.windowing.stride_frames,
        "trained": embedder.encoder.info.trained,
        "previous": _previous(snapshots),
        **_content_report(rows.entries, skipped, examination),
        "cache": {"num_cached": len(hashed.cached), "num_embedded": len(new.vectors), "notes": cache.notes},
        "durations_s": timer.seconds,
    }
    manifest = _publish(rows, built, report, embedder.encoder.info.encoder_id, snapshots, server)
    cache.touch(_both_keys(each.key)[side] for each in hashed.clips for side in (0, 1))
    progress.advance()
    return manifest


def _scan(folder: Path, progress: ProgressCallback) -> FolderScan:
    progress.start_phase("scan", 1)
    found = scan(folder)
    for skipped in found.skipped:
        progress.report_skipped(skipped)
    progress.advance()
    return found


def _hash(
    clips: Sequence[SourceClip],
    embedder: Embedder,
    cache: EmbeddingCache,
    mode: ReindexMode,
    progress: ProgressCallback,
) -> HashedClips:
    """Hash every video and look its clips up in the cache; in a full reindex, only what this run embedded counts."""
    progress.start_phase("hash", len(clips))
    sha256_of = _FileHashes()
    keyed: list[KeyedClip] = []
    cached: dict[ClipKey, Floats] = {}
    skipped: dict[str, SkippedVideo] = {}
    for clip in clips:
        try:
            key = _key(clip.entry, sha256_of(clip.path), embedder)
        except OSError as error:
            skipped[clip.entry.id] = _skip(clip, f"it can't be read: {error}", progress)
        else:
            keyed.append(KeyedClip(clip, key))
            vectors = _cached_vectors(key, cache, mode, embedder.encoder.info.num_parts) if key not in cached else None
            if vectors is not None:
                cached[key] = vectors
        progress.advance()
    return HashedClips(keyed, cached, skipped)


class _FileHashes:
    """sha256 of files, each read once: many entries may be parts of one long video."""

    def __init__(self) -> None:
        self._known: dict[Path, str] = {}

    def __call__(self, path: Path) -> str:
        if path not in self._known:
            with path.open("rb") as file:
                self._known[path] = hashlib.file_digest(file, "sha256").hexdigest()
        return self._known[path]


def _key(entry: Entry, sha256: str, embedder: Embedder) -> ClipKey:
    return ClipKey(
        sha256, embedder.encoder.info.encoder_id, embedder.settings, entry.start_s, entry.end_s, mirrored=False
    )


def _both_keys(key: ClipKey) -> tuple[ClipKey, ClipKey]:
    """The keys of a clip as filmed and mirrored."""
    return key, replace(key, mirrored=True)


def _cached_vectors(key: ClipKey, cache: EmbeddingCache, mode: ReindexMode, num_parts: int) -> Floats | None:
    """[2, D] of a clip as filmed and mirrored; None unless the cache has both and they can be used."""
    found = [cache.get(each, of_this_run=mode is ReindexMode.FULL) for each in _both_keys(key)]
    sides = [windows for windows in found if windows is not None]
    try:
        return _pool_sides(sides, num_parts) if len(sides) == 2 else None
    except EncoderOutputError:
        return None


def _embed_missing(
    hashed: HashedClips,
    embedder: Embedder,
    cache: EmbeddingCache,
    progress: ProgressCallback,
    embed_clips: EmbedClips,
    decoder_limits: DecoderLimits,
) -> NewVectors:
    """Embed the clips that are not cached, each once, however many entries show it."""
    missing: dict[ClipKey, list[SourceClip]] = defaultdict(list)
    for each in hashed.clips:
        if each.key not in hashed.cached:
            missing[each.key].append(each.clip)
    keys = list(missing)
    clips = [ClipToEmbed(missing[key][0].path, key.start_s, key.end_s, key.video_sha256) for key in keys]
    vectors: dict[ClipKey, Floats] = {}
    skipped: dict[str, SkippedVideo] = {}
    progress.start_phase("embed", len(keys))
    with closing(embed_clips(clips, embedder, limits=decoder_limits)) as results:
        for result in results:
            key = keys[result.number]
            try:
                if isinstance(result, FailedClip):
                    raise result.error
                vectors[key] = _pool_and_cache(key, result, cache, embedder.encoder.info.num_parts)
            except (*bulk.CLIP_ERRORS, EncoderOutputError) as error:
                skipped |= {clip.entry.id: _skip(clip, str(error), progress) for clip in missing[key]}
            progress.advance()
    return NewVectors(vectors, skipped)


def _pool_and_cache(key: ClipKey, clip: EmbeddedClip, cache: EmbeddingCache, num_parts: int) -> Floats:
    """The vectors [2, D] of an embedded clip, whose windows are added to the cache.

    Raises:
        EncoderOutputError: what the encoder gave can't be used; it is not cached.
    """
    sides = [_in_clip_order(side) for side in (clip.filmed, clip.mirrored)]
    vectors = _pool_sides(sides, num_parts)
    cache.put(zip(_both_keys(key), sides, strict=True))
    return vectors


def _pool_sides(sides: Sequence[WindowEmbeddings], num_parts: int) -> Floats:
    """[2, D] the vectors of a clip, as filmed and mirrored."""
    return np.stack([pool(side.embedding, side.activity, num_parts) for side in sides])


def _in_clip_order(encoded: EncodedWindows) -> WindowEmbeddings:
    """The windows in the order of the clip, as the cache keeps them."""
    order = np.argsort(encoded.start_frames, kind="stable")
    encoding = encoded.encoding
    return WindowEmbeddings(encoded.start_frames[order], encoding.embedding[order], encoding.activity[order])


def _index_rows(clips: Sequence[KeyedClip], vectors_of: VectorsByKey, progress: ProgressCallback) -> IndexRows:
    """Every usable entry as filmed and mirrored, with its vectors."""
    entries: list[Entry] = []
    vectors: list[Floats] = []
    skipped: dict[str, SkippedVideo] = {}
    for each in clips:
        if each.key not in vectors_of:
            continue
        try:
            vectors.append(unit_rows(vectors_of[each.key]))
        except VectorsError as error:
            skipped[each.clip.entry.id] = _skip(each.clip, str(error), progress)
        else:
            entries += [each.clip.entry, replace(each.clip.entry, mirrored=True)]
    return IndexRows(entries, np.concatenate(vectors) if vectors else np.zeros((0, 0), np.float32), skipped)


def _skip(clip: SourceClip, reason: str, progress: ProgressCallback) -> SkippedVideo:
    """Report that a clip is left out."""
    skipped = SkippedVideo(clip.entry.video, reason, clip.line)
    progress.report_skipped(skipped)
    return skipped


def _in_order(found: FolderScan, skipped: SkippedById) -> list[SkippedVideo]:
    """Everything that was left out: first by the scan, then in the order of the clips."""
    return [*found.skipped, *(skipped[clip.entry.id] for clip in found.clips if clip.entry.id in skipped)]


def _check(rows: IndexRows, progress: ProgressCallback) -> tuple[faiss_index.FaissIndex, SelfCheck]:
    """Build the index and look every vector up in it."""
    progress.start_phase("check", math.ceil(len(checks.checked_rows(len(rows.vectors))) / checks.BATCH))
    built = faiss_index.build(rows.vectors)
    return built, checks.self_check(built, rows.vectors, rows.entries, lambda _: progress.advance())


def _publish(
    rows: IndexRows,
    built: faiss_index.FaissIndex,
    report: Mapping[str, Any],
    encoder_id: str,
    snapshots: Path,
    server: VectorServer | None,
) -> Manifest:
    """Publish the rows, unless the current snapshot is the same; its manifest then gets the new report."""
    same = snapshot.current_if_unchanged(snapshots, rows.vectors, rows.entries, encoder_id=encoder_id)
    if same is not None and all(same.report.get(name) == report[name] for name in COMPARED):
        return replace(same, report=report)
    return snapshot.publish(
        snapshots, rows.vectors, rows.entries, encoder_id=encoder_id, report=report, built=built, server=server
    )


def _content_report(
    entries: Sequence[Entry], skipped: Sequence[SkippedVideo], examination: SelfCheck
) -> Mapping[str, Any]:
    """What the report says of the content of a snapshot."""
    videos_of_sign = Counter((entry.gloss, entry.language) for entry in entries if not entry.mirrored)
    single = sorted(gloss for (gloss, _), num in videos_of_sign.items() if num == 1)
    return {
        "entries": sum(videos_of_sign.values()),
        "signs": len(videos_of_sign),
        "skipped": [asdict(each) for each in skipped],
        "single_video_signs": {"num": len(single), "glosses": single[:MAX_LISTED]},
        "self_check": {"num_checked": examination.num_checked, "of": len(entries)},
        "near_duplicates": {
            "num": examination.num_near_duplicates,
            "pairs": [asdict(pair) for pair in examination.near_duplicates],
        },
    }


def _previous(snapshots: Path) -> Mapping[str, Any] | None:
    """The current snapshot, to compare with; None where there is none."""
    try:
        manifest = snapshot_manifest.read_manifest(snapshots / snapshot_manifest.current_id(snapshots))
    except SnapshotError:
        return None
    return {"snapshot_id": manifest.snapshot_id, **manifest.counts}


def _first_reason(skipped: Sequence[SkippedVideo]) -> str:
    return f" (first: {skipped[0].video}: {skipped[0].reason})" if skipped else ""
