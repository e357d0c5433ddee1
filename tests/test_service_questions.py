"""Questions over HTTP: how many clusters, levels, changes by hand, outliers, comparisons."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import serving
from serving import PLAIN, Server, refused

GROUPS = 4
"""Number of planted groups of the customers."""


def customers(count: int = 120, start: int = 0) -> str:
    """Rows of numbers in four groups that lie far apart, as CSV."""
    lines = ["id,title,age,income"]
    for row in range(start, start + count):
        group = row % GROUPS
        jitter = (row * 37 % 11) / 10
        age = 20 + 15 * (group % 2) + jitter
        lines.append(f"{row},customer {row},{age:.2f},{1000 + 900 * (group // 2) + 10 * jitter}")
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service with planted customers and a few films."""
    with Server(tmp_path_factory.mktemp("questions") / "data") as server:
        server.put("customers", customers(), numbers=["age", "income"])
        server.put("films", serving.films(60))
        yield server
        assert not [line for line in server.log() if line["level"] == "error"]
        assert server.stop() == 0


def ask_choice(server: Server, dataset: str, **parameters: Any) -> Any:
    about = {"kind": "choose-k", "dataset": dataset, "parameters": parameters}
    return server.http.post("/v1/jobs", json=about)


# -- how many clusters -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def choice(server: Server) -> Any:
    """A choice among the planted customers, and what was said on its way."""
    reply = ask_choice(server, "customers", **{"from": 2, "to": 7})
    assert reply.status_code == 202, reply.text
    with server.told(reply.json()) as events:
        stages = [event for event in events if event.kind != "comment"]
    return server.get(f"/v1/jobs/{reply.json()['id']}"), stages


def test_a_choice_recommends_the_planted_number(choice: Any) -> None:
    job, _ = choice
    assert (job["state"], job["kind"], job["model"], job["version"]) == (
        *("succeeded", "choose-k", None, None),
    )
    result = job["result"]
    assert result["recommended"] == [GROUPS]
    assert [candidate["k"] for candidate in result["candidates"]] == [2, 3, 4, 5, 6, 7]
    best = result["candidates"][2]
    assert best["stability"] == pytest.approx(1)
    assert best["silhouette"] == max(each["silhouette"] for each in result["candidates"])
    assert str(GROUPS) in result["reason"]


def test_a_choice_says_what_it_does(choice: Any) -> None:
    job, events = choice
    assert [e.data["stage"] for e in events if e.kind == "stage"][-2:] == ["choose", "preview"]
    looked_at = [event.data["k"] for event in events if event.kind == "candidate"]
    assert looked_at[:6] == [2, 3, 4, 5, 6, 7]
    assert len(looked_at) == 9
    assert events[-1].kind == "end"
    assert events[-1].data["result"] == job["result"]


def test_three_numbers_are_shown_side_by_side_as_fits_would_make_them(
    server: Server, choice: Any
) -> None:
    previews = choice[0]["result"]["previews"]
    assert len(previews) == 3
    assert [preview["recommended"] for preview in previews] == [True, False, False]
    assert len({preview["k"] for preview in previews}) == 3
    for preview in previews[:2]:
        server.fit("customers", "previewed", n_clusters=preview["k"])
        profiles = server.get("/v1/models/previewed/profiles")["clusters"]
        assert [(c["size"], c["typical"]) for c in profiles] == [
            (c["size"], c["typical"]) for c in preview["clusters"]
        ]
        assert [c["name"] for c in profiles] == [c["name"] for c in preview["clusters"]]
        assert all(cluster["top_terms"] for cluster in preview["clusters"])


def test_a_choice_of_texts_has_their_coherence_and_words(server: Server) -> None:
    reply = ask_choice(server, "films", **{"from": 2, "to": 4}, **PLAIN)
    job = server.ended(reply.json())
    assert job["state"] == "succeeded", job
    assert all(-1 <= each["coherence"] <= 1 for each in job["result"]["candidates"])
    assert sum(c["size"] for c in job["result"]["previews"][0]["clusters"]) == 60


