"""What can go wrong in training and in the synthetic signer.

    TrainingError
    ├── ConfigError                 a setting of a run: unknown, or of a value that can't be
    ├── DataError                   no usable data at all
    │   └── SampleError             one clip or window can't be used: which, and why; others can
    ├── ResumeError                 a run can't go on from what lies in its output folder
    ├── DivergedError               a loss or gradient is no number any more: which, and what to change
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


class ConfigError(TrainingError):
    """A setting is unknown or has a value that can't be."""


class DataError(TrainingError):
    """There is no usable data."""


class SampleError(DataError):
    """One clip or window can't be used."""


class ResumeError(TrainingError):
    """The output folder holds another run, or one that can't be gone on with."""


class DivergedError(TrainingError):
    """A loss or a gradient is not a number any more."""


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
