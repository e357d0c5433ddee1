"""What a fit is doing, on standard error, while it does it; only on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from gpu_kmeans.cli import signals

if TYPE_CHECKING:
    from rich.status import Status

    from gpu_kmeans.backends.protocol import Progress

__all__ = ["FitProgress", "shown"]

_DOING = {
    "read": "reading the files",
    "vectorise": "turning texts into TF-IDF rows",
    "cluster": "clustering",
}


class FitProgress:
    """The two callbacks of :func:`gpu_kmeans.pipeline.fit`, shown in one live line."""

    def __init__(self, status: Status | None) -> None:
        self._status = status

    def on_stage(self, name: str) -> None:
        signals.check()
        self.say(_DOING.get(name, name))

    def callback(self, progress: Progress) -> bool:
        signals.check()
        if progress.stage == "sketch":  # its inertia is that of projected rows: no use to people
            self.say("clustering: looking for a start")
        else:
            self.say(
                f"clustering: {progress.stage}, iteration {progress.iteration}, "
                f"inertia {progress.inertia:,.1f}, {progress.moved:,} rows moved"
            )
        return False

    def say(self, text: str) -> None:
        """Show a text in place of the last one."""
        if self._status is not None:
            self._status.update(text)


@contextmanager
def shown(first: str) -> Iterator[FitProgress]:
    """Show a live line for the block; nothing where standard error is not a terminal."""
    with _status(first) as status:
        yield FitProgress(status)


def _status(first: str) -> Any:
    if sys.stderr is None or not sys.stderr.isatty():
        return nullcontext()
    from rich.console import Console

    return Console(stderr=True, highlight=False, markup=False).status(first)
