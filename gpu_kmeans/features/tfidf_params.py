"""Parameters of a vectorizer, checked before any work.

Each function raises :class:`~gpu_kmeans.errors.InvalidParam` for what it does not accept.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from typing import Any, cast

import numpy as np

from gpu_kmeans.errors import InvalidParam, shown
from gpu_kmeans.features.analysis import ACCENTS, TOKEN_PATTERN, Analysis
from gpu_kmeans.features.stop_words import ENGLISH

__all__ = [
    "check_analysis",
    "check_choice",
    "check_document_frequency",
    "check_dtype",
    "check_integer",
    "check_ngram_range",
    "check_stop_words",
    "check_truth",
    "check_words",
    "is_integer",
    "warn_of_capitals",
    "warn_of_stop_words",
    "warn_of_unused",
]


def check_stop_words(stop_words: Any) -> frozenset[str]:
    """Return the words to drop: the English ones, those given, or none."""
    if stop_words is None:
        return frozenset()
    if isinstance(stop_words, str):
        if stop_words != "english":
            raise InvalidParam(
                "stop_words must be 'english', None or a collection of words, "
                f"got the text {shown(stop_words)}"
            )
        return ENGLISH
    return frozenset(check_words("stop_words", stop_words))


def check_words(name: str, words: Any) -> list[str]:
    """Return a collection of words as a list of ``str``."""
    try:
        if isinstance(words, str | bytes) or not isinstance(words, Iterable):
            raise TypeError
        values = list(words)
    except TypeError:
        raise InvalidParam(f"{name} must be a collection of words, got {shown(words)}") from None
    for word in values:
        if not isinstance(word, str):
            raise InvalidParam(f"{name} must hold text alone, but holds {shown(word)}")
    return [str.__str__(word) for word in values]


def is_integer(value: Any) -> bool:
    """Whether a value is an integer, and no boolean; NumPy registers durations as such, too."""
    return isinstance(value, Integral) and not isinstance(value, bool | np.timedelta64)


def check_integer(name: str, value: Any, low: int) -> int:
    """Return ``value`` as an int of at least ``low``; booleans and 2.0 are not integers."""
    if not is_integer(value):
        raise InvalidParam(f"{name} must be an integer, got {shown(value)}")
    if value < low:
        raise InvalidParam(f"{name} must be >= {low}, got {name}={shown(value)}")
    return int(value)


def check_ngram_range(ngram_range: Any) -> tuple[int, int]:
    """Return the shortest and the longest length of an n-gram, from 1."""
    if not isinstance(ngram_range, tuple | list) or len(ngram_range) != 2:
        raise InvalidParam(f"ngram_range must be two integers, got {shown(ngram_range)}")
    shortest = check_integer("ngram_range[0]", ngram_range[0], 1)
    longest = check_integer("ngram_range[1]", ngram_range[1], 1)
    if longest < shortest:
        raise InvalidParam(
            f"Invalid value for ngram_range={shown(ngram_range)} lower boundary larger than the "
            "upper boundary."
        )
    return shortest, longest


def check_document_frequency(name: str, value: Any) -> None:
    """Refuse what is neither a number of texts nor a share of them."""
    if isinstance(value, Integral):
        check_integer(name, value, 1)
    elif not isinstance(value, Real) or not 0 <= cast(float, value) <= 1:
        raise InvalidParam(
            f"{name} must be a number of texts (an int from 1) or a share of them "
            f"(a float from 0.0 to 1.0), got {shown(value)}"
        )


def check_choice(name: str, value: Any, choices: tuple[str | None, ...]) -> Any:
    """Return ``value`` if it is one of the names."""
    if not (value is None or isinstance(value, str)) or value not in choices:
        names = ", ".join(map(repr, choices[:-1]))
        raise InvalidParam(f"{name} must be {names} or {choices[-1]!r}, got {shown(value)}")
    return value


def check_truth(name: str, value: Any) -> bool:
    """Return ``value`` if it is True or False."""
    if not isinstance(value, bool | np.bool_):
        raise InvalidParam(f"{name} must be True or False, got {shown(value)}")
    return bool(value)


def check_dtype(dtype: Any) -> str:
    """Return "float32" or "float64"; for other numbers, "float64" with a warning."""
    try:
        parsed = None if dtype is None else np.dtype(dtype)
    except Exception:  # NumPy has many errors for what is no type
        parsed = None
    if parsed is None or parsed.kind not in "biuf":
        raise InvalidParam(f"dtype must be float32 or float64, got {shown(dtype)}")
    if parsed.name in ("float32", "float64"):
        return str(parsed.name)
    warnings.warn(
        f"only float32 and float64 'dtype' should be used: {parsed.name} cannot hold all weights, "
        "so that rows are float64",
        UserWarning,
        stacklevel=2,
    )
    return "float64"


def check_analysis(params: Mapping[str, Any]) -> Analysis:
    """Return the analysis of the vectorizer's parameters of the same names."""
    values = {name: params[name] for name in Analysis.__dataclass_fields__}
    check_choice("input", values["input"], ("content", "file", "filename"))
    check_choice("decode_error", values["decode_error"], ("strict", "ignore", "replace"))
    _check_encoding(values["encoding"])
    values["lowercase"] = check_truth("lowercase", values["lowercase"])
    for name in ("preprocessor", "tokenizer"):
        if values[name] is not None and not callable(values[name]):
            raise InvalidParam(f"{name} must be a function or None, got {shown(values[name])}")
    if not callable(values["strip_accents"]):
        accents = check_choice("strip_accents", values["strip_accents"], (*ACCENTS, None))
        values["strip_accents"] = ACCENTS.get(accents)
    if not callable(values["analyzer"]):
        check_choice("analyzer", values["analyzer"], ("word", "char", "char_wb"))
    splits = values["analyzer"] == "word" and values["tokenizer"] is None
    if values["token_pattern"] is not None or splits:
        _check_pattern(values["token_pattern"])
    values["stop_words"] = check_stop_words(values["stop_words"])
    values["ngram_range"] = check_ngram_range(values["ngram_range"])
    return Analysis(**values)


