"""What a column of a catalogue can be: the one place that says so.

Readers, the command line and the service take names, defaults and meanings from here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["DEFAULTS", "ROLES", "Kind", "Role"]

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
