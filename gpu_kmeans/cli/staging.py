"""Output that appears complete or not at all: written aside, then renamed into place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from gpu_kmeans import files
from gpu_kmeans.cli import signals
from gpu_kmeans.errors import FileProblem

__all__ = ["check_free", "files_into", "folder_at"]


def check_free(path: Path, *, overwrite: bool) -> None:
    """Make sure, before the long work, that a folder can be put at ``path``.

    Raises
    ------
    FileProblem
        Something is there and may not be replaced, or the place cannot be written to.
    """
    if path.is_symlink() or path.exists():
        if path.is_symlink() or not path.is_dir():
            raise FileProblem(f"{path} exists and is not a folder: give another name")
        if not overwrite:
            raise FileProblem(f"{path} exists: give --overwrite to replace it, or another name")
    with signals.held():
        _aside(path.absolute().parent).rmdir()


@contextmanager
def folder_at(path: Path) -> Iterator[Path]:
    """Give a new folder to write in; it takes the place of ``path`` when the block is done.

    When the block fails or is interrupted, nothing of it is left and ``path`` is as before.
    """
    parent = path.absolute().parent
    with _temporary(parent) as aside:
        new, old = aside / "new", aside / "old"
        new.mkdir()
        try:
            yield new
        except FileProblem as problem:  # the name that people know
            raise FileProblem(str(problem).replace(str(new), str(path))) from None
        signals.check()
        with signals.held():
            files.put_in_place(new, path, old)
            files.flush(parent)
            signals.commit()


@contextmanager
def files_into(folder: Path, names: Sequence[str], *, overwrite: bool) -> Iterator[Path]:
    """Give a new folder to write the named files in; they move to ``folder`` at the end.

    ``folder`` may exist, and keeps whatever else is in it.

    Raises
    ------
    FileProblem
        One of the files is there and may not be replaced, or the place cannot be written to.
    """
    if not folder.exists():
        with folder_at(folder) as new:
            yield new
        return
    if not folder.is_dir():
        raise FileProblem(f"{folder} exists and is not a folder: give another name")
    taken = [name for name in names if (folder / name).exists()]
    if taken and not overwrite:
        raise FileProblem(
            f"{folder / taken[0]} exists: give --overwrite to replace it, or another folder"
        )
    with _temporary(folder) as aside:
        yield aside
        signals.check()
        with signals.held():
            for name in names:
                (aside / name).replace(folder / name)
            signals.commit()


@contextmanager
def _temporary(parent: Path) -> Iterator[Path]:
    aside = None
    try:
        # With signals held back: an interrupt between making it and knowing it would leave it.
        with signals.held():
            aside = _aside(parent)
        yield aside
    finally:
        if aside is not None:
            with signals.held():
                files.remove(aside)


def _aside(parent: Path) -> Path:
    try:
        return files.scratch_folder(parent)
    except OSError as problem:
        raise FileProblem(
            f"cannot write in {parent}: {problem.strerror}; choose another place"
        ) from None
