"""Text out of the data, made fit to be drawn: in any script, and no wider than its place."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font
from matplotlib.textpath import text_to_path

__all__ = [
    "MISSING",
    "Measure",
    "count",
    "drawable",
    "fit",
    "fit_list",
    "fit_name",
    "measure_of",
    "number",
    "plain",
]

Measure = Callable[[str], float]
"""Width of a text in inches."""

MISSING = "□"
"""What stands for a character that no font at hand has."""

LONGEST = 400  # characters of a text that are looked at; the widest figure shows some 100

# AssignArgs for what DejaVu Sans, which comes with Matplotlib, lacks; where they are installed.
_OTHER_FONTS = (
    *("Noto Sans CJK JP", "Noto Sans CJK SC", "Source Han Sans", "Droid Sans Fallback"),
    *("WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "IPAexGothic", "Unifont"),
    *("Hiragino Sans", "PingFang SC", "Apple SD Gothic Neo", "Arial Unicode MS"),
    *("Yu Gothic", "Microsoft YaHei", "Malgun Gothic", "Nirmala UI"),
    *("Noto Sans Devanagari", "Noto Sans Bengali", "Noto Sans Tamil", "Noto Sans Thai"),
)


@cache
def _family() -> tuple[str, ...]:
    """Names of the fonts to draw with, those first that are asked first."""
    installed = {font.name for font in fontManager.ttflist}
    return ("DejaVu Sans", *(name for name in _OTHER_FONTS if name in installed))


@cache
def _characters() -> frozenset[int]:
    """Code points that one of the fonts can draw."""
    fonts = (get_font(findfont(FontProperties(family=[name]))) for name in _family())
    return frozenset().union(*(font.get_charmap() for font in fonts))


def plain(size: float, bold: bool = False) -> dict[str, Any]:
    """Return the text properties under which ``$`` and ``_`` are themselves."""
    weight = "bold" if bold else "normal"
    return {
        "parse_math": False,
        "fontfamily": list(_family()),
        "fontsize": size,
        "fontweight": weight,
    }


def measure_of(size: float, bold: bool = False) -> Measure:
    """Return the measure of text of one size in points."""
    look = plain(size, bold)
    font = FontProperties(family=look["fontfamily"], size=size, weight=look["fontweight"])

    def width(text: str) -> float:
        points = text_to_path.get_text_width_height_descent(text, font, ismath=False)[0]
        return points / 72

    return width


def drawable(text: str) -> str:
    """Return the text on one line, a box standing for each character that no font here has.

    Control and format characters (line breaks, joiners, direction marks) become spaces or
    vanish: they have no shape of their own.
    """
    if len(text) > LONGEST:
        text = text[: LONGEST // 2] + text[-LONGEST // 2 :]
    known = _characters()
    shown = []
    for character in " ".join(text.split()):
        if unicodedata.category(character) in {"Cc", "Cf", "Mn"} and ord(character) not in known:
            continue
        shown.append(character if ord(character) in known else MISSING)
    return "".join(shown)


def fit(text: str, width: float, measure: Measure) -> str:
    """Return the text if it is no wider than ``width`` inches, else its two ends.

    The end stays because titles differ there: parts, years and subtitles.
    """
    text = drawable(text)
    if measure(text) <= width:
        return text
    low, high = 1, len(text) - 1  # the most characters to keep lies in [low, high)
    while high - low > 1:
        keep = (low + high) // 2
        low, high = (keep, high) if measure(_ends(text, keep)) <= width else (low, keep)
    return _ends(text, low)


def _ends(text: str, keep: int) -> str:
    """Keep two thirds of ``keep`` characters at the start and a third at the end."""
    tail = keep // 3
    start, end = text[: keep - tail], text[len(text) - tail :]
    # Whole words where that costs little.
    if " " in start[len(start) * 2 // 3 :] and text[len(start)] != " ":
        start = start[: start.rindex(" ")]
    if " " in end[: -(-len(end) // 3)] and text[-tail - 1] != " ":
        end = end[end.index(" ") :]
    space = " " if " " in text else ""
    return f"{start.rstrip(' ,:;.-')}{space}…{space}{end.lstrip()}".rstrip()


def fit_list(words: Sequence[str], width: float, measure: Measure) -> str:
    """Return as many of the words as fit, the first of them at least, with commas."""
    line = ""
    for word in map(drawable, words):
        longer = f"{line}, {word}" if line else fit(word, width, measure)
        if measure(longer) > width:
            break
        line = longer
    return line


def fit_name(name: str, width: float, measure: Measure) -> str:
    """Return the name of a cluster, or as many of its words between commas as fit."""
    if ", " not in name or measure(drawable(name)) <= width:
        return fit(name, width, measure)
    return fit_list(name.split(", "), width, measure)


def number(value: float) -> str:
    """Return a number as one reads it aloud: 1,235; 87.4; 3.1; 0.042."""
    size = abs(value)
    if size >= 1e7 or 0 < size < 1e-4:
        return f"{value:.2g}"
    if size >= 1000 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 1 else f"{value:.2g}"


def count(many: int, thing: str) -> str:
    """Return ``1 item`` or ``1,234 items``."""
    return f"{many:,} {thing}" if many == 1 else f"{many:,} {thing}s"
