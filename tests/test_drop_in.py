"""KMeans where scikit-learn's stood: in its tools, with its arguments, in its words."""

from __future__ import annotations

import inspect
import pickle
import re
import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import sklearn
from scipy import sparse
from shapes import KINDS, as_kind, blobs, same_partition, values
from sklearn.base import BaseEstimator, ClusterMixin, TransformerMixin, clone, is_clusterer
from sklearn.cluster import Birch
from sklearn.cluster import KMeans as SklearnKMeans
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from gpu_kmeans.clustering.kmeans import FewerClustersWarning, KMeans
from gpu_kmeans.errors import InvalidParam, NotFitted

ROWS, TRUTH = blobs(120, 4, 0)


def kmeans(k: int = 4, **arguments: Any) -> KMeans:
    return KMeans(k, **{"random_state": 0, "backend": "cpu", **arguments})


# -- its classes ------------------------------------------------------------------------


def test_it_is_what_scikit_learn_takes_it_for() -> None:
    model = kmeans()
    for kind in (BaseEstimator, ClusterMixin, TransformerMixin):
        assert isinstance(model, kind)
    assert is_clusterer(model)
    assert model._estimator_type == "clusterer"
    assert issubclass(FewerClustersWarning, ConvergenceWarning)
    with pytest.raises(NotFittedError) as raised:
        model.predict(ROWS)
    assert isinstance(raised.value, NotFitted)
    assert isinstance(pickle.loads(pickle.dumps(raised.value)), NotFittedError)


ORDERS = {
    "scikit-learn later": """
        from gpu_kmeans import KMeans
        early = KMeans()
        assert "sklearn" not in sys.modules, "KMeans brings scikit-learn"
        from sklearn.base import BaseEstimator, ClusterMixin, clone
        made = KMeans()
        assert isinstance(early, ClusterMixin)
        assert isinstance(clone(early), ClusterMixin)
    """,
    "a subclass of its own": """
        from gpu_kmeans import KMeans
        class Mine(KMeans):
            def transform(self, X):
                return -super().transform(X)
        from sklearn.base import BaseEstimator, ClusterMixin
        made = Mine(2, backend="cpu").set_output(transform="pandas")
        got = made.fit([[0.0], [1.0]]).transform([[0.0], [1.0]])
        assert list(got.columns) == ["mine0", "mine1"], got.columns
        assert (got.to_numpy() <= 0).all()
    """,
    "set_output alone": """
        from gpu_kmeans import KMeans
        made = KMeans(2, backend="cpu")
        assert "sklearn" not in sys.modules
        got = made.set_output(transform="pandas").fit([[0.0], [1.0]]).transform([[0.0], [1.0]])
        assert list(got.columns) == ["kmeans0", "kmeans1"], got.columns
        from sklearn.base import BaseEstimator, ClusterMixin
    """,
    "without scikit-learn": """
        sys.modules["sklearn"] = None
        from gpu_kmeans import KMeans
        from gpu_kmeans.errors import InvalidParam, NotFitted
        made = KMeans(2, backend="cpu").fit([[0.0], [1.0]])
        try:
            made.set_output(transform="pandas")
        except InvalidParam as error:
            assert "pip install scikit-learn" in str(error)
        try:
            KMeans().predict([[0.0]])
        except NotFitted:
            BaseEstimator = ClusterMixin = KMeans
    """,
}


@pytest.mark.parametrize("order", ORDERS)
def test_its_classes_are_scikit_learns_in_whatever_order_they_are_loaded(order: str) -> None:
    program = "import sys\n" + inspect.cleandoc(ORDERS[order])
    program += "\nassert isinstance(made, BaseEstimator) and isinstance(made, ClusterMixin)"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr


# -- its tools --------------------------------------------------------------------------


def test_birch_takes_it_for_its_last_step() -> None:
    found = Birch(threshold=0.1, n_clusters=kmeans(n_init=5)).fit(ROWS)
    assert same_partition(found.labels_, TRUTH)


def test_it_stands_in_pipelines_grids_and_validation() -> None:
    flow = make_pipeline(StandardScaler(), kmeans(n_init=5))
    assert same_partition(flow.fit_predict(ROWS), TRUTH)
    grid = GridSearchCV(kmeans(), {"n_clusters": [2, 4]}, cv=3).fit(ROWS)
    assert grid.best_params_ == {"n_clusters": 4}
    assert cross_val_score(kmeans(), ROWS, cv=3).shape == (3,)
    assert same_partition(clone(kmeans(n_init=5)).fit_predict(ROWS), TRUTH)
    again = pickle.loads(pickle.dumps(kmeans().fit(ROWS)))
    assert again.predict(ROWS).tolist() == again.labels_.tolist()


def test_notebooks_show_its_diagram() -> None:
    shown = kmeans(7)._repr_html_()
    assert "n_clusters" in shown
    assert "KMeans" in shown
    assert repr(kmeans(7)) == "KMeans(n_clusters=7, random_state=0, backend='cpu')"


