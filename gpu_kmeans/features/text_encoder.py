"""Texts as weighted terms: the encoder of columns of texts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.backends.protocol import Backend, Matrix
from gpu_kmeans.errors import InvalidParam
from gpu_kmeans.features.base import Columns, Encoder, Reason, State, group_means, largest_first
from gpu_kmeans.features.tfidf import TfidfVectorizer

__all__ = ["TEXT", "TextEncoder"]

TEXT = "text"
"""Name of the one column of texts: of several, their cells are joined before."""


TERMS_READ = 1_000
"""Number of terms, taken evenly, that are looked at for scripts without spaces."""
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]{4}"
)
"""Pattern of four letters in a row of Thai, Lao, Burmese, Khmer, Japanese or Chinese."""


class TextEncoder(Encoder):
    """Texts to rows of weighted terms, by a :class:`~gpu_kmeans.features.tfidf.TfidfVectorizer`.

    Its column is ``text``: a column of the backend, or a sequence of ``str``.
    """

    kind = "text"

    def __init__(self, vectorizer: TfidfVectorizer) -> None:
        self.vectorizer = vectorizer
        self.columns = (TEXT,)
        self.notes = []

    def fit_transform(self, columns: Columns, backend: Backend) -> Matrix:
        rows = self.vectorizer.fit_transform(columns[TEXT])
        self.notes = self._notes()
        return rows

    def _notes(self) -> list[str]:
        """Say it where most terms are runs of letters that no space parts into words."""
        if self.vectorizer.analyzer != "word":
            return []
        terms = self.feature_names[:: max(1, len(self.vectorizer.vocabulary_) // TERMS_READ)]
        unspaced = sum(bool(_UNSPACED.search(term)) for term in terms)
        if 2 * unspaced <= len(terms):
            return []
        return [
            "most texts put no spaces between their words, so that whole phrases count as terms: "
            "cluster n-grams of characters (analyzer='char', ngram_range=(1, 2); on the command "
            "line --analyzer char --ngrams 1 2)"
        ]

    def transform(self, columns: Columns, backend: Backend) -> Matrix:
        return self.vectorizer.transform(columns[TEXT])

    @property
    def feature_names(self) -> list[str]:
        return [str(term) for term in self.vectorizer.get_feature_names_out()]

    def reasons(
        self, columns: Columns, rows: Any, labels: NDArray[np.int32], k: int, limit: int
    ) -> list[list[Reason]]:
        """The terms whose mean weight lies farthest above that of all items."""
        names = self.vectorizer.get_feature_names_out()
        overall = np.asarray(rows.mean(axis=0)).ravel()
        squares = np.asarray(rows.multiply(rows).mean(axis=0)).ravel()
        spread = np.sqrt(np.maximum(squares - overall**2, 0.0))
        means = group_means(rows, labels, k)
        return [
            [
                Reason(
                    "term",
                    "",
                    str(names[term]),
                    float(mean[term]),
                    float(overall[term]),
                    float((mean[term] - overall[term]) / spread[term]) if spread[term] else 0.0,
                )
                for term in largest_first(mean - overall, limit)
            ]
            for mean in means
        ]

    def state(self) -> State:
        """Terms are one run of UTF-8 bytes, and the offsets at which each begins and ends.

        Raises
        ------
        InvalidParam
            A term is not text that UTF-8 can hold.
        """
        try:
            terms = [term.encode() for term in self.feature_names]
        except UnicodeEncodeError as error:
            raise InvalidParam(
                f"this model cannot be saved: a term is not text ({error})"
            ) from error
        arrays = {
            "idf": getattr(self.vectorizer, "idf_", np.ones(len(terms))),
            "vocabulary": np.frombuffer(b"".join(terms), dtype=np.uint8),
            "vocabulary_offsets": np.cumsum([0, *map(len, terms)], dtype=np.int64),
        }
        return self.vectorizer.storable_params(), arrays

    @classmethod
    def from_state(cls, params: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Self:
        offsets = arrays["vocabulary_offsets"]
        if not len(offsets) or len(arrays["idf"]) != len(offsets) - 1:
            raise ValueError("its terms and their weights are not as many")
        if offsets[0] or offsets[-1] != len(arrays["vocabulary"]) or np.any(np.diff(offsets) < 0):
            raise ValueError(f"vocabulary_offsets does not rise to {len(arrays['vocabulary'])}")
        if not np.isfinite(arrays["idf"]).all():
            raise ValueError("idf has a value that is not finite")
        content = arrays["vocabulary"].tobytes()
        terms = [content[start:end].decode() for start, end in pairwise(offsets.tolist())]
        params = dict(params)
        params["ngram_range"] = tuple(params["ngram_range"])
        average_length = params.pop("average_length_", 1.0)
        return cls(TfidfVectorizer.from_fitted(terms, arrays["idf"], params, average_length))
