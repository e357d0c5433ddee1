"""What is installed here, and which backends can run, and exactly why the others cannot."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from gpu_kmeans import __version__
from gpu_kmeans.backend import why_not_gpu

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
        Of the machine, and those that this process may use.
    memory_bytes, free_memory_bytes : int or None
        Of the machine, where the system tells.
    auto : str
        The backend that ``backend="auto"`` takes; empty when none can run.
    """

    versions: dict[str, str]
    platform: str
    cores: int
    usable_cores: int
    memory_bytes: int | None
    free_memory_bytes: int | None
    backends: tuple[BackendReport, ...]
    auto: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return asdict(self)


def diagnose() -> Diagnosis:
    """Look at the installation by really importing what the backends need."""
    backends = (_gpu(), _cpu())
    return Diagnosis(
        versions=versions(),
        platform=platform.platform(),
        cores=os.cpu_count() or 1,
        usable_cores=_usable_cores(),
        memory_bytes=_pages("SC_PHYS_PAGES"),
        free_memory_bytes=_pages("SC_AVPHYS_PAGES"),
        backends=backends,
        auto=next((each.name for each in backends if each.can_run), ""),
    )


def versions() -> dict[str, str]:
    """Return the versions of Python, this package and the libraries that do the work."""
    found = {"gpu-kmeans": __version__, "python": platform.python_version()}
    for name, module in _DISTRIBUTIONS.items():
        # A loaded module knows its version; looking it up on disk takes milliseconds each.
        known = getattr(sys.modules.get(module), "__version__", None)
        try:
            found[name] = known or version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _gpu() -> BackendReport:
    obstacle = why_not_gpu()
    return BackendReport("gpu", obstacle is None, obstacle or "RAPIDS and a device are present")


def _cpu() -> BackendReport:
    for name in _CPU_MODULES:
        try:
            import_module(name)
        # A broken binary wheel may raise anything; the doctor's job is to say it, not to fail.
        except Exception as problem:
            return BackendReport("cpu", False, f"cannot import {name}: {problem}")
    return BackendReport("cpu", True, "all its libraries can be imported")


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _pages(name: str) -> int | None:
    try:
        return os.sysconf(name) * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None
