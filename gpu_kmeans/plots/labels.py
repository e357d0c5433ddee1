"""Labels beside their points, none over another: the nearest free place around each point."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

__all__ = ["Box", "Point", "place"]

Point = tuple[float, float]

DIRECTIONS = tuple(math.radians(turn) for turn in (0, 180, 90, 270, 45, 315, 135, 225, 20, 340))
RINGS = 20  # of four tenths of a label's height each


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle; ``x0 <= x1`` and ``y0 <= y1``."""

    x0: float
    y0: float
    x1: float
    y1: float

    def has(self, point: Point) -> bool:
        """Tell whether a point lies inside."""
        return self.x0 < point[0] < self.x1 and self.y0 < point[1] < self.y1

    def meets(self, other: Box) -> bool:
        """Tell whether the two share more than an edge."""
        return (
            self.x0 < other.x1 and other.x0 < self.x1 and self.y0 < other.y1 and other.y0 < self.y1
        )

    def holds(self, other: Box) -> bool:
        """Tell whether the other lies in this one."""
        return (
            self.x0 <= other.x0
            and other.x1 <= self.x1
            and self.y0 <= other.y0
            and other.y1 <= self.y1
        )

    def cut_by(self, start: Point, end: Point) -> bool:
        """Tell whether a straight line passes through (Liang and Barsky's clipping)."""
        enter, leave = 0.0, 1.0
        for at, to, low, high in (
            (start[0], end[0], self.x0, self.x1),
            (start[1], end[1], self.y0, self.y1),
        ):
            step = to - at
            if step == 0:
                if not low < at < high:
                    return False
                continue
            first, last = sorted(((low - at) / step, (high - at) / step))
            enter, leave = max(enter, first), min(leave, last)
        return enter < leave


def place(
    points: Sequence[Point],
    sizes: Sequence[tuple[float, float]],
    within: Box,
    gap: float,
    others: Sequence[Point] = (),
) -> list[Box | None]:
    """Find a place for the label of each point, the first points choosing first.

    Parameters
    ----------
    points : sequence of (x, y)
        In the unit of everything here, such as pixels.
    sizes : sequence of (width, height)
        Of each point's label.
    within : Box
        No label leaves it.
    gap : float
        Radius of a point, with the room to keep around it.
    others : sequence of (x, y)
        Points without a label, which no label covers either.

    Returns
    -------
    list of Box or None
        None for a label that finds no place. No box meets another or covers a point, and no
        line from a point to its box passes through another box.
    """
    dots = [_around(point, gap) for point in (*points, *others)]
    taken: list[Box] = []
    lines: list[tuple[Point, Point]] = []
    answer: list[Box | None] = []
    for point, size in zip(points, sizes, strict=True):
        chosen = None
        for box, near in _candidates(point, size, gap):
            if (
                within.holds(box)
                and not any(map(box.meets, dots))
                and not any(map(box.meets, taken))
                and not any(box.cut_by(*line) for line in lines)
                and not any(other.cut_by(point, near) for other in taken)
                and not any(dot.cut_by(point, near) for dot in dots if not dot.has(point))
            ):
                chosen = box
                taken.append(Box(box.x0 - gap, box.y0, box.x1 + gap, box.y1))
                lines.append((point, near))
                break
        answer.append(chosen)
    return answer


def _around(point: Point, radius: float) -> Box:
    x, y = point
    return Box(x - radius, y - radius, x + radius, y + radius)


def _candidates(point: Point, size: tuple[float, float], gap: float) -> Iterator[tuple[Box, Point]]:
    """Yield places around a point, nearest first, and where its line would meet each."""
    width, height = size
    for ring in range(RINGS):
        radius = gap * 1.15 + ring * height * 0.4
        for turn in DIRECTIONS:
            across, up = math.cos(turn), math.sin(turn)
            near = (point[0] + radius * across, point[1] + radius * up)
            # The label's nearest corner or edge comes to `near`.
            x0 = near[0] - width * _share(across)
            y0 = near[1] - height * _share(up)
            yield Box(x0, y0, x0 + width, y0 + height), near


def _share(direction: float) -> float:
    """Tell which part of a label lies on the near side: none, half or all of it."""
    if abs(direction) < 0.5:
        return 0.5
    return 0.0 if direction > 0 else 1.0
