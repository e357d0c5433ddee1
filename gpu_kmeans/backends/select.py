"""The switch: which device's libraries do the work, decided once, with the reason.

``resolve`` is the only place that imports a backend. ``"auto"`` takes the GPU when it can
run and otherwise the CPU, and the reason is kept; ``"gpu"`` without one raises, naming the
step that fails. Nothing switches after that.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Literal, TypeAlias

from gpu_kmeans.backends.device import Device, Obstacle, find_device
from gpu_kmeans.backends.protocol import Backend
from gpu_kmeans.errors import BackendUnavailable, InvalidParam, shown

__all__ = [
    "BACKENDS",
    "BackendSpec",
    "choose",
    "connected",
    "cpu_instructions",
    "resolve",
    "why_not_gpu",
]

BACKENDS = ("auto", "cpu", "gpu", "dask")
BackendSpec: TypeAlias = Literal["auto", "cpu", "gpu", "dask"] | Backend


def why_not_gpu() -> str | None:
    """Say what keeps the GPU backend from running here; ``None`` when nothing does.

    Asks without importing RAPIDS, cheapest question first, and stops at the first answer:
    platform, libraries, driver, its version, devices, compute capability, a trial allocation.
    """
    try:
        find_device()
    except Obstacle as obstacle:
        return str(obstacle)
    return None


def choose(spec: BackendSpec) -> tuple[Backend, str]:
    """Return the backend for ``spec`` and, in words, why it is this one.

    Raises
    ------
    InvalidParam
        ``spec`` is neither a backend or a ``distributed.Client``, nor one of ``"auto"``,
        ``"cpu"``, ``"gpu"``, ``"dask"``.
    BackendUnavailable
        ``"gpu"`` or ``"dask"`` was asked for and cannot run here; the message names the missing
        step.
    """
    if not isinstance(spec, str):
        if _is_client(spec):
            from gpu_kmeans.distributed import DaskBackend

            return DaskBackend(spec), "the client given by the caller"
        if isinstance(spec, type) or not all(
            hasattr(spec, verb) for verb in ("matrix", "cluster_sums")
        ):
            raise InvalidParam(f"backend must be one of {', '.join(BACKENDS)}, got {shown(spec)}")
        return spec, "given by the caller"
    if spec not in BACKENDS:
        raise InvalidParam(f"backend must be one of {', '.join(BACKENDS)}, got {shown(spec)}")
    if spec == "cpu":
        return _cpu(), "asked for"
    if spec == "dask":
        from gpu_kmeans.distributed.cluster import current

        return current(), "asked for"
    try:
        backend, device = _gpu()
        return backend, f"{'asked for' if spec == 'gpu' else 'a GPU is there'}: {device}"
    except Obstacle as obstacle:
        if spec == "gpu":
            raise BackendUnavailable(
                f"the GPU backend cannot run: {obstacle}; use backend='cpu', or 'auto' to take "
                "whatever runs"
            ) from obstacle
        return _cpu(), f"no GPU: {obstacle}"


def resolve(spec: BackendSpec) -> Backend:
    """Return the backend for ``spec``; see :func:`choose`."""
    return choose(spec)[0]


def cpu_instructions() -> str:
    """Name the instructions of the CPU backend's kernels; ``"none"`` where none were compiled.

    Raises
    ------
    InvalidParam
        ``GPU_KMEANS_INSTRUCTIONS`` asks for what this machine does not have.
    """
    from cpu_fallback import CpuBackend

    return CpuBackend.instructions()


@contextmanager
def connected(spec: BackendSpec, scheduler: str | None) -> Iterator[BackendSpec]:
    """The Dask backend of a scheduler, see :func:`gpu_kmeans.distributed.cluster.connected`.

    ``spec`` itself where there is none.
    """
    if scheduler is None:
        yield spec
        return
    from gpu_kmeans.distributed.cluster import connected

    with connected(scheduler) as backend:
        yield backend


def _is_client(spec: object) -> bool:
    """Whether it is a client of Dask, which need not be loaded to tell."""
    return type(spec).__module__.partition(".")[0] == "distributed" and hasattr(
        spec, "scheduler_info"
    )


def _cpu() -> Backend:
    from cpu_fallback import CpuBackend

    return CpuBackend()


@cache
def _gpu() -> tuple[Backend, Device]:
    """The GPU backend, made once: work on a device goes on while its memory fills."""
    device = find_device()
    try:
        from gpu_kmeans.cuda import GpuBackend

        return GpuBackend(), device
    except (ImportError, OSError, RuntimeError) as error:
        # Found on disk and yet not loadable: half an installation, or one for another CUDA.
        raise Obstacle(f"the GPU libraries are installed and do not load: {error}") from error


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_gpu.cache_clear)  # CUDA does not survive a fork
