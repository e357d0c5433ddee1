"""A small catalogue that comes with the package, in the schema of TMDB's two files.

243 invented films about ten themes (space, heists, hauntings, weddings, war, sport, dragons,
detectives, bands, the sea), with people who do not exist. A few rows are awkward on purpose:
three films without an overview, two that share a title, titles that are ``None``, ``0090`` or
hold quotes and commas, overviews with line breaks and many scripts, cells that are ``[]`` and
``null``, a film without credits and credits without a film.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

__all__ = ["paths"]


def paths() -> tuple[Path, Path]:
    """Paths of the sample's ``movies.csv`` and ``credits.csv``."""
    folder = Path(str(files(__name__)))
    return folder / "movies.csv", folder / "credits.csv"
