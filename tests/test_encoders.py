"""Encoders: columns to rows, new columns likewise, and clusters in the words of the columns."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, issparse
from sklearn.preprocessing import OneHotEncoder, RobustScaler, StandardScaler, normalize

from gpu_kmeans.backends.select import resolve
from gpu_kmeans.errors import FeatureMismatch, InputError, InvalidParam
from gpu_kmeans.features.base import Encoder, encoder_from_state, group_means
from gpu_kmeans.features.categories import MISSING_VALUE, OTHER, CategoriesEncoder
from gpu_kmeans.features.combine import Features, Part
from gpu_kmeans.features.matrix import MatrixEncoder
from gpu_kmeans.features.numbers import NumbersEncoder
from gpu_kmeans.features.text_encoder import TextEncoder
from gpu_kmeans.features.tfidf import TfidfVectorizer

CPU = resolve("cpu")
NAN = math.nan


def columns_of(rows: NDArray[Any]) -> dict[str, NDArray[Any]]:
    return {f"c{column}": values for column, values in enumerate(rows.T)}


def fitted(encoder: Any, columns: dict[str, Any]) -> NDArray[np.float64]:
    rows = CPU.to_host(encoder.fit_transform(columns, CPU))
    return np.asarray(rows.toarray() if issparse(rows) else rows, dtype=np.float64)


def again(encoder: Encoder) -> Encoder:
    params, arrays = encoder.state()
    return encoder_from_state(encoder.kind, params, arrays)


TABLE = np.random.default_rng(3).lognormal(2, 1, (200, 3))


# -- numbers -----------------------------------------------------------------------------------


def test_standard_scale_is_scikit_learns() -> None:
    rows = fitted(NumbersEncoder(["c0", "c1", "c2"]), columns_of(TABLE))
    np.testing.assert_allclose(rows, StandardScaler().fit_transform(TABLE), atol=2e-6)


def test_robust_scale_is_scikit_learns() -> None:
    rows = fitted(NumbersEncoder(["c0", "c1", "c2"], scale="robust"), columns_of(TABLE))
    expected = RobustScaler(unit_variance=True).fit_transform(TABLE)
    np.testing.assert_allclose(rows, expected, atol=3e-6, rtol=1e-6)


def test_no_scale_leaves_numbers_as_they_are() -> None:
    rows = fitted(NumbersEncoder(["c0"], scale="none"), columns_of(TABLE))
    np.testing.assert_allclose(rows[:, 0], TABLE[:, 0], rtol=1e-6)


def test_logarithms_are_taken_of_the_columns_that_are_named() -> None:
    rows = fitted(NumbersEncoder(["c0", "c1"], scale="none", log=["c1"]), columns_of(TABLE))
    expected = np.column_stack([TABLE[:, 0], np.log1p(TABLE[:, 1])])
    np.testing.assert_allclose(rows, expected, rtol=1e-6)
    with pytest.raises(InputError, match=r"row 4, column 'x': -1 has no logarithm"):
        fitted(NumbersEncoder(["x"], log=["x"]), {"x": np.array([1.0, 2.0, -1.0])})
    with pytest.raises(InvalidParam, match="log names the column 'y'"):
        NumbersEncoder(["x"], log=["y"])


def test_missing_numbers_are_filled_with_the_median_and_counted() -> None:
    encoder = NumbersEncoder(["x"], scale="none")
    rows = fitted(encoder, {"x": np.array([1.0, NAN, 2.0, 30.0, NAN])})
    assert rows[:, 0].tolist() == [1, 2, 2, 30, 2]
    assert "column 'x': numbers are missing in 2 of 5 rows" in encoder.notes[0]
    new = encoder.transform({"x": np.array([NAN, 5.0])}, CPU)
    assert new[:, 0].tolist() == [2, 5]


def test_flags_have_variance_one_like_the_numbers() -> None:
    encoder = NumbersEncoder(["x", "y"], missing="flag")
    columns = {"x": np.array([1.0, NAN, 2.0, 4.0]), "y": np.array([1.0, 2.0, 3.0, 4.0])}
    rows = fitted(encoder, columns)
    assert encoder.feature_names == ["x", "y", "x is missing"]
    np.testing.assert_allclose(
        rows[:, 2], [-1 / math.sqrt(3), math.sqrt(3), *[-1 / math.sqrt(3)] * 2]
    )
    np.testing.assert_allclose(rows[:, 2].var(), 1, rtol=1e-6)


def test_missing_numbers_are_refused_where_that_was_asked_for() -> None:
    encoder = NumbersEncoder(["x"], missing="refuse")
    with pytest.raises(InputError, match=r"row 3, column 'x'.*missing='fill'"):
        fitted(encoder, {"x": np.array([1.0, NAN])})
    fitted(encoder, {"x": np.array([1.0, 2.0])})
    with pytest.raises(InputError, match="row 2, column 'x'"):
        encoder.transform({"x": np.array([NAN])}, CPU)


def test_a_column_without_a_number_is_refused() -> None:
    with pytest.raises(InputError, match="column 'x' holds no numbers"):
        fitted(NumbersEncoder(["x"]), {"x": np.array([NAN, NAN])})


def test_a_constant_column_tells_no_rows_apart_and_is_said_to() -> None:
    encoder = NumbersEncoder(["x"])
    assert fitted(encoder, {"x": np.full(5, 0.1)}).tolist() == [[0]] * 5
    assert "one value on every row" in encoder.notes[0]


def test_a_far_number_is_told_of_with_the_scale_that_does_without_it() -> None:
    values = np.append(np.random.default_rng(0).normal(50, 5, 999), 1e9)
    encoder = NumbersEncoder(["income"])
    fitted(encoder, {"income": values})
    assert "1 of 1000 numbers lie more than 1000 robust standard deviations" in encoder.notes[0]
    robust = NumbersEncoder(["income"], scale="robust")
    assert np.ptp(fitted(robust, {"income": values})[:-1]) > 5
    assert not any("robust standard deviations" in note for note in robust.notes)


def test_the_logarithm_of_a_skewed_column_is_proposed_and_not_taken() -> None:
    values = np.random.default_rng(0).lognormal(3, 1.2, 2_000)
    encoder = NumbersEncoder(["spend"])
    rows = fitted(encoder, {"spend": values})
    np.testing.assert_allclose(rows, StandardScaler().fit_transform(values[:, None]), atol=1e-5)
    assert any("--log 'spend'" in note for note in encoder.notes)


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.floats(-1e300, 1e300) | st.just(NAN), min_size=2, max_size=20),
    st.sampled_from(["standard", "robust", "none"]),
    st.sampled_from(["fill", "flag"]),
)
def test_any_numbers_become_finite_rows_and_new_ones_the_same(
    values: list[float], scale: Any, missing: Any
) -> None:
    column = np.array(values)
    encoder = NumbersEncoder(["x"], scale, missing)
    if np.isnan(column).all():
        with pytest.raises(InputError, match="holds no numbers"):
            fitted(encoder, {"x": column})
        return
    rows = encoder.fit_transform({"x": column}, CPU)
    assert np.isfinite(rows).all()
    assert rows.shape == (len(values), len(encoder.feature_names))
    np.testing.assert_array_equal(again(encoder).transform({"x": column}, CPU), rows)


def test_numbers_explain_clusters_by_how_far_their_means_are() -> None:
    encoder = NumbersEncoder(["age", "income"])
    columns = {
        "age": np.array([20.0, 22.0, NAN, 60.0, 62.0, 64.0]),
        "income": np.array([1.0, 1.0, 1.0, 1.0, 1.0, 2.0]),
    }
    rows = encoder.fit_transform(columns, CPU)
    labels = np.array([0, 0, 0, 1, 1, 1], dtype=np.int32)
    young, old, none = encoder.reasons(columns, rows, labels, 3, 8)
    assert [(r.kind, r.name) for r in young] == [("number", "age"), ("number", "income")]
    assert (young[0].mean, young[0].median) == (21, 21)
    assert young[0].overall == pytest.approx(np.nanmean(columns["age"]))
    assert young[0].deviation < -0.5 < 0.5 < old[0].deviation
    assert none == []


# -- categories --------------------------------------------------------------------------------

PLANS = ["free"] * 50 + ["pro"] * 30 + ["basic"] * 19 + ["test"]


def test_values_become_the_columns_of_scikit_learns_one_hot() -> None:
    encoder = CategoriesEncoder(["plan"], rare=0)
    cells = PLANS[:-1]
    rows = fitted(encoder, {"plan": cells})
    names = [name.removeprefix("plan = ") for name in encoder.feature_names]
    hot = OneHotEncoder(categories=[names], sparse_output=False).fit_transform(
        np.array(cells)[:, None]
    )
    np.testing.assert_array_equal(rows > 0, hot > 0)
    assert len(np.unique(rows[rows > 0])) == 1


@settings(deadline=None, max_examples=100)
@given(st.lists(st.sampled_from("abcdefgh"), min_size=10, max_size=60), st.integers(1, 3))
def test_a_column_weighs_as_much_however_many_values_it_has(cells: list[str], copies: int) -> None:
    encoder = CategoriesEncoder(["x"], rare=0)
    try:
        rows = fitted(encoder, {"x": cells * copies})
    except InputError:
        assert len(set(cells)) > 2
        return
    one_value = len(encoder.feature_names) == 1
    assert rows.var(axis=0).sum() == pytest.approx(0 if one_value else 1, abs=1e-6)


def test_rare_values_count_as_one_and_so_do_new_ones() -> None:
    encoder = CategoriesEncoder(["plan"], rare=0.05)
    rows = fitted(encoder, {"plan": [*PLANS, *["x1", "x2", "x3", "", ""]]})
    assert encoder.feature_names == [f"plan = {v}" for v in ("free", "pro", "basic", OTHER)]
    assert "4 rare values" in encoder.notes[0] or "5 rare values" in encoder.notes[0]
    new = again(encoder).transform({"plan": ["pro", "unheard of", " free "]}, CPU).toarray()
    np.testing.assert_allclose(new, rows[[50, 99, 0]], rtol=1e-6)


def test_empty_cells_are_a_value_of_their_own() -> None:
    encoder = CategoriesEncoder(["plan"])
    fitted(encoder, {"plan": [None, "", "a", "a", "a", "b", "b", " "]})
    assert f"plan = {MISSING_VALUE}" in encoder.feature_names


def test_a_column_that_names_rows_is_refused() -> None:
    with pytest.raises(InputError, match="another value on almost every row"):
        fitted(CategoriesEncoder(["name"]), {"name": [f"n{i}" for i in range(50)]})


def test_categories_explain_clusters_by_what_is_over_represented() -> None:
    encoder = CategoriesEncoder(["plan"])
    cells = ["pro"] * 6 + ["free"] * 6
    rows = encoder.fit_transform({"plan": cells}, CPU)
    labels = np.array([0] * 5 + [1] * 7, dtype=np.int32)
    first, second = encoder.reasons({"plan": cells}, rows, labels, 2, 8)
    assert [(r.column, r.name, r.mean, r.overall) for r in first] == [("plan", "pro", 1, 0.5)]
    assert first[0].deviation == 1
    assert second[0].name == "free"


# -- matrices ----------------------------------------------------------------------------------

COUNTS = np.random.default_rng(5).poisson(1.5, (30, 6)).astype(np.float32)


@pytest.mark.parametrize("kind", [np.asarray, csr_matrix])
def test_rows_are_brought_to_the_median_sum_and_logged(kind: Any) -> None:
    encoder = MatrixEncoder(normalise="rows", log1p=True)
    rows = fitted(encoder, {"matrix": kind(COUNTS)})
    sums = COUNTS.sum(axis=1, keepdims=True)
    expected = np.log1p(COUNTS / np.where(sums > 0, sums, 1) * np.median(sums[sums > 0]))
    np.testing.assert_allclose(rows, expected, rtol=1e-5)
    new = encoder.transform({"matrix": kind(COUNTS[:3])}, CPU)
    np.testing.assert_allclose(new.toarray() if issparse(new) else new, expected[:3], rtol=1e-5)


@pytest.mark.parametrize("kind", [np.asarray, csr_matrix])
def test_rows_are_brought_to_length_one(kind: Any) -> None:
    rows = fitted(MatrixEncoder(normalise="length"), {"matrix": kind(COUNTS - 1)})
    np.testing.assert_allclose(rows, normalize(COUNTS - 1), rtol=1e-5)


def test_rows_that_have_no_sum_or_logarithm_are_refused_with_the_way_out() -> None:
    with pytest.raises(InputError, match="normalise='length'"):
        fitted(MatrixEncoder(normalise="rows"), {"matrix": -COUNTS})
    with pytest.raises(InputError, match="leave log1p out"):
        fitted(MatrixEncoder(log1p=True), {"matrix": -COUNTS})
    with pytest.raises(InvalidParam, match="2 names for 6 columns"):
        fitted(MatrixEncoder(["a", "b"]), {"matrix": COUNTS})
    encoder = MatrixEncoder()
    fitted(encoder, {"matrix": COUNTS})
    with pytest.raises(FeatureMismatch, match="has 5 columns"):
        encoder.transform({"matrix": COUNTS[:, 1:]}, CPU)


def test_markers_lie_farthest_above_all() -> None:
    genes = [f"g{i}" for i in range(6)]
    values = COUNTS.copy()
    labels = np.repeat([0, 1, 2], 10).astype(np.int32)
    values[labels == 1, 4] += 20
    encoder = MatrixEncoder(genes)
    rows = encoder.fit_transform({"matrix": csr_matrix(values)}, CPU)
    marker = encoder.reasons({}, rows, labels, 3, 8)[1][0]
    assert marker.name == "g4"
    assert marker.mean == pytest.approx(values[labels == 1, 4].mean())
    expected = (values[labels == 1, 4].mean() - values[:, 4].mean()) / values[:, 4].std()
    assert marker.deviation == pytest.approx(expected, rel=1e-5)


# -- texts, and several side by side -----------------------------------------------------------

TEXTS = ["ghost house", "ghost castle", "house castle ghost", "ship sea", "sea storm", "ship storm"]


def mixed(weights: tuple[float, float] = (1.0, 1.0)) -> tuple[Features, dict[str, Any]]:
    text = TextEncoder(TfidfVectorizer(stop_words=None, backend=CPU))
    parts = [Part(text, weights[0]), Part(NumbersEncoder(["year"]), weights[1])]
    return Features(parts), {"text": TEXTS, "year": np.array([1.0, 2, 3, 1, 2, 3])}


def test_features_stand_side_by_side() -> None:
    features, columns = mixed()
    rows = np.asarray(CPU.to_host(features.fit_transform(columns, CPU)))
    vectorizer = TfidfVectorizer(stop_words=None, backend=CPU)
    terms = CPU.to_host(vectorizer.fit_transform(TEXTS)).toarray()
    years = StandardScaler().fit_transform(columns["year"][:, None])
    np.testing.assert_allclose(rows, np.hstack([terms, years]), atol=1e-6)
    assert features.names == [*vectorizer.get_feature_names_out(), "year"]
    assert features.bounds == [(0, 6), (6, 7)]


def test_a_weight_is_of_the_variance() -> None:
    features, columns = mixed((4.0, 1.0))
    plain, _ = mixed()
    weighted = CPU.to_host(features.fit_transform(columns, CPU))
    rows = CPU.to_host(plain.fit_transform(columns, CPU))
    np.testing.assert_allclose(weighted[:, :6], 2 * rows[:, :6], rtol=1e-6)
    np.testing.assert_array_equal(weighted[:, 6], rows[:, 6])


def test_a_matrix_beside_others_has_variance_one() -> None:
    features = Features([Part(NumbersEncoder(["year"])), Part(MatrixEncoder())])
    columns = {"year": np.arange(30.0), "matrix": COUNTS * 100}
    rows = CPU.to_host(features.fit_transform(columns, CPU))
    assert rows[:, 1:].var(axis=0).sum() == pytest.approx(1, rel=1e-5)


def test_wide_and_mostly_empty_rows_stay_sparse() -> None:
    texts = [f"w{i} w{i + 1} w{i + 2}" for i in range(400)]
    text = TextEncoder(TfidfVectorizer(stop_words=None, backend=CPU))
    features = Features([Part(text), Part(NumbersEncoder(["n"]))])
    rows = features.fit_transform({"text": texts, "n": np.arange(400.0)}, CPU)
    assert issparse(rows)
    assert rows.nnz == 400 * 4


def test_fitted_features_come_back_as_they_were() -> None:
    features, columns = mixed((2.0, 1.0))
    rows = CPU.to_host(features.fit_transform(columns, CPU))
    restored = Features.from_state(*features.state())
    assert restored.names == features.names
    np.testing.assert_array_equal(CPU.to_host(restored.transform(columns, CPU)), rows)


def test_each_part_explains_clusters_in_its_own_words() -> None:
    features, columns = mixed()
    rows = CPU.to_host(features.fit_transform(columns, CPU))
    labels = np.array([0, 0, 0, 1, 1, 1], dtype=np.int32)
    first, second = features.reasons(columns, rows, labels, 2, 3)
    assert [reason.kind for reason in first] == ["term", "term", "term", "number"]
    assert first[0].name == "ghost"
    terms = rows[:, :6]
    at = features.names.index("ghost")
    assert first[0].mean == pytest.approx(terms[:3, at].mean())
    assert first[0].overall == pytest.approx(terms[:, at].mean())
    assert {reason.name for reason in second[:3]} == {"ship", "sea", "storm"}


@pytest.mark.parametrize("weight", [0, -1, math.inf, math.nan, True, "2"])
def test_a_weight_that_is_none_is_refused(weight: Any) -> None:
    with pytest.raises(InvalidParam, match="weight"):
        Features([Part(NumbersEncoder(["x"]), weight)])


def test_means_of_groups_are_those_of_their_rows() -> None:
    labels = np.array([0, 2, 0, 2, 2], dtype=np.int32)
    rows = np.arange(10.0).reshape(5, 2)
    means = group_means(csr_matrix(rows), labels, 4)
    np.testing.assert_allclose(means, [[2, 3], [0, 0], rows[[1, 3, 4]].mean(axis=0), [0, 0]])
