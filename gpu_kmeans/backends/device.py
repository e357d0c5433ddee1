"""The CUDA driver and its first device, asked directly: no GPU library is imported for it.

Importing cuDF or cuML takes seconds and succeeds without a GPU, so it answers nothing. The driver
(``libcuda``) answers in milliseconds: whether it is there, how old it is, which devices it
has. Only the last question, whether memory can be had, makes it set up the device, which takes
tenths of a second; CuPy, cuDF and cuML then use what was set up.

Names and error codes are those of the CUDA Driver API.
"""

from __future__ import annotations

import ctypes
import re
import sys
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any

__all__ = [
    "AFTER_FORK",
    "Device",
    "Obstacle",
    "accelerators",
    "driver_release",
    "driver_version",
    "find_device",
]

LIBRARIES = ("cupy", "cudf", "cuml")
DRIVER = "libcuda.so.1"
NOT_INITIALIZED, NO_DEVICE = 3, 100
CAPABILITY_MAJOR, CAPABILITY_MINOR = 75, 76
TRIAL_BYTES = 1 << 20
AFTER_FORK = (
    "this process was forked from one that had started CUDA, which does not survive a fork; start "
    "processes by multiprocessing's 'spawn', or ask for the GPU in none before it is forked"
)


@dataclass(frozen=True, slots=True)
class _Needs:
    """Requirements of the installed build of RAPIDS 26.10."""

    cuda: int
    driver: int
    """CUDA version that the driver must support: 1000 * major + 10 * minor."""
    series: int
    """First driver series to do so."""
    capability: tuple[int, int]


_CUDA_12 = _Needs(12, 12020, 535, (7, 0))
_CUDA_13 = _Needs(13, 13000, 580, (7, 5))


class Obstacle(Exception):
    """The reason why the GPU backend cannot run, and the way out."""


@dataclass(frozen=True, slots=True)
class Device:
    """A device that can be used.

    Attributes
    ----------
    capability : (int, int)
        Compute capability, major and minor.
    memory_bytes, free_memory_bytes : int
    """

    name: str
    capability: tuple[int, int]
    memory_bytes: int
    free_memory_bytes: int

    def __str__(self) -> str:
        major, minor = self.capability
        return f"{self.name} (compute capability {major}.{minor}, {self.memory_bytes >> 20:,} MiB)"


def find_device() -> Device:
    """Check the GPU backend's requirements, cheapest first, and return the first device.

    Raises
    ------
    Obstacle
        At the first thing that is missing.
    """
    if not sys.platform.startswith("linux"):
        raise Obstacle(f"RAPIDS is built for Linux (and WSL 2), and this is {sys.platform}")
    missing = [name for name in LIBRARIES if find_spec(name) is None]
    if missing:
        raise Obstacle(
            f"{', '.join(missing)} not installed; in a clone of gpu-kmeans: "
            'pip install ".[cu13]" (driver 580 or newer) or pip install ".[cu12]"'
        )
    needs = _needs()
    driver = _load()
    if driver is None:
        raise Obstacle(f"no NVIDIA driver: {DRIVER} cannot be loaded; install the driver")
    _check_version(driver, needs)
    _check_started(driver)
    handle = _first_device(driver)
    capability = _capability(driver, handle)
    if capability < needs.capability:
        raise Obstacle(
            "compute capability {}.{} of {} is below {}.{}, which RAPIDS needs".format(
                *capability, _name(driver, handle), *needs.capability
            )
        )
    free, total = _memory(driver, handle)
    return Device(_name(driver, handle), capability, total, free)


def driver_version() -> tuple[int, int] | None:
    """The newest CUDA version that the installed driver supports; None without a driver."""
    driver = _load()
    if driver is None:
        return None
    version = _version(driver)
    return version // 1000, version % 1000 // 10


def driver_release() -> str | None:
    """The driver's own version, such as ``580.65.06``; None where Linux knows none."""
    try:
        text = Path("/proc/driver/nvidia/version").read_text("utf-8")
    except OSError:
        return None
    release = re.search(r"\d+\.\d+(\.\d+)?", text)
    return release[0] if release else None


