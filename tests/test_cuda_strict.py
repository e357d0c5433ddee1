"""The GPU's verbs on rows, with a stand-in that refuses what CuPy refuses, and what they cost.

The contract is that of :mod:`test_verbs`, and of :mod:`test_kmeans` what small rows show. Counts
are of launches, waits and uploads, see :mod:`strict_cupy`: the work is a device's to measure.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import strict_cupy
import test_verbs
from cuda_on_cpu import cupy_on_numpy
from scipy import sparse
from strict_cupy import counting
from test_kmeans import (  # noqa: F401 - collected here, on the backend of this module
    test_empty_clusters_are_relocated_as_in_scikit_learn,
    test_four_points_by_hand,
    test_lloyd_equals_scikit_learn_from_the_same_start,
    test_transform_and_score,
    test_weights_equal_repeats,
    test_weights_of_very_different_size_and_zero,
)

from bench.measure import judge
from cpu_fallback import CpuBackend
from gpu_kmeans.backends.protocol import Backend
from gpu_kmeans.clustering import breathing
from gpu_kmeans.clustering.hartigan import hartigan
from gpu_kmeans.clustering.lloyd import Rows, StageResult, lloyd

OF_CUML = "test_dense_kmeans_uses_all_rows_and_the_given_start"
globals().update(
    {
        name: test
        for name, test in vars(test_verbs).items()
        if name.startswith("test_") and name != OF_CUML
    }
)


@pytest.fixture(scope="module")
def backend() -> Iterator[Backend]:
    with cupy_on_numpy(strict_cupy.stand_ins(), strict_cupy.load):
        package = importlib.import_module("gpu_kmeans.cuda")

        class Strict(package.GpuBackend):
            def dense_kmeans(self, rows: Any, *arguments: Any) -> Any:
                assert isinstance(rows, strict_cupy.DeviceArray)
                return CpuBackend().dense_kmeans(strict_cupy.on_host(rows), *arguments)

        yield Strict()


# -- iterations that stay on the device -------------------------------------------------


def texts(n: int, n_features: int, seed: int, per_row: int = 8) -> sparse.csr_array:
    rng = np.random.default_rng(seed)
    rows = sparse.random_array(
        (n, n_features), density=per_row / n_features, rng=rng, dtype=np.float32
    )
    return sparse.csr_array(rows)


def stages(backend: Backend, host: Any, k: int) -> tuple[Rows, np.ndarray, np.ndarray]:
    """The rows as a fit has them, drawn centroids, and drawn labels of all clusters."""
    matrix = backend.matrix(host)
    rng = np.random.default_rng(k)
    start = host[rng.choice(host.shape[0], k, replace=False)].toarray()
    labels = np.concatenate((np.arange(k), rng.integers(0, k, host.shape[0] - k)))
    return Rows(matrix, backend.squared_norms(matrix), None), start, labels.astype(np.int32)


def quiet(*state: Any) -> bool:
    return False


def settled(backend: Backend, stage: str, host: Any, k: int, max_iter: int) -> StageResult:
    rows, start, labels = stages(backend, host, k)
    if stage == "hartigan":
        return hartigan(backend, rows, labels, k, max_iter=max_iter, report=quiet)
    clusters, tol = backend.clusters_from(start, np.float32), 1e-9 if stage == "shifted" else 0
    return lloyd(backend, rows, clusters, max_iter=max_iter, tol=tol, report=quiet)


@pytest.mark.parametrize("stage", ["lloyd", "shifted", "hartigan"])
@pytest.mark.parametrize("k", [2, 33, 300])
def test_steps_on_the_device_end_where_the_verbs_end(backend, stage, k):
    host = texts(1500, 60, k)
    mine = settled(backend, stage, host, k, 4)
    theirs = settled(CpuBackend(), stage, host, k, 4)
    inertia = [judge(host, done.labels, k) for done in (mine, theirs)]
    assert inertia[0] == pytest.approx(inertia[1], rel=1e-6 if stage != "hartigan" else 0.02)
    np.testing.assert_array_equal(mine.clusters.weight, np.bincount(mine.labels, minlength=k))
    sums = CpuBackend().cluster_sums(CpuBackend().matrix(host), mine.labels, k)
    np.testing.assert_allclose(
        strict_cupy.on_host(mine.clusters.sums), CpuBackend().to_host(sums.sums), atol=1e-5
    )
    np.testing.assert_allclose(mine.clusters.squared_norms, sums.squared_norms, rtol=1e-6)


@pytest.mark.parametrize("stage", ["lloyd", "hartigan"])
def test_what_is_reported_is_the_inertia_of_the_labels(backend, stage):
    host, k = texts(1300, 50, 4), 20
    rows, start, labels = stages(backend, host, k)
    reported: list[float] = []

    def report(name: str, inertia: float, moved: int) -> bool:
        reported.append(inertia)
        return False

    if stage == "lloyd":
        clusters = backend.clusters_from(start, np.float32)
        done = lloyd(backend, rows, clusters, max_iter=3, tol=0, report=report)
    else:
        done = hartigan(backend, rows, labels, k, max_iter=3, report=report)
    assert reported[-1] == pytest.approx(judge(host, done.labels, k), rel=1e-6)
    assert sorted(reported, reverse=True) == reported


def test_moves_end_at_a_fixed_point_of_single_rows(backend):
    host, k = texts(400, 30, 5), 6
    done = settled(backend, "hartigan", host, k, 100)
    exact = CpuBackend().matrix(sparse.csr_array(host, dtype=np.float64))
    again = Rows(exact, CpuBackend().squared_norms(exact), None)
    on = hartigan(CpuBackend(), again, done.labels, k, max_iter=1, report=quiet)
    assert np.count_nonzero(on.labels != done.labels) <= 1  # what is noise in single precision


def test_moves_that_are_taken_back_leave_no_trace(backend):
    host, k = texts(1200, 40, 6), 12
    rows, _, labels = stages(backend, host, k)
    steps = rows.iterations(backend, k)
    steps.place(labels, 1e-6)
    block = steps.block(slice(0, 1200))
    before = strict_cupy.on_host(steps._exact).copy(), strict_cupy.on_host(steps._state).copy()
    done = steps.improve(block)
    assert done.moving
    everyone = np.zeros(1200, bool)
    everyone[labels == 3] = True  # a cluster would lose all its rows
    steps.place(labels, 1e-6)
    steps._target.behind[:1200] = (labels + 1) % k
    refused = steps.move(block, everyone)
    assert not refused.taken
    np.testing.assert_array_equal(strict_cupy.on_host(steps._exact), before[0])
    np.testing.assert_array_equal(strict_cupy.on_host(steps._state), before[1])
    np.testing.assert_array_equal(steps.labels(), labels)
    assert refused.explained == pytest.approx(before[1][2].sum())


def test_blocks_whose_moves_do_not_pay_together_are_halved(backend, monkeypatch):
    """Rows of two equal halves that would swap places: only some of them may."""
    host = sparse.csr_array(np.repeat(np.eye(2, dtype=np.float32), 600, axis=0))
    labels = (np.arange(1200) % 2).astype(np.int32)
    matrix = backend.matrix(host)
    rows = Rows(matrix, backend.squared_norms(matrix), None)
    done = hartigan(backend, rows, labels, 2, max_iter=50, report=quiet)
    assert judge(host, done.labels, 2) == pytest.approx(0, abs=1e-6)


def test_an_empty_cluster_is_filled_before_rows_move(backend):
    host = texts(300, 30, 7)
    rows, _, labels = stages(backend, host, 5)
    labels[labels == 4] = 0
    done = hartigan(backend, rows, labels, 5, max_iter=3, report=quiet)
    assert np.bincount(done.labels, minlength=5).all()


def test_a_fit_without_room_for_fixed_point_goes_on_by_the_verbs(backend, monkeypatch):
    steps = importlib.import_module("gpu_kmeans.cuda.iterations")
    host, k = texts(300, 30, 8), 5
    expected = settled(backend, "lloyd", host, k, 4)
    monkeypatch.setattr(steps, "fits", lambda n_bytes: False)
    assert stages(backend, host, k)[0].iterations(backend, k) is None
    found = settled(backend, "lloyd", host, k, 4)
    np.testing.assert_array_equal(found.labels, expected.labels)


ITERATION, BLOCK = (8, 1, 0), (12, 1, 0)
"""The most launches, waits and uploads of an iteration, and of a block of moves."""


@pytest.mark.parametrize("stage", ["lloyd", "shifted"])
@pytest.mark.parametrize("k", [10, 300])
def test_an_iteration_asks_little_of_the_device(backend, stage, k):
    host, n_iter, seen = texts(1000, 200, k), [], []
    for max_iter in (2, 3):
        with counting() as counts:
            n_iter.append(settled(backend, stage, host, k, max_iter).n_iter)
        seen.append((counts.launches, counts.waits, counts.uploads))
    assert n_iter == [2, 3], "neither has settled"
    difference = np.subtract(seen[1], seen[0])
    assert (difference <= ITERATION).all(), difference


@pytest.mark.parametrize("k", [10, 300])
def test_a_block_of_moves_asks_little_of_the_device(backend, k):
    rows, _, labels = stages(backend, texts(1000, 200, k), k)
    steps = rows.iterations(backend, k)
    steps.place(labels, 1e-6)
    block = steps.block(slice(0, 1000))
    with counting() as counts:
        assert steps.improve(block).moving
    assert (counts.launches, counts.waits, counts.uploads) <= BLOCK
    assert counts.waits <= 1
    assert counts.uploads == 0


# -- clusters split in two, as one problem ----------------------------------------------


def split_all(backend: Backend, host: Any, labels: np.ndarray, blocks: int = 1) -> Any:
    """Split all clusters in two; their rows, the halves, and what these explain."""
    matrix = backend.matrix(host)
    rng = np.random.default_rng(0)
    clusters = [np.flatnonzero(labels == c) for c in range(labels.max() + 1)]
    pairs = np.array([rng.choice(rows, 2, replace=False) for rows in clusters])
    coins = [rng.random(len(rows)) < 0.5 for rows in clusters]
    norms = backend.squared_norms(matrix)
    return clusters, *backend.halve(matrix, norms, clusters, pairs, coins, blocks, 2, 1e-6)


@pytest.mark.parametrize("blocks", [1, 3])
def test_halves_explain_what_they_are_said_to(backend, blocks):
    host = texts(900, 50, 9)
    labels = np.random.default_rng(9).integers(0, 12, 900)
    for rows, sides, explained in zip(*split_all(backend, host, labels, blocks), strict=True):
        its_rows = host[rows].toarray().astype(np.float64)
        assert set(sides.tolist()) == {0, 1}
        sums = [its_rows[sides == side].sum(axis=0) for side in (0, 1)]
        sizes = np.bincount(sides)
        expected = sum(np.square(s).sum() / n for s, n in zip(sums, sizes, strict=True))
        assert explained == pytest.approx(expected, rel=1e-6)


def test_splits_at_once_gain_what_splits_one_by_one_gain(backend):
    """From the same draws; each ends in a basin of its own, so that their sum is compared."""

    class OneByOne(CpuBackend):
        def halve(self, *arguments: Any) -> None:
            return None

    host, k = texts(1200, 50, 10), 10
    labels = np.random.default_rng(10).integers(0, k, 1200).astype(np.int32)
    gains = []
    for one in (backend, OneByOne()):
        matrix = one.matrix(host)
        rows = Rows(matrix, one.squared_norms(matrix), None)
        settled = StageResult(labels, one.cluster_sums(matrix, labels, k), 1, False)
        splits = breathing._Splits(one, rows, k, np.random.default_rng(3))
        gains.append(splits.gains(settled, np.arange(k)))
        assert (splits.side >= 0).all()
    assert (gains[0] > 0).all()
    assert gains[0].sum() >= 0.97 * gains[1].sum()


def test_rows_that_are_alike_are_halved_by_coin(backend):
    host = sparse.csr_array(np.repeat(np.eye(3, dtype=np.float32), 20, axis=0))
    _, sides, explained = split_all(backend, host, np.repeat(np.arange(3), 20))
    assert all(0 < side.sum() < 20 for side in sides)
    np.testing.assert_allclose(explained, 20, rtol=1e-6)


def test_clusters_of_two_rows_are_split(backend):
    host = texts(20, 30, 11)
    _, sides, _ = split_all(backend, host, np.repeat(np.arange(10), 2))
    assert [sorted(side.tolist()) for side in sides] == [[0, 1]] * 10


def test_more_splits_ask_no_more_of_the_device(backend):
    host, seen = texts(800, 50, 12), []
    for k in (2, 40):
        labels = np.arange(800) % k
        with counting() as counts:
            split_all(backend, host, labels)
        seen.append(counts)
    for counts in seen:  # of two passes, with as many tries as there may be
        assert counts.launches <= 120
        assert counts.waits <= 20
        assert counts.uploads <= 15


def test_splits_without_room_are_made_one_by_one(backend, monkeypatch):
    halves = importlib.import_module("gpu_kmeans.cuda.halves")
    monkeypatch.setattr(halves, "fits", lambda n_bytes: False)
    host, labels = texts(60, 30, 13), np.repeat(np.arange(3), 20).astype(np.int32)
    matrix = backend.matrix(host)
    rows = Rows(matrix, backend.squared_norms(matrix), None)
    settled = StageResult(labels, backend.cluster_sums(matrix, labels, 3), 1, False)
    splits = breathing._Splits(backend, rows, 3, np.random.default_rng(3))
    assert (splits.gains(settled, np.arange(3)) > 0).all()
