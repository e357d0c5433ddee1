"""Standard input where a file is asked for: ``-``, kept in a temporary file while it is read."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import copyfileobj
from tempfile import TemporaryDirectory

from gpu_kmeans.errors import FileProblem

__all__ = ["as_file"]


@contextmanager
def as_file(path: Path) -> Iterator[Path]:
    """Return the path of a file, or for ``-`` that of a copy of standard input.

    Raises
    ------
    FileProblem
        Standard input is closed.
    """
    if str(path) != "-":
        yield path
        return
    if sys.stdin is None:
        raise FileProblem("standard input is closed: give the path of a file")
    with TemporaryDirectory() as folder:
        copy = Path(folder) / "standard input"
        with copy.open("wb") as out:
            copyfileobj(sys.stdin.buffer, out)
        yield copy
