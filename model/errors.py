"""What can go wrong between a video file and its vector.

    ModelError
    ├── VideoError                  the video someone handed in
    │   ├── NotAVideoError          empty, not a video, without a picture track, or of a format that is not opened
    │   ├── VideoTooLargeError      more bytes or more pixels than allowed
    │   ├── VideoTooLongError       more seconds than allowed
    │   ├── VideoTooShortError      no frame in the requested time range
    │   ├── VideoBrokenError        starts as a video, then can't be decoded
    │   └── NoSignerError           nobody, or nobody's hands, were found in it
    ├── TimeRangeError              start_s and end_s that hold nothing
    ├── EncoderFileError            the ONNX file
    │   ├── EncoderContractError    not the inputs, outputs or metadata of an encoder
    │   ├── ProviderError           the device that was asked for can't be had
    │   └── EstimatorError          what finds the skeletons that the encoder takes is not installed
    ├── EncoderOutputError          the encoder gave values that are no numbers
    ├── CheckpointError             a training checkpoint that can't be loaded: which tensors, and why
    ├── ExportError                 the written ONNX file disagrees with the network it came from
    └── FetchError                  a download that did not arrive whole

A message says what was seen, what is allowed and what to do. None of them knows of HTTP.
"""


class ModelError(Exception):
    """Base of everything this package raises on purpose."""


class VideoError(ModelError):
    """The video can't be used."""


class NotAVideoError(VideoError):
    """There is no video in these bytes."""


class VideoTooLargeError(VideoError):
    """The file has too many bytes, or its frames too many pixels."""


class VideoTooLongError(VideoError):
    """The video, or the requested time range, lasts too long."""


class VideoTooShortError(VideoError):
    """The time range asked for holds no frame."""


class VideoBrokenError(VideoError):
    """The video starts well and then can't be decoded."""


class NoSignerError(VideoError):
    """Nobody, or nobody's hands, were found in the video."""


class TimeRangeError(ModelError):
    """The requested part of a video is empty, or nothing moves in it."""


class EncoderFileError(ModelError):
    """The encoder file can't be used."""


class EncoderContractError(EncoderFileError):
    """The ONNX file has other inputs, outputs or metadata than an encoder has."""


class ProviderError(EncoderFileError):
    """The execution provider that was asked for is not to be had."""


class EstimatorError(EncoderFileError):
    """What finds skeletons in videos is not installed, or does not start."""


class EncoderOutputError(ModelError):
    """What the encoder gave for a clip can't be used."""


class CheckpointError(ModelError):
    """The checkpoint does not fit the network, or needs code to be run in order to load."""


class ExportError(ModelError):
    """The exported file does not compute what the network computes."""


class FetchError(ModelError):
    """A download failed or is not what was expected."""
