"""Arguments that must be paths: refused with the way out where they are something else."""

from __future__ import annotations

from os import PathLike, fspath
from pathlib import Path
from typing import Any

from gpu_kmeans.errors import FileProblem, InvalidParam

__all__ = ["check_path"]


def check_path(name: str, value: Any) -> Path:
    """Return the path that an argument gives, ``~`` being the user's folder.

    Parameters
    ----------
    name : str
        The argument, for messages.
    value : str or PathLike[str]

    Raises
    ------
    InvalidParam
        It is a table, an open file, bytes or anything else.
    FileProblem
        It is a text that no file can be named.
    """
    path = fspath(value) if isinstance(value, str | PathLike) else None
    if not isinstance(path, str):
        raise InvalidParam(
            f"{name} must be the path of a file (str or pathlib.Path), got {_kind(value)}: "
            f"{_way_out(value)}"
        )
    if not path:
        raise FileProblem(f"{name} is an empty text: give the path of a file")
    if "\0" in path or not _is_encodable(path):
        raise FileProblem(f"{name} is {path!r:.100}, which no file can be named: check the path")
    if "://" in path:
        raise FileProblem(f"{name} is {path!r:.100}, an address: download the file first")
    return _at_home(Path(path))


def _at_home(path: Path) -> Path:
    """Return a path that begins with ``~`` in that user's folder, unless it is there as it is."""
    if not str(path).startswith("~") or path.exists():
        return path
    try:
        return path.expanduser()
    except RuntimeError:  # nobody of that name
        return path


def _is_encodable(path: str) -> bool:
    try:
        path.encode(errors="surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


def _kind(value: Any) -> str:
    if value is None:
        return "None"
    kind = type(value)
    return f"{kind.__module__.partition('.')[0]}.{kind.__name__}".removeprefix("builtins.")


def _way_out(value: Any) -> str:
    if hasattr(value, "to_parquet"):
        return "write the table with .to_parquet('table.parquet') and give that path"
    if hasattr(value, "write_parquet"):
        return "write the table with .write_parquet('table.parquet') and give that path"
    if hasattr(value, "column_names") and hasattr(value, "schema"):
        return (
            "write the table with pyarrow.parquet.write_table(table, 'table.parquet') and give "
            "that path"
        )
    if isinstance(value, bytes | PathLike):
        return "decode the path with os.fsdecode"
    if hasattr(value, "read"):
        return "write what it holds to a file and give that path"
    if isinstance(value, list | tuple):
        return "give one file; join several into one first"
    return "write the rows to a CSV or Parquet file and give its path"
