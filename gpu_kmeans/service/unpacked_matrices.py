"""Bytes of matrices as they will be once they are read, by what their files say and hold."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import suppress
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np

from gpu_kmeans.service.formats import GZIP, beginning
from gpu_kmeans.service.limits import (
    Gauge,
    TableLimits,
    allowance,
    check_cells,
    check_rows,
    check_shape,
    damaged,
)

__all__ = ["check_array", "check_h5ad", "check_mtx", "check_npy"]

LEAST_BYTES = 4
"""Bytes that a number takes once it is read, however narrow it was stored: those of float32."""
ENTRY_BYTES = 24
"""Bytes of an entry of a sparse matrix while it is read: row, column and value."""
LINE_BYTES = 1 << 10
"""Maximum number of bytes of a line of values; longer ones are refused by the reader."""
HEADER_BYTES = 1 << 20
"""Maximum number of bytes of the comments before the shape, likewise."""
FEW_ROWS = 256
"""Number of texts that are read at once to be counted."""
MOST_DEPTH = 4
"""Depth of groups within ``obs`` and ``var`` that is gone through: no reader goes deeper."""


# -- NumPy -------------------------------------------------------------------------------------


def check_npy(file: Path, limits: TableLimits) -> None:
    """Hold the array of a ``.npy`` file to the limits, by what its header says."""
    gauge = Gauge(file.name, limits, limits.max_table_bytes)
    with file.open("rb") as content:
        check_array(content, gauge)


def check_array(content: IO[bytes], gauge: Gauge) -> None:
    """Hold an array to the limits, of whose ``.npy`` file the beginning is at hand."""
    formats: Any = np.lib.format
    try:
        version = formats.read_magic(content)
        read = formats.read_array_header_1_0 if version == (1, 0) else formats.read_array_header_2_0
        shape, _, dtype = read(content)
    except Exception:  # NumPy parses headers as Python, and each fails in its own way
        return
    if len(shape) == 2:
        check_shape(gauge.name, shape, gauge.limits)
        row = shape[1] * max(LEAST_BYTES, dtype.itemsize)
        check_rows(gauge.name, np.array([row]), -1, gauge.limits)
    gauge.add(max(0, prod(shape)) * max(LEAST_BYTES, dtype.itemsize))


# -- Matrix Market -----------------------------------------------------------------------------


def check_mtx(file: Path, limits: TableLimits) -> None:
    """Hold a Matrix Market file to the limits; the bytes of a packed one were counted before."""
    gauge = Gauge(file.name, limits, limits.max_table_bytes)
    is_packed = beginning(file).startswith(GZIP)
    with (
        suppress(EOFError, zlib.error, gzip.BadGzipFile),
        gzip.open(file) if is_packed else file.open("rb") as content,
    ):
        line = banner = content.readline(LINE_BYTES)
        read = len(line)
        while line.startswith(b"%") or (line and not line.strip()):
            line = content.readline(HEADER_BYTES)
            read += len(line)
            if read > HEADER_BYTES:
                return
        words = line.split()
        if len(words) < 2 or not all(word.isdigit() and len(word) <= 18 for word in words):
            return
        n_rows, n_columns, *entries = map(int, words)
        check_shape(file.name, (n_rows, n_columns), limits)
        if not entries:  # all values are listed
            gauge.add(8 * n_rows * n_columns)
        twice = 1 if b"general" in banner.lower() else 2
        while part := content.read(1 << 20):
            gauge.add(twice * ENTRY_BYTES * part.count(b"\n"))


# -- AnnData -----------------------------------------------------------------------------------


def check_h5ad(file: Path, limits: TableLimits) -> None:
    """Hold what is read of an AnnData file to the limits: ``X``, ``obs`` and ``var``.

    Without the library that reads HDF5 nothing is checked, as nothing can be read then.
    """
    try:
        import h5py
    except ImportError:
        return
    most = allowance(file, limits.max_table_bytes, limits.max_expansion)
    gauge = Gauge(file.name, limits, most)
    try:
        with h5py.File(file, "r") as content:
            for member in ("X", "obs", "var"):
                for dataset in _datasets(content.get(member), h5py):
                    _check_dataset(dataset, gauge, h5py)
            _check_group_shape(content.get("X"), limits, file.name)
            for member in ("obs", "var"):
                _check_categories(content.get(member), gauge, h5py)
    except (OSError, KeyError, RuntimeError, TypeError, ValueError, AttributeError) as error:
        raise damaged(file.name, "AnnData file (.h5ad)", str(error)[:200]) from None


def _datasets(node: Any, h5py: Any, depth: int = 0) -> Iterator[Any]:
    """Give out all datasets of a node; what is in other files is refused by the reader."""
    if isinstance(node, h5py.Dataset):
        yield node
    elif isinstance(node, h5py.Group) and depth < MOST_DEPTH:
        for name in node:
            if not isinstance(node.get(name, getlink=True), h5py.ExternalLink):
                yield from _datasets(node.get(name), h5py, depth + 1)


def _check_dataset(dataset: Any, gauge: Gauge, h5py: Any) -> None:
    if dataset.shape is None:
        return
    if dataset.is_virtual or dataset.external:
        raise ValueError("it refers to other files")
    if len(dataset.shape) == 2:
        check_shape(gauge.name, dataset.shape, gauge.limits)
    size = prod(dataset.shape)
    texts = h5py.check_string_dtype(dataset.dtype)
    if texts is None or texts.length is not None:
        gauge.add(size * max(LEAST_BYTES, dataset.dtype.itemsize))
        return
    if len(dataset.shape) > 1:
        return
    gauge.add(0, size)
    for start in range(0, size, FEW_ROWS):
        cells = [len(cell) for cell in dataset[start : start + FEW_ROWS]] if dataset.shape else []
        check_cells(gauge.name, dataset.name, np.array(cells, np.int64), start - 1, gauge.limits)
        gauge.add(sum(cells))


def _check_group_shape(node: Any, limits: TableLimits, name: str) -> None:
    """Check the shape that a sparse matrix states beside its arrays."""
    shape = getattr(node, "attrs", {}).get("shape")
    if shape is not None and np.size(shape) == 2:
        check_shape(name, [int(side) for side in shape], limits)


def _check_categories(node: Any, gauge: Gauge, h5py: Any) -> None:
    """Count the texts that codes stand for: a long one is kept once, and made on every row."""
    for name in node if isinstance(node, h5py.Group) else ():
        column = node.get(name)
        if not isinstance(column, h5py.Group) or not {"codes", "categories"} <= set(column):
            continue
        categories = column["categories"]
        if h5py.check_string_dtype(categories.dtype) is None:
            continue
        lengths = [len(cell) for cell in categories[:]]
        counts = np.bincount(np.clip(column["codes"][:], 0, None), minlength=len(lengths))
        gauge.add(int(counts[: len(lengths)] @ np.array(lengths, np.int64)), int(counts.sum()))
