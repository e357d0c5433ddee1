"""A stand-in for CuPy that refuses what CuPy refuses, and counts what a device would be asked.

Arrays of the device are no arrays of NumPy: neither may be handed where the other is wanted,
nothing is converted but by ``asarray`` and ``get``, and kernels take the device's alone. What is
counted is what costs time beside the work itself:

launches  kernels, of this project's and of the library's: one for each operation on arrays
waits     values that come to the host, for which it waits until the device is done
uploads   arrays of the host that go to the device
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import scipy.sparse
from cuda_on_cpu import compiled
from numpy.lib.mixins import NDArrayOperatorsMixin

__all__ = ["Counts", "DeviceArray", "counting", "load", "on_host", "stand_ins"]

FREE = 1 << 30
"""Bytes of memory that the device says are free."""


@dataclass
class Counts:
    launches: int = 0
    waits: int = 0
    uploads: int = 0


counts = Counts()


@contextmanager
def counting() -> Iterator[Counts]:
    """Count what happens meanwhile."""
    before, during = replace(counts), Counts()
    yield during
    during.launches = counts.launches - before.launches
    during.waits = counts.waits - before.waits
    during.uploads = counts.uploads - before.uploads


def launch() -> None:
    counts.launches += 1


def refuse(value: Any) -> None:
    if isinstance(value, np.ndarray) and value.ndim:
        raise TypeError(f"an array of the host, {value.shape}, where one of the device is wanted")


def on_host(value: Any) -> Any:
    """What stands behind device arrays, however they are nested."""
    if isinstance(value, DeviceArray):
        return value.behind
    if isinstance(value, tuple | list):
        return type(value)(map(on_host, value))
    return value


def on_device(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(on_device, value))
    return DeviceArray(np.asarray(value))  # a number is an array without axes, as in CuPy


class DeviceArray(NDArrayOperatorsMixin):
    """An array of the device."""

    def __init__(self, behind: np.ndarray) -> None:
        self.behind = behind

    shape = property(lambda self: self.behind.shape)
    dtype = property(lambda self: self.behind.dtype)
    ndim = property(lambda self: self.behind.ndim)
    size = property(lambda self: self.behind.size)
    nbytes = property(lambda self: self.behind.nbytes)
    flags = property(lambda self: self.behind.flags)
    T = property(lambda self: DeviceArray(self.behind.T))

    def __array__(self, *arguments: Any, **named: Any) -> Any:
        raise TypeError("Implicit conversion to a NumPy array is not allowed: use get()")

    def __array_function__(self, function: Any, *arguments: Any) -> Any:
        raise TypeError(f"numpy.{function.__name__} on an array of the device")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **named: Any) -> Any:
        for value in inputs:
            refuse(value)
        launch()
        out = named.pop("out", None)
        if out is not None:
            named["out"] = on_host(out)
        result = getattr(ufunc, method)(*on_host(inputs), **named)
        return on_device(result) if out is None else out[0]

    def __len__(self) -> int:
        return len(self.behind)

    def __iter__(self) -> Any:
        raise TypeError("an array of the device is not iterated: each number would be waited for")

    def __getitem__(self, key: Any) -> DeviceArray:
        if _copies(key):
            launch()
        return on_device(self.behind[on_host(key)])

    def __setitem__(self, key: Any, value: Any) -> None:
        refuse(value)
        _copies(key)
        launch()
        self.behind[on_host(key)] = on_host(value)

    def get(self) -> np.ndarray:
        counts.waits += 1
        return self.behind.copy()

    def item(self) -> Any:
        return self.get().item()

    def _number(kind: Any) -> Callable[[DeviceArray], Any]:
        return lambda self: kind(self.item())

    __bool__, __int__, __float__, __index__ = map(_number, (bool, int, float, int))

    def astype(self, dtype: Any, copy: bool = True) -> DeviceArray:
        if copy or self.dtype != dtype:
            launch()
        return DeviceArray(self.behind.astype(dtype, copy=copy))

    def view(self, dtype: Any) -> DeviceArray:
        return DeviceArray(self.behind.view(dtype))

    def reshape(self, *shape: Any) -> DeviceArray:
        return DeviceArray(self.behind.reshape(*shape))

    def fill(self, value: Any) -> None:
        launch()
        self.behind.fill(value)


def _copies(key: Any) -> bool:
    """Whether an index is one by arrays; those of the host are brought to the device."""
    arrays = [k for k in (key if isinstance(key, tuple) else (key,)) if hasattr(k, "dtype")]
    counts.uploads += sum(isinstance(k, np.ndarray) for k in arrays)
    return bool(arrays)


def _method(name: str) -> Callable[..., Any]:
    def method(self: DeviceArray, *arguments: Any, **named: Any) -> Any:
        launch()
        return on_device(getattr(self.behind, name)(*on_host(arguments), **named))

    return method


for _name in ("sum", "max", "min", "argmin", "argmax", "argsort", "copy", "cumsum", "any", "all"):
    setattr(DeviceArray, _name, _method(_name))


def _function(function: Callable[..., Any]) -> Callable[..., Any]:
    def of_device(*arguments: Any, **named: Any) -> Any:
        for value in (*arguments, *named.values()):
            for part in value if isinstance(value, tuple | list) else (value,):
                refuse(part)
        launch()
        return on_device(function(*on_host(arguments), **named))

    return of_device


def _made(function: Callable[..., Any], launches: bool) -> Callable[..., DeviceArray]:
    def make(*arguments: Any, **named: Any) -> DeviceArray:
        if launches:
            launch()
        return DeviceArray(function(*arguments, **named))

    return make


def asarray(value: Any, dtype: Any = None) -> DeviceArray:
    if isinstance(value, DeviceArray):
        return value if dtype is None else value.astype(dtype, copy=False)
    counts.uploads += 1
    return DeviceArray(np.array(value, dtype))


def ascontiguousarray(value: Any, dtype: Any = None) -> DeviceArray:
    array = asarray(value, dtype)
    if not array.flags.c_contiguous:
        launch()
    return DeviceArray(np.ascontiguousarray(array.behind))


class Csr:
    """cupyx's CSR matrix, as far as it is used."""

    ndim = 2

    def __init__(self, rows: Any, shape: Any = None) -> None:
        if isinstance(rows, tuple):
            if not all(isinstance(part, DeviceArray) for part in rows):
                raise TypeError("the parts of a CSR matrix must be arrays of the device")
            self.behind = scipy.sparse.csr_matrix(on_host(rows), shape=shape)
        else:
            counts.uploads += 3
            self.behind = scipy.sparse.csr_matrix(rows)
        if self.behind.dtype not in (np.float32, np.float64):
            raise ValueError(f"cupyx has no CSR of {self.behind.dtype}")

    @classmethod
    def over(cls, behind: Any) -> Csr:
        new = object.__new__(cls)
        new.behind = scipy.sparse.csr_matrix(behind)
        return new

    shape = property(lambda self: self.behind.shape)
    nnz = property(lambda self: self.behind.nnz)
    dtype = property(lambda self: self.behind.dtype)
    data = property(lambda self: DeviceArray(self.behind.data))
    indices = property(lambda self: DeviceArray(self.behind.indices))
    indptr = property(lambda self: DeviceArray(self.behind.indptr))

    @property
    def has_canonical_format(self) -> bool:
        launch()
        counts.waits += 1
        return bool(self.behind.has_canonical_format)

    def sum_duplicates(self) -> None:
        launch()
        self.behind.sum_duplicates()

    def copy(self) -> Csr:
        launch()
        return self.over(self.behind.copy())

    def astype(self, dtype: Any) -> Csr:
        launch()
        return self.over(self.behind.astype(dtype))

    T = property(lambda self: self)

    def tocsr(self) -> Csr:
        """The transpose: nothing else asks for it."""
        counts.launches += 4
        tidy = scipy.sparse.csr_matrix(self.behind.T)
        tidy.sort_indices()
        return self.over(tidy)

    def get(self) -> Any:
        counts.waits += 3
        return self.behind.copy()

    def __getitem__(self, key: Any) -> Csr:
        counts.launches += 4
        counts.waits += 1  # how many non-zeros there are
        _copies(key)
        return self.over(self.behind[on_host(key)])

    def __abs__(self) -> Csr:
        launch()
        return self.over(abs(self.behind))

    def __len__(self) -> int:
        raise TypeError("sparse array length is ambiguous")


