"""The GPU's verbs on rows, with NumPy for CuPy and the kernels run on the CPU.

The contract is that of every backend: :mod:`test_verbs`, and of :mod:`test_kmeans` what small
rows show. This is not a run on a GPU: it proves the arithmetic of the kernels and of the code
around them, and nothing about a device. Dense k-means, which is cuML's, is FAISS's here.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import test_verbs
from cuda_on_cpu import compiled, cupy_on_numpy
from scipy import sparse
from shapes import values
from test_kmeans import (  # noqa: F401 - collected here, on the backend of this module
    test_best_partition_of_tiny_rows_by_brute_force,
    test_empty_clusters_are_relocated_as_in_scikit_learn,
    test_four_points_by_hand,
    test_lloyd_equals_scikit_learn_from_the_same_start,
    test_transform_and_score,
    test_weights_equal_repeats,
    test_weights_of_any_size,
    test_weights_of_very_different_size_and_zero,
)

from cpu_fallback import CpuBackend
from gpu_kmeans import KMeans, errors
from gpu_kmeans.backends.protocol import Backend

OF_CUML = "test_dense_kmeans_uses_all_rows_and_the_given_start"
globals().update(
    {
        name: test
        for name, test in vars(test_verbs).items()
        if name.startswith("test_") and name != OF_CUML
    }
)
TILE = 256


@pytest.fixture(scope="module")
def backend() -> Iterator[Backend]:
    with cupy_on_numpy():
        package = importlib.import_module("gpu_kmeans.cuda")

        class Rehearsed(package.GpuBackend):
            def dense_kmeans(self, *arguments: Any) -> Any:
                return CpuBackend().dense_kmeans(*arguments)

        yield Rehearsed()


@pytest.fixture
def blocks(backend: Backend) -> Any:
    return importlib.import_module("gpu_kmeans.cuda.device_memory")


def words(n: int, n_features: int, seed: int, per_row: int, dtype: Any) -> sparse.csr_array:
    """Rows of unit length with up to ``per_row`` non-zeros, one of them without any."""
    rng = np.random.default_rng(seed)
    rows = sparse.random_array(
        (n, n_features), density=per_row / n_features, rng=rng, dtype=np.float64
    ).tolil()
    rows[n // 2] = 0
    rows = rows.tocsr()
    norms = np.sqrt(rows.multiply(rows).sum(axis=1))
    return sparse.csr_array(
        sparse.diags_array(1 / np.where(norms > 0, norms, 1)) @ rows, dtype=dtype
    )


def both(backend: Backend, verb: str, rows: Any, *arguments: Any) -> tuple[Any, Any]:
    """What a verb gives on this backend, and what it gives on the CPU in float64."""
    return (
        getattr(backend, verb)(backend.matrix(rows), *arguments),
        getattr(CpuBackend(), verb)(CpuBackend().matrix(rows.astype(np.float64)), *arguments),
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("k", [1, 2, 31, 32, 33, TILE - 1, TILE, TILE + 1, 2 * TILE + 5])
def test_any_number_of_clusters_fits_into_tiles(backend, k, dtype):
    rows = words(37, 90, k, per_row=40, dtype=dtype)  # some rows are longer than a warp is wide
    labels = np.random.default_rng(k).integers(0, k, 37).astype(np.int32)
    found, expected = both(backend, "cluster_sums", rows, labels, k)
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(found.sums, CpuBackend().to_host(expected.sums), atol=4 * eps)
    np.testing.assert_allclose(found.squared_norms, expected.squared_norms, atol=1e-6)
    exact = CpuBackend().matrix(rows.astype(np.float64))
    for given in ((), (labels, None, CpuBackend().squared_norms(exact))):
        mine = backend.assign(backend.matrix(rows), found, *given)
        theirs = CpuBackend().assign(exact, expected, *given)
        np.testing.assert_allclose(mine.cost, theirs.cost, atol=40 * eps)
        different = np.flatnonzero(mine.nearest != theirs.nearest)
        again = costs(exact, expected, *given)
        np.testing.assert_allclose(
            again[different, mine.nearest[different]], theirs.cost[different], atol=40 * eps
        )
        if given:
            np.testing.assert_allclose(mine.own, theirs.own, atol=40 * eps)


def costs(rows: Any, clusters: Any, labels: Any = None, weight: Any = None, norms: Any = None):
    """Every row's cost in every cluster, as the protocol defines it, for rows of weight 1."""
    size = np.where(clusters.weight > 0, clusters.weight, 1)
    q = np.where(clusters.weight > 0, clusters.squared_norms / size, np.inf)
    if labels is None:
        return (q - 2 * (rows @ CpuBackend().to_host(clusters.sums))) / size
    return (q - 2 * (rows @ CpuBackend().to_host(clusters.sums)) - norms[:, None]) / (size + 1)