@pytest.mark.parametrize("kind", KINDS)
def test_set_output_names_the_distances(kind: str) -> None:
    rows = as_kind(ROWS, kind)
    plain = kmeans().fit(rows).transform(rows)
    model = kmeans().set_output(transform="pandas")
    for got in (model.fit_transform(rows), model.transform(rows)):
        assert list(got.columns) == ["kmeans0", "kmeans1", "kmeans2", "kmeans3"]
        np.testing.assert_array_equal(got.to_numpy(), plain)
    named = pd.DataFrame(ROWS, index=[f"r{i}" for i in range(120)]).add_prefix("f")
    assert model.fit(named).transform(named).index.tolist() == named.index.tolist()
    model.set_output(transform="default")
    assert isinstance(model.transform(named), np.ndarray)
    with pytest.raises(ValueError, match="output config"):
        model.set_output(transform="lists").transform(named)


def test_weights_are_routed() -> None:
    weight = np.where(TRUTH == 0, 0.0, 1.0)
    with sklearn.config_context(enable_metadata_routing=True):
        step = kmeans(3, n_init=5).set_fit_request(sample_weight=True)
        routed = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), step)
        routed.fit(ROWS, sample_weight=weight)
        requests = step.get_metadata_routing()
    assert requests.fit.requests == {"sample_weight": True}
    scaled = StandardScaler().fit_transform(ROWS)
    assert routed[-1].labels_.tolist() == (
        kmeans(3, n_init=5).fit(scaled, sample_weight=weight).labels_.tolist()
    )


# -- its arguments ----------------------------------------------------------------------


def test_every_argument_of_scikit_learns_is_one_here() -> None:
    theirs = inspect.signature(SklearnKMeans).parameters
    ours = inspect.signature(KMeans).parameters
    assert set(theirs) <= set(ours)
    assert [name for name in ours if name in theirs] == list(theirs)
    for name, parameter in theirs.items():
        assert ours[name].kind == parameter.kind, name
        if name not in ("init", "algorithm"):
            assert ours[name].default == parameter.default, name
    with pytest.raises(TypeError):
        KMeans(3, "random")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_elkan_is_a_name_for_what_scikit_learns_finds(kind: str, dtype: Any) -> None:
    rows = as_kind(values(300, 12, 1, dtype=dtype), kind)
    start = values(300, 12, 1, dtype=dtype)[:6]
    theirs = SklearnKMeans(6, init=start, n_init=1, algorithm="elkan").fit(rows)
    ours = kmeans(6, init=start, algorithm="elkan").fit(rows)
    assert ours.labels_.tolist() == theirs.labels_.tolist()
    assert ours.n_iter_ == theirs.n_iter_
    np.testing.assert_allclose(ours.cluster_centers_, theirs.cluster_centers_, rtol=1e-5, atol=1e-6)


def test_elkan_for_one_cluster_is_warned_of() -> None:
    with pytest.warns(RuntimeWarning, match="'elkan' doesn't make sense for a single cluster"):
        kmeans(1, algorithm="elkan").fit(ROWS)


