"""Texts as callers have them: which containers hold them, and what a text is.

Used above the backends and by each of them, so that all refuse the same things in the same words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

from gpu_kmeans.errors import InputError, InvalidEncoding, InvalidParam, shown

__all__ = [
    "as_strings",
    "check_texts",
    "column_numbers",
    "decoded",
    "is_on_device",
    "not_a_text",
    "values_of",
]


def check_texts(texts: Any) -> None:
    """Refuse what would be read as texts by accident; :func:`as_strings` looks at each one.

    Raises
    ------
    InvalidParam
        A single text, a mapping or a set, a table, or nothing that can be iterated over.
    """
    if isinstance(texts, str | bytes | bytearray | memoryview):
        raise InvalidParam(
            "Iterable over raw text documents expected, string object received: texts must be a "
            "collection, so put a single one in a list"
        )
    if isinstance(texts, Mapping | Set):
        raise InvalidParam(
            f"texts must be a sequence, got a {type(texts).__name__}: its order is not that of rows"
        )
    shape = getattr(texts, "shape", None)
    if getattr(texts, "ndim", 1) != 1 or not isinstance(texts, Iterable):
        kind = type(texts).__name__ + (f" of shape {shape}" if shape is not None else "")
        columns = getattr(texts, "columns", None)
        advice = "" if columns is None else ": name the one that holds them, as in table['text']"
        raise InvalidParam(f"texts must be one column of texts, got a {kind}{advice}")


def is_on_device(texts: Any) -> bool:
    """Whether texts are a column on a GPU."""
    return type(texts).__module__.partition(".")[0] == "cudf"


def as_strings(texts: Any, encoding: str | None = None, decode_error: str = "strict") -> list[str]:
    """Return texts as a list of ``str``, in order.

    Parameters
    ----------
    texts : list, array (NumPy, pandas or Arrow), file of lines, or other iterable of str
    encoding : str or None
        Encoding of bytes; without one they are no texts.
    decode_error : "strict", "ignore" or "replace"

    Raises
    ------
    InputError
        One of them is missing or not a ``str``; its position is named, counted from 0.
    InvalidEncoding
        One of them is bytes of another encoding.
    """
    values = values_of(texts)
    for position, value in enumerate(values):
        if type(value) is str:
            continue
        name = f"texts[{position}]"
        if isinstance(value, bytes) and encoding is not None:
            values[position] = decoded(value, encoding, decode_error, name)
        elif isinstance(value, str):
            values[position] = str.__str__(value)  # a subclass may do anything else differently
        else:
            raise InputError(not_a_text(name, value))
    return values


def decoded(value: bytes, encoding: str, decode_error: str, name: str) -> str:
    """Return bytes as text.

    Raises
    ------
    InvalidEncoding
        They are not in the encoding; the message calls them ``name``.
    """
    try:
        return bytes.decode(value, encoding, decode_error)
    except UnicodeError as problem:
        raise InvalidEncoding(
            f"{name} is not {encoding}: {problem}; name its encoding, or set decode_error to "
            "'replace' or 'ignore'"
        ) from None


def not_a_text(name: str, value: Any) -> str:
    """Say that a value is no text, and the way out."""
    return (
        f"{name} is {shown(value)} ({type(value).__name__}), not a text: replace what is missing "
        "by '' and convert the rest with str() beforehand"
    )


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


def values_of(texts: Any) -> list[Any]:
    """Return the values of a container of texts as a new list.

    Raises
    ------
    InputError
        An Arrow array holds what is not UTF-8, or a file of lines cannot be read.
    InvalidParam
        It cannot be iterated over.
    """
    if hasattr(texts, "to_arrow"):  # columns of cuDF and Polars
        texts = texts.to_arrow()
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
