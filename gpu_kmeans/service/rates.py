"""How many requests a client may make in a minute: by its key, or its address without one."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable

from gpu_kmeans.service.problems import Problem

__all__ = ["Rates"]

MINUTE = 60.0
MOST_CLIENTS = 100_000
"""Maximum number of clients that are remembered; those that were not here for the longest go."""


class Rates:
    """A bucket of requests for each client, which fills again evenly (token bucket).

    Parameters
    ----------
    a_minute : int
        Requests that a client may make in a minute, all at once or not; 0 for any number.
    clock : callable
        Seconds that only ever rise.
    """

    def __init__(self, a_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = a_minute
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def count(self, client: str) -> None:
        """Count a request.

        Raises
        ------
        Problem
            429 ``too_many_requests``, with the seconds until the next one may come.
        """
        if not self._most:
            return
        now, a_second = self._clock(), self._most / MINUTE
        left, since = self._buckets.pop(client, (float(self._most), now))
        left = min(self._most, left + (now - since) * a_second)
        passed = left >= 1
        self._buckets[client] = (left - 1 if passed else left, now)
        if len(self._buckets) > MOST_CLIENTS:
            self._buckets.popitem(last=False)
        if not passed:
            seconds = max(1, math.ceil((1 - left) / a_second))
            raise Problem(
                429,
                "too_many_requests",
                f"more than {self._most} requests a minute (client_requests_per_minute): the next "
                f"one may come in {seconds} s",
                {"Retry-After": str(seconds)},
            )
