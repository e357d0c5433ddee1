"""Columns of the catalogue's roles, read and checked; credits are brought to the items' rows."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from gpu_kmeans.backends.protocol import Backend, Frame, JoinCounts
from gpu_kmeans.data.columns import NAMES, Sheet, as_integers
from gpu_kmeans.data.json_lists import directors, every_name
from gpu_kmeans.data.roles import NUMBERS, REQUIRED, ROLES, TEXTS
from gpu_kmeans.errors import InputError

__all__ = ["LISTS", "CheckedColumns", "check_columns", "frame_of_ids", "join_credits"]

LISTS = {
    role: directors if role == "crew" else every_name
    for role, about in ROLES.items()
    if about.kind == "list"
}
"""How lists of names are read, by role."""


@dataclass(frozen=True, slots=True)
class CheckedColumns:
    """Columns that were read, by role: cells, how many were empty, and what was left out."""

    cells: dict[str, Any]
    empty: dict[str, int]
    left_out: dict[str, str]
    """Why columns that nobody asked for are not used, by role."""

    def with_credits(self, other: CheckedColumns) -> CheckedColumns:
        """Return both; empty cells of credits are not counted."""
        return replace(
            self, cells=self.cells | other.cells, left_out=self.left_out | other.left_out
        )


def check_columns(sheet: Sheet, usual: Collection[str]) -> CheckedColumns:
    """Check the columns beside the ids; those of ``usual`` that cannot be used are left out."""
    read = CheckedColumns({}, {}, {role: str(error) for role, error in sheet.repeated.items()})
    for role in sheet.names:
        if role in REQUIRED or role not in ROLES:
            continue
        try:
            if role in TEXTS:
                read.cells[role], read.empty[role] = sheet.texts(role)
            elif role in NUMBERS:
                read.cells[role], read.empty[role] = sheet.numbers(role)
            else:
                read.cells[role], read.empty[role] = sheet.lists(role, LISTS[role])
        except InputError as error:
            if role not in usual or (role == "date" and sheet.holds_times(role)):
                raise
            read.left_out[role] = str(error)
    return read


def frame_of_ids(items: Sheet, ids: pa.ChunkedArray | None) -> Frame:
    """Return a frame of the ids alone; without ids, rows are numbered from 1."""
    source = items.names["id"] if ids is not None else next(iter(items.names.values()))
    frame = items.frame[[source]].rename(columns={source: "id"})
    frame["id"] = np.arange(1, len(frame) + 1) if ids is None else as_integers(ids)
    return frame


def join_credits(
    backend: Backend, items: Sheet, ids: pa.ChunkedArray, extra: Sheet, usual: Collection[str]
) -> tuple[CheckedColumns, JoinCounts]:
    """Bring the lists of the credits into the order of the items.

    Only ids and row positions go through the backend's join; the lists follow by position.
    """
    read = check_columns(extra, usual)
    left = items.frame[[items.names["id"]]].rename(columns={items.names["id"]: "id"})
    left["id"] = ids.to_pylist()
    right = extra.frame[[extra.names["credits_id"]]].rename(
        columns={extra.names["credits_id"]: "id"}
    )
    right["id"] = extra.ids("credits_id").to_pylist()
    right["position"] = np.arange(len(right))
    both, counts = backend.join(left, right, "id")
    positions = backend.to_host(both)["position"].to_pylist()
    # Rows without credits take the empty list that is put behind the others.
    places = pa.array(len(right) if position is None else int(position) for position in positions)
    nobody = pa.array([[]], NAMES)
    aligned = {
        role: pa.concat_arrays([rows, nobody]).take(places) for role, rows in read.cells.items()
    }
    return replace(read, cells=aligned), counts
