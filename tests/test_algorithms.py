"""Every algorithm behind the same door: what it promises, held to independent answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import pdist, squareform
from sklearn.cluster import HDBSCAN, BisectingKMeans, MiniBatchKMeans
from sklearn.metrics import adjusted_rand_score

import gpu_kmeans
from gpu_kmeans.backends.select import resolve
from gpu_kmeans.clustering.base import ALGORITHMS, clusterer
from gpu_kmeans.clustering.density_graph import distance_graph
from gpu_kmeans.clustering.ward import ward
from gpu_kmeans.data import sample
from gpu_kmeans.errors import InvalidParam

CPU = resolve("cpu")
NEEDS_DENSE = {"mixture", "mixture-full"}


def blobs(n: int = 300, k: int = 4, d: int = 6, seed: int = 1) -> tuple[Any, NDArray[np.intp]]:
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, k, n)
    rows = draw.normal(0, 6, (k, d))[labels] + draw.normal(0, 1, (n, d))
    return rows.astype(np.float32), labels


def found(algorithm: str, rows: Any, k: int = 4, seed: int = 0, **options: Any) -> Any:
    method = clusterer(algorithm, n_clusters=k, max_iter=100, seed=seed, **options)
    return method.fit(rows, CPU)


def inertia(rows: NDArray[Any], labels: NDArray[Any]) -> float:
    rows = rows.astype(np.float64)
    return sum(
        float(np.square(rows[labels == k] - rows[labels == k].mean(axis=0)).sum())
        for k in np.unique(labels[labels >= 0])
    )


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_clear_clusters_are_found(algorithm: str) -> None:
    rows, labels = blobs()
    clustering = found(algorithm, rows)
    inside = clustering.labels >= 0
    assert inside.mean() > 0.8
    least = 0.9 if algorithm == "spherical" else 0.99  # whose rows near the origin have any angle
    assert adjusted_rand_score(labels[inside], clustering.labels[inside]) > least
    assert clustering.inertia == pytest.approx(inertia(rows, clustering.labels), rel=1e-4)
    assert clustering.means.shape == (4, 6)
    assert clustering.labels.dtype == np.int32


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_sparse_rows_are_clustered_alike_or_refused_with_the_way_out(algorithm: str) -> None:
    rows, _ = blobs()
    rows = np.maximum(rows, 0)
    if algorithm in NEEDS_DENSE:
        with pytest.raises(InvalidParam, match="--reduce 50"):
            found(algorithm, csr_matrix(rows))
        return
    if algorithm == "hdbscan":  # which compares sparse rows by their angles
        rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    dense, sparse = found(algorithm, rows), found(algorithm, csr_matrix(rows))
    least = 0.9 if algorithm == "hdbscan" else 0.99  # one by a graph, one by all pairs
    assert adjusted_rand_score(dense.labels, sparse.labels) > least


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_same_seed_gives_the_same_labels(algorithm: str) -> None:
    rows, _ = blobs(seed=5)
    one, two = found(algorithm, rows, seed=3), found(algorithm, rows, seed=3)
    np.testing.assert_array_equal(one.labels, two.labels)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_fewer_distinct_rows_than_clusters_are_no_fault(algorithm: str) -> None:
    rows = np.repeat(np.eye(3, dtype=np.float32), 20, axis=0)
    clustering = found(algorithm, rows, k=5)
    labels = clustering.labels
    assert all(len(set(labels[i : i + 20].tolist())) == 1 for i in range(0, 60, 20))
    assert np.isfinite(clustering.means).all()
    assert labels.max() < len(clustering.means)


# -- spherical ---------------------------------------------------------------------------------


def test_spherical_labels_do_not_depend_on_the_length_of_rows() -> None:
    rows, _ = blobs()
    lengths = np.random.default_rng(0).uniform(0.1, 10, (300, 1)).astype(np.float32)
    one, two = found("spherical", rows), found("spherical", rows * lengths)
    assert adjusted_rand_score(one.labels, two.labels) > 0.99


def test_spherical_rows_are_where_their_cosine_is_highest() -> None:
    draw = np.random.default_rng(2)
    rows = draw.random((200, 12)).astype(np.float32)
    clustering = found("spherical", rows, k=6)
    np.testing.assert_allclose(np.linalg.norm(clustering.means, axis=1), 1, rtol=1e-5)
    cosines = rows @ clustering.means.T
    np.testing.assert_array_equal(clustering.labels, cosines.argmax(axis=1))


# -- bisecting, agglomerative --------------------------------------------------------------------


def test_bisecting_ends_no_higher_than_scikit_learns_of_one_start() -> None:
    rows, _ = blobs(600, 9, 8, seed=4)
    peer = BisectingKMeans(9, random_state=0, bisecting_strategy="biggest_inertia").fit(rows)
    assert found("bisecting", rows, k=9).inertia <= peer.inertia_ * 1.001


@settings(deadline=None, max_examples=60)
@given(st.integers(2, 25), st.integers(1, 4), st.integers(0, 10**6))
def test_ward_is_scipys_on_single_rows(n: int, d: int, seed: int) -> None:
    rows = np.random.default_rng(seed).normal(0, 1, (n, d))
    tree, peer = ward(rows, np.ones(n, dtype=np.int64)), linkage(rows, "ward")
    np.testing.assert_allclose(tree.costs, peer[:, 2] ** 2 / 2, rtol=1e-7, atol=1e-12)
    np.testing.assert_array_equal(tree.sizes, peer[:, 3])
    assert sorted(tree.order().tolist()) == list(range(n))
    for groups in {1, 2, n // 2 or 1, n}:
        own, theirs = tree.cut(groups), fcluster(peer, groups, "maxclust")
        assert len(set(own.tolist())) == groups
        assert adjusted_rand_score(own, theirs) == 1


@settings(deadline=None, max_examples=40)
@given(st.integers(3, 8), st.integers(0, 10**6))
def test_ward_of_means_is_ward_of_the_rows_that_they_stand_for(k: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    sizes = draw.integers(1, 6, k)
    means = draw.normal(0, 1, (k, 3))
    tree = ward(means, sizes)
    # Rows that lie where their mean does merge at no cost first.
    peer = linkage(np.repeat(means, sizes, axis=0), "ward")
    np.testing.assert_allclose(tree.costs, peer[-(k - 1) :, 2] ** 2 / 2, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("groups", [0, 5, -1])
def test_a_tree_is_not_cut_into_more_groups_than_it_has(groups: int) -> None:
    tree = ward(np.eye(4), np.ones(4, dtype=np.int64))
    with pytest.raises(InvalidParam, match="1 to 4 groups"):
        tree.cut(groups)


def test_few_rows_are_merged_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.random.default_rng(0).normal(0, 1, (200, 4)).astype(np.float32)
    expected = fcluster(linkage(rows.astype(np.float64), "ward"), 7, "maxclust")
    assert adjusted_rand_score(found("agglomerative", rows, k=7).labels, expected) == 1
    doubled = np.repeat(rows, 2, axis=0)  # of which each weighs two
    assert adjusted_rand_score(
        found("agglomerative", doubled, k=7).labels, np.repeat(expected, 2)
    ) == pytest.approx(1)
    monkeypatch.setattr("gpu_kmeans.clustering.agglomerative.FEW_ROWS", 0)
    over_fine = found("agglomerative", rows, k=7)
    assert over_fine.history[0][0] != "ward"
    assert over_fine.inertia < 1.3 * inertia(rows, expected)


# -- density, mixtures ---------------------------------------------------------------------------


def test_hdbscan_is_scikit_learns() -> None:
    rows, _ = blobs(400, 4)
    rows[:40] = np.random.default_rng(0).uniform(-20, 20, (40, 6))
    clustering = found("hdbscan", rows)
    peer = HDBSCAN(min_cluster_size=5, copy=True).fit(rows.astype(np.float64))
    np.testing.assert_array_equal(clustering.labels, peer.labels_)
    assert clustering.outlier_scores is not None
    assert (clustering.outlier_scores[clustering.labels < 0] == 1).all()


def noisy(n: int = 900, d: int = 6) -> tuple[Any, NDArray[np.intp]]:
    """Blobs, and every fifth row anywhere; labels of those are -1."""
    rows, labels = blobs(n, 5, d, seed=3)
    rows[::5] = np.random.default_rng(0).uniform(-20, 20, (len(rows[::5]), d))
    labels[::5] = -1
    return rows, labels


def test_hdbscan_over_the_graph_of_nearest_rows_tells_the_same_regions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows, labels = noisy()
    of_all_pairs = found("hdbscan", rows)
    monkeypatch.setattr("gpu_kmeans.clustering.density.FEW_ROWS", 0)
    of_graph = found("hdbscan", rows)
    assert adjusted_rand_score(of_all_pairs.labels, of_graph.labels) > 0.95
    inside = (of_all_pairs.labels >= 0) & (of_graph.labels >= 0)
    assert inside.sum() > 600
    assert adjusted_rand_score(of_all_pairs.labels[inside], of_graph.labels[inside]) > 0.99
    assert (of_graph.labels[labels < 0] < 0).mean() > 0.9


def test_a_graph_of_all_rows_has_the_tree_of_all_pairs() -> None:
    rows, _ = noisy(200)
    graph = distance_graph(rows, 199, 10, CPU)
    expected = squareform(pdist(rows.astype(np.float64)))
    np.testing.assert_allclose(graph.toarray(), expected, atol=1e-4)
    sparse_rows = csr_matrix(np.abs(rows))
    unit = np.abs(rows) / np.linalg.norm(rows, axis=1, keepdims=True)
    graph = distance_graph(CPU.matrix(sparse_rows), 199, 10, CPU)
    np.testing.assert_allclose(graph.toarray(), squareform(pdist(unit)), atol=1e-5)


@pytest.mark.parametrize("most", [2000, 1])
@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_parts_of_a_graph_are_joined_at_distances_of_their_rows(
    kind: str, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gpu_kmeans.clustering.density_graph.MOST_REPRESENTATIVES", most)
    draw = np.random.default_rng(0)
    rows = np.kron(np.eye(4), np.ones((20, 3))) + draw.uniform(0, 0.01, (80, 12)) * np.kron(
        np.eye(4), np.ones((20, 3))
    )
    given = csr_matrix(rows) if kind == "sparse" else rows
    graph = distance_graph(CPU.matrix(given), 5, 5, CPU)
    assert connected_components(graph, directed=False)[0] == 1
    assert abs(graph - graph.T).max() == 0
    pairs = graph.tocoo()
    between = pairs.row // 20 != pairs.col // 20
    assert between.sum() == 6  # three edges, both ways
    if kind == "sparse":
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    expected = np.linalg.norm(rows[pairs.row] - rows[pairs.col], axis=1)
    np.testing.assert_allclose(pairs.data[between], expected[between], atol=1e-9)


def test_hdbscan_takes_texts() -> None:
    """Groups with words of their own, and rows of few words that others have."""
    draw = np.random.default_rng(0)
    chance = np.full((4, 400), 0.002)
    chance[np.repeat(np.arange(3), 12), np.arange(36)] = 0.6
    chance[3, 36:] = 0.02
    labels = np.repeat([0, 1, 2, 3], 80)
    rows = csr_matrix(draw.binomial(3, chance[labels]).astype(np.float32))
    clustering = found("hdbscan", rows)
    inside = (clustering.labels >= 0) & (labels < 3)
    assert inside.sum() > 200
    assert adjusted_rand_score(labels[inside], clustering.labels[inside]) > 0.99
    of_groups = np.unique(clustering.labels[inside])
    assert np.isin(clustering.labels[labels == 3], of_groups).mean() < 0.05
    assert clustering.means.shape[1] == 400


def test_identical_rows_are_a_dense_region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpu_kmeans.clustering.density.FEW_ROWS", 0)
    rows = np.repeat(np.eye(3, dtype=np.float32), 50, axis=0)
    for given_ in (rows, csr_matrix(rows)):
        clustering = found("hdbscan", given_)
        assert adjusted_rand_score(np.repeat(np.arange(3), 50), clustering.labels) == 1


@pytest.mark.parametrize("algorithm", ["mixture", "mixture-full"])
def test_a_fit_refuses_rows_that_an_algorithm_cannot_take_before_it_clusters(
    algorithm: str,
) -> None:
    stages: list[str] = []
    with pytest.raises(InvalidParam, match=rf"^{algorithm} needs dense rows.*--reduce 50"):
        gpu_kmeans.fit(*sample.paths(), algorithm=algorithm, backend="cpu", on_stage=stages.append)
    assert "cluster" not in stages


def test_rows_without_dense_regions_are_refused_with_another_way() -> None:
    rows = np.random.default_rng(0).uniform(-1, 1, (60, 30)).astype(np.float32)
    with pytest.raises(InvalidParam, match="such as hartigan"):
        found("hdbscan", rows)
    with pytest.raises(InvalidParam, match="at least 10 rows"):
        found("hdbscan", rows[:6])


def test_noise_is_in_no_cluster_or_in_the_nearest(tmp_path: Path) -> None:
    rows, _ = blobs(400, 4)
    rows[:120] = np.random.default_rng(0).uniform(-20, 20, (120, 6))
    np.save(tmp_path / "rows.npy", rows)
    apart = gpu_kmeans.fit(tmp_path / "rows.npy", algorithm="hdbscan", backend="cpu")
    noise = ~apart.clustered
    assert 20 < noise.sum() == apart.unclustered()["set_apart"]
    assert any("rows are noise" in warning for warning in apart.info.warnings)
    joined = gpu_kmeans.fit(
        tmp_path / "rows.npy", algorithm="hdbscan", noise="nearest", backend="cpu"
    )
    assert joined.clustered.all()
    np.testing.assert_array_equal(joined.labels[~noise], apart.labels[~noise])
    distances = np.linalg.norm(rows[noise][:, None] - apart.centroids[None], axis=2)
    np.testing.assert_array_equal(joined.labels[noise], distances.argmin(axis=1))
    with pytest.raises(InvalidParam, match="noise must be one of apart, nearest"):
        gpu_kmeans.fit(tmp_path / "rows.npy", noise="far", backend="cpu")


def test_mixtures_tell_clusters_of_different_spread_apart() -> None:
    draw = np.random.default_rng(0)
    labels = np.repeat([0, 1], 400)
    rows = np.where(labels[:, None] == 0, draw.normal(0, 1, (800, 2)), draw.normal(6, 4, (800, 2)))
    rows = rows.astype(np.float32)
    agreement = {
        algorithm: adjusted_rand_score(labels, found(algorithm, rows, k=2).labels)
        for algorithm in ("hartigan", "mixture", "mixture-full")
    }
    assert agreement["mixture"] > agreement["hartigan"] + 0.05
    assert agreement["mixture-full"] > agreement["hartigan"] + 0.05


def test_without_scikit_learn_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import gpu_kmeans.clustering.base as base

    def missing(name: str) -> Any:
        raise ImportError(name)

    rows, _ = blobs()
    method = clusterer("mixture", n_clusters=4, max_iter=10, seed=0)
    monkeypatch.setattr(base, "import_module", missing)
    with pytest.raises(InvalidParam, match=r'pip install ".\[algorithms\]"'):
        method.fit(rows, CPU)


@pytest.mark.parametrize("algorithm", ["spherical", "bisecting", "agglomerative", "mixture"])
def test_a_callback_sees_the_iterations(algorithm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpu_kmeans.clustering.agglomerative.FEW_ROWS", 0)  # no iterations else
    rows, _ = blobs()
    seen: list[Any] = []
    found(algorithm, rows, callback=lambda step: seen.append(step))
    assert seen
    assert all(step.inertia >= 0 for step in seen)


# -- batches that grow ---------------------------------------------------------------------------


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """A first batch that is a fraction of a test's rows."""
    from gpu_kmeans.clustering import minibatch

    monkeypatch.setattr(minibatch, "FIRST_BATCH", 64)
    monkeypatch.setattr(minibatch, "ROWS_A_CLUSTER", 4)


