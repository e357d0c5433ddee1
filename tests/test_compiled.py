"""Sparse rows with the compiled library and without it: the same verbs, the same answers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import test_verbs
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from shapes import values

from cpu_fallback import CpuBackend, compiled, threads
from cpu_fallback.compiled import Sums, csr, library
from cpu_fallback.compiled import sums as sums_module
from gpu_kmeans import KMeans
from gpu_kmeans.backends.protocol import Backend, Clusters
from gpu_kmeans.clustering import bounds as drift
from gpu_kmeans.clustering import lloyd

# The contract of the verbs holds with SciPy alone, too.
globals().update({n: test for n, test in vars(test_verbs).items() if n.startswith("test_")})

needs_library = pytest.mark.skipif(
    library.kernels() is None, reason="the kernels were not compiled: there was no C compiler"
)


@pytest.fixture(scope="module")
def backend() -> Iterator[Backend]:
    """The CPU backend without its compiled library."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "can_take", lambda rows: False)
        yield CpuBackend()


def rows_of(n: int, n_features: int, seed: int, dtype: Any) -> sparse.csr_array:
    return sparse.csr_array(values(n, n_features, seed, dtype=dtype))


def with_library(verb: str, *arguments: Any, **named: Any) -> Any:
    """Call a verb of the CPU backend with the library, whatever a fixture has set."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "can_take", lambda rows: True)
        return getattr(CpuBackend(), verb)(*arguments, **named)


@needs_library
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(2, 60),
    n_features=st.integers(1, 30),
    k=st.one_of(st.integers(1, 40), st.sampled_from([127, 128, 129, 255, 256, 257, 300])),
    seed=st.integers(0, 10_000),
    weighted=st.booleans(),
    dense=st.booleans(),
)
def test_both_paths_agree(backend, dtype, n, n_features, k, seed, weighted, dense):
    given_rows = rows_of(n, n_features, seed, dtype)
    rows = backend.matrix(given_rows.toarray() if dense else given_rows)
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, k, n).astype(np.int32)
    weight = 0.5 + rng.random(n) if weighted else None
    norms = backend.squared_norms(rows)
    by_scipy = backend.cluster_sums(rows, labels, k, weight)
    compiled_ = with_library("cluster_sums", rows, labels, k, weight)
    eps = float(np.finfo(dtype).eps)
    sums = backend.to_host(compiled_.sums)
    np.testing.assert_allclose(sums, by_scipy.sums, rtol=4 * eps, atol=1e-12)
    np.testing.assert_allclose(compiled_.squared_norms, by_scipy.squared_norms, rtol=1e-5)
    assert (compiled_.weight == by_scipy.weight).all()
    for given_ in ((), (labels, weight, norms)):
        one = backend.assign(rows, by_scipy, *given_)
        two = with_library("assign", rows, by_scipy, *given_)
        scale = 1 + float(norms.max()) * n
        np.testing.assert_allclose(two.cost, one.cost, atol=100 * eps * scale)
        differing = one.nearest != two.nearest
        assert not differing[np.isfinite(one.cost)].any() or np.allclose(
            one.cost[differing], two.cost[differing], atol=100 * eps * scale
        )
        if given_:
            np.testing.assert_allclose(two.own, one.own, atol=100 * eps * scale)


def cheapest_by_force(
    rows: Any, clusters: Clusters, labels: Any, weight: Any
) -> tuple[np.ndarray, np.ndarray]:
    """All costs in float64, with infinity for a row's own cluster."""
    x = rows.toarray().astype(np.float64) if sparse.issparse(rows) else rows.astype(np.float64)
    sums = CpuBackend().to_host(clusters.sums).astype(np.float64)
    size, q = clusters.sizes_and_spreads()
    w = np.zeros(len(x)) if labels is None else np.ones(len(x)) if weight is None else weight
    products = x @ sums
    costs = (q - 2 * products - (w * np.square(x).sum(axis=1))[:, None]) / (size + w[:, None])
    if labels is not None:
        costs[np.arange(len(x)), labels] = np.inf
    return costs, products


