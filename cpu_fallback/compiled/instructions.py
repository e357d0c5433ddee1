"""The instructions that the compiled kernels use: the widest there are, or those of a variable.

The library holds its kernels for vectors of every width; see ``widest_vectors`` in
``kernels/rows.c`` for how a machine is asked which it has. ``GPU_KMEANS_INSTRUCTIONS`` takes fewer,
for tests and comparisons, and ``none`` leaves the library out. It is read when the first kernel is
used.

Words and weights are the same bits with all of them, and so are products of sparse rows by few
columns. Scores of rows against clusters may differ in their last bits between ``baseline``, which
rounds a product before it is added, and the others, which round once (FMA): rows with two
centroids at the same distance may then go to the other one.
"""

from __future__ import annotations

import os

from gpu_kmeans.errors import InvalidParam, shown

__all__ = ["AUTO", "NONE", "VARIABLE", "VECTOR_BYTES", "requested", "vector_bytes", "widest_name"]

VARIABLE = "GPU_KMEANS_INSTRUCTIONS"
AUTO, NONE = "auto", "none"
VECTOR_BYTES = {"baseline": 16, "avx2": 32, "avx512": 64}
"""Bytes of the vectors that each name stands for; ``baseline`` is SSE2 on x86-64, NEON on ARM."""


def requested() -> str:
    """Return what the environment asks for; ``auto`` where it asks for nothing.

    Raises
    ------
    InvalidParam
        The variable has another value than those that there are.
    """
    value = os.environ.get(VARIABLE) or AUTO
    names = (AUTO, *VECTOR_BYTES, NONE)
    if value not in names:
        raise InvalidParam(f"{VARIABLE} must be one of {', '.join(names)}, got {shown(value)}")
    return value


def vector_bytes(widest: int) -> int:
    """Return the bytes of the widest vectors to be used on a machine that has ``widest``.

    Raises
    ------
    InvalidParam
        The environment asks for instructions that the machine, or the library, does not have.
    """
    value = requested()
    if value in (AUTO, NONE):
        return widest
    if VECTOR_BYTES[value] > widest:
        usable = [name for name, size in VECTOR_BYTES.items() if size <= widest]
        raise InvalidParam(
            f"{VARIABLE} asks for {value}, and what can be used here is {', '.join(usable)}; "
            f"unset it, or set it to one of these or {NONE}"
        )
    return VECTOR_BYTES[value]


def widest_name(widest: int) -> str:
    """Return the name of vectors of so many bytes."""
    return next(name for name, size in VECTOR_BYTES.items() if size == widest)
