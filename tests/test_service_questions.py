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
    for preview in previews:
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
