"""Exact features: the skeleton of the synthetic signer, frame by frame, as an upper bound for encoders.

Their BLEU is what the translation model can reach with so few sentences; the difference to the features of an encoder
is due to the encoder. Per hand the directions of its bones, and the position of its wrist, from between the shoulders
in shoulder widths; they need no picture.
"""

from functools import partial
from pathlib import Path

import numpy as np

from model.encoder import Floats
from model.skeleton.kinematics import BODY_BONES, BONES, L_SHOULDER, L_WRIST, R_SHOULDER, R_WRIST
from model.skeleton.rotations import unit
from training.data.listing.sentences import read_sentences
from training.features import embeddings_path, write_embeddings, write_split
from training.parallel import Failure, run_parallel
from training.synth.people.rig import pose_bones, pose_landmarks
from training.translate.corpus import SPLITS, CorpusPlan, SentencePlan, perform_sentence, plan_sentences

STRIDE_FRAMES = 2
"""As the encoders that ship."""
_HANDS = BONES[len(BODY_BONES) :]
_STARTS, _ENDS = [bone.start for bone in _HANDS], [bone.end for bone in _HANDS]


def exact_features(
    corpus: Path, plan: CorpusPlan, assets: Path | None, out: Path, *, workers: int
) -> tuple[Failure, ...]:
    """Write the exact features of all sentences in the layout of `training.features`; existing files are kept."""
    listed = {sentence.name: sentence for sentence in read_sentences(corpus / "sentences.csv", "videos")}
    todo = [sentence for sentence in plan_sentences(plan) if not embeddings_path(out, listed[sentence.name]).exists()]
    failed = run_parallel(
        todo,
        partial(_write, plan=plan, assets=assets, out=out),
        name=lambda sentence: sentence.name,
        workers=workers,
        phase="exact",
    )
    for split in SPLITS:
        write_split(out, split, [sentence for sentence in listed.values() if sentence.split == split])
    return failed


def _write(sentence: SentencePlan, plan: CorpusPlan, assets: Path | None, out: Path) -> None:
    performed = perform_sentence(sentence, plan, assets)
    rig, performance = performed.signer.body.rig, performed.performance
    keypoints = pose_landmarks(rig, pose_bones(rig, performance.rotations))
    write_embeddings(out / "embeddings" / f"{sentence.name}.npy", hands_of(keypoints[::STRIDE_FRAMES]))


def hands_of(keypoints: Floats) -> Floats:
    """[T, 61, 3] keypoints -> [T, 126]: directions of 40 bones of the hands, positions of both wrists."""
    across = keypoints[:, L_SHOULDER] - keypoints[:, R_SHOULDER]
    middle = keypoints[:, [L_SHOULDER, R_SHOULDER]].mean(axis=1, keepdims=True)
    placed = (keypoints - middle) / np.linalg.norm(across, axis=-1)[:, None, None]
    bones = unit(placed[:, _ENDS] - placed[:, _STARTS])
    both = np.concatenate([bones, placed[:, [L_WRIST, R_WRIST]]], axis=1)
    return both.reshape(len(both), -1).astype(np.float32)
