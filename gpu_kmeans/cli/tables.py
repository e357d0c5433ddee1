"""Tables as the result of a command: CSV on standard output, or in a file that appears whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gpu_kmeans import files
from gpu_kmeans.cli import show, signals
from gpu_kmeans.cli.output import Answer
from gpu_kmeans.errors import FileProblem
from gpu_kmeans.model.export import csv_lines

__all__ = ["answer", "check_free"]


def check_free(path: Path, overwrite: bool) -> None:
    """Refuse a file that may not be replaced, or whose folder is not there.

    Raises
    ------
    FileProblem
    """
    if path.is_dir():
        raise FileProblem(f"{path} is a folder: give the name of a file")
    if path.exists() and not overwrite:
        raise FileProblem(f"{path} exists: give --overwrite to replace it, or another name")
    if not path.absolute().parent.is_dir():
        raise FileProblem(f"the folder {path.absolute().parent} does not exist: create it first")


def answer(rows: Iterator[list[Any]], path: Path | None, overwrite: bool) -> Answer:
    """Return a table as a command's result, written to a file first where one is named.

    As JSON it is an object with ``columns`` and ``rows``, or the ``file`` and their number.
    """
    if path is None:
        header = next(rows)
        body = list(rows)
        data = {"columns": header, "rows": body}
        return Answer(data, lambda: "".join(csv_lines([header, *body])).removesuffix("\n"))
    check_free(path, overwrite)
    n_rows = _write(rows, path)
    written: dict[str, Any] = {"file": path, "rows": n_rows}
    return Answer(written, lambda: show.files(f"{n_rows:,} rows", [path]))


def _write(rows: Iterator[list[Any]], path: Path) -> int:
    """Write beside the file and rename; return the number of rows without the header."""
    n_rows = -1

    def counted() -> Iterator[list[Any]]:
        nonlocal n_rows
        for row in rows:
            n_rows += 1
            yield row

    aside = files.hidden_sibling(path)
    try:
        with aside.open("w", encoding="utf-8", newline="") as out:
            out.writelines(csv_lines(counted()))
        signals.check()
        aside.replace(path)
    except OSError as error:
        raise FileProblem(
            f"cannot write {path}: {error.strerror or error}; choose another place"
        ) from error
    finally:
        aside.unlink(missing_ok=True)
    return n_rows
