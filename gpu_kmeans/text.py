"""TF-IDF: what a token is, which terms are kept, and what each of them weighs.

A token, exactly: lower-case the text with ``str.lower`` (Unicode's default conversion, final
sigma included), then take every longest run of at least two word characters. Word characters
are those of ``\\w`` in Python's ``re``: letters (categories L*), numbers (N*) and the
underscore. Everything else separates: punctuation, apostrophes, emoji, control characters
and combining marks. Nothing is normalised, so an accent that is a mark of its own ends a
token where the composed letter does not. This is scikit-learn's default analyser, for every
text.

Stop words are dropped, compared with the lower-cased tokens; n-grams are runs of neighbours
among the tokens that are left, joined by a space.

:func:`find_terms` states this for one text, in pure Python, and serves queries; a backend
counts terms of many texts by the same rules, handed to it as :class:`TokenRules`, and is held
to :func:`find_terms` by tests. Which code points are letters is for the interpreter's
Unicode version to say (:data:`unicodedata.unidata_version`): a letter that was assigned after
a model was fitted may be one in a query under a newer Python, and then is an unknown term.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gpu_kmeans.backend import BackendSpec, resolve
from gpu_kmeans.errors import EmptyVocabulary, InvalidParam, InvalidQuery
from gpu_kmeans.estimator import Estimator
from gpu_kmeans.protocol import Matrix, TokenRules
from gpu_kmeans.text_params import (
    check_document_frequency,
    check_ngram_range,
    check_stop_words,
    check_texts,
    check_vocabulary,
)
from gpu_kmeans.validation import check_integer

__all__ = ["TfidfVectorizer", "find_terms"]


def find_terms(text: str, rules: TokenRules) -> list[str]:
    """Return the terms of one text, repeats included; see the module's docstring."""
    tokens = re.findall(rf"\w{{{rules.min_length},}}", text.lower())
    words = [token for token in tokens if token not in rules.stop_words]
    shortest, longest = rules.ngram_range
    return [
        " ".join(words[start : start + length])
        for length in range(shortest, min(longest, len(words)) + 1)
        for start in range(len(words) - length + 1)
    ]


@dataclass(frozen=True, slots=True)
class _Plan:
    """The checked parameters a fitted vectorizer goes by; later ``set_params`` leave it alone."""

    rules: TokenRules
    sublinear: bool
    norm: str | None


