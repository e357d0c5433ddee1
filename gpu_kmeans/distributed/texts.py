"""Texts in many files, read and weighed on workers: two passes, and the rows of one machine.

The first pass counts each file's terms; vocabulary, document frequencies and lengths are merged
here, and limits and weights follow as on one machine. In the second each worker reads its files
again, and keeps their weighted rows.
"""

from __future__ import annotations

import glob
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from gpu_kmeans.backends.protocol import Backend
from gpu_kmeans.errors import FileProblem, InputError, InvalidParam, UnsupportedOnBackend, shown
from gpu_kmeans.features.tfidf import TermCounts, TfidfVectorizer

__all__ = ["TextPart", "files_of", "fitted"]


@dataclass(frozen=True)
class TextPart:
    """A file's texts, as rows that a worker reads.

    Attributes
    ----------
    vectorizer : TfidfVectorizer
        Fitted, or, to count terms, not.
    """

    path: str
    column: str
    vectorizer: TfidfVectorizer

    def read(self, backend: Backend) -> Any:
        """Read the file and weigh its texts."""
        return backend.to_host(self.vectorizer.transform(self._texts(backend)))

    def count(self, backend: Backend) -> TermCounts:
        """Read the file and count its terms."""
        return self.vectorizer.count_terms(self._texts(backend))

    def _texts(self, backend: Backend) -> list[str]:
        path = Path(self.path)
        table = backend.to_host(backend.read_table(path, [self.column], []))
        texts = table.column(self.column).to_pylist()
        for row, text in enumerate(texts):
            if text is not None and not isinstance(text, str):
                raise InputError(
                    f"{path.name}, column {self.column!r}, row {row + 1}: {shown(text)} is not a "
                    "text"
                )
        return ["" if text is None else text for text in texts]


def files_of(files: str | PathLike[str] | Sequence[str | PathLike[str]]) -> list[str]:
    """Paths of files in a lasting order: those of a pattern, sorted, or as they are listed.

    Raises
    ------
    FileProblem
        No file fits the pattern.
    InvalidParam
        Neither a pattern nor a list of paths.
    """
    if isinstance(files, (str, PathLike)):
        paths = sorted(glob.glob(str(files)))
        if not paths:
            raise FileProblem(f"no file fits {str(files)!r}: look at the pattern and the folder")
        return paths
    listed: Any = files
    if not isinstance(listed, (list, tuple)) or not listed:
        raise InvalidParam(f"files must be a pattern or a list of paths, got {shown(files)}")
    return [str(Path(path)) for path in files]


def fitted(
    client: Any, paths: list[str], column: str, params: dict[str, Any], backend: Backend
) -> tuple[TfidfVectorizer, list[int]]:
    """Fit a vectorizer on the texts of files; return it with the number of texts of each."""
    vectorizer = TfidfVectorizer(**{**params, "backend": "cpu"})
    if vectorizer.weighting == "log-entropy":
        raise UnsupportedOnBackend(
            "log-entropy needs every count of a term at once: use weighting='tfidf' or 'bm25', or "
            "one machine"
        )
    parts = [TextPart(path, column, vectorizer) for path in paths]
    futures = client.map(_count, parts, backend=backend, pure=False)
    # One after the other, so that of several bad files the first is named.
    counts: list[TermCounts] = [future.result() for future in futures]
    vectorizer.fit_counts(counts)
    return vectorizer, [each.n_texts for each in counts]


def _count(part: TextPart, backend: Backend) -> TermCounts:
    return part.count(backend)
