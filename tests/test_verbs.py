"""The backend's verbs on rows against the definitions, written out in float64."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from shapes import KINDS, as_kind, values

from gpu_kmeans.backends.protocol import Assignment
from gpu_kmeans.clustering.bounds import drifted
from gpu_kmeans.errors import InvalidParam

CASES = st.tuples(st.integers(2, 40), st.integers(1, 12), st.integers(2, 6), st.integers(0, 10_000))


def labelled(n: int, k: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed + 1)
    return rng.integers(0, k, n).astype(np.int32)


def means(rows: np.ndarray, labels: np.ndarray, weight: np.ndarray, k: int) -> np.ndarray:
    out = np.zeros((k, rows.shape[1]))
    for c in range(k):
        w = weight[labels == c]
        if w.sum() > 0:
            out[c] = np.average(rows[labels == c], axis=0, weights=w)
    return out


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40, deadline=None)
@given(case=CASES, weighted=st.booleans())
def test_cluster_sums_are_the_weighted_sums_of_the_members(backend, kind, case, weighted):
    n, n_features, k, seed = case
    rows, labels = values(n, n_features, seed), labelled(n, k, seed)
    weight = np.random.default_rng(seed).random(n) if weighted else None
    found = backend.cluster_sums(backend.matrix(as_kind(rows, kind)), labels, k, weight)
    w = np.ones(n) if weight is None else weight
    expected = np.stack([(w[:, None] * rows)[labels == c].sum(axis=0) for c in range(k)])
    np.testing.assert_allclose(backend.to_host(found.sums), expected.T, atol=1e-12)
    np.testing.assert_allclose(found.squared_norms, (expected**2).sum(axis=1), atol=1e-12)
    np.testing.assert_allclose(found.weight, [w[labels == c].sum() for c in range(k)], atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40, deadline=None)
@given(case=CASES, weighted=st.booleans())
def test_sums_that_follow_moves_are_those_formed_anew(backend, kind, case, weighted):
    n, n_features, k, seed = case
    rng = np.random.default_rng(seed)
    rows = backend.matrix(as_kind(values(n, n_features, seed, dtype=np.float32), kind))
    weight = 0.5 + rng.random(n) if weighted else None
    before = labelled(n, k, seed)
    clusters = backend.cluster_sums(rows, before, k, weight, exact=True)
    for _ in range(5):
        labels = before.copy()
        labels[rng.choice(n, max(1, n // 10), replace=False)] = rng.integers(0, k)
        moved = np.flatnonzero(before != labels)
        backend.move(clusters, rows, moved, before[moved], labels[moved], weight)
        anew = backend.cluster_sums(rows, labels, k, weight)
        sums, expected = (backend.to_host(each.sums) for each in (clusters, anew))
        close = {"rtol": 2e-7, "atol": 1e-13} if clusters.exact else {"atol": 1e-5}
        np.testing.assert_allclose(sums, expected, **close)
        atol = 1e-11 if clusters.exact else 1e-3
        np.testing.assert_allclose(clusters.squared_norms, anew.squared_norms, atol=atol)
        np.testing.assert_allclose(clusters.weight, anew.weight, atol=1e-12)
        before = labels


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40, deadline=None)
@given(case=CASES)
def test_assign_without_labels_finds_the_nearest_centroid(backend, kind, case):
    n, n_features, k, seed = case
    rows, centroids = values(n, n_features, seed), values(k, n_features, seed + 7)
    matrix = backend.matrix(as_kind(rows, kind))
    found = backend.assign(matrix, backend.clusters_from(centroids, rows.dtype), second=True)
    squared = ((rows[:, None] - centroids[None]) ** 2).sum(axis=2)
    np.testing.assert_allclose(
        found.cost + backend.squared_norms(matrix), squared.min(axis=1), atol=1e-10
    )
    np.testing.assert_allclose(
        squared[np.arange(n), found.nearest], squared.min(axis=1), atol=1e-10
    )
    next_best = np.sort(squared, axis=1)[:, 1]
    np.testing.assert_allclose(found.second + backend.squared_norms(matrix), next_best, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40, deadline=None)
@given(case=CASES, weighted=st.booleans())
def test_assign_with_labels_finds_the_cheapest_other_cluster(backend, kind, case, weighted):
    n, n_features, k, seed = case
    rows, labels = values(n, n_features, seed), labelled(n, k, seed)
    weight = 0.5 + np.random.default_rng(seed).random(n) if weighted else None
    w = np.ones(n) if weight is None else weight
    matrix = backend.matrix(as_kind(rows, kind))
    norms = backend.squared_norms(matrix)
    clusters = backend.cluster_sums(matrix, labels, k, weight)
    found = backend.assign(matrix, clusters, labels, weight, norms)
    centroids = means(rows, labels, w, k)
    size = np.array([w[labels == c].sum() for c in range(k)])
    for i in range(n):
        others = [c for c in range(k) if c != labels[i] and size[c] > 0]
        if not others:
            assert found.cost[i] == np.inf
            continue
        rise = {
            c: w[i] * size[c] / (size[c] + w[i]) * ((rows[i] - centroids[c]) ** 2).sum()
            for c in others
        }
        assert w[i] * (found.cost[i] + norms[i]) == pytest.approx(min(rise.values()), abs=1e-9)
        assert rise[int(found.nearest[i])] == pytest.approx(min(rise.values()), abs=1e-9)
        own = rows[i] @ (w[:, None] * rows)[labels == labels[i]].sum(axis=0)
        assert found.own[i] == pytest.approx(own, abs=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40, deadline=None)
@given(case=CASES, weighted=st.booleans())
def test_moving_rows_equals_summing_anew(backend, kind, case, weighted):
    n, n_features, k, seed = case
    rows, labels = values(n, n_features, seed), labelled(n, k, seed)
    weight = 0.5 + np.random.default_rng(seed).random(n) if weighted else None
    matrix = backend.matrix(as_kind(rows, kind))
    clusters = backend.cluster_sums(matrix, labels, k, weight)
    which = np.flatnonzero(np.random.default_rng(seed).random(n) < 0.5)
    target = ((labels[which] + 1) % k).astype(np.int32)
    backend.move(clusters, matrix, which, labels[which], target, weight)
    changed = labels.copy()
    changed[which] = target
    anew = backend.cluster_sums(matrix, changed, k, weight)
    np.testing.assert_allclose(
        backend.to_host(clusters.sums), backend.to_host(anew.sums), atol=1e-10
    )
    np.testing.assert_allclose(clusters.squared_norms, anew.squared_norms, atol=1e-10)
    np.testing.assert_allclose(clusters.weight, anew.weight, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_ties_go_to_the_lowest_index(backend, kind):
    rows = np.array([[1.0, 0.0], [0.0, 1.0]])
    centroids = np.array([[1.0, 1.0], [0.0, 0.0], [1.0, 1.0], [0.0, 0.0]])
    found = backend.assign(
        backend.matrix(as_kind(rows, kind)), backend.clusters_from(centroids, np.float64)
    )
    assert found.nearest.tolist() == [0, 0]


@pytest.mark.parametrize("kind", KINDS)
def test_empty_clusters_are_never_assigned(backend, kind):
    rows = backend.matrix(as_kind(np.eye(3), kind))
    clusters = backend.cluster_sums(rows, np.array([1, 1, 3], dtype=np.int32), 4)
    assert set(backend.assign(rows, clusters).nearest) <= {1, 3}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_distances_are_computed_in_float64(backend, kind, dtype):
    rows, centroids = values(50, 7, 1, dtype=dtype), values(4, 7, 2, dtype=dtype)
    labels = labelled(50, 4, 3)
    found = backend.distances(backend.matrix(as_kind(rows, kind)), centroids, labels)
    wide = rows.astype(np.float64) - centroids.astype(np.float64)[labels]
    np.testing.assert_allclose(found, (wide**2).sum(axis=1), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("kind", KINDS)
def test_projection_and_norms(backend, kind):
    rows, directions = values(300, 9, 1), values(9, 5, 2)
    matrix = backend.matrix(as_kind(rows, kind))
    np.testing.assert_allclose(
        backend.to_host(backend.project(matrix, directions)), rows @ directions
    )
    np.testing.assert_allclose(backend.squared_norms(matrix), (rows**2).sum(axis=1))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@settings(max_examples=30, deadline=None)
@given(case=CASES)
def test_columns_as_rows_give_products_from_the_other_side(backend, kind, dtype, case):
    n, n_features, k, seed = case
    rows, others = values(n, n_features, seed, dtype=dtype), values(n, k, seed + 1, dtype=dtype)
    matrix = backend.matrix(as_kind(rows, kind))
    columns = backend.transpose(matrix)
    assert (columns.shape, columns.dtype) == ((n_features, n), dtype)
    host = backend.to_host(columns)
    assert hasattr(host, "indptr") == (kind == "sparse")
    np.testing.assert_array_equal(host.toarray() if kind == "sparse" else host, rows.T)
    found = backend.to_host(backend.project(columns, others))
    exact = rows.T.astype(np.float64) @ others.astype(np.float64)
    np.testing.assert_allclose(found, exact, atol=1e-4 if dtype == np.float32 else 1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 3, 700, 3001])
def test_inner_products_are_summed_in_float64(backend, dtype, n):
    left, right = values(n, 9, 1, dtype=dtype), values(n, 21, 2, dtype=dtype)
    found = backend.inner_products(left, backend.matrix(right))
    exact = left.T.astype(np.float64) @ right.astype(np.float64)
    np.testing.assert_allclose(found, exact, rtol=1e-12, atol=1e-12)


def test_sums_too_large_for_the_cache_are_the_same_sums(backend):
    rows = sparse.random_array((300, 90_000), density=1e-3, rng=np.random.default_rng(0)).tocsr()
    labels = labelled(300, 7, 0)
    weight = np.random.default_rng(1).random(300)
    found = backend.cluster_sums(backend.matrix(rows), labels, 7, weight)
    one_by_one = np.zeros((90_000, 7))
    for row in range(300):
        one_by_one[:, labels[row]] += weight[row] * rows[[row]].toarray()[0]
    np.testing.assert_allclose(backend.to_host(found.sums), one_by_one, atol=1e-12)
    np.testing.assert_allclose(found.squared_norms, (one_by_one**2).sum(axis=0))


def test_norms_of_rows_without_any_non_zero(backend):
    rows = np.zeros((5, 3))
    rows[1, 2] = 2.0
    matrix = backend.matrix(sparse.csr_array(rows))
    assert backend.squared_norms(matrix).tolist() == [0, 4, 0, 0, 0]


def test_centroid_shift_is_the_sum_of_squared_shifts(backend):
    rows = backend.matrix(values(60, 8, 5))
    old = backend.cluster_sums(rows, labelled(60, 4, 5), 4)
    new = backend.cluster_sums(rows, labelled(60, 4, 6), 4)
    shift = backend.centroids(old) - backend.centroids(new)
    assert backend.centroid_shift(old, new) == pytest.approx((shift**2).sum())


def test_unsorted_and_repeated_column_indices_are_put_in_order(backend):
    messy = sparse.csr_array(
        (np.array([1.0, 2.0, 3.0]), np.array([2, 0, 2]), np.array([0, 3])), shape=(1, 4)
    )
    tidy = backend.to_host(backend.matrix(messy))
    assert tidy.indices.tolist() == [0, 2]
    assert tidy.data.tolist() == [2, 4]
    assert messy.indices.tolist() == [2, 0, 2], "the caller's matrix is left alone"


def test_dense_kmeans_uses_all_rows_and_the_given_start(backend):
    # 3,000 rows for 2 clusters is far beyond the library's default sample of 256 a cluster.
    rows = np.repeat(np.array([[0.0, 0.0], [10.0, 10.0]], dtype=np.float32), [2999, 1], axis=0)
    labels, n_iter = backend.dense_kmeans(
        backend.matrix(rows), np.array([[0.0, 1.0], [9.0, 9.0]], dtype=np.float32), 5
    )
    assert labels[-1] == 1
    assert (labels[:-1] == 0).all()
    assert 1 <= n_iter <= 5


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40, deadline=None)
@given(case=CASES, share=st.floats(0, 1))
def test_some_rows_are_assigned_as_among_all(backend, kind, case, share):
    n, n_features, k, seed = case
    matrix = backend.matrix(as_kind(values(n, n_features, seed, dtype=np.float32), kind))
    clusters = backend.cluster_sums(matrix, labelled(n, k, seed), k)
    which = np.flatnonzero(np.random.default_rng(seed).random(n) < share)
    which = which if len(which) else np.array([n - 1])
    some = backend.assign(matrix, clusters, second=True, which=which)
    every = backend.assign(matrix, clusters, second=True)
    if kind == "sparse":
        np.testing.assert_array_equal(some.nearest, every.nearest[which])
    atol = 0 if kind == "sparse" else 1e-5
    np.testing.assert_allclose(some.cost, every.cost[which], rtol=0, atol=atol)
    np.testing.assert_allclose(some.second, every.second[which], rtol=0, atol=atol)


def costs_by_force(rows: np.ndarray, labels: np.ndarray, weight: np.ndarray, k: int) -> np.ndarray:
    """``|mean|^2 - 2 x . mean`` of every row and cluster, infinite where that is empty."""
    centers = means(rows, labels, weight, k)
    costs = np.square(centers).sum(axis=1) - 2 * rows @ centers.T
    return np.where(np.bincount(labels, minlength=k) > 0, costs, np.inf)


@settings(max_examples=100, deadline=None)
@given(
    case=st.tuples(
        st.integers(2, 120), st.integers(1, 12), st.integers(2, 20), st.integers(0, 10_000)
    ),
    dtype=st.sampled_from([np.float32, np.float64]),
    weighted=st.booleans(),
    signed=st.booleans(),
    moving=st.integers(1, 100),
)
def test_bounds_of_costs_hold_after_moves(backend, case, dtype, weighted, signed, moving):
    """Bounds of a row's own cluster from above, of every other one from below."""
    n, n_features, k, seed = case
    rng, eps = np.random.default_rng(seed), float(np.finfo(dtype).eps)
    given_rows = values(n, n_features, seed, dtype=dtype)
    given_rows *= rng.choice([-1, 1], given_rows.shape).astype(dtype) if signed else dtype(1)
    rows = given_rows.astype(np.float64)
    weight = 0.5 + rng.random(n) if weighted else None
    w = np.ones(n) if weight is None else weight
    before = labelled(n, k, seed)
    labels = before.copy()
    labels[rng.choice(n, min(n, moving), replace=False)] = rng.integers(0, k)
    moved, each = np.flatnonzero(before != labels), np.arange(n)
    matrix = backend.matrix(as_kind(given_rows, "sparse"))
    old, new = (backend.cluster_sums(matrix, of, k, weight) for of in (before, labels))
    others = costs_by_force(rows, before, w, k)
    own = others[each, labels].copy()
    others[each, labels] = np.inf
    found = Assignment(labels, own, others.min(axis=1), None)
    if np.isinf(own).any() or np.isinf(found.second).any():
        return  # somebody came to a cluster that was empty
    drift = drifted(old, new, found, moved, before[moved], weight)
    if drift is None:
        assert (new.weight == 0).any()
        return
    rounding_error = np.full(n, 100 * eps)
    most, least, left = backend.update_bounds(matrix, found, drift, rounding_error)
    np.testing.assert_array_equal(left, np.flatnonzero(most + 2 * rounding_error >= least))
    others = costs_by_force(rows, labels, w, k)
    own = others[each, labels].copy()
    others[each, labels] = np.inf
    assert (most >= own - 1e-9).all()
    assert (least <= others.min(axis=1) + 1e-9).all()
    # What a row without anything of what moved costs is known, but for rounding.
    apart = (rows[:, (rows[moved] != 0).any(axis=0)] == 0).all(axis=1)
    np.testing.assert_allclose(most[apart], own[apart], atol=200 * eps)


