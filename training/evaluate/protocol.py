"""The retrieval protocol: queries are looked up in a gallery, where a gloss is scored by its best video.

Vectors come from `model.pooling` and are searched through `index.Dictionary`, exactly as they are when serving.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from index.dictionary import Dictionary
from index.entries import Entry
from index.faiss_index import build
from index.metrics import RetrievalMetrics, retrieval_metrics
from model.embed import Embedder
from model.encoder import Encoder, EncoderInfo, Encoding, Floats, Frames, Ints
from model.errors import ModelError, NoSignerError
from model.pooling import pool
from model.skeleton.features import FPS as SKELETON_FPS
from model.skeleton.features import SkeletonSequence, require_hands, sequence_from_landmarks
from model.skeleton.skeleton_stream import known_hands, skeleton_frames, skeleton_windows
from training.data.listing.manifest import ListedClip, clips_of_folder
from training.data.poses.landmarks import read_landmarks
from training.errors import EvaluationError, ManifestError, TrainingError
from training.evaluate.baselines import Feature, encode_signing, signing_sequence, warp_costs
from training.parallel import Failure, failure_of
from training.progress import OnProgress


@dataclass(frozen=True)
class Answer:
    """A gloss that was found for a query."""

    gloss: str
    clip: ListedClip
    """The gallery's best video of that gloss."""
    score: float


Answers = tuple[Answer, ...]
"""Every gloss of the gallery once, best first."""


class Ranker(Protocol):
    """Ranks the glosses of a gallery for a query."""

    @property
    def failed(self) -> Sequence[Failure]:
        """Gallery clips that could not be used."""
        ...

    def rank(self, query: ListedClip) -> Answers:
        """Look one clip up.

        Raises:
            ModelError, TrainingError: the clip can't be used.
        """
        ...


ToVector = Callable[[ListedClip, bool], Floats]
"""A clip, and whether to mirror it, to its vector."""


@dataclass(frozen=True)
class QueryResult:
    """The result of one query."""

    query: ListedClip
    rank: int | None
    """Of its gloss, from 0; None where the query, or its gloss in the gallery, could not be used."""
    answers: Answers


@dataclass(frozen=True)
class Evaluation:
    """The results of all queries."""

    metrics: RetrievalMetrics
    num_signs: int
    results: tuple[QueryResult, ...]
    failed: tuple[Failure, ...]
    """Clips that could not be used. A failed query counts as a miss."""
    unknown: tuple[str, ...]
    """Queries whose gloss is not in the gallery; they are not counted."""


def evaluate(
    ranker: Ranker, gallery: Sequence[ListedClip], queries: Sequence[ListedClip], on_progress: OnProgress
) -> Evaluation:
    """Look up every query whose gloss is in the gallery.

    Raises:
        EvaluationError: there is none.
    """
    glosses = {clip.gloss for clip in gallery}
    known = [query for query in queries if query.gloss in glosses]
    if not known:
        raise EvaluationError(
            f"none of the {len(queries)} queries has a gloss of the {len(glosses)} signs of the gallery; glosses are "
            "file names, or the names of the folders that clips lie in"
        )
    results, failed = [], list(ranker.failed)
    for number, query in enumerate(known):
        on_progress("queries", number, len(known))
        try:
            answers = ranker.rank(query)
        except (ModelError, TrainingError) as error:
            failed.append(failure_of(f"query {query.video_id}", error))
            results.append(QueryResult(query, None, ()))
            continue
        order = [found.gloss for found in answers]
        results.append(QueryResult(query, order.index(query.gloss) if query.gloss in order else None, answers))
    return Evaluation(
        retrieval_metrics([result.rank for result in results]),
        len(glosses),
        tuple(results),
        tuple(failed),
        tuple(query.video_id for query in queries if query.gloss not in glosses),
    )


class VectorRanker:
    """Ranks by vectors, as the service does."""

    def __init__(
        self,
        to_vector: ToVector,
        encoder_id: str,
        gallery: Sequence[ListedClip],
        on_progress: OnProgress,
        *,
        mirrored: bool,
    ) -> None:
        """Index a gallery.

        Args:
            to_vector: embeds a clip.
            encoder_id: of the encoder.
            gallery: to be indexed.
            on_progress: called before every clip.
            mirrored: index every clip mirrored, too.

        Raises:
            EvaluationError: no clip of the gallery can be used.
        """
        self._to_vector = to_vector
        self._encoder_id = encoder_id
        self._clips = {clip.key: clip for clip in gallery}
        self.failed: list[Failure] = []
        entries, vectors = [], []
        for number, clip in enumerate(gallery):
            on_progress("gallery", number, len(gallery))
            try:
                both = [to_vector(clip, turned) for turned in ((False, True) if mirrored else (False,))]
            except (ModelError, TrainingError) as error:
                self.failed.append(failure_of(f"gallery {clip.video_id}", error))
                continue
            for turned, vector in enumerate(both):
                entries.append(Entry(clip.key, clip.gloss, clip.video_id, mirrored=bool(turned)))
                vectors.append(vector)
        if not entries:
            raise EvaluationError(f"none of the {len(gallery)} gallery clips can be used; {self.failed[0].reason}")
        rows = np.stack(vectors)
        self._dictionary = Dictionary(
            snapshot_id="0" * 12,
            encoder_id=encoder_id,
            created_at="",
            entries=entries,
            vectors=rows,
            vector_index=build(rows),
        )

    def rank(self, query: ListedClip) -> Answers:
        """See `Ranker.rank`."""
        vector = self._to_vector(query, False)
        hits = self._dictionary.search(vector, k=self._dictionary.num_signs, encoder_id=self._encoder_id)
        return tuple(Answer(hit.sign.gloss, self._clips[hit.entries[0].entry.id], hit.score) for hit in hits)


