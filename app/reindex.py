"""From a folder of videos to a published snapshot: scan, hash, embed what is new, check, publish.

What the encoder gave for a clip is kept by the content of its video, so a second run embeds only what is new or
changed. Until the last step nothing is published, and whatever ends the work early leaves the published snapshot as it
is.
"""

import hashlib
import math
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from app import bulk
from app.bulk import EmbedClips, EmbeddedClip
from app.decoding.decoder import DecoderLimits
from app.errors import NothingUsableError
from app.progress import Progress, Skipped
from app.sources import Scan, SourceClip, scan
from index import checks, faiss_index, snapshot
from index.cache import ClipKey, EmbeddingCache, WindowEmbeddings
from index.checks import Examination
from index.entries import Entry
from index.errors import SnapshotError, VectorsError
from index.protocol import Floats, VectorServer, unit_rows
from index.snapshot import Manifest
from model.embed import Embedder, EncodedWindows
from model.errors import EncoderOutputError
from model.pooling import pool

LASTING = ("source", "settings", "stride_frames", "trained", "skipped")
"""What a report says of more than one run: where it differs, something has changed."""
MAX_LISTED = 100
"""Signs with one video that the report names."""


class Mode(StrEnum):
    """How much a reindex does anew."""

    MISSING = "missing"
    """Embed what is new or changed."""
    FULL = "full"
    """Embed everything."""


@dataclass(frozen=True)
class Wanted:
    """A clip of the dictionary, and what decides its embeddings."""

    clip: SourceClip
    key: ClipKey
    """As filmed."""


