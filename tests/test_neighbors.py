"""The nearest rows of rows: the public function, and the compiled path held to the plain one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.neighbors import NearestNeighbors
from test_verbs import assert_nearest

import gpu_kmeans
from cpu_fallback import CpuBackend, compiled
from cpu_fallback.compiled import library
from cpu_fallback.compiled import neighbors as compiled_neighbors
from gpu_kmeans import Model, Recommender
from gpu_kmeans.cli import main
from gpu_kmeans.clustering.neighbors import neighbors
from gpu_kmeans.data import sample
from gpu_kmeans.errors import InvalidParam, NonFinite
from gpu_kmeans.questions.neighbors import similar_items

needs_library = pytest.mark.skipif(
    library.kernels() is None, reason="the kernels were not compiled: there was no C compiler"
)


def texts(n: int, n_features: int, seed: int, dtype: Any = np.float32) -> sparse.csr_array:
    """Rows of few of many features, some of which most rows have, some rows empty or alike."""
    rng = np.random.default_rng(seed)
    frequency = 1 / np.arange(1, n_features + 1)
    counts = rng.poisson(frequency * 0.8, (n, n_features)).astype(dtype)
    counts[rng.random(n) < 0.05] = 0
    copies = np.flatnonzero(rng.random(n) < 0.2)
    counts[copies] = counts[rng.integers(0, n, len(copies))]
    return sparse.csr_array(counts * rng.choice([0.5, 1.25, 3], n_features).astype(dtype))


# -- the compiled path ------------------------------------------------------------------------


@needs_library
@pytest.mark.parametrize("block", [50, 128, 1000])
@pytest.mark.parametrize(("frequent", "most"), [(1000, 3), (8, 512), (1, 512)])
@settings(max_examples=8, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    count=st.sampled_from([1, 7, 100]),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_blocks_and_frequent_features_make_no_difference(block, frequent, most, seed, count, dtype):
    rows = CpuBackend().matrix(texts(300, 60, seed, dtype))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "can_take", lambda rows: False)
        plain = CpuBackend().neighbors(rows, count)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled_neighbors, "BLOCK", block)
        patch.setattr(compiled_neighbors, "FREQUENT", frequent)
        patch.setattr(compiled_neighbors, "MOST_FREQUENT", most)
        found = CpuBackend().neighbors(rows, count)
    for one, other in zip(found, plain, strict=True):
        np.testing.assert_array_equal(one, other)


@needs_library
@pytest.mark.parametrize("width", [16, 32, 64])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_vectors_of_every_width_find_the_same(width, dtype, monkeypatch):
    if width > library.kernels().widest_vectors():
        pytest.skip(f"this machine has no vectors of {width} bytes")
    rows = texts(500, 80, 1, dtype)
    dense = np.random.default_rng(0).normal(0, 1, (300, 7)).astype(dtype)
    expected = CpuBackend().neighbors(rows, 9)
    of_dense = CpuBackend().neighbors(dense, 9, "euclidean")
    monkeypatch.setattr(library, "_widest", lambda: width)
    library.function.cache_clear()
    try:
        found = CpuBackend().neighbors(rows, 9)
        found_of_dense = CpuBackend().neighbors(dense, 9, "euclidean")
    finally:
        library.function.cache_clear()
    for one, other in ((found, expected), (found_of_dense, of_dense)):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_dense_rows_in_blocks_are_those_of_brute_force(metric, monkeypatch):
    monkeypatch.setattr(compiled_neighbors, "LEAST_HEIGHT", 41)
    monkeypatch.setattr(compiled_neighbors, "BYTES_IN_CACHE", 0)
    rows = np.random.default_rng(0).normal(3, 1, (251, 5)).astype(np.float32)
    assert_nearest(CpuBackend().neighbors(rows, 12, metric), rows, 12, metric)


@needs_library
@pytest.mark.parametrize("n_threads", [2, 5])
def test_threads_make_no_difference(n_threads, monkeypatch):
    for rows in (texts(900, 90, 3), texts(300, 9, 4).toarray()):
        one, other = (with_threads(monkeypatch, n, rows) for n in (1, n_threads))
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])


def with_threads(monkeypatch: pytest.MonkeyPatch, n: int, rows: Any) -> Any:
    """The ten nearest rows, found by so many threads."""
    monkeypatch.setattr("cpu_fallback.threads.count", lambda: n)
    return CpuBackend().neighbors(rows, 10)


def test_rows_with_64_bit_indices_are_compared_alike():
    rows = texts(120, 40, 5)
    wide = CpuBackend().matrix(rows)
    wide.indices, wide.indptr = wide.indices.astype(np.int64), wide.indptr.astype(np.int64)
    for one, other in zip(
        CpuBackend().neighbors(wide, 5), CpuBackend().neighbors(rows, 5), strict=True
    ):
        np.testing.assert_array_equal(one, other)


# -- the public function ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["sparse", "dense"])
def test_neighbors_are_scikit_learns(kind):
    rows = np.random.default_rng(1).random((200, 9)) * (
        np.random.default_rng(2).random((200, 9)) < 0.6
    )
    rows[:, 0] += 0.1
    found = neighbors(sparse.csr_array(rows) if kind == "sparse" else rows, 6, backend="cpu")
    peer = NearestNeighbors(n_neighbors=6, metric="cosine").fit(rows)
    distances, numbers = peer.kneighbors()
    np.testing.assert_array_equal(found.indices, numbers)
    np.testing.assert_allclose(1 - found.values, distances, atol=1e-12)
    graph = found.graph()
    assert graph.shape == (200, 200)
    for row in range(200):
        of_row = graph[[row]].toarray().ravel()
        np.testing.assert_allclose(of_row[numbers[row]], found.values[row])
        assert not of_row[row]


def test_what_other_containers_hold_is_compared(tmp_path):
    import pandas as pd

    frame = pd.DataFrame({"a": [1, 2, 3, 10], "b": [0, 1, 0, 5]})
    found = neighbors(frame, 1, metric="euclidean", backend="cpu")
    assert found.indices.ravel().tolist() == [1, 0, 1, 2]
    assert found.metric == "euclidean"


def test_bad_rows_and_numbers_are_refused():
    with pytest.raises(NonFinite, match="row 1"):
        neighbors(np.array([[1.0], [np.nan], [2.0]]), 1, backend="cpu")
    with pytest.raises(InvalidParam, match=r"15 neighbours.*at least 16 rows.*there are 3"):
        neighbors(np.eye(3), backend="cpu")
    with pytest.raises(InvalidParam, match=r"1 neighbours.*use more rows"):
        neighbors(np.eye(1), 1, backend="cpu")
    with pytest.raises(InvalidParam, match="metric must be one of"):
        neighbors(np.eye(3), 1, metric=None, backend="cpu")  # type: ignore[arg-type]


# -- similar items ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def films() -> Model:
    return gpu_kmeans.fit(*sample.paths(), n_clusters=5, backend="cpu", max_iter=5)


def test_similar_items_of_all_are_those_of_each(films):
    rows = list(similar_items(films, 4, backend="cpu"))
    assert rows[0] == ["id", "neighbor", "similarity"]
    recommender = Recommender(films)
    for item in films.items["id"].to_pylist()[:40]:
        own = [row for row in rows[1:] if row[0] == item]
        expected = recommender.similar(item, 4)
        assert [row[2] for row in own] == pytest.approx(
            [one.parts["relevance"] for one in expected], abs=1e-5
        )
        assert len({row[1] for row in own} - {item}) == len(own)


def test_similar_items_of_dense_rows_are_near(tmp_path):
    rows = np.random.default_rng(0).normal(0, 1, (40, 3)).astype(np.float32)
    np.save(tmp_path / "rows.npy", rows)
    model = gpu_kmeans.fit(tmp_path / "rows.npy", n_clusters=3, backend="cpu")
    listed = list(similar_items(model, 100, backend="cpu"))[1:]
    assert len(listed) == 40 * 39
    ids = model.items["id"].to_pylist()
    space = model.space
    for item, other, similarity in listed[:100]:
        distance = np.linalg.norm(space[ids.index(item)] - space[ids.index(other)])
        assert similarity == pytest.approx(1 / (1 + distance), abs=1e-5)
    for count in (0, 1001, 2.5):
        with pytest.raises(InvalidParam, match="count"):
            next(similar_items(model, count))


def test_the_command_line_writes_neighbors(films, tmp_path, capsys):
    films.save(tmp_path / "model")
    out = tmp_path / "neighbors.csv"
    command = ["neighbors", str(tmp_path / "model"), "--count", "2", "--backend", "cpu"]
    assert main([*command, "--out", str(out)]) == 0
    lines = out.read_text("utf-8").splitlines()
    assert lines[0] == "id,neighbor,similarity"
    assert 300 < len(lines) <= 1 + 2 * films.items.num_rows
    assert main([*command, "--out", str(out)]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main([*command[:2], "--count", "0"]) == 2
    assert "at least 1" in capsys.readouterr().err


def test_the_benchmark_compares_the_same_neighbors():
    from bench.neighbors import compare

    rows = texts(300, 60, 2)
    rows.data /= np.repeat(
        np.maximum(1e-9, np.sqrt(np.asarray(rows.multiply(rows).sum(axis=1)).ravel())),
        np.diff(rows.indptr),
    )
    record = compare(rows, 15, 1)
    assert record["largest_difference"] < 1e-6
    assert record["neighbors"] == 15
