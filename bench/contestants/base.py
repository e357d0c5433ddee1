"""Contestants: how they are asked, what they declare, and when they cannot run."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, ClassVar, Literal, NamedTuple

__all__ = ["GIVEN_ITERATIONS", "CannotRun", "Contestant", "Fit", "dense", "threads"]

GIVEN_ITERATIONS = 100
"""Number of iterations of a library without a stopping rule."""


class CannotRun(Exception):
    """This cannot be measured here; the message says why."""


class Fit(NamedTuple):
    """Labels on the host, and the iterations that led to them (None where they are unknown)."""

    labels: Any
    n_iter: int | None


class Contestant:
    """One library's k-means as it is called here. Subclasses import the library late.

    Attributes
    ----------
    name, title : str
        In commands and records; in tables and figures.
    needs : tuple of str
        Modules that must be installed.
    device : {"cpu", "gpu"}
    rows : {"any", "dense", "densified"}
        What it clusters: sparse rows as they are; dense rows only; or sparse rows after they were
        made dense, where that fits into memory.
    item_bytes : int
        Of one number of the dense rows.
    questions : tuple of str
        What it is asked, see :mod:`bench.questions`.
    subsamples : str
        How it looks at a part of the rows only; empty where it looks at all.
    stops : str
        How it stops before it has converged; empty where it goes on.
    remark : str
        What else a reader of its figures should know.
    environment : dict
        Variables of its process.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = ()
    device: ClassVar[Literal["cpu", "gpu"]] = "cpu"
    rows: ClassVar[Literal["any", "dense", "densified"]] = "any"
    item_bytes: ClassVar[int] = 4
    questions: ClassVar[tuple[str, ...]] = ("iteration", "convergence", "target")
    subsamples: ClassVar[str] = ""
    stops: ClassVar[str] = ""
    remark: ClassVar[str] = ""
    environment: ClassVar[dict[str, str]] = {}
    stops_at_target: ClassVar[bool] = False
    """Whether ``converge`` takes an inertia to stop at."""

    def obstacle(self) -> str | None:
        """Say what keeps it from running here, without importing it; None if nothing does."""
        missing = [module for module in self.needs if find_spec(module) is None]
        return f"not installed: {', '.join(missing)}" if missing else None

    def too_much(self, sparse: bool, shape: tuple[int, int], memory: float) -> str | None:
        """Say why these rows are not for it, before any memory is spent; None if they are."""
        if not sparse or self.rows == "any":
            return None
        if self.rows == "dense":
            return "takes dense rows only"
        needed = self.item_bytes * shape[0] * shape[1] / 2**30
        if needed > memory:
            return f"would need {needed:.1f} GiB for dense rows; the case allows {memory:g} GiB"
        return None

    def prepare(self, rows: Any) -> Any:
        """Bring the rows into the form that the library takes; not timed."""
        return rows

    def iterate(self, rows: Any, k: int, start: Any, iterations: int) -> Fit:
        """Run so many iterations of Lloyd's algorithm from given centroids (k, n_features)."""
        raise NotImplementedError

    def converge(
        self,
        rows: Any,
        k: int,
        seed: int,
        *,
        limit: int | None = None,
        stop_at: float | None = None,
    ) -> Fit:
        """Fit once as the library would: its own start, its own end.

        ``limit`` bounds the iterations; ``stop_at`` is an inertia to stop at, for those that can.
        """
        raise NotImplementedError

    def vectorize(self, texts: list[str]) -> Any:
        """Turn texts into TF-IDF rows, CSR, without English stop words."""
        raise NotImplementedError

    def ranker(self, movies: str, credits: str, k: int) -> Callable[[str], list[str]]:
        """Get ready to answer queries with ten titles each."""
        raise NotImplementedError

    def script(self) -> str:
        """Source of the article's job, see :mod:`bench.article`; ends with the labels known."""
        raise NotImplementedError


def threads() -> int:
    """Threads that this process was told to use."""
    return int(os.environ["OMP_NUM_THREADS"])


def dense(rows: Any) -> Any:
    """The rows as a dense float32 array."""
    import numpy as np

    made = rows.toarray() if hasattr(rows, "toarray") else rows
    return np.ascontiguousarray(made, dtype=np.float32)