def test_a_choice_is_listed_without_its_result(server: Server, choice: Any) -> None:
    jobs = {job["id"]: job for job in server.get("/v1/jobs", limit=200)["jobs"]}
    assert jobs[choice[0]["id"]]["kind"] == "choose-k"
    assert "result" not in jobs[choice[0]["id"]]
    assert {job["kind"] for job in jobs.values()} == {"choose-k", "fit"}


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"from": 5, "to": 4}, "from=5"),
        ({"from": 1}, "from"),
        ({"to": 2000}, "to"),
        ({"from": 500, "to": 600}, "n_clusters=500"),
        ({"n_clusters": 3}, "n_clusters"),
        ({"trim": 0.1}, "trim"),
        ({"algorithm": "hdbscan"}, "hdbscan"),
        ({"stop_words": "qq"}, "qq"),
    ],
)
def test_a_choice_that_cannot_be_is_refused(
    server: Server, parameters: dict[str, Any], named: str
) -> None:
    assert named in refused(ask_choice(server, "customers", **parameters), 422, "invalid_param")


def test_a_choice_for_no_dataset_or_another_kind_is_refused(server: Server) -> None:
    refused(ask_choice(server, "none"), 404, "unknown_dataset")
    for about in ({"kind": "choose", "dataset": "films"}, {"kind": 3, "dataset": "films"}, []):
        refused(server.http.post("/v1/jobs", json=about), 422, "invalid_param")
    about = {"kind": "choose-k", "dataset": "films", "model": "films"}
    assert "model" in refused(server.http.post("/v1/jobs", json=about), 422, "invalid_param")
    about = {"kind": "choose-k", "dataset": "films", "revision": "0" * 16}
    refused(server.http.post("/v1/jobs", json=about), 409, "dataset_changed")


def test_a_choice_ends_when_it_is_cancelled(server: Server) -> None:
    server.put("long", serving.films(200))
    job = ask_choice(server, "long", **{"from": 2, "to": 100}).json()
    serving.until(lambda: server.get(f"/v1/jobs/{job['id']}")["stage"] == "choose")
    assert server.http.post(f"/v1/jobs/{job['id']}/cancel").json()["state"] == "cancelled"
    job = server.get(f"/v1/jobs/{job['id']}")
    assert (job["state"], job["result"], job["error"]["code"]) == ("cancelled", None, "cancelled")
    assert server.workers() == []


# -- versions and names ------------------------------------------------------------------------


def edits(server: Server, model: str, version: int | None, *operations: Any, **more: Any) -> Any:
    about = {"operations": list(operations), **({"version": version} if version else {}), **more}
    return server.http.post(f"/v1/models/{model}/edits", json=about)


def changed(server: Server, model: str, version: int, *operations: Any, **more: Any) -> Any:
    reply = edits(server, model, version, *operations, **more)
    assert reply.status_code == 201, reply.text
    return reply.json()


@pytest.fixture
def model(server: Server, request: pytest.FixtureRequest) -> str:
    """A model of the customers in their four groups, for one test."""
    name = f"edit-{abs(hash(request.node.name)) % 10**9}"
    server.upload(name, server.archive("planted"))
    return name


@pytest.fixture(scope="module", autouse=True)
def planted(server: Server) -> dict[str, Any]:
    """Clusters of the planted customers."""
    server.fit("customers", "planted", n_clusters=GROUPS)
    clusters: dict[str, Any] = server.get("/v1/models/planted/clusters")
    return clusters


def items_of(server: Server, model: str, label: int) -> set[int]:
    page = server.get(f"/v1/models/{model}/clusters/{label}/items", limit=200)
    return {item["id"] for item in page["items"]}


def test_clusters_have_short_names_everywhere(server: Server, planted: dict[str, Any]) -> None:
    names = [cluster["name"] for cluster in planted["clusters"]]
    assert len(set(names)) == GROUPS
    assert all(names)
    assert not any(cluster["named"] for cluster in planted["clusters"])
    profiles = server.get("/v1/models/planted/profiles")["clusters"]
    discs = server.get("/v1/models/planted/map")["discs"]
    assert [profile["name"] for profile in profiles] == names
    assert {disc["label"]: disc["name"] for disc in discs} == dict(enumerate(names))


