"""What all tests share: the real data where it is present, and the backends."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def tmdb() -> Path:
    """Folder with the TMDB 5000 CSVs: ``GPU_KMEANS_TMDB``, or beside the checkout."""
    folder = Path(os.environ.get("GPU_KMEANS_TMDB", ROOT.parent / "shared" / "data"))
    if not (folder / "tmdb_5000_movies.csv").is_file():
        pytest.skip(f"the TMDB 5000 CSVs are not in {folder} (set GPU_KMEANS_TMDB)")
    return folder
