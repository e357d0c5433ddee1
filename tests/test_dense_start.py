"""Fits of dense rows from a drawn start, and the iterations that they are made of."""

from __future__ import annotations

import os

import numpy as np
import pytest
from sklearn.cluster import KMeans as Reference

from cpu_fallback import compiled
from gpu_kmeans import KMeans
from gpu_kmeans.backends.select import resolve
from gpu_kmeans.clustering import dense_start
from gpu_kmeans.clustering.lloyd import Rows

needs_kernels = pytest.mark.skipif(not compiled.is_there(), reason="no compiled kernels")


def groups(n: int, d: int, k: int, seed: int, spread: float = 3.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(k, d)) * spread
    rows = centers[rng.integers(k, size=n)] + rng.normal(size=(n, d))
    return (rows - rows.mean(axis=0)).astype(np.float32)


@needs_kernels
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("n", "d", "k"), [(500, 1, 2), (3000, 3, 16), (2500, 17, 33), (1100, 70, 5), (300, 5, 1)]
)
def test_bounded_iterations_end_where_full_ones_do(n, d, k, weighted):
    rows = groups(n, d, k + 2, n)
    weight = np.random.default_rng(1).uniform(0.5, 2, n) if weighted else None
    start = rows[np.random.default_rng(2).choice(n, k, replace=False)]
    norms = np.square(rows.astype(np.float64)).sum(axis=1)
    labels, n_iter = compiled.iterate_dense(rows, norms, start, 500, 0.0, weight)
    reference = Reference(k, init=start.astype(np.float64), n_init=1, tol=0, max_iter=500)
    reference.fit(rows.astype(np.float64), sample_weight=weight)
    assert np.mean(labels == reference.labels_) > 0.998  # but for near-ties
    assert 1 <= n_iter <= 500


@needs_kernels
def test_an_empty_cluster_is_given_the_farthest_row():
    rows = np.concatenate([groups(400, 4, 2, 3), np.full((1, 4), 50, np.float32)])
    start = np.concatenate([rows[:2], np.full((1, 4), 1e3, np.float32)])
    norms = np.square(rows.astype(np.float64)).sum(axis=1)
    labels, _ = compiled.iterate_dense(rows, norms, start, 50, 0.0, None)
    assert (labels == 2).sum() == 1
    assert labels[-1] == 2


@needs_kernels
def test_rows_of_fewer_points_than_clusters_come_to_an_end():
    rows = np.repeat(np.eye(3, dtype=np.float32), 40, axis=0)
    norms = np.ones(120)
    labels, _ = compiled.iterate_dense(rows, norms, rows[:5], 20, 0.0, None)
    assert len(np.unique(labels)) == 3


def test_iterations_end_once_the_centroids_rest(backend):
    rows = groups(4000, 2, 9, 4)
    matrix = backend.matrix(rows)
    start = rows[:9]
    loose = backend.dense_kmeans(matrix, start, 300, tol=1.0)
    strict = backend.dense_kmeans(matrix, start, 300)
    assert loose.n_iter < strict.n_iter < 300


@needs_kernels
def test_labels_do_not_depend_on_the_number_of_threads(monkeypatch):
    rows = groups(30_000, 5, 40, 5, spread=1.0)
    labels = []
    for threads in ("1", "2", "5"):
        monkeypatch.setitem(os.environ, "OMP_NUM_THREADS", threads)
        labels.append(KMeans(40, random_state=3, backend="cpu").fit(rows).labels_)
    assert (labels[0] == labels[1]).all()
    assert (labels[0] == labels[2]).all()


@pytest.mark.parametrize(("n", "d", "k"), [(30_000, 3, 24), (3000, 8, 60), (600, 20, 80)])
def test_a_fit_is_no_worse_than_the_median_start_of_scikit_learn(backend, n, d, k):
    rows = groups(n, d, k, 6)
    theirs = [Reference(k, n_init=1, random_state=s).fit(rows).inertia_ for s in range(5)]
    for seed in range(3):
        ours = KMeans(k, random_state=seed, backend=backend).fit(rows)
        assert ours.inertia_ <= np.median(theirs)
        assert (ours.predict(rows) == ours.labels_).all()


def test_draws_are_spread_over_far_groups(backend):
    rows = groups(2000, 3, 4, 7, spread=1e3)
    matrix = backend.matrix(rows)
    some = Rows(matrix, backend.squared_norms(matrix), None)
    drawn = dense_start.draw_by_distance(backend, some, 30, np.random.default_rng(0))
    assert drawn.shape == (30, 3)
    distance = np.linalg.norm(drawn[:, None] - drawn, axis=2)
    assert (distance > 100).any(axis=1).all(), "no group has all of them"


@needs_kernels
@pytest.mark.parametrize("kind", ["sparse", "dense"])
def test_halves_explain_what_their_rows_do(kind):
    from scipy import sparse

    backend, rng = resolve("cpu"), np.random.default_rng(8)
    host = rng.random((600, 30)).astype(np.float32) * (rng.random((600, 30)) < 0.3)
    matrix = backend.matrix(sparse.csr_array(host) if kind == "sparse" else host)
    norms = backend.squared_norms(matrix)
    clusters = np.array_split(rng.permutation(600), 7)
    pairs = np.array([rows[:2] for rows in clusters])
    coins = [rng.random(len(rows)) < 0.5 for rows in clusters]
    done = backend.halve(matrix, norms, clusters, pairs, coins, 1, 4, 1e-6)
    assert done is not None
    for rows, side, explained in zip(clusters, *done, strict=True):
        assert set(side.tolist()) == {0, 1}
        halves = [host[rows[side == s]].astype(np.float64) for s in (0, 1)]
        expected = sum(np.square(half.sum(axis=0)).sum() / len(half) for half in halves)
        assert explained == pytest.approx(expected, rel=1e-6)
        # No row gains by going over: exact of the last pass, and nearly so here.
        assert expected > np.square(host[rows].sum(axis=0, dtype=np.float64)).sum() / len(rows)
