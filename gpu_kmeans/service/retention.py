"""Which versions stay: the newest so many of a model, the one that answers, and those in use."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from gpu_kmeans.service.audit import write_audit
from gpu_kmeans.service.models import Models
from gpu_kmeans.service.store import Store

__all__ = ["Retention"]

log = logging.getLogger("gpu_kmeans.service")


class Retention:
    """Removes old versions, if it is told to.

    Parameters
    ----------
    store : Store
    models : Models
    count : int
        Number of versions of each model that stay, beside the active one; 0 for all.
    """

    def __init__(self, store: Store, models: Models, count: int) -> None:
        self._store = store
        self._models = models
        self._count = count
        self._used: Counter[str] = Counter()

    @contextmanager
    def using(self, folder: str) -> Iterator[None]:
        """Let a version stay for as long as the block lasts."""
        self._used[folder] += 1
        try:
            yield
        finally:
            self._used[folder] -= 1
            if not self._used[folder]:
                del self._used[folder]

    async def prune(self, name: str) -> None:
        """Remove the versions of a model that need not stay; what is in use goes the next time."""
        if not self._count:
            return
        registry, used = self._store.registry, set(self._used)
        removed = await asyncio.to_thread(registry.prune_versions, name, self._count, used)
        if not removed:
            return
        folders = list(removed.values())
        for folder in folders:
            self._models.forget(folder)
        await asyncio.to_thread(self._store.discard, *folders)
        about = {"action": "versions pruned", "model": name, "versions": sorted(removed)}
        log.info("change", extra=about)
        await asyncio.to_thread(write_audit, self._store.folder, about)