def test_ties_across_lanes_and_tiles_go_to_the_lowest_cluster(backend):
    k = 2 * TILE + 40
    centroids = np.tile(np.array([[0.0, 1.0], [1.0, 0.0]]), (k // 2, 1))
    rows = backend.matrix(sparse.csr_array(np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])))
    found = backend.assign(rows, backend.clusters_from(centroids, np.float64))
    assert found.nearest.tolist() == [1, 0, 0]


def test_wide_indices_give_the_same_numbers(backend):
    rows = words(30, 50, 1, per_row=9, dtype=np.float32)
    wide = sparse.csr_matrix(
        (rows.data, rows.indices.astype(np.int64), rows.indptr.astype(np.int64)), shape=rows.shape
    )
    wide.indices, wide.indptr = wide.indices.astype(np.int64), wide.indptr.astype(np.int64)
    labels = np.arange(30, dtype=np.int32) % 4
    narrow = backend.cluster_sums(backend.matrix(rows), labels, 4)
    found = backend.cluster_sums(wide, labels, 4)
    assert (found.sums == narrow.sums).all()
    assert (backend.assign(wide, found).cost == backend.assign(rows, narrow).cost).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sums_do_not_depend_on_the_order_in_which_rows_are_added(backend, dtype):
    rows = words(200, 30, 5, per_row=12, dtype=dtype)
    labels = np.random.default_rng(5).integers(0, 3, 200).astype(np.int32)
    weight = np.random.default_rng(6).random(200)
    order = np.random.default_rng(7).permutation(200)
    one = backend.cluster_sums(backend.matrix(rows), labels, 3, weight)
    two = backend.cluster_sums(backend.matrix(rows[order]), labels[order], 3, weight[order])
    assert (one.sums == two.sums).all()
    assert (one.squared_norms == two.squared_norms).all()


@pytest.mark.parametrize("kind", ["sparse", "dense"])
def test_smaller_blocks_give_the_same_answer(backend, blocks, monkeypatch, kind):
    rows = values(64, 11, 3)
    matrix = backend.matrix(sparse.csr_array(rows) if kind == "sparse" else rows)
    labels = np.random.default_rng(3).integers(0, 5, 64).astype(np.int32)
    norms = backend.squared_norms(matrix)
    whole = backend.cluster_sums(matrix, labels, 5)
    expected = backend.assign(matrix, whole, labels, None, norms)
    monkeypatch.setattr(blocks, "SMALL", 0)
    monkeypatch.setattr(blocks, "_free", lambda: 4 * 700)
    parts = backend.cluster_sums(matrix, labels, 5)
    found = backend.assign(matrix, parts, labels, None, norms)
    np.testing.assert_allclose(parts.sums, whole.sums, atol=1e-14)
    np.testing.assert_allclose(found.cost, expected.cost, atol=1e-14)
    assert (found.nearest == expected.nearest).all()
    np.testing.assert_allclose(backend.centroids(parts), backend.centroids(whole), atol=1e-14)


def test_a_block_without_room_is_halved_three_times_and_then_refused(blocks, monkeypatch):
    monkeypatch.setattr(blocks, "_free", lambda: 1 << 20)
    tried: list[tuple[int, int]] = []

    def needs_at_most(size: int):
        def work(start: int, stop: int) -> None:
            tried.append((start, stop))
            if stop - start > size:
                raise MemoryError("std::bad_alloc: out_of_memory")

        return work

    blocks.each_block(100, 1, needs_at_most(25))
    assert tried == [(0, 100), (0, 50), (0, 25), (25, 50), (50, 75), (75, 100)]
    tried.clear()
    with pytest.raises(errors.OutOfDeviceMemory, match=r"max_features.*or backend='cpu'") as caught:
        blocks.each_block(100, 1, needs_at_most(10))
    assert [stop for _, stop in tried] == [100, 50, 25, 13]
    assert isinstance(caught.value.__cause__, MemoryError)
    assert isinstance(caught.value, errors.GpuKMeansError)


