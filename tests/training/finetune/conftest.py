"""One thread, because these tests are small and share their machine; and one small data set for all."""

from pathlib import Path

import pytest
import torch

from tests.training.finetune.runs import save_encoder, write_set


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("clips"), {"train": 2, "val": 1, "test": 1})


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_encoder(tmp_path_factory.mktemp("encoder") / "micro.pt")
