"""Rendered clips as shards: drawn once, learned from many times, where drawing is slower than learning.

Half of the clips are signs of the lexicon, each another one; the others re-enact real movement by other bodies in other
rooms. Both carry exact poses.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from model.skeleton.kinematics import standard_proportions
from model.skeleton.normal import normalise
from training.batch import Failure, Report, failure, run
from training.data.shard_files import Form, SampleFacts, ShardSample, ShardWriter, check_shard, index_path, write_whole
from training.errors import OutputError, PoseError, ShardError, SignError
from training.prior_table import NUM_FRAMES
from training.priors import write_body
from training.synth.bodies import BodyLibrary
from training.synth.cast import BodySource, Mannequins, People, Signer, cast_signer
from training.synth.clips import Take, clip_rng, load_signer, take, take_of
from training.synth.lexicon import make_signs
from training.synth.phonology import Sign
from training.synth.reenact import ClipLandmarks, read_landmarks, reenact
from training.synth.render import Renderer
from training.synth.settings import AS_REAL_CLIPS, Variety, random_scene

CLIPS_PER_SHARD = 48
CLIPS_PER_SIGNER = 6


@dataclass(frozen=True)
class ShardPlan:
    """What is drawn; the same plan gives the same clips on one machine."""

    num_clips: int
    seed: int = 0
    size_px: int = 256
    motions: tuple[Path, ...] = ()
    """Landmarks of clips to re-enact, as `training.pose` writes them."""
    reenacted: float = 0.5
    """Share of the clips that re-enact, where there are motions."""
    assets: Path | None = None
    """Folder of the bodies' files; None: mannequins."""
    blur_exposures: int = 1
    """See `Variety`; exposures cost as much as frames."""

    @property
    def form(self) -> Form:
        """Of the shards."""
        return Form(self.size_px)


def render_shards(plan: ShardPlan, out: Path, *, workers: int = 1) -> Report:
    """Draw every shard that is not there yet.

    Args:
        plan: what to draw. More clips of the same plan continue it.
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
    lost = run(
        todo,
        partial(_draw_shard, plan=plan, out=out),
        name=lambda number: _shard(out, number).name,
        workers=workers,
        phase="shards",
        on_result=lambda _, failures: failed.extend(failures),
    )
    num_todo = sum(len(_clip_numbers(plan, number)) for number in todo)
    num_lost = sum(len(_clip_numbers(plan, number)) for number in todo if _shard(out, number).name in _names(lost))
    report = Report(num_todo - len(failed) - num_lost, plan.num_clips - num_todo, (*lost, *failed))
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
    write_whole(out / "data.json", json.dumps(asdict(plan.form)) + "\n")
    write_whole(path, wanted)


def _is_whole(shard: Path, num_clips: int) -> bool:
    """Whether a shard is undamaged and holds, or names as impossible, all its clips."""
    if not (shard.exists() and index_path(shard).exists()):
        return False
    try:
        found = check_shard(shard)
    except ShardError:
        return False
    return len(found.clips) + len(found.failed) == num_clips


def _names(failures: Sequence[Failure]) -> set[str]:
    return {one.name for one in failures}


def _shard(out: Path, number: int) -> Path:
    return out / f"{number:06d}.tar"


def _clip_numbers(plan: ShardPlan, number: int) -> range:
    start = number * CLIPS_PER_SHARD
    return range(start, min(plan.num_clips, start + CLIPS_PER_SHARD))


def _draw_shard(number: int, plan: ShardPlan, out: Path) -> tuple[Failure, ...]:
    """Draw one shard; gives the clips that failed."""
    studio = Studio(plan)
    writer = ShardWriter(_shard(out, number), plan.form)
    done: list[str] = []
    failed: list[Failure] = []
    try:
        for clip in _clip_numbers(plan, number):
            try:
                writer.add(studio.sample(clip))
            except (SignError, PoseError) as error:
                failed.append(failure(f"clip {clip}", error))
            else:
                done.append(f"{plan.seed}-{clip}")
        writer.finish(done, failed)
    except BaseException:
        writer.discard()
        raise
    finally:
        studio.close()
    return tuple(failed)


class Studio:
    """Draws the clips of a plan by their number, one signer after the other."""

    def __init__(self, plan: ShardPlan) -> None:
        self.plan = plan
        self._renderer = Renderer(plan.size_px, plan.size_px)
        self._signer: tuple[int, Signer] | None = None

    @cached_property
    def _bodies(self) -> BodySource:
        return Mannequins() if self.plan.assets is None else People(BodyLibrary(self.plan.assets))

    @cached_property
    def _signs(self) -> tuple[Sign, ...]:
        return make_signs(self.plan.num_clips, self.plan.seed)

    def sample(self, number: int) -> ShardSample:
        """One clip with its poses.

        Raises:
            SignError: this body can't perform that sign.
            PoseError: the landmarks that should be re-enacted can't be used.
        """
        plan, signer = self.plan, self._cast(number // CLIPS_PER_SIGNER)
        rng = clip_rng(plan.seed, number, 1)
        size = (plan.size_px, plan.size_px)
        variety = Variety(blur_exposures=plan.blur_exposures, closest=AS_REAL_CLIPS)
        scene = random_scene(rng, signer.body.rig, *size, variety=variety)
        if plan.motions and rng.random() < plan.reenacted:
            file = plan.motions[int(rng.integers(len(plan.motions)))]
            clip = at_rate(read_landmarks(file), plan.form.fps)
            whole = take_of(reenact(clip, signer.body.rig, file.name), signer, scene, size, rng)
        else:
            whole = take(self._signs[number], signer, scene, size, rng, fps=plan.form.fps)
        return self._draw(whole, number)

    def _draw(self, whole: Take, number: int) -> ShardSample:
        loaded = load_signer(self._renderer, whole.signer, whole.scene)
        # A clip shorter than a window stands still at its end, as short videos are padded when they are looked up.
        rows = np.minimum(np.arange(max(NUM_FRAMES, len(whole.transforms))), len(whole.transforms) - 1)
        frames = self._renderer.render(loaded, whole.transforms[rows], whole.scene, whole.fps)
        loaded.release()
        seen = whole.keypoints.inside[rows].astype(np.float64)
        facts = SampleFacts(
            key=f"{self.plan.seed}-{number:06d}",
            video_id=f"rendered-{self.plan.seed}-{number}",
            num_frames=len(frames),
            gloss=whole.gloss,
            signer=whole.signer.id,
        )
        pose = normalise(whole.keypoints.world[rows].astype(np.float64), seen)
        return ShardSample(facts, frames, pose, whole.keypoints.pixels[rows])

    def _cast(self, number: int) -> Signer:
        if self._signer is None or self._signer[0] != number:
            self._signer = number, cast_signer(self._bodies, number, self.plan.seed)
        return self._signer[1]

    def close(self) -> None:
        """Give the renderer back."""
        self._renderer.close()


def at_rate(clip: ClipLandmarks, fps: float) -> ClipLandmarks:
    """The landmarks at another frame rate, each frame the nearest one of the clip."""
    num_frames = max(1, round(clip.num_frames * fps / clip.fps))
    rows = np.minimum((np.arange(num_frames) * clip.fps / fps).round().astype(int), clip.num_frames - 1)
    return clip.at(rows, fps)


def find_motions(places: Sequence[Path]) -> Iterator[Path]:
    """Every file of landmarks in files and folders, by path."""
    for place in places:
        yield from [place] if place.is_file() else sorted(place.rglob("*.npz"))
