"""Reduction of rows against NumPy's decomposition in float64, and against scikit-learn's."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest
from cuda_on_cpu import cupy_on_numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from shapes import KINDS, as_kind, values
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.metrics import adjusted_rand_score
from sklearn.pipeline import make_pipeline

import gpu_kmeans
from gpu_kmeans import KMeans, RandomizedSVD, TfidfVectorizer
from gpu_kmeans.backends.protocol import Backend
from gpu_kmeans.errors import FeatureMismatch, InvalidParam, NotFitted

SHAPES = st.tuples(st.integers(2, 40), st.integers(2, 12), st.integers(0, 10_000))


@pytest.fixture
def gpu_on_cpu() -> Iterator[Backend]:
    with cupy_on_numpy():
        yield importlib.import_module("gpu_kmeans.cuda").GpuBackend()


def centred(rows: np.ndarray, kind: str) -> np.ndarray:
    return rows - rows.mean(axis=0) if kind == "dense" else rows


def corpus(n: int = 1500, n_terms: int = 3000, seed: int = 1) -> sparse.csr_array:
    """Texts of 20 topics: each has words of its own, among words of all."""
    rng = np.random.default_rng(seed)
    topics = rng.integers(0, 20, n)
    own = topics[:, None] * 50 + rng.integers(0, 50, (n, 12))
    shared = 1000 + np.minimum(rng.zipf(1.4, (n, 20)) - 1, n_terms - 1001)
    columns = np.concatenate((own, shared), axis=1)
    counts = sparse.csr_array(
        (np.ones(columns.size), columns.ravel(), np.arange(n + 1) * columns.shape[1]),
        shape=(n, n_terms),
    )
    counts.sum_duplicates()
    idf = np.log(n / np.maximum(np.bincount(counts.indices, minlength=n_terms), 1)) + 1
    counts.data = counts.data * idf[counts.indices]
    lengths = np.sqrt(counts.multiply(counts).sum(axis=1))
    return sparse.csr_array(sparse.diags_array(1 / lengths) @ counts, dtype=np.float32)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None)
@given(shape=SHAPES, count=st.integers(1, 12))
def test_small_rows_have_the_decomposition_that_numpy_finds(backend, kind, shape, count):
    n, n_features, seed = shape
    rows = values(n, n_features, seed) - 0.2
    count = min(count, n, n_features)
    fitted = RandomizedSVD(count, random_state=seed, backend=backend).fit(as_kind(rows, kind))
    exact = centred(rows, kind)
    _, singular, vectors = np.linalg.svd(exact, full_matrices=False)
    np.testing.assert_allclose(fitted.singular_values_, singular[:count], atol=1e-9)
    components = fitted.components_
    np.testing.assert_allclose(components @ components.T, np.eye(count), atol=1e-12)
    scores = exact @ components.T
    np.testing.assert_allclose(fitted.explained_variance_, scores.var(axis=0), atol=1e-9)
    total = rows.var(axis=0).sum() or 1.0
    np.testing.assert_allclose(
        fitted.explained_variance_ratio_, scores.var(axis=0) / total, atol=1e-9
    )
    gaps = np.abs(np.diff(np.append(singular, 0)))
    for at in range(count):  # a vector is certain where its value stands alone
        if min(gaps[at], gaps[at - 1] if at else np.inf) > 0.05 * singular[0]:
            assert abs(components[at] @ vectors[at]) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_projections_are_products_with_the_components(backend, kind):
    rows, new = values(60, 30, 1), values(20, 30, 2)
    svd = RandomizedSVD(4, random_state=0, backend=backend)
    scores = svd.fit_transform(as_kind(rows, kind))
    offset = rows.mean(axis=0) if kind == "dense" else 0
    np.testing.assert_allclose(scores, (rows - offset) @ svd.components_.T, atol=1e-12)
    for other in KINDS:  # the fit decides what is taken away, not the container of new rows
        found = svd.transform(as_kind(new, other))
        np.testing.assert_allclose(found, (new - offset) @ svd.components_.T, atol=1e-12)
    assert np.array_equal(svd.transform(as_kind(rows, kind)), scores)
    back = svd.inverse_transform(scores)
    np.testing.assert_allclose(back, scores @ svd.components_ + offset, atol=1e-12)
    unit = RandomizedSVD(4, normalize=True, random_state=0, backend=backend)
    np.testing.assert_allclose(
        unit.fit_transform(as_kind(rows, kind)),
        scores / np.linalg.norm(scores, axis=1)[:, None],
        atol=1e-12,
    )


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_low_rank_are_made_again(backend, kind):
    rng = np.random.default_rng(3)
    rows = rng.standard_normal((80, 3)) @ rng.standard_normal((3, 50))
    svd = RandomizedSVD(6, random_state=0, backend=backend)
    scores = svd.fit_transform(as_kind(rows, kind))
    np.testing.assert_allclose(svd.inverse_transform(scores), rows, atol=1e-9)
    np.testing.assert_allclose(svd.components_ @ svd.components_.T, np.eye(6), atol=1e-10)
    np.testing.assert_allclose(svd.singular_values_[3:], 0, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_are_all_the_same_have_no_variance(backend, kind):
    for rows in (np.zeros((5, 4)), np.ones((5, 4), np.float32)):
        svd = RandomizedSVD(2, normalize=True, random_state=0, backend=backend)
        assert np.isfinite(svd.fit_transform(as_kind(rows, kind))).all()
        np.testing.assert_allclose(svd.explained_variance_, 0, atol=1e-6)
        np.testing.assert_allclose(svd.explained_variance_ratio_, 0, atol=1e-6)


def test_values_that_span_many_decades_are_told_apart(backend):
    rng = np.random.default_rng(4)
    left, right = (np.linalg.qr(rng.standard_normal((size, 8)))[0] for size in (300, 200))
    singular = 10.0 ** -np.arange(8)
    rows = sparse.csr_array((left * singular) @ right.T)
    svd = RandomizedSVD(6, random_state=0, backend=backend).fit(rows)
    np.testing.assert_allclose(svd.singular_values_, singular[:6], rtol=1e-6)


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_the_unit_of_the_rows_does_not_matter(backend, scale):
    rows = values(60, 40, 5, dtype=np.float32)
    one = RandomizedSVD(3, random_state=0, backend=backend).fit(rows)
    other = RandomizedSVD(3, random_state=0, backend=backend).fit(rows * np.float32(scale))
    np.testing.assert_allclose(other.components_, one.components_, atol=1e-4)
    np.testing.assert_allclose(other.singular_values_ / scale, one.singular_values_, rtol=1e-5)


def test_texts_keep_as_much_variance_as_scikit_learn_keeps(backend):
    rows = corpus()
    ours = RandomizedSVD(30, random_state=0, backend=backend).fit(rows)
    theirs = TruncatedSVD(30, random_state=0).fit(rows)
    share = theirs.explained_variance_ratio_.sum()
    assert ours.explained_variance_ratio_.sum() == pytest.approx(share, rel=0.01)
    wide = rows.astype(np.float64)
    scores = wide @ ours.components_.astype(np.float64).T  # recomputed from the components
    total = wide.multiply(wide).mean(axis=0) - np.square(wide.mean(axis=0))
    assert scores.var(axis=0).sum() / total.sum() == pytest.approx(share, rel=0.01)
    np.testing.assert_allclose(ours.explained_variance_, scores.var(axis=0), rtol=1e-4)
    orthonormal = ours.components_ @ ours.components_.T
    np.testing.assert_allclose(orthonormal, np.eye(30), atol=1e-5)


def test_one_more_time_through_the_rows_explains_more(backend):
    rows = corpus()
    shares = [
        RandomizedSVD(30, n_iter=n_iter, n_oversamples=2, random_state=0, backend=backend)
        .fit(rows)
        .explained_variance_ratio_.sum()
        for n_iter in (0, 1, 3, 8)
    ]
    assert shares == sorted(shares)
    best = TruncatedSVD(30, n_iter=30, random_state=0).fit(rows).explained_variance_ratio_.sum()
    assert shares[-1] == pytest.approx(best, rel=1e-3)


def test_dense_rows_have_the_principal_components(backend):
    rng = np.random.default_rng(6)
    rows = rng.standard_normal((400, 60)) * np.linspace(5, 0.1, 60) + 100
    ours = RandomizedSVD(5, random_state=0, n_iter=10, backend=backend).fit(rows)
    theirs = PCA(5, svd_solver="full").fit(rows)
    np.testing.assert_allclose(ours.singular_values_, theirs.singular_values_, rtol=1e-5)
    cosines = np.abs((ours.components_ * theirs.components_).sum(axis=1))
    np.testing.assert_allclose(cosines, 1, atol=1e-3)
    np.testing.assert_allclose(
        ours.explained_variance_ratio_, theirs.explained_variance_ratio_, rtol=1e-5
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_both_backends_find_the_same_components(gpu_on_cpu, kind, dtype):
    rng = np.random.default_rng(7)
    left, right = (np.linalg.qr(rng.standard_normal((size, 6)))[0] for size in (90, 40))
    rows = ((left * 2.0 ** -np.arange(6)) @ right.T).astype(dtype)
    mine, theirs = (
        RandomizedSVD(4, random_state=0, backend=backend).fit(as_kind(rows, kind))
        for backend in (gpu_on_cpu, "cpu")
    )
    assert mine.components_.dtype == theirs.components_.dtype == dtype
    atol = 1e-4 if dtype == np.float32 else 1e-10
    np.testing.assert_allclose(mine.components_, theirs.components_, atol=atol)
    new = as_kind(values(10, 40, 8, dtype=dtype), kind)
    np.testing.assert_allclose(mine.transform(new), theirs.transform(new), atol=10 * atol)


def test_the_largest_number_of_a_component_is_positive(backend):
    for seed in range(5):
        rows = values(30, 20, seed) - 0.3
        components = RandomizedSVD(5, random_state=seed, backend=backend).fit(rows).components_
        largest = np.abs(components).argmax(axis=1)
        assert (components[np.arange(5), largest] > 0).all()


THREADS = """
import sys
import numpy as np
from scipy import sparse
from gpu_kmeans import RandomizedSVD
rows = sparse.load_npz(sys.argv[1])
for name, some in (("sparse", rows), ("dense", rows[:, :400].toarray().astype(float))):
    svd = RandomizedSVD(60, random_state=3, backend="cpu")
    np.save(f"{sys.argv[2]}-{name}.npy", svd.fit_transform(some))