def accelerators() -> list[str]:
    """Switched-on accelerators that move work of CPU libraries to the GPU behind the scenes."""
    names = []
    accel, frames = sys.modules.get("cuml.accel"), sys.modules.get("cudf.pandas")
    if accel is not None and accel.enabled():
        names.append("cuml.accel (scikit-learn)")
    if frames is not None and frames.LOADED:
        names.append("cudf.pandas (pandas)")
    return names


def _needs() -> _Needs:
    for name, needs in (("cudf-cu13", _CUDA_13), ("cudf-cu12", _CUDA_12)):
        with suppress(PackageNotFoundError):
            distribution(name)
            return needs
    in_conda = any((Path(sys.prefix) / "lib").glob("libcudart.so.13*"))
    return _CUDA_13 if in_conda else _CUDA_12


def _load() -> Any:
    try:
        return ctypes.CDLL(DRIVER)
    except OSError:
        return None


def _version(driver: Any) -> int:
    version = ctypes.c_int(0)
    driver.cuDriverGetVersion(ctypes.byref(version))
    return version.value


def _check_version(driver: Any, needs: _Needs) -> None:
    supported = _version(driver)
    if supported < needs.driver:
        raise Obstacle(
            "the NVIDIA driver is too old: it supports CUDA "
            f"{supported // 1000}.{supported % 1000 // 10}, and the installed RAPIDS is built "
            f"for CUDA {needs.cuda}; install driver {needs.series} or newer"
        )


def _check_started(driver: Any) -> None:
    code = driver.cuInit(0)
    if code == NO_DEVICE:
        raise _no_device()
    if code == NOT_INITIALIZED:  # as a driver that was started answers after a fork
        raise Obstacle(AFTER_FORK)
    if code:
        raise Obstacle(f"the NVIDIA driver does not start ({_error(driver, code)}); try nvidia-smi")


def _first_device(driver: Any) -> ctypes.c_int:
    count, handle = ctypes.c_int(0), ctypes.c_int(0)
    if driver.cuDeviceGetCount(ctypes.byref(count)) or count.value == 0:
        raise _no_device()
    if driver.cuDeviceGet(ctypes.byref(handle), 0):
        raise _no_device()
    return handle


def _no_device() -> Obstacle:
    return Obstacle(
        "the NVIDIA driver finds no device; check nvidia-smi, CUDA_VISIBLE_DEVICES, and that the "
        "container was given a GPU"
    )


def _capability(driver: Any, handle: ctypes.c_int) -> tuple[int, int]:
    number = ctypes.c_int(0)
    numbers = []
    for attribute in (CAPABILITY_MAJOR, CAPABILITY_MINOR):
        driver.cuDeviceGetAttribute(ctypes.byref(number), attribute, handle)
        numbers.append(number.value)
    return numbers[0], numbers[1]


def _name(driver: Any, handle: ctypes.c_int) -> str:
    buffer = ctypes.create_string_buffer(256)
    driver.cuDeviceGetName(buffer, len(buffer), handle)
    return buffer.value.decode("utf-8", "replace")


def _memory(driver: Any, handle: ctypes.c_int) -> tuple[int, int]:
    """Free and total bytes, after a trial allocation in the device's primary context.

    The context stays retained: the CUDA runtime uses it, and would set it up again otherwise.
    """
    context, pointer = ctypes.c_void_p(), ctypes.c_uint64()
    code = driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), handle)
    if not code:
        code = driver.cuCtxPushCurrent_v2(context)
    if code:
        raise Obstacle(
            f"{_name(driver, handle)} cannot be set up ({_error(driver, code)}); another process "
            "may hold it exclusively or fill its memory: see nvidia-smi"
        )
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    try:
        driver.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total))
        code = driver.cuMemAlloc_v2(ctypes.byref(pointer), ctypes.c_size_t(TRIAL_BYTES))
        if code:
            raise Obstacle(
                f"{_name(driver, handle)} gives no memory ({_error(driver, code)}): "
                f"{free.value >> 20:,} of {total.value >> 20:,} MiB are free; see nvidia-smi for "
                "what holds the rest"
            )
        driver.cuMemFree_v2(pointer)
    finally:
        driver.cuCtxPopCurrent_v2(ctypes.byref(context))
    return free.value, total.value


def _error(driver: Any, code: int) -> str:
    name = ctypes.c_char_p()
    driver.cuGetErrorName(code, ctypes.byref(name))
    return name.value.decode() if name.value else f"error {code}"
