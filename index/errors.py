"""What can go wrong between vectors and the dictionary that is searched.

    DictionaryError
    ├── VectorsError                vectors or queries of another shape, not finite, or not of unit length
    ├── EncoderMismatchError        a vector of one encoder for a dictionary of another
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


class SnapshotError(DictionaryError):
    """A snapshot that can't be used."""


class SnapshotMissingError(SnapshotError):
    """There is no such snapshot."""


class SnapshotDamagedError(SnapshotError):
    """The truth on disk (vectors, entries, manifest) is not what was published."""


class SnapshotWriteError(SnapshotError):
    """The new snapshot could not be written."""
