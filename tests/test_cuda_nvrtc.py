"""The kernels' sources through NVRTC, with the options that CuPy gives it; nothing is run.

NVRTC is looked for in the wheels nvidia-cuda-nvrtc-cu12 and nvidia-cuda-nvrtc (CUDA 13), which the
GPU extras bring; it compiles without a driver or a device.
"""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from test_cuda_sources import MACROS, SOURCES

OPTIONS = ("-std=c++17", "-ftz=true", "--device-as-default-execution-space")
"""Options that CuPy gives beside the architecture and macros."""
ARCHITECTURES = (75, 80, 86, 89, 90, 100, 120)
ALL_MACROS = 90
"""The architecture that every kind of number and of index is compiled for."""


@cache
def nvrtc() -> Any:
    folders = [Path(path) / "nvidia" for path in sys.path if path]
    libraries = [
        library
        for folder in folders
        for library in sorted(folder.glob("*/lib/libnvrtc.so.*"))
        if ".alt." not in library.name
    ]
    for library in libraries:
        builtins = sorted(library.parent.glob("libnvrtc-builtins.so.*"))
        for one in builtins:
            ctypes.CDLL(str(one), mode=ctypes.RTLD_GLOBAL)
        return ctypes.CDLL(str(library))
    return None


@pytest.fixture(scope="module")
def compiler() -> Any:
    library = nvrtc()
    if library is None:
        pytest.skip("NVRTC is not installed (a wheel: nvidia-cuda-nvrtc-cu12 or nvidia-cuda-nvrtc)")
    return library


def architectures(library: Any) -> list[int]:
    count = ctypes.c_int()
    assert library.nvrtcGetNumSupportedArchs(ctypes.byref(count)) == 0
    numbers = (ctypes.c_int * count.value)()
    assert library.nvrtcGetSupportedArchs(numbers) == 0
    return [*numbers]


def compile_source(library: Any, source: str, options: list[str]) -> tuple[int, str, int]:
    """Return NVRTC's status, its log, and the bytes of the machine code."""
    program = ctypes.c_void_p()
    text = source.encode()
    assert library.nvrtcCreateProgram(ctypes.byref(program), text, b"kernel.cu", 0, None, None) == 0
    try:
        given = (ctypes.c_char_p * len(options))(*[option.encode() for option in options])
        status = library.nvrtcCompileProgram(program, len(options), given)
        size = ctypes.c_size_t()
        library.nvrtcGetProgramLogSize(program, ctypes.byref(size))
        log = ctypes.create_string_buffer(size.value)
        library.nvrtcGetProgramLog(program, log)
        code = ctypes.c_size_t()
        library.nvrtcGetCUBINSize(program, ctypes.byref(code))
        return status, log.value.decode(), code.value
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(program))


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_the_runtime_compiler_takes_the_sources(compiler, source: Path, architecture: int) -> None:
    if architecture not in architectures(compiler):
        pytest.skip(f"this NVRTC does not compile for sm_{architecture}")
    macros = MACROS.get(source.name, [{}])
    for defines in macros if architecture == ALL_MACROS else macros[:1]:
        options = [*OPTIONS, f"-arch=sm_{architecture}"]
        options += [f"-D{name}={value}" for name, value in defines.items()]
        status, log, size = compile_source(compiler, source.read_text("utf-8"), options)
        assert (status, log.strip()) == (0, ""), (defines, log)
        assert size > 0


def test_what_does_not_compile_is_seen(compiler) -> None:
    status, log, _ = compile_source(compiler, "extern int f(;", ["-arch=sm_90"])
    assert status != 0
    assert "error" in log
