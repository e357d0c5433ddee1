"""The service's whole life over HTTP, and that it answers as the library does."""

from __future__ import annotations

import csv
import hashlib
import io
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from serving import FILMS, PARQUET, TAR, Server, films, refused, until

import gpu_kmeans
from gpu_kmeans import Model, Recommender
from gpu_kmeans.data import sample
from gpu_kmeans.evaluate import evaluate
from gpu_kmeans.model.naming import cluster_names
from gpu_kmeans.recommend import RANKS, cluster_views
from gpu_kmeans.service.version_report import REPORT_QUERIES

MOVIES, CREDITS = sample.paths()
QUERIES = [
    "haunted house by the sea",
    "space alien invasion",
    "war",
    "LOVE love",
    "the zzz, ghost!",
]


@pytest.fixture(scope="module")
def local() -> Model:
    """The model of the service, fitted here."""
    return gpu_kmeans.fit(MOVIES, CREDITS, n_clusters=10, seed=42, backend="cpu")


@pytest.fixture(scope="module")
def recommender(local: Model) -> Recommender:
    return Recommender(local)


@pytest.fixture(scope="module")
def two(service: Server) -> str:
    """A model of two versions, of which the first answers."""
    service.put("two", films(60))
    assert service.fit("two", n_clusters=3) == 1
    job = service.ended(service.ask("two", activate=False, n_clusters=4))
    assert (job["state"], job["version"]) == ("succeeded", 2)
    return "two"


def versions(service: Server, model: str) -> dict[int, bool]:
    """Numbers of a model's versions, and which of them answers."""
    return {
        each["version"]: each["active"] for each in service.get(f"/v1/models/{model}")["versions"]
    }


def as_cluster(shown: dict[str, Any]) -> dict[str, Any]:
    """What the library says of a cluster beside its name."""
    return {key: shown[key] for key in ("label", "size", "top_terms")}


# -- it answers as the library does ------------------------------------------------------------


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("query", QUERIES)
def test_recommendations_are_those_of_the_library(
    service: Server, recommender: Recommender, query: str, rank: Any
) -> None:
    for clusters, limit in ((1, 7), (3, 40)):
        asked = {"q": query, "rank": rank, "clusters": clusters, "limit": limit}
        found = service.get("/v1/models/films/recommend", **asked)
        expected = recommender.recommend(query, limit, rank, clusters).to_dict()
        items = [as_ranked(item) for item in found["items"]]
        kept = ("query", "terms", "cluster", "message")
        found["cluster"] = found["cluster"] and as_cluster(found["cluster"])
        assert {**{name: found[name] for name in kept}, "items": items} == expected
        assert (found["model"], found["version"], found["rank"]) == ("films", 1, rank)


def as_ranked(item: dict[str, Any]) -> dict[str, Any]:
    """What the library calls a ranked item, of an item of the API."""
    names = ("id", "title", "popularity", "vote_average", "score", "parts")
    return {**{name: item[name] for name in names}, "label": item["cluster"]}


def test_a_score_is_the_sum_of_its_parts_and_the_marks_make_up_the_text(service: Server) -> None:
    asked = {"q": "ghost ships", "limit": 30, "clusters": 1}
    found = service.get("/v1/models/films/recommend", **asked)
    for item in found["items"]:
        parts = item["parts"]
        assert item["score"] == pytest.approx(
            parts["relevance"] * parts["relevance_weight"] + parts["fame"] * parts["fame_weight"]
        )
        assert "".join(piece for piece, _ in item["marked"]) == item["text"]
        words = {piece.lower() for piece, marked in item["marked"] if marked}
        assert words <= set(found["terms"])
        assert bool(words) == (parts["relevance"] > 0)


def test_an_item_is_shown_as_the_catalogue_has_it(service: Server, local: Model) -> None:
    row = local.items.slice(17, 1).to_pylist()[0]
    assert local.others is not None
    assert service.get(f"/v1/models/films/items/{row['id']}") == {
        **{"id": row["id"], "title": row["title"], "text": row["text"], "date": row["date"]},
        **{"popularity": row["popularity"], "vote_average": row["rating"], "votes": row["votes"]},
        **{"genres": row["genres"], "keywords": row["keywords"], "cast": row["cast"][:8]},
        **{"directors": row["crew"], "cluster": int(local.labels[17])},
        "columns": local.others.slice(17, 1).to_pylist()[0],
    }


