"""The GPU backend: cuDF, cuML and CuPy behind the protocol's verbs.

Each verb lives in the module named for its subject, as in :mod:`cpu_fallback`; see
:mod:`gpu_kmeans.backends.delegation` for which, and for when it is imported. Only the modules of
this package import GPU libraries, and only :mod:`gpu_kmeans.backends.select` imports this package,
once its probe has found a device.

What a fit asks of the device, counted with a stand-in: launches / waits / uploads by the other
verbs alone, and with steps that stay on the device. tests/test_cuda_strict.py holds the first
three; the last two are of this project's TF-IDF rows of the TMDB 5000 overviews.

==========================  ========================  =====================
a Lloyd iteration                         18 / 4 / 5              6 / 1 / 0
a block of single-row moves               20 / 5 / 8              8 / 1 / 0
a round of splits          107 / 33 / 41 for each       50 / 7 / 8 for all
a fit of films, k = 10        8,898 / 2,434 / 3,373       2,936 / 460 / 209
a fit of films, k = 100    34,012 / 10,068 / 12,929       5,786 / 910 / 357
==========================  ========================  =====================

Steps of that kind are for sparse rows in float32 that count once each; dense, weighted, float64 and
widely ranging rows go by the other verbs.

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
