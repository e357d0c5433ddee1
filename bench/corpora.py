"""Corpora of the cases: real films, made-up texts, made-up embeddings; all from a seed.

A corpus can be asked for three things, as far as it has them: ``rows()`` to cluster, ``texts()``
to vectorise and ``files(folder)`` to read. Texts become TF-IDF rows of unit length, float32 CSR.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from bench.contestants.base import CannotRun

__all__ = ["SEED", "Blobs", "Corpus", "Films", "Zipf"]

SEED = 42


class Corpus(Protocol):
    """Rows, texts and files of one content."""

    def rows(self) -> Any:
        """CSR, or a dense array; float32."""
        ...

    def texts(self) -> list[str]:
        """One text a row."""
        ...

    def files(self, folder: Path) -> tuple[Path, Path]:
        """Two CSV files in TMDB's columns, written into the folder where there are none yet."""
        ...


@dataclass(frozen=True)
class Films:
    """The overviews of ``*movies.csv`` in a folder; the bundled sample where there is no folder."""

    folder: Path | None = None

    def rows(self) -> Any:
        from gpu_kmeans import TfidfVectorizer, resolve

        vectorizer = TfidfVectorizer(stop_words="english", backend="cpu")
        return resolve("cpu").to_host(vectorizer.fit_transform(self.texts()))

    def texts(self) -> list[str]:
        movies, _ = self.files(Path())
        with movies.open(encoding="utf-8", newline="") as file:
            return [row["overview"] for row in csv.DictReader(file)]

    def files(self, folder: Path) -> tuple[Path, Path]:
        from gpu_kmeans.data import sample

        if self.folder is None:
            return sample.paths()
        files = self.folder / "tmdb_5000_movies.csv", self.folder / "tmdb_5000_credits.csv"
        for file in files:
            if not file.is_file():
                raise CannotRun(
                    f"{file.name} is not in the folder that --tmdb or GPU_KMEANS_TMDB names"
                )
        return files


@dataclass(frozen=True)
class Zipf:
    """A synthetic corpus with planted topics, see :mod:`gpu_kmeans.data.synthetic`."""

    documents: int
    terms: int
    topics: int
    mean_length: float

    def _made(self) -> Any:
        from gpu_kmeans.data.synthetic import corpus

        return corpus(
            self.documents,
            self.terms,
            n_topics=self.topics,
            mean_length=self.mean_length,
            seed=SEED,
        )

    def rows(self) -> Any:
        import numpy as np
        from scipy import sparse

        counts = self._made().counts()
        frequency = np.bincount(counts.indices, minlength=self.terms)
        idf = np.log((1 + self.documents) / (1 + frequency)) + 1
        counts.data *= idf[counts.indices].astype(np.float32)
        # A document has at least one token, so no row is empty.
        norms = np.sqrt(np.add.reduceat(np.square(counts.data), counts.indptr[:-1]))
        counts.data /= np.repeat(norms, np.diff(counts.indptr))
        return sparse.csr_matrix(counts)

    def texts(self) -> list[str]:
        return list(self._made().texts())

    def files(self, folder: Path) -> tuple[Path, Path]:
        movies, credits = folder / "movies.csv", folder / "credits.csv"
        return (movies, credits) if credits.exists() else self._made().write_csv(folder)


@dataclass(frozen=True)
class Blobs:
    """Dense rows of unit length around centres of uneven popularity, as embeddings are."""

    count: int
    features: int
    centres: int

    def rows(self) -> Any:
        import numpy as np

        rng = np.random.default_rng(SEED)
        centres = rng.standard_normal((self.centres, self.features), dtype=np.float32)
        popularity = rng.lognormal(0, 1, self.centres)
        chosen = rng.choice(self.centres, self.count, p=popularity / popularity.sum())
        rows = rng.standard_normal((self.count, self.features), dtype=np.float32)
        rows *= 2
        rows += centres[chosen]
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        return rows

    def texts(self) -> list[str]:
        raise CannotRun("dense rows have no texts")

    def files(self, folder: Path) -> tuple[Path, Path]:
        raise CannotRun("dense rows have no files")