@needs_library
@pytest.mark.parametrize("width", [16, 32, 64])
@settings(max_examples=60, deadline=None)
@given(
    n=st.one_of(st.integers(1, 40), st.just(300)),
    n_features=st.integers(1, 30),
    k=st.one_of(st.integers(1, 70), st.sampled_from([127, 128, 129, 255, 256, 257, 300])),
    dtype=st.sampled_from([np.float32, np.float64]),
    seed=st.integers(0, 10_000),
    dense=st.booleans(),
    labelled=st.booleans(),
    weighted=st.booleans(),
)
def test_vectors_of_every_width_find_what_brute_force_finds(
    width, n, n_features, k, dtype, seed, dense, labelled, weighted
):
    if width > library.kernels().widest_vectors():
        pytest.skip(f"this machine has no vectors of {width} bytes")
    rng = np.random.default_rng(seed)
    given_rows = rows_of(n, n_features, seed, dtype)
    labels = rng.integers(0, k, n).astype(np.int32)
    weight = rng.integers(0, 4, n) * (0.5 + rng.random(n)) if weighted else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(library, "_widest", lambda: width)
        library.function.cache_clear()
        try:
            backend = CpuBackend()
            rows = backend.matrix(given_rows.toarray() if dense else given_rows)
            clusters = with_library("cluster_sums", rows, labels, k, weight)
            given_ = (labels, weight, backend.squared_norms(rows)) if labelled else ()
            found = with_library("assign", rows, clusters, *given_, second=not labelled)
            exact, mass = np.zeros((2, n_features, k))
            each = given_rows.toarray() * (1 if weight is None else weight[:, None])
            np.add.at(exact.T, labels, each)
            np.add.at(mass.T, labels, np.abs(each))
            sums = backend.to_host(clusters.sums)
        finally:
            library.function.cache_clear()
    eps = float(np.finfo(dtype).eps)
    # Formed in float64 in any order, and rounded once.
    rounding = n * float(np.finfo(np.float64).eps) * mass + eps * np.abs(exact)
    assert (np.abs(sums - exact) <= rounding).all()
    costs, products = cheapest_by_force(given_rows, clusters, *(given_[:2] or (None, None)))
    atol = 100 * eps * (1 + float(np.square(given_rows.toarray()).sum(axis=1).max()) * n)
    np.testing.assert_allclose(found.cost, costs.min(axis=1), atol=atol)
    possible = np.isfinite(found.cost)
    at = costs[np.arange(n), found.nearest]
    np.testing.assert_allclose(at[possible], costs.min(axis=1)[possible], atol=atol)
    if not labelled:
        next_best = np.sort(costs, axis=1)[:, 1] if k > 1 else np.full(n, np.inf)
        np.testing.assert_allclose(found.second, next_best, atol=atol)
    if labelled:
        np.testing.assert_allclose(found.own, products[np.arange(n), labels], atol=atol)


