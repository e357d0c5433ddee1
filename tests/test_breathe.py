"""Exchanges of clusters: which are chosen, and that they find what moves of single rows cannot."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from gpu_kmeans.backends.protocol import Backend
from gpu_kmeans.clustering import breathing as breathing
from gpu_kmeans.clustering.hartigan import hartigan
from gpu_kmeans.clustering.lloyd import Rows, StageResult

TOPICS, EACH, WORDS = 12, 30, 20


def quiet(*_: object) -> bool:
    return False


def topics(dense: bool = False) -> sparse.csr_array:
    """Texts of twelve topics, each with words of its own."""
    rng = np.random.default_rng(0)
    rows = np.zeros((TOPICS * EACH, TOPICS * WORDS))
    for i in range(len(rows)):
        words = rng.choice(WORDS, 8, replace=False) + i // EACH * WORDS
        rows[i, words] = 0.5 + rng.random(8)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows if dense else sparse.csr_array(rows)


def planted() -> np.ndarray:
    return np.repeat(np.arange(TOPICS, dtype=np.int32), EACH)


def misled() -> np.ndarray:
    """Topics 0 and 1 in one cluster, and topic 2 in two."""
    labels = planted()
    labels[labels == 1] = 0
    third = np.flatnonzero(labels == 2)
    labels[third[::2]] = 1
    return labels


def breathed(backend: Backend, dense: bool, seed: int, report=quiet, max_iter: int = 300):
    matrix = backend.matrix(topics(dense))
    rows = Rows(matrix, backend.squared_norms(matrix), None)
    rng = np.random.default_rng(seed)
    done = breathing.breathe(
        backend, rows, misled(), TOPICS, max_iter=max_iter, rng=rng, report=report
    )
    return rows, done


def partition(labels: np.ndarray) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(labels == c).tolist()) for c in np.unique(labels)}


def test_moves_of_single_rows_stay_misled(backend):
    """So that the test below shows what breathing does."""
    matrix = backend.matrix(topics())
    rows = Rows(matrix, backend.squared_norms(matrix), None)
    done = hartigan(backend, rows, misled(), TOPICS, max_iter=100, report=quiet)
    assert partition(done.labels) != partition(planted())


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_a_merged_topic_is_split_and_a_split_one_merged(backend, dense, seed):
    _, done = breathed(backend, dense, seed)
    assert partition(done.labels) == partition(planted())


def test_what_is_reported_never_rises_and_sums_belong_to_labels(backend):
    told: list[float] = []
    rows, done = breathed(backend, False, 1, lambda stage, inertia, moved: told.append(inertia))
    assert told == sorted(told, reverse=True)
    sums = backend.cluster_sums(rows.matrix, done.labels, TOPICS)
    np.testing.assert_allclose(done.clusters.explained(), sums.explained(), rtol=1e-6)
    inertia = rows.squared_norms.sum() - done.clusters.explained()
    np.testing.assert_allclose(told[-1], inertia, rtol=1e-6)


@pytest.mark.parametrize("at", [1, 6, 7, 9])
def test_a_stop_ends_it_with_the_best_so_far(backend, at):
    told: list[float] = []

    def report(stage: str, inertia: float, moved: int) -> bool:
        told.append(inertia)
        return len(told) == at

    rows, done = breathed(backend, False, 1, report)
    assert done.stopped
    assert len(told) == at
    inertia = rows.squared_norms.sum() - done.clusters.explained()
    np.testing.assert_allclose(inertia, min(told), rtol=1e-6)


@pytest.mark.parametrize("max_iter", [1, 5, 6, 8])
def test_no_more_passes_than_allowed(backend, max_iter):
    _, done = breathed(backend, False, 1, max_iter=max_iter)
    assert isinstance(done, StageResult)
    assert done.n_iter <= max_iter


numbers = st.floats(0, 100, allow_nan=False)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(numbers, numbers, st.booleans()), min_size=2, max_size=30),
    st.integers(1, 30),
)
def test_pairs_gain_what_they_cost_and_no_cluster_is_in_two(clusters, most):
    removal_cost, gain, looked_at = (np.array(each) for each in zip(*clusters, strict=True))
    gain = np.where(looked_at, gain, -np.inf)
    k = len(gain)
    home = (np.arange(k) + 1 + np.random.default_rng(k).integers(0, k - 1, k)) % k
    gone, split = breathing._pairs(removal_cost, gain, home, most)
    assert len(gone) == len(split) <= most
    assert not set(home[gone]) & set(gone)
    both = np.concatenate((gone, split))
    assert len(np.unique(both)) == len(both)
    assert (gain[split] > breathing.MARGIN * removal_cost[gone]).all()
    if not len(gone) and looked_at.any():  # then there is none to be had
        best = int(np.argmax(gain))
        others = np.delete(removal_cost, best)
        assert gain[best] <= breathing.MARGIN * others.min()


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(numbers, numbers, st.booleans()), min_size=2, max_size=30),
    st.integers(1, 10),
    st.one_of(st.none(), st.integers(0, 1000)),
)
def test_whatever_it_costs_no_cluster_is_both_dissolved_and_split(clusters, count, seed):
    removal_cost, gain, looked_at = (np.array(each) for each in zip(*clusters, strict=True))
    gain = np.where(looked_at, gain, -np.inf)
    count = min(count, max(1, len(gain) // 10))
    rng = None if seed is None else np.random.default_rng(seed)
    gone, split = breathing._likeliest(removal_cost, gain, count, rng)
    assert len(gone) == len(split) == count
    assert not set(gone) & set(split)


def means_of(backend, matrix, labels):
    """A stage that ended with these labels."""
    return StageResult(labels, backend.cluster_sums(matrix, labels, TOPICS), 1, False)


def test_a_small_half_that_has_left_is_not_split_off_again(backend):
    """Nine in ten rows of a cluster stay when it parts with eight texts of another topic."""
    matrix = backend.matrix(topics())
    rows = Rows(matrix, backend.squared_norms(matrix), None)
    labels = planted()
    strangers = np.flatnonzero(labels == 1)[:3]
    labels[strangers] = 0
    splits = breathing._Splits(backend, rows, TOPICS, np.random.default_rng(0))
    before = splits.gains(means_of(backend, matrix, labels), np.array([0]))
    members = np.flatnonzero(labels == 0)
    # Whichever half was called which: those that leave are known by their side.
    splits.side[members] = 0
    splits.side[strangers] = 1
    splits.sizes[:, 0] = EACH, len(strangers)
    splits.gain[0] = before[0] + 1000
    labels[strangers] = 1
    splits.forget(strangers)
    assert splits.gains(means_of(backend, matrix, labels), np.array([0]))[0] < before[0]


def test_of_two_halves_of_one_topic_only_one_is_dissolved(backend):
    """Each is cheap to dissolve, as its rows go to the other: not both at once."""
    labels = planted()
    # Topics 0 and 1 together, topics 3 and 4 together; topic 2 in two halves.
    labels[labels == 1], labels[labels == 4] = 0, 3
    half = np.flatnonzero(labels == 2)[::2]
    labels[half] = 1
    labels[np.flatnonzero(labels == 5)[:1]] = 4
    matrix = backend.matrix(topics())
    rows = Rows(matrix, backend.squared_norms(matrix), None)
    settled = means_of(backend, matrix, labels)
    removal_cost, held, home = breathing._worth(backend, rows, settled, TOPICS)
    assert (home[1], home[2]) == (2, 1)
    splits = breathing._Splits(backend, rows, TOPICS, np.random.default_rng(0))
    gain = splits.gains(settled, np.argsort(-held)[:8])
    gone, _ = breathing._pairs(removal_cost, gain, home, TOPICS)
    assert len({1, 2} & set(gone.tolist())) == 1


@pytest.mark.parametrize("k", [2, 3, 30, 40])
@pytest.mark.parametrize("weighted", [False, True])
def test_few_rows_some_alike_some_without_weight(backend, k, weighted):
    rng = np.random.default_rng(k)
    values = topics(dense=True)[rng.integers(0, 60, 40)]
    weight = rng.integers(0, 3, 40).astype(float) if weighted else None
    matrix = backend.matrix(sparse.csr_array(values))
    rows = Rows(matrix, backend.squared_norms(matrix), weight)
    labels = rng.integers(0, k, 40).astype(np.int32)
    before = backend.cluster_sums(matrix, labels, k, weight).explained()
    done = breathing.breathe(backend, rows, labels, k, max_iter=100, rng=rng, report=quiet)
    assert done.clusters.explained() >= before * (1 - 1e-6)
    assert ((done.labels >= 0) & (done.labels < k)).all()
