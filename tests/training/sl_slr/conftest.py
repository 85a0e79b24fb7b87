"""One thread, because these tests are small and share their machine; and a few clips for all."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.posed import keypoints_of, landmarks_of, raised_arm
from training.landmarks import save_landmarks
from training.sl_slr.corpus import Corpus, lexicon
from training.sl_slr.sequences import Sequence61, make_sequence


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def performed() -> tuple[Sequence61, ...]:
    """Three signs by three synthetic signers."""
    return tuple(lexicon(3, 3, 5))


@pytest.fixture
def corpus(performed: tuple[Sequence61, ...]) -> Corpus:
    return Corpus(performed, (0,) * len(performed), (1.0,))


@pytest.fixture
def waving() -> Sequence61:
    """A known person who lifts the right hand and waves."""
    keypoints = keypoints_of(raised_arm())
    return make_sequence(keypoints, np.ones(keypoints.shape[:2]), "WAVE", "someone")


def write_landmarks(folder: Path, *names: str) -> Path:
    """Landmark files of people who wave, each in another way."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        with (folder / f"{name}.mp4.npz").open("wb") as file:
            save_landmarks(file, landmarks_of(keypoints_of(raised_arm(bend_deg=80.0 + 20.0 * number))))
    return folder
