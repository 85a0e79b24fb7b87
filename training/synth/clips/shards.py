"""Rendered clips as shards: rendered once, trained on many times, since rendering is slower than training.

Half of the clips are signs of the lexicon, each another one; the others re-enact real clips by other bodies in other
rooms. Both carry exact poses.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from model.skeleton.kinematics import standard_proportions
from model.skeleton.normalisation import normalise
from training.atomic import write_atomically
from training.data.priors.standard_body import write_body
from training.data.priors.table import NUM_FRAMES
from training.data.shards.files import SampleInfo, ShardFormat, ShardSample, ShardWriter, check_shard, index_path
from training.errors import OutputError, PoseError, ShardError, SignError
from training.parallel import Failure, WorkReport, failure_of, run_parallel
from training.synth.clips.clip import PosedClip
from training.synth.clips.clip_source import ClipSource, padded_rows
from training.synth.clips.lexicon import make_signs
from training.synth.clips.signers import body_source
from training.synth.language.phonology import Sign
from training.synth.reenactment.clip_landmarks import ClipLandmarks, read_clip_landmarks
from training.synth.reenactment.reenact import reenact
from training.synth.render.random_scene import REAL_CLIP_CLOSENESS, SceneVariation, random_scene

CLIPS_PER_SHARD = 48
CLIPS_PER_SIGNER = 6


@dataclass(frozen=True)
class ShardPlan:
    """Settings of rendered shards; the same plan gives the same clips on one machine."""

    num_clips: int
    seed: int = 0
    size_px: int = 256
    motions: tuple[Path, ...] = ()
    """Landmarks of clips to re-enact, as `python -m training.data pose` writes them."""
    reenacted: float = 0.5
    """Share of the clips that re-enact, where there are motions."""
    assets: Path | None = None
    """Folder of the bodies' files; None: mannequins."""
    blur_exposures: int = 1
    """See `SceneVariation`; exposures cost as much as frames."""

    @property
    def format(self) -> ShardFormat:
        """Of the shards."""
        return ShardFormat(self.size_px)


