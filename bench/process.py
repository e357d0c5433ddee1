"""One fresh process for one question to one contestant, held to its time and memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["apart"]

ROOT = Path(__file__).resolve().parents[1]
POLL = 0.05
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
"""Variables of the number of threads: a library left to itself takes all cores, or half."""
KERNEL_VARIABLES = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
"""Variables that would make a library's BLAS another one than its users have."""


def apart(
    spec: dict[str, Any],
    folder: Path,
    *,
    timeout: float,
    memory: float,
    environment: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Answer a spec in a process of its own; at most so many seconds and so many GiB.

    ``environment`` is added to this one's. The memory is that of the process as Linux reports it,
    looked at twenty times a second; other systems set no limit.
    """
    folder.mkdir()
    (folder / "spec.json").write_text(json.dumps(spec), encoding="utf-8")
    inherited = {name: value for name, value in os.environ.items() if name not in KERNEL_VARIABLES}
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    variables = inherited | {name: str(spec["threads"]) for name in THREAD_VARIABLES}
    variables |= {"PYTHONPATH": os.pathsep.join(path for path in paths if path)}
    variables |= environment or {}
    with (folder / "printed").open("wb") as printed:
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.worker", str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=printed,
            env=variables,
        )
        try:
            stopped = _watch(process, timeout, memory)
        finally:
            process.kill()
            process.wait()
    if stopped is not None:
        return {"failed": stopped}
    answer = folder / "answer.json"
    if not answer.exists():
        last = (folder / "printed").read_text(errors="replace").strip().splitlines()[-1:]
        reason = f": {last[0][:300]}" if last else ""
        return {"failed": f"the process ended with status {process.returncode}{reason}"}
    result: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
    return result


def _watch(process: subprocess.Popen[bytes], timeout: float, memory: float) -> str | None:
    """Wait for the process to end; say why where it has to be ended."""
    begun = time.monotonic()
    while True:
        try:
            process.wait(POLL)
            return None
        except subprocess.TimeoutExpired:
            pass
        if time.monotonic() - begun > timeout:
            return f"stopped after {timeout:g} s, the limit of the case"
        held = _held(process.pid)
        if held > memory:
            return f"stopped at {held:.1f} GiB; the case allows {memory:g} GiB"


def _held(pid: int) -> float:
    """GiB of memory that a process holds now; 0 where the system does not tell."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**30
