"""Files that hold a matrix of numbers, whose rows are samples: which there are, and reading them.

A format is told by content and not by name, as that of a table is.
"""

from __future__ import annotations

import gzip
import zlib
from contextlib import suppress
from io import BufferedReader
from pathlib import Path

from gpu_kmeans.errors import FileProblem, UnsupportedFileType
from gpu_kmeans.tables.files import opened
from gpu_kmeans.tables.h5ad import HDF5, read_h5ad
from gpu_kmeans.tables.matrix_file import MatrixFile
from gpu_kmeans.tables.matrix_market import BANNER, read_mtx
from gpu_kmeans.tables.numpy_files import NPY, ZIP, npy_members, read_npy, read_npz
from gpu_kmeans.tables.tenx import MATRIX, is_10x, matrix_in, read_10x
from gpu_kmeans.tables.unpacking import GZIP

__all__ = ["MatrixFile", "is_matrix", "read_matrix"]

_READ = "a .npy, .npz, .mtx or .h5ad file, or a folder with matrix.mtx"


def is_matrix(path: Path) -> bool:
    """Tell by its first bytes whether a file, or a folder, is one that holds a matrix.

    False for what is missing, cannot be read, or is no regular file.
    """
    with suppress(FileProblem, OSError):
        if path.is_dir():
            return any((path / name).is_file() for name in MATRIX)
        if path.is_file():
            with opened(path) as file:
                return bool(_format(file))
    return False


def read_matrix(path: Path) -> MatrixFile:
    """Read a matrix and the names that come with it.

    Parameters
    ----------
    path : Path
        ``.npy`` or ``.npz`` of NumPy (one 2-d array), ``.npz`` of SciPy, Matrix Market (also as
        gzip), ``.h5ad`` of AnnData, or a folder of 10x Genomics or the ``matrix.mtx`` in it.
        Rows are samples, except those of 10x Genomics, which is transposed.

    Returns
    -------
    MatrixFile
        Sparse matrices are CSR, and never made dense.

    Raises
    ------
    UnsupportedFileType
        The file is of another kind, or what reads it is not installed.
    FileProblem
        The file cannot be read, or is damaged.
    InputError
        Not two dimensions, no real numbers (``NotNumeric``), nothing in it (``EmptyDataset``), a
        value that is not finite (``NonFinite``), or several arrays (``UncertainFormat``).
    """
    if path.is_dir():
        matrix = matrix_in(path)
        if matrix is None:
            raise FileProblem(f"{path} is a folder without a matrix.mtx; give {_READ}")
        return read_10x(matrix)
    with opened(path) as file:
        format = _format(file)
        if format == "npy":
            return read_npy(file, path.name)
        if format == "npz":
            return read_npz(file, path.name)
        if format == "h5ad":
            return read_h5ad(path, path.name)
    if format == "mtx":
        return read_10x(path) if is_10x(path) else read_mtx(path)
    raise UnsupportedFileType(f"{path.name} is no matrix; give {_READ}")


def _format(file: BufferedReader) -> str:
    """Return the format of a file, at its beginning and left there; empty for all others."""
    head = file.peek(16)[:16]
    if head.startswith(NPY):
        return "npy"
    if head.startswith(HDF5):
        return "h5ad"
    if head.startswith(ZIP):
        return "npz" if npy_members(file) else ""
    if head.startswith(GZIP):
        head = _unpacked_head(file)
    return "mtx" if head.startswith(BANNER) else ""


def _unpacked_head(file: BufferedReader) -> bytes:
    try:
        return gzip.GzipFile(fileobj=file, mode="rb").read(16)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        return b""
    finally:
        file.seek(0)
