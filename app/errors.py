"""The errors of the service, and the HTTP problem that every error of the project becomes.

    ServiceError
    ├── AdminClosedError        an admin route while no key is set
    ├── AdminKeyError           an admin route without the key
    ├── UploadTooLargeError     a request body above the limit
    ├── UploadTooSlowError      a request body that takes too long to arrive
    ├── VideoTooCostlyError     decoding took more time or memory than allowed
    ├── VideoUndecodableError   the decoder ended over a video
    ├── OverloadedError         every slot for requests is taken; try later
    ├── TooManyFailuresError    one client has failed too often; try later
    ├── StoppedError            the service is shutting down
    ├── QueryUnknownError       a query_id that is not cached, or no longer
    ├── VectorError             a vector that can't be looked up
    ├── VideoMissingError       the file of a dictionary video is not there
    ├── DictionaryEmptyError    a search while no dictionary is loaded, and why
    ├── NotReadyError           what is still missing before searches are answered
    ├── ClusterError            machines that should embed can't be used, and why
    │   └── WorkLostError       a machine is gone with the work it had; others repeat it
    ├── ServiceAwayError        no service answers at the given address
    ├── CoordinationError       the coordination store of the replicas can't be used
    ├── SourceError             the folder of dictionary videos can't be read
    │   ├── SourceUnsetError    no folder was named
    │   └── NothingUsableError  no clip in it could be embedded
    └── JobError                background jobs
        ├── JobRunningError     one is running already
        ├── JobUnknownError     there is none of this id
        └── JobCancelledError   raised inside a job that was asked to stop

The table below is the only place where an error gets a status. It knows no web framework.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

from index import errors as dictionary_errors
from model import errors as model_errors


class ServiceError(Exception):
    """Base of everything this package raises on purpose."""

    def __init__(self, message: str, **members: object) -> None:
        """Take a message, and values for programs.

        Args:
            message: what was seen, what is allowed, what to do.
            members: become members of the problem document.
        """
        super().__init__(message)
        self.members: Mapping[str, object] = members


class AdminClosedError(ServiceError):
    """Admin routes are closed while no key is set."""


class AdminKeyError(ServiceError):
    """The admin key is missing or wrong."""


class UploadTooLargeError(ServiceError):
    """The request body has more bytes than allowed."""


class UploadTooSlowError(ServiceError):
    """The request body takes longer to arrive than allowed."""


class VideoTooCostlyError(ServiceError):
    """Decoding the video takes more time or memory than allowed."""


class VideoUndecodableError(ServiceError):
    """The process that decodes ended over the video."""


class OverloadedError(ServiceError):
    """Every slot for requests is taken."""

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.retry_after_s = retry_after_s


class TooManyFailuresError(ServiceError):
    """A client has failed too often recently."""

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.retry_after_s = retry_after_s


class StoppedError(ServiceError):
    """The service is shutting down."""


class QueryUnknownError(ServiceError):
    """No query of this id is cached."""


class VectorError(ServiceError):
    """The vector has another size than the dictionary's, or no direction."""


class VideoMissingError(ServiceError):
    """The file of a dictionary video is not where the dictionary says."""


class DictionaryEmptyError(ServiceError):
    """No dictionary is loaded."""


class NotReadyError(ServiceError):
    """Something is missing before searches are answered."""


class ClusterError(ServiceError):
    """The machines that should embed can't be reached, differ from this one, or are gone."""


class WorkLostError(ClusterError):
    """The machine that had a piece of work is gone; it can be repeated."""


class ServiceAwayError(ServiceError):
    """No service answers at the given address."""


class CoordinationError(ServiceError):
    """The coordination store of the replicas can't be used."""


class SourceError(ServiceError):
    """The folder of dictionary videos can't be used."""


class SourceUnsetError(SourceError):
    """No folder of dictionary videos was named."""


class NothingUsableError(SourceError):
    """Not one clip could be embedded."""


class JobError(ServiceError):
    """Something about a background job."""


class JobRunningError(JobError):
    """A job is running, and there is one at a time."""


class JobUnknownError(JobError):
    """No job has this id."""


class JobCancelledError(JobError):
    """The job was asked to stop."""


@dataclass(frozen=True)
class ProblemKind:
    """What an error looks like over HTTP."""

    status: HTTPStatus
    name: str
    """The last part of the problem's `type`."""
    title: str


INTERNAL = ProblemKind(HTTPStatus.INTERNAL_SERVER_ERROR, "internal-error", "Something went wrong in the service")
VIDEO = "The video can't be used"
NOT_SEARCHABLE = "There is no dictionary to search"

