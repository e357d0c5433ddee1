"""Work in blocks that fit into the device's memory, and smaller ones where they did not.

CuPy, cuDF and cuML take their memory from one pool (RAPIDS Memory Manager), so what one of
them has given back the others can use.
"""

from __future__ import annotations

from collections.abc import Callable

import cupy as cp

from gpu_kmeans.cuda.error_translation import WAY_OUT
from gpu_kmeans.errors import OutOfDeviceMemory

__all__ = ["each_block", "fits", "share_pool"]

SMALL = 64 << 20
"""Maximum number of bytes that are taken without asking how many are free."""
SHARE = 4
"""Minimum number of blocks that would fill the free memory."""
HALVINGS = 3
"""Maximum number of times that blocks are halved over a whole range."""


def each_block(total: int, bytes_each: int, work: Callable[[int, int], None]) -> None:
    """Call ``work(start, stop)`` for neighbouring ranges that cover ``range(total)``.

    Parameters
    ----------
    bytes_each : int
        What one element of the range takes on the device while it is worked on.
    work : callable
        Must be repeatable: a block that runs out of memory is tried again in halves, three
        times at most over the whole range.

    Raises
    ------
    OutOfDeviceMemory
        The smallest block did not fit either.
    """
    size = _block(total, bytes_each)
    start = halvings = 0
    while start < total:
        try:
            work(start, min(start + size, total))
        except MemoryError as error:  # CuPy's own, and the memory manager's std::bad_alloc
            if halvings == HALVINGS or size == 1:
                raise OutOfDeviceMemory(
                    f"the GPU has no room for a block of {size * bytes_each / 2**20:,.0f} MiB: "
                    f"{WAY_OUT}"
                ) from error
            size, halvings = -(-size // 2), halvings + 1
        else:
            start += size


def fits(n_bytes: int) -> bool:
    """Whether so many bytes leave as much again for what else a fit needs."""
    return n_bytes <= SMALL or 2 * n_bytes <= _free()


def share_pool() -> None:
    """Let CuPy, cuDF and cuML allocate from one pool, unless the caller has chosen one.

    Importing cuDF or cuML makes CuPy allocate through the RAPIDS Memory Manager, whose default
    resource asks the driver every time: tens of microseconds and a synchronisation for each
    array.
    """
    import rmm
    from rmm.allocators.cupy import rmm_cupy_allocator

    current = rmm.mr.get_current_device_resource()
    if type(current) is rmm.mr.CudaMemoryResource:
        try:
            pool = rmm.mr.CudaAsyncMemoryResource()
        except RuntimeError:  # the driver has no pools of its own, as on some virtual GPUs
            pool = rmm.mr.PoolMemoryResource(current)
        rmm.mr.set_current_device_resource(pool)
    cp.cuda.set_allocator(rmm_cupy_allocator)


def _block(total: int, bytes_each: int) -> int:
    if total * bytes_each <= SMALL:
        return max(1, total)
    return max(1, min(total, max(SMALL, _free() // SHARE) // bytes_each))


def _free() -> int:
    """Free bytes, or a quarter of all: the pool keeps what it was given back, and shares it."""
    free, total = cp.cuda.runtime.memGetInfo()
    return int(max(free, total // 4))
