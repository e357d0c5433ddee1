"""Five users, each with a file and one command: films, tickets, customers, cells, embeddings."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from scipy import sparse
from scipy.io import mmwrite
from sklearn.metrics import adjusted_rand_score
from workbooks import workbook

import gpu_kmeans
from gpu_kmeans.cli import main
from gpu_kmeans.data import sample
from gpu_kmeans.errors import (
    FeatureMismatch,
    InputError,
    InvalidParam,
    InvalidQuery,
    MissingColumn,
    NonFinite,
    NotNumeric,
)
from gpu_kmeans.evaluate import evaluate
from gpu_kmeans.model import Model
from gpu_kmeans.model.profiles import profiles
from gpu_kmeans.questions.assign import assign
from gpu_kmeans.recommend import Recommender

K = 3


def run(capsys: Any, *arguments: object) -> Any:
    """What a command prints as JSON."""
    assert main([str(argument) for argument in (*arguments, "--json")]) == 0, capsys.readouterr()
    return json.loads(capsys.readouterr().out)


def refused(capsys: Any, *arguments: object) -> str:
    assert main([str(argument) for argument in arguments]) == 2
    return str(capsys.readouterr().err)


# -- the files -------------------------------------------------------------------------------


def customers(n: int = 600) -> tuple[list[str], list[list[Any]], NDArray[np.intp]]:
    """Three segments: numbers and categories, missing cells, one income of a billion."""
    draw = np.random.default_rng(7)
    segment = draw.integers(0, K, n)
    age = np.array([25, 45, 68])[segment] + draw.normal(0, 3, n)
    income = np.array([3e4, 9e4, 4e4])[segment] * np.exp(draw.normal(0, 0.15, n))
    visits = np.array([20, 9, 2])[segment] + draw.poisson(1, n)
    plan = np.array(["free", "pro", "basic"])[segment]
    region = draw.choice(["north", "south"], n)
    income[5] = 1e9
    rows = [
        [1000 + i, f"{age[i]:.1f}", f"{income[i]:.2f}", int(visits[i]), plan[i], region[i]]
        for i in range(n)
    ]
    for i in range(0, n, 20):
        rows[i][1 + i % 3] = ""
    return ["customer_id", "age", "income", "visits", "plan", "region"], rows, segment


def cells(n: int = 150, genes: int = 80) -> tuple[Any, NDArray[np.intp]]:
    """Counts of genes in cells of three kinds, each with ten markers."""
    draw = np.random.default_rng(3)
    kind = draw.integers(0, K, n)
    rate = np.tile(draw.gamma(0.5, 1, genes), (K, 1))
    for label in range(K):
        rate[label, 10 * label : 10 * label + 10] += 8
    depth = draw.lognormal(0, 0.4, n)[:, None]
    return sparse.csr_matrix(draw.poisson(rate[kind] * depth)), kind


def embeddings(n: int = 300, d: int = 24) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    draw = np.random.default_rng(11)
    kind = draw.integers(0, K, n)
    return (draw.normal(0, 2, (K, d))[kind] + draw.normal(0, 1, (n, d))).astype(np.float32), kind


def write_csv(path: Path, header: list[str], rows: list[list[Any]], **options: Any) -> Path:
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=options.get("delimiter", ",")).writerows([header, *rows])
    path.write_bytes(out.getvalue().encode(options.get("encoding", "utf-8")))
    return path


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, NDArray[np.intp]]:
    header, rows, segment = customers()
    return write_csv(tmp_path_factory.mktemp("people") / "customers.csv", header, rows), segment


@pytest.fixture(scope="module")
def people_model(people: tuple[Path, NDArray[np.intp]]) -> Model:
    return gpu_kmeans.fit(people[0], n_clusters=K + 1, backend="cpu")


# -- films and tickets -----------------------------------------------------------------------


def test_films_keep_all_their_columns(capsys: Any, tmp_path: Path) -> None:
    movies, credits = sample.paths()
    run(capsys, "fit", movies, credits, "--model", tmp_path / "model", "-k", 5)
    labels = run(capsys, "labels", tmp_path / "model", "--columns")
    with movies.open(encoding="utf-8", newline="") as file:
        films = list(csv.DictReader(file))
    columns = labels["columns"]
    assert columns[:4] == ["id", "title", "cluster", "distance"]
    assert {"genres", "tagline", "budget", "status"} <= set(columns)
    for row, film in zip(labels["rows"], films, strict=True):
        named = dict(zip(columns, row, strict=True))
        assert named["tagline"].lstrip("'") == film["tagline"]
        assert (str(named["id"]), named["budget"]) == (film["id"], film["budget"])
        genres = [genre["name"] for genre in json.loads(film["genres"])]
        assert json.loads(named["genres"]) == genres


def test_several_columns_of_texts_are_clustered_as_one(capsys: Any, tmp_path: Path) -> None:
    rows = [["printer", "is offline again"], ["refund", "of the invoice please"]] * 10
    path = write_csv(tmp_path / "tickets.csv", ["subject", "body"], rows)
    fit = ["fit", path, "--text", "subject", "--text", "body", "--model", tmp_path / "m", "-k", 2]
    run(capsys, *fit)
    model = Model.load(tmp_path / "m")
    assert model.items["text"][0].as_py() == "printer\nis offline again"
    assert {"printer", "offline", "refund", "invoice"} <= set(model.vectorizer.vocabulary_)
    assert "named twice" in refused(capsys, *fit, "--text", "body", "--overwrite")


def test_texts_without_spaces_are_clustered_by_characters(tmp_path: Path) -> None:
    parcels = ["這個包裹沒有送到我家", "快遞包裹丟失了請退款", "包裹送錯了地址", "包裹還沒有送到"]
    printers = ["打印機離線無法打印", "辦公室的打印機壞了", "打印機卡紙了", "打印機墨水用完"]
    draw = random.Random(2)
    rows = [[draw.choice(parcels if i % 2 else printers) + str(i)] for i in range(60)]
    path = write_csv(tmp_path / "reviews.csv", ["review"], rows)
    words = gpu_kmeans.fit(path, n_clusters=2, backend="cpu")
    assert any("--analyzer char" in warning for warning in words.info.warnings)
    model = gpu_kmeans.fit(path, n_clusters=2, analyzer="char", ngram_range=(1, 2), backend="cpu")
    assert not any("--analyzer" in warning for warning in model.info.warnings)
    assert adjusted_rand_score(np.arange(60) % 2, model.labels) == 1
    assert Recommender(model).predict(["包裹"])[0][0] == model.labels[1]


def test_stop_words_are_those_of_a_language_or_of_a_file(capsys: Any, tmp_path: Path) -> None:
    rows = [["der Drucker ist kaputt"], ["die Rechnung ist falsch"]] * 5
    path = write_csv(tmp_path / "tickets.csv", ["betreff"], rows)
    (tmp_path / "words.txt").write_text("kaputt\n\n falsch \n", encoding="utf-8")
    fit = ["fit", path, "--text", "betreff", "-k", 2, "--overwrite", "--model", tmp_path / "m"]
    expected = {
        "none": {"der", "die", "ist", "drucker", "kaputt", "rechnung", "falsch"},
        "de": {"drucker", "kaputt", "rechnung", "falsch"},
        str(tmp_path / "words.txt"): {"der", "die", "ist", "drucker", "rechnung"},
    }
    for words, terms in expected.items():
        if words == "de":
            pytest.importorskip("stopwordsiso", reason='needs pip install ".[languages]"')
        run(capsys, *fit, "--stop-words", words)
        assert set(Model.load(tmp_path / "m").vectorizer.vocabulary_) == terms
    assert "there are no stop words for 'xx'" in refused(capsys, *fit, "--stop-words", "xx")
    assert "file of UTF-8 words" in refused(capsys, *fit, "--stop-words", "nofile.txt")


# -- customers -------------------------------------------------------------------------------


def test_customers_are_segmented_in_one_command(
    capsys: Any, tmp_path: Path, people: tuple[Path, NDArray[np.intp]]
) -> None:
    path, segment = people
    fitted = run(capsys, "fit", path, "--model", tmp_path / "m", "-k", K + 1)
    assert fitted["catalogue"]["proposed"] == {
        "id": "customer_id",
        "numbers": ["age", "income", "visits"],
        "categories": ["plan", "region"],
    }
    assert any("missing in 10 of 600 rows" in warning for warning in fitted["warnings"])
    assert any("scale='robust'" in warning for warning in fitted["warnings"])
    labels = run(capsys, "labels", tmp_path / "m")
    assert labels["columns"] == ["id", "cluster", "distance"]
    clusters = np.array([row[1] for row in labels["rows"]])
    assert (clusters == clusters[5]).sum() == 1  # the one of a billion
    others = np.arange(600) != 5
    assert adjusted_rand_score(segment[others], clusters[others]) > 0.95


def test_profiles_tell_what_sets_customers_apart(
    capsys: Any, tmp_path: Path, people: tuple[Path, NDArray[np.intp]], people_model: Model
) -> None:
    _, rows, segment = customers()
    age = np.array([float(row[1]) if row[1] else np.nan for row in rows])
    for profile in profiles(people_model):
        members = people_model.labels == profile.label
        assert profile.size == members.sum()
        assert len(profile.typical) == min(3, profile.size)
        reasons = {(reason.kind, reason.name): reason for reason in profile.reasons}
        found = reasons["number", "age"]
        assert found.mean == pytest.approx(np.nanmean(age[members]))
        assert found.median == pytest.approx(np.nanmedian(age[members]))
        assert found.overall == pytest.approx(np.nanmean(age))
        if profile.size > 1:
            plan = ["free", "pro", "basic"][segment[members][0]]
            assert reasons["category", plan].mean > 0.99 > 0.5 > reasons["category", plan].overall
            nearest = np.argsort(people_model.distances[members], kind="stable")[:3]
            ids = np.array([row[0] for row in rows])[members][nearest]
            assert [item for item, _ in profile.typical] == ids.tolist()
    people_model.save(tmp_path / "m")
    shown = run(capsys, "profile", tmp_path / "m", "--reasons", 2, "--typical", 1)
    assert [len(cluster["typical"]) for cluster in shown["clusters"]] == [1] * (K + 1)
    assert main(["profile", str(tmp_path / "m")]) == 0
    said = capsys.readouterr().out
    assert "plan: pro" in said
    assert "age" in said


def test_new_customers_are_assigned_as_the_fitted_ones_were(
    capsys: Any, tmp_path: Path, people: tuple[Path, NDArray[np.intp]], people_model: Model
) -> None:
    again = assign(people_model, people[0], backend="cpu")
    assert again.ids == people_model.items["id"].to_pylist()
    assert again.labels.tolist() == people_model.labels.tolist()
    np.testing.assert_allclose(again.distances, people_model.distances, rtol=1e-4)
    people_model.save(tmp_path / "m")
    new = tmp_path / "new.csv"
    columns = ["plan", "age", "region", "visits", "income"]
    write_csv(new, columns, [["pro", "44", "up", "", "9e4"]])
    table = run(capsys, "assign", tmp_path / "m", new)
    [[number, label, distance]] = table["rows"]
    assert number == 1
    assert distance > 0
    member = int(np.flatnonzero(people_model.labels == label)[0])
    assert customers()[2][member] == 1
    with pytest.raises(MissingColumn, match="'income'"):
        assign(people_model, write_csv(new, ["age"], [["1"]]))
    with pytest.raises(NotNumeric, match="row 2, column 'age'"):
        assign(
            people_model,
            write_csv(
                new, ["plan", "age", "region", "visits", "income"], [["pro", "x", "", "1", "1"]]
            ),
        )


def test_assigned_rows_can_be_written_to_a_file(
    capsys: Any, tmp_path: Path, people: tuple[Path, NDArray[np.intp]], people_model: Model
) -> None:
    people_model.save(tmp_path / "m")
    out = tmp_path / "labels.csv"
    assert run(capsys, "labels", tmp_path / "m", "--out", out)["rows"] == 600
    assert "give --overwrite" in refused(capsys, "labels", tmp_path / "m", "--out", out)
    with out.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["id", "cluster", "distance"]
    assert [int(row[1]) for row in rows[1:]] == people_model.labels.tolist()
    run(capsys, "assign", tmp_path / "m", people[0], "--out", out, "--overwrite")
    with out.open(encoding="utf-8", newline="") as file:
        assert [row[:2] for row in csv.reader(file)] == [row[:2] for row in rows]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_items_like_one_are_the_nearest(capsys: Any, tmp_path: Path, people_model: Model) -> None:
    similar = Recommender(people_model).similar(1001, limit=5)
    rows = np.asarray(people_model.rows, dtype=np.float64)
    distances = np.linalg.norm(rows - rows[1], axis=1)
    distances[1] = np.inf
    assert [item.id for item in similar] == [1000 + row for row in np.argsort(distances)[:5]]
    assert similar[0].score == pytest.approx(1 / (1 + distances.min()))
    people_model.save(tmp_path / "m")
    shown = run(capsys, "recommend", tmp_path / "m", "--like", 1001, "--limit", 5)
    assert [item["id"] for item in shown["items"]] == [item.id for item in similar]
    assert "no item of the model has the id" in refused(
        capsys, "recommend", tmp_path / "m", "--like", "x"
    )
    in_clusters = ("recommend", tmp_path / "m", "ghost", "--clusters", 1)
    assert "without texts" in refused(capsys, *in_clusters)
    assert "recommend needs keywords" in refused(capsys, "recommend", tmp_path / "m")
    with pytest.raises(InvalidQuery, match="without texts"):
        Recommender(people_model).recommend("ghost")


def test_a_model_of_numbers_is_judged_by_its_own_rows(people_model: Model) -> None:
    judged = evaluate(people_model)
    rows = np.asarray(people_model.rows, dtype=np.float64)
    expected = sum(
        np.square(
            rows[people_model.labels == k] - rows[people_model.labels == k].mean(axis=0)
        ).sum()
        for k in range(K + 1)
    )
    assert judged.inertia == pytest.approx(expected, rel=1e-9)
    assert judged.inertia == pytest.approx(people_model.info.inertia, rel=1e-5)
    assert judged.silhouette is not None
    assert judged.silhouette.metric == "euclidean"
    assert judged.reach is None


def test_options_overrule_the_proposal(people: tuple[Path, NDArray[np.intp]]) -> None:
    path, _ = people
    model = gpu_kmeans.fit(
        path,
        n_clusters=2,
        columns={"numbers": ["income"], "id": "customer_id"},
        scale="robust",
        log=["income"],
        missing="flag",
        backend="cpu",
    )
    assert model.features.names == ["log income", "income is missing"]
    assert model.others is not None
    assert {"plan", "region", "age"} <= set(model.others.column_names)
    with pytest.raises(InputError, match=r"row 2, column 'age'.*missing"):
        gpu_kmeans.fit(path, columns={"numbers": ["age"]}, missing="refuse", backend="cpu")
    with pytest.raises(NotNumeric, match="column 'plan'"):
        gpu_kmeans.fit(path, columns={"numbers": ["plan"]}, backend="cpu")
    with pytest.raises(InvalidParam, match="named twice"):
        gpu_kmeans.fit(path, columns={"numbers": ["age"], "categories": ["age"]}, backend="cpu")
    with pytest.raises(InvalidParam, match="weights names 'text'"):
        gpu_kmeans.fit(path, weights={"text": 2.0}, backend="cpu")


def test_numbers_that_are_no_finite_numbers_are_refused(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", ["x"], [["1"], ["1e999"], ["2"]])
    with pytest.raises(NonFinite, match=r"a\.csv, row 3, column 'x'"):
        gpu_kmeans.fit(path, n_clusters=2, columns={"numbers": ["x"]}, backend="cpu")


def test_texts_and_numbers_of_one_table_are_clustered_together(capsys: Any, tmp_path: Path) -> None:
    rows = [
        [f"{'ghost castle' if i % 2 else 'ship storm'} {i}", str(1900 + 100 * (i // 20))]
        for i in range(40)
    ]
    path = write_csv(tmp_path / "books.csv", ["plot", "year"], rows)
    fit = ["fit", path, "--text", "plot", "--numbers", "year", "--overwrite"]
    run(capsys, *fit, "--model", tmp_path / "m", "-k", 4)
    model = Model.load(tmp_path / "m")
    groups = [2 * (i // 20) + i % 2 for i in range(40)]
    assert adjusted_rand_score(groups, model.labels) == 1
    recommended = Recommender(model).recommend("ghost", clusters=2)
    assert all("ghost" in model.items["text"][item.id - 1].as_py() for item in recommended.items)
    assert assign(model, path, backend="cpu").labels.tolist() == model.labels.tolist()
    heavy = ["--weight", "numbers=100", "--model", tmp_path / "m", "-k", 2]
    run(capsys, *fit, *heavy)
    years = Model.load(tmp_path / "m").labels
    assert adjusted_rand_score([i // 20 for i in range(40)], years) == 1
    assert "weight" in refused(capsys, *fit, "--weight", "numbers", "--model", tmp_path / "m")


def test_the_same_table_is_the_same_model_in_every_format(tmp_path: Path) -> None:
    header, rows, _ = customers(120)
    texts = [[str(cell) for cell in row] for row in rows]
    typed = {
        name: pa.array([row[i] if row[i] != "" else None for row in texts])
        for i, name in enumerate(header)
    }
    for name in ("age", "income", "visits"):
        typed[name] = typed[name].cast(pa.float64())
    pq.write_table(pa.table(typed), tmp_path / "c.parquet")
    lines = "".join(json.dumps(dict(zip(header, row, strict=True))) + "\n" for row in texts)
    (tmp_path / "c.jsonl").write_text(lines, encoding="utf-8")
    (tmp_path / "c.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    (tmp_path / "c.xlsx").write_bytes(workbook([header, *texts]))
    paths = [
        write_csv(tmp_path / "c.csv", header, texts),
        write_csv(tmp_path / "c.tsv", header, texts, delimiter="\t"),
        write_csv(tmp_path / "c16.csv", header, texts, delimiter=";", encoding="utf-16"),
        *(tmp_path / name for name in ("c.parquet", "c.jsonl", "c.jsonl.gz")),
    ]
    try:
        import python_calamine  # noqa: F401

        paths.append(tmp_path / "c.xlsx")
    except ImportError:
        pass
    models = [gpu_kmeans.fit(path, n_clusters=3, backend="cpu") for path in paths]
    for model in models[1:]:
        np.testing.assert_array_equal(model.rows, models[0].rows)
        np.testing.assert_array_equal(model.labels, models[0].labels)
        assert model.items.equals(models[0].items)


# -- matrices --------------------------------------------------------------------------------


def tenx(folder: Path, counts: Any) -> Path:
    """A folder as Cell Ranger writes it."""
    folder.mkdir()
    packed = io.BytesIO()
    mmwrite(packed, counts.T.tocoo())
    (folder / "matrix.mtx.gz").write_bytes(gzip.compress(packed.getvalue()))
    genes = "".join(f"ENSG{i}\tG{i}\tGene Expression\n" for i in range(counts.shape[1]))
    (folder / "features.tsv.gz").write_bytes(gzip.compress(genes.encode()))
    names = "".join(f"CELL{i}-1\n" for i in range(counts.shape[0]))
    (folder / "barcodes.tsv.gz").write_bytes(gzip.compress(names.encode()))
    return folder


@pytest.mark.parametrize("reduce", [0, 5])
def test_cells_are_clustered_and_their_markers_named(
    capsys: Any, tmp_path: Path, reduce: int
) -> None:
    counts, kind = cells()
    folder = tenx(tmp_path / "run", counts)
    options = ["--normalise", "rows", "--log1p", "--reduce", reduce, "-k", K]
    fitted = run(capsys, "fit", folder, "--model", tmp_path / "m", *options)
    assert (fitted["n_features"], fitted["n_terms"], fitted["reduced"]) == (80, 0, reduce)
    model = Model.load(tmp_path / "m")
    assert adjusted_rand_score(kind, model.labels) == 1
    assert model.items["id"][3].as_py() == "CELL3-1"
    for profile in profiles(model, n_reasons=10):
        label = kind[model.labels == profile.label][0]
        markers = {f"G{10 * label + i}" for i in range(10)}
        assert len(markers & {reason.name for reason in profile.reasons}) >= 9
    assert assign(model, folder, backend="cpu").labels.tolist() == model.labels.tolist()
    other = tenx(tmp_path / "other", counts[:, :79])
    with pytest.raises(FeatureMismatch, match="lacks 'G79'"):
        assign(model, other, backend="cpu")
    assert evaluate(model).silhouette is not None


def test_features_are_found_by_their_names(tmp_path: Path) -> None:
    counts, _ = cells()
    model = gpu_kmeans.fit(tenx(tmp_path / "run", counts), n_clusters=K, backend="cpu")
    order = np.random.default_rng(0).permutation(80)
    folder = tenx(tmp_path / "mixed", counts[:, order])
    genes = "".join(f"ENSG{i}\tG{i}\tGene Expression\n" for i in order)
    (folder / "features.tsv.gz").write_bytes(gzip.compress(genes.encode()))
    assert assign(model, folder, backend="cpu").labels.tolist() == model.labels.tolist()


def test_embeddings_are_the_same_in_numpy_and_parquet(capsys: Any, tmp_path: Path) -> None:
    rows, kind = embeddings()
    np.save(tmp_path / "e.npy", rows)
    sparse.save_npz(tmp_path / "e.npz", sparse.csr_matrix(rows))
    table = pa.table({"doc": [f"d{i}" for i in range(300)], "vector": list(rows)})
    pq.write_table(table, tmp_path / "e.parquet")
    models = []
    for name in ("e.npy", "e.parquet", "e.npz"):
        run(capsys, "fit", tmp_path / name, "--model", tmp_path / "m", "-k", K, "--overwrite")
        models.append(Model.load(tmp_path / "m"))
        assert adjusted_rand_score(kind, models[-1].labels) == 1
    np.testing.assert_array_equal(models[0].rows, models[1].rows)
    assert models[1].info.catalogue["proposed"] == {"matrix": "vector", "id": "doc"}
    assert models[1].items["id"][0].as_py() == "d0"
    assert assign(models[0], tmp_path / "e.npy").labels.tolist() == models[0].labels.tolist()
    new = assign(models[1], tmp_path / "e.parquet")
    assert new.labels.tolist() == models[1].labels.tolist()
    assert "no use for" in refused(
        capsys, "fit", tmp_path / "e.npy", "--text", "x", "--model", tmp_path / "n"
    )


# -- reduced ---------------------------------------------------------------------------------


def test_reduced_texts_are_searched_and_explained_by_their_own_terms(
    capsys: Any, tmp_path: Path
) -> None:
    movies, credits = sample.paths()
    options = ["--reduce", 12, "-k", 6, "--model", tmp_path / "m"]
    fitted = run(capsys, "fit", movies, credits, *options)
    model = Model.load(tmp_path / "m")
    assert model.reduction is not None
    assert model.centroids.shape == (6, 12)
    lengths = np.linalg.norm(model.reduction.rows, axis=1)
    np.testing.assert_allclose(lengths[model.clustered], 1, rtol=1e-5)
    means = np.array(
        [
            np.asarray(model.postings.to_csr()[model.labels == k].mean(axis=0)).ravel()
            for k in range(6)
        ]
    )
    np.testing.assert_allclose(model.feature_means, means, atol=1e-6)
    assert fitted["inertia"] == pytest.approx(evaluate(model, n_queries=20).inertia, rel=1e-4)
    texts = model.items["text"].to_pylist()[:20]
    labels, distances = Recommender(model).predict(texts)
    assert labels.tolist() == model.labels[:20].tolist()
    np.testing.assert_allclose(distances, model.distances[:20], atol=1e-5)
    answer = Recommender(model).recommend("ghost haunted house", limit=3)
    assert answer.items
    assert assign(model, movies, backend="cpu").labels.tolist() == model.labels.tolist()
    assert "reduce=5000 is more than" in refused(
        capsys, "fit", movies, "--reduce", 5000, "--model", tmp_path / "n"
    )


def test_the_same_seed_gives_the_same_reduced_model(tmp_path: Path) -> None:
    movies, _ = sample.paths()
    one, two = (
        gpu_kmeans.fit(movies, n_clusters=4, reduce=8, seed=3, backend="cpu") for _ in range(2)
    )
    np.testing.assert_array_equal(one.labels, two.labels)
    np.testing.assert_array_equal(one.centroids, two.centroids)
