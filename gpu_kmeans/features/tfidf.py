"""TF-IDF and its kin: texts in, weighted rows out.

Terms are defined in :mod:`gpu_kmeans.features.analysis`, their columns in
:mod:`gpu_kmeans.features.vocabulary`, their weights in :mod:`gpu_kmeans.features.weighting`. Terms
of the default analysis are counted by a backend, all others here on the host.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from gpu_kmeans.backends.protocol import Matrix, TokenRules
from gpu_kmeans.backends.select import BackendSpec, resolve
from gpu_kmeans.errors import (
    EmptyVocabulary,
    FeatureMismatch,
    InvalidParam,
    InvalidQuery,
    NotFitted,
    shown,
)
from gpu_kmeans.features.analysis import TOKEN_PATTERN, Analysis, count_on_host, find_terms
from gpu_kmeans.features.builders import AnalysisBuilders
from gpu_kmeans.features.texts import check_texts, is_on_device
from gpu_kmeans.features.tfidf_params import (
    check_document_frequency,
    check_dtype,
    check_integer,
    check_truth,
    warn_of_capitals,
    warn_of_stop_words,
    warn_of_unused,
)
from gpu_kmeans.features.vocabulary import check_vocabulary, columns_within
from gpu_kmeans.features.weighting import (
    Weighting,
    check_idf,
    global_weights,
    mean_length,
    row_weights,
)
from gpu_kmeans.validation import check_rows

__all__ = ["TermCounts", "TfidfVectorizer", "find_terms"]

SCHEMA_1 = (
    *("stop_words", "ngram_range", "min_df", "max_df", "max_features"),
    *("sublinear_tf", "norm", "smooth_idf"),
)
"""Parameters that every stored model states; others only where they differ from the default."""
NOT_STORED = ("backend", "vocabulary")
"""Parameters that no stored model states."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """Checked parameters of a fitted vectorizer; later calls of ``set_params`` do not change it."""

    analysis: Analysis
    rules: TokenRules | None
    weighting: Weighting
    binary: bool
    use_idf: bool

    @property
    def is_bm25(self) -> bool:
        return self.weighting.scheme == "bm25"

    def terms(self, text: str) -> list[str]:
        return self.analysis.terms(text) if self.rules is None else find_terms(text, self.rules)


@dataclass(frozen=True, eq=False)
class TermCounts:
    """What some of the texts say of terms.

    Attributes
    ----------
    terms : list of str
        In code-point order.
    frequency, totals : ndarray of shape (n_terms,), int64
        Number of texts that hold a term, and how often all of them do.
    n_texts : int
    """

    terms: list[str]
    frequency: NDArray[np.int64]
    totals: NDArray[np.int64]
    n_texts: int


class TfidfVectorizer(AnalysisBuilders):
    """Turn texts into TF-IDF rows, equal to scikit-learn's vectorizer of the same arguments.

    Two defaults are others: ``stop_words`` is ``"english"`` here and ``None`` there, ``dtype``
    float32 here and float64 there. Weights are computed in float64 in any case.

    Words as they are found by default are counted by the backend, compiled and on all threads. A
    tokenizer, preprocessor or analyzer of one's own, another pattern, accents to be stripped,
    ``lowercase=False`` or n-grams of characters are counted in Python, in about scikit-learn's
    time, which is some five times the backend's for words.

    Parameters
    ----------
    input : "content", "file" or "filename"
        Whether the texts are given themselves (``str``, or ``bytes`` of ``encoding``), or open
        files, or names of files.
    encoding : str
        Encoding of bytes and files.
    decode_error : "strict", "ignore" or "replace"
        What happens to bytes that are not in the encoding.
    strip_accents : "ascii", "unicode", function of str, or None
        Decompose characters (NFKD) and drop the marks, or all that is not ASCII then.
    lowercase : bool
    preprocessor : function or None
        Takes the place of ``lowercase`` and ``strip_accents``; texts may then be anything.
    tokenizer : function of a preprocessed text, or None
        Takes the place of ``token_pattern``.
    analyzer : "word", "char", "char_wb", or function of a text
        Units of n-grams: words, characters, or characters within words with a space on
        both sides; a function returns the terms themselves. N-grams of characters are for
        languages that put no spaces between words.
    stop_words : "english", collection of str, or None
        Tokens to drop. ``"english"`` is the list of scikit-learn and cuML.
    token_pattern : str or None
        Regular expression of a token; with a group, the token is what the group matches.
    ngram_range : (int, int)
        Shortest and longest n-gram, both included.
    max_df, min_df : int or float
        Keep terms that at most / at least so many texts hold: an int is a number of texts
        (from 1), a float a share of them (from 0.0 to 1.0).
    max_features : int or None
        Maximum number of terms within ``min_df`` and ``max_df``: those that occur most often
        in all texts are kept. Ties go to the term first in code-point order, as in cuML
        (scikit-learn leaves open which of them it keeps).
    vocabulary : mapping, set or other iterable of str, or None
        Fixed terms: term -> column, or terms in the order of columns (a set is sorted).
        ``min_df``, ``max_df`` and ``max_features`` then have nothing to choose.
    binary : bool
        Count a term once in each text that holds it.
    dtype : float32 or float64
        Type of the rows.
    norm : "l2", "l1" or None
        Length that each row is brought to.
    use_idf : bool
        Whether a term's weight over all texts counts; otherwise all terms weigh the same.
    smooth_idf, sublinear_tf : bool
        See :mod:`gpu_kmeans.features.weighting`; for ``weighting="tfidf"`` alone.
    weighting : "tfidf", "bm25" or "log-entropy"
        Weights of counts, defined in :mod:`gpu_kmeans.features.weighting`.
    backend : "auto", "cpu", "gpu" or a Backend

    Attributes
    ----------
    vocabulary_ : dict of str to int
        Column of each term, in the order of columns: code-point order unless fixed. Where it is
        set by hand, any order will do: each term counts in the column that it is given.
    fixed_vocabulary_ : bool
        Whether the vocabulary was a parameter.
    idf_ : ndarray of shape (n_terms,), float64
        Weight of each term over all texts; not there without ``use_idf``.
    average_length_ : float
        Mean of the lengths of the fitted texts, in terms; there for ``weighting="bm25"``.
    """

    def __init__(
        self,
        *,
        input: str = "content",
        encoding: str = "utf-8",
        decode_error: str = "strict",
        strip_accents: str | Callable[[str], str] | None = None,
        lowercase: bool = True,
        preprocessor: Callable[[Any], Any] | None = None,
        tokenizer: Callable[[Any], Iterable[str]] | None = None,
        analyzer: str | Callable[[Any], Iterable[str]] = "word",
        stop_words: Collection[str] | None = "english",
        token_pattern: str | None = TOKEN_PATTERN,
        ngram_range: tuple[int, int] = (1, 1),
        max_df: int | float = 1.0,
        min_df: int | float = 1,
        max_features: int | None = None,
        vocabulary: Mapping[str, int] | Iterable[str] | None = None,
        binary: bool = False,
        dtype: DTypeLike = "float32",
        norm: str | None = "l2",
        use_idf: bool = True,
        smooth_idf: bool = True,
        sublinear_tf: bool = False,
        weighting: str = "tfidf",
        backend: BackendSpec = "auto",
    ) -> None:
        self.input = input
        self.encoding = encoding
        self.decode_error = decode_error
        self.strip_accents = strip_accents
        self.lowercase = lowercase
        self.preprocessor = preprocessor
        self.tokenizer = tokenizer
        self.analyzer = analyzer
        self.stop_words = stop_words
        self.token_pattern = token_pattern
        self.ngram_range = ngram_range
        self.max_df = max_df
        self.min_df = min_df
        self.max_features = max_features
        self.vocabulary = vocabulary
        self.binary = binary
        self.dtype = dtype
        self.norm = norm
        self.use_idf = use_idf
        self.smooth_idf = smooth_idf
        self.sublinear_tf = sublinear_tf
        self.weighting = weighting
        self.backend = backend

    # -- fitting and transforming -----------------------------------------------------------

    def fit(self, texts: Iterable[Any], y: object = None) -> Self:
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

    def fit_transform(self, texts: Iterable[Any], y: object = None) -> Matrix:
        """``fit``, then the rows of the same texts, counted only once."""
        return self._weigh(self._learn(texts))

    def transform(self, texts: Iterable[Any]) -> Matrix:
        """Return weighted rows: the backend's CSR of shape (n_texts, n_terms), of ``dtype``.

        A text without a known term gives an empty row.

        Raises
        ------
        NotFitted
        InvalidParam, InputError
            As in :meth:`fit`.
        """
        terms = self._fitted_terms()
        check_texts(texts)
        return self._weigh(self._count(self._plan, texts, terms)[1])

    def transform_query(self, text: str) -> tuple[NDArray[np.int32], NDArray[Any]]:
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
            raise InvalidQuery(f"a query must be a text, got {shown(text)} ({type(text).__name__})")
        if not self._is_checked():
            self._fitted_terms()
        plan, weighting = self._plan, self._weighting()
        numbers = map(self.vocabulary_.get, plan.terms(text))
        counts = sorted(Counter(column for column in numbers if column is not None).items())
        if not counts:
            return np.empty(0, dtype=np.int32), np.empty(0, dtype=weighting.dtype)
        columns = np.array([column for column, _ in counts], dtype=np.int32)
        tf = np.array([1 if plan.binary else count for _, count in counts], dtype=np.float64)
        idf = self.idf_[columns] if plan.use_idf else None
        return columns, row_weights(tf, idf, weighting)

    def inverse_transform(self, rows: Any) -> list[NDArray[Any]]:
        """Return the terms of each row that are not 0, in the order of columns.

        Parameters
        ----------
        rows : CSR or array of shape (n, n_terms)

        Raises
        ------
        NotFitted
        FeatureMismatch
            The rows have another number of columns.
        """
        terms = np.array(list(self._known_vocabulary()))
        host = resolve(self.backend).to_host(check_rows(rows))
        if host.shape[1] != len(terms):
            raise FeatureMismatch(
                f"rows have {host.shape[1]} columns, but the vocabulary has {len(terms)} terms"
            )
        if not hasattr(host, "indptr"):
            return [terms[np.flatnonzero(row)] for row in host]
        host = host.copy()
        host.sum_duplicates()
        host.eliminate_zeros()
        return [terms[columns] for columns in np.split(host.indices, host.indptr[1:-1])]

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Return the terms in the order of columns, shape (n_terms,).

        ``input_features`` is ignored, and there for pipelines.
        """
        fitted = self.__sklearn_is_fitted__()
        terms = self._fitted_terms() if fitted else list(self._known_vocabulary())
        return np.array(terms, dtype=object)

    # -- what was fitted --------------------------------------------------------------------

    @property
    def idf_(self) -> NDArray[np.float64]:
        if "_idf" not in vars(self):
            raise NotFitted(f"this {type(self).__name__} has no idf_: call fit with use_idf=True")
        return self._idf

    @idf_.setter
    def idf_(self, values: ArrayLike) -> None:
        if not self.use_idf:
            raise InvalidParam("`idf_` cannot be set when `user_idf=False`.")
        self._idf = check_idf(values, len(self._known_vocabulary()), str(self.weighting), "idf_")

    @property
    def fixed_vocabulary_(self) -> bool:
        return self.vocabulary is not None

    def __sklearn_is_fitted__(self) -> bool:
        if "_idf" in vars(self):
            return True
        if "_plan" in vars(self):
            return not self._plan.use_idf
        # Without idf a fixed vocabulary is all that is needed.
        return not self.use_idf and self.vocabulary is not None and self.weighting != "bm25"

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import TransformerTags

        tags = super().__sklearn_tags__()
        tags.transformer_tags = TransformerTags(preserves_dtype=[])
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        return tags

    @classmethod
    def from_fitted(
        cls,
        terms: Sequence[str],
        idf: ArrayLike,
        params: Mapping[str, Any],
        average_length: float = 1.0,
    ) -> Self:
        """Restore a fitted vectorizer from its terms, in the order of columns, and their idf.

        Parameters
        ----------
        terms : sequence of str
        idf : array-like of shape (n_terms,)
            Not read where ``params`` say ``use_idf=False``.
        params : mapping
            Constructor arguments that differ from the defaults, or all of them.
        average_length : float
            ``average_length_`` of the fit, for ``weighting="bm25"``.

        Raises
        ------
        InvalidParam
            A term twice, no terms, another number of idf values than terms, an idf that is
            not a positive number, or a parameter outside its domain.
        """
        vectorizer = cls().set_params(**params)
        plan = vectorizer._check_params()
        columns = check_vocabulary(list(terms))
        weights = None
        if plan.use_idf:
            weights = check_idf(idf, len(columns), plan.weighting.scheme).copy()
        vectorizer._set_fitted(plan, columns, weights, average_length)
        return vectorizer

    def storable_params(self) -> dict[str, Any]:
        """Return the parameters that a model keeps, of types that JSON has.

        ``average_length_`` is among them where it was fitted. The loading machine chooses its own
        backend, and the vocabulary is stored beside.

        Raises
        ------
        InvalidParam
            One of them is a function, which no model can hold.
        """
        self._require_fitted()
        defaults = TfidfVectorizer().get_params()
        params = {
            name: value
            for name, value in self.get_params().items()
            if name in SCHEMA_1 or (name not in NOT_STORED and value is not defaults[name])
        }
        for name, value in params.items():
            if callable(value) and name != "dtype":
                raise InvalidParam(
                    f"{name} is a function, {shown(value)}, which a model cannot hold: save the "
                    "labels instead, or do what it does to the texts before they are fitted"
                )
        if params["stop_words"] is not None and not isinstance(params["stop_words"], str):
            params["stop_words"] = sorted(self._plan.analysis.stop_words)
        if "dtype" in params:
            params["dtype"] = self._plan.weighting.dtype
        if self._plan.is_bm25:
            params["average_length_"] = float(self.average_length_)
        return params

    def _known_vocabulary(self) -> dict[str, int]:
        """Return the vocabulary in the order of columns: the fitted or the fixed one, checked."""
        if "vocabulary_" not in vars(self):
            if self.vocabulary is None:
                raise NotFitted(f"this {type(self).__name__} is not fitted yet: call fit first")
            self.vocabulary_ = dict(check_vocabulary(self.vocabulary))
        return check_vocabulary(self.vocabulary_, "vocabulary_")

    def _fitted_terms(self) -> list[str]:
        """Return the terms in the order of columns; what was set by hand is checked here.

        Raises
        ------
        NotFitted
        InvalidParam
            ``vocabulary_`` does not give each term a column of its own, or ``idf_`` has not one
            positive number for each.
        """
        self._require_fitted()
        terms = list(self._known_vocabulary())
        if "_plan" not in vars(self):  # nothing was fitted, as the vocabulary is fixed
            self._plan = self._check_params()
        idf = self._known_idf()
        if idf is not None:
            check_idf(idf, len(terms), self._plan.weighting.scheme, "idf_")
        self._checked = self.vocabulary_, idf, len(terms)
        return terms

    def _known_idf(self) -> NDArray[np.float64] | None:
        return self.idf_ if self._plan.use_idf else None

    def _is_checked(self) -> bool:
        """Whether the fitted attributes are those that were checked last: queries are quick."""
        if "_checked" not in vars(self):
            return False
        vocabulary, idf, n_terms = self._checked
        same = vocabulary is self.vocabulary_ and idf is self._known_idf()
        return same and len(vocabulary) == n_terms

    # -- in parts -----------------------------------------------------------------------------

    def count_terms(self, texts: Iterable[Any]) -> TermCounts:
        """Count the terms of some of the texts; :meth:`fit_counts` takes those of all."""
        plan = self._check_params()
        check_texts(texts)
        terms, counts = self._count(plan, texts, None)
        to_host = resolve(self.backend).to_host
        columns, data = to_host(counts.indices), to_host(counts.data)
        return TermCounts(
            terms,
            np.bincount(columns, minlength=len(terms)),
            np.bincount(columns, data, minlength=len(terms)).astype(np.int64),
            counts.shape[0],
        )

    def fit_counts(self, parts: Sequence[TermCounts]) -> Self:
        """Learn vocabulary and idf, as :meth:`fit` does, from counts of parts of the texts.

        Raises
        ------
        InvalidParam
            ``vocabulary`` or ``weighting="log-entropy"``, which need no counts, or more of them.
        EmptyVocabulary
        """
        plan = self._check_params()
        if self.vocabulary is not None or plan.weighting.scheme == "log-entropy":
            raise InvalidParam("vocabulary and weighting='log-entropy' are not fitted in parts")
        n_texts = sum(part.n_texts for part in parts)
        terms = sorted(set().union(*[part.terms for part in parts]))
        if not terms:
            raise EmptyVocabulary(_why_no_terms(n_texts, plan.analysis))
        column_of = {term: column for column, term in enumerate(terms)}
        frequency, totals = np.zeros((2, len(terms)), dtype=np.int64)
        for part in parts:
            columns = np.array([column_of[term] for term in part.terms], dtype=np.intp)
            frequency[columns] += part.frequency
            totals[columns] += part.totals
        limits = (self.min_df, self.max_df, self.max_features)
        selected = columns_within(frequency, totals, n_texts, limits)
        weights = None
        if plan.use_idf:
            smooth = bool(self.smooth_idf)
            weights = global_weights(plan.weighting, smooth, frequency[selected], n_texts, None)
        self._set_fitted(
            plan,
            {terms[column]: index for index, column in enumerate(selected.tolist())},
            weights,
            mean_length(totals[selected], n_texts) if plan.is_bm25 else 1.0,
        )
        return self

    # -- the work ---------------------------------------------------------------------------

    def _learn(self, texts: Iterable[Any]) -> Matrix:
        """Set the fitted attributes and return the counts of the terms that were kept."""
        plan = self._check_params()
        warn_of_unused(self.get_params())
        warn_of_stop_words(self.stop_words, plan.analysis)
        fixed = None
        if self.vocabulary is not None:
            fixed = [*check_vocabulary(self.vocabulary)]
            warn_of_capitals(fixed, plan.analysis)
        check_texts(texts)
        backend = resolve(self.backend)
        terms, counts = self._count(plan, texts, fixed)
        n_texts = counts.shape[0]
        if n_texts == 0:
            raise EmptyVocabulary("0 texts were given: at least one is needed to learn terms from")
        if not terms:
            raise EmptyVocabulary(_why_no_terms(n_texts, plan.analysis))
        columns = backend.to_host(counts.indices)
        frequency = np.bincount(columns, minlength=len(terms))
        if fixed is None:
            totals: NDArray[Any] | None = None
            if self.max_features is not None:
                totals = np.bincount(columns, backend.to_host(counts.data), minlength=len(terms))
            limits = (self.min_df, self.max_df, self.max_features)
            selected = columns_within(frequency, totals, n_texts, limits)
            if len(selected) < len(terms):
                counts, frequency = counts[:, selected], frequency[selected]
                counts.sort_indices()  # CuPy selects columns in any order
                terms = [terms[column] for column in selected.tolist()]
        self._set_fitted(
            plan,
            {term: column for column, term in enumerate(terms)},
            self._global_weights(plan, counts, terms, frequency) if plan.use_idf else None,
            mean_length(backend.to_host(counts.data), n_texts) if plan.is_bm25 else 1.0,
        )
        return counts

    def _global_weights(
        self, plan: _Plan, counts: Matrix, terms: list[str], frequency: NDArray[Any]
    ) -> NDArray[np.float64]:
        n_texts, weighting = counts.shape[0], plan.weighting
        non_zeros = None
        if weighting.scheme == "log-entropy":
            to_host = resolve(self.backend).to_host
            non_zeros = to_host(counts.indices), to_host(counts.data)
        weights = global_weights(weighting, bool(self.smooth_idf), frequency, n_texts, non_zeros)
        if not np.isfinite(weights).all():
            missing = shown(terms[int(np.argmax(weights))])
            raise InvalidParam(
                f"smooth_idf=False gives the term {missing} an infinite idf, as none of the "
                f"{n_texts} texts holds it: take it out of the vocabulary, or smooth"
            )
        return weights

    def _count(
        self, plan: _Plan, texts: Iterable[Any], vocabulary: Sequence[str] | None
    ) -> tuple[list[str], Matrix]:
        """Count terms by the backend where it finds them, else on the host."""
        backend = resolve(self.backend)
        if plan.rules is not None:
            is_column = plan.analysis.input == "content" and is_on_device(texts)
            rows = texts if is_column else list(plan.analysis.read(texts))
            terms, counts = backend.count_terms(rows, plan.rules, vocabulary)
        else:
            terms, counts = count_on_host(texts, plan.analysis, vocabulary)
            counts = backend.matrix(counts)
        if plan.binary:
            counts.data[:] = 1
        return terms, counts

    def _weigh(self, counts: Matrix) -> Matrix:
        return resolve(self.backend).tfidf_transform(counts, self._known_idf(), self._weighting())

    def _weighting(self) -> Weighting:
        weighting = self._plan.weighting
        if weighting.scheme != "bm25":
            return weighting
        return replace(weighting, average_length=self.average_length_)

    def _set_fitted(
        self,
        plan: _Plan,
        vocabulary: dict[str, int],
        idf: NDArray[np.float64] | None,
        average_length: float,
    ) -> None:
        if plan.is_bm25:
            self.average_length_ = replace(
                plan.weighting, average_length=average_length
            ).average_length
        else:
            vars(self).pop("average_length_", None)
        self._plan = plan
        self.vocabulary_ = vocabulary
        vars(self).pop("_idf", None)
        if idf is not None:
            self._idf = idf
        self._checked = vocabulary, idf, len(vocabulary)

    def _check_params(self) -> _Plan:
        check_document_frequency("min_df", self.min_df)
        check_document_frequency("max_df", self.max_df)
        if self.max_features is not None:
            check_integer("max_features", self.max_features, 1)
        smooth = check_truth("smooth_idf", self.smooth_idf)
        weighting = Weighting(
            scheme=self.weighting,
            sublinear=check_truth("sublinear_tf", self.sublinear_tf),
            norm=self.norm,
            dtype=check_dtype(self.dtype),
        )
        if not smooth and weighting.scheme != "tfidf":
            raise InvalidParam(
                f"smooth_idf=False belongs to weighting='tfidf': {self.weighting!r} has weights of "
                "its own for terms"
            )
        analyze = self.build_analyzer()  # a subclass may have its own
        analysis = analyze if isinstance(analyze, Analysis) else Analysis(analyzer=analyze)
        binary = check_truth("binary", self.binary)
        return _Plan(
            analysis, analysis.rules, weighting, binary, check_truth("use_idf", self.use_idf)
        )


def _why_no_terms(n_texts: int, analysis: Analysis) -> str:
    shortest, rules = analysis.ngram_range[0], analysis.rules
    requirement = "a usable term"
    if rules is not None:
        requirement += f": at least {rules.min_length} letters, numbers or underscores in a row"
    return (
        f"none of the {n_texts} texts holds {requirement}"
        f"{', stop words left out' if analysis.stop_words else ''}"
        f"{f', in runs of {shortest} neighbours' if shortest > 1 else ''}; "
        "is this the column of texts? (empty vocabulary)"
    )
