"""Features that no encoder could better: the exact skeleton of the synthetic signer, frame by frame.

What a translation model makes of them says what it and so few sentences allow; what it loses on an encoder's features
is the encoder's. Per hand the directions of its bones, and where its wrist is, from between the shoulders in shoulder
widths; they need no picture.
"""

from functools import partial
from pathlib import Path

import numpy as np

from model.encoder import Floats
from model.skeleton.kinematics import BODY_BONES, BONES, L_SHOULDER, L_WRIST, R_SHOULDER, R_WRIST
from model.skeleton.rotations import unit
from training.batch import Failure, run
from training.features import place, write_embeddings, write_split
from training.sentences import read_sentences
from training.synth.rig import pose_bones, pose_landmarks
from training.translate.corpus import SPLITS, Plan, Saying, sayings, stage

STRIDE_FRAMES = 2
"""As the encoders that ship."""
_HANDS = BONES[len(BODY_BONES) :]
_STARTS, _ENDS = [bone.start for bone in _HANDS], [bone.end for bone in _HANDS]


def exact_features(corpus: Path, plan: Plan, assets: Path | None, out: Path, *, workers: int) -> tuple[Failure, ...]:
    """Write the exact features of all sentences in the layout of `training.features`; what is there is kept."""
    listed = {sentence.name: sentence for sentence in read_sentences(corpus / "sentences.csv", "videos")}
    todo = [said for said in sayings(plan) if not place(out, listed[said.name]).exists()]
    failed = run(
        todo,
        partial(_write, plan=plan, assets=assets, out=out),
        name=lambda said: said.name,
        workers=workers,
        phase="exact",
    )
    for split in SPLITS:
        write_split(out, split, [sentence for sentence in listed.values() if sentence.split == split])
    return failed


def _write(said: Saying, plan: Plan, assets: Path | None, out: Path) -> None:
    staged = stage(said, plan, assets)
    rig, performance = staged.signer.body.rig, staged.performance
    keypoints = pose_landmarks(rig, pose_bones(rig, performance.rotations))
    write_embeddings(out / "embeddings" / f"{said.name}.npy", hands_of(keypoints[::STRIDE_FRAMES]))


def hands_of(keypoints: Floats) -> Floats:
    """[T, 61, 3] keypoints -> [T, 126]: directions of 40 bones of the hands, places of both wrists."""
    across = keypoints[:, L_SHOULDER] - keypoints[:, R_SHOULDER]
    middle = keypoints[:, [L_SHOULDER, R_SHOULDER]].mean(axis=1, keepdims=True)
    placed = (keypoints - middle) / np.linalg.norm(across, axis=-1)[:, None, None]
    bones = unit(placed[:, _ENDS] - placed[:, _STARTS])
    both = np.concatenate([bones, placed[:, [L_WRIST, R_WRIST]]], axis=1)
    return both.reshape(len(both), -1).astype(np.float32)