def test_similar_items_are_those_of_the_library(
    service: Server, local: Model, recommender: Recommender
) -> None:
    for item in local.items["id"].to_pylist()[::40]:
        found = service.get(f"/v1/models/films/items/{item}/similar", limit=12)
        expected = [vars(each) for each in recommender.similar(item, 12)]
        assert [as_ranked(each) for each in found["items"]] == expected
        assert found["item"] == service.get(f"/v1/models/films/items/{item}")


def test_predictions_are_those_of_the_library(service: Server, recommender: Recommender) -> None:
    texts = [*QUERIES, "", "qqqq", *(film["overview"] for film in FILMS[:40])]
    reply = service.http.post("/v1/models/films/predict", json={"texts": texts})
    labels, distances = recommender.predict(texts)
    assert reply.json()["predictions"] == [
        {"cluster": label, "distance": None if np.isnan(distance) else distance}
        for label, distance in zip(labels.tolist(), distances.tolist(), strict=True)
    ]


def test_clusters_are_those_of_the_library(service: Server, local: Model) -> None:
    assert service.get("/v1/models/films/clusters") == {
        **{"model": "films", "version": 1, "unclustered": 3},
        "clusters": [
            {
                "label": view.label,
                "size": view.size,
                "name": name,
                "named": False,
                "top_terms": list(view.top_terms),
            }
            for view, name in zip(cluster_views(local), cluster_names(local), strict=True)
        ],
    }


def test_the_report_is_what_evaluate_finds(service: Server, local: Model) -> None:
    found = service.get("/v1/models/films/report")
    expected = evaluate(local, n_queries=REPORT_QUERIES).to_dict()
    expected.pop("clusters")
    assert {name: found[name] for name in expected} == expected
    assert found["history"] == [list(step) for step in local.info.history]
    assert found["warnings"] == list(local.info.warnings)
    assert found["catalogue"] == local.info.catalogue
    assert (found["backend"], found["backend_reason"]) == ("cpu", "asked for")


def test_the_map_shows_every_clustered_item_once(service: Server, local: Model) -> None:
    found = service.get("/v1/models/films/map")
    clustered = {
        item: label
        for item, label in zip(local.items["id"].to_pylist(), local.labels.tolist(), strict=True)
        if label >= 0
    }
    assert dict(zip(found["id"], found["cluster"], strict=True)) == clustered
    assert {len(found[name]) for name in ("x", "y", "id", "title", "cluster")} == {found["n"]}
    assert {disc["label"]: disc["size"] for disc in found["discs"]} == {
        view.label: view.size for view in cluster_views(local) if view.size
    }
    assert "viewing only" in found["note"]


def test_the_export_names_every_item_and_its_distance(service: Server, local: Model) -> None:
    reply = service.http.get("/v1/models/films/export")
    assert reply.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(reply.text, newline="")))
    assert [row["id"] for row in rows] == [film["id"] for film in FILMS]
    assert [row["title"] for row in rows] == [film["title"] for film in FILMS]
    assert [int(row["cluster"]) for row in rows] == local.labels.tolist()
    assert local.reduction is not None
    reduced = local.reduction.rows.astype(np.float64)
    apart = np.linalg.norm(reduced - local.centroids[local.labels], axis=1)
    for row, label, distance in zip(rows, local.labels, apart, strict=True):
        if label < 0:
            assert row["distance"] == ""
        else:
            assert float(row["distance"]) == pytest.approx(distance, abs=2e-6)


def test_a_formula_in_an_exported_cell_is_text(service: Server) -> None:
    titles = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "a=1", '="x,y"', "'quoted"]
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(["id", "title", "overview"])
    writer.writerows([f"={at}", title, f"alien number{at}"] for at, title in enumerate(titles))
    service.put("formulas", out.getvalue())
    service.fit("formulas", n_clusters=1)
    text = service.http.get("/v1/models/formulas/export").text
    rows = list(csv.reader(io.StringIO(text, newline="")))[1:]
    numbers = ("+1", "-1")  # which a spreadsheet takes for what they are
    expected = [f"'{t}" if t[0] in "=+-@\t" and t not in numbers else t for t in titles]
    assert [row[1] for row in rows] == expected
    assert [row[0] for row in rows] == [f"'={at}" for at in range(len(titles))]
    # It is for spreadsheets only: what is asked for by id has none.
    assert service.get("/v1/models/formulas/items/=3")["title"] == "@SUM(A1)"


