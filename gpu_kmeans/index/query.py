"""A query's words and phrases.

``"words between quotation marks"`` are a phrase that items must have, one word after the other. The
last word may be the beginning of one, as long as nothing follows it. A run of letters of a script
without spaces is looked for as it stands, then by pairs of its letters. There is no other syntax:
every other sign only parts words.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from gpu_kmeans.index.words import is_unspaced, words_of

__all__ = ["MAX_WORDS", "Clause", "ParsedQuery", "parse"]

MAX_WORDS = 100
"""Maximum number of words of a query that count; those after them are left out, and it is said."""
_QUOTED = re.compile(r'"([^"]*)"|“([^“”"]*)”|„([^„“”"]*)[“”]|«([^«»]*)»|「([^「」]*)」')


@dataclass(frozen=True, slots=True)
class Clause:
    """A word of a query, or several that belong together.

    Attributes
    ----------
    words : tuple of str
        One, or those of a phrase in their order.
    required : bool
        Whether items must have it: a phrase between quotation marks.
    unspaced : bool
        Whether it is a run of letters of a script without spaces.
    open : bool
        Whether its word may be the beginning of one.
    """

    words: tuple[str, ...]
    required: bool = False
    unspaced: bool = False
    open: bool = False

    @property
    def text(self) -> str:
        """The clause as people write it."""
        if self.unspaced:
            return "".join(self.words)
        return f'"{" ".join(self.words)}"' if self.required else self.words[0]


@dataclass(frozen=True, slots=True)
class ParsedQuery:
    """What a query asks for.

    Attributes
    ----------
    clauses : tuple of Clause
        Each once, in the query's order.
    left_out : int
        Number of words beyond :data:`MAX_WORDS`.
    """

    clauses: tuple[Clause, ...]
    left_out: int


def parse(query: str) -> ParsedQuery:
    """Return the clauses of any text."""
    clauses: dict[Clause, None] = {}
    n_words = left_out = 0
    last: Clause | None = None
    for text, quoted in _parts(query):
        words = words_of(text)
        taken = words[: MAX_WORDS - n_words]
        n_words += len(taken)
        left_out += len(words) - len(taken)
        for clause in [_phrase(taken)] if quoted and taken else _loose(taken):
            clauses[clause] = None
            last = clause
    ends_in_word = unicodedata.category(query[-1:] or " ")[0] in "LNM"
    listed = list(clauses)
    if last is not None and ends_in_word and not (left_out or last.required or last.unspaced):
        listed[listed.index(last)] = Clause(last.words, open=True)
    return ParsedQuery(tuple(listed), left_out)


def _parts(query: str) -> Iterator[tuple[str, bool]]:
    """Yield the parts of a query, and whether each stands between quotation marks.

    Those outside are parted by spaces, too, so that no run of letters goes on after one.
    """
    end = 0
    for match in _QUOTED.finditer(query):
        yield from ((text, False) for text in query[end : match.start()].split())
        yield match.group(match.lastindex or 0), True
        end = match.end()
    yield from ((text, False) for text in query[end:].split())


def _phrase(words: list[str]) -> Clause:
    return Clause(tuple(words), required=True, unspaced=all(map(is_unspaced, words)))


def _loose(words: list[str]) -> list[Clause]:
    """Return words outside quotation marks as clauses: one each, but for unspaced runs."""
    clauses: list[Clause] = []
    for unspaced, run in groupby(words, is_unspaced):
        own = tuple(run)
        clauses += [Clause(own, unspaced=True)] if unspaced else [Clause((word,)) for word in own]
    return clauses
