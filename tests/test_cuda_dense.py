"""How cuML's k-means is asked. With a stand-in that clusters nothing: control flow alone."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from cuda_on_cpu import cupy_on_numpy
from scipy import sparse

from gpu_kmeans import errors


@pytest.fixture
def cuml(monkeypatch):
    """The module over a stand-in; ``asked`` is what the library was given."""
    asked: dict[str, Any] = {}

    class KMeans:
        def __init__(self, **arguments: Any) -> None:
            asked.update(arguments)

        def fit(self, rows: Any, sample_weight: Any = None) -> None:
            asked.update(rows=rows, weight=sample_weight)
            self.labels_, self.n_iter_ = np.zeros(len(rows), dtype=np.int64), 6

    class HDBSCAN:
        def __init__(self, **arguments: Any) -> None:
            asked.update(arguments)

        def fit(self, rows: Any) -> None:
            asked.update(rows=rows)
            self.labels_ = np.array([0, 0, -1, 0], dtype=np.int64)
            self.probabilities_ = np.array([1, 0.5, 0, 1], dtype=np.float32)

    cluster = ModuleType("cuml.cluster")
    cluster.KMeans, cluster.HDBSCAN = KMeans, HDBSCAN
    monkeypatch.setitem(sys.modules, "cuml", ModuleType("cuml"))
    monkeypatch.setitem(sys.modules, "cuml.cluster", cluster)
    with cupy_on_numpy():
        dense = importlib.import_module("gpu_kmeans.cuda.dense")
        yield SimpleNamespace(kmeans=dense.dense_kmeans, module=dense, asked=asked)


ROWS = np.arange(8.0).reshape(4, 2)


def test_the_given_start_is_taken_once_in_single_precision(cuml):
    labels, n_iter = cuml.kmeans(ROWS, ROWS[:2], 7)
    assert cuml.asked["n_init"] == 1, "ten times the same otherwise"
    assert cuml.asked["max_iter"] == 7
    assert 0 < cuml.asked["tol"] < 1e-30, "it stops where the cost no longer falls"
    assert cuml.asked["init"].tolist() == ROWS[:2].tolist()
    assert {cuml.asked["init"].dtype, cuml.asked["rows"].dtype} == {np.dtype(np.float32)}
    assert labels.dtype == np.int32
    assert n_iter == 6


def test_weights_are_those_of_the_rows(cuml):
    weight = np.array([1.0, 2.0, 3.0, 4.0])
    cuml.kmeans(ROWS, ROWS[:2], 7, weight)
    assert cuml.asked["weight"].tolist() == weight.tolist()


def test_centroids_rest_by_the_tolerance_that_is_asked_for(cuml):
    cuml.kmeans(ROWS, ROWS[:2], 7, tol=0.5)
    assert cuml.asked["tol"] == 0.5


@pytest.mark.parametrize("init", [np.zeros((5, 2)), np.zeros((2, 3))])
def test_what_would_take_the_process_along_is_refused_before(cuml, init):
    with pytest.raises(errors.InvalidParam, match=r"shape \(4, 2\)"):
        cuml.kmeans(ROWS, init, 7)
    assert not cuml.asked


def test_more_places_than_32_bits_have_are_refused_before(cuml, monkeypatch):
    monkeypatch.setattr(cuml.module, "LARGEST", 7)
    with pytest.raises(errors.UnsupportedOnBackend, match="backend='cpu'"):
        cuml.kmeans(ROWS, ROWS[:2], 7)
    assert not cuml.asked


def test_dense_regions_are_asked_for_in_single_precision(cuml):
    labels, firm = cuml.module.dense_regions(ROWS, 3, 2)
    assert (cuml.asked["min_cluster_size"], cuml.asked["min_samples"]) == (3, 2)
    assert cuml.asked["rows"].dtype == np.float32
    assert (labels.dtype, labels.tolist()) == (np.int32, [0, 0, -1, 0])
    assert (firm.dtype, firm.tolist()) == (np.float64, [1, 0.5, 0, 1])


def test_what_the_library_has_no_regions_for_is_left_or_refused(cuml, monkeypatch):
    assert cuml.module.dense_regions(sparse.csr_array(ROWS), 3, 2) is None
    with pytest.raises(errors.UnsupportedOnBackend, match=r"at most 1023.*backend='cpu'"):
        cuml.module.dense_regions(ROWS, 3, 2000)
    monkeypatch.delattr(sys.modules["cuml.cluster"], "HDBSCAN")
    with pytest.raises(errors.UnsupportedOnBackend, match=r"no HDBSCAN.*backend='cpu'"):
        cuml.module.dense_regions(ROWS, 3, 2)
    assert not cuml.asked