# -- datasets ----------------------------------------------------------------------------------


def test_a_dataset_is_described_listed_and_deleted(service: Server) -> None:
    table = "isbn,plot,title,popularity\n7,a ghost,A,\n8,,B,2\n9,a ghost,C,3\n"
    address = "/v1/datasets/books/items?id=isbn&text=plot"
    reply = service.http.put(address, content=table, headers={"content-type": "text/csv"})
    assert reply.status_code == 201
    found = reply.json()
    assert found["rows"] == 3
    assert found["columns"] == {
        **{"id": "isbn", "text": "plot", "title": "title", "popularity": "popularity"}
    }
    assert sorted(found["absent"]) == ["date", "genres", "keywords", "rating", "votes"]
    said = " ".join(found["problems"])
    assert "rows without a text, which cannot be clustered: 1 of 3" in said
    assert "rows that repeat the text of another row: 1 of 3" in said
    assert "items.csv, column 'popularity': empty cells taken as 0: 1 of 3" in said
    assert found["items"]["sha256"] == hashlib.sha256(table.encode()).hexdigest()
    assert found["items"]["bytes"] == len(table)
    assert found["credits"] is None
    assert service.get("/v1/datasets/books") == found
    assert found in service.get("/v1/datasets")["datasets"]
    stored = len(list((service.data / "datasets").iterdir()))
    assert service.http.delete("/v1/datasets/books").status_code == 204
    refused(service.http.get("/v1/datasets/books"), 404, "unknown_dataset")
    assert len(list((service.data / "datasets").iterdir())) == stored - 1


def test_a_second_upload_takes_the_place_of_the_first(service: Server) -> None:
    first = service.put("again", films(20))
    credits = b"".join(CREDITS.read_bytes().splitlines(True)[:50])  # as nobody else has
    assert service.put("again", credits, part="credits")["columns"]["cast"] == "cast"
    second = service.put("again", films(30), replace=True)
    assert (first["rows"], second["rows"]) == (20, 30)
    assert second["created"] == first["created"]
    # The credits were those of other items.
    assert second["credits"] is None
    assert "cast" not in second["columns"]
    stored = {path.read_bytes() for path in (service.data / "datasets").iterdir()}
    assert not {films(20).encode(), credits} & stored
    assert films(30).encode() in stored


def test_a_refused_upload_leaves_what_was_there(service: Server) -> None:
    before = service.put("kept", films(5))
    reply = service.http.put(
        "/v1/datasets/kept/items?replace=true",
        content="id,plot\n1,x\n",
        headers={"content-type": "text/csv"},
    )
    refused(reply, 422, "missing_column")
    assert service.get("/v1/datasets/kept") == before
    assert service.incoming() == []


def test_parquet_is_taken_as_csv_is(service: Server, two: str) -> None:
    table = pyarrow.csv.read_csv(io.BytesIO(films(60).encode()))
    content = io.BytesIO()
    pq.write_table(table, content)
    reply = service.http.put(
        "/v1/datasets/parquet/items",
        content=content.getvalue(),
        headers={"content-type": PARQUET},
    )
    assert reply.status_code == 201, reply.text
    assert reply.json()["rows"] == 60
    service.fit("parquet", n_clusters=3)
    answers = [service.get(f"/v1/models/{each}/clusters", version=1) for each in ("parquet", two)]
    assert answers[0]["clusters"] == answers[1]["clusters"]


# -- jobs ----------------------------------------------------------------------------------------


