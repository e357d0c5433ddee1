"""Rows of any range that float32 holds are clustered as in float64, by brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapes import KINDS, as_kind

from gpu_kmeans import KMeans
from gpu_kmeans.clustering.init import chosen
from gpu_kmeans.clustering.kmeans import FewerClustersWarning
from gpu_kmeans.clustering.scaling import scale_rows

sklearn_cluster = pytest.importorskip("sklearn.cluster")

pytestmark = pytest.mark.filterwarnings(
    f"ignore::{FewerClustersWarning.__module__}.{FewerClustersWarning.__name__}",
    "ignore::sklearn.exceptions.ConvergenceWarning",
)

ALGORITHMS = ("hartigan", "lloyd")


def squared_distances(rows, centers):
    """Squared distance of every row to every center, from the differences, in float64."""
    rows, centers = rows.astype(np.float64), centers.astype(np.float64)
    return np.stack([np.square(rows - center).sum(axis=1) for center in centers], axis=1)


def assert_nearest(model, rows, labels, relative=1e-6):
    """Every row is with the nearest of the model's own centers, but for near-ties."""
    squared = squared_distances(rows, model.cluster_centers_)
    own = squared[np.arange(len(rows)), labels]
    assert (own <= squared.min(axis=1) * (1 + relative)).all()
    return squared.min(axis=1).sum()


def blobs(seed, n=900, n_features=4):
    draw = np.random.default_rng(seed)
    return draw.normal(size=(n, n_features)) + 8 * draw.integers(0, 3, n)[:, None]


def lognormal(seed, sigma, n, n_features):
    return np.random.default_rng(seed).lognormal(0, sigma, (n, n_features))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("seed", range(3))
def test_one_far_value_does_not_drown_the_others(backend, kind, algorithm, seed):
    rows = np.float32([[0], [1], [10], [11], [1e5]])
    model = KMeans(3, random_state=seed, algorithm=algorithm, backend=backend)
    labels = model.fit(as_kind(rows, kind)).labels_
    assert model.inertia_ == pytest.approx(1)
    assert labels[0] == labels[1] != labels[2] == labels[3] != labels[4] != labels[0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("far", [1e3, 1e6, 1e10, 1e15])
def test_blobs_with_an_outlier_are_found_as_without_it(backend, kind, algorithm, far):
    rows = blobs(0).astype(np.float32)
    without = KMeans(3, random_state=0, backend=backend).fit(np.delete(rows, 5, axis=0))
    rows[5, 1] = far
    model = KMeans(4, random_state=0, algorithm=algorithm, backend=backend)
    labels = model.fit(as_kind(rows, kind)).labels_
    assert np.count_nonzero(labels == labels[5]) == 1
    assert assert_nearest(model, rows, labels) == pytest.approx(without.inertia_, rel=1e-3)
    assert model.inertia_ == pytest.approx(without.inertia_, rel=1e-3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_heavy_tails_in_many_clusters(backend, kind, algorithm):
    rows = lognormal(0, 4, 3000, 1).astype(np.float32)
    model = KMeans(60, random_state=0, algorithm=algorithm, backend=backend)
    labels = model.fit(as_kind(rows, kind)).labels_
    inertia = assert_nearest(model, rows, labels)
    assert model.inertia_ == pytest.approx(inertia, rel=1e-6)
    peers = [
        sklearn_cluster.KMeans(60, n_init=1, random_state=seed).fit(rows.astype(float)).inertia_
        for seed in range(3)
    ]
    assert inertia <= max(peers) * (1 + 1e-3)


@st.composite
def any_range(draw):
    """Rows of float32 whose values differ in size: tails, outliers, offsets and scales."""
    seed = draw(st.integers(0, 2**16))
    n, n_features = draw(st.integers(30, 300)), draw(st.integers(1, 5))
    rows = draw(
        st.sampled_from(
            [
                blobs(seed, n, n_features),
                lognormal(seed, draw(st.sampled_from([1, 2, 3, 4])), n, n_features),
            ]
        )
    )
    if draw(st.booleans()):
        rows = rows * 10.0 ** np.array(
            draw(st.lists(st.integers(-4, 7), min_size=n_features, max_size=n_features))
        )
    if draw(st.booleans()):
        rows = rows + 10.0 ** draw(st.integers(0, 6))
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, n - 1)), draw(st.integers(0, n_features - 1))
        rows[at] = 10.0 ** draw(st.integers(3, 15))
    return rows.astype(np.float32), draw(st.integers(1, 12)), seed


@settings(max_examples=60)
@given(any_range(), st.sampled_from(KINDS), st.sampled_from(ALGORITHMS))
def test_labels_are_those_of_brute_force_over_any_range(backend, drawn, kind, algorithm):
    rows, k, seed = drawn
    model = KMeans(k, random_state=seed, algorithm=algorithm, backend=backend)
    labels = model.fit(as_kind(rows, kind)).labels_
    inertia = assert_nearest(model, rows, labels, relative=1e-5)
    assert model.inertia_ == pytest.approx(inertia, rel=1e-4)
    assert (model.predict(as_kind(rows, kind)) == labels).all()


@settings(max_examples=40)
@given(any_range(), st.sampled_from(KINDS))
def test_no_move_is_left_that_lowers_the_inertia_over_any_range(backend, drawn, kind):
    rows, k, seed = drawn
    model = KMeans(k, random_state=seed, backend=backend).fit(as_kind(rows, kind))
    exact = rows.astype(np.float64)
    labels = model.labels_
    sizes = np.bincount(labels, minlength=k)
    means = np.stack([exact[labels == c].mean(axis=0) if sizes[c] else exact[0] for c in range(k)])
    squared = squared_distances(exact, means)
    each = np.arange(len(rows))
    leaving = np.where(sizes > 1, sizes / np.maximum(sizes - 1, 1), 0)[labels]
    leaving = leaving * squared[each, labels]
    entering = squared * (sizes / (sizes + 1))
    entering[each, labels] = np.inf
    gains = leaving - entering.min(axis=1)
    assert gains.max() <= 1e-3 * squared[each, labels].sum()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("k", [5, 60])