def texts_like(n: int, seed: int) -> Any:
    rows = np.random.default_rng(seed).poisson(0.15, (n, 40)).astype(np.float32)
    rows[:, 0] += 1
    return csr_matrix(rows / np.linalg.norm(rows, axis=1, keepdims=True))


@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_batches_that_grow_end_lower_than_scikit_learns(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gpu_kmeans.clustering.minibatch.FIRST_BATCH", 256)
    whole = texts_like(1200, 9).toarray()
    rows = whole if kind == "dense" else csr_matrix(whole)
    own = [found("minibatch", rows, k=8, seed=seed).labels for seed in range(2)]
    peer = [MiniBatchKMeans(8, random_state=seed).fit_predict(rows) for seed in range(2)]
    own_inertia, peer_inertia = ([inertia(whole, one) for one in labels] for labels in (own, peer))
    assert max(own_inertia) < min(peer_inertia)


def test_batches_report_the_inertia_that_all_rows_would_have(small_batches: None) -> None:
    rows, _ = blobs(2000, 5, 8)
    steps: list[Any] = []
    end = found("minibatch", rows, k=5, callback=lambda step: steps.append(step))
    batches = [step for step in steps if step.stage == "minibatch"]
    assert [step.iteration for step in batches] == list(range(1, len(batches) + 1))
    # As of all rows, though a sample of a few of them knows it but roughly.
    assert all(0.6 < step.inertia / end.inertia < 6 for step in batches)
    assert batches[-1].inertia == pytest.approx(end.inertia, rel=0.01)


@pytest.mark.parametrize("last", [1, 2, 9, 14])
def test_a_fit_by_batches_that_ends_early_labels_all_rows(last: int, small_batches: None) -> None:
    rows, _ = blobs(2000, 5, 8)
    steps: list[Any] = []

    def stop(step: Any) -> bool:
        steps.append(step)
        return len(steps) == last

    stopped = found("minibatch", rows, k=5, callback=stop)
    assert len(steps) == last
    assert stopped.labels.shape == (2000,)
    assert stopped.inertia == pytest.approx(inertia(rows, stopped.labels), rel=0.05)
    few = clusterer("minibatch", n_clusters=5, max_iter=last, seed=0).fit(rows, CPU)
    assert few.n_iter <= last
    assert few.labels.shape == (2000,)


def test_rows_of_no_weight_do_not_make_the_first_batch(small_batches: None) -> None:
    rows, _ = blobs(2000, 4, 6)
    weight = np.zeros(2000)
    weight[-90:] = np.linspace(1, 2, 90)
    kmeans = gpu_kmeans.KMeans(4, algorithm="minibatch", random_state=0, backend="cpu")
    kmeans.fit(rows, sample_weight=weight)
    alone = gpu_kmeans.KMeans(4, random_state=0, backend="cpu")
    alone.fit(rows[-90:], sample_weight=weight[-90:])
    assert kmeans.inertia_ == pytest.approx(alone.inertia_, rel=1e-3)


@pytest.mark.parametrize("kind", [np.asarray, csr_matrix])
def test_a_stream_by_batches_ends_lower_than_scikit_learns(kind: Any) -> None:
    dense = texts_like(2000, 3).toarray()
    for seed in range(2):
        own = gpu_kmeans.KMeans(8, algorithm="minibatch", random_state=seed, backend="cpu")
        peer = MiniBatchKMeans(8, random_state=seed)
        for start in range(0, 2000, 500):
            own.partial_fit(kind(dense[start : start + 500]))
            peer.partial_fit(kind(dense[start : start + 500]))
        assert inertia(dense, own.predict(kind(dense))) < inertia(dense, peer.predict(kind(dense)))


def test_the_benchmark_of_dense_regions_compares_the_same_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from bench.density import compare

    monkeypatch.setattr("gpu_kmeans.clustering.density.FEW_ROWS", 0)
    record = compare(1500, 1)
    assert record["agreement"]["of both"] > 0.9
    assert record["noise"]["planted"] == pytest.approx(0.2)