def test_a_cluster_is_renamed_and_the_version_before_is_a_request_away(
    server: Server, model: str, planted: dict[str, Any]
) -> None:
    made = changed(server, model, 1, {"op": "rename", "cluster": 2, "name": "Old and rich"})
    assert (made["version"], made["based_on"], made["active"]) == (2, 1, True)
    before = planted["clusters"]
    assert made["clusters"][2] == before[2] | {"name": "Old and rich", "named": True}
    assert made["clusters"][:2] + made["clusters"][3:] == before[:2] + before[3:]
    assert server.get(f"/v1/models/{model}/clusters")["clusters"] == made["clusters"]
    # Names change nothing that is judged.
    reports = [server.get(f"/v1/models/{model}/report", version=v) for v in (1, 2)]
    assert reports[0]["explained"] == reports[1]["explained"]
    server.http.post(f"/v1/models/{model}/versions/1/activate").raise_for_status()
    assert server.get(f"/v1/models/{model}/clusters")["clusters"] == before
    made = changed(server, model, 2, {"op": "rename", "cluster": 2, "name": None}, activate=False)
    assert (made["active"], made["clusters"]) == (False, before)


def test_several_changes_make_one_version(server: Server, model: str) -> None:
    groups = [items_of(server, model, label) for label in range(GROUPS)]
    stranger = min(groups[3])
    made = changed(
        server,
        model,
        1,
        {"op": "merge", "clusters": [0, 1]},
        {"op": "move", "items": [stranger], "cluster": 0},
        {"op": "split", "cluster": 1, "parts": 2},
        {"op": "rename", "cluster": 0, "name": "Two groups"},
    )
    assert made["clusters"][0]["size"] == len(groups[0]) * 2 + 1
    assert [cluster["label"] for cluster in made["clusters"]] == [0, 1, 2, 3]
    assert items_of(server, model, 0) == groups[0] | groups[1] | {stranger}
    assert items_of(server, model, 1) | items_of(server, model, 3) == groups[2]
    assert items_of(server, model, 2) == groups[3] - {stranger}
    listed = server.get(f"/v1/models/{model}/versions")
    assert [(v["version"], v["source"], v["based_on"]) for v in listed["versions"]] == [
        *((2, "edit", 1), (1, "upload", None)),
    ]
    assert listed["versions"][0]["metrics"]["n_clusters"] == 4
    assert [next(iter(edit)) for edit in listed["versions"][0]["parameters"]["edits"]] == [
        *("merge", "move", "split", "rename"),
    ]
    # What is judged is judged anew.
    reports = [server.get(f"/v1/models/{model}/report", version=v) for v in (1, 2)]
    assert reports[1]["explained"] < reports[0]["explained"]


def test_no_tab_undoes_what_another_has_done(server: Server, model: str) -> None:
    rename = {"op": "rename", "cluster": 0, "name": "First"}
    changed(server, model, 1, rename)
    late = {"op": "rename", "cluster": 1, "name": "Second"}
    assert "version 1" in refused(edits(server, model, 1, late), 412, "version_changed")
    address = f"/v1/models/{model}/edits"
    stale = server.http.post(address, json={"operations": [late]}, headers={"if-match": '"1"'})
    refused(stale, 412, "version_changed")
    odd = server.http.post(address, json={"operations": [late]}, headers={"if-match": "*"})
    refused(odd, 412, "version_changed")
    refused(edits(server, model, None, late), 428, "version_needed")
    both = {"operations": [late], "version": 1}
    refused(server.http.post(address, json=both, headers={"if-match": '"2"'}), 422, "invalid_param")
    assert server.get(f"/v1/models/{model}")["active"] == 2
    good = server.http.post(address, json={"operations": [late]}, headers={"if-match": '"2"'})
    assert good.status_code == 201, good.text
    assert [cluster["name"] for cluster in good.json()["clusters"]][:2] == ["First", "Second"]


