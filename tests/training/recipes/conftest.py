"""One thread, because these tests are small and share their machine; and what several of them need."""

from pathlib import Path

import pytest
import torch

from tests.training.finetune.runs import save_encoder, write_set
from training.errors import RenderUnavailableError
from training.sl_slr.corpus import lexicon
from training.sl_slr.sequences import Sequence61
from training.synth.render.gl_resources import open_context


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def performed() -> tuple[Sequence61, ...]:
    """Three signs by three synthetic signers."""
    return tuple(lexicon(3, 3, 6))


@pytest.fixture(scope="session")
def gl() -> None:
    """OpenGL without a window; where there is none the tests that render skip."""
    try:
        open_context().release()
    except RenderUnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("clips"), {"train": 2, "val": 1, "test": 1})


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_encoder(tmp_path_factory.mktemp("encoder") / "micro.pt")
