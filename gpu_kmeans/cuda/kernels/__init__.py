"""The project's own CUDA C, compiled by NVRTC on first use and kept by CuPy's cache on disk."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import cupy as cp

__all__ = ["Kernels", "load"]


class Kernels:
    """The kernels of one source, by name."""

    def __init__(self, module: Any) -> None:
        self._module = module
        self._kernels: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._kernels:
            self._kernels[name] = self._module.get_function(name)
        return self._kernels[name]


def load(file: str, **defines: str) -> Kernels:
    """Compile a source of this folder with macros defined.

    A kernel is called as ``load("rows.cu", REAL="float")["assign"](grid, block, args)``.
    """
    return _load(file, tuple(sorted(defines.items())))


@cache
def _load(file: str, defines: tuple[tuple[str, str], ...]) -> Kernels:
    source = (Path(__file__).parent / file).read_text("utf-8")
    options = ("-std=c++17", *(f"-D{name}={value}" for name, value in defines))
    return Kernels(cp.RawModule(code=source, options=options))