@pytest.mark.parametrize(
    ("operations", "status", "code", "named"),
    [
        ([], 422, "invalid_param", "operations"),
        ([{"op": "paint", "cluster": 0}], 422, "invalid_param", "operations.0"),
        ([{"op": "rename", "cluster": 0}], 422, "invalid_param", "name"),
        ([{"op": "rename", "cluster": 0, "name": "x" * 101}], 422, "invalid_param", "name"),
        ([{"op": "merge", "clusters": [1]}], 422, "invalid_param", "clusters"),
        ([{"op": "split", "cluster": 0, "parts": 1}], 422, "invalid_param", "parts"),
        ([{"op": "move", "items": [True], "cluster": 0}], 422, "invalid_param", "items"),
        (
            [
                {"op": "rename", "cluster": 0, "name": "Same"},
                {"op": "rename", "cluster": 1, "name": "Same"},
            ],
            *(422, "invalid_param", "operations.1"),
        ),
        ([{"op": "move", "items": ["none"], "cluster": 0}], 404, "unknown_item", "operations.0"),
    ],
)
def test_changes_that_cannot_be_are_refused_whole(
    server: Server, operations: list[Any], status: int, code: str, named: str
) -> None:
    first = {"op": "rename", "cluster": 3, "name": "Kept out"}
    sent = [*operations, first] if operations else []
    assert named in refused(edits(server, "planted", 1, *sent), status, code)
    assert server.get("/v1/models/planted")["active"] == 1
    assert len(server.get("/v1/models/planted/versions")["versions"]) == 1
    assert server.incoming() == []


def test_changes_of_nothing_that_is_there_are_refused(server: Server) -> None:
    rename = {"op": "rename", "cluster": 0, "name": "First"}
    refused(edits(server, "nothing", 1, rename), 404, "unknown_model")
    refused(edits(server, "planted", 7, rename), 404, "unknown_version")
    refused(server.http.get("/v1/models/nothing/versions"), 404, "unknown_model")


def test_names_of_ones_own_survive_a_refit(server: Server) -> None:
    server.fit("customers", "named", n_clusters=GROUPS)
    first = items_of(server, "named", 0)
    changed(server, "named", 1, {"op": "rename", "cluster": 0, "name": "Young and poor"})
    server.put("customers-anew", customers(160), numbers=["age", "income"])
    server.fit("customers-anew", "named", n_clusters=GROUPS + 1, seed=7)
    clusters = server.get("/v1/models/named/clusters")["clusters"]
    own = [cluster for cluster in clusters if cluster["named"]]
    assert [cluster["name"] for cluster in own] == ["Young and poor"]
    kept = items_of(server, "named", own[0]["label"])
    assert 2 * len(kept & first) > len(first)
    # Rows that the version before had none of have no names to take over.
    server.put("others", customers(80, start=1000), numbers=["age", "income"])
    server.fit("others", "named", n_clusters=GROUPS)
    assert not any(c["named"] for c in server.get("/v1/models/named/clusters")["clusters"])


def test_versions_are_listed_page_by_page(server: Server, model: str) -> None:
    for version in (1, 2):
        changed(server, model, version, {"op": "rename", "cluster": 0, "name": f"v{version}"})
    page = server.get(f"/v1/models/{model}/versions", limit=2)
    assert [v["version"] for v in page["versions"]] == [3, 2]
    assert (page["model"], page["active"], page["previous"]) == (model, 3, 2)
    rest = server.get(f"/v1/models/{model}/versions", limit=2, cursor=page["next_cursor"])
    assert ([v["version"] for v in rest["versions"]], rest["next_cursor"]) == ([1], None)
    detail = server.get(f"/v1/models/{model}")
    assert detail["versions"] == page["versions"] + rest["versions"]


# -- levels ------------------------------------------------------------------------------------


def test_levels_merge_and_split_the_clusters(server: Server) -> None:
    made = server.get("/v1/models/planted/levels?counts=2&counts=4&counts=6")
    assert [level["n_clusters"] for level in made["levels"]] == [2, 4, 6]
    for level in made["levels"]:
        assert sum(cluster["size"] for cluster in level["clusters"]) == 120
        names = [cluster["name"] for cluster in level["clusters"]]
        assert len(set(names)) == len(names)
        assert all(names)
    top, own, fine = (level["clusters"] for level in made["levels"])
    assert {cluster["parent"] for cluster in top} == {None}
    for parts, above in ((own, top), (fine, own)):
        for cluster in above:
            inside = [part for part in parts if part["parent"] == cluster["label"]]
            assert sum(part["size"] for part in inside) == cluster["size"]
    assert sorted(label for cluster in own for label in cluster["labels"]) == [0, 1, 2, 3]
    assert all(len(cluster["labels"]) == 2 for cluster in top)
    # By income first, which lies farther apart.
    sizes = {cluster["label"]: cluster["size"] for cluster in own}
    assert sorted(sizes.values()) == [30, 30, 30, 30]