@needs_library
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("signed", [False, True])
def test_vectors_of_every_width_bound_alike(monkeypatch, dtype, signed):
    rng, k, backend = np.random.default_rng(0), 20, CpuBackend()
    given_rows = sparse.random_array((800, 300), density=0.05, rng=rng, format="csr", dtype=dtype)
    if signed:
        given_rows.data *= rng.choice([-1, 1], given_rows.nnz).astype(dtype)
    rows = backend.matrix(given_rows)
    before = rng.integers(0, k, 800).astype(np.int32)
    labels = np.where(np.arange(800) < 30, 3, before).astype(np.int32)
    moved = np.flatnonzero(before != labels)
    old, new = (with_library("cluster_sums", rows, of, k) for of in (before, labels))
    found = replace(with_library("assign", rows, old, second=True), nearest=labels)
    moves = drift.drifted(old, new, found, moved, before[moved], None)
    assert len(moves.changed) > 3
    assert len(moves.singles) > 0
    rounding_error = np.full(800, 0.01)
    widest = library.vector_bytes(2 * drift.GROUPS + drift.SINGLES, np.dtype(dtype))
    found_by = []
    for width in (each for each in (16, 32, 64) if each <= widest):
        monkeypatch.setattr(csr, "function", of_width(width))
        *bounds, _ = with_library(
            "update_bounds", backend.matrix(given_rows.copy()), found, moves, rounding_error
        )
        found_by.append(bounds)
    if not signed:  # without the library, bounds of rows with negative values are wider
        monkeypatch.setattr(compiled, "can_take", lambda rows: False)
        found_by.append(backend.update_bounds(rows, found, moves, rounding_error)[:2])
    for bounds in found_by[1:]:
        np.testing.assert_allclose(bounds, found_by[0], atol=200 * float(np.finfo(dtype).eps))


def of_width(width: int) -> Any:
    """Kernels for vectors of so many bytes, however many numbers they are asked for."""
    return lambda name, k, dtype: library._declared(
        f"{name}_{np.dtype(dtype).name}_{width}", *library.PARAMETERS[name]
    )


@needs_library
@pytest.mark.parametrize("dense", [False, True])
def test_no_rows_have_no_sums_and_no_clusters(dense):
    backend = CpuBackend()
    rows = backend.matrix(np.zeros((0, 5)) if dense else sparse.csr_array((0, 5)))
    clusters = with_library("cluster_sums", rows, np.zeros(0, np.int32), 3)
    assert (backend.to_host(clusters.sums) == 0).all()
    assert len(with_library("assign", rows, clusters).nearest) == 0


@needs_library
@pytest.mark.parametrize("k", [70, 150])
def test_pruned_or_not_every_iteration_labels_the_same(monkeypatch, k):
    """Neither lists of rare features nor rows that bounds leave alone change a label."""
    rows = CpuBackend().matrix(
        sparse.random_array((1500, 900), density=0.02, rng=0, format="csr", dtype=np.float32)
    )
    start, nearest = rows[:k].toarray(), lloyd._Means.nearest
    seen: dict[bool, list[np.ndarray]] = {}
    listed: dict[bool, int] = {}
    for pruned in (True, False):
        mine = seen[pruned] = []

        def noted(means: Any, before: Any, mine: list[np.ndarray] = mine) -> Any:
            found = nearest(means, before)
            mine.append(found.nearest.copy())
            return found

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(compiled, "can_take", lambda rows: True)
            patch.setattr(lloyd._Means, "nearest", noted)
            patch.setattr(drift, "FEWEST_CLUSTERS", 0 if pruned else k + 1)
            patch.setattr(drift, "FEW", 1)
            patch.setattr(sums_module, "PLAIN", 0)
            if not pruned:
                patch.setattr(csr, "rare_at_most", lambda k: 0)
                patch.setattr(sums_module, "rare_at_most", lambda k: 0)
            backend = CpuBackend()
            fresh = backend.matrix(rows.copy())
            of_all = lloyd.Rows(fresh, backend.squared_norms(fresh), None)
            done = lloyd.lloyd(
                backend,
                of_all,
                backend.clusters_from(start, np.float32),
                max_iter=50,
                tol=0,
                report=lambda *_: False,
            )
        listed[pruned] = done.clusters.sums.layout.room
    assert listed[True] > 0 == listed[False]
    assert len(seen[True]) == len(seen[False]) > 3
    assert all((one == two).all() for one, two in zip(*seen.values(), strict=True))


@needs_library
def test_the_library_takes_part_where_it_is(monkeypatch):
    """So that the other tests do not compare SciPy with itself."""
    called: list[str] = []
    plain = library.function
    monkeypatch.setattr(compiled, "can_take", lambda rows: True)
    monkeypatch.setattr(csr, "function", lambda name, *of: called.append(name) or plain(name, *of))
    KMeans(3, random_state=0, backend="cpu").fit(rows_of(50, 20, 0, np.float32))
    assert {"nearest", "move", "sum_features"} <= set(called)