def test_a_job_tells_what_it_does_until_it_ends(service: Server, two: str) -> None:
    reply = service.http.post(
        "/v1/jobs",
        json={
            "dataset": two,
            "model": "told",
            "parameters": {"n_clusters": 5, "algorithm": "hartigan"},
        },
    )
    job = reply.json()
    assert (reply.status_code, reply.headers["location"]) == (202, f"/v1/jobs/{job['id']}")
    assert job["parameters"] == {
        **{"n_clusters": 5, "seed": 42, "algorithm": "hartigan", "max_iter": 300},
        **{"backend": "cpu", "stop_words": "english", "ngram_range": [1, 1], "min_df": 1},
        **{"max_df": 1.0, "max_features": None, "sublinear_tf": False, "weighting": "auto"},
        **{"scale": "standard", "missing": "fill", "log": [], "rare": 0.01, "normalise": "none"},
        **{"log1p": False, "weights": {}, "reduce": "auto", "analyzer": "word", "noise": "apart"},
        "trim": 0.0,
    }
    with service.told(job) as events:
        told = [event for event in events if event.kind != "comment"]  # of a busy machine
    kinds = [event.kind for event in told]
    assert kinds[0] == "state"
    assert set(kinds[1:-1]) <= {"state", "stage", "progress"}
    assert kinds[-1] == "end"
    numbers = [event.number for event in told]
    assert numbers[1:] == list(range(1, len(told)))
    stages = [event.data["stage"] for event in told if event.kind == "stage"]
    assert stages == ["read", "vectorise", "cluster", "judge", "save"]
    progress = [event.data for event in told if event.kind == "progress"]
    assert all(set(each) == {"stage", "iteration", "inertia", "moved"} for each in progress)
    ended = service.ended(job)
    assert ended["history"] == [[e["stage"], e["iteration"], e["inertia"]] for e in progress]
    assert progress
    end = told[-1].data
    assert end == ended
    assert (end["state"], end["version"], end["error"]) == ("succeeded", 1, None)
    assert end["created"] <= end["started"] <= end["finished"]
    assert service.get("/v1/models/told/report")["history"] == ended["history"]

    # The same is told again to those who come later, from wherever they were.
    with service.told(job) as events:
        again = list(events)
    assert [event.data for event in again[:-1]] == progress
    assert again[-1].data["state"] == "succeeded"
    with service.told(job, after=again[-2].number) as events:
        assert list(events) == again[-1:]


def test_those_who_come_while_a_job_runs_hear_all_of_it(service: Server, two: str) -> None:
    job = service.ask(two, "heard", n_clusters=3)
    with service.told(job) as first:
        for event in first:
            if event.kind == "stage":
                break
        with service.told(job) as second:
            heard = list(second)
        with service.told(job, after=event.number) as rest:
            assert [each.data for each in rest][-1]["state"] == "succeeded"
    assert heard[1].number == 1
    assert heard[-1].kind == "end"


def test_jobs_run_one_at_a_time_in_the_order_in_which_they_came(service: Server, two: str) -> None:
    jobs = [service.ask(two, "order", n_clusters=2, seed=seed) for seed in range(3)]
    seen: set[tuple[str, ...]] = set()

    def over() -> bool:
        # In one answer: jobs go on between two.
        listed = {each["id"]: each for each in service.get("/v1/jobs", limit=200)["jobs"]}
        now = [listed[job["id"]] for job in jobs]
        states = tuple(job["state"] for job in now)
        seen.add(states)
        waiting = [job["queue_position"] for job in now if job["queue_position"]]
        # All of it was asked for one by one, so what is further on is later.
        assert waiting == sorted(waiting)
        return set(states) == {"succeeded"}

    until(over)
    assert all(states.count("running") <= 1 for states in seen)
    assert any("queued" in states for states in seen)
    ended = [service.get(f"/v1/jobs/{job['id']}") for job in jobs]
    assert [job["version"] for job in ended] == [1, 2, 3]
    assert [job["parameters"]["seed"] for job in ended] == [0, 1, 2]
    listed = service.get("/v1/jobs", limit=3)
    assert [job["id"] for job in listed["jobs"]] == [job["id"] for job in reversed(jobs)]
    assert "history" not in listed["jobs"][0]
    older = service.get("/v1/jobs", limit=1, cursor=listed["jobs"][1]["id"])
    assert older["jobs"][0]["id"] == jobs[0]["id"]
    assert older["next_cursor"] == jobs[0]["id"]


