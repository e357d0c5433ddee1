"""Checks of two tables to be joined one to one, and their errors."""

from __future__ import annotations

from collections.abc import Set
from typing import Any

from gpu_kmeans.errors import DuplicateId, InvalidParam

__all__ = ["check_shared", "duplicate"]


def check_shared(left: Set[Any], right: Set[Any], key: str) -> None:
    """Refuse tables whose names of columns share another than the key (``InvalidParam``)."""
    shared = sorted(map(str, (left & right) - {key}))
    if shared:
        raise InvalidParam(f"both tables to join have columns {shared}; only {key!r} may be shared")


def duplicate(value: object, key: str, side: str) -> DuplicateId:
    """The error about a key's value that stands twice on one side (``"left"`` or ``"right"``)."""
    return DuplicateId(
        f"join on {key!r}: {value!r} stands twice in the {side} table; "
        "each row needs a key of its own"
    )
