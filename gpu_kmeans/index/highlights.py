"""Where the words that match stand in a text as it is shown: case, accents and all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gpu_kmeans.index.words import spans_of, words_of

__all__ = ["Highlighter"]

Span = tuple[int, int]
FEW = 16
"""Number of words up to which they are looked for one by one; of more, every word of a text is."""


class Highlighter:
    """Marks words, and phrases whose words stand one after the other.

    Parameters
    ----------
    words : iterable of str
        As a search's reasons have them: words, phrases between quotation marks, runs of letters of
        scripts without spaces, or terms of several words.
    """

    def __init__(self, words: Iterable[str]) -> None:
        sequences = {tuple(words_of(word)) for word in words}
        self._by_first: dict[str, list[tuple[str, ...]]] = {}
        for sequence in sorted(filter(None, sequences), key=lambda words: (-len(words), words)):
            self._by_first.setdefault(sequence[0], []).append(sequence)
        is_plain = all(len(s) == 1 and s[0].isascii() for s in sequences if s)
        self._is_plain = is_plain and len(sequences) <= FEW

    def pieces(self, text: str) -> list[tuple[str, bool]]:
        """Cut a text into pieces that make it up; true are those that match."""
        if self._is_plain and text.isascii():
            spans = sorted(self._plain_spans(text.lower()))
        else:
            spans = list(self._spans(text)) if self._by_first else []
        pieces: list[tuple[str, bool]] = []
        done = 0
        for start, end in spans:
            if start > done:
                pieces.append((text[done:start], False))
            pieces.append((text[start:end], True))
            done = end
        if done < len(text):
            pieces.append((text[done:], False))
        return pieces

    def _plain_spans(self, lowered: str) -> Iterator[Span]:
        """Yield where words stand in a text of ASCII characters, not in their order."""
        for word in self._by_first:
            start = lowered.find(word)
            while start >= 0:
                end = start + len(word)
                if not (
                    (start and lowered[start - 1].isalnum())
                    or (end < len(lowered) and lowered[end].isalnum())
                ):
                    yield start, end
                start = lowered.find(word, end)

    def _spans(self, text: str) -> Iterator[Span]:
        """Yield where sequences of words stand, the longest of those that begin alike."""
        tokens = list(spans_of(text))
        words = [word for _, _, word in tokens]
        at = 0
        while at < len(tokens):
            lengths = (
                len(sequence)
                for sequence in self._by_first.get(words[at], ())
                if tuple(words[at : at + len(sequence)]) == sequence
            )
            length = next(lengths, 0)
            if length:
                yield tokens[at][0], tokens[at + length - 1][1]
            at += max(1, length)
