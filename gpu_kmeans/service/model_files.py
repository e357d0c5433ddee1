"""Files of model versions: lent to a process that works on them, and made into a new version."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from gpu_kmeans.model.storage import FILES
from gpu_kmeans.service.models import missing
from gpu_kmeans.service.problems import Problem
from gpu_kmeans.service.registry import ActiveChanged, Row, VersionGone
from gpu_kmeans.service.store import Store

__all__ = ["changed_meanwhile", "commit_version", "link_version"]


def link_version(store: Store, row: Row, folder: Path) -> None:
    """Give the files of a version names in a new folder, so that they stay while it is read.

    Raises
    ------
    Problem
        409 ``version_missing``.
    """
    folder.mkdir()
    try:
        for name in FILES:
            os.link(store.models / row["folder"] / name, folder / name)
    except FileNotFoundError:  # it may answer from memory still
        raise missing(row["model"], row["version"]) from None


async def commit_version(
    store: Store, base: Row, folder: Path, done: Row, source: str, *, activate: bool
) -> int:
    """Let a model directory be the next version of the model that it was made of.

    Parameters
    ----------
    store : Store
    base : dict
        Row of the version that it was made of. To be activated, the new one needs this one to be
        active still: what another request has changed meanwhile is not to be lost.
    folder : Path
    done : dict
        What the worker said: ``about``, and ``report`` or None for that of the version before.
    source : {"edit", "update"}
    activate : bool

    Raises
    ------
    Problem
        412 ``version_changed``, 404 ``unknown_version``; nothing is stored then.
    """
    report = base["report"] if done["report"] is None else done["report"]
    about: dict[str, Any] = {
        **done["about"],
        "bytes": sum(path.stat().st_size for path in folder.iterdir()),
        "dataset": base["about"]["dataset"],
        "job": None,
        "source": source,
        "based_on": base["version"],
    }
    name, version = base["model"], base["version"]

    def register(stored: str) -> int:
        return store.registry.add_version(
            name, stored, about, report, activate=activate, base=version
        )

    try:
        return await store.commit(folder, store.models, register)
    except ActiveChanged:
        raise changed_meanwhile(name, version) from None
    except VersionGone:
        raise Problem(
            404, "unknown_version", f"version {version} of the model {name!r} was deleted meanwhile"
        ) from None


def changed_meanwhile(name: str, version: int) -> Problem:
    """Return the problem of a change to a version that is not the active one any more."""
    return Problem(
        412,
        "version_changed",
        f"version {version} of the model {name!r} is not the active one (any more), so nothing was "
        "changed: look at the active one and try again, or ask with activate=false",
    )
