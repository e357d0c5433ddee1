"""How time and memory grow along a series of cases: points, and the slope through them."""

from __future__ import annotations

from typing import NamedTuple

from bench.records import Record

__all__ = ["SERIES", "Line", "fitted", "points"]

SERIES = ("documents", "terms", "clusters", "threads")
MEASURES = ("seconds an iteration", "seconds a fit", "GiB at most")


class Line(NamedTuple):
    """Sizes, rising, and what was measured there."""

    sizes: list[float]
    values: list[float]


def points(records: list[Record], series: str) -> dict[tuple[str, str], Line]:
    """Lines by contestant and measure."""
    by_line: dict[tuple[str, str], dict[float, float]] = {}
    for record in records:
        if record["series"] != series or record["status"] != "done":
            continue
        name = record["contestant"]
        seconds = record["seconds"]["median"]
        measure = MEASURES[0] if record["question"] == "iteration" else MEASURES[1]
        by_line.setdefault((name, measure), {})[record["size"]] = seconds
        if record["question"] == "iteration":
            by_line.setdefault((name, MEASURES[2]), {})[record["size"]] = (
                record["peak_bytes"] / 2**30
            )
    ordered = sorted(by_line.items(), key=lambda item: MEASURES.index(item[0][1]))
    return {
        about: Line(sorted(values), [values[size] for size in sorted(values)])
        for about, values in ordered
    }


def fitted(line: Line) -> float | None:
    """Slope of a straight line through the logarithms; None with a single point."""
    import numpy as np

    if len(line.sizes) < 2:
        return None
    return float(np.polyfit(np.log(line.sizes), np.log(line.values), 1)[0])
