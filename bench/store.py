"""The corpora of a run, made once each and laid out on disk for the contestants' processes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench.corpora import SEED, Corpus

__all__ = ["Store"]


GROUP = 10
"""Number of rows whose mean is one centroid of the common start."""


class Store:
    """Rows, texts and files by the corpus's name, under a folder that the run throws away."""

    def __init__(self, folder: Path, corpora: dict[str, Corpus]) -> None:
        self.folder = folder
        self.corpora = corpora
        self._rows: tuple[str, Any] = ("", None)
        self._reference: tuple[str, Any] = ("", None)

    def rows(self, name: str) -> Any:
        """The rows, for the judge. Only the last corpus asked for is kept in memory."""
        if self._rows[0] != name:
            self._rows = ("", None)
            self._rows = (name, self.corpora[name].rows())
        return self._rows[1]

    def rows_folder(self, name: str) -> Path:
        """A folder with the rows as NumPy files."""
        import numpy as np

        folder = self.folder / name
        if not (folder / "shape.npy").exists():
            rows = self.rows(name)
            folder.mkdir(exist_ok=True)
            if hasattr(rows, "indptr"):
                for part in ("data", "indices", "indptr"):
                    np.save(folder / f"{part}.npy", getattr(rows, part))
            else:
                np.save(folder / "dense.npy", rows)
            np.save(folder / "shape.npy", rows.shape)
        return folder

    def start(self, name: str, k: int) -> list[list[int]]:
        """Numbers of rows for k centroids to be the means of, drawn with the seed."""
        import numpy as np

        n = self.rows(name).shape[0]
        size = min(GROUP, n // k)
        drawn = np.random.default_rng(SEED).choice(n, (k, size), replace=False)
        return [[int(row) for row in group] for group in drawn]

    def texts(self, name: str) -> Path:
        """A JSON file with the texts."""
        file = self.folder / f"{name}.json"
        if not file.exists():
            file.write_text(json.dumps(self.corpora[name].texts()), encoding="utf-8")
        return file

    def files(self, name: str) -> list[str]:
        """Paths of the two CSV files."""
        folder = self.folder / f"{name}-csv"
        folder.mkdir(exist_ok=True)
        return [str(path.resolve()) for path in self.corpora[name].files(folder)]

    def reference(self, name: str) -> Any:
        """scikit-learn's TF-IDF matrix of the texts; None where it is not installed."""
        if self._reference[0] != name:
            from bench.contestants import CONTESTANTS, REFERENCE

            judge = CONTESTANTS[REFERENCE]
            texts = json.loads(self.texts(name).read_text(encoding="utf-8"))
            self._reference = (name, None if judge.obstacle() else judge.vectorize(texts))
        return self._reference[1]

    def about(self, name: str) -> dict[str, Any]:
        """Describe the rows for a record."""
        rows = self.rows(name)
        sparse = hasattr(rows, "indptr")
        return {
            "name": name,
            "rows": rows.shape[0],
            "features": rows.shape[1],
            "nonzeros": int(rows.nnz if sparse else rows.size),
            "sparse": sparse,
        }