def test_levels_that_suit_come_without_asking(server: Server) -> None:
    levels = server.get("/v1/models/planted/levels")["levels"]
    assert [level["n_clusters"] for level in levels] == [4]


@pytest.mark.parametrize("counts", ["counts=4&counts=2", "counts=0", "counts=500", "counts=x"])
def test_levels_that_do_not_rise_or_cannot_be_are_refused(server: Server, counts: str) -> None:
    refused(server.http.get(f"/v1/models/planted/levels?{counts}"), 422, "invalid_param")


# -- outliers ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def strangers(server: Server) -> str:
    """A model of films, one with a text of no known word, and one unlike all others."""
    table = customers() + "900,one of a kind,33,1450\n"
    server.put("strangers", table, numbers=["age", "income"])
    server.fit("strangers", "strangers", n_clusters=GROUPS)
    return "strangers"


def test_the_item_that_fits_nowhere_comes_first(server: Server, strangers: str) -> None:
    page = server.get(f"/v1/models/{strangers}/outliers", limit=3)
    assert page["n"] == 121
    first = page["items"][0]
    assert (first["id"], first["title"]) == (900, "one of a kind")
    assert first["score"] > 3
    scores = [item["score"] for item in page["items"]]
    assert scores == sorted(scores, reverse=True)
    assert page["junk_clusters"] == []
    ids = [item["id"] for item in page["items"]]
    while page["next_cursor"]:
        page = server.get(f"/v1/models/{strangers}/outliers", limit=50, cursor=page["next_cursor"])
        ids += [item["id"] for item in page["items"]]
    assert sorted(ids) == [*range(120), 900]


def test_outliers_of_one_cluster_and_items_in_none(server: Server) -> None:
    rows = serving.films(40).splitlines()
    server.put("texts", "\n".join([*rows, "7001,No words,,1", "7002,Signs,!!! ???,1"]))
    server.fit("texts", n_clusters=3)
    none = server.get("/v1/models/texts/outliers", cluster=-1)
    assert {item["id"]: item["why"] for item in none["items"]} == {
        7001: "no_text",
        7002: "no_known_term",
    }
    assert {(item["score"], item["cluster"], item["nearest"]) for item in none["items"]} == {
        (None, -1, -1)
    }
    sizes = [c["size"] for c in server.get("/v1/models/texts/clusters")["clusters"]]
    some = server.get("/v1/models/texts/outliers", cluster=1)
    assert some["n"] == sizes[1]
    assert {item["cluster"] for item in some["items"]} == {1}
    assert "0 to 2" in refused(
        server.http.get("/v1/models/texts/outliers?cluster=3"), 404, "unknown_item"
    )


# -- comparisons -------------------------------------------------------------------------------