PROBLEMS: dict[type[Exception], ProblemKind] = {
    ServiceError: INTERNAL,
    AdminClosedError: ProblemKind(HTTPStatus.FORBIDDEN, "admin-closed", "Admin routes are closed"),
    AdminKeyError: ProblemKind(HTTPStatus.UNAUTHORIZED, "admin-key", "The admin key is missing or wrong"),
    UploadTooLargeError: ProblemKind(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "upload-too-large", "The upload is too large"
    ),
    UploadTooSlowError: ProblemKind(HTTPStatus.REQUEST_TIMEOUT, "upload-too-slow", "The upload takes too long"),
    VideoTooCostlyError: ProblemKind(HTTPStatus.UNPROCESSABLE_ENTITY, "video-too-costly", VIDEO),
    VideoUndecodableError: ProblemKind(HTTPStatus.UNPROCESSABLE_ENTITY, "video-unusable", VIDEO),
    OverloadedError: ProblemKind(HTTPStatus.TOO_MANY_REQUESTS, "overloaded", "The service has too much to do"),
    TooManyFailuresError: ProblemKind(
        HTTPStatus.TOO_MANY_REQUESTS, "too-many-failures", "There were too many failures"
    ),
    StoppedError: ProblemKind(HTTPStatus.SERVICE_UNAVAILABLE, "stopped", "The service is shutting down"),
    QueryUnknownError: ProblemKind(HTTPStatus.NOT_FOUND, "query-unknown", "There is no such query"),
    VectorError: ProblemKind(HTTPStatus.UNPROCESSABLE_ENTITY, "vector-unusable", "The vector can't be looked up"),
    VideoMissingError: ProblemKind(HTTPStatus.NOT_FOUND, "video-missing", "The dictionary video is not there"),
    DictionaryEmptyError: ProblemKind(HTTPStatus.SERVICE_UNAVAILABLE, "dictionary-empty", NOT_SEARCHABLE),
    NotReadyError: ProblemKind(HTTPStatus.SERVICE_UNAVAILABLE, "not-ready", "The service is not ready"),
    ClusterError: INTERNAL,
    ServiceAwayError: INTERNAL,
    WorkLostError: INTERNAL,
    CoordinationError: ProblemKind(HTTPStatus.SERVICE_UNAVAILABLE, "board-unusable", "Jobs can't be written down"),
    SourceError: ProblemKind(HTTPStatus.CONFLICT, "source-unusable", "The dictionary folder can't be used"),
    SourceUnsetError: ProblemKind(HTTPStatus.CONFLICT, "source-unset", "No dictionary folder is set"),
    NothingUsableError: ProblemKind(HTTPStatus.CONFLICT, "nothing-usable", "No dictionary video could be used"),
    JobError: INTERNAL,
    JobRunningError: ProblemKind(HTTPStatus.CONFLICT, "job-running", "A job is running already"),
    JobUnknownError: ProblemKind(HTTPStatus.NOT_FOUND, "job-unknown", "There is no such job"),
    JobCancelledError: INTERNAL,
    model_errors.ModelError: INTERNAL,
    model_errors.VideoError: ProblemKind(HTTPStatus.UNPROCESSABLE_ENTITY, "video-unusable", VIDEO),
    model_errors.NotAVideoError: ProblemKind(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "not-a-video", VIDEO),
    model_errors.VideoTooLargeError: ProblemKind(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "video-too-large", VIDEO),
    model_errors.VideoTooLongError: ProblemKind(HTTPStatus.UNPROCESSABLE_ENTITY, "video-too-long", VIDEO),
    model_errors.VideoTooShortError: ProblemKind(HTTPStatus.UNPROCESSABLE_ENTITY, "video-too-short", VIDEO),
    model_errors.VideoBrokenError: ProblemKind(HTTPStatus.UNPROCESSABLE_ENTITY, "video-broken", VIDEO),
    model_errors.NoSignerError: ProblemKind(HTTPStatus.UNPROCESSABLE_ENTITY, "video-unusable", VIDEO),
    model_errors.TimeRangeError: ProblemKind(
        HTTPStatus.UNPROCESSABLE_ENTITY, "empty-stretch", "The stretch holds nothing"
    ),
    model_errors.EncoderFileError: INTERNAL,
    model_errors.EstimatorError: INTERNAL,
    model_errors.EncoderContractError: INTERNAL,
    model_errors.ProviderError: INTERNAL,
    model_errors.EncoderOutputError: INTERNAL,
    model_errors.CheckpointError: INTERNAL,
    model_errors.ExportError: INTERNAL,
    model_errors.FetchError: INTERNAL,
    dictionary_errors.DictionaryError: INTERNAL,
    dictionary_errors.VectorsError: INTERNAL,
    dictionary_errors.EncoderMismatchError: ProblemKind(
        HTTPStatus.SERVICE_UNAVAILABLE, "other-encoder", NOT_SEARCHABLE
    ),
    dictionary_errors.IndexDeviceError: INTERNAL,
    dictionary_errors.IndexServerError: INTERNAL,
    dictionary_errors.IndexAddressError: INTERNAL,
    dictionary_errors.IndexAwayError: ProblemKind(
        HTTPStatus.SERVICE_UNAVAILABLE, "index-away", "The index can't be searched just now"
    ),
    dictionary_errors.IndexRefusedError: ProblemKind(HTTPStatus.SERVICE_UNAVAILABLE, "index-refused", NOT_SEARCHABLE),
    dictionary_errors.SignUnknownError: ProblemKind(HTTPStatus.NOT_FOUND, "sign-unknown", "There is no such sign"),
    dictionary_errors.EntryUnknownError: ProblemKind(HTTPStatus.NOT_FOUND, "entry-unknown", "There is no such entry"),
    dictionary_errors.SelfCheckError: INTERNAL,
    dictionary_errors.SnapshotError: INTERNAL,
    dictionary_errors.SnapshotMissingError: ProblemKind(
        HTTPStatus.NOT_FOUND, "snapshot-missing", "There is no such snapshot"
    ),
    dictionary_errors.SnapshotDamagedError: ProblemKind(
        HTTPStatus.SERVICE_UNAVAILABLE, "snapshot-damaged", NOT_SEARCHABLE
    ),
    dictionary_errors.SnapshotWriteError: INTERNAL,
}

EXPECTED_ERRORS = (ServiceError, model_errors.ModelError, dictionary_errors.DictionaryError)
"""The roots of the three trees: what is raised on purpose, with a message for whoever caused it."""
