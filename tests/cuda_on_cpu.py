"""Runs the project's CUDA C kernels on the CPU, so that their arithmetic is tested anywhere.

``compiled`` builds a source of ``gpu_kmeans/cuda/kernels`` with g++ against the emulation in
``cuda_on_cpu.h`` (see there for what that proves and what it does not) and gives out its
kernels by name; they are called as ``cupy.RawKernel`` objects are, with NumPy arrays for the
device's.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import scipy.sparse

HERE = Path(__file__).resolve().parent
KERNELS = HERE.parent / "gpu_kmeans" / "cuda" / "kernels"
_SIGNATURE = re.compile(
    r'extern\s+"C"\s+__global__\s+void\s+(?:__launch_bounds__\([^)]*\)\s*)?(\w+)\s*\(([^)]*)\)'
)
_SCALARS = {np.dtype(t) for t in ("i1", "u1", "i4", "u4", "i8", "u8", "f4", "f8")}


class Kernel:
    """One kernel of a compiled source."""

    def __init__(self, function: Any, parameters: list[str]) -> None:
        self._function = function
        self._function.restype = ctypes.c_char_p
        self._parameters = parameters

    def __call__(self, grid: Sequence[int], block: Sequence[int], args: Sequence[Any]) -> None:
        assert len(args) == len(self._parameters), (self._parameters, len(args))
        shapes = [(ctypes.c_uint * 3)(*each, *[1] * (3 - len(each))) for each in (grid, block)]
        pairs = zip(args, self._parameters, strict=True)
        passed = [_argument(value, parameter) for value, parameter in pairs]
        fault = self._function(*shapes, *passed)
        assert fault is None, fault.decode()


def _argument(value: Any, parameter: str) -> Any:
    """A pointer for an array, the right C number for a NumPy scalar; the types must agree."""
    kind = parameter.rsplit("*", 1)[0] if "*" in parameter else parameter.rsplit(None, 1)[0]
    words = [word for word in re.findall(r"\w+", kind) if word not in ("const", "__restrict__")]
    wanted = np.dtype(_C_TYPES[" ".join(words)])
    if "*" in parameter:
        assert isinstance(value, np.ndarray), f"{parameter}: an array, not {value!r}"
        assert value.dtype == wanted, f"{parameter}: {value.dtype}"
        assert value.flags.c_contiguous, f"{parameter}: not contiguous"
        return ctypes.c_void_p(value.ctypes.data)
    # CuPy passes a NumPy scalar in its own width, and Python's numbers as 64 bits.
    found = np.asarray(value).dtype
    assert found in _SCALARS and found.itemsize == wanted.itemsize, f"{parameter}: {found}"
    return np.ctypeslib.as_ctypes_type(wanted)(value.item() if hasattr(value, "item") else value)


_C_TYPES = {
    "char": "i1",
    "signed char": "i1",
    "unsigned char": "u1",
    "int": "i4",
    "unsigned": "u4",
    "unsigned int": "u4",
    "long long": "i8",
    "unsigned long long": "u8",
    "float": "f4",
    "double": "f8",
}


@cache
def _library(source: str, options: tuple[str, ...]) -> ctypes.CDLL:
    name = hashlib.sha256("\0".join((source, *options)).encode()).hexdigest()[:16]
    with tempfile.TemporaryDirectory() as folder:
        at = Path(folder)
        (at / "kernel.cpp").write_text(source, encoding="utf-8")
        command = ["g++", "-std=c++17", "-O2", "-fPIC", "-shared", "-fvisibility=hidden"]
        command += [
            "-Wall",
            "-Werror",
            "-Wno-unknown-pragmas",
            "-Wno-unused-function",
            "-Wno-unused-variable",
        ]
        command += ["-U_FORTIFY_SOURCE", "-ffp-contract=off", f"-I{HERE}", *options]
        command += ["kernel.cpp", "-o", f"{name}.so"]
        done = subprocess.run(command, cwd=at, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return ctypes.CDLL(os.fspath(at / f"{name}.so"))


def compiled(file: str, **defines: str) -> dict[str, Kernel]:
    """Compile a kernel source with macros defined; kernels by name.

    Skips the calling test where there is no g++.
    """
    if shutil.which("g++") is None:
        pytest.skip("kernels run on the CPU through g++, which is not installed")
    source = (KERNELS / file).read_text("utf-8")
    signatures = [
        (name, [" ".join(p.split()) for p in parameters.split(",")])
        for name, parameters in _SIGNATURE.findall(_without_comments(source))
    ]
    wrappers = []
    for name, parameters in signatures:
        names = ", ".join(re.findall(r"\w+", p)[-1] for p in parameters)
        wrappers.append(
            'extern "C" __attribute__((visibility("default"))) const char* '
            f"launch_{name}(const unsigned* grid_, const unsigned* block_, "
            f"{', '.join(parameters)}) {{\n"
            f"    return emulation::launch(grid_, block_, [&] {{ {name}({names}); }});\n}}\n"
        )
    whole = f'#include "cuda_on_cpu.h"\n{source}\n{"".join(wrappers)}'
    library = _library(whole, tuple(f"-D{key}={value}" for key, value in sorted(defines.items())))
    return {
        name: Kernel(library[f"launch_{name}"], [_expanded(p, defines) for p in parameters])
        for name, parameters in signatures
    }


def _without_comments(source: str) -> str:
    return re.sub(r"//[^\n]*|/\*.*?\*/", "", source, flags=re.S)


def _expanded(parameter: str, defines: dict[str, str]) -> str:
    return re.sub(r"\w+", lambda word: defines.get(word[0], word[0]), parameter)


@contextmanager
def cupy_on_numpy(
    modules: dict[str, ModuleType] | None = None, load: Callable[..., Any] = compiled
) -> Iterator[None]:
    """Let ``gpu_kmeans.cuda`` import NumPy for CuPy, SciPy for cupyx and emulated kernels.

    What both libraries mean by a name is NumPy's meaning; CuPy's own part is its memory, which
    other ``modules`` may stand for, with a ``load`` of kernels that take their arrays.
    Everything is as it was afterwards.
    """
    if shutil.which("g++") is None:
        pytest.skip("kernels run on the CPU through g++, which is not installed")
    ours = ("cupy", "cupyx", "gpu_kmeans.cuda")
    hidden = {name: sys.modules.pop(name) for name in [*sys.modules] if _within(name, ours)}
    sys.modules.update(_stand_ins() if modules is None else modules)
    try:
        importlib.import_module("gpu_kmeans.cuda.kernels").load = load
        importlib.import_module("gpu_kmeans.cuda.device_memory").share_pool = lambda: None
        yield
    finally:
        for name in [*sys.modules]:
            if _within(name, ours):
                del sys.modules[name]
        sys.modules.update(hidden)


def _within(name: str, packages: Sequence[str]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def _stand_ins() -> dict[str, ModuleType]:
    cupy = ModuleType("cupy")
    cupy.__dict__.update({name: getattr(np, name) for name in np.__all__})
    cupy.asnumpy = np.array  # a copy, as what a device changes later stays there
    cupy.cuda = SimpleNamespace(runtime=SimpleNamespace(memGetInfo=lambda: (1 << 30, 1 << 30)))
    cupy.get_default_memory_pool = lambda: SimpleNamespace(free_all_blocks=lambda: None)
    packages = {name: ModuleType(name) for name in ("cupyx", "cupyx.scipy")}
    packages["cupyx"].scipy = packages["cupyx.scipy"]
    packages["cupyx.scipy"].sparse = scipy.sparse
    return {"cupy": cupy, **packages, "cupyx.scipy.sparse": scipy.sparse}
