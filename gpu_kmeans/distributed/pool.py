"""The workers that hold parts of rows: which holds which, what each knows, and what if one is lost.

A step goes to all workers that have some of its rows, at once, and each is sent what it lacks
first: a view's row numbers, sums of clusters and the moves since. A worker that is lost has its
parts read again by the others, and the step is done again; it changes nothing that a second time
would spoil. A part that is lost twice ends the work.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.backends.protocol import Backend
from gpu_kmeans.distributed.worker import Base, Form, Move, StateLost, Target, drop, work
from gpu_kmeans.errors import WorkersLost

__all__ = ["Pool", "SharedSums", "View"]

Arguments: TypeAlias = Callable[[NDArray[np.int64] | None], tuple[Any, ...]]
"""Makes a step's arguments for some rows, by their positions; None stands for all rows."""
Step: TypeAlias = tuple[str, tuple[Any, ...]]
"""Name of a method of the worker's session, and its arguments."""

MOST_LOSSES = 1
"""Number of times that a part may be lost with its worker."""
LOOK_AFTER = 1.0
"""Seconds after which it is asked whether a worker that has not answered is still there."""


@dataclass(frozen=True, eq=False)
class View:
    """Some of the rows, by their numbers, in any order."""

    number: int
    which: NDArray[np.int64]


@dataclass(eq=False)
class SharedSums:
    """Sums of clusters that workers hold, too: as they were formed, and the moves since."""

    number: int
    base: Base
    moves: list[Move] = field(default_factory=list)


@dataclass
class _Known:
    """What a worker holds beside its rows."""

    views: set[tuple[Form, int]] = field(default_factory=set)
    clusters: dict[int, int] = field(default_factory=dict)
    """Number of moves that its sums of clusters have followed."""
    stale_views: list[tuple[Form, int]] = field(default_factory=list)
    stale_clusters: list[int] = field(default_factory=list)


