"""Characters that cuDF reads as Python does, and the words of a text that has others.

What a token is, :mod:`gpu_kmeans.analysis` says in terms of Python's ``str.lower`` and ``\\w``.
cuDF lower-cases one character after another and has letters of an older Unicode version. A text of
plain characters alone has the same tokens for both; the words of any other text are found on
the host, by the definition itself.
"""

from __future__ import annotations

import re

from gpu_kmeans.analysis import find_terms
from gpu_kmeans.protocol import TokenRules

__all__ = ["PLAIN", "is_plain", "words_of"]

# Found by reading libcudf 26.10's tables (char_types/char_flags.h and char_cases.h; its released
# binary holds the same bytes) beside str.lower and \w of Python 3.11, 3.12 and 3.13. Of the
# first 65,536 code points, surrogates aside, 174 come out otherwise: capital sigma, which
# str.lower makes a final one at the end of a word, and 173 above U+055F, nearly all of them
# letters of Unicode 8 and later. Beyond those, every character separates for cuDF. These are
# blocks of much-used scripts, whole or nearly so, in which no character differs, nor what it
# lower-cases to.
PLAIN: dict[int, int] = {
    0x0000: 0x03A2,  # Latin, the marks that combine, Greek as far as the capital sigma
    0x03A4: 0x052F,  # Greek, Cyrillic
    0x0590: 0x05EE,  # Hebrew
    0x0600: 0x06FF,  # Arabic
    0x0900: 0x097F,  # Devanagari
    0x0E00: 0x0E7F,  # Thai
    0x10D0: 0x10FF,  # Georgian
    0x1E00: 0x2BFF,  # more Latin and Greek, punctuation, signs, arrows, symbols
    0x2C65: 0x2C66,  # small letters of two Latin capitals of the first range
    0x3000: 0x30FF,  # Hiragana, Katakana
    0x3400: 0x4DB5,  # Chinese characters
    0x4E00: 0x9FD5,
    0xAC00: 0xD7A3,  # Hangul
    0xFF00: 0xFFEF,  # full and half width
    0x1F300: 0x1FAFF,  # emoji
}
"""First and last code point of each range of plain characters; the ranges do not overlap."""

_OTHER = re.compile("[^{}]".format("".join(f"{first:c}-{last:c}" for first, last in PLAIN.items())))


def is_plain(text: str) -> bool:
    """Whether cuDF finds the tokens that Python finds."""
    return text.isascii() or not _OTHER.search(text)


def words_of(text: str, min_length: int) -> str:
    """Return the tokens of a text, stop words included, with a space between them."""
    return " ".join(find_terms(text, TokenRules(min_length=min_length)))