@needs_library
@settings(max_examples=80, deadline=None)
@given(
    n_features=st.integers(1, 30),
    k=st.one_of(st.integers(1, 40), st.sampled_from([255, 256, 257, 300])),
    share=st.sampled_from([0.0, 0.02, 0.2, 1.0]),
    dtype=st.sampled_from([np.float32, np.float64]),
    seed=st.integers(0, 10_000),
)
def test_sums_of_any_shape_hold_what_they_were_given(n_features, k, share, dtype, seed):
    """Whatever is a run and whatever a list."""
    rng = np.random.default_rng(seed)
    centroids = np.where(rng.random((k, n_features)) < share, rng.normal(size=(k, n_features)), 0)
    centroids = centroids.astype(dtype)
    sums = Sums.from_centroids(centroids, dtype)
    assert sums.shape == (n_features, k)
    assert (sums.dense() == centroids.T).all()
    assert (sums.dense(1, 7) == centroids.T[1:7]).all()
    assert (sums.scaled(np.ones(k, dtype)) == centroids).all()
    # No place but those of the k clusters counts: room that is filled up is zero.
    rows = CpuBackend().matrix(sparse.csr_array(np.ones((3, n_features), dtype)))
    asked = compiled.nearest(rows, sums, np.ones(k), np.ones(k), None, None, None, False)
    scores = 1 - 2 * centroids.astype(np.float64).sum(axis=1)
    eps = float(np.finfo(dtype).eps)
    np.testing.assert_allclose(asked.cost, scores.min(), atol=50 * eps * n_features)
    np.testing.assert_allclose(scores[asked.nearest], scores.min(), atol=50 * eps * n_features)


@needs_library
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), k=st.integers(2, 60), weighted=st.booleans())
def test_many_moves_leave_the_sums_of_the_labels(seed, k, weighted):
    """Lists gain and lose clusters, and never more than they have room for."""
    backend, rng = CpuBackend(), np.random.default_rng(seed)
    n = 50
    rows = backend.matrix(rows_of(n, 12, seed, np.float64))
    weight = 0.5 + rng.random(n) if weighted else None
    labels = rng.integers(0, k, n).astype(np.int32)
    clusters = with_library("cluster_sums", rows, labels, k, weight)
    for _ in range(30):
        which = np.sort(rng.choice(n, rng.integers(1, n), replace=False))
        target = rng.integers(0, k, len(which)).astype(np.int32)
        which, target = which[labels[which] != target], target[labels[which] != target]
        with_library("move", clusters, rows, which, labels[which], target, weight)
        labels[which] = target
    anew = with_library("cluster_sums", rows, labels, k, weight)
    np.testing.assert_allclose(clusters.sums.dense(), anew.sums.dense(), atol=1e-9)
    np.testing.assert_allclose(clusters.squared_norms, anew.squared_norms, atol=1e-9)
    assert (clusters.sums.length == anew.sums.length).all()


@needs_library
def test_rare_features_take_no_more_room_than_their_non_zeros():
    rows = CpuBackend().matrix(
        sparse.random_array((2000, 5000), density=0.002, rng=0, format="csr")
    )
    labels = np.arange(2000, dtype=np.int32) % 500
    sums = with_library("cluster_sums", rows, labels, 500).sums
    assert len(sums.entries) <= rows.nnz
    assert len(sums.layout.frequent) == 0


