"""Clusters as users name them: the current client, an address, workers of this machine."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gpu_kmeans.distributed import DaskBackend
from gpu_kmeans.errors import BackendUnavailable, InvalidParam, shown

__all__ = ["connected", "current"]

CONNECT_SECONDS = 15
"""Seconds after which a scheduler that does not answer is said not to."""


def current() -> DaskBackend:
    """The backend of the client that was made last.

    Raises
    ------
    BackendUnavailable
        Dask is not installed, or there is no client.
    """
    try:
        return DaskBackend(_library().default_client())
    except ValueError:
        raise BackendUnavailable(
            "backend='dask' takes the client that was made last, and there is none: "
            "client = distributed.Client(ADDRESS), or distributed.Client() for this machine"
        ) from None


@contextmanager
def connected(scheduler: str) -> Iterator[DaskBackend]:
    """Connect to a scheduler by its address, or start one with ``local`` or ``local:N``.

    N workers of one thread each, as many as cores if nothing is said, end with the context.

    Raises
    ------
    InvalidParam
        It is neither.
    BackendUnavailable
        Dask is not installed, or nothing answers at the address.
    """
    local = re.fullmatch(r"local(?::([1-9]\d{0,3}))?", scheduler)
    is_address = re.fullmatch(r"([a-z]+://)?[^\s/]+:\d{1,5}", scheduler)
    if local is None and (scheduler.startswith("local:") or not is_address):
        raise InvalidParam(
            f"scheduler must be ADDRESS:PORT, such as tcp://10.0.0.1:8786, local or local:N with "
            f"N of 1 to 9999 workers, got {shown(scheduler)}"
        )
    library = _library()
    if local is not None:
        count = int(local[1]) if local[1] else None
        with (
            library.LocalCluster(
                n_workers=count,
                threads_per_worker=1,
                processes=True,
                dashboard_address=":0",
                silence_logs="ERROR",
            ) as cluster,
            library.Client(cluster) as client,
        ):
            yield DaskBackend(client)
        return
    try:
        client = library.Client(scheduler, timeout=CONNECT_SECONDS)
    except (OSError, ValueError) as problem:
        raise BackendUnavailable(
            f"no Dask scheduler answers at {scheduler} ({problem}): start one by "
            "`dask scheduler`, and workers by `dask worker ADDRESS`"
        ) from problem
    with client:
        yield DaskBackend(client)


def _library() -> Any:
    try:
        import distributed
    except ImportError:
        raise BackendUnavailable(
            "dask and distributed are not installed; in a clone of gpu-kmeans: "
            'pip install ".[dask]"'
        ) from None
    return distributed
