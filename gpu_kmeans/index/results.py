"""What a search found: items with their reasons, hits by cluster, corrections."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Correction", "Facet", "FoundItem", "SearchResult"]


@dataclass(frozen=True, slots=True)
class FoundItem:
    """An item that a search shows.

    Attributes
    ----------
    rank : int
        1 for the first.
    id : int or str
    title : str or None
        None where the catalogue has no titles.
    popularity, vote_average : float or None
        As in the catalogue; None where it has no such column.
    label : int
        Cluster of the item; -1 for one in none.
    score : float
        What it is ranked by: see :mod:`gpu_kmeans.search`; of items like others, the likeness.
    reasons : dict of str to list of str
        Words, as they are in the index, that matched, by the fields that have them; phrases stand
        between quotation marks. Terms shared with items that it is like.
    """

    rank: int
    id: int | str
    title: str | None
    popularity: float | None
    vote_average: float | None
    label: int
    score: float
    reasons: dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class Facet:
    """Hits of a cluster: its label, its name, and how many of its items match."""

    label: int
    name: str
    hits: int


@dataclass(frozen=True, slots=True)
class Correction:
    """A word of the query that no item has, and the known words nearest to it, nearest first.

    Attributes
    ----------
    word : str
    nearest : tuple of str
    used : bool
        Whether items that have these words are shown for it.
    """

    word: str
    nearest: tuple[str, ...]
    used: bool


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What a search found.

    Attributes
    ----------
    query : str
    total : int
        Number of items that match.
    items : tuple of FoundItem
        Best first.
    facets : tuple of Facet
        Clusters with hits, most first, whichever clusters the search was restricted to; hits in no
        cluster have the label -1.
    corrections : tuple of Correction
        "Did you mean": words that nothing matches.
    message : str or None
        What the reader should know about this answer.
    words : tuple of str
        Words and phrases of the query for which items were found.
    """

    query: str
    total: int
    items: tuple[FoundItem, ...]
    facets: tuple[Facet, ...]
    corrections: tuple[Correction, ...]
    message: str | None
    words: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain dictionaries, lists, text and numbers, by the names of the attributes."""
        view = asdict(self)
        for name in ("items", "facets", "corrections", "words"):
            view[name] = list(view[name])
        for correction in view["corrections"]:
            correction["nearest"] = list(correction["nearest"])
        return view