def test_a_running_and_a_waiting_job_can_be_cancelled(service: Server, two: str) -> None:
    running, waiting = (service.ask(two, "cancelled", seed=seed) for seed in range(2))
    with service.told(running) as events:
        next(each for each in events if each.kind == "stage")
        for job in (waiting, running):
            reply = service.http.post(f"/v1/jobs/{job['id']}/cancel")
            assert (reply.status_code, reply.json()["state"]) == (202, "cancelled")
        assert list(events)[-1].data["state"] == "cancelled"
    assert service.workers() == []
    assert service.incoming() == []
    refused(service.http.get("/v1/models/cancelled"), 404, "unknown_model")
    # What has ended stays as it is.
    before = service.get(f"/v1/jobs/{running['id']}")
    assert before["error"]["code"] == "cancelled"
    reply = service.http.post(f"/v1/jobs/{running['id']}/cancel")
    assert (reply.status_code, reply.json()) == (202, before)


def test_a_job_can_be_cancelled_before_it_has_begun(service: Server, two: str) -> None:
    for seed in range(8):
        job = service.ask(two, "early", seed=seed)
        reply = service.http.post(f"/v1/jobs/{job['id']}/cancel")
        assert (reply.status_code, reply.json()["state"]) == (202, "cancelled")
    until(lambda: not service.incoming())
    refused(service.http.get("/v1/models/early"), 404, "unknown_model")
    assert service.fit(two, "early", n_clusters=2) == 1


def test_the_same_idempotency_key_is_the_same_job(service: Server, two: str) -> None:
    about = {"dataset": two, "model": "once", "parameters": {"n_clusters": 2}}
    headers = {"idempotency-key": "a key of mine"}
    first, again = (service.http.post("/v1/jobs", json=about, headers=headers) for _ in range(2))
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json()["id"] == again.json()["id"]
    assert first.headers["location"] == again.headers["location"]
    other = {**about, "parameters": {"n_clusters": 3}}
    reply = service.http.post("/v1/jobs", json=other, headers=headers)
    refused(reply, 409, "idempotency_conflict")
    service.ended(first.json())
    assert versions(service, "once") == {1: True}
    # Also after its end, and when the same is said in other words.
    same = {**about, "activate": True, "parameters": {"n_clusters": 2, "seed": 42}}
    again = service.http.post("/v1/jobs", json=same, headers=headers)
    assert (again.json()["id"], again.json()["state"]) == (first.json()["id"], "succeeded")


def test_what_a_job_needs_cannot_be_deleted_under_it(service: Server) -> None:
    service.put("needed", films(10))
    job = service.ask("needed", n_clusters=2)
    reply = service.http.delete("/v1/datasets/needed")
    assert job["id"] in refused(reply, 409, "in_use")
    service.ended(job)
    assert service.http.delete("/v1/datasets/needed").status_code == 204
    # Models outlive the dataset that they were fitted on.
    assert service.get("/v1/models/needed/recommend", q="love")["version"] == 1


def test_a_job_weighs_terms_as_it_is_told(service: Server, two: str, tmp_path: Path) -> None:
    job = service.ended(service.ask(two, model="weighed", n_clusters=3, weighting="bm25"))
    assert (job["state"], job["parameters"]["weighting"]) == ("succeeded", "bm25")
    with tarfile.open(fileobj=io.BytesIO(service.archive("weighed"))) as tar:
        tar.extractall(tmp_path / "model", filter="data")
    assert Model.load(tmp_path / "model").vectorizer.weighting == "bm25"


def test_what_only_a_fit_can_find_wrong_fails_the_job_with_its_reason(service: Server) -> None:
    service.put("stop-words", "id,overview\n1,the\n2,of\n")
    job = service.ended(service.ask("stop-words", n_clusters=1))
    assert (job["state"], job["version"]) == ("failed", None)
    assert job["error"]["code"] == "empty_vocabulary"
    assert str(service.data) not in job["error"]["detail"]


# -- versions --------------------------------------------------------------------------------------


def test_a_version_is_what_the_job_asked_for(service: Server, two: str) -> None:
    detail = service.get(f"/v1/models/{two}")
    second, first = detail["versions"]
    assert (detail["active"], detail["previous"]) == (1, None)
    assert (second["version"], second["active"], second["state"]) == (2, False, "ready")
    assert (first["source"], first["dataset"], first["backend"]) == ("fit", two, "cpu")
    assert (first["parameters"]["n_clusters"], second["parameters"]["n_clusters"]) == (3, 4)
    assert first["metrics"]["n_items"] == 60
    assert service.get(f"/v1/jobs/{first['job']}")["version"] == 1
    summary = {"name": two, "active": 1, "versions": 2}
    listed = service.get("/v1/models")["models"]
    assert [each for each in listed if each.items() >= summary.items()]


