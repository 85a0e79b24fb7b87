"""One thread, because these tests are small and share their machine; and a few clips for all."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.posed import keypoints_of, landmarks_of, raised_arm
from tests.training.sl_slr.runs import run_config
from training.data.poses.landmarks import save_landmarks
from training.sl_slr.config import Data, Network
from training.sl_slr.corpus import Corpus, lexicon
from training.sl_slr.export import export
from training.sl_slr.network import make_network
from training.sl_slr.sequences import Sequence61, make_sequence
from training.sl_slr.state import TrainedSkeletonEncoder


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def performed() -> tuple[Sequence61, ...]:
    """Three signs by three synthetic signers."""
    return tuple(lexicon(3, 3, 6))


@pytest.fixture
def corpus(performed: tuple[Sequence61, ...]) -> Corpus:
    return Corpus(performed, (0,) * len(performed), (1.0,))


@pytest.fixture(scope="session")
def trained() -> TrainedSkeletonEncoder:
    """A network with random weights, as if read from a run on windows."""
    config = run_config(
        Path("nowhere"),
        data=Data(sources=("lexicon:3x3",), num_frames=8, cut="window"),
        network=Network(width=16, depth=1, heads=2, dim=16, projection=4, hidden=8, kept=2, metric=True),
    )
    return TrainedSkeletonEncoder(config, make_network(config.network, 8, 0).eval(), "made for a test", "Apache-2.0")


@pytest.fixture(scope="session")
def file(trained: TrainedSkeletonEncoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its encoder file; tracing a network takes seconds, so it is done once for all tests."""
    path = tmp_path_factory.mktemp("export") / "skeleton.onnx"
    report = export(trained, path, precision="fp32")
    assert max(report.max_relative_error.values()) < 1e-4
    assert report.num_bytes == path.stat().st_size
    return path


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
