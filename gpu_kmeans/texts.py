"""Texts as they are given: which containers hold them, and what a text is.

Used above the seam and by every backend, so that all refuse the same things in the same words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

from gpu_kmeans.errors import InputError, InvalidParam, shown

__all__ = ["as_strings", "check_texts", "column_numbers", "shown"]


def check_texts(texts: Any) -> None:
    """Refuse what would be read as texts by accident; :func:`as_strings` looks at each one.

    Raises
    ------
    InvalidParam
        A single text, a mapping or a set, a table, or nothing that can be iterated over.
    """
    if isinstance(texts, str | bytes | bytearray | memoryview):
        raise InvalidParam(
            "texts must be a collection of texts, got a single one: put it in a list"
        )
    if isinstance(texts, Mapping | Set):
        raise InvalidParam(
            f"texts must be a sequence, got a {type(texts).__name__}: its order is not that of rows"
        )
    shape = getattr(texts, "shape", None)
    if getattr(texts, "ndim", 1) != 1 or not isinstance(texts, Iterable):
        what = type(texts).__name__ + (f" of shape {shape}" if shape is not None else "")
        columns = getattr(texts, "columns", None)
        advice = "" if columns is None else ": name the one that holds them, as in table['text']"
        raise InvalidParam(f"texts must be one column of texts, got a {what}{advice}")


def as_strings(texts: Any) -> list[str]:
    """Return texts as a list of ``str``, in order.

    Parameters
    ----------
    texts : list, array (NumPy, pandas or Arrow), file of lines, or other iterable of str

    Raises
    ------
    InputError
        One of them is missing or not a ``str``; its position is named, counted from 0.
    """
    values = _values(texts)
    for position, value in enumerate(values):
        if type(value) is not str:
            if not isinstance(value, str):
                raise InputError(
                    f"texts[{position}] is {shown(value)} ({type(value).__name__}), not a text: "
                    "replace what is missing by '' and convert the rest with str() beforehand"
                )
            values[position] = str.__str__(value)  # a subclass may do anything else differently
    return values


def column_numbers(terms: Sequence[str]) -> dict[str, int]:
    """Return the column of each term of a vocabulary, in its order.

    Raises
    ------
    InvalidParam
        A term is not a ``str``, or stands twice.
    """
    if not all(isinstance(term, str) for term in terms):
        raise InvalidParam("a vocabulary must hold text alone")
    columns = {term: column for column, term in enumerate(terms)}
    if len(columns) < len(terms):
        raise InvalidParam(f"a vocabulary holds {len(terms) - len(columns)} terms more than once")
    return columns


def _values(texts: Any) -> list[Any]:
    for name in ("to_pylist", "tolist"):  # Arrow's; NumPy's and pandas'
        method = getattr(texts, name, None)
        if callable(method):
            try:
                return list(method())
            except UnicodeDecodeError as problem:
                raise InputError(_which_is_not_utf8(texts, problem)) from problem
    try:
        return list(texts)
    except (OSError, ValueError) as problem:
        if not hasattr(texts, "read"):
            raise  # from within the program that makes the texts
        raise InputError(f"the lines of the file of texts cannot be read: {problem}") from problem
    except TypeError as problem:
        if hasattr(texts, "__next__"):
            raise
        raise InvalidParam(
            f"texts must be one column of texts, got a {type(texts).__name__}: {problem}"
        ) from problem


def _which_is_not_utf8(texts: Any, problem: UnicodeDecodeError) -> str:
    """Say which value of an Arrow array is not UTF-8: it may come from bytes nobody checked."""
    for position, value in enumerate(texts):
        try:
            value.as_py()
        except UnicodeDecodeError as its_own:
            return f"texts[{position}] is not UTF-8: {its_own.reason} at byte {its_own.start}"
    return f"the texts are not UTF-8: {problem}"