class Pool:
    """Workers of a client that hold parts of rows.

    Parameters
    ----------
    client : distributed.Client
    backend : Backend
        What each worker reckons with.
    load : callable
        Reads the part of a number, again where its worker was lost.
    lengths : sequence of int
        Number of rows of each part.
    """

    def __init__(
        self, client: Any, backend: Backend, load: Callable[[int], Any], lengths: Sequence[int]
    ) -> None:
        self.client = client
        self.backend = backend
        self.session = uuid.uuid4().hex
        self._load = load
        self._starts = np.concatenate(([0], np.cumsum(lengths, dtype=np.int64)))
        self._losses = np.zeros(len(lengths), dtype=np.int64)
        self._known: dict[str, _Known] = {}
        self._gone: set[str] = set()
        workers = self._present()
        self._holders: list[str] = [workers[p % len(workers)] for p in range(len(lengths))]
        """Address of the worker that holds each part."""
        self._draw_layout()
        self._send_parts({w: self._parts_of(w) for w in self.workers})

    @property
    def workers(self) -> list[str]:
        """Addresses of the workers that hold rows, in a lasting order."""
        return sorted(set(self._holders))

    def step(
        self,
        name: str,
        form: Form,
        view: View | None,
        arguments: Arguments,
        sums: SharedSums | None = None,
    ) -> list[tuple[NDArray[np.int64], Any]]:
        """Do a step on all workers that have rows of the view, or any rows.

        Returns
        -------
        list of (positions, result)
            For each worker the positions of its rows in the view, or among all rows.

        Raises
        ------
        WorkersLost
            A part was lost twice, or no worker is left.
        """
        while True:
            jobs: dict[str, Callable[[], Any]] = {}
            positions: dict[str, NDArray[np.int64]] = {}
            for worker, its_positions, local in self._shares(view):
                positions[worker] = its_positions
                jobs[worker] = self._job(
                    worker, name, form, view, local, arguments(its_positions), sums
                )
            results, lost = self._at_once(jobs)
            if not lost:
                return [(positions[worker], results[worker]) for worker in jobs]
            self._recover(lost)

    def let_go(self, view: tuple[Form, int] | None = None, sums: int | None = None) -> None:
        """Have workers forget a view, or sums of clusters, when they are next asked something."""
        for known in list(self._known.values()):
            if view is not None and view in known.views:
                known.views.discard(view)
                known.stale_views.append(view)
            if sums is not None and known.clusters.pop(sums, None) is not None:
                known.stale_clusters.append(sums)

    def close(self) -> None:
        """Have workers forget everything, as far as they can be reached."""
        workers = [worker for worker in self.workers if worker not in self._gone]
        with suppress(Exception):  # at the end of a program the client may be gone
            self.client.run(drop, self.session, workers=workers, wait=False)

    # -- rows and their holders ----------------------------------------------------------

    def _parts_of(self, worker: str) -> list[int]:
        return [part for part, holder in enumerate(self._holders) if holder == worker]

    def _draw_layout(self) -> None:
        """Note which worker has which row, and where among its own."""
        n = int(self._starts[-1])
        self._worker_of = np.zeros(n, dtype=np.int32)
        self._local_of = np.zeros(n, dtype=np.int64)
        for index, worker in enumerate(self.workers):
            count = 0
            for part in self._parts_of(worker):
                first, end = self._starts[part], self._starts[part + 1]
                self._worker_of[first:end] = index
                self._local_of[first:end] = np.arange(count, count + end - first)
                count += int(end - first)

    def _shares(
        self, view: View | None
    ) -> list[tuple[str, NDArray[np.int64], NDArray[np.int64] | None]]:
        """Workers with their rows: positions in the view, and numbers among the worker's own."""
        holder = self._worker_of if view is None else self._worker_of[view.which]
        shares = []
        for index, worker in enumerate(self.workers):
            positions = np.flatnonzero(holder == index)
            if len(positions):
                local = None if view is None else self._local_of[view.which[positions]]
                shares.append((worker, positions, local))
        return shares

    # -- calls -------------------------------------------------------------------------

    def _job(
        self,
        worker: str,
        name: str,
        form: Form,
        view: View | None,
        local: NDArray[np.int64] | None,
        arguments: tuple[Any, ...],
        sums: SharedSums | None,
    ) -> Callable[[], Any]:
        """A call that sends a worker what it lacks, and has it do a step."""
        known = self._known[worker]
        steps: list[Step] = []
        stale = known.stale_views, known.stale_clusters
        if any(stale):
            steps.append(("forget", stale))
        n_moves = 0
        if sums is not None:
            n_moves, followed = len(sums.moves), known.clusters.get(sums.number)
            if followed is None:
                steps.append(("follow", (sums.number, sums.base, list(sums.moves))))
            elif followed < n_moves:
                steps.append(("follow", (sums.number, None, sums.moves[followed:])))
        target = Target(form)
        if view is not None:
            has_it = (form, view.number) in known.views
            target = Target(form, view.number, None if has_it else local)
        steps.append((name, (target, *arguments)))

        def call() -> Any:
            result = self._run(worker, None, steps)[-1]
            known.stale_views, known.stale_clusters = [], []
            if sums is not None:
                known.clusters[sums.number] = n_moves
            if view is not None:
                known.views.add((form, view.number))
            return result

        return call

    def _run(self, worker: str, backend: Backend | None, steps: list[Step]) -> list[Any]:
        answers = self.client.run(work, self.session, backend, steps, workers=[worker])
        if worker not in answers:
            raise OSError(f"{worker} is not there")
        result: list[Any] = answers[worker]
        return result

    def _at_once(self, jobs: dict[str, Callable[[], Any]]) -> tuple[dict[str, Any], list[str]]:
        """Make calls of several workers at once; return their results, and who was lost."""
        results: dict[str, Any] = {}
        problems: dict[str, BaseException] = {}

        def attempt(worker: str) -> None:
            try:
                results[worker] = jobs[worker]()
            except BaseException as problem:
                problems[worker] = problem

        threads = {w: threading.Thread(target=attempt, args=(w,), daemon=True) for w in jobs}
        for thread in threads.values():
            thread.start()
        lost = [worker for worker, thread in threads.items() if not self._wait(worker, thread)]
        for worker, problem in problems.items():
            if not isinstance(problem, (OSError, StateLost)):
                raise problem
            lost.append(worker)
        return results, sorted(set(lost))

    def _wait(self, worker: str, thread: threading.Thread) -> bool:
        """Wait for a call; tell whether the worker is there to answer it."""
        while True:
            thread.join(LOOK_AFTER)
            if not thread.is_alive():
                return True
            if worker not in self._addresses():
                return False

    # -- losses ------------------------------------------------------------------------

    def _addresses(self) -> list[str]:
        try:
            return sorted(self.client.scheduler_info(n_workers=-1)["workers"])
        except Exception as problem:
            raise WorkersLost(f"the Dask scheduler does not answer: {problem}") from problem

    def _present(self) -> list[str]:
        """Workers that can be given parts."""
        workers = [worker for worker in self._addresses() if worker not in self._gone]
        if not workers:
            raise WorkersLost("the Dask cluster has no worker left: start one, and fit again")
        return workers

    def _recover(self, lost: list[str]) -> None:
        """Give the parts of lost workers to others, which read them again."""
        while lost:
            self._gone.update(lost)
            parts = [part for part, holder in enumerate(self._holders) if holder in lost]
            self._losses[parts] += 1
            if (self._losses > MOST_LOSSES).any():
                twice = np.flatnonzero(self._losses > MOST_LOSSES)
                raise WorkersLost(
                    f"{len(twice)} parts of the rows were lost twice, at last with "
                    f"{', '.join(lost)}: look at the workers' logs (their memory may be too "
                    "small), and fit again"
                )
            for worker in lost:
                self._known.pop(worker, None)
            workers = self._present()
            for position, part in enumerate(parts):
                self._holders[part] = workers[position % len(workers)]
            self._draw_layout()
            added: dict[str, list[int]] = {}
            for part in parts:
                added.setdefault(self._holders[part], []).append(part)
            lost = self._send_parts(added, again=True)

    def _send_parts(self, parts: dict[str, list[int]], again: bool = False) -> list[str]:
        """Have workers take parts; return who was lost over it."""

        def call(worker: str) -> Callable[[], Any]:
            def send() -> None:
                loaded = {part: self._load(part) for part in parts[worker]}
                self._run(worker, self.backend, [("load", (loaded,))])

            return send

        for worker in parts:
            known = self._known.setdefault(worker, _Known())
            known.views.clear()  # which are other rows among its own now
        _, lost = self._at_once({worker: call(worker) for worker in parts})
        if lost and not again:
            self._recover(lost)
        return lost
