"""From a folder of videos to a published snapshot."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from app.errors import NothingUsableError
from app.progress import Progress, Skipped
from app.sources import SourceClip, scan
from index import snapshot
from index.dictionary import Entry
from index.errors import VectorsError
from index.protocol import Floats, unit_rows
from index.snapshot import Manifest
from model.embed import Embedder
from model.errors import VideoError


def rebuild(folder: Path, embedder: Embedder, snapshots: Path, progress: Progress) -> Manifest:
    """Embed every video of a folder and publish them as the new snapshot.

    A video that can't be used is left out and reported; it stops nothing else. Until the end nothing is published.

    Args:
        folder: a plain folder, see `sources`.
        embedder: turns a video into its vector.
        snapshots: where snapshots lie.
        progress: is told the phases `scan`, `embed` and `publish`; may raise to stop the work.

    Raises:
        SourceError: the folder can't be read.
        NothingUsableError: not one video could be used.
        SnapshotWriteError: the disk did not take the snapshot.
    """
    progress.phase("scan", 1)
    found = scan(folder)
    for skipped in found.skipped:
        progress.skip(skipped)
    progress.advance()
    entries, vectors, unusable = _embed_all(found.clips, embedder, progress)
    all_skipped = [*found.skipped, *unusable]
    if not entries:
        raise NothingUsableError(
            f"{folder} gave no usable video: {len(all_skipped)} skipped{_first_reason(all_skipped)};"
            " it should hold videos named by their gloss, or one sub-folder per gloss"
        )
    progress.phase("publish", 1)
    info = embedder.encoder.info
    report = {
        "source": str(folder),
        "stride_frames": info.stride_frames,
        "trained": info.trained,
        "skipped": [asdict(skipped) for skipped in all_skipped],
    }
    manifest = snapshot.publish(snapshots, np.stack(vectors), entries, encoder_id=info.encoder_id, report=report)
    progress.advance()
    return manifest


def _embed_all(
    clips: Sequence[SourceClip], embedder: Embedder, progress: Progress
) -> tuple[list[Entry], list[Floats], list[Skipped]]:
    """Entries and vectors of the clips that can be used, and why the others can't."""
    entries: list[Entry] = []
    vectors: list[Floats] = []
    unusable: list[Skipped] = []
    progress.phase("embed", len(clips))
    for clip in clips:
        try:
            [vector] = unit_rows(embedder.embed(clip.path).vector[None])
        except (VideoError, VectorsError, OSError) as error:
            unusable.append(Skipped(clip.entry.video, str(error)))
            progress.skip(unusable[-1])
        else:
            entries.append(clip.entry)
            vectors.append(vector)
        progress.advance()
    return entries, vectors, unusable


def _first_reason(skipped: Sequence[Skipped]) -> str:
    return f" (first: {skipped[0].video}: {skipped[0].reason})" if skipped else ""
