"""Why items match, what was meant by words that nothing matches, and what to know of an answer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.index.matching import ClauseMatch, Matching
from gpu_kmeans.index.postings import WordIndex
from gpu_kmeans.index.query import MAX_WORDS, ParsedQuery
from gpu_kmeans.index.results import Correction
from gpu_kmeans.index.vocabulary import Vocabulary

__all__ = ["corrections", "message", "reasons"]

MAX_REASONS = 5
"""Maximum number of words of one field that stand for a word of the query among the reasons."""
NEAREST = 5
"""Number of known words that are offered for one that nothing matches."""
MAX_CORRECTIONS = 5
"""Maximum number of words of a query for which others are offered."""
LETTERS_SHOWN = 40
"""Number of letters of a word or phrase that a message shows."""


def reasons(
    index: WordIndex,
    vocabulary: Vocabulary,
    fields: Sequence[str],
    rows: NDArray[np.intp],
    clauses: Sequence[ClauseMatch],
) -> list[dict[str, list[str]]]:
    """Return the words of items that match, by the names of the fields that have them.

    Words that select no items, as stop words, are none.
    """
    by_field: list[dict[int, dict[str, None]]] = [{} for _ in range(len(rows))]
    for one in clauses:
        if one.matches is None or (one.is_known and not (one.selects or one.further)):
            continue
        if one.positions is not None:
            words = " ".join(vocabulary[number] for number in one.words)
            phrase = f'"{words}"' if one.is_corrected else one.clause.text
            for own, with_phrase in zip(
                by_field, index.fields_with_phrase(rows, one.positions), strict=True
            ):
                for field in with_phrase:
                    own.setdefault(field, {})[phrase] = None
            continue
        for numbers in filter(len, (one.words, one.further)):
            for own, with_words in zip(by_field, index.fields_with(rows, numbers), strict=True):
                for field, known in with_words.items():
                    shown = own.setdefault(field, {})
                    shown.update(dict.fromkeys(vocabulary[at] for at in known[:MAX_REASONS]))
    return [{fields[field]: list(own[field]) for field in sorted(own)} for own in by_field]


def corrections(
    index: WordIndex, vocabulary: Vocabulary, clauses: Sequence[ClauseMatch]
) -> tuple[Correction, ...]:
    """Return the first words that no item has, with those that stand for them or are near."""
    corrected: list[Correction] = []
    for one in clauses:
        if len(corrected) >= MAX_CORRECTIONS:
            break
        if one.is_corrected:
            used = _used(index, vocabulary, one)
            corrected.append(Correction(one.clause.words[0], used, True))
        elif one.matches is None and not one.clause.unspaced:
            unknown = [word for word in one.clause.words if vocabulary.find(word) is None]
            corrected += [
                Correction(word, tuple(vocabulary.nearest(word, NEAREST)), False)
                for word in unknown[: MAX_CORRECTIONS - len(corrected)]
            ]
    return tuple(corrected)


def message(
    query: ParsedQuery, matching: Matching, corrected: Sequence[Correction], restricted: bool
) -> str | None:
    """Say what the reader of an answer should know; None where there is nothing.

    Parameters
    ----------
    query : ParsedQuery
    matching : Matching
        After filters.
    corrected : sequence of Correction
    restricted : bool
        Whether there were filters, or clusters.
    """
    said = []
    if not query.clauses and not restricted:
        said.append("the query has no word: give some letters or digits")
    missed = [_short(one.clause.text) for one in matching.clauses if one.matches is None]
    if missed:
        said.append(f"nothing matches {', '.join(missed[:MAX_CORRECTIONS])}")
    for correction in corrected:
        if correction.used:
            near = ", ".join(correction.nearest)
            said.append(f"nothing matches {correction.word}: these match {near}")
    offered = [word for one in corrected if not one.used for word in one.nearest]
    if offered:
        said.append(f"near to it: {', '.join(offered[:NEAREST])}")
    if query.clauses and not len(matching.rows) and len(missed) < len(matching.clauses):
        said.append(
            "nothing that matches passes the filters and is in the clusters"
            if restricted
            else "no item has all of the phrases"
        )
    if query.left_out:
        said.append(f"only the first {MAX_WORDS} words count: {query.left_out} are left out")
    return "; ".join(said) or None


def _used(index: WordIndex, vocabulary: Vocabulary, one: ClauseMatch) -> tuple[str, ...]:
    """Return what stands for a word that no item has."""
    if one.positions is not None:
        return (" ".join(vocabulary[number] for number in one.words),)
    words = sorted(one.words, key=lambda number: -index.document_frequency(number))
    return tuple(vocabulary[number] for number in words[:NEAREST])


def _short(text: str) -> str:
    """Return the beginning of a text that a message names."""
    return text if len(text) <= LETTERS_SHOWN else f"{text[:LETTERS_SHOWN]}..."
