"""Questions to model versions that take a process of their own, and the answers of the last ones.

A version never changes, so that an answer stays true; those who ask the same meanwhile wait for
the same.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from gpu_kmeans.files import remove
from gpu_kmeans.service.model_files import link_version
from gpu_kmeans.service.registry import Row
from gpu_kmeans.service.settings import Settings
from gpu_kmeans.service.store import Store
from gpu_kmeans.service.work import WorkLimits, run_worker
from gpu_kmeans.service.worker_files import ANSWER, ARRAYS

__all__ = ["Answer", "Questions"]

AT_ONCE = 2
"""Number of processes that answer at the same time; others wait for their turn."""
CACHED_BYTES = 1 << 26
"""Bytes of the answers that are kept, and not counted with those of the models."""


@dataclass(frozen=True)
class Answer:
    """What a process has answered.

    Attributes
    ----------
    data : dict
    columns : dict of str to ndarray
        Numbers of many items, where there are such.
    bytes : int
        Memory that it takes, about.
    """

    data: Row
    columns: dict[str, NDArray[Any]] = field(default_factory=dict)
    bytes: int = 0


class Questions:
    """Asks processes, and keeps the last answers.

    Parameters
    ----------
    store : Store
    settings : Settings
    """

    def __init__(self, store: Store, settings: Settings) -> None:
        self.store = store
        self.settings = settings
        self._answers: OrderedDict[bytes, Answer] = OrderedDict()
        self._asked: dict[bytes, asyncio.Task[Answer]] = {}
        self.turns = asyncio.Semaphore(AT_ONCE)
        """Held by each process while it answers, and by those that change versions."""

    async def ask(self, task: str, versions: Mapping[str, Row], **asked: Any) -> Answer:
        """Return what a process answers.

        Parameters
        ----------
        task : str
            One of the worker's.
        versions : dict of str to dict
            Rows of the versions that it is about, by the names that their folders have for it.
        **asked
            More of the question: what JSON can hold.

        Raises
        ------
        Problem
            What the process said was wrong, or 409 where a version's files are missing.
        """
        folders = {name: row["folder"] for name, row in versions.items()}
        key = orjson.dumps([task, folders, asked], option=orjson.OPT_SORT_KEYS)
        answer = self._answers.get(key)
        if answer is not None:
            self._answers.move_to_end(key)
            return answer
        running = self._asked.get(key)
        if running is None:
            running = asyncio.create_task(self._answered(key, task, versions, asked))
            self._asked[key] = running
            running.add_done_callback(lambda _: self._asked.pop(key, None))
        return await asyncio.shield(running)

    async def _answered(
        self, key: bytes, task: str, versions: Mapping[str, Row], asked: Row
    ) -> Answer:
        async with self.turns:
            scratch = await asyncio.to_thread(self.store.scratch)
            try:
                for name, row in versions.items():
                    await asyncio.to_thread(link_version, self.store, row, scratch / name)
                spec = {
                    "task": task,
                    "folder": str(scratch),
                    "max_answer_bytes": self.settings.max_answer_bytes,
                    **asked,
                }
                await run_worker(spec, WorkLimits.of_check(self.settings))
                answer = await asyncio.to_thread(_read, scratch)
            finally:
                remove(scratch)  # at once: the service may be ending
        self._answers[key] = answer
        while len(self._answers) > 1 and self._bytes > CACHED_BYTES:
            self._answers.popitem(last=False)
        return answer

    @property
    def _bytes(self) -> int:
        return sum(answer.bytes for answer in self._answers.values())


def _read(folder: Path) -> Answer:
    content = (folder / ANSWER).read_bytes()
    columns: dict[str, NDArray[Any]] = {}
    if (folder / ARRAYS).exists():
        with np.load(folder / ARRAYS, allow_pickle=False) as arrays:
            columns = {name: arrays[name] for name in arrays.files}
    size = len(content) + sum(column.nbytes for column in columns.values())
    return Answer(orjson.loads(content), columns, size)