@needs_library
@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_the_number_of_threads_does_not_matter(monkeypatch, count):
    rows = CpuBackend().matrix(rows_of(3000, 40, 1, np.float32))
    monkeypatch.setattr(csr, "PRODUCTS_PER_TASK", 1000)
    monkeypatch.setattr(csr, "SUMS_PER_BAND", 1)
    labels = np.random.default_rng(0).integers(0, 9, 3000).astype(np.int32)
    one = with_library("cluster_sums", rows, labels, 9)
    nearest = with_library("assign", rows, one)
    monkeypatch.setattr(threads, "count", lambda: count)
    again = with_library("cluster_sums", rows, labels, 9)
    assert (again.sums.dense() == one.sums.dense()).all()
    assert (again.squared_norms == one.squared_norms).all()
    assert (with_library("assign", rows, again).cost == nearest.cost).all()


@needs_library
@pytest.mark.parametrize("k", [3, 90])
def test_rows_move_in_bands_as_they_do_at_once(monkeypatch, k):
    rng, backend = np.random.default_rng(0), CpuBackend()
    rows = sparse.random_array((3000, 700), density=0.02, rng=rng, format="csr", dtype=np.float32)
    labels, which = rng.integers(0, k, 3000).astype(np.int32), np.arange(0, 3000, 7)
    target = rng.integers(0, k, len(which)).astype(np.int32)
    moved = labels.copy()
    moved[which] = target
    monkeypatch.setattr(csr, "FEW_SUMS", 0)
    found = []
    for few, count in ((10_000, 1), (1, 1), (1, 3)):
        monkeypatch.setattr(csr, "FEW_MOVES", few)
        monkeypatch.setattr(threads, "count", lambda count=count: count)
        matrix = backend.matrix(rows.copy())
        clusters = with_library("cluster_sums", matrix, labels, k, exact=True)
        with_library("move", clusters, matrix, which, labels[which], target)
        found.append(clusters)
    anew = with_library("cluster_sums", matrix, moved, k)
    for clusters in found:
        np.testing.assert_array_equal(backend.to_host(clusters.sums), backend.to_host(anew.sums))
        np.testing.assert_allclose(clusters.squared_norms, anew.squared_norms)
    assert (found[1].squared_norms == found[2].squared_norms).all()  # whatever the threads


def sums_and_nearest(rows: Any, labels: np.ndarray, k: int) -> tuple[Any, Any]:
    clusters = CpuBackend().cluster_sums(rows, labels, k)
    return clusters.sums.dense(), CpuBackend().assign(rows, clusters).cost


@needs_library
def test_the_crew_serves_one_caller_and_the_others_help_themselves(monkeypatch):
    """Several Python threads at once: who finds the crew at work does without."""
    # Once for all of them: each patching for itself would undo what another one counts on.
    monkeypatch.setattr(compiled, "can_take", lambda rows: True)
    monkeypatch.setattr(threads, "count", lambda: 4)
    monkeypatch.setattr(csr, "PRODUCTS_PER_TASK", 1000)
    monkeypatch.setattr(csr, "SUMS_PER_BAND", 1)
    rows = [CpuBackend().matrix(rows_of(2000, 40, seed, np.float32)) for seed in range(4)]
    labels = np.random.default_rng(0).integers(0, 70, 2000).astype(np.int32)
    expected = [sums_and_nearest(each, labels, 70) for each in rows]
    found: dict[int, list[Any]] = {i: [] for i in range(4)}

    def work(i: int) -> None:
        for _ in range(20):
            found[i].append(sums_and_nearest(rows[i], labels, 70))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    for i, (sums, cost) in enumerate(expected):
        assert len(found[i]) == 20
        assert all((one[0] == sums).all() and (one[1] == cost).all() for one in found[i])


@needs_library
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_hires_a_crew_of_its_own():
    """The parent's threads are not there: to wait for them would be to wait for ever."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKED],
        env=os.environ | {"OMP_NUM_THREADS": "3"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    parent, child = done.stdout.split()
    assert parent == child


FORKED = """
import os, sys
import numpy as np
from scipy import sparse
from gpu_kmeans import KMeans
rows = sparse.random_array((3000, 400), density=0.05, rng=0, format="csr", dtype=np.float32)
def fit():
    kmeans = KMeans(70, init="random", n_init=1, random_state=0, backend="cpu", max_iter=5)
    print(kmeans.fit(rows).inertia_, flush=True)
