"""Shards: tar files of short clips, each with its poses; written once, read in any order.

    000000.tar                     in WebDataset's form: the members of a sample share their name before the first dot
        news-1a2b3c4d-0000.mp4     square frames at 25 per second, H.264, a key frame every 8 frames
        news-1a2b3c4d-0000.npz     angles float32 [T, 104], known bool [T, 61]: `normalisation.NormalisedPose`;
                                   pixels float32 [T, 61, 2]: where in the frame keypoints are
        news-1a2b3c4d-0000.json    video_id, gloss, signer, start_s, num_frames, video (name of the source)
    000000.json                    what is in the shard and where, which clips failed; without it a shard is not done
    body.json                      the standard body that targets are computed on
    data.json                      size, rate and form; shards of another form are refused

Angles are stored, not targets: those are forty times as large and follow from the angles in a few milliseconds.
"""

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
from model.skeleton.normalisation import NormalisedPose
from training.atomic import write_atomically
from training.errors import ShardError
from training.parallel import Failure

SCHEMA = 2
GOP = 8
"""Frames from one key frame to the next: what has to be decoded in vain before a window."""


@dataclass(frozen=True)
class ShardFormat:
    """Format of all shards of a folder."""

    size_px: int = 256
    fps: float = 25.0
    segment_frames: int = 250
    """Longer videos are cut into samples of this many frames."""
    crf: int = 18
    schema: int = SCHEMA


@dataclass(frozen=True)
class SampleInfo:
    """Metadata of a sample."""

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

    info: SampleInfo
    frames: Frames
    """[T, size_px, size_px, 3]."""
    pose: NormalisedPose
    pixels: Floats
    """[T, 61, 2] where keypoints are, x right and y down from the frame's top left corner; NaN where unknown."""


@dataclass(frozen=True)
class StoredPose:
    """The poses of a sample, and its keypoints in the picture."""

    pose: NormalisedPose
    pixels: Floats
    """See `ShardSample`."""


@dataclass(frozen=True)
class SampleLocation:
    """A sample's position in its shard, bytes."""

    info: SampleInfo
    video_at: int
    video_bytes: int
    pose_at: int
    pose_bytes: int


@dataclass(frozen=True)
class ShardIndex:
    """The contents of a shard."""

    num_bytes: int
    clips: tuple[str, ...]
    """Keys of the listed clips that went into it."""
    samples: tuple[SampleLocation, ...]
    failed: tuple[Failure, ...]
    """Clips that would have gone into it."""


class ShardWriter:
    """Writes one shard: under another name, until `finish` makes it whole and known."""

    def __init__(self, path: Path, shard_format: ShardFormat) -> None:
        self._path, self._format = path, shard_format
        self._part = path.with_name(f".{path.name}.part")
        self._tar = tarfile.TarFile(self._part, mode="w")
        self._samples: list[SampleLocation] = []

    def add(self, sample: ShardSample) -> None:
        """Append a sample."""
        info, frames, pose = sample.info, sample.frames, sample.pose
        arrays = io.BytesIO()
        np.savez_compressed(arrays, angles=pose.angles, known=pose.known, pixels=sample.pixels.astype(np.float32))
        video_at, video_bytes = self._member(f"{info.key}.mp4", encode_frames(frames, self._format))
        pose_at, pose_bytes = self._member(f"{info.key}.npz", arrays.getvalue())
        self._member(f"{info.key}.json", json.dumps(asdict(info)).encode())
        self._samples.append(SampleLocation(info, video_at, video_bytes, pose_at, pose_bytes))

    def finish(self, clips: Sequence[str], failed: Sequence[Failure]) -> ShardIndex:
        """Close the shard and make it known."""
        self._tar.close()
        with self._part.open("rb") as file:
            os.fsync(file.fileno())
        found = ShardIndex(self._part.stat().st_size, tuple(clips), tuple(self._samples), tuple(failed))
        self._part.replace(self._path)
        write_atomically(index_path(self._path), json.dumps(_index_json(found)))
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


def _index_json(index: ShardIndex) -> dict[str, Any]:
    """An index in the words of the files, which are older than those of this module."""
    places = [{"facts": asdict(sample.info)} | _byte_ranges(sample) for sample in index.samples]
    failed = [asdict(failure) for failure in index.failed]
    return {"num_bytes": index.num_bytes, "clips": index.clips, "places": places, "failed": failed}


def _byte_ranges(sample: SampleLocation) -> dict[str, int]:
    return {name: getattr(sample, name) for name in ("video_at", "video_bytes", "pose_at", "pose_bytes")}


def _location_from_json(stored: dict[str, Any]) -> SampleLocation:
    ranges = {name: value for name, value in stored.items() if name != "facts"}
    return SampleLocation(SampleInfo(**stored["facts"]), **ranges)


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
        raise ShardError(f"there is no finished shard in {folder}; `python -m training.data shards write` makes them")
    return shards


