"""What is shown of texts and names: their beginnings, however long they are.

A cell may hold megabytes, and an answer shows a thousand of them. So texts among others are
cut, and say so; the whole of one is to be had by itself, part by part. Only the bytes that are
shown are ever made a text.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any

__all__ = [
    "MAX_NAMES",
    "MAX_NAME_CHARACTERS",
    "MAX_TERM_CHARACTERS",
    "beginning",
    "beginnings",
    "cut",
    "cut_preview",
    "marked",
    "names",
]

MAX_NAMES = 100
"""Names of a list that are shown; those after them are left out."""
MAX_NAME_CHARACTERS = 200
"""Characters of a name, a title or a date that are shown; what is longer ends in an ellipsis."""
MAX_TERM_CHARACTERS = 60
"""Characters of a term that are shown, likewise."""
ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"
AT_ONCE = 4_096
UTF8_BYTES = 4
"""Bytes of one character at most."""
WORD = re.compile(r"\w+")


def cut(text: str, most: int) -> str:
    """A text of at most ``most`` characters: if it is longer, its beginning and an ellipsis."""
    return text if len(text) <= most else text[: most - 1] + ELLIPSIS


def cut_preview(preview: dict[str, Any]) -> dict[str, Any]:
    """A preview of clusters whose names, words and titles are short enough to be shown."""
    for cluster in preview["clusters"]:
        cluster["name"] = cut(cluster["name"], MAX_NAME_CHARACTERS)
        cluster["top_terms"] = [cut(term, MAX_TERM_CHARACTERS) for term in cluster["top_terms"]]
        for item in cluster["typical"]:
            item["title"] = item["title"] and cut(item["title"], MAX_NAME_CHARACTERS)
    return preview


def beginning(column: Any, row: int, most: int) -> tuple[str, bool]:
    """A cell of an Arrow column of texts, cut, and whether it was; "" where it is missing."""
    return _cut_scalar(column[row], most)


def beginnings(column: Any, most: int) -> Iterator[str | None]:
    """All cells of an Arrow column of texts, cut; other threads have their turn between."""
    import pyarrow.compute as pc

    for start in range(0, len(column), AT_ONCE):
        texts = pc.utf8_slice_codeunits(column.slice(start, AT_ONCE), 0, most + 1).to_pylist()
        yield from (None if text is None else cut(text, most) for text in texts)


def names(column: Any, row: int, most: int = MAX_NAMES) -> list[str]:
    """The names in a cell of an Arrow column of lists, as far as they are shown."""
    cell = column[row]
    if not cell.is_valid:
        return []
    return [
        _cut_scalar(name, MAX_NAME_CHARACTERS)[0]
        for name in cell.values.slice(0, most)
        if name.is_valid
    ]


def _cut_scalar(cell: Any, most: int) -> tuple[str, bool]:
    if not cell.is_valid:
        return "", False
    content = cell.as_buffer()
    if content.size > UTF8_BYTES * (most + 1):  # which may end within a character
        text = content.slice(0, UTF8_BYTES * (most + 1)).to_pybytes().decode("utf-8", "ignore")
    else:
        text = str(cell.as_py())
    return cut(text, most), len(text) > most


def marked(text: str, terms: Collection[str]) -> list[tuple[str, bool]]:
    """Cut a text into pieces; true are the words of the terms, in whatever case."""
    lowered = text.lower()
    if len(lowered) != len(text):  # a letter whose small form is two
        lowered = "".join(letter if len(letter.lower()) > 1 else letter.lower() for letter in text)
    words = {word for term in terms for word in term.split()}
    pieces: list[tuple[str, bool]] = []
    done = 0
    for run in WORD.finditer(lowered):
        if run.group() in words:
            start, end = run.span()
            if start > done:
                pieces.append((text[done:start], False))
            pieces.append((text[start:end], True))
            done = end
    if done < len(text):
        pieces.append((text[done:], False))
    return pieces
