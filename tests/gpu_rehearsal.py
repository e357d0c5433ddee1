"""Runs sections of ``bench.gpu_check`` without a GPU: ``python gpu_rehearsal.py SECTION --inside``,
or several with ``SECTION ... --all``, one after the other in one process.

The verbs on rows are the GPU's, with NumPy for CuPy and the kernels run on the CPU; all others are
the CPU's. cuDF, cuML and RMM are stand-ins that have what the sections use of them, and corpora are
small. It proves that the sections are written as they are called, and nothing about a device.

``GPU_REHEARSAL`` makes something go wrong: ``hang`` in a fit of the library's, ``crash`` in it, or
``lie``, wrong labels from it.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
from cuda_on_cpu import cupy_on_numpy

import bench.cases
from bench.corpora import Zipf
from cpu_fallback import CpuBackend
from gpu_kmeans.backends import select
from gpu_kmeans.data import sample

FAULT = os.environ.get("GPU_REHEARSAL", "")
VERBS_OF_ROWS = (
    *("matrix", "squared_norms", "project", "transpose", "inner_products", "clusters_from"),
    *("cluster_sums", "assign", "update_bounds", "move", "distances", "centroids"),
    "centroid_shift",
)


class KMeans:
    """The library's k-means as far as it is called, by the CPU backend's."""

    def __init__(self, n_clusters: int, init: Any = None, max_iter: int = 300, **others: Any):
        self.n_clusters, self.init, self.max_iter = n_clusters, init, max_iter

    def fit(self, rows: Any, sample_weight: Any = None) -> KMeans:
        if FAULT == "crash":
            os.abort()
        if FAULT == "hang":
            time.sleep(600)
        rows = np.ascontiguousarray(rows, np.float32)
        start = rows[: self.n_clusters] if self.init is None else self.init
        verb = CpuBackend().dense_kmeans
        self.labels_, self.n_iter_ = verb(rows, start, min(self.max_iter, 5), sample_weight)
        if FAULT == "lie":
            self.labels_ = np.zeros_like(self.labels_)
        self.n_iter_ = self.max_iter
        return self


class Vectorizer:
    """The library's vectoriser as far as it is called: cuDF's texts to rows on the device."""

    def __init__(self, stop_words: str) -> None:
        self.stop_words = stop_words

    def fit_transform(self, texts: Any) -> Any:
        from gpu_kmeans import TfidfVectorizer

        rows = TfidfVectorizer(stop_words=self.stop_words, backend="cpu").fit_transform(texts)
        return type("Csr", (type(rows),), {"get": lambda self: self})(rows)


class Limit:
    """A resource that refuses every block beyond its limit."""

    def __init__(self, upstream: Any, limit: int = 1 << 60) -> None:
        self.limit = limit
        self.allocation_counts = SimpleNamespace(peak_bytes=1)


@contextmanager
def stand_ins() -> Any:
    modules = {
        name: ModuleType(name)
        for name in ("cuml", "cuml.cluster", "cuml.feature_extraction.text", "cudf", "rmm")
    }
    modules["cuml.feature_extraction"] = ModuleType("cuml.feature_extraction")
    modules["cuml.cluster"].KMeans = KMeans
    modules["cuml.feature_extraction.text"].TfidfVectorizer = Vectorizer
    modules["cudf"].read_csv = pd.read_csv
    current = [Limit(None)]
    modules["rmm"].mr = SimpleNamespace(
        get_current_device_resource=lambda: current[0],
        set_current_device_resource=lambda resource: current.__setitem__(0, resource),
        LimitingResourceAdaptor=Limit,
        StatisticsResourceAdaptor=Limit,
    )
    sys.modules.update(modules)
    with cupy_on_numpy():
        for name in (*modules, "cupy"):
            sys.modules[name].__spec__ = ModuleSpec(name, None)  # what is looked for is there
        cp = sys.modules["cupy"]
        cp.cuda.Device = lambda: SimpleNamespace(synchronize=lambda: None)
        verbs = importlib.import_module("gpu_kmeans.cuda.rows")
        dense = importlib.import_module("gpu_kmeans.cuda.dense").dense_kmeans
        blocks = importlib.import_module("gpu_kmeans.cuda.device_memory")

        def limited(total: int, bytes_each: int, work: Any) -> None:
            if current[0].limit < 2 << 20:
                from gpu_kmeans.errors import OutOfDeviceMemory

                raise OutOfDeviceMemory("the GPU has no room")
            blocks.each_block(total, bytes_each, work)

        verbs.each_block = limited
        own: dict[str, Any] = {name: staticmethod(getattr(verbs, name)) for name in VERBS_OF_ROWS}

        for name, module in (("iterations", "iterations"), ("halve", "halves")):
            steps = importlib.import_module(f"gpu_kmeans.cuda.{module}")
            own[name] = staticmethod(getattr(steps, name))
        own |= {"dense_kmeans": staticmethod(dense), "name": "gpu", "updates_bounds": False}
        backend = type("Rehearsed", (CpuBackend,), own)()
        select._gpu = lambda: (backend, "a rehearsal")
        select.why_not_gpu = lambda: None
        yield


def main() -> None:
    import gpu_kmeans
    from bench.gpu_check import __main__ as command
    from bench.gpu_check import checks, measurements

    small = Zipf(300, 500, topics=10, mean_length=12)
    bench.cases.CORPORA.update({measurements.SHAPE: small, measurements.LARGE: small})
    measurements.CLUSTERS, measurements.REPEATS, measurements.COMPONENTS = (5, 8), 1, 8
    checks.LIMITED_ROWS = 2_000
    describe = checks.describe
    checks.describe = lambda: describe() | {"gpu": "none: a rehearsal"}
    with stand_ins():
        gpu_kmeans.why_not_gpu = lambda: None
        if sys.argv[-1] == "--all":
            for name in sys.argv[1:-1]:
                command.section(name).work(sample.paths(), lambda name=name, **it: say(name, it))
        else:
            command.main()


def say(name: str, figures: dict[str, Any]) -> None:
    print(json.dumps({"section": name, **figures}), flush=True)


if __name__ == "__main__":
    main()
