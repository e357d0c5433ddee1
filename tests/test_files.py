"""Files are whole or not there, folders change places, and only what is ours is removed."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gpu_kmeans import files


@pytest.fixture(params=["exchange", "two steps"])
def replacing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways of putting a folder in place."""
    if request.param == "two steps":
        monkeypatch.setattr(files, "exchange", lambda one, other: False)
    elif sys.platform != "linux":
        pytest.skip("renameat2 is Linux's")
    return str(request.param)


def folder_of(path: Path, content: str) -> Path:
    path.mkdir()
    (path / "content").write_text(content)
    return path


def contents(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def failing(real: Callable[..., Any], fails_at: int) -> Callable[..., Any]:
    calls = iter(range(1000))

    def call(*args: Any, **kwargs: Any) -> Any:
        if next(calls) == fails_at:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    return call


@pytest.mark.usefixtures("replacing")
@pytest.mark.parametrize("existing", [False, True], ids=["new", "replaced"])
def test_a_folder_takes_the_place_of_another(tmp_path: Path, existing: bool) -> None:
    new, target, old = (tmp_path / name for name in ("new", "target", "old"))
    folder_of(new, "new")
    if existing:
        folder_of(target, "old")
    files.put_in_place(new, target, old)
    assert contents(target) == {"content": "new"}
    rest = [contents(path)["content"] for path in (new, old) if path.exists()]
    assert rest == (["old"] if existing else [])


@pytest.mark.parametrize("fails_at", [0, 1])
def test_what_was_there_is_there_again_after_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_at: int
) -> None:
    new, target = folder_of(tmp_path / "new", "new"), folder_of(tmp_path / "target", "old")
    monkeypatch.setattr(files, "exchange", lambda one, other: False)
    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", failing(os.rename, fails_at))
        with pytest.raises(KeyboardInterrupt):
            files.put_in_place(new, target, tmp_path / "old")
    assert contents(tmp_path) == {"new/content": "new", "target/content": "old"}


def test_a_file_that_cannot_be_replaced_stays_and_leaves_no_remains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "figure.png"
    files.write_over(target, b"first")
    files.write_over(target, b"second")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", failing(Path.replace, 0))
        with pytest.raises(KeyboardInterrupt):
            files.write_over(target, b"third")
    assert contents(tmp_path) == {"figure.png": "second"}


def test_a_flushed_file_replaces_none(tmp_path: Path) -> None:
    files.write_flushed(tmp_path / "a", b"first")
    files.flush(tmp_path / "a")
    files.flush(tmp_path)
    with pytest.raises(FileExistsError):
        files.write_flushed(tmp_path / "a", b"second")
    assert contents(tmp_path) == {"a": "first"}


def test_a_folder_with_a_file_of_someone_else_stays(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "model", "ours")
    (folder / "theirs").write_text("theirs")
    with pytest.raises(OSError):
        files.remove_folder(folder, ["content", "missing"])
    assert contents(folder) == {"theirs": "theirs"}
    files.remove_folder(folder, ["theirs"])
    files.remove_folder(folder, ["theirs"])  # gone already
    assert not folder.exists()


def test_a_link_is_removed_and_not_what_it_leads_to(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "data", "kept")
    link = tmp_path / "link"
    link.symlink_to(folder, target_is_directory=True)
    files.remove(link)
    assert contents(tmp_path) == {"data/content": "kept"}
    files.remove(folder)
    files.remove(folder)
    assert not folder.exists()
