"""The real data: TMDB 5000 from Kaggle, through kagglehub."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from os import PathLike
from pathlib import Path

from gpu_kmeans.errors import FetchFailed, FileProblem

__all__ = ["FILES", "fetch_tmdb"]

DATASET = "tmdb/tmdb-movie-metadata"
FILES = ("tmdb_5000_movies.csv", "tmdb_5000_credits.csv")
_BY_HAND = (
    f"download {' and '.join(FILES)} by hand from https://www.kaggle.com/datasets/{DATASET} "
    "and give their paths instead"
)


def fetch_tmdb(destination: str | PathLike[str] | None = None) -> Path:
    """Download the TMDB 5000 CSVs and return the folder that holds them.

    Parameters
    ----------
    destination : path, optional
        Folder to put the two files in; made when missing. Without it they stay in
        kagglehub's own cache.

    Raises
    ------
    FileProblem
        One of the files is already there, or the folder cannot be written to; looked at
        before anything is downloaded.
    FetchFailed
        kagglehub is not installed, Kaggle cannot be reached or refuses, or the dataset no
        longer holds the two files. Nothing is left in ``destination``.
    """
    folder = None if destination is None else Path(destination)
    if folder is not None:
        _refuse_overwriting(folder)
    source = _download()
    if folder is None:
        return source
    try:
        _place(source, folder)
    except OSError as error:
        raise FileProblem(f"{folder} cannot be written: {error.strerror or error}") from error
    return folder


def _download() -> Path:
    try:
        import kagglehub
    except ImportError as error:
        raise FetchFailed(
            "downloading needs kagglehub, which is not installed: "
            f'pip install ".[fetch]" in a clone of gpu-kmeans; or {_BY_HAND}'
        ) from error
    try:
        source = Path(kagglehub.dataset_download(DATASET))
    except Exception as error:  # of requests, Kaggle's client or the disk: no common base
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise FetchFailed(
            f"the download of {DATASET} from Kaggle failed ({reason}); check the network and "
            f"try again, or {_BY_HAND}"
        ) from error
    missing = [name for name in FILES if not (source / name).is_file()]
    if missing:
        raise FetchFailed(f"Kaggle's {DATASET} holds no {' and no '.join(missing)}; {_BY_HAND}")
    return source


def _refuse_overwriting(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise FileProblem(f"{folder} is not a folder; name a folder for the two files")
    for name in FILES:
        if (folder / name).exists():
            raise FileProblem(f"{folder / name} exists; remove it or name another folder")


def _place(source: Path, folder: Path) -> None:
    """Copy beside the goal, then rename, so that no part of a file is ever seen."""
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    placed: list[Path] = []
    try:
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder) as aside:
            for name in FILES:
                shutil.copyfile(source / name, Path(aside, name))
            _refuse_overwriting(folder)
            for name in FILES:
                placed.append(Path(aside, name).rename(folder / name))
    except BaseException:
        for path in placed:
            path.unlink()
        if made:
            with suppress(OSError):  # someone else's file in it: not ours to remove
                folder.rmdir()
        raise
