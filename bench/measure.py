"""What every benchmark states and how it judges: the machine, medians, inertia from labels."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

__all__ = ["judge", "machine", "repeat", "summary", "write"]

PEERS = ("scikit-learn",)


def machine() -> dict[str, Any]:
    """What ran this: processor, cores, GPU, and the versions that matter."""
    from gpu_kmeans.doctor import diagnose

    found = diagnose()
    versions = dict(found.versions)
    for name in PEERS:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "processor": _processor(),
        "cores": found.usable_cores,
        "memory_bytes": found.memory_bytes,
        "threads": os.environ.get("OMP_NUM_THREADS", "as many as cores"),
        "system": found.platform,
        "python": platform.python_version(),
        "gpu": None if found.device is None else str(found.device),
        "driver_cuda": found.cuda or None,
        "accelerators": found.accelerators,
        "versions": versions,
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    model = next((line.split(":")[1].strip() for line in lines if "model name" in line), "")
    return model or platform.processor()


def repeat(call: Callable[[], Any], times: int, warm_up: int = 1) -> dict[str, float]:
    """Seconds of a call, measured some times after unmeasured ones."""
    for _ in range(warm_up):
        call()
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return summary(seconds) | {"repeats": times, "warm_up": warm_up}


def summary(values: list[float]) -> dict[str, float]:
    """Median and extremes, rounded to what the measurement can tell."""
    return {
        "median": float(f"{statistics.median(values):.4g}"),
        "min": float(f"{min(values):.4g}"),
        "max": float(f"{max(values):.4g}"),
    }


def judge(rows: Any, labels: Any, k: int) -> float:
    """Inertia of a labeling: squared norms less what the cluster means explain, in float64."""
    import numpy as np
    from scipy import sparse

    n = rows.shape[0]
    members = sparse.csr_array((np.ones(n), (labels, np.arange(n))), shape=(k, n))
    wide = rows.astype(np.float64)
    sums = members @ wide
    explained = sums.multiply(sums).sum(axis=1) / np.maximum(members.sum(axis=1), 1)
    return float(wide.multiply(wide).sum() - explained.sum())


def write(record: dict[str, Any], out: Path | None) -> None:
    """Print a record as JSON, and keep it whole or not at all where a file was named."""
    text = json.dumps(record, indent=2)
    print(text)
    if out is not None:
        partial = out.with_name(f"{out.name}.part")
        partial.write_text(text + "\n", encoding="utf-8")
        partial.replace(out)
