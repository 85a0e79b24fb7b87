"""Errors of training and of the synthetic signer.

    TrainingError
    ├── ClipError                   a clip of the training or evaluation data
    │   ├── LandmarksError          its landmarks are missing or damaged
    │   └── LengthMismatchError     its landmarks have another number of frames than the clip
    ├── ManifestError               a list of clips that is missing, has another form, or names a clip twice
    ├── ShardError                  a shard that is cut short, damaged, or of another data set
    ├── EvaluationError             nothing to evaluate, or a baseline that needs what is not there
    ├── ConfigError                 a setting of a run: unknown, or of a value that can't be
    ├── DataError                   no usable data at all
    │   └── SampleError             one clip or window can't be used: which, and why; others can
    ├── ResumeError                 a run can't be resumed from its output folder
    ├── DivergedError               a loss or gradient is not finite: which, and what to change
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


class ClipError(TrainingError):
    """A clip can't be used."""


class LandmarksError(ClipError):
    """The landmarks of a clip are missing or damaged."""


class LengthMismatchError(ClipError):
    """The landmarks have another number of frames than the clip."""


class ManifestError(TrainingError):
    """A list of clips can't be used."""


class ShardError(TrainingError):
    """A shard can't be read whole, or does not belong with the others."""


class EvaluationError(TrainingError):
    """There is nothing to evaluate, or it can't be done with what is there."""


class ConfigError(TrainingError):
    """A setting is unknown or has a value that can't be."""


class DataError(TrainingError):
    """There is no usable data."""


class SampleError(DataError):
    """One clip or window can't be used."""


class ResumeError(TrainingError):
    """The output folder holds another run, or one that can't be resumed."""


class DivergedError(TrainingError):
    """A loss or a gradient is not finite."""


class SynthError(TrainingError):
    """Base of the errors of the synthetic signer."""


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