# -- neighbours -------------------------------------------------------------------------------


def nearness(rows: np.ndarray, metric: str) -> np.ndarray:
    """Similarities, or minus distances, of all pairs, in float64 by the definition."""
    rows = rows.astype(np.float64)
    if metric == "euclidean":
        return -np.sqrt(np.square(rows[:, None] - rows[None]).sum(axis=2))
    largest = np.abs(rows).max(axis=1, keepdims=True)
    rows = rows / np.where(largest > 0, largest, 1)
    lengths = np.sqrt(np.square(rows).sum(axis=1, keepdims=True))
    rows = rows / np.where(lengths > 0, lengths, 1)
    return np.stack([(rows * row).sum(axis=1) for row in rows]).clip(-1, 1)


def assert_nearest(found, rows: np.ndarray, count: int, metric: str) -> None:
    """Hold numbers and values to brute force; equally near rows come in the order of numbers."""
    numbers, values = found
    assert numbers.shape == values.shape == (len(rows), count)
    assert (numbers.dtype, values.dtype) == (np.int32, np.float64)
    near = nearness(rows, metric)
    np.fill_diagonal(near, -np.inf)
    best = -np.sort(-near, axis=1)[:, :count]
    sign = 1 if metric == "cosine" else -1
    scale = max(1.0, float(np.abs(best).max()))
    np.testing.assert_allclose(sign * values, best, atol=1e-12 * scale)
    for row, (of_row, its_values) in enumerate(zip(numbers, values, strict=True)):
        assert len({row, *of_row.tolist()}) == count + 1
        np.testing.assert_allclose(near[row, of_row], best[row], atol=1e-12 * scale)
        if metric == "cosine":  # roots of different squares may be equal
            ties = its_values[1:] == its_values[:-1]
            assert (np.diff(of_row)[ties] > 0).all()