fit()
child = os.fork()
if child == 0:
    fit()
    os._exit(0)
sys.exit(os.waitpid(child, 0)[1])
"""


@needs_library
def test_new_sums_may_be_written_over_old_ones():
    rows = CpuBackend().matrix(rows_of(30, 8, 2, np.float64))
    labels = (np.arange(30) % 3).astype(np.int32)
    old = with_library("cluster_sums", rows, labels, 3)
    new = with_library("cluster_sums", rows, labels[::-1], 3, None, into=old)
    assert new.sums is old.sums
    expected = with_library("cluster_sums", rows, labels[::-1], 3).sums
    np.testing.assert_allclose(new.sums.dense(), expected.dense())


@needs_library
@settings(max_examples=40, deadline=None)
@given(
    k=st.sampled_from([1, 3, 17, 63, 64, 100]),
    seed=st.integers(0, 10_000),
    from_centroids=st.booleans(),
)
def test_the_shift_is_that_of_the_means_written_out(k, seed, from_centroids):
    rng = np.random.default_rng(seed)
    rows = CpuBackend().matrix(rows_of(90, 25, seed, np.float64))
    labels = [rng.integers(0, k, 90).astype(np.int32) for _ in range(2)]
    one, two = (with_library("cluster_sums", rows, each, k) for each in labels)
    if from_centroids:
        one = CpuBackend().clusters_from(rng.normal(size=(k, 25)), np.float64)
        one.sums = Sums.from_centroids(CpuBackend().to_host(one.sums).T, np.float64)
    means = [c.sums.dense() * c.inverse_weight() for c in (one, two)]
    found = CpuBackend().centroid_shift(one, two)
    np.testing.assert_allclose(found, np.square(means[0] - means[1]).sum(), 1e-9, 1e-20)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_work_is_done_once_each_and_its_error_stops_the_rest(monkeypatch, count):
    monkeypatch.setattr(threads, "count", lambda: count)
    done: list[int] = []
    threads.parallel_for(done.append, range(100))
    assert sorted(done) == list(range(100))
    done.clear()

    def fail_at_three(start: int) -> None:
        if start == 3:
            raise MemoryError("no more")
        done.append(start)

    with pytest.raises(MemoryError, match="no more"):
        threads.parallel_for(fail_at_three, range(100_000))
    assert len(done) < 100_000 - 1
    threads.parallel_for(done.append, [])


@needs_library
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("k", [1, 3, 4, 8, 9, 16, 17, 33, 64, 65, 130])
def test_products_with_sparse_rows_are_scipys_to_the_last_bit(k: int, dtype: Any) -> None:
    rng = np.random.default_rng(k)
    rows = sparse.random_array((2500, 300), density=0.05, rng=rng).tocsr().astype(dtype)
    directions = rng.standard_normal((300, k)).astype(dtype)
    for start in (0, 1):  # where vectors may begin, or not
        room = library.aligned(np.zeros, (300 * k + 1,), dtype)
        placed = room[start : start + 300 * k].reshape(300, k)
        placed[:] = directions
        products = with_library("project", CpuBackend().matrix(rows), placed)
        np.testing.assert_array_equal(products, rows @ directions)


@needs_library
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 5, 513, 20_001])
@pytest.mark.parametrize("widths", [(13, 13), (1, 64), (64, 65), (130, 7)])
def test_inner_products_are_those_of_float64(n: int, widths: tuple[int, int], dtype: Any) -> None:
    left, right = (values(n, width, width, dtype=dtype) for width in widths)
    for one, other in ((left, left), (left, right), (right, right)):
        exact = one.T.astype(np.float64) @ other.astype(np.float64)
        products = with_library("inner_products", one, other)
        np.testing.assert_allclose(products, exact, rtol=1e-12, atol=1e-12)