class TfidfVectorizer(Estimator):
    """Turn texts into TF-IDF rows, equal to scikit-learn's vectorizer of the same arguments.

    One default is another: ``stop_words`` is ``"english"`` here, and ``None`` there.

    With ``tf`` the count of a term in a text (``1 + ln(tf)`` if sublinear), ``df`` the number
    of texts that hold it and ``n`` the number of texts, a term weighs ``tf * idf`` with
    ``idf = ln(n / df) + 1``, or ``ln((1 + n) / (1 + df)) + 1`` if smooth; then each row is
    divided by its norm. Computed in float64, returned as float32.

    Parameters
    ----------
    stop_words : "english", collection of str, or None
        Tokens to drop. ``"english"`` is the list of scikit-learn and cuML.
    ngram_range : (int, int)
        Shortest and longest n-gram, both included.
    min_df, max_df : int or float
        Keep terms that at least / at most so many texts hold: an int is a number of texts
        (from 1), a float a share of them (from 0.0 to 1.0).
    max_features : int or None
        Of the terms that ``min_df`` and ``max_df`` leave, keep so many: those that occur
        most often in all texts. Ties go to the term first in code-point order, as in cuML
        (scikit-learn leaves open which of them it keeps).
    vocabulary : mapping, set or sequence of str, or None
        Fixed terms: term -> column, or terms in the order of columns (a set is sorted).
        ``min_df``, ``max_df`` and ``max_features`` then have nothing to choose.
    sublinear_tf, smooth_idf : bool
    norm : "l2", "l1" or None
    backend : "auto", "cpu", "gpu" or a Backend

    Attributes
    ----------
    vocabulary_ : dict of str to int
        Column of each term, in the order of columns: code-point order unless fixed.
    idf_ : ndarray of shape (n_terms,), float64
    """

    def __init__(
        self,
        *,
        stop_words: Collection[str] | None = "english",
        ngram_range: tuple[int, int] = (1, 1),
        min_df: int | float = 1,
        max_df: int | float = 1.0,
        max_features: int | None = None,
        vocabulary: Mapping[str, int] | Collection[str] | None = None,
        sublinear_tf: bool = False,
        norm: str | None = "l2",
        smooth_idf: bool = True,
        backend: BackendSpec = "auto",
    ) -> None:
        self.stop_words = stop_words
        self.ngram_range = ngram_range
        self.min_df = min_df
        self.max_df = max_df
        self.max_features = max_features
        self.vocabulary = vocabulary
        self.sublinear_tf = sublinear_tf
        self.norm = norm
        self.smooth_idf = smooth_idf
        self.backend = backend

    @classmethod
    def from_fitted(cls, terms: Sequence[str], idf: ArrayLike, params: Mapping[str, Any]) -> Self:
        """Restore a fitted vectorizer from its terms, in the order of columns, and their idf.

        Parameters
        ----------
        terms : sequence of str
        idf : array-like of shape (n_terms,)
        params : mapping
            Constructor arguments that differ from the defaults, or all of them.

        Raises
        ------
        InvalidParam
            A term twice, no terms, another number of idf values than terms, an idf that is
            not a positive number, or a parameter outside its domain.
        """
        vectorizer = cls().set_params(**params)
        plan = vectorizer._check_params()
        columns = check_vocabulary(list(terms))
        values = np.array(idf, dtype=np.float64)
        if values.shape != (len(columns),):
            raise InvalidParam(f"idf of shape {values.shape} does not fit {len(columns)} terms")
        if not (np.isfinite(values) & (values > 0)).all():
            raise InvalidParam("idf must be positive finite numbers")
        vectorizer._set_fitted(plan, columns, values)
        return vectorizer

    def fit(self, texts: Iterable[str], y: object = None) -> Self:
        """Learn vocabulary and idf; ``y`` is ignored, and there for pipelines.

        Parameters
        ----------
        texts : list, array, Series or other iterable of str
            Missing texts are refused: put ``""`` in their place.

        Raises
        ------
        InvalidParam
            A parameter is outside its domain, or ``texts`` is a single text or a table.
        InputError
            One of the texts is missing or not a ``str``; its position is named.
        EmptyVocabulary
            No term is left: no texts, nothing usable in them, or limits too narrow.
        """
        self._learn(texts)
        return self

    def fit_transform(self, texts: Iterable[str], y: object = None) -> Matrix:
        """``fit``, then the rows of the same texts, counted only once."""
        return self._weigh(self._learn(texts))

    def transform(self, texts: Iterable[str]) -> Matrix:
        """Return TF-IDF rows: the backend's CSR of shape (n_texts, n_terms), float32.

        A text without a known term gives an empty row.

        Raises
        ------
        NotFitted
        InvalidParam, InputError
            As in :meth:`fit`.
        """
        self._require_fitted()
        check_texts(texts)
        terms = list(self.vocabulary_)
        _, counts = resolve(self.backend).count_terms(texts, self._plan.rules, terms)
        return self._weigh(counts)

    def transform_query(self, text: str) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return one text's row as ``(columns, values)``, both of shape (n_known_terms,).

        The same numbers as :meth:`transform` on the CPU, columns ascending; on the host, in
        microseconds, and without loading any library.

        Raises
        ------
        NotFitted
        InvalidQuery
            ``text`` is not a ``str``.
        """
        self._require_fitted()
        if not isinstance(text, str):
            raise InvalidQuery(f"a query must be a text, got {text!r:.60} ({type(text).__name__})")
        found = map(self.vocabulary_.get, find_terms(text, self._plan.rules))
        counts = sorted(Counter(column for column in found if column is not None).items())
        if not counts:
            return np.empty(0, dtype=np.int32), np.empty(0, dtype=np.float32)
        columns = np.array([column for column, _ in counts], dtype=np.int32)
        weights = np.array([count for _, count in counts], dtype=np.float64)
        if self._plan.sublinear:
            weights = np.log(weights) + 1.0
        weights *= self.idf_[columns]
        # cumsum adds one by one, as the fit does: the same rounding, to the last bit.
        if self._plan.norm == "l2":
            weights /= np.sqrt(np.cumsum(weights**2)[-1])
        elif self._plan.norm == "l1":
            weights /= np.cumsum(weights)[-1]
        return columns, weights.astype(np.float32)

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Return the terms in the order of columns, shape (n_terms,).

        ``input_features`` is taken, and ignored, for the sake of pipelines.
        """
        self._require_fitted()
        return np.array(list(self.vocabulary_), dtype=object)

    def _learn(self, texts: Iterable[str]) -> Matrix:
        """Set the fitted attributes and return the counts of the terms that were kept."""
        plan = self._check_params()
        fixed = None if self.vocabulary is None else [*check_vocabulary(self.vocabulary)]
        check_texts(texts)
        backend = resolve(self.backend)
        terms, counts = backend.count_terms(texts, plan.rules, fixed)
        n_texts = counts.shape[0]
        if n_texts == 0:
            raise EmptyVocabulary("0 texts were given: at least one is needed to learn terms from")
        if not terms:
            raise EmptyVocabulary(_why_no_terms(n_texts, plan.rules))
        columns = backend.to_host(counts.indices)
        frequency = np.bincount(columns, minlength=len(terms))
        if fixed is None:
            kept = self._within_limits(frequency, n_texts)
            if self.max_features is not None and len(kept) > self.max_features:
                totals = np.bincount(columns, backend.to_host(counts.data), minlength=len(terms))
                most_frequent = np.argsort(-totals[kept], kind="stable")
                kept = np.sort(kept[most_frequent[: self.max_features]])
            if len(kept) < len(terms):
                counts, frequency = counts[:, kept], frequency[kept]
                counts.sort_indices()  # CuPy selects columns in any order
                terms = [terms[column] for column in kept.tolist()]
        idf = self._inverse_frequency(terms, frequency, n_texts)
        self._set_fitted(plan, {term: column for column, term in enumerate(terms)}, idf)
        return counts

    def _inverse_frequency(
        self, terms: list[str], frequency: NDArray[np.intp], n_texts: int
    ) -> NDArray[np.float64]:
        smooth = float(self.smooth_idf)
        if not smooth and not frequency.all():
            raise InvalidParam(
                f"smooth_idf=False gives the term {terms[int(np.argmin(frequency))]!r} an infinite "
                f"idf, as none of the {n_texts} texts holds it: take it out of the vocabulary, or "
                "smooth"
            )
        # The order of operations is scikit-learn's, so that the rounding is too.
        idf: NDArray[np.float64] = np.log((n_texts + smooth) / (frequency + smooth)) + 1.0
        return idf

    def _within_limits(self, frequency: NDArray[np.intp], n_texts: int) -> NDArray[np.intp]:
        """Return the columns that ``min_df`` and ``max_df`` leave."""
        low, high = _n_texts(self.min_df, n_texts), _n_texts(self.max_df, n_texts)
        if high < low:
            raise InvalidParam(
                f"min_df={self.min_df} asks for at least {low:g} of {n_texts} texts and "
                f"max_df={self.max_df} allows at most {high:g}: no term can be both"
            )
        kept = np.flatnonzero((frequency >= low) & (frequency <= high))
        if not len(kept):
            raise EmptyVocabulary(
                f"min_df={self.min_df} and max_df={self.max_df} leave none of the "
                f"{len(frequency)} terms of {n_texts} texts: widen them"
            )
        return kept

    def _weigh(self, counts: Matrix) -> Matrix:
        plan = self._plan
        return resolve(self.backend).weigh_terms(counts, self.idf_, plan.sublinear, plan.norm)

    def _set_fitted(
        self, plan: _Plan, vocabulary: dict[str, int], idf: NDArray[np.float64]
    ) -> None:
        self._plan = plan
        self.vocabulary_ = vocabulary
        self.idf_ = idf

    def _check_params(self) -> _Plan:
        check_document_frequency("min_df", self.min_df)
        check_document_frequency("max_df", self.max_df)
        if self.max_features is not None:
            check_integer("max_features", self.max_features, 1)
        for name in ("sublinear_tf", "smooth_idf"):
            if not isinstance(getattr(self, name), bool | np.bool_):
                raise InvalidParam(f"{name} must be True or False, got {getattr(self, name)!r}")
        if self.norm not in ("l1", "l2", None):
            raise InvalidParam(f"norm must be 'l2', 'l1' or None, got {self.norm!r}")
        rules = TokenRules(
            stop_words=check_stop_words(self.stop_words),
            ngram_range=check_ngram_range(self.ngram_range),
        )
        return _Plan(rules, bool(self.sublinear_tf), self.norm)


def _why_no_terms(n_texts: int, rules: TokenRules) -> str:
    shortest = rules.ngram_range[0]
    return (
        f"none of the {n_texts} texts holds a usable term: at least {rules.min_length} letters, "
        f"numbers or underscores in a row{', stop words left out' if rules.stop_words else ''}"
        f"{f', in runs of {shortest} neighbours' if shortest > 1 else ''}; "
        "is this the column of texts?"
    )


def _n_texts(bound: Any, n_texts: int) -> Any:
    return bound if isinstance(bound, Integral) else bound * n_texts
