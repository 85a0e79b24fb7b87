from pathlib import Path

import numpy as np
import pytest
import torch

from model.config import tiny
from model.network.pixels import normalise
from model.pooling import pool
from tests.tiny_videos import write_clip, write_dictionary
from tests.training.pretrain.runs import run_config
from training.errors import ConfigError
from training.pretrain.config import Data
from training.pretrain.network import PretrainNetwork
from training.pretrain.validation import NetworkEncoder, open_validation

NAMES = ["house", "tree", "water"]


@pytest.fixture(scope="module")
def network() -> PretrainNetwork:
    torch.manual_seed(0)
    return PretrainNetwork(tiny()).eval()


def test_a_network_encodes_as_it_is_trained(network: PretrainNetwork) -> None:
    windows = np.random.default_rng(0).integers(0, 256, (2, 16, 128, 128, 3), dtype=np.uint8)
    encoding = NetworkEncoder(network.encoder).encode(windows)
    with torch.no_grad():
        output = network.encoder(normalise(torch.from_numpy(windows)))
    assert np.array_equal(encoding.embedding, output.features.numpy())
    assert np.array_equal(encoding.activity, output.activity_logits.sigmoid().numpy())
    assert np.isfinite(pool(encoding.embedding, encoding.activity)).all()


def test_retrieval_scores_the_dcg_of_looking_clips_up(network: PretrainNetwork, tmp_path: Path) -> None:
    write_dictionary(tmp_path / "gallery", NAMES)
    for seed, name in enumerate(NAMES):  # the same pictures: even a random network finds them
        write_clip(tmp_path / "queries" / f"{name}.mp4", seed)
    data = Data(validation=f"retrieval:{tmp_path / 'gallery'}:{tmp_path / 'queries'}")
    validate = open_validation(run_config(tmp_path, data=data))
    assert validate is not None
    assert validate(network) == pytest.approx(100.0)


def test_without_a_validation_set_there_is_none(tmp_path: Path) -> None:
    assert open_validation(run_config(tmp_path)) is None


def test_half_a_retrieval_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="write retrieval:GALLERY:QUERIES"):
        open_validation(run_config(tmp_path, data=Data(validation="retrieval:gallery")))
