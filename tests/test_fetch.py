"""Fetching the real data, with a kagglehub that is made up, absent or failing."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest

from gpu_kmeans import errors
from gpu_kmeans.fetch import FILES, fetch_tmdb


class Kaggle(ModuleType):
    """Stands in for kagglehub: serves a folder, or raises."""

    def __init__(self, folder: Path) -> None:
        super().__init__("kagglehub")
        self.folder = folder
        self.failure: Exception | None = None
        self.asked: list[str] = []

    def dataset_download(self, handle: str) -> str:
        self.asked.append(handle)
        if self.failure is not None:
            raise self.failure
        return str(self.folder)


@pytest.fixture
def kaggle(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    folder.mkdir()
    for name in FILES:
        (folder / name).write_text(f"content of {name}")
    module = Kaggle(folder)
    monkeypatch.setitem(sys.modules, "kagglehub", module)
    return module


def test_the_two_files_are_put_in_the_folder(kaggle, tmp_path):
    folder = tmp_path / "new" / "tmdb"
    assert fetch_tmdb(folder) == folder
    assert {path.name: path.read_text() for path in folder.iterdir()} == {
        name: f"content of {name}" for name in FILES
    }
    assert kaggle.asked == ["tmdb/tmdb-movie-metadata"]


def test_without_a_destination_they_stay_in_the_cache(kaggle):
    assert fetch_tmdb() == kaggle.folder


def test_what_is_there_already_stays_and_other_files_do_not_matter(kaggle, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    fetch_tmdb(tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert not list(tmp_path.glob(".fetch-*"))


@pytest.mark.parametrize("name", FILES)
def test_an_existing_file_is_never_overwritten_and_nothing_is_downloaded(kaggle, tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(errors.FileProblem, match=f"{name} exists"):
        fetch_tmdb(tmp_path)
    assert (tmp_path / name).read_text() == "mine"
    assert kaggle.asked == []


def test_a_destination_that_is_a_file_is_refused(kaggle, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(errors.FileProblem, match="not a folder"):
        fetch_tmdb(tmp_path / "file")
    with pytest.raises(errors.FileProblem, match="cannot be written"):
        fetch_tmdb(tmp_path / "file" / "below")


def test_a_failing_download_says_what_to_do_and_leaves_nothing(kaggle, tmp_path):
    kaggle.failure = ConnectionError("Failed to resolve\n'api.kaggle.com'")
    with pytest.raises(errors.FetchFailed) as caught:
        fetch_tmdb(tmp_path / "new")
    message = str(caught.value)
    assert "Failed to resolve 'api.kaggle.com'" in message
    assert "by hand from https://www.kaggle.com/datasets/tmdb/tmdb-movie-metadata" in message
    assert not (tmp_path / "new").exists()


def test_a_missing_kagglehub_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    with pytest.raises(errors.FetchFailed, match=r'pip install "\.\[fetch\]"'):
        fetch_tmdb(tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_dataset_without_the_files_is_reported(kaggle, tmp_path):
    (kaggle.folder / FILES[1]).unlink()
    with pytest.raises(errors.FetchFailed, match=f"holds no {FILES[1]}"):
        fetch_tmdb(tmp_path / "new")


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_an_interrupted_copy_leaves_nothing(kaggle, tmp_path, monkeypatch, failure):
    real = shutil.copyfile

    def copy(source: Path, target: Path) -> object:
        if source.name == FILES[1]:
            target.write_text("half")
            raise failure
        return real(source, target)

    monkeypatch.setattr(shutil, "copyfile", copy)
    expected = errors.FileProblem if isinstance(failure, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        fetch_tmdb(tmp_path / "new")
    assert not (tmp_path / "new").exists()
