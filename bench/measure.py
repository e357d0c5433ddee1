"""What all benchmarks share: a description of the machine, medians, inertia from labels."""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

__all__ = [
    "enough",
    "judge",
    "machine",
    "often",
    "peak_bytes",
    "repeat",
    "sizes",
    "spread",
    "summary",
    "write",
]

PEERS = (
    "scikit-learn",
    "scikit-learn-intelex",
    "sparsekmeans",
    "python-graphblas",
    "superkmeans",
    "flash-kmeans",
    "torch",
)

SLOW, SLOWER = 4.0, 20.0
"""Seconds of a whole fit above which it is repeated three times, and above which it is not."""
MANY = 9
"""Minimum number of values that get quartiles: their extremes say more about the machine."""
MOST_REPEATS, TOGETHER = 101, 2.0
"""Maximum number of repeats of a short run, and seconds that they may take together: short runs are
repeated more often than asked for, as their times scatter more."""


def machine() -> dict[str, Any]:
    """Describe the machine: processor, cores, GPU, and the versions that matter."""
    from gpu_kmeans.backends.doctor import diagnose

    diagnosis = diagnose()
    versions = dict(diagnosis.versions)
    for name in PEERS:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "processor": _processor(),
        "cores": diagnosis.usable_cores,
        "memory_bytes": diagnosis.memory_bytes,
        "threads": os.environ.get("OMP_NUM_THREADS", "as many as cores"),
        "system": diagnosis.platform,
        "python": platform.python_version(),
        "gpu": None if diagnosis.device is None else str(diagnosis.device),
        "driver": diagnosis.driver or None,
        "driver_cuda": diagnosis.cuda or None,
        "accelerators": diagnosis.accelerators,
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


def often(seconds: float, wanted: int) -> int:
    """How often to repeat a run that takes so many seconds: as wanted, short ones more often."""
    return max(wanted, min(MOST_REPEATS, int(TOGETHER / max(seconds, 1e-3))))


def enough(seconds: float, wanted: int) -> tuple[int, str | None]:
    """How often to repeat a whole fit, and why fewer times than wanted."""
    if seconds > SLOWER and wanted > 1:
        return 1, f"one run takes {seconds:.0f} s; above {SLOWER:g} s there is only one"
    if seconds > SLOW and wanted > 3:
        return 3, f"one run takes {seconds:.1f} s; above {SLOW:g} s there are three"
    return often(seconds, wanted), None


def peak_bytes() -> int:
    """The most memory that this process has held.

    Not ``ru_maxrss`` where Linux offers better: that figure is inherited from the process that
    started this one.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else used * 1024


def summary(values: list[float]) -> dict[str, float]:
    """Median and extremes, and quartiles of many values, rounded to four digits."""
    figures = {"median": statistics.median(values), "min": min(values), "max": max(values)}
    if len(values) >= MANY:
        first, _, third = statistics.quantiles(values, n=4, method="inclusive")
        figures |= {"first_quartile": first, "third_quartile": third}
    return {name: float(f"{value:.4g}") for name, value in figures.items()}


def spread(seconds: dict[str, float]) -> tuple[float, float]:
    """Range of values: the middle half of many, all of few."""
    low = seconds.get("first_quartile", seconds["min"])
    return low, seconds.get("third_quartile", seconds["max"])


def judge(rows: Any, labels: Any, k: int) -> float:
    """Inertia of a labeling: squared norms less what the cluster means explain, in float64.

    ``rows`` are sparse or dense, of shape (n, n_features).
    """
    import numpy as np
    from scipy import sparse

    n = rows.shape[0]
    members = sparse.csr_array((np.ones(n), (labels, np.arange(n))), shape=(k, n))
    wide = sparse.csr_array(rows, dtype=np.float64)
    sums = sparse.csr_array(members @ wide)
    explained = sums.multiply(sums).sum(axis=1) / np.maximum(members.sum(axis=1), 1)
    return float(np.square(wide.data).sum() - explained.sum())


def sizes(labels: Any, k: int) -> dict[str, int]:
    """How many rows the clusters hold."""
    import numpy as np

    count = np.bincount(labels, minlength=k)
    return {
        "min": int(count.min()),
        "median": int(np.median(count)),
        "max": int(count.max()),
        "empty": int((count == 0).sum()),
    }


def write(record: dict[str, Any], out: Path | None) -> None:
    """Print a record as JSON, and keep it whole or not at all where a file was named."""
    text = json.dumps(record, indent=2)
    print(text)
    if out is not None:
        partial = out.with_name(f"{out.name}.part")
        partial.write_text(text + "\n", encoding="utf-8")
        partial.replace(out)