def read_format(folder: Path) -> ShardFormat:
    """The format of the shards of a folder.

    Raises:
        ShardError: the folder holds no shards, or of another form than this program reads.
    """
    path = folder / "data.json"
    try:
        shard_format = ShardFormat(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise ShardError(f"{path} does not describe shards ({error}); is {folder} a folder of shards?") from error
    if shard_format.schema != SCHEMA:
        raise ShardError(
            f"the shards in {folder} have form {shard_format.schema}, this program reads {SCHEMA}; write them again"
        )
    return shard_format


def read_index(shard: Path) -> ShardIndex:
    """The contents of a shard.

    Raises:
        ShardError: the index is damaged, or the shard is cut short.
    """
    path = index_path(shard)
    try:
        stored = json.loads(path.read_text())
        found = ShardIndex(
            stored["num_bytes"],
            tuple(stored["clips"]),
            tuple(_location_from_json(sample) for sample in stored["places"]),
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
        lost = [location.info.key for location in found.samples if location.pose_at + location.pose_bytes > num_bytes]
        raise ShardError(
            f"{shard} has {num_bytes} bytes, {found.num_bytes} were written; {len(lost)} of {len(found.samples)} "
            "samples are lost: copy it again, or delete it with its index and run the writing again"
        )
    return found


def read_sample(shard: Path, location: SampleLocation, start: int, num_frames: int) -> tuple[Frames, StoredPose]:
    """Consecutive frames of a sample, and the poses of all of it; past the end the last frame is repeated.

    Raises:
        ShardError: the shard ends before the sample, or what lies there is damaged.
    """
    frames = decode_sample(read_video(shard, location), shard, location, start, num_frames)
    rows = np.minimum(np.arange(num_frames), len(frames) - 1)
    return frames[rows], read_pose(shard, location)


def decode_sample(video: bytes, shard: Path, location: SampleLocation, start: int, num_frames: int) -> Frames:
    """As many frames of a sample's video as there are, from `start` on.

    Raises:
        ShardError: it is damaged.
    """
    try:
        return decode_frames(video, start, min(num_frames, location.info.num_frames - start))
    except (av.FFmpegError, ValueError, OSError, EOFError) as error:
        raise ShardError(f"sample {location.info.key} of {shard} is damaged: {error}") from error


def read_video(shard: Path, location: SampleLocation) -> bytes:
    """The video of a sample, as `encode_frames` wrote it.

    Raises:
        ShardError: the shard ends before the sample.
    """
    with shard.open("rb") as file:
        return _read_bytes(file, location.video_at, location.video_bytes, shard, location.info.key)


def read_pose(shard: Path, location: SampleLocation) -> StoredPose:
    """The poses of a sample.

    Raises:
        ShardError: the shard ends before the sample, or what lies there is damaged.
    """
    with shard.open("rb") as file:
        arrays = _read_bytes(file, location.pose_at, location.pose_bytes, shard, location.info.key)
    try:
        with np.load(io.BytesIO(arrays)) as stored:
            return StoredPose(NormalisedPose(stored["angles"], stored["known"]), stored["pixels"])
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ShardError(f"sample {location.info.key} of {shard} is damaged: its poses: {error}") from error


def _read_bytes(file: Any, at: int, size: int, shard: Path, key: str) -> bytes:  # noqa: ANN401 a binary file
    file.seek(at)
    content = cast(bytes, file.read(size))
    if len(content) != size:
        raise ShardError(f"{shard} ends before the end of sample {key}; copy it again")
    return content


def encode_frames(frames: Frames, shard_format: ShardFormat) -> bytes:
    """H.264 in MP4 that can be entered at every eighth frame: [T, size, size, 3] to bytes."""
    buffer = io.BytesIO()
    options = {"crf": str(shard_format.crf), "preset": "fast", "g": str(GOP), "bf": "0"}
    with av.open(buffer, "w", format="mp4", options={"fflags": "+bitexact"}) as output:
        stream = output.add_stream("libx264", rate=Fraction(shard_format.fps).limit_denominator(1001), options=options)
        stream.height, stream.width, stream.pix_fmt = shard_format.size_px, shard_format.size_px, "yuv420p"
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
        frames = list(_from_frame(container.decode(stream), start, num_frames, step))
    if len(frames) < num_frames:
        raise ValueError(f"it has {start + len(frames)} frames, {start + num_frames} were written")
    return np.stack(frames)


def _from_frame(pictures: Iterator[VideoFrame], start: int, count: int, step: float) -> Iterator[Frames]:
    for picture in pictures:
        number = round((picture.pts or 0) / step)
        if number >= start + count:
            return
        if number >= start:
            pixels: NDArray[Any] = picture.to_ndarray(format="rgb24")
            yield pixels
