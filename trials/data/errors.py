"""The errors of a data set.

DataError                    the message names the file and says what is wrong
├── DataMissingError         its files are nowhere; also a FileNotFoundError
└── DataFileError            a file is not what it should be; also a ValueError
    └── IdxError             an IDX file
"""

from __future__ import annotations

__all__ = ["DataError", "DataFileError", "DataMissingError", "IdxError"]


class DataError(Exception):
    """A data set cannot be used."""


class DataMissingError(DataError, FileNotFoundError):
    """A data set's files are nowhere; the message names every place looked in and every way out."""


class DataFileError(DataError, ValueError):
    """A file of a data set is not what it should be; the message names it."""


class IdxError(DataFileError):
    """An IDX file is not what it should be; the message names the file."""
