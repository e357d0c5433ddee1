"""Numbers as people and programs of other countries write them: ``1.234,50``, ``$1,200``, ``12 %``.

A column has one format, which must fit all its cells. It is taken only where no other reading
fits: ``1,234`` may be a thousand or a little more than one, and is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["PLAIN", "PLAIN_NUMBER", "NumberFormat", "number_format"]

PLAIN_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
"""Pattern of numbers that need no format."""

_CURRENCIES = (
    *("AUD", "BRL", "CAD", "CHF", "CNY", "CZK", "DKK", "EUR", "GBP", "HKD", "HUF", "ILS", "INR"),
    *("JPY", "KRW", "MXN", "NOK", "NZD", "PLN", "SEK", "SGD", "THB", "TRY", "TWD", "USD", "ZAR"),
)
"""Codes (ISO 4217) of the currencies that are traded most."""
_UNITS = rf"\p{{Sc}}|%|\x{{2030}}|{'|'.join(_CURRENCIES)}"
_AFFIXED = rf"^([+-]?)({_UNITS})?\pZ?([+-]?[\d.,'\x{{2019}}\pZ]*\d)\pZ?({_UNITS})?$"
_POINT_CURRENCIES = ("$", "£")
"""Signs of currencies that stand before amounts with decimal points."""
_GROUP_SIGNS = (" ", "\u00a0", "\u202f", "'", "\u2019")
"""Signs that stand between thousands and nowhere else in a number."""


@dataclass(frozen=True, slots=True)
class NumberFormat:
    """How the cells of a column write numbers.

    Attributes
    ----------
    decimal : {".", ","}
        The sign before the decimals.
    group : str
        The sign between thousands; ``""`` where there is none.
    prefix, suffix : str
        What stands before and after each number, such as ``"$"`` or ``"%"``.
    """

    decimal: str = "."
    group: str = ""
    prefix: str = ""
    suffix: str = ""

    @classmethod
    def of(cls, values: object) -> NumberFormat | None:
        """Return what :meth:`to_dict` gave, or None where it is none."""
        if not isinstance(values, Mapping):
            return None
        fields = {name: values.get(name, "") for name in ("decimal", "group", "prefix", "suffix")}
        if not all(isinstance(value, str) for value in fields.values()):
            return None
        return cls(**fields) if fields["decimal"] in (".", ",") else None

    def to_dict(self) -> dict[str, Any]:
        """The attributes, by their names."""
        return asdict(self)

    @property
    def words(self) -> str:
        """The format in words, for messages."""
        parts = []
        if self.decimal == ",":
            parts.append("decimal commas")
        if self.group:
            parts.append(f"{self.group!r} between thousands")
        parts += [f"{unit!r} beside them" for unit in (self.prefix, self.suffix) if unit]
        return " and ".join(parts)

    def plain(self, cells: pa.ChunkedArray) -> pa.ChunkedArray:
        """Return cells as a program writes numbers; what does not fit stays as it is."""
        pattern = self._pattern
        fitting = pc.match_substring_regex(cells, pattern)
        bodies = pc.replace_substring_regex(cells, pattern, r"\1\2\3")
        if self.group:
            bodies = pc.replace_substring(bodies, self.group, "")
        if self.decimal == ",":
            bodies = pc.replace_substring(bodies, ",", ".")
        return pc.if_else(fitting, bodies, cells)

    def fits(self, cells: pa.ChunkedArray) -> bool:
        """Tell whether all cells are numbers of this format."""
        return bool(pc.all(pc.match_substring_regex(cells, self._pattern)).as_py())

    @property
    def _pattern(self) -> str:
        """Pattern of a cell; a sign stands before the prefix or behind it."""
        digits = r"\d+"
        if self.group:
            digits = rf"(?:\d+|[1-9]\d{{0,2}}(?:{re.escape(self.group)}\d{{3}})+)"
        body = rf"{digits}(?:{re.escape(self.decimal)}\d*)?|{re.escape(self.decimal)}\d+"
        sign = "([+-]?)()"
        if self.prefix:
            prefix = rf"{re.escape(self.prefix)}\pZ?"
            sign = rf"(?:([+-]){prefix}|{prefix}([+-]?))"
        suffix = rf"\pZ?{re.escape(self.suffix)}" if self.suffix else ""
        return rf"^{sign}({body}){suffix}$"


PLAIN = NumberFormat()
"""The format of numbers that are written as programs write them."""


def number_format(cells: pa.ChunkedArray) -> NumberFormat | None:
    """Return the only format in which all cells are numbers; None where there is not one.

    Parameters
    ----------
    cells : ChunkedArray of str
        Without those that are missing, and without white space around them.
    """
    if not len(cells):
        return None
    if _all(cells, PLAIN_NUMBER):
        return PLAIN
    if not _all(cells, _AFFIXED):
        return None
    units = _common(cells, r"\2"), _common(cells, r"\4")
    if None in units:
        return None
    prefix, suffix = (unit or "" for unit in units)
    fitting = [
        candidate
        for candidate in _candidates(prefix, suffix)
        if candidate.fits(cells) and _is_shown(candidate, cells)
    ]
    if prefix in _POINT_CURRENCIES:
        fitting = [candidate for candidate in fitting if candidate.decimal == "."] or fitting
    if len(fitting) != 1:
        return None
    # A comma in a few cells, and no sign between thousands, is rather a slip than a custom.
    n_commas = _count(cells, ",")
    may_be_slip = fitting[0] == NumberFormat(",", "", prefix, suffix)
    return None if may_be_slip and n_commas <= max(1, len(cells) / 2) else fitting[0]


def _candidates(prefix: str, suffix: str) -> Iterable[NumberFormat]:
    for decimal, groups in ((".", ("", ",")), (",", ("", "."))):
        for group in (*groups, *_GROUP_SIGNS):
            yield NumberFormat(decimal, group, prefix, suffix)


def _is_shown(candidate: NumberFormat, cells: pa.ChunkedArray) -> bool:
    """Tell whether some cells have the signs of a format, so that it is not merely possible."""
    signs = []
    if candidate.group:
        signs.append(rf"\d{re.escape(candidate.group)}\d{{3}}")
    if candidate.decimal == ",":
        signs.append(r",\d")
    return all(_count(cells, sign) for sign in signs)


def _common(cells: pa.ChunkedArray, part: str) -> str | None:
    """Return a part that all cells have alike, by its place in the pattern of units."""
    parts = pc.unique(pc.replace_substring_regex(cells, _AFFIXED, part))
    return str(parts[0].as_py()) if len(parts) == 1 else None


def _all(cells: pa.ChunkedArray, pattern: str) -> bool:
    return bool(pc.all(pc.match_substring_regex(cells, pattern)).as_py())


def _count(cells: pa.ChunkedArray, pattern: str) -> int:
    return int(pc.sum(pc.match_substring_regex(cells, pattern)).as_py() or 0)
