"""What the synthetic signer's tests share: a mannequin, a renderer where OpenGL can be had, and the shared meshes."""

from pathlib import Path

import numpy as np
import pytest

from training.errors import RenderUnavailableError
from training.synth.people.assets import AssetFolder
from training.synth.people.human_body import BodyLibrary
from training.synth.people.mannequin import mannequin
from training.synth.render.camera import frame_signer
from training.synth.render.gl_resources import open_context
from training.synth.render.scene import Film, Lights, Scene

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def gl():
    """OpenGL without a window; where there is none every test that draws skips for this one reason."""
    try:
        open_context().release()
    except RenderUnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def figure():
    """A mannequin."""
    return mannequin()


@pytest.fixture(scope="session")
def library(shared):
    """The shared human meshes."""
    return BodyLibrary(AssetFolder(shared / "bodies"))


@pytest.fixture
def plain_scene(figure):
    """A scene that adds nothing of its own: mid grey behind, no noise, no shadow."""

    def make(width=96, height=96, *, film=None, lights=None, wall=128):
        return Scene(
            camera=frame_signer(figure.rig, aspect=width / height),
            background=np.full((4, 4, 3), wall, np.uint8),
            lights=lights or Lights(shadows=False),
            film=film or Film(),
        )

    return make


@pytest.fixture(scope="session")
def rest():
    """Rotations that leave a body as it is, [T, J, 3, 3]."""

    def make(rig, num_frames=1):
        return np.tile(np.eye(3, dtype=np.float32), (num_frames, len(rig.names), 1, 1))

    return make
