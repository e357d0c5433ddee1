"""That on a GPU the device does the work, and not the host's readers in its place."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from gpu_kmeans import TfidfVectorizer
from gpu_kmeans.backends.protocol import Backend
from gpu_kmeans.backends.select import resolve
from gpu_kmeans.data import sample

COLUMNS = ("id", "title", "overview", "popularity")


@pytest.fixture
def device(backend: Backend) -> Backend:
    if backend.name != "gpu":
        pytest.skip("about what a device does itself")
    return backend


def not_by_the_host(*arguments: object) -> None:
    raise AssertionError("the host read the file")


def test_cudf_reads_the_csv(device, monkeypatch):
    frames = importlib.import_module("gpu_kmeans.cuda.frames")
    movies, _ = sample.paths()
    expected = resolve("cpu").read_table(movies, COLUMNS, ())
    monkeypatch.setattr(frames, "read_csv", not_by_the_host)
    found = device.to_host(device.read_table(movies, COLUMNS, ()))
    assert found.to_pylist() == resolve("cpu").to_host(expected).to_pylist()


def test_cudf_reads_the_parquet(device, monkeypatch, tmp_path: Path):
    frames = importlib.import_module("gpu_kmeans.cuda.frames")
    movies, _ = sample.paths()
    table = resolve("cpu").to_host(resolve("cpu").read_table(movies, COLUMNS, ()))
    pq.write_table(table, tmp_path / "films.parquet")
    monkeypatch.setattr(frames, "read_parquet", not_by_the_host)
    found = device.to_host(device.read_table(tmp_path / "films.parquet", COLUMNS, ()))
    assert found.to_pylist() == table.to_pylist()


@pytest.mark.parametrize("column", ["genres", "keywords"])
def test_lists_are_read_on_the_device(device, column):
    movies, _ = sample.paths()
    frame = device.read_table(movies, ("id", column), ())
    found = device.names_in_lists(frame, column, None)
    assert found is not None
    assert not found.unread.any()


def test_rows_stay_on_the_device(device):
    cupyx = importlib.import_module("cupyx.scipy.sparse")
    movies, _ = sample.paths()
    frame = device.read_table(movies, ("id", "overview"), ())
    rows = TfidfVectorizer(backend=device).fit_transform(frame["overview"])
    assert isinstance(rows, cupyx.csr_matrix)
    assert rows.dtype == np.float32
