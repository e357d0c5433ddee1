"""Which stage a fit is in, and how long each took."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["Stages"]


class Stages:
    """Tells which stage begins and keeps how long each took, in wall-clock seconds."""

    def __init__(self, tell: Callable[[str], None] | None) -> None:
        self.seconds: dict[str, float] = {}
        self._tell = tell
        self._name = ""
        self._start = self._began = time.perf_counter()

    def begin(self, name: str) -> None:
        self._finish()
        self._name = name
        if self._tell is not None:
            self._tell(name)

    def end(self) -> None:
        self._finish()
        self.seconds["total"] = self._began - self._start

    def _finish(self) -> None:
        now = time.perf_counter()
        if self._name:
            self.seconds[self._name] = self.seconds.get(self._name, 0.0) + now - self._began
        self._began = now
