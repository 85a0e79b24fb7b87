"""What can go wrong in training and in the synthetic signer.

    TrainingError
    └── SynthError                  the synthetic signer
        ├── AssetError              a mesh, target, texture or picture that is missing, damaged or of another format
        ├── RenderUnavailableError  no OpenGL can be had: which package to install
        ├── SignError               a sign that no body can perform: the parameter and why
        ├── PoseError               landmarks of a clip that can't be performed
        ├── SceneError              a camera, frame or background that can't be rendered
        └── OutputError             what was rendered can't be written: folder in use, disk full

A message says what was seen, what is allowed and what to do.
"""


class TrainingError(Exception):
    """Base of everything this package raises on purpose."""


class SynthError(TrainingError):
    """The synthetic signer can't do what was asked."""


class AssetError(SynthError):
    """A file that bodies are made of is missing, damaged or not what it should be."""


class RenderUnavailableError(SynthError):
    """This machine gives no OpenGL context without a window."""


class SignError(SynthError):
    """A sign has a parameter that is unknown, impossible, or does not go with another."""


class PoseError(SynthError):
    """The landmarks of a clip are missing, damaged, or show nobody."""


class SceneError(SynthError):
    """The scene has a value outside what can be rendered."""


class OutputError(SynthError):
    """The rendered clips can't be written."""
