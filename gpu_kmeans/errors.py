"""Every error this package raises on purpose, in one tree.

::

    GpuKMeansError
    ├── InputError                  an input that cannot be used (also a ValueError)
    │   ├── EmptyDataset            no rows: zero bytes, or a header alone
    │   ├── MissingColumn           a named column is not in the table
    │   ├── InvalidHeader           a blank or repeated column name
    │   ├── CsvMalformed            a row that does not fit the header, an open quote, NUL
    │   ├── MalformedJson           a row of JSON lines that is no JSON object
    │   ├── InvalidEncoding         not UTF-8, nor the encoding that was named
    │   ├── UncertainFormat         a delimiter or sheet that looking does not tell
    │   ├── UnsupportedFileType     compressed, a spreadsheet, or an unknown suffix
    │   ├── FileProblem             missing, a directory, unreadable, unwritable, in the way
    │   ├── DuplicateId             one id on two rows
    │   ├── InvalidJsonCell         a list column's cell that is not a JSON list of names
    │   ├── NotNumeric              text where a number is expected (also a TypeError)
    │   ├── NonFinite               NaN or infinity
    │   ├── OutOfRange              a number that float32 cannot hold
    │   ├── InvalidParam            an argument outside its domain
    │   ├── FeatureMismatch         rows of another width than the fitted ones
    │   ├── EmptyVocabulary         no usable text at all
    │   ├── InvalidQuery            a query or limit outside the stated bounds
    │   └── UnknownItem             an id or a cluster that the model does not have
    ├── NotFitted                   used before ``fit`` (also ValueError and AttributeError)
    ├── BackendError
    │   ├── BackendUnavailable      the asked-for backend cannot run here, and the step that fails
    │   ├── UnsupportedOnBackend    the backend lacks this verb, and the way out
    │   ├── OutOfDeviceMemory       not even the smallest block fits
    │   └── WorkersLost             a cluster's workers are gone, and their rows with them
    ├── ModelError
    │   ├── ModelCorrupt            a model directory that is not what was saved
    │   └── UnsupportedSchema       a model directory of a newer schema
    ├── FetchFailed                 a download that did not succeed
    └── Cancelled                   stopped by the caller

``code`` is stable and meant for programs; ``status`` is the HTTP status that a
service answers with; ``exit_code`` is what the command line returns.
"""

from __future__ import annotations

from reprlib import Repr
from typing import Any, ClassVar

__all__ = [
    "BackendError",
    "BackendUnavailable",
    "Cancelled",
    "CsvMalformed",
    "DuplicateId",
    "EmptyDataset",
    "EmptyVocabulary",
    "FeatureMismatch",
    "FetchFailed",
    "FileProblem",
    "GpuKMeansError",
    "InputError",
    "InvalidEncoding",
    "InvalidHeader",
    "InvalidJsonCell",
    "InvalidParam",
    "InvalidQuery",
    "MalformedJson",
    "MissingColumn",
    "ModelCorrupt",
    "ModelError",
    "NonFinite",
    "NotFitted",
    "NotNumeric",
    "OutOfDeviceMemory",
    "OutOfRange",
    "UncertainFormat",
    "UnknownItem",
    "UnsupportedFileType",
    "UnsupportedOnBackend",
    "UnsupportedSchema",
    "WorkersLost",
    "shown",
]


class GpuKMeansError(Exception):
    """Base of all errors of this package."""

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 1


class InputError(GpuKMeansError, ValueError):
    """An input cannot be used; the message says which, where and the way out."""

    code = "invalid_input"
    status = 422
    exit_code = 2


class EmptyDataset(InputError):
    """The table has no rows."""

    code = "empty_dataset"


class MissingColumn(InputError):
    """A named column is not in the table."""

    code = "missing_column"


class InvalidHeader(InputError):
    """A column name is blank or stands twice."""

    code = "invalid_header"


class CsvMalformed(InputError):
    """The file is not well-formed CSV."""

    code = "csv_malformed"
    status = 400