@pytest.mark.parametrize("sigma", [1, 2, 4])
def test_lloyd_on_skewed_rows_ends_where_scikit_learn_does(backend, kind, k, sigma):
    rows = lognormal(1, sigma, 1500, 2).astype(np.float32)
    ours = [
        KMeans(k, algorithm="lloyd", random_state=seed, backend=backend).fit(as_kind(rows, kind))
        for seed in range(3)
    ]
    peers = [
        sklearn_cluster.KMeans(k, n_init=1, random_state=seed).fit(rows.astype(np.float64))
        for seed in range(3)
    ]
    assert np.median([m.inertia_ for m in ours]) <= 1.5 * np.median([p.inertia_ for p in peers])


@pytest.mark.parametrize("kind", KINDS)
def test_distances_keep_their_digits_beside_a_far_centroid(backend, kind):
    rows = np.float32([[0, 1], [0.5, 1], [10, 2], [11, 2], [1e5, 1]])
    model = KMeans(3, random_state=0, backend=backend).fit(as_kind(rows, kind))
    exact = np.sqrt(squared_distances(rows, model.cluster_centers_))
    assert model.transform(as_kind(rows, kind)) == pytest.approx(exact, rel=1e-5)


def test_centers_are_float64_where_float32_would_raise_the_inertia(backend):
    rows = (blobs(1) * 0.05 + 1e6).astype(np.float32)
    model = KMeans(12, random_state=0, backend=backend).fit(rows)
    assert model.cluster_centers_.dtype == np.float64
    means = np.stack([rows[model.labels_ == k].mean(axis=0, dtype=float) for k in range(12)])
    assert model.cluster_centers_ == pytest.approx(means, abs=1e-9 * 1e6)
    plain = KMeans(12, random_state=0, backend=backend).fit(blobs(1).astype(np.float32))
    assert plain.cluster_centers_.dtype == np.float32


@pytest.mark.parametrize("kind", KINDS)
def test_well_scaled_rows_are_fitted_once_and_in_their_own_precision(backend, kind, monkeypatch):
    asked = []

    class Watched(type(backend)):
        def assign(self, rows, *args, **kwargs):
            asked.append((rows.dtype, rows.shape[0]))
            return super().assign(rows, *args, **kwargs)

    rows = blobs(2).astype(np.float32)
    KMeans(5, random_state=0, backend=Watched()).fit(as_kind(rows, kind))
    assert asked
    assert all(dtype == np.float32 for dtype, n in asked if n > 100)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize(("dtype", "size"), [("f4", 1e-41), ("f8", 1e-200), ("f8", 1e-318)])
def test_the_smallest_numbers_are_clustered_as_large_ones(backend, kind, algorithm, dtype, size):
    rows = np.rint(blobs(0) * 100)
    model = KMeans(3, random_state=0, algorithm=algorithm, backend=backend)
    expected = model.fit(as_kind(rows, kind)).labels_
    small = as_kind((rows * size).astype(dtype), kind)
    assert (model.fit(small).labels_ == expected).all()
    assert (model.predict(small) == expected).all()


def test_weights_of_any_size_mean_the_same(backend):
    rows, weight = blobs(0), np.random.default_rng(0).random(900)
    model = KMeans(3, random_state=0, backend=backend)
    expected = model.fit(rows, sample_weight=weight).labels_
    for size in (1e-310, 1e300):
        labels = model.fit(rows, sample_weight=weight * size).labels_
        assert len(set(zip(labels, expected, strict=True))) == 3  # whatever they are called


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_new_rows_may_be_far_larger_than_those_of_the_fit(backend, kind, dtype):
    model = KMeans(3, random_state=0, backend=backend)
    model.fit(as_kind((blobs(0) * 1e-30).astype(dtype), kind))
    new = (blobs(1) * 1e10).astype(dtype)
    assert_nearest(model, new, model.predict(as_kind(new, kind)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_largest_numbers_are_clustered_as_small_ones(backend, kind, algorithm):
    small = blobs(3).astype(np.float32)
    large = small * np.float32(2.0**120)
    by_size = [
        KMeans(3, random_state=0, algorithm=algorithm, backend=backend).fit(as_kind(rows, kind))
        for rows in (small, large)
    ]
    pairs = set(zip(by_size[0].labels_, by_size[1].labels_, strict=True))
    assert len(pairs) == 3  # the same groups, perhaps by other numbers
    assert by_size[1].inertia_ == pytest.approx(by_size[0].inertia_ * 2.0**240, rel=1e-5)
    assert (by_size[1].predict(as_kind(large, kind)) == by_size[1].labels_).all()


@pytest.mark.parametrize(
    ("rows", "kind", "moves", "start"),
    [
        (blobs(4), "dense", True, "sketch"),
        (blobs(4), "dense", False, "k-means++"),
        (lognormal(4, 2, 3000, 1), "dense", True, "k-means++"),
        (lognormal(4, 2, 3000, 1), "sparse", True, "sketch"),
    ],
)
def test_the_start_is_chosen_by_the_rows_and_by_what_follows(backend, rows, kind, moves, start):
    scaled = scale_rows(backend, backend.matrix(as_kind(rows, kind)), None)
    assert chosen("auto", scaled.rows, moves) == start
    assert chosen("random", scaled.rows, moves) == "random"
