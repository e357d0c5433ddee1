"""Tables and matrices of any kind through the service: upload, fit, labels, profiles, assign."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from scipy import io as scipy_io
from scipy import sparse
from serving import BYTES, CSV, FILMS, GZIP, NDJSON, PARQUET, TSV, XLSX, Server, films, refused
from sklearn.metrics import adjusted_rand_score
from workbooks import workbook

from gpu_kmeans.clustering.base import ALGORITHMS
from gpu_kmeans.data.roles import FEATURES, ROLES
from gpu_kmeans.service import archive

GROUPS = 3
N = 90


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("tables") / "data") as server:
        yield server
        assert not [line for line in server.log() if line["level"] == "error"]
        assert not server.incoming()
        assert server.stop() == 0


def refused_items(server: Server, content: bytes | str, kind: str = CSV, **query: Any) -> Any:
    return server.http.put(
        "/v1/datasets/refused/items", content=content, params=query, headers={"content-type": kind}
    )


def labels(server: Server, model: str, **query: Any) -> list[dict[str, str]]:
    reply = server.http.get(f"/v1/models/{model}/export", params=query)
    assert reply.status_code == 200, reply.text
    return list(csv.DictReader(io.StringIO(reply.text, newline="")))


def assigned(
    server: Server, model: str, content: bytes | str, kind: str = CSV, **query: Any
) -> dict[str, Any]:
    reply = server.http.post(
        f"/v1/models/{model}/assign", content=content, params=query, headers={"content-type": kind}
    )
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


def assert_assigned_as_fitted(
    server: Server, model: str, content: bytes | str, kind: str = CSV, **query: Any
) -> None:
    """Rows of the fit go to the clusters that they are in, at the same distance."""
    own = labels(server, model)
    found = assigned(server, model, content, kind, **query)
    assert [str(row["id"]) for row in found["rows"]] == [row["id"] for row in own]
    assert [row["cluster"] for row in found["rows"]] == [int(row["cluster"]) for row in own]
    for row, exported in zip(found["rows"], own, strict=True):
        if row["cluster"] >= 0:
            assert row["distance"] == pytest.approx(float(exported["distance"]), abs=1e-3)


# -- films: a catalogue with a text and an id --------------------------------------------------


def test_films(server: Server) -> None:
    said = server.put("films", films(80))
    assert said["clustered"] == {
        **{"text": ["overview"], "numbers": [], "categories": [], "matrix": None}
    }
    assert said["proposed"] == {}
    server.fit("films", n_clusters=5, reduce=20, weighting="bm25")
    found = server.get("/v1/models/films/profiles", reasons=3, typical=2)
    assert [cluster["size"] for cluster in found["clusters"]] == [
        cluster["size"] for cluster in server.get("/v1/models/films/clusters")["clusters"]
    ]
    for cluster in found["clusters"]:
        assert {reason["kind"] for reason in cluster["reasons"]} <= {"term"}
        assert len(cluster["reasons"]) <= 3
        assert len(cluster["typical"]) == min(2, cluster["size"])
    assert_assigned_as_fitted(server, "films", films(80))
    reply = server.http.post(
        "/v1/models/films/predict", json={"texts": [FILMS[0]["overview"], "zzz"]}
    )
    assert [row["cluster"] for row in reply.json()["predictions"]][1] == -1


# -- tickets: no ids, semicolons, Windows-1252 -------------------------------------------------

TICKETS = [
    ("Drucker", "Der Drucker druckt keine grünen Seiten mehr"),
    ("Konto", "Das Passwort für mein Konto läuft übermorgen ab"),
    ("Netz", "Das Netz fällt im Büro täglich für Stunden aus"),
]


def tickets(count: int = N) -> bytes:
    lines = ["queue;body"]
    for at in range(count):
        queue, text = TICKETS[at % GROUPS]
        lines.append(f"{queue};{text}, Nummer{at}")
    return "\n".join(lines).encode("windows-1252")


def test_tickets_without_ids(server: Server) -> None:
    kind = f"{CSV}; charset=windows-1252"
    said = server.put("tickets", tickets(), kind, delimiter=";")
    assert (said["rows"], said["clustered"]["text"]) == (N, ["body"])
    assert said["proposed"] == {"text": "body"}
    assert "id" not in said["columns"]
    assert any("'body' is clustered" in problem for problem in said["problems"])
    assert any("numbered from 1" in problem for problem in said["problems"])
    server.fit("tickets", n_clusters=GROUPS, stop_words=["das", "der", "für"])
    rows = labels(server, "tickets", columns=True)
    assert [row["id"] for row in rows] == [str(at + 1) for at in range(N)]
    queues = [row["queue"] for row in rows]
    assert adjusted_rand_score(queues, [row["cluster"] for row in rows]) == 1.0
    assert rows[0]["text"] == "Der Drucker druckt keine grünen Seiten mehr, Nummer0"
    item = server.get("/v1/models/tickets/items/1")
    assert item["columns"] == {"queue": "Drucker"}
    terms = {
        reason["name"]
        for cluster in server.get("/v1/models/tickets/profiles")["clusters"]
        for reason in cluster["reasons"]
    }
    assert {"drucker", "konto", "büro"} <= terms
    assert "das" not in terms
    assert_assigned_as_fitted(server, "tickets", tickets(), kind, delimiter=";")
    # In UTF-8 and with tabs it is the same table.
    again = tickets().decode("windows-1252").replace(";", "\t")
    assert_assigned_as_fitted(server, "tickets", again, TSV)


def test_a_dataset_is_read_again_as_it_was_sent(server: Server) -> None:
    """The charset and the delimiter are those of the fit as well."""
    content = "id|overview;x\n" + "".join(f"{n}|Käse;{n % 2}\n" for n in range(9))
    kind = f'{CSV}; charset="windows-1252"'
    server.put("bars", content.encode("windows-1252"), kind, delimiter="|", text="overview;x")
    server.fit("bars", n_clusters=1)
    assert server.get("/v1/models/bars/items/3")["text"] == "Käse;1"
    reply = server.http.put(
        "/v1/datasets/bars/credits",
        content="movie_id,cast\n1,[]\n",
        headers={"content-type": f"{CSV}; charset=utf-8"},
    )
    assert "send both alike" in refused(reply, 422, "invalid_param")


# -- customers: numbers and categories ---------------------------------------------------------


def customers(count: int = N) -> list[dict[str, Any]]:
    random = np.random.default_rng(5)
    rows = []
    for at in range(count):
        group = at % GROUPS
        rows.append(
            {
                "customer": f"c{at}",
                "age": "" if at == 7 else round(20 + 20 * group + random.normal(), 1),
                "income": 1e9 if at == 11 else round(1_000 + 900 * group + random.normal(), 1),
                "plan": ("free", "basic", "pro")[group],
            }
        )
    return rows


def as_csv(rows: list[dict[str, Any]]) -> str:
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, rows[0])
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def test_customers_of_numbers_and_categories(server: Server) -> None:
    content = as_csv(customers())
    said = server.put(
        "customers", content, id="customer", numbers=["age", "income"], categories=["plan"]
    )
    assert said["columns"] == {"id": "customer"}
    assert said["clustered"] == {
        **{"text": [], "numbers": ["age", "income"], "categories": ["plan"], "matrix": None}
    }
    given = {"scale": "robust", "log": ["income"], "missing": "flag", "weights": {"categories": 2}}
    server.fit("customers", n_clusters=GROUPS + 1, **given)  # one for the 1e9
    rows = labels(server, "customers", columns=True)
    usual = [row for at, row in enumerate(rows) if at != 11]
    plans = [row["plan"] for row in usual]
    assert adjusted_rand_score(plans, [row["cluster"] for row in usual]) == 1.0
    assert (rows[7]["age"], rows[11]["income"]) == ("", "1000000000.0")
    found = server.get("/v1/models/customers/profiles")["clusters"]
    kinds = {reason["kind"] for cluster in found for reason in cluster["reasons"]}
    assert kinds == {"number", "category"}
    pro = int(rows[2]["cluster"])
    age = next(r for r in found[pro]["reasons"] if r["column"] == "age")
    assert age["median"] == pytest.approx(60, abs=1)
    assert age["mean"] > age["overall"]
    assert "plan pro" in server.get("/v1/models/customers/clusters")["clusters"][pro]["top_terms"]
    assert_assigned_as_fitted(server, "customers", content)
    item = server.get("/v1/models/customers/items/c7")
    assert item["columns"]["age"] is None
    assert item["columns"]["plan"] == "basic"
    assert item["text"] == ""
    alike = server.get("/v1/models/customers/items/c0/similar", limit=5)["items"]
    assert {each["columns"]["plan"] for each in alike} == {"free"}
    report = server.get("/v1/models/customers/report")
    assert (report["reach"], report["silhouette"]["metric"]) == (None, "euclidean")
    assert server.get("/v1/models/customers/map")["n"] == N


def test_a_table_without_texts_is_searched_by_its_other_columns(server: Server) -> None:
    found = server.get("/v1/models/customers/recommend", q="pro", limit=50)
    assert {item["columns"]["plan"] for item in found["items"]} == {"pro"}
    assert found["items"][0]["reasons"] == {"plan": ["pro"]}
    # There is no text whose cluster could be the nearest.
    asked = server.http.get("/v1/models/customers/recommend", params={"q": "pro", "clusters": 1})
    assert "without texts" in refused(asked, 422, "invalid_query")
    asked = server.http.post("/v1/models/customers/predict", json={"texts": ["pro"]})
    assert "without texts" in refused(asked, 422, "invalid_query")


def test_numbers_and_categories_are_proposed(server: Server) -> None:
    said = server.put("proposed", as_csv(customers()))
    assert said["clustered"]["numbers"] == ["age", "income"]
    assert said["clustered"]["categories"] == ["plan"]
    assert said["columns"] == {"id": "customer"}
    assert any("are clustered" in problem for problem in said["problems"])
    server.fit("proposed", n_clusters="auto", trim=0.05)
    rows = labels(server, "proposed")
    assert rows[11]["cluster"] == "-1"  # the 1e9
    assert len({row["cluster"] for row in rows}) == GROUPS + 1


def test_a_table_is_the_same_in_every_format(server: Server) -> None:
    rows = [row | {"age": row["age"] or None} for row in customers(30)]
    names = list(rows[0])
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    arrow = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), arrow)
    sheet = workbook([names, *[list(row.values()) for row in rows]])
    tabs = as_csv(customers(30)).replace(",", "\t")
    for at, (content, kind) in enumerate(
        [
            (lines, NDJSON),
            (lines.encode(), BYTES),
            (gzip.compress(lines.encode()), GZIP),
            (gzip.compress(as_csv(customers(30)).encode()), BYTES),
            (arrow.getvalue(), PARQUET),
            (arrow.getvalue(), BYTES),
            (sheet, XLSX),
            (sheet, BYTES),
            (tabs, TSV),
        ]
    ):
        said = server.put("same", content, kind, replace=at > 0, numbers=["age", "income"])
        assert (said["rows"], said["clustered"]["numbers"]) == (30, ["age", "income"])
    server.fit("same", n_clusters=3)
    assert_assigned_as_fitted(server, "same", lines, NDJSON)
    assert_assigned_as_fitted(server, "same", sheet, XLSX)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"n_clusters": N + 1}, f"{N} rows"),
        ({"reduce": 6}, "reduce=6"),
        ({"log": ["plan"]}, "'plan'"),
        ({"log": ["nothing"]}, "'nothing'"),
        ({"weights": {"text": 2}}, "numbers and categories"),
        ({"weights": {"colour": 2}}, "weights"),
        ({"weights": {"numbers": 0}}, "weights"),
        ({"missing": "refuse"}, "'age' lacks 1"),
        ({"missing": "guess"}, "missing"),
        ({"algorithm": "magic"}, "hartigan"),
        ({"rare": 1.0}, "rare"),
        ({"scale": "log"}, "scale"),
        ({"stop_words": ["x"] * 10_001}, "stop_words"),
        ({"stop_words": "german"}, "stop_words"),
        ({"stop_words": "xx"}, "'xx'"),
        ({"analyzer": "syllable"}, "analyzer"),
        ({"noise": "away"}, "noise"),
        ({"trim": 0.5}, "trim"),
        ({"n_clusters": "many"}, "n_clusters"),
    ],
)
def test_what_cannot_be_fitted_does_not_wait(
    server: Server, given: dict[str, Any], said: str
) -> None:
    reply = server.http.post("/v1/jobs", json={"dataset": "customers", "parameters": given})
    assert said in refused(reply, 422, "invalid_param")


def test_numbers_beside_texts(server: Server) -> None:
    rows = [
        {"note": TICKETS[at % 3][1], "hours": 100 * (at % 2) + at % 5, "topic": TICKETS[at % 3][0]}
        for at in range(60)
    ]
    said = server.put("mixed", as_csv(rows), text="note", numbers=["hours"])
    assert said["clustered"]["text"] == ["note"]
    server.fit("mixed", n_clusters=6, weights={"text": 1.5})
    found = labels(server, "mixed", columns=True)
    groups = [f"{row['topic']}{float(row['hours']) > 50}" for row in found]
    assert adjusted_rand_score(groups, [row["cluster"] for row in found]) == 1.0
    assert server.get("/v1/models/mixed/recommend", q="Drucker")["items"]
    asked = server.http.post("/v1/models/mixed/predict", json={"texts": ["Drucker"]})
    assert "assign" in refused(asked, 422, "invalid_query")
    assert_assigned_as_fitted(server, "mixed", as_csv(rows))


def test_several_columns_of_texts(server: Server) -> None:
    rows = [
        {"subject": queue, "body": text, "n": at} for at, (queue, text) in enumerate(TICKETS * 5)
    ]
    said = server.put("several", as_csv(rows), text=["subject", "body"])
    assert said["clustered"]["text"] == ["subject", "body"]
    assert "text" not in said["columns"]
    server.fit("several", n_clusters=3)
    assert server.get("/v1/models/several/items/1")["text"] == f"{TICKETS[0][0]}\n{TICKETS[0][1]}"
    assert_assigned_as_fitted(server, "several", as_csv(rows))


# -- embeddings: a column of lists -------------------------------------------------------------


def vectors(count: int = N, width: int = 8) -> NDArray[np.float32]:
    random = np.random.default_rng(3)
    centers = random.normal(size=(GROUPS, width)) * 5
    rows = centers[np.arange(count) % GROUPS] + random.normal(size=(count, width))
    return rows.astype(np.float32)


def embeddings(count: int = N, *, fixed: bool = False) -> bytes:
    values = vectors(count)
    kind = pa.list_(pa.float32(), 8) if fixed else pa.list_(pa.float32())
    table = pa.table(
        {
            "key": [f"doc-{at}" for at in range(count)],
            "vector": pa.array(values.tolist(), kind),
            "lang": [("de", "en", "fr")[at % GROUPS] for at in range(count)],
        }
    )
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()


def test_embeddings_in_a_column_of_lists(server: Server) -> None:
    name, content = "vectors", embeddings()
    for written in (embeddings(fixed=True), content):
        said = server.put(name, written, PARQUET, id="key", matrix="vector", replace=True)
        assert (said["clustered"]["matrix"], said["proposed"]) == ("vector", {})
    server.fit(name, n_clusters=GROUPS, normalise="length", reduce=4)
    rows = labels(server, name, columns=True)
    assert adjusted_rand_score([r["lang"] for r in rows], [r["cluster"] for r in rows]) == 1.0
    assert "vector" not in rows[0]
    assert_assigned_as_fitted(server, name, content, PARQUET)
    (first, *_) = server.get(f"/v1/models/{name}/profiles")["clusters"]
    assert {reason["kind"] for reason in first["reasons"]} == {"feature"}
    reply = server.http.post("/v1/jobs", json={"dataset": name, "parameters": {"reduce": 9}})
    assert "8 features" in refused(reply, 422, "invalid_param")


# -- matrices ----------------------------------------------------------------------------------


def npy(values: NDArray[Any]) -> bytes:
    out = io.BytesIO()
    np.save(out, values)
    return out.getvalue()


def npz(values: Any) -> bytes:
    out = io.BytesIO()
    sparse.save_npz(out, values)
    return out.getvalue()


def mtx_gz(values: Any) -> bytes:
    out = io.BytesIO()
    scipy_io.mmwrite(out, values)
    return gzip.compress(out.getvalue())


def counts() -> Any:
    values = np.maximum(0, np.round(vectors()))
    return sparse.csr_matrix(values)


@pytest.mark.parametrize("kind", ["npy", "npz", "mtx.gz"])
def test_a_matrix(server: Server, kind: str) -> None:
    name = f"matrix-{kind.replace('.', '-')}"
    content = {
        "npy": lambda: npy(vectors()),
        "npz": lambda: npz(counts()),
        "mtx.gz": lambda: mtx_gz(counts()),
    }[kind]()
    said = server.put(name, content, GZIP if kind == "mtx.gz" else BYTES)
    assert (said["rows"], said["clustered"]["matrix"], said["columns"]) == (N, "matrix", {})
    given = {} if kind == "npy" else {"normalise": "rows", "log1p": True}
    server.fit(name, n_clusters=GROUPS, **given)
    rows = labels(server, name)
    groups = [at % GROUPS for at in range(N)]
    assert adjusted_rand_score(groups, [row["cluster"] for row in rows]) == 1.0
    assert_assigned_as_fitted(server, name, content, BYTES)
    assert server.get(f"/v1/models/{name}/items/1/similar", limit=3)["items"]
    wide = npy(np.zeros((2, 9)))
    reply = server.http.post(
        f"/v1/models/{name}/assign", content=wide, headers={"content-type": BYTES}
    )
    assert "9" in refused(reply, 422, "feature_mismatch")
    reply = server.http.post("/v1/jobs", json={"dataset": name, "parameters": {"reduce": 9}})
    assert "8 features" in refused(reply, 422, "invalid_param")
    reply = refused_items(server, content, BYTES, numbers="age")
    assert "numbers" in refused(reply, 422, "invalid_param")


# -- before an upload --------------------------------------------------------------------------


def test_a_preview_stores_nothing(server: Server) -> None:
    before = server.get("/v1/datasets")
    reply = server.http.post(
        "/v1/preview",
        content=tickets(),
        params={"delimiter": ";"},
        headers={"content-type": f"{CSV}; charset=windows-1252"},
    )
    assert reply.status_code == 200, reply.text
    seen = reply.json()
    assert (seen["format"], seen["delimiter"], seen["encoding"]) == ("csv", ";", "cp1252")
    assert (seen["n_rows"], seen["text"]) == (N, "body")
    assert [each["column"] for each in seen["columns"]] == ["queue", "body"]
    assert [each["role"] for each in seen["columns"]] == ["category", "text"]
    assert len(seen["rows"]) == 10
    assert seen["rows"][0][1].startswith("Der Drucker druckt keine grünen")
    assert any("is clustered" in problem for problem in seen["problems"])
    assert server.get("/v1/datasets") == before
    assert not server.incoming()
    reply = server.http.post("/v1/preview", content=b"", headers={"content-type": CSV})
    refused(reply, 422, "empty_dataset")
    reply = server.http.post("/v1/preview", content=b"{}", headers={"content-type": "text/plain"})
    refused(reply, 415, "unsupported_media_type")


def test_a_preview_of_numbers_names_no_text(server: Server) -> None:
    reply = server.http.post(
        "/v1/preview", content=as_csv(customers()), headers={"content-type": CSV}
    )
    assert reply.json()["text"] is None
    assert reply.json()["clustered"] == {"numbers": ["age", "income"], "categories": ["plan"]}
    roles = {each["column"]: each["role"] for each in reply.json()["columns"]}
    assert roles == {"customer": "id", "age": "number", "income": "number", "plan": "category"}


def test_roles_and_algorithms_are_named_with_their_meanings(server: Server) -> None:
    found = server.get("/v1/roles")
    assert {each["name"]: each["meaning"] for each in found["roles"]} == {
        name: role.meaning for name, role in ROLES.items()
    }
    assert {each["name"]: each["several"] for each in found["features"]} == {
        name: role.several for name, role in FEATURES.items()
    }
    assert server.get("/v1/info")["algorithms"] == [
        {"name": name, "meaning": algorithm.meaning, "finds_k": algorithm.finds_k}
        for name, algorithm in ALGORITHMS.items()
    ]


# -- what assign refuses -----------------------------------------------------------------------


def test_rows_that_cannot_be_assigned(server: Server) -> None:
    def asked(content: str | bytes, kind: str = CSV, model: str = "customers") -> Any:
        return server.http.post(
            f"/v1/models/{model}/assign", content=content, headers={"content-type": kind}
        )

    assert "'income'" in refused(asked("age,plan\n1,pro\n"), 422, "missing_column")
    assert "row 2" in refused(asked("age,income,plan\nold,1,pro\n"), 422, "not_numeric")
    refused(asked("x", "text/plain"), 415, "unsupported_media_type")
    refused(asked("age\n1\n", model="none"), 404, "unknown_model")
    new = assigned(server, "customers", "age,income,plan\n,1900,unheard-of\n60,2800,pro\n")
    assert [row["id"] for row in new["rows"]] == [1, 2]
    pro = int(labels(server, "customers")[2]["cluster"])
    assert new["rows"][1]["cluster"] == pro
    assert any("numbered" in problem for problem in new["problems"])


def test_a_parameter_of_one_column_stands_once(server: Server) -> None:
    reply = refused_items(server, films(3), matrix=["a", "b"])
    assert "matrix" in refused(reply, 422, "invalid_param")


def test_a_model_without_texts_survives_its_archive(server: Server) -> None:
    content = server.archive("customers")
    reply = server.upload("again", content)
    assert reply.status_code == 201, reply.text
    assert server.http.post("/v1/models/again/versions/1/activate").status_code == 200
    assert labels(server, "again", columns=True) == labels(server, "customers", columns=True)
    assert_assigned_as_fitted(server, "again", as_csv(customers()))


def test_an_archive_of_the_first_schema_is_taken(server: Server) -> None:
    folder = Path(__file__).parent / "golden_model"
    assert json.loads((folder / "manifest.json").read_bytes())["schema_version"] == 1
    reply = server.upload("golden", b"".join(archive.pack(folder)))
    assert reply.status_code == 201, reply.text
    assert server.http.post("/v1/models/golden/versions/1/activate").status_code == 200
    assert server.get("/v1/models/golden/profiles")["clusters"]
    first = labels(server, "golden")[0]["id"]
    assert server.get(f"/v1/models/golden/items/{first}")["columns"] == {}
