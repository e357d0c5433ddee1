"""What a column of a catalogue can be: the one place that says so.

Readers, the command line and the service take names, defaults and meanings from here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from gpu_kmeans.errors import InvalidParam, shown

__all__ = ["DEFAULTS", "FEATURES", "ROLES", "FeatureRole", "FeatureRoles", "Kind", "Role"]

Kind = Literal["id", "text", "number", "list"]


@dataclass(frozen=True, slots=True)
class Role:
    """One role that a column can have.

    Attributes
    ----------
    column : str
        Name of the column that has it unless the caller names another: that in TMDB's files.
    kind : {"id", "text", "number", "list"}
        What its cells must hold.
    meaning : str
        What it is for, in a few words.
    in_credits : bool
        Whether it is a column of the credits, not of the items.
    required : bool
        Whether it cannot be left out.
    """

    column: str
    kind: Kind
    meaning: str
    in_credits: bool = False
    required: bool = False


ROLES: dict[str, Role] = {
    "id": Role("id", "id", "a name of each row, unique", required=True),
    "title": Role("title", "text", "shown to people"),
    "text": Role("overview", "text", "what is clustered", required=True),
    "popularity": Role("popularity", "number", "number; ranks recommendations"),
    "rating": Role("vote_average", "number", "number, e.g. a mean vote"),
    "votes": Role("vote_count", "number", "number of votes"),
    "keywords": Role("keywords", "list", "JSON list of names"),
    "genres": Role("genres", "list", "JSON list of names"),
    "date": Role("release_date", "text", "text"),
    "credits_id": Role("movie_id", "id", "the id in the credits file", True, required=True),
    "cast": Role("cast", "list", "JSON list, in the credits file", True),
    "crew": Role("crew", "list", "JSON list, in the credits file", True),
}
"""Roles by their names in a catalogue, which are also the names of arguments and options."""

DEFAULTS: dict[str, str] = {name: role.column for name, role in ROLES.items()}
"""Names of the columns in TMDB's files, by role."""

TEXTS = tuple(name for name, role in ROLES.items() if role.kind == "text")
NUMBERS = tuple(name for name, role in ROLES.items() if role.kind == "number")
REQUIRED = tuple(name for name, role in ROLES.items() if role.required)
CREDITS = tuple(name for name, role in ROLES.items() if role.in_credits)


class Usual(str):
    """The name that a column has unless the caller says otherwise: nobody asked for it."""

    __slots__ = ()


USUAL = {name: Usual(column) for name, column in DEFAULTS.items()}
"""Names of columns as defaults of arguments, known from names that a caller gave."""


@dataclass(frozen=True, slots=True)
class FeatureRole:
    """A role of columns that are clustered, and that nobody's files have a usual name for.

    Attributes
    ----------
    meaning : str
        What its columns hold, in a few words.
    several : bool
        Whether it can be that of more than one column.
    """

    meaning: str
    several: bool


FEATURES: dict[str, FeatureRole] = {
    "numbers": FeatureRole("numbers, brought to one scale", True),
    "categories": FeatureRole("few different values, or names of groups", True),
    "matrix": FeatureRole("a list of as many numbers on each row, e.g. an embedding", False),
}
"""Roles beside the text that make rows to cluster, by the names of arguments and options."""


@dataclass(frozen=True, slots=True)
class FeatureRoles:
    """Which columns of a table are clustered, and as what.

    Attributes
    ----------
    texts, numbers, categories : tuple of str
        Names of columns; several texts are clustered as one.
    matrix : str or None
        Name of a column of lists of numbers.
    """

    texts: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    matrix: str | None = None

    @classmethod
    def of(cls, text: Any, numbers: Any, categories: Any, matrix: Any) -> FeatureRoles:
        """Check what arguments name: each a column, or for all but the matrix several.

        Raises
        ------
        InvalidParam
            One is no name, or the same column is named twice.
        """
        if matrix is not None and (not isinstance(matrix, str) or not matrix):
            raise InvalidParam(f"matrix must be the name of a column, got {shown(matrix)}")
        roles = cls(
            _names("text", text),
            _names("numbers", numbers),
            _names("categories", categories),
            matrix,
        )
        columns = roles.columns
        for name in columns:
            if columns.count(name) > 1:
                raise InvalidParam(f"column {name!r} is named twice: give it one role")
        return roles

    @property
    def columns(self) -> tuple[str, ...]:
        """All names, in the order of the roles."""
        return tuple(name for names in self.by_kind().values() for name in names)

    @property
    def is_text(self) -> bool:
        """Whether texts are clustered, and nothing beside them."""
        return bool(self.texts) and not (self.numbers or self.categories or self.matrix)

    def by_kind(self) -> dict[str, tuple[str, ...]]:
        """Return the names by what they are clustered as, without the kinds that have none."""
        kinds = {
            "text": self.texts,
            "numbers": self.numbers,
            "categories": self.categories,
            "matrix": () if self.matrix is None else (self.matrix,),
        }
        return {kind: names for kind, names in kinds.items() if names}


def _names(role: str, columns: Any) -> tuple[str, ...]:
    if columns is None:
        return ()
    names = (columns,) if isinstance(columns, str) else columns
    if not isinstance(names, Sequence) or not all(isinstance(n, str) and n for n in names):
        what = "the name of a column" if role == "text" else "a list of names of columns"
        raise InvalidParam(f"{role} must be {what}, got {shown(columns)}")
    return tuple(names)