WAYS = [("sparse", "cosine"), ("dense", "cosine"), ("dense", "euclidean")]


@pytest.mark.parametrize(("kind", "metric"), WAYS)
@settings(max_examples=20, deadline=None)
@given(
    n=st.integers(2, 36),
    n_features=st.integers(1, 12),
    seed=st.integers(0, 10_000),
    density=st.sampled_from([0.1, 0.4, 1.0]),
    signed=st.booleans(),
    dtype=st.sampled_from([np.float32, np.float64]),
    data=st.data(),
)
def test_neighbors_are_those_of_brute_force(
    backend, kind, metric, n, n_features, seed, density, signed, dtype, data
):
    rows = values(n, n_features, seed, density, dtype)
    rng = np.random.default_rng(seed)
    if signed:
        rows *= rng.choice([-1, 1], rows.shape).astype(dtype)
    rows[rng.random(n) < 0.2] = 0
    copies = rng.random(n) < 0.3
    rows[copies] = rows[rng.integers(0, n, copies.sum())]
    count = data.draw(st.integers(1, n - 1))
    found = backend.neighbors(backend.matrix(as_kind(rows, kind)), count, metric)
    assert_nearest(found, rows, count, metric)


@pytest.mark.parametrize(("kind", "metric"), WAYS)
def test_identical_rows_are_neighbors_in_the_order_of_their_numbers(backend, kind, metric):
    rows = values(3, 9, 1, dtype=np.float32)[np.arange(21) * 8 % 21 // 7]
    groups = np.arange(21) * 8 % 21 // 7
    numbers, _ = backend.neighbors(backend.matrix(as_kind(rows, kind)), 6, metric)
    for row in range(21):
        same = np.flatnonzero(groups == groups[row])
        assert numbers[row].tolist() == [other for other in same if other != row]


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_of_zeros_is_equally_far_from_all(backend, kind):
    rows = np.array([[1.0, 0], [0, 0], [0, 2], [1, 1], [0, 0]])
    numbers, similarities = backend.neighbors(backend.matrix(as_kind(rows, kind)), 3)
    assert numbers[[1, 4]].tolist() == [[0, 2, 3], [0, 1, 2]]
    assert not similarities[[1, 4]].any()
    assert numbers[0].tolist() == [3, 1, 2]
    np.testing.assert_allclose(similarities[0], [0.5**0.5, 0, 0])


@pytest.mark.parametrize(("kind", "metric"), WAYS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", ["large", "small", "mixed"])
def test_neighbors_of_values_of_any_size(backend, kind, metric, dtype, scale):
    rows = values(40, 6, 3, dtype=dtype)
    large = float(np.finfo(dtype).max) ** 0.5 / 100
    factors = {"large": large, "small": 1 / large, "mixed": None}[scale]
    if factors is None:
        rows *= np.geomspace(1 / large, large, 40)[:, None].astype(dtype)
    else:
        rows *= dtype(factors)
    found = backend.neighbors(backend.matrix(as_kind(rows, kind)), 5, metric)
    if factors is not None and metric == "euclidean":
        found, rows = (found[0], found[1] / factors), rows / factors
    assert_nearest(found, rows, 5, metric)


def test_neighbors_of_far_rows_lose_no_digit_to_where_they_are(backend):
    """Products of rows near (1e6, ...) have no digit left of what tells them apart."""
    rows = (values(50, 4, 7, density=1.0) + 1e6).astype(np.float64)
    numbers, distances = backend.neighbors(backend.matrix(rows), 4, "euclidean")
    near = nearness(rows, "euclidean")
    np.fill_diagonal(near, -np.inf)
    np.testing.assert_array_equal(numbers, np.argsort(-near, axis=1, kind="stable")[:, :4])
    np.testing.assert_allclose(distances, -np.take_along_axis(near, numbers, axis=1), rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_more_neighbors_than_other_rows_are_refused(backend, kind):
    matrix = backend.matrix(as_kind(values(4, 3, 1), kind))
    with pytest.raises(InvalidParam, match=r"4 neighbours.*at least 5 rows.*there are 4"):
        backend.neighbors(matrix, 4)
    for count in (0, -1, 1.5, True):
        with pytest.raises(InvalidParam, match="integer >= 1"):
            backend.neighbors(matrix, count)
    with pytest.raises(InvalidParam, match="metric must be one of cosine, euclidean"):
        backend.neighbors(matrix, 2, "manhattan")
    if kind == "sparse":
        with pytest.raises(InvalidParam, match="metric='cosine' alone"):
            backend.neighbors(matrix, 2, "euclidean")