STARTS = {
    "list": lambda start: start.tolist(),
    "sparse": sparse.csr_matrix,
    "frame": pd.DataFrame,
    "frame of sparse columns": lambda start: pd.DataFrame(start).astype(pd.SparseDtype(float, 0)),
    "table": lambda start: pa.table({str(i): column for i, column in enumerate(start.T)}),
    "callable": lambda start: lambda X, n_clusters, random_state: start,
    "callable of sparse": lambda start: lambda X, n_clusters, random_state: sparse.coo_array(start),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", STARTS)
@pytest.mark.parametrize("algorithm", ["lloyd", "hartigan"])
def test_a_start_of_any_make_is_the_same_start(kind: str, name: str, algorithm: str) -> None:
    rows, start = as_kind(values(200, 8, 2), kind), values(200, 8, 2)[:5]
    one = kmeans(5, init=start, algorithm=algorithm).fit(rows)
    two = kmeans(5, init=STARTS[name](start), n_init=1, algorithm=algorithm).fit(rows)
    assert two.labels_.tolist() == one.labels_.tolist()
    np.testing.assert_array_equal(two.cluster_centers_, one.cluster_centers_)


@pytest.mark.parametrize("kind", KINDS)
def test_a_callable_start_is_called_as_scikit_learn_calls_it(kind: str) -> None:
    rows, heard = as_kind(ROWS, kind), []

    def draw(X: Any, n_clusters: int, random_state: Any) -> Any:
        heard.append((type(X), X.shape, n_clusters, random_state.randint(10**6)))
        assert isinstance(random_state, np.random.RandomState)
        return X[random_state.permutation(X.shape[0])[:n_clusters]]

    model = kmeans(init=draw).fit(rows)
    assert len(heard) == 10 == len({entry[3] for entry in heard})  # a start each, another each
    assert {entry[:3] for entry in heard} == {(type(rows), (120, 5), 4)}
    assert same_partition(model.labels_, TRUTH)
    first, heard[:] = list(heard), []
    assert kmeans(init=draw).fit(rows).labels_.tolist() == model.labels_.tolist()
    assert heard == first
    kmeans(init=draw, n_init=2).fit(rows)
    assert len(heard) == 12


@pytest.mark.parametrize(
    ("start", "said"),
    [
        (
            np.zeros((2, 5)),
            r"the initial centers \(2, 5\) does not match the number of clusters",
        ),
        (np.zeros((5, 5)), r"does not match the number of clusters 4: .* shape \(4, 5\)"),
        (np.zeros((4, 2)), "does not match the number of features of the data 5"),
        (lambda X, k, random_state: np.zeros((k + 1, 5)), "does not match the number of clusters"),
        (lambda X, k, random_state: "centers", "init must be one of .* a callable or an array"),
        (lambda X, k, random_state: [[np.nan] * 5] * k, "NaN at row 0, column 0"),
    ],
)
def test_starts_that_do_not_fit_are_refused(start: Any, said: str) -> None:
    with pytest.raises(InvalidParam, match=said):
        kmeans(init=start).fit(ROWS)


def test_more_starts_than_one_given_are_warned_of() -> None:
    with pytest.warns(RuntimeWarning, match="only one init in KMeans instead of n_init=3"):
        kmeans(init=ROWS[:4], n_init=3).fit(ROWS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for n_init in (1, "auto"):
            kmeans(init=ROWS[:4], n_init=n_init).fit(ROWS)


def test_without_a_seed_numpys_global_one_counts() -> None:
    rows = values(400, 10, 3)

    def labels(seed: int, random_state: Any = None) -> list[int]:
        np.random.seed(seed)
        model = kmeans(20, init="random", n_init=1, random_state=random_state, max_iter=1)
        return model.fit(rows).labels_.tolist()

    assert labels(1) == labels(1) == labels(1, np.random)
    assert labels(1) != labels(2)
    np.random.seed(1)
    twice = [kmeans(20, random_state=None, max_iter=1).fit(rows).labels_.tolist() for _ in "ab"]
    assert twice[0] != twice[1]


@pytest.mark.parametrize("copy_x", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_never_written_to(copy_x: bool, kind: str) -> None:
    rows = as_kind(ROWS + 100, kind)
    before = rows.copy()
    for values_ in (rows.data,) if kind == "sparse" else (rows,):
        values_.flags.writeable = False
    weight = np.ones(120)
    kmeans(copy_x=copy_x).fit(rows, sample_weight=weight).transform(rows)
    assert abs(rows - before).max() == 0
    assert (weight == 1).all()


# -- its words --------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["lloyd", "elkan", "hartigan"])
@pytest.mark.parametrize("tol", [1e-2, 0])
def test_verbose_prints_each_iteration(
    algorithm: str, tol: float, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = np.random.default_rng(0).normal(size=(2000, 10))
    arguments = {"init": "random", "n_init": 2, "tol": tol, "algorithm": algorithm}
    heard: list[Any] = []
    model = kmeans(verbose=1, callback=heard.append, **arguments).fit(rows)
    printed = capsys.readouterr().out
    assert printed.count("Initialization complete") == 2
    inertias = re.findall(r"^Iteration ([0-9]+), inertia ([0-9.]+)", printed, re.MULTILINE)
    assert [int(number) for number, _ in inertias] == [step.iteration for step in heard]
    np.testing.assert_allclose(
        [float(inertia) for _, inertia in inertias], [step.inertia for step in heard], rtol=1e-5
    )
    end = "strict convergence" if tol == 0 or algorithm == "hartigan" else "within tolerance 0.01"
    assert re.search(rf"Converged at iteration {model.n_iter_}: .*{end}", printed)
    assert kmeans(**arguments).fit(rows).labels_.tolist() == model.labels_.tolist()
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("algorithm", ["lloyd", "elkan"])
def test_more_centers_than_points_end_as_in_scikit_learn(kind: str, algorithm: str) -> None:
    rows = np.array([[0.0, 0.0], [1.0, 1.0], [1.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    said = r"distinct clusters \(4\) found smaller than n_clusters \(5\). Possibly due to duplicate"
    fits = []
    for estimator in (KMeans, SklearnKMeans):
        with pytest.warns(ConvergenceWarning, match=said):
            fits.append(estimator(5, init=rows, algorithm=algorithm).fit(as_kind(rows, kind)))
    ours, theirs = fits
    assert ours.n_iter_ == theirs.n_iter_ == 1
    assert ours.labels_.tolist() == theirs.labels_.tolist()
