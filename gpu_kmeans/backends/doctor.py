"""Which libraries are installed, which backends can run, and exactly why others cannot."""

from __future__ import annotations

import os
import platform
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from gpu_kmeans import __version__
from gpu_kmeans.backends.device import (
    Device,
    Obstacle,
    accelerators,
    driver_release,
    driver_version,
    find_device,
)
from gpu_kmeans.backends.select import cpu_instructions
from gpu_kmeans.errors import InvalidParam

__all__ = ["BackendReport", "Diagnosis", "diagnose", "versions"]

_DISTRIBUTIONS = {
    "numpy": "numpy",
    "scipy": "scipy",
    "pandas": "pandas",
    "pyarrow": "pyarrow",
    "faiss-cpu": "faiss",
    "safetensors": "safetensors",
}
"""Modules by the names that their distributions are installed under."""
_WHEELS = {
    "cudf": ("cudf-cu13", "cudf-cu12", "cudf"),
    "cuml": ("cuml-cu13", "cuml-cu12", "cuml"),
    "cupy": ("cupy-cuda13x", "cupy-cuda12x", "cupy"),
}
"""GPU libraries by module; their wheels are named for a CUDA release, conda's are not."""
_CPU_MODULES = ("numpy", "scipy.sparse", "pandas", "pyarrow", "faiss")


@dataclass(frozen=True, slots=True)
class BackendReport:
    """Whether one backend can run here; ``reason`` says why it can or cannot."""

    name: str
    can_run: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The machine and the installation as this package sees them.

    Attributes
    ----------
    versions : dict of str
        By distribution name; ``"not installed"`` where there is none.
    cores, usable_cores : int
        All cores of the machine, and those that this process may use.
    memory_bytes, free_memory_bytes : int or None
        The machine's memory, where the system reports it.
    device : Device or None
        The GPU that the GPU backend takes; None where there is none that it can use.
    driver : str
        The NVIDIA driver's own version; empty where the system knows none.
    cuda : str
        The newest CUDA version that the driver supports; empty without a driver.
    accelerators : list of str
        Accelerators that this process has switched on, which move the work of CPU libraries to a
        GPU behind the scenes: a comparison with these libraries is then none with a CPU.
    instructions : str
        Instructions that the compiled kernels use (``"baseline"``, ``"avx2"``, ``"avx512"``);
        ``"none"`` where SciPy and NumPy work without them, empty where the backend cannot run.
    auto : str
        The backend that ``backend="auto"`` takes; empty when none can run.
    """

    versions: dict[str, str]
    platform: str
    cores: int
    usable_cores: int
    memory_bytes: int | None
    free_memory_bytes: int | None
    device: Device | None
    driver: str
    cuda: str
    accelerators: list[str]
    backends: tuple[BackendReport, ...]
    instructions: str
    auto: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return asdict(self)


def diagnose() -> Diagnosis:
    """Look at the installation by really importing what the backends need."""
    device, gpu = _gpu()
    cpu, instructions = _cpu()
    backends = (gpu, cpu)
    supported = driver_version()
    return Diagnosis(
        versions=versions() | _gpu_versions(),
        platform=platform.platform(),
        cores=os.cpu_count() or 1,
        usable_cores=_usable_cores(),
        memory_bytes=_pages("SC_PHYS_PAGES"),
        free_memory_bytes=_pages("SC_AVPHYS_PAGES"),
        device=device,
        driver=driver_release() or "",
        cuda="" if supported is None else "{}.{}".format(*supported),
        accelerators=accelerators(),
        backends=backends,
        instructions=instructions,
        auto=next((backend.name for backend in backends if backend.can_run), ""),
    )


def versions() -> dict[str, str]:
    """Return the versions of Python, this package and the libraries that do the work."""
    by_name = {"gpu-kmeans": __version__, "python": platform.python_version()}
    for name, module in _DISTRIBUTIONS.items():
        # A loaded module knows its version; looking it up on disk takes milliseconds each.
        loaded = getattr(sys.modules.get(module), "__version__", None)
        try:
            by_name[name] = loaded or version(name)
        except PackageNotFoundError:
            by_name[name] = "not installed"
    return by_name


def _gpu_versions() -> dict[str, str]:
    """Return the versions of the GPU libraries that are installed."""
    by_name = {}
    for module, names in _WHEELS.items():
        for name in names:
            with suppress(PackageNotFoundError):
                by_name[name] = version(name)
                break
        else:
            by_name[module] = "not installed"
    return by_name


def _gpu() -> tuple[Device | None, BackendReport]:
    try:
        device = find_device()
    except Obstacle as obstacle:
        return None, BackendReport("gpu", False, str(obstacle))
    return device, BackendReport("gpu", True, f"RAPIDS and a device are present: {device}")


def _cpu() -> tuple[BackendReport, str]:
    """The CPU backend, and the instructions of its kernels."""
    for name in _CPU_MODULES:
        try:
            import_module(name)
        # A broken binary wheel may raise anything; the doctor's job is to say it, not to fail.
        except Exception as problem:
            return BackendReport("cpu", False, f"cannot import {name}: {problem}"), ""
    try:
        instructions = cpu_instructions()
    except InvalidParam as problem:
        return BackendReport("cpu", False, str(problem)), ""
    kernels = (
        "without compiled kernels, which is slower"
        if instructions == "none"
        else f"compiled kernels use {instructions}"
    )
    reason = f"all its libraries can be imported; {kernels}"
    return BackendReport("cpu", True, reason), instructions


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _pages(name: str) -> int | None:
    try:
        return os.sysconf(name) * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None
