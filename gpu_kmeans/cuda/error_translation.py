"""Failures of the device and its libraries as errors of this package."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from gpu_kmeans.backends.device import AFTER_FORK
from gpu_kmeans.errors import BackendUnavailable, OutOfDeviceMemory

__all__ = ["WAY_OUT", "telling"]

WAY_OUT = (
    "close what else uses the device, use fewer clusters or terms (max_features), or backend='cpu'"
)

_process = os.getpid()
"""The process that started CUDA."""

P = ParamSpec("P")
R = TypeVar("R")


def telling(verb: Callable[P, R]) -> Callable[P, R]:
    """Let a verb of the backend raise this package's errors where the device fails it."""

    @wraps(verb)
    def translated(*args: P.args, **kwargs: P.kwargs) -> R:
        if os.getpid() != _process:
            raise BackendUnavailable(f"{AFTER_FORK}; backend='cpu' works in any process")
        try:
            return verb(*args, **kwargs)
        except OutOfDeviceMemory:
            raise
        except MemoryError as error:
            raise OutOfDeviceMemory(
                f"{verb.__name__} does not fit into the GPU's memory ({error}): {WAY_OUT}"
            ) from error
        except ImportError as error:
            raise BackendUnavailable(
                f"the GPU libraries are installed and do not load: {error}; use backend='cpu'"
            ) from error

    return translated