@pytest.mark.parametrize(
    "path",
    ["recommend?q=love", "clusters", "report", "map", "items/1001/similar", "clusters/0/items"],
)
def test_every_answer_can_be_had_of_a_given_version(service: Server, two: str, path: str) -> None:
    join = "&" if "?" in path else "?"
    first, given = (
        service.get(f"/v1/models/{two}/{path}{join}version={number}") for number in (1, 2)
    )
    assert service.get(f"/v1/models/{two}/{path}") == first
    assert given != first


def test_predictions_can_be_had_of_a_given_version(service: Server, two: str) -> None:
    texts = {"texts": [film["overview"] for film in FILMS[:20]]}
    for number, k in ((1, 3), (2, 4)):
        reply = service.http.post(f"/v1/models/{two}/predict?version={number}", json=texts).json()
        assert reply["version"] == number
        assert max(each["cluster"] for each in reply["predictions"]) < k


def test_versions_are_activated_rolled_back_and_deleted_and_never_used_again(
    service: Server, two: str
) -> None:
    archive = service.archive(two)
    for number in (1, 2, 3):
        reply = service.upload("life", archive)
        assert (reply.status_code, reply.json()["version"]) == (201, number)
        assert reply.json()["active"] == (number == 1)
        assert (reply.json()["source"], reply.json()["job"]) == ("upload", None)
    models = "/v1/models/life"

    def post(path: str) -> tuple[int, int, int]:
        reply = service.http.post(f"{models}/{path}")
        assert reply.status_code == 200, reply.text
        answering = service.get(f"{models}/recommend", q="love")["version"]
        return reply.json()["active"], reply.json()["previous"], answering

    refused(service.http.post(f"{models}/rollback"), 409, "no_previous_version")
    assert post("versions/3/activate") == (3, 1, 3)
    assert post("versions/3/activate") == (3, 1, 3)  # which changes nothing
    assert post("versions/2/activate") == (2, 3, 2)
    assert post("rollback") == (3, 2, 3)
    assert post("rollback") == (2, 3, 2)
    refused(service.http.delete(f"{models}/versions/2"), 409, "version_active")
    folders = len(list((service.data / "models").iterdir()))
    assert service.http.delete(f"{models}/versions/3").status_code == 204
    assert len(list((service.data / "models").iterdir())) == folders - 1
    refused(service.http.post(f"{models}/rollback"), 409, "no_previous_version")
    refused(service.http.get(f"{models}/clusters?version=3"), 404, "unknown_version")
    assert versions(service, "life") == {2: True, 1: False}
    assert service.http.delete(models).status_code == 204
    refused(service.http.get(models), 404, "unknown_model")
    assert len(list((service.data / "models").iterdir())) == folders - 3
    assert service.upload("life", archive).json()["version"] == 4
    assert versions(service, "life") == {4: True}


def test_pages_of_a_cluster_hold_each_item_once_and_stay_with_their_version(
    service: Server, two: str
) -> None:
    service.upload("pages", service.archive(two, version=1))
    service.upload("pages", service.archive(two, version=2))
    sizes = {
        number: [each["size"] for each in service.get(clusters(number))["clusters"]]
        for number in (1, 2)
    }
    label = int(np.argmax(sizes[1]))
    whole = service.get(f"/v1/models/pages/clusters/{label}/items", limit=200)
    assert whole["next_cursor"] is None
    assert len(whole["items"]) == sizes[1][label]
    assert {item["cluster"] for item in whole["items"]} == {label}
    pages, cursor = [], {}
    while cursor is not None:
        page = service.get(f"/v1/models/pages/clusters/{label}/items", limit=4, **cursor)
        pages.append(page["items"])
        # Whoever reads on is not to see half of another version.
        service.http.post("/v1/models/pages/versions/2/activate")
        cursor = page["next_cursor"] and {"cursor": page["next_cursor"]}
    assert [item for page in pages for item in page] == whole["items"]
    assert {len(page) for page in pages[:-1]} == {4}
    assert sizes[1] != sizes[2]


