"""Arrays of NumPy (``.npy``, ``.npz``) and sparse matrices of SciPy (``.npz``), without pickle.

Headers are read before any value: dtype, shape and length are held to what is accepted and to
what the file can hold, so that no claim of a header is believed with memory.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from math import prod
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.errors import InputError, UncertainFormat, UnsupportedFileType
from gpu_kmeans.tables.matrix_file import (
    PACKED,
    MatrixFile,
    check_dtype,
    check_shape,
    damaged,
    for_scipy,
    make_matrix,
)

__all__ = ["NPY", "ZIP", "npy_members", "read_npy", "read_npz"]

NPY = b"\x93NUMPY"
"""First bytes of a ``.npy`` file."""
ZIP = b"PK\x03\x04", b"PK\x05\x06"
"""First bytes of a zip archive, which ``.npz`` is."""
_ARRAY, _ARCHIVE = "NumPy array (.npy)", "archive of NumPy arrays (.npz)"
_PARTS = {
    "csr": ("data", "indices", "indptr"),
    "csc": ("data", "indices", "indptr"),
    "bsr": ("data", "indices", "indptr"),
    "coo": ("data", "row", "col"),
    "dia": ("data", "offsets"),
}
"""Arrays that make up a sparse matrix, beside ``format`` and ``shape``, by its format."""
_DIMENSIONS = {"bsr": 3, "dia": 2}
"""Number of dimensions of ``data`` where it is not 1."""


@dataclass(frozen=True, slots=True)
class _Header:
    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]

    @property
    def n_bytes(self) -> int:
        return prod(self.shape) * self.dtype.itemsize


def read_npy(file: BufferedReader, name: str) -> MatrixFile:
    """Read the one array of a ``.npy`` file.

    Parameters
    ----------
    file : BufferedReader
        At its beginning.
    name : str
        What messages call the file.

    Raises
    ------
    InputError
        See :func:`~gpu_kmeans.tables.matrix_file.make_matrix`.
    FileProblem
        The file is damaged, or longer or shorter than its header says.
    """
    with _whole(name, _ARRAY):
        header = _read_header(file, name)
        check_dtype(header.dtype, name)
        check_shape(header.shape, name)
        start = file.tell()
        stored = file.seek(0, 2) - start
        if stored != header.n_bytes:
            raise damaged(
                name,
                _ARRAY,
                f"its header says {header.n_bytes:,} bytes of values, {stored:,} follow",
            )
        file.seek(start)
        values = _read_values(file, header, name)
    return make_matrix(values, name, "npy")


def npy_members(file: BufferedReader) -> list[str]:
    """Return the names of the arrays in an archive, at its beginning and left there."""
    try:
        with zipfile.ZipFile(file) as archive:
            return [name for name in archive.namelist() if name.endswith(".npy")]
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, EOFError):
        return []
    finally:
        file.seek(0)


def read_npz(file: BufferedReader, name: str) -> MatrixFile:
    """Read the sparse matrix of an archive that SciPy wrote, or its only 2-d array.

    Raises
    ------
    InputError
        See :func:`~gpu_kmeans.tables.matrix_file.make_matrix`.
    UncertainFormat
        Several arrays have two dimensions.
    FileProblem
        The archive is damaged.
    """
    with _whole(name, _ARCHIVE), zipfile.ZipFile(file) as archive:
        members = {
            info.filename.removesuffix(".npy"): info
            for info in archive.infolist()
            if info.filename.endswith(".npy")
        }
        if {"format", "shape", "data"} <= members.keys():
            values = _read_sparse(archive, members, name)
        else:
            values = _read_only_array(archive, members, name)
    return make_matrix(values, name, "npz")


def _read_only_array(
    archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], name: str
) -> NDArray[Any]:
    headers = {}
    for member, info in members.items():
        with archive.open(info) as content:
            headers[member] = _read_header(content, name)
    if not headers:
        raise UnsupportedFileType(f"{name} is an archive without arrays; save one with np.savez")
    wide = [member for member, header in headers.items() if len(header.shape) == 2]
    if len(wide) > 1:
        listed = ", ".join(repr(member[:40]) for member in wide[:10])
        raise UncertainFormat(
            f"{name} holds {len(wide)} arrays of two dimensions ({listed}); save the one whose "
            "rows are to be clustered in a file of its own"
        )
    member = wide[0] if wide else next(iter(headers))
    label = f"{name}, array {member[:60]!r}"
    check_dtype(headers[member].dtype, label)
    check_shape(headers[member].shape, label)
    return _member(archive, members[member], name)


def _read_sparse(archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], name: str) -> Any:
    """Build a sparse matrix of its arrays; what its indices point at is checked later."""
    from scipy import sparse

    format = _format(_member(archive, members["format"], name))
    if format not in _PARTS:
        raise UnsupportedFileType(
            f"{name} holds a sparse matrix of format {format[:20]!r}; save it as "
            "scipy.sparse.save_npz does of x.tocsr()"
        )
    missing = [part for part in _PARTS[format] if part not in members]
    if missing:
        raise damaged(name, _ARCHIVE, f"a {format} matrix without {', '.join(missing)}")
    shape = _member(archive, members["shape"], name)
    parts = [_member(archive, members[part], name) for part in _PARTS[format]]
    check_dtype(parts[0].dtype, name)
    for part, array in zip(("shape", *_PARTS[format][1:]), (shape, *parts[1:]), strict=True):
        if array.ndim != 1 or array.dtype.kind not in "iu":
            raise damaged(name, _ARCHIVE, f"{part} is no list of integers")
    if parts[0].ndim != _DIMENSIONS.get(format, 1):
        raise damaged(name, _ARCHIVE, f"data has {parts[0].ndim} dimensions")
    check_shape(shape.tolist(), name)
    size = int(shape[0]), int(shape[1])
    data, indices = for_scipy(parts[0]), parts[1:]
    if format == "coo":
        return sparse.coo_array((data, (indices[0], indices[1])), shape=size)
    if format == "dia":
        return sparse.dia_array((data, indices[0]), shape=size)
    made = {"csr": sparse.csr_array, "csc": sparse.csc_array, "bsr": sparse.bsr_array}[format]
    return made((data, indices[0], indices[1]), shape=size)


def _format(array: NDArray[Any]) -> str:
    """Return the name of a format: bytes, or a text in files of early versions of SciPy."""
    value = array.item() if array.ndim == 0 and array.dtype.kind in "SU" else ""
    return value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> NDArray[Any]:
    """Read an array of an archive, once its header agrees with the archive's directory."""
    with archive.open(info) as content:
        header = _read_header(content, name)
        if header.dtype.hasobject:
            check_dtype(header.dtype, name)
        start = content.tell()
        if start + header.n_bytes != info.file_size:
            raise damaged(
                name,
                _ARCHIVE,
                f"the header of {info.filename[:40]} says {header.n_bytes:,} bytes of values, "
                f"{info.file_size - start:,} are there",
            )
        if info.compress_type == zipfile.ZIP_DEFLATED:
            most = PACKED * (info.compress_size + 16)
        else:
            most = info.compress_size if info.compress_type == zipfile.ZIP_STORED else 1 << 63
        if info.file_size > most:
            raise damaged(name, _ARCHIVE, f"{info.filename[:40]} claims more than it can hold")
        values = _read_values(content, header, name)
        content.read(1)  # the end, where the checksum is looked at
        return values