class WarpRanker:
    """Ranks by dynamic time warping of hand angles and wrists."""

    def __init__(self, gallery: Sequence[ListedClip], on_progress: OnProgress, *, mirrored: bool) -> None:
        """Read a gallery.

        Raises:
            EvaluationError: no clip of it can be used.
        """
        self.failed: list[Failure] = []
        self._clips: list[ListedClip] = []
        self._sequences: list[Floats] = []
        for number, clip in enumerate(gallery):
            on_progress("gallery", number, len(gallery))
            try:
                both = [_sequence(clip, turned) for turned in ((False, True) if mirrored else (False,))]
            except TrainingError as error:
                self.failed.append(failure_of(f"gallery {clip.video_id}", error))
                continue
            self._sequences += both
            self._clips += [clip] * len(both)
        if not self._clips:
            raise EvaluationError(f"none of the {len(gallery)} gallery clips can be used; {self.failed[0].reason}")

    def rank(self, query: ListedClip) -> Answers:
        """See `Ranker.rank`. The score is the cost, negated."""
        costs = warp_costs(_sequence(query, False), self._sequences)
        best: dict[str, Answer] = {}
        for row in np.argsort(costs, kind="stable"):
            clip = self._clips[row]
            best.setdefault(clip.gloss, Answer(clip.gloss, clip, -float(costs[row])))
        return tuple(best.values())


class SumRanker:
    """Ranks by the sum of the similarities of several rankers."""

    def __init__(self, rankers: Sequence[Ranker]) -> None:
        """Take rankers of the same gallery.

        Args:
            rankers: at least one.
        """
        self._rankers = rankers
        self.failed: list[Failure] = [one for ranker in rankers for one in ranker.failed]

    def rank(self, query: ListedClip) -> Answers:
        """See `Ranker.rank`. A gloss that a ranker could not index gets nothing from that ranker.

        Raises:
            ModelError, TrainingError: one of them can't use the clip.
        """
        found: dict[str, Answer] = {}
        for ranker in self._rankers:
            for answer in ranker.rank(query):
                before = found.get(answer.gloss)
                best = answer if before is None else before
                found[answer.gloss] = replace(best, score=answer.score + (0.0 if before is None else before.score))
        return tuple(sorted(found.values(), key=lambda answer: -answer.score))


def skeleton_vectors(encoder: Encoder) -> ToVector:
    """Embeds clips by their landmarks, as the service embeds those that it finds."""
    embedder = Embedder(encoder)
    windowing = embedder.windowing

    def to_vector(clip: ListedClip, mirrored: bool) -> Floats:
        landmarks = read_landmarks(clip.landmarks).at(SKELETON_FPS)
        frames = skeleton_frames(landmarks, windowing.form)
        hands = known_hands(frames)
        require_hands(hands)
        windows = list(skeleton_windows(frames, hands, windowing))
        turned = [embedder.mirrored(window) for window in windows] if mirrored else windows
        encoding = embedder.encode(turned).encoding
        return unit_vector(pool(encoding.embedding, encoding.activity, encoder.info.num_parts))

    return to_vector


def landmark_vectors(feature: Feature) -> ToVector:
    """Embeds clips by their landmarks."""

    def to_vector(clip: ListedClip, mirrored: bool) -> Floats:
        encoding = encode_signing(_signing(clip, mirrored), feature)
        return unit_vector(pool(encoding.embedding, encoding.activity))

    return to_vector


def video_vectors(encoder: Encoder) -> ToVector:
    """Embeds clips by their frames, as the service does."""
    straight, turned = Embedder(encoder), Embedder(MirroredEncoder(encoder))

    def to_vector(clip: ListedClip, mirrored: bool) -> Floats:
        embedder = turned if mirrored else straight
        return unit_vector(embedder.embed(clip.video, start_s=clip.start_s, end_s=clip.end_s).vector)

    return to_vector


class MirroredEncoder:
    """Encodes every window mirrored."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    @property
    def info(self) -> EncoderInfo:
        """The encoder's own."""
        return self._encoder.info

    def encode(self, windows: Frames, visible: Ints | None = None) -> Encoding:
        """See `Encoder.encode`; mask units are those of the windows as filmed."""
        if visible is not None:
            columns = self.info.pictures.unit_grid[2]
            visible = visible + columns - 1 - 2 * (visible % columns)
        return self._encoder.encode(np.ascontiguousarray(windows[:, :, :, ::-1]), visible)


def labelled_clips(folder: Path, landmarks: Path | None, *, stems: bool = False) -> list[ListedClip]:
    """The videos of a folder; the file name, or the sub-folder's, is the gloss.

    Args:
        folder: of videos.
        landmarks: the folder of their landmarks; None where none are needed.
        stems: a gloss ends before two underscores.

    Raises:
        EvaluationError: there is no video.
    """
    try:
        clips = clips_of_folder(folder, landmarks or folder)
    except ManifestError as error:
        raise EvaluationError(str(error)) from error
    return [replace(clip, gloss=clip.gloss.split("__")[0]) for clip in clips] if stems else clips


def _signing(clip: ListedClip, mirrored: bool) -> SkeletonSequence:
    return sequence_from_landmarks(read_landmarks(clip.landmarks), mirrored=mirrored)


def _sequence(clip: ListedClip, mirrored: bool) -> Floats:
    return signing_sequence(_signing(clip, mirrored))


def unit_vector(vector: Floats) -> Floats:
    """The vector, checked for a length above 0.

    Raises:
        NoSignerError: its length is 0.
    """
    if not np.linalg.norm(vector) > 0:
        raise NoSignerError("nothing in the clip counts: all its windows cancel out")
    return vector