def clusters(number: int) -> str:
    return f"/v1/models/pages/clusters?version={number}"


def test_a_model_goes_out_and_in_again_byte_for_byte(
    service: Server, local: Model, tmp_path: Path
) -> None:
    reply = service.http.get("/v1/models/films/archive")
    assert reply.headers["content-type"] == TAR
    assert int(reply.headers["content-length"]) == len(reply.content)
    assert 'filename="films-1.tar"' in reply.headers["content-disposition"]
    with tarfile.open(fileobj=io.BytesIO(reply.content)) as tar:
        tar.extractall(tmp_path / "model", filter="data")
    model = Model.load(tmp_path / "model")
    assert np.array_equal(model.labels, local.labels)
    assert np.array_equal(model.centroids, local.centroids)
    uploaded = service.upload("copy", reply.content)
    assert (uploaded.status_code, uploaded.json()["active"]) == (201, True)
    assert service.archive("copy") == reply.content
    before, after = (
        service.get(f"/v1/models/{name}/recommend", q="war", limit=50) for name in ("films", "copy")
    )
    assert before["items"] == after["items"]
    reports = [service.get(f"/v1/models/{name}/report") for name in ("films", "copy")]
    assert reports[0] == {**reports[1], "model": "films"}


def test_what_tar_makes_of_a_model_directory_is_taken_too(
    service: Server, local: Model, tmp_path: Path
) -> None:
    local.save(tmp_path / "model")
    with tarfile.open(tmp_path / "model.tar", "w", format=tarfile.GNU_FORMAT) as tar:
        for path in (tmp_path / "model").iterdir():
            tar.add(path, f"./{path.name}")
    reply = service.upload("by-hand", (tmp_path / "model.tar").read_bytes())
    assert reply.status_code == 201, reply.text
    assert service.get("/v1/models/by-hand/clusters")["clusters"]


# -- the service itself --------------------------------------------------------------------------


def test_it_says_that_it_lives_is_ready_and_what_it_is(service: Server) -> None:
    assert service.get("/livez") == {"status": "ok"}
    assert service.get("/readyz")["status"] == "ok"
    info = service.get("/v1/info")
    assert (info["name"], info["version"]) == ("gpu-kmeans", gpu_kmeans.__version__)
    assert (info["backend"], info["keys_required"]) == ("cpu", False)
    assert info["limits"]["max_query_characters"] == 10_000


def test_every_request_has_an_id(service: Server) -> None:
    own = service.http.get("/livez", headers={"x-request-id": "mine-1.2_3"})
    assert own.headers["x-request-id"] == "mine-1.2_3"
    made = {service.http.get("/livez").headers["x-request-id"] for _ in range(3)}
    assert len(made) == 3
    odd = service.http.get("/livez", headers={"x-request-id": 'x" onload='})
    assert '"' not in odd.headers["x-request-id"]
    until(lambda: any(each.get("request") == "mine-1.2_3" for each in service.log()))


def test_metrics_count_requests_and_jobs(service: Server, two: str) -> None:
    text = service.http.get("/metrics").text
    assert 'gpu_kmeans_requests_total{method="GET",route="/livez",status="200"}' in text
    assert 'gpu_kmeans_jobs_total{state="succeeded"}' in text
    assert 'gpu_kmeans_backend_info{name="cpu"} 1.0' in text
    for name in ("jobs_waiting", "jobs_running", "models_loaded"):
        assert f"\ngpu_kmeans_{name} " in text


def test_pages_of_other_sites_can_neither_frame_nor_read_nor_run_here(service: Server) -> None:
    for path in ("/", "/v1/info", "/nothing"):
        headers = service.http.get(path).headers
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in headers
    page = service.http.get("/")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    tagged = service.http.get("/", headers={"if-none-match": page.headers["etag"]})
    assert (tagged.status_code, tagged.content) == (304, b"")


def test_nothing_of_a_job_or_an_upload_is_left_behind(service: Server) -> None:
    # After all of the above; a fixture may still be at work in another order.
    until(lambda: not service.incoming() and not service.workers())
    lines = service.log()
    assert lines[0]["message"] == "job ended"  # of the sample
    assert all({"time", "level", "message"} <= set(line) for line in lines)
    assert not [line for line in lines if line["level"] == "error"]
