"""From texts to terms: read, decode, preprocess, split, join to n-grams.

A term of the default analysis, exactly: lower-case the text with ``str.lower`` (Unicode's default
conversion, final sigma included), then take every longest run of at least two word characters.
Word characters are those of ``\\w`` in Python's ``re``: letters (categories L*), numbers (N*) and
the underscore. Everything else separates: punctuation, apostrophes, emoji, control characters
and combining marks. Nothing is normalised, so an accent that is a mark of its own ends a
token where the composed letter does not. This is scikit-learn's default analyser, for every
text. Stop words are dropped, compared with the lower-cased tokens; n-grams are runs of neighbours
among the tokens that are left, joined by a space.

:func:`find_terms` states this for one text, in pure Python, and serves queries; a backend
counts terms of many texts by the same rules, passed as :class:`TokenRules`; tests compare it with
:func:`find_terms`. :class:`Analysis` is every other way to find terms, on the host. Which code
points are letters depends on the interpreter's Unicode version
(:data:`unicodedata.unidata_version`): a letter that was assigned after a model was fitted may be
one in a query under a newer Python, and then is an unknown term.
"""

from __future__ import annotations

import re
import unicodedata
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpu_kmeans.backends.protocol import TokenRules
from gpu_kmeans.errors import FileProblem, InputError, InvalidParam, shown
from gpu_kmeans.features.texts import as_strings, column_numbers, decoded, not_a_text, values_of

__all__ = [
    "TOKEN_PATTERN",
    "Analysis",
    "count_on_host",
    "find_terms",
    "strip_accents_ascii",
    "strip_accents_unicode",
]

TOKEN_PATTERN = r"(?u)\b\w\w+\b"
"""Regular expression of the default tokens: two word characters or more."""

_MIN_LENGTHS = {
    **dict.fromkeys((TOKEN_PATTERN, r"\b\w\w+\b", r"\w\w+", r"\w{2,}"), 2),
    **dict.fromkeys((r"(?u)\b\w+\b", r"\b\w+\b", r"(?u)\w+", r"\w+"), 1),
}
"""Minimum length of a token, in characters, by patterns that match runs of word characters."""
_SPACES = re.compile(r"\s\s+")


def find_terms(text: str, rules: TokenRules) -> list[str]:
    """Return the terms of one text, repeats included; see the module's docstring."""
    tokens = re.findall(rf"\w{{{rules.min_length},}}", text.lower())
    return _word_ngrams(tokens, rules.stop_words, rules.ngram_range)


def strip_accents_unicode(text: str) -> str:
    """Return the text decomposed (NFKD) and without the marks that combine."""
    if text.isascii():
        return text
    return "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))


def strip_accents_ascii(text: str) -> str:
    """Return the text decomposed (NFKD) and without all that is not ASCII then."""
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("ascii")


ACCENTS: dict[str, Callable[[str], str]] = {
    "ascii": strip_accents_ascii,
    "unicode": strip_accents_unicode,
}


@dataclass(frozen=True)
class Analysis:
    """How the terms of a text are found: checked values of the vectorizer's parameters.

    Called with a text as it is given, it returns the text's terms in order, repeats included. See
    :class:`gpu_kmeans.features.tfidf.TfidfVectorizer` for the fields; ``strip_accents`` is a
    function here.
    """

    input: str = "content"
    encoding: str = "utf-8"
    decode_error: str = "strict"
    strip_accents: Callable[[str], str] | None = None
    lowercase: bool = True
    preprocessor: Callable[[Any], Any] | None = None
    tokenizer: Callable[[Any], Iterable[str]] | None = None
    analyzer: str | Callable[[Any], Iterable[str]] = "word"
    token_pattern: str = TOKEN_PATTERN
    stop_words: frozenset[str] = frozenset()
    ngram_range: tuple[int, int] = (1, 1)

    def __call__(self, document: Any) -> list[str]:
        return self.terms(self.decode(document))

    @property
    def rules(self) -> TokenRules | None:
        """Rules by which a backend finds the same terms; None if it cannot."""
        min_length = _MIN_LENGTHS.get(self.token_pattern)
        functions = (self.preprocessor, self.tokenizer, self.strip_accents)
        if any(function is not None for function in functions) or self.analyzer != "word":
            return None
        if not self.lowercase or min_length is None:
            return None
        return TokenRules(self.stop_words, self.ngram_range, min_length)

    @property
    def takes_anything(self) -> bool:
        """Whether a function of the caller's sees the documents first, whatever they are."""
        return self.preprocessor is not None or callable(self.analyzer)

    # -- documents ------------------------------------------------------------------------

    def read(self, documents: Any) -> Iterator[Any]:
        """Yield decoded documents; errors name the position of theirs, counted from 0."""
        if self.input == "content" and not self.takes_anything:
            yield from as_strings(documents, self.encoding, self.decode_error)
            return
        for position, document in enumerate(values_of(documents)):
            yield self.decode(document, f"texts[{position}]")

    def decode(self, document: Any, name: str = "the document") -> Any:
        """Return the text of a document: that of its file, and bytes decoded.

        Raises
        ------
        InputError
            It is missing, or neither text nor bytes where no function of the caller's takes it.
        FileProblem
            Its file cannot be read.
        InvalidEncoding
            Its bytes are not in the encoding.
        """
        content = document
        if self.input == "filename":
            try:
                with open(document, "rb") as file:
                    content = file.read()
            except (OSError, TypeError, ValueError) as problem:
                raise FileProblem(f"{name}: {shown(document)} cannot be read: {problem}") from None
        elif self.input == "file":
            if not callable(getattr(document, "read", None)):
                raise InputError(f"{name} is {shown(document)}, which has no method 'read'")
            try:
                content = document.read()
            except (OSError, ValueError) as problem:
                raise FileProblem(f"{name}: its file cannot be read: {problem}") from problem
        if isinstance(content, bytes):
            return decoded(content, self.encoding, self.decode_error, name)
        if isinstance(content, str):
            return content
        missing = content is None or (isinstance(content, float) and content != content)
        if missing or not self.takes_anything:
            raise InputError(not_a_text(name, content))
        return content

    # -- terms ----------------------------------------------------------------------------

    def preprocess(self, text: Any) -> Any:
        """Return the text in small letters and without accents, where parameters ask for it."""
        if self.preprocessor is not None:
            return self.preprocessor(text)
        if self.lowercase:
            text = text.lower()
        return text if self.strip_accents is None else self.strip_accents(text)

    def tokenize(self, text: Any) -> Any:
        """Return the tokens of a preprocessed text."""
        if self.tokenizer is not None:
            return self.tokenizer(text)
        return re.findall(self.token_pattern, _checked(text, "the preprocessor"))

    def strays(self) -> list[str]:
        """Return tokens of stop words that are no stop words themselves, and so are not dropped."""
        tokens = {
            token
            for word in self.stop_words
            for token in _words(self.tokenize(self.preprocess(word)), "the tokenizer")
        }
        return sorted(tokens - self.stop_words)

    def terms(self, text: Any) -> list[str]:
        """Return the terms of a decoded text, in order, repeats included.

        Raises
        ------
        InvalidParam
            A function of the caller's returned no text, or no collection of texts.
        """
        if callable(self.analyzer):
            return _words(self.analyzer(text), "the analyzer")
        text = self.preprocess(text)
        if self.analyzer == "word":
            tokens = _words(self.tokenize(text), "the tokenizer")
            return _word_ngrams(tokens, self.stop_words, self.ngram_range)
        text = _SPACES.sub(" ", _checked(text, "the preprocessor"))
        ngrams = _char_ngrams if self.analyzer == "char" else _char_wb_ngrams
        return ngrams(text, self.ngram_range)


