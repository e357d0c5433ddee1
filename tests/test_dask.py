"""The Dask backend: the same labels on any number of workers, and what becomes of lost ones."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import sparse

from gpu_kmeans import KMeans, Model, TfidfVectorizer
from gpu_kmeans.backends.select import choose, connected, resolve
from gpu_kmeans.cli import main
from gpu_kmeans.errors import (
    BackendUnavailable,
    Cancelled,
    InputError,
    InvalidParam,
    UnsupportedOnBackend,
    WorkersLost,
)

distributed = pytest.importorskip("distributed", reason="the extra `dask` is not installed")

from gpu_kmeans.distributed import DaskBackend  # noqa: E402
from gpu_kmeans.distributed.pool import Pool  # noqa: E402
from gpu_kmeans.distributed.sums import unit_of  # noqa: E402

CPU = resolve("cpu")
CLUSTER = {"threads_per_worker": 1, "processes": True, "dashboard_address": ":0"}


def texts_like(n: int = 2400, width: int = 300, seed: int = 1) -> Any:
    rng = np.random.default_rng(seed)
    topic = rng.integers(0, 12, n)
    rates = rng.gamma(0.05, 1.0, (12, width))[topic] * 0.6 + 0.01
    rows = rng.poisson(rates).astype(np.float32)
    rows[:, 0] += 1
    return sparse.csr_array(rows / np.linalg.norm(rows, axis=1, keepdims=True))


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with distributed.LocalCluster(n_workers=3, **CLUSTER) as cluster:
        yield cluster


@pytest.fixture
def client(cluster: Any) -> Iterator[Any]:
    with distributed.Client(cluster) as client:
        client.wait_for_workers(2, timeout=60)
        yield client


class Some:
    """A client that knows some of the workers alone."""

    def __init__(self, client: Any, count: int) -> None:
        self._client = client
        workers = client.scheduler_info(n_workers=-1)["workers"]
        self._workers = dict(sorted(workers.items())[:count])

    def scheduler_info(self, n_workers: int) -> dict[str, Any]:
        return {"workers": self._workers}

    def run(self, *args: Any, **kwargs: Any) -> Any:
        return self._client.run(*args, **kwargs)


@pytest.mark.parametrize("algorithm", ["hartigan", "lloyd", "minibatch"])
def test_labels_are_those_of_one_machine_on_any_number_of_workers(
    algorithm: str, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gpu_kmeans.clustering.minibatch.FIRST_BATCH", 600)
    rows = texts_like()
    options: dict[str, Any] = {"n_clusters": 8, "random_state": 0, "algorithm": algorithm}
    one = KMeans(backend="cpu", **options).fit(rows)
    for count in (1, 2, 3):
        many = KMeans(backend=DaskBackend(Some(client, count)), **options).fit(rows)
        np.testing.assert_array_equal(many.labels_, one.labels_)
        np.testing.assert_allclose(many.cluster_centers_, one.cluster_centers_, atol=1e-6)
        assert many.inertia_ == pytest.approx(one.inertia_, rel=1e-9)
        assert many.backend_ == "dask"
        np.testing.assert_array_equal(many.predict(rows[:70]), one.labels_[:70])


def test_parts_of_any_size_are_one_matrix(client: Any) -> None:
    rows = texts_like(900)
    weight = np.random.default_rng(0).uniform(0.5, 2, 900)
    backend = DaskBackend(client)
    parts = backend.rows([rows[:1], rows[1:500], rows[500:]])
    assert parts.shape == rows.shape
    many = KMeans(5, random_state=1, backend=backend).fit(parts, sample_weight=weight)
    one = KMeans(5, random_state=1, backend="cpu").fit(rows, sample_weight=weight)
    np.testing.assert_array_equal(many.labels_, one.labels_)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_verbs_say_what_they_say_on_one_machine(client: Any, dtype: Any) -> None:
    rows = texts_like(700).astype(dtype)
    backend = DaskBackend(client)
    here, there = CPU.matrix(rows), backend.matrix(rows)
    np.testing.assert_allclose(backend.squared_norms(there), CPU.squared_norms(here))
    labels = np.random.default_rng(2).integers(0, 6, 700).astype(np.int32)
    weight = np.random.default_rng(3).uniform(0.1, 3, 700)
    norms = CPU.squared_norms(here)
    for w in (None, weight):
        one, many = CPU.cluster_sums(here, labels, 6, w), backend.cluster_sums(there, labels, 6, w)
        np.testing.assert_allclose(backend.to_host(many.sums), CPU.to_host(one.sums), rtol=1e-5)
        np.testing.assert_allclose(many.weight, one.weight)
        np.testing.assert_allclose(many.squared_norms, one.squared_norms)
        which = np.arange(0, 700, 7)
        target = ((labels[which] + 1) % 6).astype(np.int32)
        for each, clusters, matrix in ((CPU, one, here), (backend, many, there)):
            each.move(clusters, matrix, which, labels[which], target, w)
        moved = labels.copy()
        moved[which] = target
        for block in (slice(0, 700), slice(100, 350)):
            asked = moved[block], None if w is None else w[block], norms[block]
            expected = CPU.assign(here[block], one, *asked)
            answer = backend.assign(there[block], many, *asked)
            np.testing.assert_array_equal(answer.nearest, expected.nearest)
            np.testing.assert_allclose(answer.cost, expected.cost, rtol=1e-4, atol=1e-6)
            np.testing.assert_allclose(answer.own, expected.own, rtol=1e-4, atol=1e-6)
    centroids = CPU.centroids(one)
    np.testing.assert_allclose(
        backend.distances(there, centroids, labels), CPU.distances(here, centroids, labels)
    )
    some = np.random.default_rng(4).permutation(700)[:300]
    assert abs(backend.to_host(there[some]) - rows[some]).max() == 0
    assert abs(backend.to_host(there) - rows).max() == 0


def test_rare_features_go_where_their_rows_go(client: Any) -> None:
    rng = np.random.default_rng(8)
    n, k, width = 1500, 100, 6000
    columns = rng.integers(0, width, (n, 12))  # each in three rows or so
    rows = sparse.csr_array(
        (np.ones(12 * n, np.float32), (np.repeat(np.arange(n), 12), columns.ravel())), (n, width)
    )
    backend, here = DaskBackend(client), CPU.matrix(rows)
    there = backend.matrix(rows)
    labels = rng.integers(0, k, n).astype(np.int32)
    many = backend.cluster_sums(there, labels, k)
    for _ in range(4):
        target = rng.integers(0, k, n).astype(np.int32)
        backend.move(many, there, np.arange(n), labels, target)
        labels = target
    one = CPU.cluster_sums(here, labels, k)
    np.testing.assert_allclose(backend.to_host(many.sums), CPU.to_host(one.sums), atol=1e-4)
    norms = CPU.squared_norms(here)
    answer = backend.assign(there, many, labels, None, norms)
    expected = CPU.assign(here, one, labels, None, norms)
    np.testing.assert_allclose(answer.own, expected.own, atol=1e-3)
    np.testing.assert_allclose(answer.cost, expected.cost, atol=1e-3)


def test_sums_are_the_same_in_any_order() -> None:
    values = np.random.default_rng(0).normal(size=4000).astype(np.float32)
    unit = unit_of(float(abs(values).max()), 4000)
    sums = {
        int(np.rint(values[order].astype(float) / unit).astype(np.int64).sum())
        for order in (np.arange(4000), np.arange(4000)[::-1])
    }
    assert len(sums) == 1
    assert sums.pop() * unit == pytest.approx(values.astype(float).sum(), abs=1e-12)
    assert abs(values).sum() / unit < 2**63


# -- texts in files ------------------------------------------------------------------------------


def written(folder: Path) -> list[Any]:
    """Texts in three files of both kinds, one of them missing."""
    rng = np.random.default_rng(5)
    words = np.array([f"word{i}" for i in range(80)] + ["the", "Été", "naïve"])
    texts: list[Any] = [" ".join(rng.choice(words, 9)) for _ in range(240)]
    texts[7] = ""
    cuts = texts[:90], texts[90:91], texts[91:]
    for number, part in enumerate(cuts):
        table = pa.table({"plot": part, "id": list(range(len(part)))})
        if number == 1:
            (folder / "1.csv").write_text("id,plot\n0," + part[0] + "\n", encoding="utf-8")
        else:
            pq.write_table(table, folder / f"{number}.parquet")
    return texts


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"min_df": 3, "max_df": 0.15, "max_features": 30},
        {"weighting": "bm25", "stop_words": None, "min_df": 2},
        {"analyzer": "char", "ngram_range": (2, 3), "max_features": 90},
    ],
)
def test_texts_of_many_files_are_weighed_as_in_one(
    params: dict[str, Any], client: Any, tmp_path: Path
) -> None:
    texts = written(tmp_path)
    one = TfidfVectorizer(backend="cpu", **params)
    rows = CPU.to_host(one.fit_transform(texts))
    many, parts = DaskBackend(client).read_texts(str(tmp_path / "*"), "plot", **params)
    assert many.vocabulary_ == one.vocabulary_
    np.testing.assert_array_equal(many.idf_, one.idf_)
    assert parts.shape == rows.shape
    assert abs(DaskBackend(client).to_host(parts) - rows).max() == 0


def test_files_that_cannot_be_read_are_named(client: Any, tmp_path: Path) -> None:
    backend = DaskBackend(client)
    with pytest.raises(InputError, match="no file fits"):
        backend.read_texts(str(tmp_path / "*.parquet"), "plot")
    written(tmp_path)
    with pytest.raises(InputError, match=r"0\.parquet"):
        backend.read_texts(str(tmp_path / "*"), "text")
    with pytest.raises(UnsupportedOnBackend, match="log-entropy"):
        backend.read_texts(str(tmp_path / "*"), "plot", weighting="log-entropy")
    with pytest.raises(InputError, match=r"row 1: 0 is not a text"):
        backend.read_texts(str(tmp_path / "*.parquet"), "id")


# -- refusals ------------------------------------------------------------------------------------


def test_what_the_backend_does_not_do_names_the_way_out(client: Any) -> None:
    backend = DaskBackend(client)
    with pytest.raises(UnsupportedOnBackend, match="backend='cpu'"):
        KMeans(2, backend=backend).fit(np.eye(5))
    with pytest.raises(UnsupportedOnBackend, match=r"parts\[1\] is 'ndarray'"):
        backend.rows([texts_like(70), np.eye(3)])
    with pytest.raises(UnsupportedOnBackend, match="one machine"):
        backend.neighbors(backend.matrix(texts_like(70)), 3)


def test_bad_parts_are_refused_by_their_number(client: Any) -> None:
    backend = DaskBackend(client)
    with pytest.raises(InvalidParam, match=r"parts\[1\] has 200 features, and parts\[0\] has 300"):
        backend.rows([texts_like(70), texts_like(70, 200)])
    wrong = texts_like(70)
    wrong.data[3] = np.nan
    with pytest.raises(InputError, match=r"parts\[1\]"):
        backend.rows([texts_like(70), wrong])
    for parts in ([], "parts", None):
        with pytest.raises(InvalidParam, match="a list of CSR"):
            backend.rows(parts)
    with pytest.raises(InvalidParam, match=r"distributed\.Client"):
        DaskBackend("localhost:8786")


def test_the_backend_is_that_of_a_client(client: Any) -> None:
    backend, reason = choose(client)
    assert backend.name == "dask"
    assert "client" in reason
    assert resolve("dask").name == "dask"


def test_without_a_client_or_a_scheduler_the_next_step_is_named() -> None:
    with pytest.raises(BackendUnavailable, match=r"client = distributed\.Client"):
        KMeans(2, backend="dask").fit(texts_like(70))
    for scheduler in ("local:0", "local:x", "nowhere", ""):
        with pytest.raises(InvalidParam, match="local:N"), connected("auto", scheduler):
            pass


def test_the_command_line_fits_on_workers_of_this_machine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gpu_kmeans.distributed.cluster.CONNECT_SECONDS", 1)
    sparse.save_npz(tmp_path / "rows.npz", texts_like(300).tocsr())
    fit = ["fit", str(tmp_path / "rows.npz"), "--clusters", "4", "--json", "--model"]
    assert main([*fit, str(tmp_path / "one"), "--backend", "cpu"]) == 0
    assert main([*fit, str(tmp_path / "many"), "--scheduler", "local:1"]) == 0
    one, many = Model.load(tmp_path / "one"), Model.load(tmp_path / "many")
    np.testing.assert_array_equal(many.labels, one.labels)
    assert many.info.backend == "dask"
    capsys.readouterr()
    assert main([*fit, str(tmp_path / "none"), "--scheduler", "127.0.0.1:1"]) == 2
    assert "dask scheduler" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_a_cluster_without_workers_says_so(client: Any) -> None:
    with pytest.raises(WorkersLost, match="no worker left"):
        Pool(Some(client, 0), CPU, lambda part: None, [3])


# -- losses: at the end, as lost workers take a while to come back ---------------------------------


def test_a_cancelled_fit_leaves_workers_that_fit_again(client: Any) -> None:
    def cancel(step: Any) -> None:
        raise Cancelled("enough")

    rows, backend = texts_like(800), DaskBackend(client)
    with pytest.raises(Cancelled):
        KMeans(4, random_state=0, backend=backend, callback=cancel).fit(rows)
    again = KMeans(4, random_state=0, backend=backend).fit(rows)
    one = KMeans(4, random_state=0, backend="cpu").fit(rows)
    np.testing.assert_array_equal(again.labels_, one.labels_)


def test_workers_forget_rows_that_nobody_holds(client: Any) -> None:
    backend = DaskBackend(client)
    rows = backend.matrix(texts_like(400))
    session = rows.pool.session
    del rows
    backend.close()

    def held(session: str) -> bool:
        from gpu_kmeans.distributed import worker

        return session in worker._SESSIONS

    assert not any(client.run(held, session).values())


def kill(client: Any, address: str) -> None:
    pid = (
        client.scheduler_info(n_workers=-1)["workers"][address]["nanny"]
        and client.run(os.getpid, workers=[address])[address]
    )
    os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("when", [1, 4, 9])
def test_a_fit_goes_on_with_the_same_labels_when_a_worker_is_killed(when: int, client: Any) -> None:
    rows = texts_like(1200)
    backend = DaskBackend(client)
    parts = backend.matrix(rows)
    steps: list[Any] = []

    def killing(step: Any) -> None:
        steps.append(step)
        if len(steps) == when:
            kill(client, parts.pool.workers[0])

    many = KMeans(8, random_state=0, backend=backend, callback=killing).fit(parts)
    one = KMeans(8, random_state=0, backend="cpu").fit(rows)
    assert len(steps) > when
    np.testing.assert_array_equal(many.labels_, one.labels_)


def test_files_are_read_again_where_a_worker_was_killed(client: Any, tmp_path: Path) -> None:
    texts = written(tmp_path)
    backend = DaskBackend(client)
    _, parts = backend.read_texts(str(tmp_path / "*"), "plot")
    kill(client, parts.pool.workers[0])
    many = KMeans(4, random_state=0, backend=backend).fit(parts)
    rows = TfidfVectorizer(backend="cpu").fit_transform(texts)
    one = KMeans(4, random_state=0, backend="cpu").fit(rows)
    np.testing.assert_array_equal(many.labels_, one.labels_)


def test_a_part_that_is_lost_twice_ends_the_fit_and_leaves_nothing(client: Any) -> None:
    rows = texts_like(1200)
    backend = DaskBackend(client)
    parts = backend.matrix(rows)
    kmeans = KMeans(8, random_state=0, backend=backend)

    def killing(step: Any) -> None:
        kill(client, parts.pool.workers[0])

    kmeans.callback = killing
    with pytest.raises(WorkersLost, match=r"lost twice|no worker left"):
        kmeans.fit(parts)
    assert not hasattr(kmeans, "labels_")
