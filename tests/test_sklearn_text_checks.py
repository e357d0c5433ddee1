"""scikit-learn's own estimator checks, called on the vectorizer.

``check_estimator`` leaves out nearly all of them for a class that reads texts, as their data are
2-d numbers. So they are called twice: on the class itself where no data are needed, and on a
subclass that turns each row of numbers into a text, which shows what holds for any transformer.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from sklearn.exceptions import SkipTestWarning
from sklearn.utils import estimator_checks as checks
from sklearn.utils import get_tags
from sklearn.utils.validation import validate_data

from gpu_kmeans.features.tfidf import TfidfVectorizer

NEEDS_NO_DATA = [
    checks.check_do_not_raise_errors_in_init_or_set_params,
    checks.check_estimator_cloneable,
    checks.check_estimator_repr,
    checks.check_estimator_tags_renamed,
    checks.check_get_params_invariance,
    checks.check_mixin_order,
    checks.check_no_attributes_set_in_init,
    checks.check_parameters_default_constructible,
    checks.check_set_params,
    checks.check_valid_tag_types,
]


def test_check_estimator_takes_it_as_it_takes_scikit_learns_own() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkipTestWarning)
        warnings.filterwarnings("ignore", "Estimator TfidfVectorizer does not inherit")
        results = checks.check_estimator(TfidfVectorizer())
    assert results
    assert {result["status"] for result in results} == {"passed"}


def test_its_tags_say_that_it_reads_texts() -> None:
    tags = get_tags(TfidfVectorizer())
    assert tags.input_tags.string
    assert not tags.input_tags.two_d_array
    assert tags.transformer_tags is not None
    assert tags.requires_fit
    assert not tags.target_tags.required


@pytest.mark.parametrize("check", NEEDS_NO_DATA, ids=lambda check: check.__name__)
def test_checks_that_need_no_data_pass(check: Any) -> None:
    check("TfidfVectorizer", TfidfVectorizer())


class OfNumbers(TfidfVectorizer):
    """Reads rows of numbers: each becomes a text with a word for every feature and its value."""

    def fit(self, X: Any, y: object = None) -> OfNumbers:
        super().fit(self._texts(X, reset=True))
        return self

    def fit_transform(self, X: Any, y: object = None) -> Any:
        return super().fit_transform(self._texts(X, reset=True))

    def transform(self, X: Any) -> Any:
        self._require_fitted()
        return super().transform(self._texts(X, reset=False))

    def _texts(self, X: Any, reset: bool) -> list[str]:
        rows = validate_data(self, X, reset=reset, dtype=np.float64)
        return [" ".join(f"of{j}_{value:.0f}" for j, value in enumerate(row)) for row in rows]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.string = True, False
        return tags


with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "Estimator OfNumbers does not inherit")
    each_check = checks.parametrize_with_checks([OfNumbers(stop_words=None, backend="cpu")])


@each_check
def test_checks_of_any_transformer_pass(estimator: Any, check: Any) -> None:
    check(estimator)