def render_shards(plan: ShardPlan, out: Path, *, workers: int = 1) -> WorkReport:
    """Render every shard that is missing.

    Args:
        plan: what to render. More clips of the same plan continue it.
        out: folder of the shards.
        workers: processes.

    Raises:
        OutputError: the folder holds shards of another plan.
    """
    out.mkdir(parents=True, exist_ok=True)
    _claim(out, plan)
    numbers = range(-(-plan.num_clips // CLIPS_PER_SHARD))
    todo = [number for number in numbers if not _is_whole(_shard(out, number), len(_clip_numbers(plan, number)))]
    failed: list[Failure] = []
    lost = run_parallel(
        todo,
        partial(_render_shard, plan=plan, out=out),
        name=lambda number: _shard(out, number).name,
        workers=workers,
        phase="shards",
        on_result=lambda _, failures: failed.extend(failures),
    )
    lost_shards = {one.name for one in lost}
    num_todo = sum(len(_clip_numbers(plan, number)) for number in todo)
    num_lost = sum(len(_clip_numbers(plan, number)) for number in todo if _shard(out, number).name in lost_shards)
    report = WorkReport(num_todo - len(failed) - num_lost, plan.num_clips - num_todo, (*lost, *failed))
    report.write(out / "report.json")
    return report


def _claim(out: Path, plan: ShardPlan) -> None:
    """Write down what all shards here have in common, or make sure that it is the same."""
    wanted = json.dumps(asdict(replace(plan, num_clips=0)), default=str, indent=1)
    path = out / "plan.json"
    if path.exists() and path.read_text(encoding="utf-8") != wanted:
        raise OutputError(
            f"{out} holds clips of another plan, see {path}; give its seed, size, motions and bodies to continue it,"
            " or another folder"
        )
    write_body(out / "body.json", standard_proportions())
    write_atomically(out / "data.json", json.dumps(asdict(plan.format)) + "\n")
    write_atomically(path, wanted)


def _is_whole(shard: Path, num_clips: int) -> bool:
    """Whether a shard is undamaged and holds, or names as impossible, all its clips."""
    if not (shard.exists() and index_path(shard).exists()):
        return False
    try:
        found = check_shard(shard)
    except ShardError:
        return False
    return len(found.clips) + len(found.failed) == num_clips


def _shard(out: Path, number: int) -> Path:
    return out / f"{number:06d}.tar"


def _clip_numbers(plan: ShardPlan, number: int) -> range:
    start = number * CLIPS_PER_SHARD
    return range(start, min(plan.num_clips, start + CLIPS_PER_SHARD))


def _render_shard(number: int, plan: ShardPlan, out: Path) -> tuple[Failure, ...]:
    """Render one shard; gives the clips that failed."""
    clips = PlannedClips(plan)
    writer = ShardWriter(_shard(out, number), plan.format)
    done: list[str] = []
    failed: list[Failure] = []
    try:
        for clip_number in _clip_numbers(plan, number):
            try:
                writer.add(clips.sample(clip_number))
            except (SignError, PoseError) as error:
                failed.append(failure_of(f"clip {clip_number}", error))
            else:
                done.append(f"{plan.seed}-{clip_number}")
        writer.finish(done, failed)
    except BaseException:
        writer.discard()
        raise
    finally:
        clips.close()
    return tuple(failed)


class PlannedClips:
    """The clips of a plan by their number."""

    def __init__(self, plan: ShardPlan) -> None:
        self.plan = plan
        size = (plan.size_px, plan.size_px)
        self._clips = ClipSource(body_source(plan.assets), seed=plan.seed, size=size, fps=plan.format.fps)

    @cached_property
    def _signs(self) -> tuple[Sign, ...]:
        return make_signs(self.plan.num_clips, self.plan.seed)

    def sample(self, number: int) -> ShardSample:
        """One clip with its poses.

        Raises:
            SignError: this body can't perform that sign.
            PoseError: the landmarks that should be re-enacted can't be used.
        """
        clip = self._clip(number)
        rows = padded_rows(0, max(NUM_FRAMES, clip.num_frames), clip.num_frames)
        frames = self._clips.frames(clip, rows)
        info = SampleInfo(
            key=f"{self.plan.seed}-{number:06d}",
            video_id=f"rendered-{self.plan.seed}-{number}",
            num_frames=len(frames),
            gloss=clip.gloss,
            signer=clip.signer.id,
        )
        confidence = clip.keypoints.inside[rows].astype(np.float64)
        pose = normalise(clip.keypoints.world[rows].astype(np.float64), confidence)
        return ShardSample(info, frames, pose, clip.keypoints.pixels[rows])

    def _clip(self, number: int) -> PosedClip:
        plan, signer = self.plan, self._clips.signer(number // CLIPS_PER_SIGNER)
        rig, rng = signer.body.rig, self._clips.rng(number, 1)
        variation = SceneVariation(blur_exposures=plan.blur_exposures, closest=REAL_CLIP_CLOSENESS)
        scene = random_scene(rng, rig, plan.size_px, plan.size_px, variation=variation)
        if plan.motions and rng.random() < plan.reenacted:
            file = plan.motions[int(rng.integers(len(plan.motions)))]
            performance = reenact(at_rate(read_clip_landmarks(file), plan.format.fps), rig, file.name)
            return self._clips.clip(performance, signer, scene, rng)
        return self._clips.clip(self._signs[number], signer, scene, rng)

    def close(self) -> None:
        """Give the renderer back."""
        self._clips.close()


def at_rate(clip: ClipLandmarks, fps: float) -> ClipLandmarks:
    """The landmarks at another frame rate, each frame the nearest one of the clip."""
    num_frames = max(1, round(clip.num_frames * fps / clip.fps))
    rows = np.minimum((np.arange(num_frames) * clip.fps / fps).round().astype(int), clip.num_frames - 1)
    return clip.at(rows, fps)


def find_motions(paths: Sequence[Path]) -> Iterator[Path]:
    """Every file of landmarks in files and folders, by path."""
    for path in paths:
        yield from [path] if path.is_file() else sorted(path.rglob("*.npz"))
