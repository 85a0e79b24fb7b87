"""Features of the exact skeleton."""

from pathlib import Path

import numpy as np
import pytest

from model.skeleton.kinematics import BONE, BONES, L_SHOULDER, L_WRIST, R_SHOULDER
from training.synth.people.rig import performance_landmarks
from training.translate.corpus import CorpusPlan, perform_sentence, plan_sentences, write_list
from training.translate.data import read_corpus
from training.translate.exact_features import exact_features, hands_of

PLAN = CorpusPlan(num_signs=6, train_signers=1, dev_signers=0, test_signers=1, per_signer=2, seed=5, size_px=32)


@pytest.fixture(scope="module")
def keypoints() -> np.ndarray:
    staged = perform_sentence(plan_sentences(PLAN)[0], PLAN, None)
    return performance_landmarks(staged.performance, staged.signer.body.rig)


def test_they_are_directions_of_bones_and_places_of_wrists(keypoints: np.ndarray) -> None:
    found = hands_of(keypoints).reshape(len(keypoints), 42, 3)
    assert np.allclose(np.linalg.norm(found[:, :40], axis=-1), 1.0, atol=1e-5)
    row = BONE["left index second"]
    bone = BONES[row]
    way = keypoints[:, bone.end] - keypoints[:, bone.start]
    assert np.allclose(found[:, row - 11], way / np.linalg.norm(way, axis=-1, keepdims=True), atol=1e-4)
    middle = (keypoints[:, L_SHOULDER] + keypoints[:, R_SHOULDER]) / 2
    width = np.linalg.norm(keypoints[:, L_SHOULDER] - keypoints[:, R_SHOULDER], axis=-1)
    assert np.allclose(found[:, 40], (keypoints[:, L_WRIST] - middle) / width[:, None], atol=1e-5)


def test_who_is_taller_or_stands_elsewhere_makes_no_difference(keypoints: np.ndarray) -> None:
    assert np.allclose(hands_of(1.3 * keypoints + np.array([0.4, 0.1, -1.0])), hands_of(keypoints), atol=1e-4)


def test_they_are_written_as_features_are_and_kept(tmp_path: Path) -> None:
    said = plan_sentences(PLAN)
    (tmp_path / "corpus").mkdir()
    write_list(tmp_path / "corpus", PLAN, said)
    assert exact_features(tmp_path / "corpus", PLAN, None, tmp_path / "out", workers=1) == ()
    corpus = read_corpus(tmp_path / "out", "words")
    assert {split: len(samples) for split, samples in corpus.splits.items()} == {"train": 2, "dev": 0, "test": 2}
    assert corpus.dim == 126
    num_frames = perform_sentence(said[0], PLAN, None).performance.num_frames
    assert len(corpus.splits["train"][0].sign) == (num_frames + 1) // 2
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "embeddings").iterdir()}
    exact_features(tmp_path / "corpus", PLAN, None, tmp_path / "out", workers=1)
    assert {path: path.stat().st_mtime_ns for path in files} == files
