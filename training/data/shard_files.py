"""Shards: tar files of short clips, each with its poses; written once, read in any order.

    000000.tar                     in WebDataset's form: the members of a sample share their name before the first dot
        news-1a2b3c4d-0000.mp4     square frames at 25 per second, H.264, a key frame every 8 frames
        news-1a2b3c4d-0000.npz     angles float32 [T, 104], known bool [T, 61]: `training.priors.NormalPose`;
                                   pixels float32 [T, 61, 2]: where in the frame keypoints are
        news-1a2b3c4d-0000.json    video_id, gloss, signer, start_s, num_frames, video (name of the source)
    000000.json                    what is in the shard and where, which clips failed; without it a shard is not done
    body.json                      the standard body that targets are computed on
    data.json                      size, rate and form; shards of another form are refused

Angles are stored, not targets: those are forty times as large and follow from the angles in a few milliseconds.
"""

import dataclasses
import io
import json
import os
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from model.encoder import Floats, Frames
from model.skeleton.normal import NormalPose
from training.batch import Failure
from training.errors import ShardError

SCHEMA = 2
GOP = 8
"""Frames from one key frame to the next: what has to be decoded in vain before a window."""


@dataclass(frozen=True)
class Form:
    """What all shards of a folder have in common."""

    size_px: int = 256
    fps: float = 25.0
    segment_frames: int = 250
    """Longer videos are cut into samples of this many frames."""
    crf: int = 18
    schema: int = SCHEMA


@dataclass(frozen=True)
class SampleFacts:
    """What is known of a sample besides its frames and poses."""

    key: str
    video_id: str
    num_frames: int
    gloss: str = ""
    signer: str = ""
    start_s: float = 0.0
    video: str = ""


@dataclass(frozen=True)
class ShardSample:
    """A short clip with its poses, ready to be written."""

    facts: SampleFacts
    frames: Frames
    """[T, size_px, size_px, 3]."""
    pose: NormalPose
    pixels: Floats
    """[T, 61, 2] where keypoints are, x right and y down from the frame's top left corner; NaN where unknown."""


@dataclass(frozen=True)
class StoredPose:
    """How a signer moves, and where in the picture."""

    pose: NormalPose
    pixels: Floats
    """See `ShardSample`."""


@dataclass(frozen=True)
class Place:
    """Where a sample lies in its shard, bytes."""

    facts: SampleFacts
    video_at: int
    video_bytes: int
    pose_at: int
    pose_bytes: int


@dataclass(frozen=True)
class ShardIndex:
    """What lies in a shard."""

    num_bytes: int
    clips: tuple[str, ...]
    """Keys of the listed clips that went into it."""
    places: tuple[Place, ...]
    failed: tuple[Failure, ...]
    """Clips that would have gone into it."""


class ShardWriter:
    """Writes one shard: under another name, until `finish` makes it whole and known."""

    def __init__(self, path: Path, form: Form) -> None:
        self._path, self._form = path, form
        self._part = path.with_name(f".{path.name}.part")
        self._tar = tarfile.TarFile(self._part, mode="w")
        self._places: list[Place] = []

    def add(self, sample: ShardSample) -> None:
        """Append a sample."""
        facts, frames, pose = sample.facts, sample.frames, sample.pose
        arrays = io.BytesIO()
        np.savez_compressed(arrays, angles=pose.angles, known=pose.known, pixels=sample.pixels.astype(np.float32))
        video_at, video_bytes = self._member(f"{facts.key}.mp4", encode_frames(frames, self._form))
        pose_at, pose_bytes = self._member(f"{facts.key}.npz", arrays.getvalue())
        self._member(f"{facts.key}.json", json.dumps(asdict(facts)).encode())
        self._places.append(Place(facts, video_at, video_bytes, pose_at, pose_bytes))

    def finish(self, clips: Sequence[str], failed: Sequence[Failure]) -> ShardIndex:
        """Close the shard and make it known."""
        self._tar.close()
        with self._part.open("rb") as file:
            os.fsync(file.fileno())
        found = ShardIndex(self._part.stat().st_size, tuple(clips), tuple(self._places), tuple(failed))
        self._part.replace(self._path)
        write_whole(index_path(self._path), json.dumps(asdict(found)))
        return found

    def discard(self) -> None:
        """Leave nothing behind."""
        self._tar.close()
        self._part.unlink(missing_ok=True)

    def _member(self, name: str, content: bytes) -> tuple[int, int]:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        self._tar.addfile(member, io.BytesIO(content))
        padding = -len(content) % tarfile.BLOCKSIZE
        return self._tar.offset - padding - len(content), len(content)


def index_path(shard: Path) -> Path:
    """The index beside a shard."""
    return shard.with_suffix(".json")


def find_shards(folder: Path) -> list[Path]:
    """The finished shards of a folder, in order.

    Raises:
        ShardError: there is none.
    """
    shards = [path for path in sorted(folder.glob("*.tar")) if index_path(path).exists()]
    if not shards:
        raise ShardError(f"there is no finished shard in {folder}; `python -m training.shards write` makes them")
    return shards