class StrictKernel:
    """A kernel that takes arrays of the device, and counts its launches."""

    def __init__(self, kernel: Any) -> None:
        self.kernel = kernel

    def __call__(self, grid: Sequence[int], block: Sequence[int], args: Sequence[Any]) -> None:
        for value in args:
            refuse(value)
        launch()
        self.kernel(grid, block, [on_host(value) for value in args])


def load(file: str, **defines: str) -> dict[str, StrictKernel]:
    return {name: StrictKernel(kernel) for name, kernel in compiled(file, **defines).items()}


def stand_ins() -> dict[str, ModuleType]:
    """Modules in the place of CuPy's."""
    cupy = ModuleType("cupy")
    for name in ("square", "concatenate", "cumsum", "argsort", "take_along_axis", "where"):
        setattr(cupy, name, _function(getattr(np, name)))
    for name in ("zeros", "ones", "arange"):
        setattr(cupy, name, _made(getattr(np, name), launches=True))
    cupy.empty = _made(np.empty, launches=False)
    for name in ("int32", "int64", "uint64", "float32", "float64"):
        setattr(cupy, name, getattr(np, name))
    cupy.asarray, cupy.ascontiguousarray = asarray, ascontiguousarray
    cupy.ndarray = DeviceArray
    cupy.asnumpy = lambda array: array.get()
    cupy.cuda = SimpleNamespace(runtime=SimpleNamespace(memGetInfo=lambda: (FREE, FREE)))
    packages = {name: ModuleType(name) for name in ("cupyx", "cupyx.scipy", "cupyx.scipy.sparse")}
    packages["cupyx"].scipy = packages["cupyx.scipy"]
    packages["cupyx.scipy"].sparse = packages["cupyx.scipy.sparse"]
    packages["cupyx.scipy.sparse"].csr_matrix = Csr
    return {"cupy": cupy, **packages}