class MalformedJson(InputError):
    """A row of a file of JSON lines is no JSON object."""

    code = "json_malformed"
    status = 400


class UncertainFormat(InputError):
    """Looking at a file does not tell how to read it; the message has the option that does."""

    code = "uncertain_format"


class InvalidEncoding(InputError):
    """The file is not UTF-8, nor in the encoding that was named."""

    code = "invalid_encoding"
    status = 400


class UnsupportedFileType(InputError):
    """The file's content is of a kind that is not read."""

    code = "unsupported_file_type"
    status = 415


class FileProblem(InputError):
    """A path is missing, a directory, unreadable, unwritable or already in use."""

    code = "file_problem"


class DuplicateId(InputError):
    """One id stands on two rows."""

    code = "duplicate_id"


class InvalidJsonCell(InputError):
    """A list column's cell is not a JSON list of names."""

    code = "invalid_json_cell"


class NotNumeric(InputError, TypeError):
    """Text stands where a number is expected."""

    code = "not_numeric"


class NonFinite(InputError):
    """A value is NaN or infinite."""

    code = "non_finite"


class OutOfRange(InputError):
    """A value is too large for float32."""

    code = "out_of_range"


class InvalidParam(InputError):
    """An argument is outside its domain."""

    code = "invalid_param"


class FeatureMismatch(InputError):
    """Rows have another number of features, or other names, than the fitted ones."""

    code = "feature_mismatch"


class EmptyVocabulary(InputError):
    """No text holds a usable term."""

    code = "empty_vocabulary"


class InvalidQuery(InputError):
    """A query or a limit is outside the stated bounds."""

    code = "invalid_query"


class UnknownItem(InputError):
    """An id or a cluster that the model does not have."""

    code = "unknown_item"
    status = 404


class _Unfitted(ValueError, AttributeError):
    """Python's own exceptions for a use before ``fit``.

    A class of its own, since Python lets no others stand beside built-in ones later on.
    """


class NotFitted(GpuKMeansError, _Unfitted):
    """The estimator was used before ``fit``.

    Also scikit-learn's ``NotFittedError`` where that is loaded; see :mod:`gpu_kmeans.estimator`.
    """

    code = "not_fitted"
    status = 409


class BackendError(GpuKMeansError):
    """A backend cannot do what was asked."""

    code = "backend_error"


class BackendUnavailable(BackendError):
    """The backend that was asked for cannot run here."""

    code = "backend_unavailable"
    status = 503
    exit_code = 2


class UnsupportedOnBackend(BackendError):
    """The backend lacks this operation."""

    code = "unsupported_on_backend"
    status = 501


class OutOfDeviceMemory(BackendError, MemoryError):
    """Not even the smallest block of work fits in the device's memory."""

    code = "out_of_device_memory"
    status = 507


class WorkersLost(BackendError):
    """Workers of a cluster are gone, and what they held could not be given to others."""

    code = "workers_lost"
    status = 503


class ModelError(GpuKMeansError):
    """A model directory cannot be used."""

    code = "model_error"
    status = 422
    exit_code = 2


class ModelCorrupt(ModelError):
    """A model directory is not what was saved."""

    code = "model_corrupt"


class UnsupportedSchema(ModelError):
    """A model directory was written with a newer schema."""

    code = "unsupported_schema"


class FetchFailed(GpuKMeansError):
    """A download did not succeed."""

    code = "fetch_failed"
    status = 502


class Cancelled(GpuKMeansError):
    """The work was stopped by its caller before it was done."""

    code = "cancelled"
    status = 409
    exit_code = 130


_SHOWN = 60
"""Number of characters of a value that a message shows."""

_repr = Repr()
_repr.maxstring = _repr.maxother = _repr.maxlong = _SHOWN


def shown(value: Any) -> str:
    """Return a short ``repr`` for a message, whatever the value is: huge, or without any."""
    try:
        text = " ".join(_repr.repr(value).split())  # on one line
    except Exception:  # a __repr__ that fails, or an integer of more digits than Python prints
        text = f"<{type(value).__name__}>"
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
