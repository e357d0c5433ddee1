"""The GPU backend: cuDF, cuML and CuPy behind the protocol's verbs.

Each verb lives in the module named for its subject, as in :mod:`cpu_fallback`; see
:mod:`gpu_kmeans.backends.delegation` for which, and for when it is imported. Only the modules of
this package import GPU libraries, and only :mod:`gpu_kmeans.backends.select` imports this package,
once its probe has found a device.

What a step asks of the device, counted with a stand-in (tests/test_cuda_strict.py holds the first
two), launches / waits / uploads, without steps that stay on the device and with them:

=============================  ====================  ==================
a Lloyd iteration                       18 / 4 / 5           6 / 1 / 0
a block of single-row moves             20 / 5 / 8           8 / 1 / 0
the films, k = 10, a fit       8,898 / 2,434 / 3,373  4,449 / 957 / 406
=============================  ====================  ==================

Not yet run on a GPU.
"""

from __future__ import annotations

from gpu_kmeans.backends.delegation import DelegatingBackend
from gpu_kmeans.cuda.error_translation import telling

__all__ = ["GpuBackend"]


class GpuBackend(DelegatingBackend):
    """Implements :class:`gpu_kmeans.backends.protocol.Backend`; see there for each verb.

    Every verb raises ``OutOfDeviceMemory`` where the device has no room for it.
    """

    package = __name__
    name = "gpu"
    updates_bounds = False  # not measured yet, and it works on the host, too

    def __init__(self) -> None:
        from gpu_kmeans.cuda import device_memory as blocks

        blocks.share_pool()


for _name, _verb in vars(DelegatingBackend).items():
    if callable(_verb) and not _name.startswith("_"):
        setattr(GpuBackend, _name, telling(_verb))
