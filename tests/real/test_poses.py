"""Priors, overlay, shards and retrieval on the landmarks of real clips."""

from pathlib import Path

import numpy as np
import pytest

from model.skeleton.encoders import BoneEncoder
from model.skeleton.kinematics import inverse
from model.skeleton.landmarks import observe
from model.skeleton.normalisation import normalise
from model.skeleton.rotations import Reals
from training.data.listing.manifest import ListedClip
from training.data.poses.landmarks import read_landmarks
from training.data.poses.overlay import draw_clip, read_observed_clip
from training.data.priors.standard_body import regeneration_error, standard_body
from training.data.priors.targets import prior_targets
from training.data.shards.files import ShardFormat
from training.data.shards.source import ShardSource
from training.data.shards.write import write_shards
from training.data.windows.samples import check_sample
from training.evaluate.baselines import FEATURES
from training.evaluate.protocol import VectorRanker, evaluate, landmark_vectors, skeleton_vectors

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def observed(shared: Path) -> list[tuple[Reals, Reals]]:
    """Every eighth training clip: keypoints and confidence."""
    poses = shared / "clips" / "poses"
    files = sorted([*(poses / "asl_rth").glob("*.npz"), *(poses / "asl_aslearn").glob("*.npz")])[::8]
    clips = [observe(read_landmarks(file)) for file in files]
    return [(clip.keypoints, clip.confidence) for clip in clips]


def clip_named(shared: Path, start: str) -> ListedClip:
    video = next((shared / "clips" / "asl_train" / "rth").glob(f"{start}__*.mp4"))
    return ListedClip(video.name, video, shared / "clips" / "poses" / "asl_rth" / f"{video.name}.npz", start)


def test_regenerated_keypoints_are_near_the_observed_ones(observed: list[tuple[Reals, Reals]]) -> None:
    """Shoulder widths: on the signer's own median bones half of the keypoints are within 0.05, 95 % within 0.2."""
    away = np.concatenate([np.linalg.norm(regeneration_error(*clip, None), axis=-1) for clip in observed])
    assert np.nanmedian(away) < 0.05
    assert np.nanpercentile(away, 95) < 0.2
    body = standard_body(observed)
    away = np.concatenate([np.linalg.norm(regeneration_error(*clip, body), axis=-1) for clip in observed])
    assert np.nanmedian(away) < 0.08
    assert np.nanpercentile(away, 95) < 0.38


def test_angles_of_real_poses_come_back_from_their_keypoints(observed: list[tuple[Reals, Reals]]) -> None:
    from model.skeleton.normalisation import regenerate

    for keypoints, confidence in observed[:10]:
        pose = normalise(keypoints, confidence)
        again = inverse(regenerate(pose))
        flat = np.concatenate([again.body, again.right, again.left], axis=-1)
        turned = np.abs(np.angle(np.exp(1j * (flat - pose.angles))))
        assert np.nanmax(turned) < 1e-4


def test_every_window_of_real_clips_keeps_the_contract(observed: list[tuple[Reals, Reals]]) -> None:
    for keypoints, confidence in observed:
        found = prior_targets(normalise(keypoints[:16], confidence[:16]))
        assert all(np.isfinite(values).all() for values, _ in found.values())
        assert np.abs(found["body_pose"][0]).max() < 1.6


def test_the_one_handed_signers_other_hand_rests(shared: Path) -> None:
    files = sorted((shared / "clips" / "poses" / "asl_rth").glob("*.npz"))[::10]
    active = []
    for file in files:
        clip = observe(read_landmarks(file))
        middle = len(clip.keypoints) // 2 - 8
        pose = normalise(clip.keypoints, clip.confidence).window(middle)
        from training.data.priors.targets import prior_targets

        active.append(prior_targets(pose)["activity"][0])
    left, right = np.mean(active, axis=0)
    assert left < 0.05
    assert right > 0.9


def test_the_skeleton_is_drawn_over_every_frame(shared: Path) -> None:
    listed = clip_named(shared, "bear")
    clip = read_observed_clip(listed.video, read_landmarks(listed.landmarks), side=240)
    body = standard_body([(clip.observed.keypoints, clip.observed.confidence)])
    drawn = list(draw_clip(clip, body))
    assert len(drawn) == len(clip.frames)
    orange = [(np.abs(frame.astype(int) - (255, 140, 0)).sum(axis=-1) < 30).sum() for frame in drawn]
    assert min(orange) > 50


def test_real_clips_make_shards_that_give_windows(shared: Path, tmp_path: Path) -> None:
    clips = [clip_named(shared, name) for name in ("bear", "baby")]
    odd = shared / "clips" / "odd" / "no_signer.mp4"
    clips.append(ListedClip("no_signer", odd, tmp_path / "none.npz"))
    report = write_shards(
        clips, tmp_path / "out", shard_format=ShardFormat(128), body=None, clips_per_shard=8, workers=1
    )
    assert (report.num_done, len(report.failed)) == (2, 1)
    source = ShardSource(tmp_path / "out")
    for number in range(source.num_samples):
        for sample in source.pair(number):
            assert check_sample(sample).frames.shape == (16, 128, 128, 3)
            assert sample.masks["right_pose"].mean() > 0.3


def test_signs_are_found_across_signers_far_better_than_by_chance(shared: Path) -> None:
    poses = shared / "clips" / "poses"

    def clips(folder: str) -> list[ListedClip]:
        files = sorted((poses / f"asl_{folder}").glob("*.npz"))
        return [ListedClip(file.stem, file, file, file.name.split("__")[0]) for file in files]

    known = clips("rth")[:80]
    vectors = landmark_vectors(FEATURES["bone-directions-wrists"])
    ranker = VectorRanker(vectors, "bones", known, lambda *_: None, mirrored=True)
    glosses = {clip.gloss for clip in known}
    asked = [clip for clip in clips("aslearn") if clip.gloss in glosses]
    result = evaluate(ranker, known, asked, lambda *_: None)
    assert len(result.results) >= 5
    assert result.metrics.mrr > 20  # by chance: about 6


@pytest.mark.parametrize("mirrored", [False, True])
def test_the_vectors_that_serve_are_those_of_the_baseline_on_equal_landmarks(shared: Path, mirrored: bool) -> None:
    served, offline = skeleton_vectors(BoneEncoder()), landmark_vectors(FEATURES["bone-directions-wrists"])
    poses = shared / "clips" / "poses" / "asl_aslearn"
    for file in sorted(poses.glob("*.npz"))[::25]:
        clip = ListedClip(file.stem, file, file, "sign")
        # At 30 pictures a second a clip's scale is smoothed before its frames are chosen, in the service after.
        assert served(clip, mirrored) @ offline(clip, mirrored) > 0.9999
