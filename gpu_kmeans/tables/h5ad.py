"""AnnData files (``.h5ad``), read by the description that the format is published with.

h5py alone reads them, and of a file only ``X``, ``obs`` and the names in ``var``: the package
``anndata`` brings Zarr with it and, where Python is older than 3.12, an older pandas than is used
here. Links to other files, which HDF5 would follow to wherever they point, are refused.

The format: https://anndata.readthedocs.io/en/stable/fileformat-prose.html
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gpu_kmeans.errors import FileProblem, InputError, UnsupportedFileType
from gpu_kmeans.tables.cell_texts import as_texts
from gpu_kmeans.tables.matrix_file import (
    PACKED,
    MatrixFile,
    check_dtype,
    check_shape,
    damaged,
    for_scipy,
    make_matrix,
)

__all__ = ["HDF5", "read_h5ad"]

HDF5 = b"\x89HDF\r\n\x1a\n"
"""First bytes of an HDF5 file."""
SLACK = 1 << 16
"""Number of bytes that a dataset may have whatever is stored of it."""
_WHAT = "AnnData file (.h5ad)"


def read_h5ad(path: Path, name: str) -> MatrixFile:
    """Read ``X``, ``obs``, ``obs_names`` and ``var_names`` of an AnnData file.

    Parameters
    ----------
    name : str
        What messages call the file.

    Returns
    -------
    MatrixFile
        ``columns`` are those of ``obs``: numbers and truth values as they are, texts, categories as
        texts, null where missing. Columns of other kinds are left out.

    Raises
    ------
    UnsupportedFileType
        The library that reads HDF5 is not installed, or the file is another kind of HDF5.
    FileProblem
        The file is damaged, or refers to other files.
    InputError
        See :func:`~gpu_kmeans.tables.matrix_file.make_matrix`.
    """
    try:
        import h5py
    except ImportError as error:
        raise UnsupportedFileType(
            f"{name} is an HDF5 file, and what reads them is not installed: "
            'pip install ".[omics]", or save its matrix as .npz or .mtx'
        ) from error
    with _whole(name), h5py.File(path, "r") as file:
        return _Reader(h5py, name).read(file)


@contextmanager
def _whole(name: str) -> Iterator[None]:
    try:
        yield
    except (InputError, MemoryError):
        raise
    # HDF5 fails in its C library, whose errors h5py turns into whichever exception is nearest.
    except Exception as error:
        raise damaged(name, _WHAT, error) from error


class _Reader:
    """Reads members of an open file; nothing outside of it, and no more than it can hold."""

    def __init__(self, h5py: Any, name: str) -> None:
        self._h5py = h5py
        self._name = name

    def read(self, file: Any) -> MatrixFile:
        for member in ("X", "obs", "var"):
            if member not in file:
                raise UnsupportedFileType(
                    f"{self._name} is an HDF5 file without {member!r}, so no AnnData with a "
                    "matrix; save the matrix as .npz, .mtx or .h5ad"
                )
        values = self._matrix(self._member(file, "X"))
        n, width = values.shape
        obs, var = self._member(file, "obs"), self._member(file, "var")
        return make_matrix(
            values,
            f"{self._name}, X",
            "h5ad",
            row_names=self._index(obs, "obs", n),
            feature_names=self._index(var, "var", width),
            columns=self._table(obs, n),
        )

    # -- X ------------------------------------------------------------------------------------

    def _matrix(self, node: Any) -> Any:
        label = f"{self._name}, X"
        if isinstance(node, self._h5py.Dataset):
            if node.shape is None:
                raise UnsupportedFileType(f"{label} is empty: save a matrix in it")
            check_dtype(node.dtype, label)
            check_shape(node.shape, label)
            return self._values(node)
        from scipy import sparse

        kind = _text(node.attrs.get("encoding-type", node.attrs.get("h5sparse_format", "")))
        kind = kind.removesuffix("_matrix")
        if kind not in ("csr", "csc"):
            raise UnsupportedFileType(
                f"{label} is stored as {kind[:40]!r}, not dense, CSR or CSC; convert it first"
            )
        shape = np.asarray(node.attrs.get("shape", node.attrs.get("h5sparse_shape")))
        if shape.shape != (2,) or shape.dtype.kind not in "iu":
            raise self._damaged("X has no shape")
        data, indices, indptr = (self._list(node, part) for part in ("data", "indices", "indptr"))
        check_dtype(data.dtype, label)
        size = int(shape[0]), int(shape[1])
        check_shape(size, label)
        if indices.dtype.kind not in "iu" or indptr.dtype.kind not in "iu":
            raise self._damaged("the indices of X are no integers")
        made = sparse.csr_array if kind == "csr" else sparse.csc_array
        return made((for_scipy(data), indices, indptr), shape=size)

    # -- obs and var --------------------------------------------------------------------------

    def _index(self, frame: Any, member: str, n: int) -> list[str]:
        if not isinstance(frame, self._h5py.Group):
            raise UnsupportedFileType(
                f"{self._name} was written by AnnData before 0.7: read it with the package "
                "anndata and write it again"
            )
        name = _text(frame.attrs.get("_index", "_index"))
        names = self._column(self._member(frame, name), frame)
        if names is None or len(names) != n:
            raise self._damaged(
                f"{member} has {'no names' if names is None else f'{len(names):,} names'}, "
                f"X has {n:,} {'rows' if member == 'obs' else 'columns'}"
            )
        texts = as_texts(pa.chunked_array([names]))
        if texts is None or texts.null_count:
            raise self._damaged(f"names are missing in {member}")
        return list(texts.to_pylist())

    def _table(self, frame: Any, n: int) -> pa.Table:
        order = frame.attrs.get("column-order", ())
        columns = {}
        for name in map(_text, np.atleast_1d(np.asarray(order, dtype=object))):
            values = self._column(self._member(frame, name), frame)
            if values is None:
                continue
            if len(values) != n:
                raise self._damaged(f"{name[:60]!r} in obs has {len(values):,} of {n:,} cells")
            columns[name] = values
        return pa.table(columns)

    def _column(self, node: Any, frame: Any) -> pa.Array | None:
        """Return a column as Arrow has it; None for a kind that is no list of cells."""
        if isinstance(node, self._h5py.Dataset):
            if node.ndim != 1:
                return None
            if "categories" in node.attrs:  # as AnnData 0.7 has them
                categories = frame.file[node.attrs["categories"]]
                return self._categorical(categories, self._values(node), frame)
            return self._plain(self._values(node))
        kind = _text(node.attrs.get("encoding-type", ""))
        if kind == "categorical":
            codes = self._list(node, "codes")
            return self._categorical(self._member(node, "categories"), codes, frame)
        if kind in ("nullable-integer", "nullable-boolean", "nullable-string-array"):
            values = self._plain(self._list(node, "values"))
            mask = self._list(node, "mask").astype(bool)
            if values is None or len(mask) != len(values):
                raise self._damaged("a column of obs does not fit its mask")
            return pa.array(values.to_pylist(), values.type, mask=mask)
        return None

    def _categorical(self, categories: Any, codes: NDArray[Any], frame: Any) -> pa.Array | None:
        values = self._column(categories, frame)
        texts = None if values is None else as_texts(pa.chunked_array([values]))
        if texts is None:
            return None
        if codes.dtype.kind not in "iu" or (codes.size and codes.max() >= len(texts)):
            raise self._damaged("a column of obs has a category that is not in its list")
        return pa.array(texts.to_pylist(), pa.string()).take(pa.array(codes, mask=codes < 0))

    def _plain(self, values: NDArray[Any]) -> pa.Array | None:
        if values.dtype.kind in "biuf":
            native = values.astype(values.dtype.newbyteorder("="), copy=False)
            return pa.array(native) if native.dtype.itemsize <= 8 else None
        if values.dtype.kind not in "OS":
            return None
        return pa.array([_text(value) for value in values.tolist()], pa.string())

    # -- members ------------------------------------------------------------------------------

    def _list(self, group: Any, name: str) -> NDArray[Any]:
        node = self._member(group, name)
        if not isinstance(node, self._h5py.Dataset) or node.ndim != 1:
            raise self._damaged(f"{name} is no list of values")
        return self._values(node)

    def _values(self, dataset: Any) -> NDArray[Any]:
        """Read a dataset whose values lie in this very file, as many as it can hold."""
        if dataset.external or dataset.is_virtual:
            raise self._elsewhere(dataset.name)
        texts = self._h5py.check_string_dtype(dataset.dtype) is not None
        if dataset.dtype.hasobject and not texts:
            raise self._damaged(f"{dataset.name[:60]!r} holds neither numbers nor texts")
        claimed = prod(dataset.shape) * dataset.dtype.itemsize
        if claimed > PACKED * dataset.id.get_storage_size() + SLACK:
            raise self._damaged(f"{dataset.name[:60]!r} claims more values than it holds")
        return np.asarray(dataset[()])

    def _member(self, group: Any, name: str) -> Any:
        """Return a member, by a path within the group, that no link leads elsewhere for."""
        node = group
        for part in name.split("/"):
            if (
                not isinstance(node, self._h5py.Group)
                or part in ("", ".", "..")
                or (part not in node)
            ):
                raise self._damaged(f"{name[:60]!r} is missing in {group.name[:60]!r}")
            if not isinstance(node.get(part, getlink=True), self._h5py.HardLink):
                raise self._elsewhere(name)
            node = node[part]
        return node

    def _elsewhere(self, name: str) -> FileProblem:
        return FileProblem(
            f"{self._name}: {name[:60]!r} lies in another file or place; write a file that holds "
            "all of it, as AnnData.write_h5ad does"
        )

    def _damaged(self, reason: str) -> FileProblem:
        return damaged(self._name, _WHAT, reason)


def _text(value: Any) -> str:
    """Return a text of HDF5, whether it is stored as bytes or not.

    Raises
    ------
    UnicodeDecodeError
        It is not UTF-8.
    """
    return value.decode() if isinstance(value, bytes) else str(value)
