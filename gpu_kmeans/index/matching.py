"""Items that match a query, and their scores.

Each clause of the query counts as in BM25F: ``idf * frequency / (k1 + frequency)``, with the
weighted frequency over all fields and ``idf = log(1 + (n - df + 0.5) / (df + 0.5))``. What stands
for a word is, the first that any item has:

1. the word itself;
2. of the last word of a query, all words that begin with it;
3. all words at one typing error;
4. two words that it is made of, one after the other: ``spiderman`` is ``spider man``.

Words that begin with a last word that is known itself count less, and items that have nothing but
those come after all others. Words at one typing error from a known one only help items that have
the query's other words. Stop words, words of more than half of the items, and beginnings of words
score, but select no items as long as another word does.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.index.postings import Matches, WordIndex
from gpu_kmeans.index.query import Clause, ParsedQuery
from gpu_kmeans.index.vocabulary import Vocabulary

__all__ = ["BEGINNING", "MATCH", "NEAR_TITLE", "WHOLE_TITLE", "ClauseMatch", "Matching", "match"]

SATURATION = 0.8
"""BM25's ``k1``: the frequency at which a word has half of its weight."""
COMPLETION = 0.3
"""Weight of words that begin with a known last word, beside 1 for the word itself."""
TYPING = 0.2
"""Weight of words at one typing error from a known one, likewise."""
PAIR = 0.5
"""Weight of two neighbours of the query that are neighbours in an item, too."""
MOST_PAIRED = 1 << 16
"""Number of places up to which the rarer of two neighbours is looked for beside the other: words
that stand everywhere tell little, and take milliseconds."""
MOST_POSTINGS, MOST_COMPLETIONS = 1 << 18, 2_000
"""Maximum number of postings, and of words, that a beginning stands for; of more, the most frequent
words are taken, so that a first letter of many texts takes milliseconds."""
SHORTEST_PART = 3
"""Minimum number of letters of both words that an unknown one is made of."""
WHOLE_TITLE, NEAR_TITLE, MATCH, BEGINNING = 3, 2, 1, 0
"""Tiers of items: the query is their title; it is but for one typing error in one of several words;
they have a word of it; they have only words that begin with its last one."""


@dataclass
class ClauseMatch:
    """What stands for a clause of the query.

    Attributes
    ----------
    clause : Clause
    words : sequence of int
        Numbers of the words that stand for it; none where nothing matches.
    matches : Matches or None
    further : range or sequence of int
        Words that begin with a known last word.
    positions : ndarray or None
        Where a phrase begins.
    is_known : bool
        Whether items have it as it is written.
    is_corrected : bool
        Whether a typing error, or a space left out, is between it and its words.
    selects : bool
        Whether its matches are hits.
    """

    clause: Clause
    words: Sequence[int] = ()
    matches: Matches | None = None
    further: Sequence[int] = ()
    positions: NDArray[np.int64] | None = None
    is_known: bool = False
    is_corrected: bool = False
    selects: bool = False

    @property
    def n_words(self) -> int:
        """Number of different words of a title that it stands for."""
        is_split = self.is_corrected and self.positions is not None
        return len(set(self.words if is_split else self.clause.words))


@dataclass
class Matching:
    """Items that match.

    Attributes
    ----------
    rows : ndarray of shape (n_hits,), integers
        Rising.
    scores : ndarray of shape (n_hits,), float64
        Above 0.
    tiers : ndarray of shape (n_hits,), int8
        :data:`WHOLE_TITLE` to :data:`BEGINNING`.
    clauses : list of ClauseMatch
    """

    rows: NDArray[np.intp]
    scores: NDArray[np.float64]
    tiers: NDArray[np.int8]
    clauses: list[ClauseMatch] = field(default_factory=list)

    def where(self, mask: NDArray[np.bool_]) -> Matching:
        """Return the matches that a mask of shape (n_hits,) keeps."""
        return Matching(self.rows[mask], self.scores[mask], self.tiers[mask], self.clauses)


def match(
    index: WordIndex, vocabulary: Vocabulary, query: ParsedQuery, stop_words: Collection[str] = ()
) -> Matching:
    """Return the items that match a query; none without a clause.

    Parameters
    ----------
    index : WordIndex
    vocabulary : Vocabulary
        Of the index's words.
    query : ParsedQuery
    stop_words : collection of str
        Folded words that select no items beside others.
    """
    n = index.n_items
    clauses = [_match_clause(index, vocabulary, clause) for clause in query.clauses]
    known = [one for one in clauses if one.matches is not None]
    _choose_selecting(known, n, stop_words)
    scores = np.zeros(n)
    hits = np.zeros(n, dtype=np.bool_)
    in_title = np.zeros(n, dtype=np.int16)
    near_title = np.zeros(n, dtype=np.int16)
    for one in known:
        assert one.matches is not None
        scores[one.matches.rows] += _weights(one.matches, n)
        in_title[one.matches.in_title] += one.n_words
        if one.selects:
            hits[one.matches.rows] = True
    tiers = hits.astype(np.int8)  # MATCH, or else BEGINNING
    for one in known:
        assert one.matches is not None
        if one.further:
            rows = _add_less(scores, index.of_words(one.further), one, COMPLETION)
            hits[rows] |= len(known) == 1
        is_word = len(one.clause.words) == 1 and not (one.clause.required or one.is_corrected)
        if len(clauses) > 1 and is_word:
            variants = vocabulary.variants(one.clause.words[0])
            if variants:
                near = index.of_words(variants)
                _add_less(scores, near, one, TYPING)
                own = _mask(one.matches.in_title, n)
                near_title[near.in_title[~own[near.in_title]]] += 1
    _add_pairs(scores, index, clauses)
    for one in clauses:
        if one.clause.required:
            hits &= _mask(() if one.matches is None else one.matches.rows, n)
    n_words = sum(one.n_words for one in clauses)
    rows = np.flatnonzero(hits)
    tiers = tiers[rows]
    for in_row in np.flatnonzero(index.title_lengths[rows] == n_words).tolist():
        row = rows[in_row]
        if in_title[row] == n_words:
            tiers[in_row] = WHOLE_TITLE
        elif near_title[row] == 1 and 0 < in_title[row] == n_words - 1:
            tiers[in_row] = NEAR_TITLE
    return Matching(rows, scores[rows], tiers, clauses)


