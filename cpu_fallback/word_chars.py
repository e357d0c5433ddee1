"""The characters of words: ``\\w`` as this interpreter's :mod:`re` has it.

The interpreter is asked, so that texts are read as :mod:`gpu_kmeans.features.tfidf` reads a single
query.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["BLOCK_BITS", "N_BLOCKS", "word_table"]

# The whole table takes longer to fill than a few thousand texts to count; texts use few blocks.
POINTS = 0x110000
BLOCK_BITS = 12
N_BLOCKS = POINTS >> BLOCK_BITS
_WORD_TABLE = np.zeros(POINTS, dtype=bool)


def word_table(blocks: Iterable[int]) -> NDArray[np.bool_]:
    """For each code point whether it is a word character, filled in for some blocks of them."""
    for block in blocks:
        _fill(block)
    return _WORD_TABLE


@cache
def _fill(block: int) -> None:
    first = block << BLOCK_BITS
    points = np.arange(first, first + (1 << BLOCK_BITS), dtype="<u4")
    characters = points.tobytes().decode("utf-32-le", "surrogatepass")
    for run in re.finditer(r"\w+", characters):
        _WORD_TABLE[first + run.start() : first + run.end()] = True