def read_form(folder: Path) -> Form:
    """What the shards of a folder have in common.

    Raises:
        ShardError: the folder holds no shards, or of another form than this program reads.
    """
    path = folder / "data.json"
    try:
        form = Form(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise ShardError(f"{path} does not describe shards ({error}); is {folder} a folder of shards?") from error
    if form.schema != SCHEMA:
        raise ShardError(
            f"the shards in {folder} have form {form.schema}, this program reads {SCHEMA}; write them again"
        )
    return form


def read_index(shard: Path) -> ShardIndex:
    """What lies in a shard.

    Raises:
        ShardError: the index is damaged, or the shard is cut short.
    """
    path = index_path(shard)
    try:
        stored = json.loads(path.read_text())
        found = ShardIndex(
            stored["num_bytes"],
            tuple(stored["clips"]),
            tuple(Place(**(place | {"facts": SampleFacts(**place["facts"])})) for place in stored["places"]),
            tuple(Failure(**failure) for failure in stored["failed"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ShardError(
            f"{path} is not the index of a shard ({error}); delete it and write the shard again"
        ) from error
    return found


def check_shard(shard: Path) -> ShardIndex:
    """The index of a shard that is as long as it was written.

    Raises:
        ShardError: it is not, or its index is damaged.
    """
    found = read_index(shard)
    num_bytes = shard.stat().st_size
    if num_bytes != found.num_bytes:
        lost = [place.facts.key for place in found.places if place.pose_at + place.pose_bytes > num_bytes]
        raise ShardError(
            f"{shard} has {num_bytes} bytes, {found.num_bytes} were written; {len(lost)} of {len(found.places)} "
            "samples are lost: copy it again, or delete it with its index and run the writing again"
        )
    return found


def read_sample(shard: Path, place: Place, start: int, num_frames: int) -> tuple[Frames, StoredPose]:
    """Consecutive frames of a sample, and the poses of all of it; past the end the last frame is repeated.

    Raises:
        ShardError: the shard ends before the sample, or what lies there is damaged.
    """
    frames = decode_sample(read_video(shard, place), shard, place, start, num_frames)
    rows = np.minimum(np.arange(num_frames), len(frames) - 1)
    return frames[rows], read_pose(shard, place)


def decode_sample(video: bytes, shard: Path, place: Place, start: int, num_frames: int) -> Frames:
    """As many frames of a sample's video as there are, from `start` on.

    Raises:
        ShardError: it is damaged.
    """
    try:
        return decode_frames(video, start, min(num_frames, place.facts.num_frames - start))
    except (av.FFmpegError, ValueError, OSError, EOFError) as error:
        raise ShardError(f"sample {place.facts.key} of {shard} is damaged: {error}") from error


def read_video(shard: Path, place: Place) -> bytes:
    """The video of a sample, as `encode_frames` wrote it.

    Raises:
        ShardError: the shard ends before the sample.
    """
    with shard.open("rb") as file:
        return _stretch(file, place.video_at, place.video_bytes, shard, place.facts.key)


def read_pose(shard: Path, place: Place) -> StoredPose:
    """The poses of a sample.

    Raises:
        ShardError: the shard ends before the sample, or what lies there is damaged.
    """
    with shard.open("rb") as file:
        arrays = _stretch(file, place.pose_at, place.pose_bytes, shard, place.facts.key)
    try:
        with np.load(io.BytesIO(arrays)) as stored:
            return StoredPose(NormalPose(stored["angles"], stored["known"]), stored["pixels"])
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ShardError(f"sample {place.facts.key} of {shard} is damaged: its poses: {error}") from error


def _stretch(file: Any, at: int, size: int, shard: Path, key: str) -> bytes:  # noqa: ANN401 a binary file
    file.seek(at)
    content = cast(bytes, file.read(size))
    if len(content) != size:
        raise ShardError(f"{shard} ends before the end of sample {key}; copy it again")
    return content


def encode_frames(frames: Frames, form: Form) -> bytes:
    """H.264 in MP4 that can be entered at every eighth frame: [T, size, size, 3] to bytes."""
    buffer = io.BytesIO()
    options = {"crf": str(form.crf), "preset": "fast", "g": str(GOP), "bf": "0"}
    with av.open(buffer, "w", format="mp4", options={"fflags": "+bitexact"}) as output:
        stream = output.add_stream("libx264", rate=Fraction(form.fps).limit_denominator(1001), options=options)
        stream.height, stream.width, stream.pix_fmt = form.size_px, form.size_px, "yuv420p"
        stream.thread_count = 1
        for pixels in frames:
            output.mux(stream.encode(VideoFrame.from_ndarray(pixels, "rgb24")))
        output.mux(stream.encode())
    return buffer.getvalue()


def decode_frames(video: bytes, start: int, num_frames: int) -> Frames:
    """Frames `start` to `start + num_frames` of what `encode_frames` wrote.

    Raises:
        av.FFmpegError: the bytes are damaged.
        ValueError: there are not as many frames.
    """
    with av.open(io.BytesIO(video), mode="r", format="mp4") as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        if stream.average_rate is None or stream.time_base is None:
            raise ValueError("it has no frame rate")
        step = float(1 / (stream.average_rate * stream.time_base))
        if start:
            container.seek(round(start * step), stream=stream)
        frames = list(_from(container.decode(stream), start, num_frames, step))
    if len(frames) < num_frames:
        raise ValueError(f"it has {start + len(frames)} frames, {start + num_frames} were written")
    return np.stack(frames)


def _from(pictures: Iterator[VideoFrame], start: int, count: int, step: float) -> Iterator[Frames]:
    for picture in pictures:
        number = round((picture.pts or 0) / step)
        if number >= start + count:
            return
        if number >= start:
            pixels: NDArray[Any] = picture.to_ndarray(format="rgb24")
            yield pixels


def write_whole(path: Path, text: str) -> None:
    """Write a small file that is whole or not there."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def form_fields(form: Form) -> dict[str, Any]:
    """A form as JSON-ready data."""
    return dataclasses.asdict(form)
