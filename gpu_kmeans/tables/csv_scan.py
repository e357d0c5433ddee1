"""The ends of a CSV's rows, found in all its bytes at once, and whether anything there is odd.

Nothing is parsed byte by byte. For each of the four signs that matter, one bit a byte marks
where it is, 64 of them in a word; signs that must not be side by side are then found by a few
operations on words. Quotes open and close in turn, so a byte is inside quotes when their number up
to it is odd: a running exclusive or, done within words by doubling steps (as simdjson does it:
Langdale & Lemire, "Parsing Gigabytes of JSON per Second", 2019) and across words by a sum.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

__all__ = ["whole_rows"]

_QUOTE, _LF, _CR = b'"\n\r'
_ALL = 2**64 - 1


def whole_rows(
    signs: Any, width: int, xp: ModuleType, delimiter: str = ","
) -> tuple[int, int] | None:
    """Count the whole rows at the beginning of CSV bytes, if all of them are regular.

    Regular means: quotes only around whole cells, and doubled inside; outside quotes no
    carriage return but before a line feed; no NUL; no blank line; ``width`` cells in every
    row. Whether the bytes are UTF-8 is not looked at.

    Parameters
    ----------
    signs : array of uint8
        Bytes that begin with a row, fewer than 2**31. NumPy's or CuPy's: the work is done
        where they are, and takes about four times their memory.
    width : int
        Cells of a row, as many as the header has.
    xp : module
        ``numpy`` or ``cupy``, that of ``signs``.
    delimiter : str
        The sign between two cells, of ASCII.

    Returns
    -------
    (rows, end) or None
        How many rows end in these bytes, at least one, and the place after the last of them;
        what follows it has not been judged. None where anything is odd, or no row ends.
    """
    quotes, lines = _bits(signs == _QUOTE, xp), _bits(signs == _LF, xp)
    inside = _odd_so_far(quotes)  # from an opening quote to the byte before the closing one
    ends = lines & ~inside
    full = xp.flatnonzero(ends)
    if not len(full):
        return None
    last = int(full[-1])
    n_bits = int(ends[last]).bit_length()
    end = 64 * last + n_bits
    signs = signs[:end]
    if not int(signs.min()):
        return None
    commas, returns = _bits(signs == ord(delimiter), xp), _bits(signs == _CR, xp)
    quotes, lines, inside, ends = (words[: last + 1] for words in (quotes, lines, inside, ends))
    for words in (quotes, lines):
        words[-1:] &= xp.uint64(_ALL >> (64 - n_bits))

    # Before a quote that opens is the end of a cell, or the first of two quotes that stand
    # for one: that one closes, and this one opens again. After a quote that closes likewise.
    borders = quotes | commas | lines
    odd = quotes & inside & ~_before(borders, xp, True)
    odd |= _before(quotes & ~inside, xp, False) & ~(borders | returns)
    odd |= _before(returns & ~inside, xp, False) & ~lines
    if width == 1:  # elsewhere a blank line has too few cells
        beginning = _before(lines, xp, True)
        odd |= ends & (beginning | _before(returns & beginning, xp, False))
    if odd.any():
        return None

    # Of the ends of cells, each width-th must be the end of a row, and no other.
    ends_row = _unpacked(ends, xp)[_unpacked(ends | (commas & ~inside), xp)]
    rows = len(ends_row) // width
    if len(ends_row) != rows * width or int(ends_row.sum()) != rows:
        return None
    return (rows, end) if ends_row[width - 1 :: width].all() else None


def _bits(marks: Any, xp: ModuleType) -> Any:
    """One bit for each mark, the first one lowest, in words of 64."""
    packed = xp.zeros(-(-len(marks) // 64) * 8, dtype=xp.uint8)
    packed[: -(-len(marks) // 8)] = xp.packbits(marks, bitorder="little")
    return packed.view("<u8")


def _unpacked(words: Any, xp: ModuleType) -> Any:
    return xp.unpackbits(words.view(xp.uint8), bitorder="little").view(xp.bool_)


def _odd_so_far(words: Any) -> Any:
    """For each bit, whether an odd number is set up to and including it."""
    odd = words.copy()
    for step in (1, 2, 4, 8, 16, 32):
        odd ^= odd << step
    of_word = odd >> 63
    earlier = of_word.cumsum(dtype=words.dtype) - of_word
    odd ^= -(earlier & 1)
    return odd


def _before(words: Any, xp: ModuleType, first: bool) -> Any:
    """For each bit, the one before it; ``first`` before the first."""
    before = words << 1
    before[1:] |= words[:-1] >> 63
    before[:1] |= xp.uint64(first)
    return before
