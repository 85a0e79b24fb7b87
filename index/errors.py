"""What can go wrong between vectors and the dictionary that is searched.

    DictionaryError
    ├── VectorsError                vectors or queries of another shape, not finite, or not of unit length
    ├── EncoderMismatchError        a vector of one encoder for a dictionary of another
    ├── IndexDeviceError            an index on a GPU was asked for and can't be had
    ├── IndexServerError            an index on a server was asked for
    │   ├── IndexAddressError       the address is none that a server can be asked at
    │   ├── IndexAwayError          the server does not answer, or is not ready; trying again may help
    │   └── IndexRefusedError       there is something else than expected; trying again does not help
    ├── SignUnknownError            no sign has this id
    ├── EntryUnknownError           no entry has this id
    ├── SelfCheckError              an index that does not find its own vectors; it is not published
    └── SnapshotError               what lies on disk
        ├── SnapshotMissingError    nothing was published yet, or no snapshot has this id
        ├── SnapshotDamagedError    vectors, entries or manifest are not what was published
        └── SnapshotWriteError      a new snapshot could not be written; the published one stays

A message says what was seen, what is allowed and what to do. None of them knows of HTTP.
"""


class DictionaryError(Exception):
    """Base of everything this package raises on purpose."""


class VectorsError(DictionaryError):
    """Vectors that can't be indexed or searched."""


class EncoderMismatchError(DictionaryError):
    """Vectors of different encoders never mix."""


class IndexDeviceError(DictionaryError):
    """The device that the index was asked to live on can't be had."""


class IndexServerError(DictionaryError):
    """The server that the index was asked to live on can't be used."""


class IndexAddressError(IndexServerError, ValueError):
    """No address of a server."""


class IndexAwayError(IndexServerError):
    """The server can't be asked just now."""

    retry_after_s = 2
    """When to try again: by then somebody has looked whether it is back."""


class IndexRefusedError(IndexServerError):
    """What was found on the server is not what was expected."""


class SignUnknownError(DictionaryError):
    """There is no such sign."""


class EntryUnknownError(DictionaryError):
    """There is no such entry."""


class SelfCheckError(DictionaryError):
    """Vectors do not find themselves."""


class SnapshotError(DictionaryError):
    """A snapshot that can't be used."""


class SnapshotMissingError(SnapshotError):
    """There is no such snapshot."""


class SnapshotDamagedError(SnapshotError):
    """The truth on disk (vectors, entries, manifest) is not what was published."""


class SnapshotWriteError(SnapshotError):
    """The new snapshot could not be written."""
