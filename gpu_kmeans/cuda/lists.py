"""JSON list columns, read where they lie; only the names leave the device.

``kernels/lists.cu`` walks every cell twice (to count names, then to say where they stand), and
a third kernel copies the names into one buffer. What it cannot read with certainty it leaves
to :func:`gpu_kmeans.data.json_lists.read_lists` on the host, which has the last word on every cell
that is refused.

A cell is walked by one thread, in time that its length bounds: the longest cell is the floor,
whatever the column holds. Not yet run on a GPU: the kernels' logic is tested on a CPU.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import cupy as cp
import numpy as np
import pyarrow as pa

from gpu_kmeans.backends.protocol import Frame, NamesRead
from gpu_kmeans.cuda import kernels
from gpu_kmeans.errors import OutOfDeviceMemory

__all__ = ["names_in_lists", "read_names"]

DeviceArray: TypeAlias = Any

UNREAD, EMPTY = 0, 3  # as in lists.cu
WARP, THREADS = 32, 64
MOST = 2**31 - 1  # names, or bytes of names, that an Arrow list of texts can hold


def names_in_lists(frame: Frame, column: str, job: str | None) -> NamesRead | None:
    """See :meth:`gpu_kmeans.backends.protocol.Backend.names_in_lists`; None for columns of other
    types.

    Raises
    ------
    OutOfDeviceMemory
        Beside the column there is no room for some 40 bytes a cell, 40 a name, and the names.
    """
    try:
        strings = _strings(frame[column])
        return None if strings is None else read_names(*strings, job)
    except MemoryError as error:  # CuPy's own, and the memory manager's std::bad_alloc
        raise OutOfDeviceMemory(
            f"the lists of column {column!r} cannot be read in the GPU's memory: close what else "
            "uses the device, leave out columns, or use backend='cpu'"
        ) from error


def read_names(
    chars: DeviceArray, offsets: DeviceArray, valid: DeviceArray, job: str | None
) -> NamesRead | None:
    """Read cells that lie one after another in a buffer, as Arrow and cuDF keep them.

    Parameters
    ----------
    chars : array of uint8
    offsets : array of int64, shape (n + 1,)
        Cell ``i`` is ``chars[offsets[i] : offsets[i + 1]]``, of any bytes.
    valid : array of uint8, shape (n,)
        0 where the cell is null.
    job : str or None
        See :meth:`gpu_kmeans.backends.protocol.Backend.names_in_lists`.

    Returns
    -------
    NamesRead, or None where there are more than 2^31 - 1 names or bytes of names.
    """
    source = kernels.load("lists.cu")
    cells = len(valid)
    wanted = cp.asarray(np.frombuffer((job or "").encode(), np.uint8))
    wanted_length = np.int32(-1 if job is None else len(wanted))
    grid = (-(-cells * WARP // THREADS),)

    states = cp.empty(cells, np.uint8)
    counts = cp.empty(cells, np.int64)
    source["count_names"](
        grid,
        (THREADS,),
        (chars, offsets, valid, np.int32(cells), wanted, wanted_length, states, counts),
    )
    firsts = _offsets(counts)
    total = int(firsts[-1])
    if total > MOST:
        return None
    starts, ends, lengths = (cp.empty(total, np.int64) for _ in range(3))
    places = cp.zeros(1, np.int64)
    if total:
        spans = (firsts, starts, ends, lengths)
        source["find_names"](
            grid,
            (THREADS,),
            (chars, offsets, np.int32(cells), wanted, wanted_length, states, *spans),
        )
        places = _offsets(lengths)
    size = int(places[-1])
    if size > MOST:
        return None
    names = cp.empty(size, np.uint8)
    if size:
        source["gather_names"](
            (-(-total // THREADS),),
            (THREADS,),
            (chars, starts, ends, places, np.int32(total), names),
        )
    return NamesRead(
        _lists(cp.asnumpy(firsts), cp.asnumpy(places), cp.asnumpy(names)),
        unread=cp.asnumpy(states == UNREAD),
        empty=int((states == EMPTY).sum()),
    )


def _offsets(sizes: DeviceArray) -> DeviceArray:
    """Offsets of neighbouring runs of these sizes: where each begins, and the last one ends."""
    offsets = cp.zeros(len(sizes) + 1, np.int64)
    offsets[1:] = cp.cumsum(sizes)
    return offsets


def _lists(firsts: Any, places: Any, chars: Any) -> pa.ListArray:
    """Arrow's list<string> over host buffers; int32 offsets, as cuDF and the catalogue have."""
    texts = pa.StringArray.from_buffers(
        len(places) - 1, pa.py_buffer(places.astype(np.int32)), pa.py_buffer(chars)
    )
    return pa.ListArray.from_arrays(pa.array(firsts.astype(np.int32)), texts)


def _strings(series: Any) -> tuple[DeviceArray, DeviceArray, DeviceArray] | None:
    """Bytes, offsets and validity of a cuDF text column, without a copy of the bytes.

    A pylibcudf column of texts keeps the bytes as its own data and the offsets (int32, or int64
    from 2 GB on) as its child; a slice shares both, and the mask, and begins at ``offset()``.
    None for a column of another type, and for one without rows.
    """
    import pylibcudf as plc

    column, _ = series.to_pylibcudf()
    size, first = column.size(), column.offset()
    if column.type().id() != plc.TypeId.STRING or size == 0:
        return None
    child = column.child(0)
    kind = np.int64 if child.type().id() == plc.TypeId.INT64 else np.int32
    begin = child.offset() + first
    offsets = _view(child.data(), kind)[begin : begin + size + 1].astype(np.int64)
    mask = column.null_mask()
    if mask is None:
        valid = cp.ones(size, np.uint8)
    else:  # one bit a row, lowest first
        bits = _view(mask, np.uint8)[first // 8 : -(-(first + size) // 8)]
        valid = cp.unpackbits(bits, bitorder="little")[first % 8 :][:size]
    return _view(column.data(), np.uint8), offsets, valid


def _view(span: Any, kind: type[np.generic]) -> DeviceArray:
    """The memory of a pylibcudf span as an array; the array keeps the span alive."""
    if span is None or span.size == 0:
        return cp.empty(0, kind)
    memory = cp.cuda.UnownedMemory(span.ptr, span.size, span)
    count = span.size // np.dtype(kind).itemsize
    return cp.ndarray((count,), kind, cp.cuda.MemoryPointer(memory, 0))