def test_memory_that_runs_out_anywhere_in_a_verb_is_said_so(backend, monkeypatch):
    verbs = importlib.import_module("gpu_kmeans.cuda.rows")

    def full(*arguments: Any) -> None:
        raise MemoryError("std::bad_alloc: out_of_memory")

    monkeypatch.setattr(verbs, "squared_norms", full)
    with pytest.raises(errors.OutOfDeviceMemory, match=r"squared_norms does not fit.*bad_alloc"):
        backend.squared_norms(backend.matrix(np.eye(2)))


def test_a_library_that_does_not_load_is_said_so(backend, monkeypatch):
    verbs = importlib.import_module("gpu_kmeans.cuda.rows")

    def broken(*arguments: Any) -> None:
        raise ImportError("libcuml.so: cannot open shared object file")

    monkeypatch.setattr(verbs, "project", broken)
    with pytest.raises(errors.BackendUnavailable, match=r"libcuml.so.*backend='cpu'"):
        backend.project(None, None)


def test_weights_next_to_nothing_are_summed_all_the_same(backend):
    rows = sparse.csr_array(np.array([[1.0, 0.5], [0.5, 0.0], [1.0, 2.0]]))
    labels = np.array([0, 1, 1], dtype=np.int32)
    weight = np.array([1.0, 1e-300, 1e-300])
    found, expected = both(backend, "cluster_sums", rows, labels, 2, weight)
    np.testing.assert_allclose(found.sums, CpuBackend().to_host(expected.sums), rtol=1e-12)


def test_other_errors_of_a_block_pass(blocks):
    def work(start: int, stop: int) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        blocks.each_block(10, 1, work)


def test_running_out_of_memory_once_does_not_change_a_fit(backend, blocks, monkeypatch):
    """The whole of a fit goes on from the smaller block, with the same labels."""
    rows = words(60, 40, 8, per_row=6, dtype=np.float32)
    expected = KMeans(3, random_state=0, backend=backend).fit(rows)
    failures = iter([True] * 3)
    plain = blocks.each_block

    def short_of_memory(total: int, bytes_each: int, work: Any) -> None:
        def first_fails(start: int, stop: int) -> None:
            if stop - start > 1 and next(failures, False):
                raise MemoryError
            work(start, stop)

        plain(total, bytes_each, first_fails)

    verbs = importlib.import_module("gpu_kmeans.cuda.rows")
    monkeypatch.setattr(verbs, "each_block", short_of_memory)
    found = KMeans(3, random_state=0, backend=backend).fit(rows)
    assert next(failures, "used up") == "used up"
    assert (found.labels_ == expected.labels_).all()


def test_the_same_seed_gives_the_same_labels(backend):
    rows = words(80, 40, 3, per_row=6, dtype=np.float32)
    one, two = (KMeans(4, random_state=5, backend=backend).fit(rows) for _ in range(2))
    assert (one.labels_ == two.labels_).all()
    assert (one.cluster_centers_ == two.cluster_centers_).all()


def test_both_backends_reach_the_same_clusters_from_the_same_start(backend):
    rows = words(150, 60, 9, per_row=8, dtype=np.float32)
    start = rows[:4].toarray()
    mine = KMeans(4, init=start, backend=backend).fit(rows)
    theirs = KMeans(4, init=start, backend="cpu").fit(rows)
    assert mine.inertia_ == pytest.approx(theirs.inertia_, rel=1e-4)


def test_both_backends_reach_as_good_clusters_from_the_same_draws(backend):
    """Clusters are split all at once here, and one by one there: basins differ."""
    rows = words(150, 60, 9, per_row=8, dtype=np.float32)
    inertia = [
        [KMeans(4, random_state=seed, backend=one).fit(rows).inertia_ for seed in range(5)]
        for one in (backend, "cpu")
    ]
    mine, theirs = map(np.median, inertia)
    assert mine == pytest.approx(theirs, rel=5e-3)


# -- the emulation itself ---------------------------------------------------------------


def test_a_kernel_that_is_called_wrongly_is_refused():
    kernel = compiled("rows.cu", REAL="float", INDEX="int")["square_rows"]
    indptr, data, out = np.zeros(2, np.int32), np.zeros(1, np.float32), np.zeros(1)
    with pytest.raises(AssertionError, match="float64"):
        kernel((1,), (32, 1), (np.int32(1), indptr, data.astype(np.float64), out))
    with pytest.raises(AssertionError, match="int64"):
        kernel((1,), (32, 1), (np.int64(1), indptr, data, out))
    with pytest.raises(AssertionError, match="whole warps"):
        kernel((1,), (31, 1), (np.int32(1), indptr, data, out))
