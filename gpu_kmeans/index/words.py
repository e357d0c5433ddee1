"""Texts to words: case and accents folded, scripts without spaces by letter.

A word is a longest run of letters and digits, with the marks that combine with them; everything
else separates. In scripts that put no spaces between words (Chinese, Japanese, Thai, Lao, Burmese,
Khmer) every letter is a word, and a run of them in a query is a phrase, so that any part of a text
is found.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

__all__ = ["MAX_LETTERS", "fold", "is_unspaced", "spans_of", "words_of"]

MAX_LETTERS = 64
"""Maximum number of letters of a word; what follows them is left out, here and in queries."""

_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)
_ACCENTS = re.compile("[\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0670]")
"""Pattern of accents of Latin, Greek and Cyrillic letters, and points of Hebrew and Arabic ones."""
_LETTERS = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "\u0131": "i", "æ": "ae", "œ": "oe", "ð": "d"}
)
"""Letters that Unicode does not decompose."""
_ASCII_WORD = re.compile(r"[a-z0-9]+")
_IS_UNSPACED = re.compile(f"[{_UNSPACED}]")


def fold(text: str) -> str:
    """Return a text in small letters, of one width and without accents."""
    if text.isascii():
        return text.lower()
    letters = unicodedata.normalize("NFKD", text.casefold())
    return unicodedata.normalize("NFC", _ACCENTS.sub("", letters).translate(_LETTERS)).casefold()


def words_of(text: str) -> list[str]:
    """Return the words of a text in their order, repeats included."""
    text = fold(text)
    words = (_ASCII_WORD if text.isascii() else _any_word()).findall(text)
    if len(text) > MAX_LETTERS:
        return [word[:MAX_LETTERS] for word in words]
    return words


def spans_of(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield where each word stands in a text, start and end, and the word.

    Characters that stand for several words, as a fraction does, are none here.
    """
    for match in _any_word().finditer(text):
        words = words_of(match.group())
        if len(words) == 1:
            yield *match.span(), words[0]


def is_unspaced(word: str) -> bool:
    """Whether a word is a letter of a script without spaces."""
    return _IS_UNSPACED.match(word) is not None


@lru_cache(maxsize=1)
def _any_word() -> re.Pattern[str]:
    """Return the pattern of words of any script; combining marks are no word characters of `re`."""
    marks = "".join(
        character
        for character in map(chr, range(0x300, 0x10000))
        if unicodedata.category(character) in ("Mn", "Mc")
    )
    letter = rf"[^\W_{_UNSPACED}]"
    return re.compile(rf"(?=[^\W_])[{_UNSPACED}][{marks}]*|{letter}(?:{letter}|[{marks}])*")
