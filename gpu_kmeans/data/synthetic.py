"""Made-up corpora of any size, from a seed, whose right clusters are known.

Each document has a topic. Half of its tokens come from the whole vocabulary and half from
the terms of its topic (term ``t`` belongs to topic ``t % n_topics``), both by Zipf's law with
exponent 1. The law is drawn in closed form: for u uniform in [0, 1), ``floor((V + 1) ** u)``
is rank r with probability ``log(1 + 1/r) / log(V + 1)``, which is close to 1/r, so no table of
the vocabulary is built and a million documents take seconds.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.errors import FileProblem, InvalidParam

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["SyntheticCorpus", "corpus"]

MOVIES = (
    "id",
    "title",
    "overview",
    "popularity",
    "vote_average",
    "vote_count",
    "keywords",
    "genres",
    "release_date",
)
CREDITS = ("movie_id", "title", "cast", "crew")
BLOCK = 2**20
"""Tokens drawn at a time: bounds the memory of the float64 draws."""


@dataclass(frozen=True, eq=False)
class SyntheticCorpus:
    """Documents as runs of term numbers.

    Attributes
    ----------
    labels : ndarray of shape (n_documents,), int32
        The planted topic of each document.
    bounds : ndarray of shape (n_documents + 1,), int64
        Document ``i`` has the tokens ``bounds[i]`` up to ``bounds[i + 1]``; at least one.
    tokens : ndarray, int32
        Numbers of terms.
    n_terms : int
        Size of the vocabulary; in a small corpus not every term occurs.
    seed : int
    """

    labels: NDArray[np.int32]
    bounds: NDArray[np.int64]
    tokens: NDArray[np.int32]
    n_terms: int
    seed: int

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def terms(self) -> list[str]:
        """Spelling of each term, in code-point order: ``t00042`` for term 42."""
        digits = len(str(self.n_terms - 1))
        return [f"t{number:0{digits}d}" for number in range(self.n_terms)]

    def counts(self) -> csr_array[Any]:
        """Term counts as CSR float32 of shape (n_documents, n_terms), indices sorted."""
        from scipy.sparse import csr_array

        ones = np.ones(len(self.tokens), dtype=np.float32)
        shape = (len(self), self.n_terms)
        # Copies, because summing duplicates works in place on the arrays that it is given; of
        # one index type, because SciPy widens both to the wider one.
        index = np.int32 if len(self.tokens) < 2**31 else np.int64
        counts = csr_array((ones, self.tokens.astype(index), self.bounds.astype(index)), shape)
        counts.sum_duplicates()
        return counts

    def texts(self) -> list[str]:
        """The documents as texts: terms joined by spaces."""
        return list(self._documents())

    def write_csv(self, folder: str | PathLike[str]) -> tuple[Path, Path]:
        """Write ``movies.csv`` and ``credits.csv`` in the catalogue's default columns.

        The keyword of a document is its topic; popularity and votes are drawn from the seed.

        Raises
        ------
        FileProblem
            One of the files exists, or the folder cannot be written to.
        """
        rng = np.random.default_rng([self.seed, 1])
        popularity = rng.lognormal(2.0, 1.2, len(self)).round(4).tolist()
        rating = rng.uniform(2.0, 9.0, len(self)).round(1).tolist()
        votes = rng.geometric(0.002, len(self)).tolist()
        topics = [f'[{{"id": {label}, "name": "topic {label}"}}]' for label in self.labels]
        movies = (
            (number, f"Document {number}", text, *numbers, topic, topic, "2000-01-01")
            for number, (text, *numbers, topic) in enumerate(
                zip(self._documents(), popularity, rating, votes, topics, strict=True)
            )
        )
        credits = ((number, f"Document {number}", "[]", "[]") for number in range(len(self)))
        folder = Path(folder)
        return (
            _write(folder / "movies.csv", MOVIES, movies),
            _write(folder / "credits.csv", CREDITS, credits),
        )

    def _documents(self) -> Iterator[str]:
        terms = np.array(self.terms, dtype=object)
        bounds = self.bounds.tolist()
        for start, stop in pairwise(bounds):
            yield " ".join(terms[self.tokens[start:stop]])


def corpus(
    n_documents: int, n_terms: int, *, n_topics: int, mean_length: float, seed: int
) -> SyntheticCorpus:
    """Draw a corpus with planted topics.

    Parameters
    ----------
    n_documents, n_terms : int
        At least 1; memory is about ``4 * n_documents * mean_length`` bytes.
    n_topics : int
        From 1 to ``n_terms``.
    mean_length : float
        Mean number of tokens of a document, at least 1; 40 gives some 30 different terms.
    seed : int
        The same corpus from the same seed, on any machine.

    Raises
    ------
    InvalidParam
        An argument is outside its domain.
    """
    if n_documents < 1 or mean_length < 1 or not 1 <= n_topics <= n_terms or seed < 0:
        raise InvalidParam(
            "a corpus needs n_documents >= 1, mean_length >= 1, 1 <= n_topics <= n_terms and "
            f"seed >= 0, got n_documents={n_documents}, mean_length={mean_length}, "
            f"n_topics={n_topics}, n_terms={n_terms}, seed={seed}"
        )
    rng = np.random.default_rng(seed)
    labels = rng.integers(n_topics, size=n_documents, dtype=np.int32)
    lengths = 1 + rng.poisson(mean_length - 1, n_documents)
    bounds = np.concatenate(([0], np.cumsum(lengths, dtype=np.int64)))
    tokens = np.empty(bounds[-1], dtype=np.int32)
    topics = np.repeat(labels, lengths)
    for start in range(0, len(tokens), BLOCK):
        block = slice(start, start + BLOCK)
        tokens[block] = _draw(rng, topics[block], n_terms, n_topics)
    return SyntheticCorpus(labels, bounds, tokens, n_terms, seed)


def _draw(
    rng: np.random.Generator, topics: NDArray[np.int32], n_terms: int, n_topics: int
) -> NDArray[np.int64]:
    """One token for each given topic, from the whole vocabulary or from the topic's terms."""
    own = rng.random(len(topics)) < 0.5
    size = np.where(own, (n_terms - 1 - topics) // n_topics + 1, n_terms)
    # A power can round up to size + 1: the minimum keeps it in the vocabulary.
    rank = np.minimum((size + 1.0) ** rng.random(len(topics)), size).astype(np.int64) - 1
    return np.where(own, rank * n_topics + topics, rank)


def _write(path: Path, columns: tuple[str, ...], rows: Iterator[tuple[Any, ...]]) -> Path:
    try:
        with path.open("x", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(columns)
            writer.writerows(rows)
    except OSError as error:
        raise FileProblem(f"{path} cannot be written: {error.strerror}") from error
    return path
