"""Plain text that looks good in 80 columns: aligned tables, labelled facts, wrapped lists.

Hand-made, so that a command that prints one small table need not import a table library.
"""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
import unicodedata
from collections.abc import Iterable, Sequence

__all__ = ["cells", "commands", "count", "cut", "facts", "heading", "printable", "table", "width"]

_WIDEST = 100
_LABEL = 9


def width() -> int:
    """Columns to lay out for: the terminal's, up to 100; 80 where there is no terminal."""
    return min(shutil.get_terminal_size((80, 24)).columns, _WIDEST)


def count(number: int, noun: str) -> str:
    """Return a number with its noun: ``1 item``, ``4,803 items``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def heading(text: str) -> str:
    """Return a heading: bold on a terminal that did not ask for no colour."""
    text = printable(text)
    stream = sys.stdout
    if stream is not None and stream.isatty() and not os.environ.get("NO_COLOR"):
        return f"\x1b[1m{text}\x1b[0m"
    return text


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Return labelled lines; long ones are wrapped under their own text."""
    pairs = list(pairs)
    indent = max(_LABEL, *(len(label) for label, _ in pairs)) + 2
    lines = []
    for label, text in pairs:
        wrapped = textwrap.wrap(printable(text), width() - indent, break_on_hyphens=False) or [""]
        lines.append(f"{label:<{indent}}{wrapped[0]}")
        lines += [" " * indent + line for line in wrapped[1:]]
    return "\n".join(lines)


def commands(label: str, lines: Sequence[str]) -> str:
    """Return commands to copy: never wrapped, whatever the width."""
    return "\n".join(
        f"{'' if number else label:<{_LABEL}}  {line}" for number, line in enumerate(lines)
    )


def table(
    header: Sequence[str], rows: Iterable[Sequence[str]], *, left: Sequence[int] = (-1,)
) -> str:
    """Return aligned columns: numbers to the right, and columns of ``left`` to the left.

    The last column takes what is left of the width, and is cut where it does not fit.
    """
    body = [header, *([printable(cell) for cell in row] for row in rows)]
    size = [max(cells(row[column]) for row in body) for column in range(len(header))]
    size[-1] = max(8, min(size[-1], width() - sum(size[:-1]) - 2 * len(header)))
    to_left = {column % len(header) for column in left}
    lines = []
    for row in body:
        parts = []
        for column, cell in enumerate(row):
            shown = cut(cell, size[column])
            space = " " * (size[column] - cells(shown))
            parts.append(shown + space if column in to_left else space + shown)
        lines.append(("  " + "  ".join(parts)).rstrip())
    return "\n".join(lines)


def cells(text: str) -> int:
    """Return how many terminal columns a text takes: two for wide, none for combining marks."""
    return sum(
        0 if unicodedata.combining(sign) else 2 if unicodedata.east_asian_width(sign) in "WF" else 1
        for sign in text
    )


def printable(text: str) -> str:
    """Return the text on one line, without signs that would steer a terminal.

    Titles come from files: an escape sequence in one must not reach the screen.
    """
    return "".join(
        sign if unicodedata.category(sign) not in {"Cc", "Cf", "Cs", "Zl", "Zp"} else " "
        for sign in text
    )


def cut(text: str, size: int) -> str:
    """Cut a text that is too wide, between words where that costs little."""
    if cells(text) <= size:
        return text
    keep = 0
    while cells(text[: keep + 1]) < size:
        keep += 1
    space = text.rfind(" ", 0, keep + 1)
    keep = space if space > keep // 2 else keep
    return text[:keep].rstrip(" ,") + "…"
