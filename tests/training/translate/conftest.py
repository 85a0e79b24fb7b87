"""What these tests share."""

import pytest

from training.errors import RenderUnavailableError
from training.synth.render.gl_resources import open_context


@pytest.fixture(scope="session")
def gl() -> None:
    """OpenGL without a window; where there is none the tests that draw skip."""
    try:
        open_context().release()
    except RenderUnavailableError as error:
        pytest.skip(str(error))