def _checked(text: Any, source: str) -> str:
    if not isinstance(text, str):
        raise InvalidParam(f"{source} must return a text, got {shown(text)}")
    return text


def _words(tokens: Any, source: str) -> list[str]:
    if not isinstance(tokens, Iterable):
        raise InvalidParam(f"{source} must return a collection of texts, got {shown(tokens)}")
    words = list(tokens)
    for position, word in enumerate(words):
        if type(word) is not str:
            if not isinstance(word, str):
                raise InvalidParam(f"{source} must return texts alone, got {shown(word)}")
            words[position] = str.__str__(word)
    return words


def _word_ngrams(
    tokens: list[str], stop_words: frozenset[str], ngram_range: tuple[int, int]
) -> list[str]:
    words = [token for token in tokens if token not in stop_words] if stop_words else tokens
    if ngram_range == (1, 1):
        return words
    shortest, longest = ngram_range
    return [
        " ".join(words[start : start + length])
        for length in range(shortest, min(longest, len(words)) + 1)
        for start in range(len(words) - length + 1)
    ]


def _char_ngrams(text: str, ngram_range: tuple[int, int]) -> list[str]:
    shortest, longest = ngram_range
    return [
        text[start : start + length]
        for length in range(shortest, min(longest, len(text)) + 1)
        for start in range(len(text) - length + 1)
    ]


def _char_wb_ngrams(text: str, ngram_range: tuple[int, int]) -> list[str]:
    """N-grams within words, each with a space before and after it; a shorter word is one, whole."""
    ngrams: list[str] = []
    for word in text.split():
        padded = f" {word} "
        is_short = ngram_range[0] > len(padded)
        ngrams += [padded] if is_short else _char_ngrams(padded, ngram_range)
    return ngrams


def count_on_host(
    documents: Any, analysis: Analysis, vocabulary: Sequence[str] | None
) -> tuple[list[str], Any]:
    """Count the terms of each document: ``(terms, counts)`` with SciPy CSR counts, float64.

    As :meth:`gpu_kmeans.backends.protocol.Backend.count_terms`, for any analysis, one text after
    another.

    Raises
    ------
    InputError
        A document cannot be read, or a function of the caller's returns no terms; the message
        names its position, counted from 0.
    """
    from scipy.sparse import csr_matrix

    numbers = {} if vocabulary is None else column_numbers(vocabulary)
    columns, data, indptr = array("q"), array("q"), array("q", [0])
    for position, document in enumerate(analysis.read(documents)):
        try:
            terms = analysis.terms(document)
        except InvalidParam as problem:
            raise InvalidParam(f"texts[{position}]: {problem}") from problem
        for term, times in Counter(terms).items():
            column = numbers.get(term) if vocabulary is not None else None
            if vocabulary is None:
                column = numbers.setdefault(term, len(numbers))
            if column is not None:
                columns.append(column)
                data.append(times)
        indptr.append(len(columns))
    terms = list(numbers)
    indices = np.frombuffer(columns, dtype=np.int64)
    if vocabulary is None:
        # Numbered as they came; columns are in code-point order.
        order = sorted(range(len(terms)), key=terms.__getitem__)
        rank = np.empty(len(terms), dtype=np.int64)
        rank[order] = np.arange(len(terms))
        terms, indices = [terms[number] for number in order], rank[indices]
    counts = csr_matrix(
        (
            np.frombuffer(data, dtype=np.int64).astype(np.float64),
            indices,
            np.frombuffer(indptr, dtype=np.int64),
        ),
        shape=(len(indptr) - 1, len(terms)),
    )
    counts.sort_indices()
    return terms, counts