def test_two_versions_are_compared(server: Server, model: str) -> None:
    groups = [items_of(server, model, label) for label in range(GROUPS)]
    gone = sorted(groups[1])[:2]
    changed(
        server,
        model,
        1,
        {"op": "move", "items": gone, "cluster": 0},
        {"op": "rename", "cluster": 0, "name": "More"},
    )
    found = server.get(f"/v1/models/{model}/compare", **{"with": 1})
    assert found["before"] == {"model": model, "version": 1}
    assert found["after"] == {"model": model, "version": 2}
    assert (found["n_common"], found["n_gone"], found["n_new"], found["n_moved"]) == (120, 0, 0, 2)
    assert 0.9 < found["agreement"] < 1
    assert [(m["id"], m["before"], m["after"]) for m in found["moved"]] == [
        (item, 1, 0) for item in gone
    ]
    assert all(m["title"] == f"customer {m['id']}" for m in found["moved"])
    flows = {(f["before"], f["after"]): f for f in found["flows"]}
    assert (flows[1, 0]["items"], flows[1, 0]["matched"]) == (2, False)
    assert (flows[0, 0]["items"], flows[0, 0]["after_name"]) == (30, "More")
    assert found["n_flows"] == len(found["flows"]) == 5
    assert found["clusters"]["after"][0] == {"label": 0, "name": "More", "size": 32}
    # The version that was active before is the usual one; pages and single flows.
    page = server.get(f"/v1/models/{model}/compare", limit=1)
    assert len(page["moved"]) == 1
    rest = server.get(f"/v1/models/{model}/compare", limit=1, cursor=page["next_cursor"])
    assert page["moved"] + rest["moved"] == found["moved"]
    assert rest["next_cursor"] is None
    assert server.get(f"/v1/models/{model}/compare", before=0, after=1)["moved"] == []
    assert len(server.get(f"/v1/models/{model}/compare", before=1, after=0)["moved"]) == 2
    other = server.get(f"/v1/models/{model}/compare", with_model="planted", version=1)
    assert (other["before"]["model"], other["agreement"], other["n_moved"]) == ("planted", 1, 0)


def test_comparisons_that_cannot_be_are_refused(server: Server, model: str) -> None:
    address = f"/v1/models/{model}/compare"
    assert "with" in refused(server.http.get(address), 422, "invalid_param")
    refused(server.http.get(f"{address}?with=9"), 404, "unknown_version")
    refused(server.http.get(f"{address}?with_model=none"), 404, "unknown_model")
    server.fit("films", n_clusters=3)
    said = refused(server.http.get(f"{address}?with_model=films"), 422, "invalid_param")
    assert "no item" in said


# -- new rows ----------------------------------------------------------------------------------


def send(server: Server, address: str, table: str, **query: Any) -> Any:
    headers = {"content-type": serving.CSV}
    return server.http.post(address, content=table, params=query or None, headers=headers)


def test_new_rows_drift_or_do_not(server: Server) -> None:
    same = send(server, "/v1/models/planted/drift", customers(80, start=500)).json()
    assert (same["model"], same["version"], same["n_rows"], same["n_far"]) == ("planted", 1, 80, 0)
    assert "as expected" in same["verdict"]
    table = customers(8).replace("customer 1,", "customer 1,9")
    far = send(server, "/v1/models/planted/drift", table).json()
    assert far["n_far"] == 1
    cells = [cluster for cluster in far["clusters"] if cluster["far"]]
    assert [(cluster["rows"], cluster["far"]) for cluster in cells] in ([(3, 1)], [(2, 1)])
    assert all(cluster["name"] for cluster in far["clusters"])
    said = refused(send(server, "/v1/models/planted/drift", "id,age\n1,2\n"), 422, "missing_column")
    assert "income" in said


def test_new_rows_go_into_a_model_which_keeps_labels_and_names(server: Server, model: str) -> None:
    changed(server, model, 1, {"op": "rename", "cluster": 0, "name": "First"})
    table = customers(60, start=100) + "900,one of a kind,33,1450\n"
    reply = send(server, f"/v1/models/{model}/update", table)
    assert reply.status_code == 201, reply.text
    made = reply.json()
    assert (made["version"], made["based_on"], made["active"]) == (3, 2, True)
    assert (made["n_new"], made["n_known"]) == (41, 20)
    assert (made["n_strange"], made["strange"]) == (1, [900])
    assert sum(cluster["size"] for cluster in made["clusters"]) == 161
    assert (made["clusters"][0]["name"], made["clusters"][0]["named"]) == ("First", True)
    listed = server.get(f"/v1/models/{model}/versions")["versions"][0]
    assert (listed["source"], listed["based_on"], listed["metrics"]["n_items"]) == (
        "update",
        2,
        161,
    )
    stale = send(server, f"/v1/models/{model}/update", table, version=1)
    refused(stale, 412, "version_changed")
    aside = send(server, f"/v1/models/{model}/update", table, version=1, activate=False).json()
    assert (aside["version"], aside["active"]) == (4, False)
    refused(send(server, f"/v1/models/{model}/update", "id\n1\n"), 422, "missing_column")
    assert server.get(f"/v1/models/{model}")["active"] == 3