"""


def test_the_number_of_threads_does_not_matter(tmp_path):
    sparse.save_npz(tmp_path / "rows.npz", corpus())
    for threads in ("1", "3"):
        env = {**os.environ, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
        given = (tmp_path / "rows.npz", tmp_path / threads)
        command = [sys.executable, "-c", THREADS, *map(str, given)]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
    one, three = (
        [np.load(tmp_path / f"{threads}-{kind}.npy") for kind in KINDS] for threads in "13"
    )
    assert np.array_equal(one[0], three[0])
    np.testing.assert_allclose(one[1], three[1], atol=1e-6)  # BLAS multiplies dense rows


def test_the_seed_decides(backend):
    rows = corpus(300, 1200)
    one, two, other = (
        RandomizedSVD(5, random_state=seed, backend=backend).fit_transform(rows)
        for seed in (1, 1, 2)
    )
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)


def test_sparse_rows_are_never_made_dense(backend):
    rows = sparse.csr_array(
        (np.ones(4000, np.float32), (np.arange(4000), np.arange(4000) * 99)),
        shape=(4000, 400_000),
    )  # 6 GB as a dense array
    svd = RandomizedSVD(2, n_oversamples=1, n_iter=1, random_state=0, backend=backend)
    scores = svd.fit_transform(rows)
    assert scores.shape == (4000, 2)
    assert svd.mean_ is None


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"n_components": 0}, "n_components"),
        ({"n_components": 2.0}, "n_components"),
        ({"n_components": 5}, r"n_components=5 .*=4: there are n_samples=9 and n_features=4"),
        ({"n_iter": -1}, "n_iter"),
        ({"n_oversamples": -1}, "n_oversamples"),
        ({"normalize": "yes"}, "normalize"),
        ({"random_state": "x"}, "random_state"),
    ],
)
def test_a_parameter_outside_its_domain_is_refused(params, said):
    with pytest.raises(InvalidParam, match=said):
        RandomizedSVD(**{"n_components": 2, **params}).fit(np.eye(9)[:, :4])


def test_what_does_not_fit_the_fit_is_refused():
    with pytest.raises(NotFitted):
        RandomizedSVD(2).transform(np.eye(3))
    svd = RandomizedSVD(2, random_state=0, backend="cpu").fit(np.eye(5))
    with pytest.raises(FeatureMismatch):
        svd.transform(np.eye(4))
    with pytest.raises(FeatureMismatch):
        svd.inverse_transform(np.eye(5))
    assert svd.get_feature_names_out().tolist() == ["randomizedsvd0", "randomizedsvd1"]


def test_it_is_a_transformer_to_scikit_learn():
    from sklearn.utils.estimator_checks import check_estimator

    results = check_estimator(RandomizedSVD(1, random_state=0), on_fail=None, on_skip=None)
    failed = {r["check_name"]: r["exception"] for r in results if r["status"] == "failed"}
    assert not failed


def test_a_pipeline_of_texts_finds_their_topics():
    rng = np.random.default_rng(9)
    topics = rng.integers(0, 20, 1200)
    texts = [
        " ".join(
            [f"own{topic}x{word}" for word in rng.integers(0, 30, 10)]
            + [f"all{word}" for word in rng.zipf(1.5, 15) % 500]
        )
        for topic in topics
    ]
    pipeline = make_pipeline(
        TfidfVectorizer(weighting="bm25", backend="cpu"),
        RandomizedSVD(50, normalize=True, random_state=0, backend="cpu"),
        KMeans(20, random_state=0, backend="cpu"),
    )
    labels = pipeline.fit_predict(texts)
    assert adjusted_rand_score(topics, labels) > 0.95
    assert np.array_equal(pipeline.predict(texts), labels)


def test_it_is_public():
    assert gpu_kmeans.RandomizedSVD is RandomizedSVD
    assert "RandomizedSVD" in gpu_kmeans.__all__
