"""The compiled kernels: which there are, and how arrays are handed to them."""

from __future__ import annotations

import ctypes
import math
import warnings
import zlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import cpu_fallback.kernels
from cpu_fallback.compiled import instructions

__all__ = [
    "addresses",
    "aligned",
    "function",
    "instructions_in_use",
    "kernels",
    "plain_function",
    "vector_bytes",
]

LIBRARY = "librows.so"
BY_HAND = 0
PARAMETERS = {
    "clear_changes": (1, 4),
    "find": (3, 3),
    "gather": (3, 4),
    "halve": (4, 12),
    "update_bounds": (4, 19),
    "inner_products": (5, 3),
    "iterate_dense": (6, 15),
    "measure_dense": (3, 4),
    "move": (4, 9),
    "multiply": (3, 6),
    "nearest": (4, 18),
    "nearest_dense": (6, 11),
    "nearest_dense_rows": (9, 8),
    "nearest_rows": (8, 12),
    "part": (2, 11),
    "product_rows": (4, 5),
    "shift": (3, 6),
    "spread": (2, 3),
    "spread_changes": (2, 6),
    "square": (2, 3),
    "sum_changes": (3, 13),
    "sum_dense": (5, 4),
    "sum_features": (2, 11),
    "turn": (4, 6),
}
"""Number of integers, then of pointers, of each function that exists for every kind of number and
width of vectors."""
PLAIN_PARAMETERS = {
    "count_features": (4, 3),
    "count_rare": (2, 4),
    "find_words": (3, 5),
    "free_words": (0, 1),
    "join_words": (1, 2),
    "mark_blocks": (1, 2),
    "set_columns": (1, 3),
    "weigh_rows": (2, 5),
    "write_rows": (1, 5),
}
"""Number of integers, then of pointers, of each function that exists once."""
LINE_BYTES = 64
NARROW_BYTES = (16, 32)


@cache
def kernels() -> ctypes.CDLL | None:
    """The kernels; None where there was no compiler, or another machine's built them.

    A library of other sources than those beside it is not taken: its functions may want other
    arguments.

    Raises
    ------
    InvalidParam
        ``GPU_KMEANS_INSTRUCTIONS`` asks for what there is not.
    """
    if instructions.requested() == instructions.NONE:
        return None
    folder = Path(cpu_fallback.kernels.__file__).parent
    try:
        library = ctypes.CDLL(str(folder / LIBRARY))
    except OSError:
        return None
    checksum = 0
    for source in sorted(folder.glob("*.[ch]")):
        checksum = zlib.crc32(source.read_bytes(), checksum)
    made_of = library.sources if hasattr(library, "sources") else None
    if made_of is not None:
        made_of.restype = ctypes.c_uint32
    if made_of is None or made_of() not in (BY_HAND, checksum):
        warnings.warn(
            "the compiled kernels are older than their sources and left out, which is slower: "
            "install the package again",
            RuntimeWarning,
            stacklevel=2,
        )
        return None
    instructions.vector_bytes(library.widest_vectors())
    return library


def instructions_in_use() -> str:
    """Name of the instructions that the kernels use; ``"none"`` where there are no kernels."""
    return instructions.NONE if kernels() is None else instructions.widest_name(_widest())


@cache
def _widest() -> int:
    made = kernels()
    return LINE_BYTES if made is None else instructions.vector_bytes(int(made.widest_vectors()))


def vector_bytes(k: int, dtype: Any) -> int:
    """Return the size of the vectors for k numbers: the machine's widest, or half as wide."""
    room = k * np.dtype(dtype).itemsize
    return min(_widest(), next((width for width in NARROW_BYTES if room <= width), LINE_BYTES))


@cache
def function(name: str, k: int, dtype: np.dtype[Any]) -> Any:
    """A kernel for k clusters; takes integers, and :func:`addresses` or None for pointers."""
    return _declared(f"{name}_{dtype.name}_{vector_bytes(k, dtype)}", *PARAMETERS[name])


@cache
def plain_function(name: str) -> Any:
    """A kernel that there is one of, for numbers of one kind; takes the same."""
    return _declared(name, *PLAIN_PARAMETERS[name])


def _declared(name: str, integers: int, pointers: int) -> Any:
    kernel = getattr(kernels(), name)
    kernel.argtypes = [ctypes.c_int64] * integers + [ctypes.c_void_p] * pointers
    kernel.restype = None
    return kernel


def addresses(arrays: Iterable[NDArray[Any] | None], start: int = 0) -> list[int | None]:
    """Address of row ``start`` of each array, valid as long as the arrays live."""
    return [
        # `.ctypes` takes longer.
        None if array is None else array.__array_interface__["data"][0] + start * array.strides[0]
        for array in arrays
    ]


def aligned(make: Any, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """``np.zeros`` or ``np.empty`` of a shape, beginning where vectors may."""
    size, itemsize = math.prod(shape), np.dtype(dtype).itemsize
    room: NDArray[Any] = make(size + LINE_BYTES // itemsize, dtype)
    first = -room.__array_interface__["data"][0] % LINE_BYTES // itemsize
    return room[first : first + size].reshape(shape)