def _check_encoding(encoding: Any) -> None:
    try:
        "a".encode(encoding)
    except (LookupError, TypeError, ValueError) as problem:
        raise InvalidParam(
            f"encoding must be the name of one, such as 'utf-8', got {shown(encoding)}: {problem}"
        ) from None


def _check_pattern(pattern: Any) -> None:
    try:
        if not isinstance(pattern, str):
            raise TypeError("it is not a text")
        groups = re.compile(pattern).groups
    except (TypeError, ValueError, OverflowError, RecursionError, re.error) as problem:
        raise InvalidParam(
            f"token_pattern must be a regular expression, got {shown(pattern)}: {problem}"
        ) from None
    if groups > 1:
        raise InvalidParam(
            f"More than 1 capturing group in token pattern {shown(pattern)}: what a token is must "
            "be one group, or the whole match; (?:...) captures nothing"
        )


def warn_of_unused(params: Mapping[str, Any]) -> None:
    """Warn of parameters that were set and have no effect beside others."""
    analyzer, pattern = params["analyzer"], params["token_pattern"]
    of_words = isinstance(analyzer, str) and analyzer == "word"
    own_pattern = pattern is not None and pattern != TOKEN_PATTERN
    own_words = params["stop_words"] is not None and not isinstance(params["stop_words"], str)
    unused = {
        ("token_pattern", "'tokenizer' is not None"): own_pattern
        and params["tokenizer"] is not None,
        ("preprocessor", "'analyzer' is callable"): callable(analyzer)
        and params["preprocessor"] is not None,
        ("ngram_range", "'analyzer' is callable"): callable(analyzer)
        and tuple(params["ngram_range"]) != (1, 1),
        ("stop_words", "'analyzer' != 'word'"): not of_words and own_words,
        ("token_pattern", "'analyzer' != 'word'"): not of_words and own_pattern,
        ("tokenizer", "'analyzer' != 'word'"): not of_words and params["tokenizer"] is not None,
    }
    for (name, reason), is_unused in unused.items():
        if is_unused:
            message = f"The parameter {name!r} will not be used since {reason}"
            warnings.warn(message, UserWarning, stacklevel=2)


def warn_of_stop_words(stop_words: Any, analysis: Analysis) -> None:
    """Warn where the tokens of a stop word are not dropped, as tokens are found otherwise."""
    default = isinstance(stop_words, str) and analysis.rules is not None
    if analysis.analyzer != "word" or default:
        return
    try:
        strays = analysis.strays()
    except Exception:  # a function of the caller's that does not take words
        return
    if strays:
        more = f" and {len(strays) - 10} more" if len(strays) > 10 else ""
        warnings.warn(
            "Your stop_words may be inconsistent with your preprocessing. Tokenizing the stop "
            f"words generated tokens {strays[:10]}{more} not in stop_words.",
            UserWarning,
            stacklevel=2,
        )


def warn_of_capitals(vocabulary: list[str], analysis: Analysis) -> None:
    """Warn of terms of a fixed vocabulary that no text can hold, as all letters are small."""
    if analysis.lowercase and any(any(map(str.isupper, term)) for term in vocabulary):
        warnings.warn(
            "Upper case characters found in vocabulary while 'lowercase' is True. These entries "
            "will not be matched with any documents",
            UserWarning,
            stacklevel=2,
        )