def _read_header(file: IO[bytes], name: str) -> _Header:
    formats: Any = np.lib.format
    version = formats.read_magic(file)
    if version == (1, 0):
        shape, fortran, dtype = formats.read_array_header_1_0(file)
    elif version == (2, 0):
        shape, fortran, dtype = formats.read_array_header_2_0(file)
    else:  # 3.0 is for the names of structures
        raise damaged(name, _ARRAY, f"version {version[0]}.{version[1]} of its format is not read")
    if any(length < 0 for length in shape):
        raise damaged(name, _ARRAY, f"its shape is {shape}")
    return _Header(shape, fortran, dtype)


def _read_values(file: IO[bytes], header: _Header, name: str) -> NDArray[Any]:
    """Read the values that follow a header, which has been checked."""
    buffer = bytearray(header.n_bytes)
    view = memoryview(buffer)
    filled = 0
    while filled < len(buffer):
        size = file.readinto(view[filled : filled + (1 << 24)])  # type: ignore[attr-defined]
        if not size:
            raise damaged(name, _ARRAY, f"it ends after {filled:,} of {len(buffer):,} bytes")
        filled += size
    values = np.frombuffer(buffer, header.dtype) if buffer else np.empty(0, header.dtype)
    if header.fortran:
        return values.reshape(header.shape[::-1]).T
    return values.reshape(header.shape)


@contextmanager
def _whole(name: str, what: str) -> Iterator[None]:
    try:
        yield
    except (InputError, OSError, MemoryError):
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise damaged(name, what, error) from error
    # NumPy parses headers as Python, archives may be locked or packed in unknown ways: each
    # fails in its own way, and none of them is anything but a file that is not as it should be.
    except Exception as error:
        raise damaged(name, what, error) from error
