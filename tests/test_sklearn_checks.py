"""Which of scikit-learn's own estimator checks pass; the rest with their reasons."""

from __future__ import annotations

import warnings

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from gpu_kmeans.kmeans import KMeans

REPEATS = "a drawn start on repeated rows draws other rows (as for scikit-learn's KMeans)"

EXPECTED_TO_FAIL = {
    "check_estimators_unfitted": (
        "raises errors.NotFitted, a ValueError and AttributeError as asked for, but not "
        "scikit-learn's own class: scikit-learn is not a dependency"
    ),
    "check_sample_weight_equivalence_on_dense_data": REPEATS,
    "check_sample_weight_equivalence_on_sparse_data": REPEATS,
}


with warnings.catch_warnings():
    # It need not inherit from a class of scikit-learn's: the contract is what counts.
    warnings.filterwarnings("ignore", "Estimator KMeans does not inherit")
    each_check = parametrize_with_checks(
        [KMeans(backend="cpu"), KMeans(backend="cpu", algorithm="lloyd", init="k-means++")],
        expected_failed_checks=lambda estimator: EXPECTED_TO_FAIL,
    )


@each_check
@pytest.mark.filterwarnings("ignore::gpu_kmeans.kmeans.FewerClustersWarning")
def test_scikit_learn_checks(estimator, check):
    check(estimator)