@dataclass
class Gathered:
    """What is known so far of a reindex. Changed by its steps, read by its report."""

    skipped: dict[str, Skipped] = field(default_factory=dict)
    """By entry id: why a clip can't be used."""
    vectors: dict[ClipKey, Floats] = field(default_factory=dict)
    """[2, D], as filmed and mirrored."""
    num_cached: int = 0
    num_embedded: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    """Per phase."""

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Note how long the block takes."""
        began = time.perf_counter()
        yield
        self.seconds[phase] = round(time.perf_counter() - began, 3)


def rebuild(
    folder: Path,
    embedder: Embedder,
    *,
    snapshots: Path,
    cache: EmbeddingCache,
    progress: Progress,
    mode: Mode = Mode.MISSING,
    decoding: DecoderLimits = bulk.DECODER_LIMITS,
    embed_clips: EmbedClips = bulk.embed_clips,
    server: VectorServer | None = None,
) -> Manifest:
    """Publish the clips of a folder as the new snapshot, unless it would only repeat the current one.

    A clip that can't be used is left out and reported; it stops nothing else.

    Args:
        folder: see `sources`.
        embedder: turns clips into vectors.
        snapshots: where snapshots lie.
        cache: what was embedded before; what is embedded now is added, and under the cache's own run nothing twice.
        progress: is told the phases `scan`, `hash`, `embed`, `check` and `publish`; may raise to stop the work.
        mode: embed what is new or changed, or everything.
        decoding: limits of decoding one clip.
        embed_clips: who embeds: this machine, or several.
        server: where the vectors are searched, if not in this process.

    Returns:
        The manifest of the snapshot that is current now. Where nothing has changed it is the one of before, with the
        report of this run, in which `previous` then names that snapshot itself.

    Raises:
        ServiceError: the decoding processes do not start.
        SourceError: the folder can't be read.
        NothingUsableError: not one clip could be used.
        SelfCheckError: the new vectors do not find themselves.
        SnapshotWriteError: the disk did not take the snapshot.
        IndexServerError: the server did not take the vectors.
    """
    gathered = Gathered()
    with gathered.timed("scan"):
        found = _scan(folder, progress)
    with gathered.timed("hash"):
        wanted = _recall(found.clips, embedder, cache, mode, progress, gathered)
    with gathered.timed("embed"):
        _embed_missing(wanted, embedder, cache, progress, gathered, partial(embed_clips, limits=decoding))
    entries, vectors = _rows(wanted, progress, gathered)
    skipped = [*found.skipped, *(gathered.skipped[c.entry.id] for c in found.clips if c.entry.id in gathered.skipped)]
    if not entries:
        raise NothingUsableError(
            f"{folder} gave no usable video: {len(skipped)} skipped{_first_reason(skipped)};"
            " it should hold videos named by their gloss, one sub-folder per gloss, or an entries.csv"
        )
    with gathered.timed("check"):
        built, examination = _check(vectors, entries, progress)
    progress.phase("publish", 1)
    report = {
        "source": str(folder),
        "mode": mode,
        "settings": embedder.settings,
        "stride_frames": embedder.cutting.stride_frames,
        "trained": embedder.encoder.info.trained,
        "previous": _previous(snapshots),
        **_card(entries, skipped, examination, gathered, cache),
    }
    encoder_id = embedder.encoder.info.encoder_id
    same = snapshot.current_if_same(snapshots, vectors, entries, encoder_id=encoder_id)
    if same is not None and all(same.report.get(name) == report[name] for name in LASTING):
        manifest = replace(same, report=report)
    else:
        manifest = snapshot.publish(
            snapshots, vectors, entries, encoder_id=encoder_id, report=report, built=built, server=server
        )
    cache.touch(_both(w.key)[side] for w in wanted for side in (0, 1))
    progress.advance()
    return manifest


def _scan(folder: Path, progress: Progress) -> Scan:
    progress.phase("scan", 1)
    found = scan(folder)
    for skipped in found.skipped:
        progress.skip(skipped)
    progress.advance()
    return found


def _recall(
    clips: Sequence[SourceClip],
    embedder: Embedder,
    cache: EmbeddingCache,
    mode: Mode,
    progress: Progress,
    gathered: Gathered,
) -> list[Wanted]:
    """Hash every video, and take from the cache what it has of them; of this very run where all is to be done anew."""
    progress.phase("hash", len(clips))
    sha256_of = _Hashes()
    wanted = []
    for clip in clips:
        try:
            key = _key(clip.entry, sha256_of(clip.path), embedder)
        except OSError as error:
            _skip(clip, f"it can't be read: {error}", progress, gathered)
        else:
            wanted.append(Wanted(clip, key))
            known = _cached(key, cache, mode, embedder.encoder.info.num_parts) if key not in gathered.vectors else None
            if known is not None:
                gathered.vectors[key] = known
                gathered.num_cached += 1
        progress.advance()
    return wanted


class _Hashes:
    """sha256 of files, each read once: many entries may be stretches of one long video."""

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


def _both(key: ClipKey) -> tuple[ClipKey, ClipKey]:
    """The keys of a clip as filmed and mirrored."""
    return key, replace(key, mirrored=True)


def _cached(key: ClipKey, cache: EmbeddingCache, mode: Mode, num_parts: int) -> Floats | None:
    """[2, D] the vectors of a clip as filmed and mirrored, where the cache has both and they can be used."""
    found = [cache.get(each, of_this_run=mode is Mode.FULL) for each in _both(key)]
    kept = [windows for windows in found if windows is not None]
    try:
        return _pooled(kept, num_parts) if len(kept) == 2 else None
    except EncoderOutputError:
        return None


def _embed_missing(
    wanted: Sequence[Wanted],
    embedder: Embedder,
    cache: EmbeddingCache,
    progress: Progress,
    gathered: Gathered,
    embed_clips: Callable[[Sequence[bulk.Clip], Embedder], Generator[EmbeddedClip]],
) -> None:
    """Embed what has no vectors yet, each clip once, however many entries show it."""
    missing: dict[ClipKey, list[SourceClip]] = defaultdict(list)
    for each in wanted:
        if each.key not in gathered.vectors:
            missing[each.key].append(each.clip)
    keys = list(missing)
    clips = [bulk.Clip(missing[key][0].path, key.start_s, key.end_s, key.video_sha256) for key in keys]
    progress.phase("embed", len(keys))
    with closing(embed_clips(clips, embedder)) as embedded:
        for clip in embedded:
            key = keys[clip.number]
            try:
                gathered.vectors[key] = _keep(key, clip, cache, embedder.encoder.info.num_parts)
                gathered.num_embedded += 1
            except (*bulk.UNUSABLE, EncoderOutputError) as error:
                for source in missing[key]:
                    _skip(source, str(error), progress, gathered)
            progress.advance()


def _keep(key: ClipKey, clip: EmbeddedClip, cache: EmbeddingCache, num_parts: int) -> Floats:
    """Put an embedded clip into the cache; gives its vectors [2, D].

    Raises:
        Exception: why the clip can't be used; one of `bulk.UNUSABLE`.
        EncoderOutputError: what the encoder gave can't be used; it is not kept.
    """
    if clip.error is not None:
        raise clip.error
    assert clip.filmed is not None
    assert clip.mirrored is not None
    sides = [_windows(side) for side in (clip.filmed, clip.mirrored)]
    vectors = _pooled(sides, num_parts)
    cache.put(zip(_both(key), sides, strict=True))
    return vectors


def _pooled(sides: Sequence[WindowEmbeddings], num_parts: int) -> Floats:
    """[2, D] the vectors of a clip, as filmed and mirrored."""
    return np.stack([pool(side.embedding, side.activity, num_parts) for side in sides])


def _windows(encoded: EncodedWindows) -> WindowEmbeddings:
    """In the order of the clip, as the cache keeps them."""
    order = np.argsort(encoded.start_frames, kind="stable")
    encoding = encoded.encoding
    return WindowEmbeddings(encoded.start_frames[order], encoding.embedding[order], encoding.activity[order])


def _rows(wanted: Sequence[Wanted], progress: Progress, gathered: Gathered) -> tuple[list[Entry], Floats]:
    """Every usable entry as filmed and mirrored, and the vectors [2 x entries, D] that belong to them."""
    entries: list[Entry] = []
    vectors: list[Floats] = []
    for each in wanted:
        if each.key not in gathered.vectors:
            continue
        try:
            vectors.append(unit_rows(gathered.vectors[each.key]))
        except VectorsError as error:
            _skip(each.clip, str(error), progress, gathered)
        else:
            entries += [each.clip.entry, replace(each.clip.entry, mirrored=True)]
    return entries, np.concatenate(vectors) if vectors else np.zeros((0, 0), np.float32)


def _skip(clip: SourceClip, reason: str, progress: Progress, gathered: Gathered) -> None:
    skipped = Skipped(clip.entry.video, reason, clip.line)
    gathered.skipped[clip.entry.id] = skipped
    progress.skip(skipped)


def _check(vectors: Floats, entries: Sequence[Entry], progress: Progress) -> tuple[faiss_index.FaissIndex, Examination]:
    """Build the index aside and look every vector up in it."""
    progress.phase("check", math.ceil(len(checks.checked_rows(len(vectors))) / checks.BATCH))
    built = faiss_index.build(vectors)
    return built, checks.examine(built, vectors, entries, lambda _: progress.advance())


def _card(
    entries: Sequence[Entry],
    skipped: Sequence[Skipped],
    examination: Examination,
    gathered: Gathered,
    cache: EmbeddingCache,
) -> Mapping[str, Any]:
    """The report card: what an editor wants to know of a new snapshot."""
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
        "cache": {"num_cached": gathered.num_cached, "num_embedded": gathered.num_embedded, "notes": cache.notes},
        "durations_s": gathered.seconds,
    }


def _previous(snapshots: Path) -> Mapping[str, Any] | None:
    """What was published before, to compare with."""
    try:
        manifest = snapshot.read_manifest(snapshots / snapshot.current_id(snapshots))
    except SnapshotError:
        return None
    return {"snapshot_id": manifest.snapshot_id, **manifest.counts}


def _first_reason(skipped: Sequence[Skipped]) -> str:
    return f" (first: {skipped[0].video}: {skipped[0].reason})" if skipped else ""