def _match_clause(index: WordIndex, vocabulary: Vocabulary, clause: Clause) -> ClauseMatch:
    if len(clause.words) > 1:
        return _match_phrase(index, vocabulary, clause)
    [word] = clause.words
    known = vocabulary.find(word)
    completions: Sequence[int] = ()
    if clause.open:
        longer = vocabulary.beginning_with(word)[0 if known is None else 1 :]
        completions = index.most_frequent(longer, MOST_POSTINGS, MOST_COMPLETIONS) if longer else ()
    if known is not None:
        return ClauseMatch(clause, [known], index.of_word(known), completions, is_known=True)
    if completions:
        return ClauseMatch(clause, completions, index.of_words(completions))
    if clause.required:
        return ClauseMatch(clause)
    if variants := vocabulary.variants(word):
        return ClauseMatch(clause, variants, index.of_words(variants), is_corrected=True)
    for cut in range(SHORTEST_PART, len(word) - SHORTEST_PART + 1):
        parts = (vocabulary.find(word[:cut]), vocabulary.find(word[cut:]))
        split = _as_phrase(index, clause, parts)
        if split.matches is not None:
            split.is_corrected = True
            return split
    return ClauseMatch(clause)


def _match_phrase(index: WordIndex, vocabulary: Vocabulary, clause: Clause) -> ClauseMatch:
    phrase = _as_phrase(index, clause, [vocabulary.find(word) for word in clause.words])
    phrase.is_known = phrase.matches is not None
    return phrase


def _as_phrase(index: WordIndex, clause: Clause, words: Sequence[int | None]) -> ClauseMatch:
    """Look for words one after the other; None stands for an unknown one."""
    numbers = [number for number in words if number is not None]
    if len(numbers) == len(words):
        positions = index.phrase_positions(numbers)
        if len(positions):
            return ClauseMatch(clause, numbers, index.at_positions(positions), positions=positions)
    return ClauseMatch(clause)


def _choose_selecting(known: Sequence[ClauseMatch], n: int, stop_words: Collection[str]) -> None:
    """Mark the clauses whose matches are hits: the telling ones, or all where there are none."""
    for one in known:
        assert one.matches is not None
        is_stop_word = len(one.clause.words) == 1 and one.clause.words[0] in stop_words
        is_whole = one.is_known or one.is_corrected
        one.selects = is_whole and not is_stop_word and 2 * len(one.matches.rows) <= n
    if not any(one.selects for one in known):
        for one in known:
            one.selects = True


def _weights(matches: Matches, n: int) -> NDArray[np.float64]:
    """Return what a clause adds to the scores of its matches."""
    df = len(matches.rows)
    idf = math.log(1 + (n - df + 0.5) / (df + 0.5))
    frequencies = matches.frequencies.astype(np.float64, copy=False)
    weights: NDArray[np.float64] = idf * frequencies / (SATURATION + frequencies)
    return weights


def _add_less(
    scores: NDArray[np.float64], matches: Matches, clause: ClauseMatch, share: float
) -> NDArray[np.intp]:
    """Add a share of what matches weigh to items that do not have the word itself; return them."""
    assert clause.matches is not None
    others = ~_mask(clause.matches.rows, len(scores))[matches.rows]
    rows: NDArray[np.intp] = matches.rows[others]
    scores[rows] += share * _weights(matches, len(scores))[others]
    return rows


def _add_pairs(
    scores: NDArray[np.float64], index: WordIndex, clauses: Sequence[ClauseMatch]
) -> None:
    """Add to items in which two neighbours of the query are neighbours, too."""
    for one, other in pairwise(clauses):
        if not (one.is_known and other.is_known and len(one.words) == len(other.words) == 1):
            continue
        words = [*one.words, *other.words]
        if min(map(index.n_occurrences, words)) > MOST_PAIRED:
            continue
        pair = index.of_phrase(words)
        if len(pair.rows):
            scores[pair.rows] += PAIR * _weights(pair, len(scores))


def _mask(rows: Any, n: int) -> NDArray[np.bool_]:
    mask = np.zeros(n, dtype=np.bool_)
    mask[rows] = True
    return mask
