"""Typed cells as the texts that a CSV of the same table holds.

The same table is the same catalogue in every format: a year that Parquet keeps as an integer and
a date that it keeps as a day become what ``DataFrame.to_csv`` writes of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["as_texts", "is_list", "is_text", "plain"]

_DAY = " 00:00:00"
_FRACTIONS = (r"\.0+", r"(\.\d{3})0+", r"(\.\d{6})0+")
"""Fractions of times that are whole seconds, milliseconds and microseconds."""
_ZONE = r"([+-]\d{2}:?\d{2}|Z)?$"


def plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the same cells without Arrow's ways to pack them.

    Dictionaries and runs become their values, extension types their storage, views and columns of
    nulls texts.

    Raises
    ------
    pa.ArrowException
        Arrow has no such cast.
    """
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        return plain(pa.chunked_array([c.storage for c in column.chunks], kind.storage_type))
    if pa.types.is_dictionary(kind):
        return plain(column.cast(kind.value_type))
    if pa.types.is_run_end_encoded(kind):
        return plain(pc.run_end_decode(column))
    if pa.types.is_null(kind) or pa.types.is_string_view(kind):
        return column.cast(pa.string())
    return column


def as_texts(column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """Return cells as CSV writes them, null where they are missing; None for kinds without texts.

    Parameters
    ----------
    column : pyarrow.ChunkedArray
        As :func:`plain` leaves it. Texts, numbers, truth values, days and points in time have
        texts; times of day, durations, bytes and nested values have none.

    Raises
    ------
    pa.ArrowException
        A cell cannot be written, such as a time in an unknown zone.
    """
    kind = column.type
    if is_text(kind):
        return column
    if pa.types.is_integer(kind) or pa.types.is_decimal(kind):
        return column.cast(pa.string())
    if pa.types.is_boolean(kind):
        return pc.if_else(column, "True", "False")
    if pa.types.is_floating(kind):
        return _written_reals(column)
    if pa.types.is_date(kind):
        return _in_range(column.cast(pa.timestamp("ms")).cast(pa.date32()).cast(pa.string()))
    if pa.types.is_timestamp(kind):
        times = _in_range(column.cast(pa.string()))
        return _written_times(times, zoned=kind.tz is not None)
    return None


def is_text(kind: pa.DataType) -> bool:
    """Tell whether cells of this type are texts."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def is_list(kind: pa.DataType) -> bool:
    """Tell whether cells of this type are lists, of whatever length and layout."""
    types = pa.types
    return bool(
        types.is_list(kind)
        or types.is_large_list(kind)
        or types.is_fixed_size_list(kind)
        or types.is_list_view(kind)
        or types.is_large_list_view(kind)
    )


def _in_range(times: pa.ChunkedArray) -> pa.ChunkedArray:
    """Refuse days outside Arrow's calendar, which it writes in angle brackets."""
    if pc.any(pc.starts_with(times, "<")).as_py():
        raise pa.ArrowInvalid("a day lies outside the calendar")
    return times


def _written_reals(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Shortest digits that give the same number, as Python writes them."""
    dtype = {16: np.float16, 32: np.float32, 64: np.float64}[column.type.bit_width]
    cells: list[Any] = column.cast(pa.float64()).to_pylist()
    missing = [cell is None or cell != cell for cell in cells]
    values = np.array([0.0 if no else cell for cell, no in zip(cells, missing, strict=True)], dtype)
    return pa.chunked_array([pa.array(values.astype(str), pa.string(), mask=np.array(missing))])


def _written_times(times: pa.ChunkedArray, zoned: bool) -> pa.ChunkedArray:
    """Shorten Arrow's times: fractions as short as all cells allow, days where all are days."""
    for fraction in _FRACTIONS:
        pattern = fraction + _ZONE
        if pc.all(pc.match_substring_regex(times, pattern)).as_py():
            replacement = r"\1\2" if "(" in fraction else r"\1"
            times = pc.replace_substring_regex(times, pattern, replacement)
            break
    if zoned:
        times = pc.replace_substring_regex(times, r"Z$", "+00:00")
        return pc.replace_substring_regex(times, r"([+-]\d{2})(\d{2})$", r"\1:\2")
    if pc.all(pc.ends_with(times, _DAY)).as_py():
        return pc.utf8_slice_codeunits(times, 0, stop=-len(_DAY))
    return times
