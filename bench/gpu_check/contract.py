"""The project's tests that have a backend, on the GPU: file by file, and under a sanitizer."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.gpu_check.processes import Note, run

__all__ = ["files", "one_file", "sanitized"]

ROOT = Path(__file__).resolve().parents[2]
FIRST = "test_verbs"
"""The file that compares verb by verb: what fails there explains what fails elsewhere."""
KERNELS = ("tests/test_verbs.py", "-k", "sums or assign or move or norms or products")
"""What runs under a sanitizer, which is ten to a hundred times slower."""
SANITIZER_SECONDS = 560
WRONG = 86
"""The status with which the sanitizer ends where it has something to report."""


def files(seconds: float) -> tuple[list[str], str | None]:
    """Name the files that have tests with a backend; and say what kept pytest from finding all.

    A file that cannot be read for tests is among them: it is to fail by itself.
    """
    command = [sys.executable, "-m", "pytest", "tests", "--backend", "gpu", "--collect-only", "-q"]
    trouble = None
    try:
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, errors="replace", timeout=seconds
        )
        names = set(re.findall(r"^(?:ERROR )?tests/(test_\w+)\.py", done.stdout, re.MULTILINE))
        if done.returncode:
            trouble = f"pytest ended with {done.returncode} when it looked for tests"
    except subprocess.TimeoutExpired:
        names, trouble = set(), f"pytest did not find the tests within {seconds:g} s"
    if not names:
        trouble = trouble or "pytest found no test that has a backend"
        tests = sorted((ROOT / "tests").glob("test_*.py"))
        names = {
            path.stem
            for path in tests
            if re.search(r"\bbackend(_name)?\b", path.read_text("utf-8"))
        }
    return sorted(names, key=lambda name: (name != FIRST, name)), trouble


class Outcomes:
    """Notes what becomes of each test when it is known: a crash leaves the name of its test."""

    def __init__(self, note: Note) -> None:
        self.note = note
        self.passed = 0
        self.wrong: list[str] = []
        self.skipped: list[str] = []

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.note(running=nodeid)

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            last = str(report.longreprtext).strip().splitlines()[-1:]
            self.wrong.append(f"{report.nodeid} ({report.when}): {' '.join(last)}"[:300])
            self.note(wrong=self.wrong)
        elif report.skipped:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
            self.skipped.append(f"{report.nodeid}: {reason}"[:300])
            self.note(skipped_tests=self.skipped)
        elif report.when == "call":
            self.passed += 1
            self.note(passed=self.passed)


def one_file(module: str, note: Note) -> None:
    """Run the tests of one file that have a backend; one that ran no test has failed."""
    outcomes = Outcomes(note)
    path = str(ROOT / "tests" / f"{module}.py")
    options = ["--backend", "gpu", "-q", "--rootdir", str(ROOT), "-p", "no:cacheprovider"]
    status = int(pytest.main([path, *options], plugins=[outcomes]))
    note(running=None, passed=outcomes.passed)
    if outcomes.wrong:
        note(failed=f"{len(outcomes.wrong)} tests")
    elif not outcomes.passed:
        note(failed=f"it ran no test; {len(outcomes.skipped)} were skipped")
    elif status:
        note(failed=f"pytest ended with {status}")


def sanitized(tool: str, note: Note) -> None:
    """Run the kernels' tests under a tool of compute-sanitizer."""
    sanitizer = shutil.which("compute-sanitizer")
    if sanitizer is None:
        note(skipped="compute-sanitizer is not installed")
        return
    command = [sanitizer, "--tool", tool, "--error-exitcode", str(WRONG), sys.executable]
    command += ["-m", "pytest", *KERNELS, "--backend", "gpu", "-q", "--hypothesis-seed=0"]
    lines: list[str] = []

    def echo(line: str) -> None:
        lines.append(line)
        print(line, flush=True)

    done = run(command, SANITIZER_SECONDS, echo=echo)
    summaries = [line for line in lines if "SUMMARY" in line]
    counts = [int(count) for line in lines for count in re.findall(r"\b(\d+) passed", line)]
    note(summaries=summaries, passed=sum(counts))
    # The process is not a section: it says nothing of its end, but pytest and the sanitizer do.
    if done["failed"].startswith(("exit", "ended by", "stopped")):
        note(failed=done["failed"])
    elif not sum(counts) or not summaries:
        note(failed="it ran no test, or the sanitizer gave no summary")
