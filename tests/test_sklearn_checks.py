"""Which of scikit-learn's own estimator checks pass; the rest with their reasons."""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

import pytest
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks

from gpu_kmeans.clustering.kmeans import KMeans

REPEATS = "a drawn start on repeated rows draws other rows (as for scikit-learn's KMeans)"

EXPECTED_TO_FAIL = {
    "check_sample_weight_equivalence_on_dense_data": REPEATS,
    "check_sample_weight_equivalence_on_sparse_data": REPEATS,
}


each_check = parametrize_with_checks(
    [KMeans(backend="cpu"), KMeans(backend="cpu", algorithm="lloyd", init="k-means++")],
    expected_failed_checks=lambda estimator: EXPECTED_TO_FAIL,
)


@each_check
@pytest.mark.filterwarnings("ignore::gpu_kmeans.clustering.kmeans.FewerClustersWarning")
def test_scikit_learn_checks(estimator, check):
    check(estimator)


# -- checks that scikit-learn makes of its own classes alone ---------------------------------
# ``parametrize_with_checks`` does not ask for them.

MORE_CHECKS = [
    *("check_dataframe_column_names_consistency", "check_get_feature_names_out_error"),
    *("check_transformer_get_feature_names_out", "check_transformer_get_feature_names_out_pandas"),
    *("check_inplace_ensure_writeable", "check_set_output_transform"),
    *("check_set_output_transform_pandas", "check_global_output_transform_pandas"),
    *("check_set_output_transform_polars", "check_global_set_output_transform_polars"),
]
OTHER_KINDS = ("classifier", "regressor", "outlier", "supervised", "class_weight", "array_api")
"""Words in the names of checks of what is no clusterer or transformer."""
NOT_OURS = {
    "check_decision_proba_consistency": "of classifiers",
    "check_non_transformer_estimators_n_iter": "of what does not transform",
    "check_transformers_unfitted_stateless": "of what needs no fit",
    "check_nonsquare_error": "of what takes distances",
    "check_sparsify_coefficients": "of what has coefficients",
    "check_requires_y_none": "of what needs y",
    "check_fit_non_negative": "of what refuses negative numbers",
    "check_estimator": "calls the others",
    "check_estimators_data_not_an_array": "a part of others",
    "check_param_validation": "reads private declarations of scikit-learn's own classes",
}


@pytest.mark.parametrize("name", MORE_CHECKS)
@pytest.mark.parametrize("algorithm", ["hartigan", "lloyd"])
@pytest.mark.filterwarnings("ignore::gpu_kmeans.clustering.kmeans.FewerClustersWarning")
@pytest.mark.filterwarnings("ignore:X .* feature names:UserWarning")
def test_checks_that_scikit_learn_makes_of_its_own_classes(name: str, algorithm: str) -> None:
    check = getattr(estimator_checks, name)
    check("KMeans", KMeans(2, backend="cpu", algorithm=algorithm))


def test_no_check_of_scikit_learn_is_left_out() -> None:
    called = {name_of(check) for check in checks_of(KMeans(backend="cpu"))} | {*MORE_CHECKS}
    there = {name for name in vars(estimator_checks) if name.startswith("check_")}
    theirs = {
        name
        for name in there
        if getattr(estimator_checks, name).__module__ == estimator_checks.__name__
        and not any(kind in name for kind in OTHER_KINDS)
    }
    assert theirs - called - set(NOT_OURS) - set(EXPECTED_TO_FAIL) == set()


def checks_of(estimator: Any) -> list[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [check for _, check in estimator_checks.estimator_checks_generator(estimator)]


def name_of(check: Any) -> str:
    while isinstance(check, partial):
        check = check.func
    return str(check.__name__)
