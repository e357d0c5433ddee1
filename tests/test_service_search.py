"""Search over HTTP: what is found and why, conditions, facets, likes, batches, lists, tags."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from serving import Server, films, refused

from gpu_kmeans import Model
from gpu_kmeans.search import SEARCH_RANKS, Searcher
from gpu_kmeans.service.answers import MAX_ANSWERS, Answers, StoredAnswer, accepts_gzip, matches

PATH = "/v1/models/films/recommend"
QUERIES = ["robot", "house by the sea", '"haunted house"', "gost", "rob", "Cold Spots", "星"]


@pytest.fixture(scope="module")
def searcher(service: Server, tmp_path_factory: pytest.TempPathFactory) -> Searcher:
    """The library's search in the service's own model."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "model.tar").write_bytes(service.archive("films"))
    import tarfile

    with tarfile.open(folder / "model.tar") as tar:
        tar.extractall(folder / "model", filter="data")
    return Searcher(Model.load(folder / "model"))


def ask(service: Server, **query: Any) -> Any:
    return service.get(PATH, **query)


# -- as the library ----------------------------------------------------------------------------


@pytest.mark.parametrize("query", QUERIES)
def test_a_search_is_the_librarys(service: Server, searcher: Searcher, query: str) -> None:
    for rank in SEARCH_RANKS:
        shown = ask(service, q=query, rank=rank, limit=20)
        expected = searcher.search(query, 20, rank=rank).to_dict()
        assert {name: shown[name] for name in ("query", "total", "facets", "message")} == {
            name: expected[name] for name in ("query", "total", "facets", "message")
        }
        assert shown["corrections"] == expected["corrections"]
        assert shown["terms"] == expected["words"]
        assert [(i["id"], i["score"], i["cluster"], i["reasons"]) for i in shown["items"]] == [
            (i["id"], i["score"], i["label"], i["reasons"]) for i in expected["items"]
        ]
        assert (shown["model"], shown["version"], shown["rank"]) == ("films", 1, rank)
        assert all(item["parts"] is None for item in shown["items"])
    assert ask(service, q=query) == ask(service, q=query, rank="best")


def test_what_matches_is_marked_in_title_and_text(service: Server) -> None:
    for item in ask(service, q="spots haunt", limit=20)["items"]:
        for pieces, whole in ((item["marked"], "text"), (item["marked_title"], "title")):
            assert "".join(text for text, _ in pieces) == item[whole]
        marked = {
            text.lower()
            for pieces in (item["marked"], item["marked_title"])
            for text, is_marked in pieces
            if is_marked
        }
        reasons = item["reasons"].get("text", []) + item["reasons"].get("title", [])
        assert marked == set(reasons)
    (first, *_) = ask(service, q="cold spots", limit=1)["items"]
    assert first["marked_title"] == [["Cold", True], [" ", False], ["Spots", True]]
    phrase = ask(service, q='"haunted house"')["items"]
    assert any(["haunted house", True] in item["marked"] for item in phrase)


def test_conditions_are_those_of_the_command_line(service: Server, searcher: Searcher) -> None:
    where = ["genres=Horror", "year>=2000", "year<=2010"]
    shown = ask(service, q="house", where=where)
    filters = {"genres": "Horror", "year": {"min": "2000", "max": "2010"}}
    expected = searcher.search("house", filters=filters)
    assert [item["id"] for item in shown["items"]] == [item.id for item in expected.items]
    assert 0 < shown["total"] == expected.total < ask(service, q="house")["total"]
    # Without a word, all that pass are listed.
    listed = ask(service, where=where, limit=100)
    assert listed["total"] == len(listed["items"]) >= shown["total"]
    assert all("Horror" in item["genres"] for item in listed["items"])
    assert all("2000" <= item["date"][:4] <= "2010" for item in listed["items"])


def test_clusters_restrict_and_facets_stay(service: Server) -> None:
    free = ask(service, q="war", limit=1000)
    assert sum(facet["hits"] for facet in free["facets"]) == free["total"] == len(free["items"])
    (most, second, *_) = free["facets"]
    assert most["name"] and most["hits"] >= second["hits"]
    one = ask(service, q="war", limit=1000, cluster=most["label"])
    assert one["total"] == most["hits"]
    assert {item["cluster"] for item in one["items"]} == {most["label"]}
    assert one["facets"] == free["facets"]
    both = ask(service, q="war", limit=1000, cluster=[most["label"], second["label"]])
    assert both["total"] == most["hits"] + second["hits"]
    assert ask(service, cluster=-1)["total"] == 3


def test_likes_and_dislikes(service: Server, searcher: Searcher) -> None:
    shown = ask(service, like=[1054, 1002], dislike=[1034], limit=8)
    expected = searcher.like([1054, 1002], [1034], 8)
    assert [(item["id"], item["score"]) for item in shown["items"]] == [
        (item.id, item.score) for item in expected.items
    ]
    assert shown["rank"] == "likeness"
    assert shown["total"] == expected.total
    shared = shown["items"][0]["reasons"]["text"]
    marked = {text.lower() for text, is_marked in shown["items"][0]["marked"] if is_marked}
    assert marked and marked <= set(shared)
    spread = ask(service, like=1054, diversity=1)
    assert len({item["cluster"] for item in spread["items"]}) == len(spread["facets"]) > 3


def test_typing_errors_are_corrected_and_near_words_offered(service: Server) -> None:
    shown = ask(service, q="gohst")
    assert shown["items"]
    assert shown["corrections"][0] == {"word": "gohst", "nearest": ["ghost"], "used": True}
    shown = ask(service, q="astronuatas")
    assert (shown["items"], shown["corrections"][0]["used"]) == ([], False)
    assert "astronaut" in shown["corrections"][0]["nearest"][0]
    assert shown["message"].startswith("nothing matches astronuatas")


def test_the_articles_rule_is_a_ranking_of_its_name(service: Server) -> None:
    shown = ask(service, q="ghost", rank="article", limit=1000)
    assert shown["rank"] == "article"
    assert {item["cluster"] for item in shown["items"]} == {shown["cluster"]["label"]}
    assert shown["total"] == shown["cluster"]["size"] == len(shown["items"])
    popularity = [item["popularity"] for item in shown["items"]]
    assert popularity == sorted(popularity, reverse=True)
    (facet,) = shown["facets"]
    assert (facet["label"], facet["hits"]) == (shown["cluster"]["label"], shown["total"])
    three = ask(service, q="ghost", clusters=3)
    assert (three["rank"], len(three["facets"])) == ("blend", 3)


@pytest.mark.parametrize(
    ("query", "status", "code", "said"),
    [
        ({}, 422, "invalid_query", "there is nothing to look for"),
        ({"rank": "article"}, 422, "invalid_query", "give q"),
        ({"q": "x", "rank": "article", "where": "year=1990"}, 422, "invalid_param", "where is for"),
        ({"q": "x", "clusters": 2, "rank": "best"}, 422, "invalid_param", "rank=best is for"),
        ({"q": "x", "clusters": 2, "cluster": 1}, 422, "invalid_param", "cluster is for"),
        ({"q": "x", "like": 1054}, 422, "invalid_param", "one or the other"),
        ({"dislike": 1054}, 422, "invalid_param", "dislike goes with like"),
        ({"like": 1054, "dislike": 1054}, 422, "invalid_param", "both liked and disliked"),
        ({"like": "7"}, 404, "unknown_item", "no item of the model has the id 7"),
        ({"like": "x'"}, 404, "unknown_item", "no item of the model has the id"),
        ({"q": "x", "cluster": 10}, 404, "unknown_item", "its clusters are 0 to 9"),
        ({"q": "x", "cluster": -2}, 422, "invalid_param", "cluster"),
        ({"q": "x", "cluster": "a"}, 422, "invalid_param", "cluster"),
        ({"q": "x", "where": "year"}, 422, "invalid_param", "'year' is no condition"),
        ({"q": "x", "where": "plot=1"}, 422, "invalid_param", "and the model has: id, title"),
        ({"q": "x", "where": ["year=1", "year=2"]}, 422, "invalid_param", "two conditions"),
        ({"q": "x", "where": ["year>=1", "year>=2"]}, 422, "invalid_param", "two conditions"),
        ({"q": "x", "where": "year>=soon"}, 422, "invalid_param", "'year' holds numbers"),
        ({"q": "x", "diversity": 0}, 422, "invalid_param", "diversity"),
        ({"q": "x", "rank": "likeness"}, 422, "invalid_param", "rank"),
    ],
)
def test_what_does_not_go_together_is_refused(
    service: Server, query: dict[str, Any], status: int, code: str, said: str
) -> None:
    reply = service.http.get(PATH, params=query)
    assert said in refused(reply, status, code)
    assert "--" not in reply.text


@pytest.mark.parametrize(
    "query",
    [
        *(
            '"',
            '""""',
            '"a',
            "a" * 10_000,
            "a " * 5_000,
            "\x00",
            "\ud7ff",
            "%_*?[](){}\\^$|",
            "'--",
        ),
        *(
            "<script>",
            "💀 👻",
            "ﬁlm ½ ² Ⅷ",
            "שלום",
            "ﷺ",
            "e\u0301" * 2_000,
            "机器人 robot",
            "İ",
            "ß",
            "OR NOT AND",
        ),
        *("\u202e\u200f\u200b", "a\nb\tc", '"the "house', "1e999 NaN -1", "ﬀ" * 3_000),
    ],
)
def test_any_query_is_answered(service: Server, query: str) -> None:
    for parameters in ({}, {"rank": "article"}, {"diversity": 1, "limit": 1000}):
        reply = service.http.get(PATH, params={"q": query, **parameters})
        assert reply.status_code == 200, reply.text
        for item in reply.json()["items"]:
            assert "".join(text for text, _ in item["marked"]) == item["text"]


# -- batches, lists, columns ---------------------------------------------------------------------


def post(service: Server, body: Any) -> Any:
    return service.http.post(PATH, json=body)


def test_a_batch_answers_as_each_query_does(service: Server) -> None:
    queries: list[dict[str, Any]] = [
        {"q": "robot", "limit": 3},
        {"q": "house", "where": ["year>=2000"], "cluster": [5, 6]},
        {"like": [1054, "1002"], "dislike": [1034], "diversity": 2},
        {"q": "ghost", "rank": "article"},
        {"cluster": [-1]},
    ]
    reply = post(service, {"queries": queries})
    assert reply.status_code == 200, reply.text
    assert reply.json() == {"answers": [ask(service, **query) for query in queries]}
    versioned = service.http.post(f"{PATH}?version=1", json={"queries": queries[:1]})
    assert versioned.json()["answers"][0]["version"] == 1


@pytest.mark.parametrize(
    ("body", "status", "code", "said"),
    [
        ({"queries": []}, 422, "invalid_param", "queries"),
        ({}, 422, "invalid_param", "queries"),
        ({"queries": [{"q": 1}]}, 422, "invalid_param", "queries.0.q"),
        ({"queries": [{"q": "x", "limt": 1}]}, 422, "invalid_param", "queries.0.limt"),
        (
            {"queries": [{"q": "x"}, {"q": "x", "limit": 0}]},
            422,
            "invalid_param",
            "queries.1.limit",
        ),
        ({"queries": [{"q": "x"}, {}]}, 422, "invalid_query", "queries.1: there is nothing"),
        ({"queries": [{"q": "x", "where": ["year"]}]}, 422, "invalid_param", "queries.0: 'year'"),
        ({"queries": [{"like": [7]}]}, 404, "unknown_item", "queries.0: no item"),
        ({"queries": [{"q": "x"}] * 1_001}, 422, "batch_too_large", "1000 allowed"),
    ],
)
def test_a_batch_that_is_none_is_refused(
    service: Server, body: Any, status: int, code: str, said: str
) -> None:
    assert said in refused(post(service, body), status, code)


def test_all_items_are_listed_page_by_page(service: Server) -> None:
    path = "/v1/models/films/items"
    pages, cursor = [], None
    while not pages or cursor:
        page = service.get(path, limit=100, **({"cursor": cursor} if cursor else {}))
        pages.append(page)
        cursor = page["next_cursor"]
    ids = [item["id"] for page in pages for item in page["items"]]
    assert [len(page["items"]) for page in pages] == [100, 100, 43]
    assert len(set(ids)) == pages[0]["total"] == 243
    assert pages[0]["items"][17] == service.get(f"{path}/{ids[17]}")
    some = service.get(path, where=["genres=Horror", "year>=2000"], cluster=5, limit=200)
    listed = ask(service, where=["genres=Horror", "year>=2000"], cluster=5, limit=200)
    assert {item["id"] for item in some["items"]} == {item["id"] for item in listed["items"]}
    assert some["total"] == listed["total"] > 0
    assert service.get(path, cursor="1-999999")["items"] == []
    refused(service.http.get(path, params={"cursor": "9-0"}), 404, "unknown_version")
    refused(service.http.get(path, params={"limit": 201}), 422, "invalid_query")
    assert "no cluster 77" in refused(
        service.http.get(path, params={"cluster": 77}), 404, "unknown_item"
    )


def test_columns_are_proposed_by_what_they_hold(service: Server) -> None:
    found = service.get("/v1/models/films/columns")
    columns = {column["name"]: column for column in found["columns"]}
    assert {name: columns[name]["kind"] for name in ("year", "date", "genres", "crew")} == {
        **{"year": "number", "date": "date", "genres": "list", "crew": "list"}
    }
    assert columns["original_language"]["kind"] == "category"
    assert not {"id", "title", "text", "tagline", "homepage", "status"} & set(columns)
    assert (columns["year"]["least"], columns["year"]["most"]) == (1949, 2024)
    assert (columns["date"]["least"], columns["votes"]["whole"]) == ("1949-04-08", True)
    for name in ("genres", "original_language"):
        for each in columns[name]["values"][:3]:
            listed = service.get("/v1/models/films/items", where=f"{name}={each['value']}")
            assert listed["total"] == each["items"]
    assert found["searched"][:2] == ["title", "keywords"]


def test_a_table_of_numbers_has_no_words_to_ask_for(
    service: Server,
) -> None:
    rows = "\n".join(f"{at % 3 * 20 + at % 5},{at % 3 * 1_000 + at % 7}" for at in range(60))
    service.put("numbers", f"age,income\n{rows}")
    service.fit("numbers", n_clusters=3)
    path = "/v1/models/numbers/recommend"
    asked = service.http.get(path, params={"q": "pro"})
    assert "without texts" in refused(asked, 422, "invalid_query")
    assert service.get(path, where=["age>=40"])["total"] == 20
    assert service.get(path, like="1", limit=3)["items"]
    assert service.get("/v1/models/numbers/columns")["searched"] == []
    for part in ("models", "datasets"):
        assert service.http.delete(f"/v1/{part}/numbers").is_success


# -- tags ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    ["recommend?q=ghost", "items?limit=3", "items/1054", "items/1054/similar", "columns"],
)
def test_an_answer_of_a_version_has_a_tag(service: Server, path: str) -> None:
    place = f"/v1/models/films/{path}"
    first = service.http.get(place)
    tag = first.headers["etag"]
    assert first.headers["cache-control"] == "private, no-cache"
    assert service.http.get(place).headers["etag"] == tag
    for sought in (tag, tag.removeprefix("W/"), f'"other", {tag}', "*"):
        same = service.http.get(place, headers={"if-none-match": sought})
        assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag)
    for sought in ('"other"', "", tag[:-2] + '"'):
        assert service.http.get(place, headers={"if-none-match": sought}).json() == first.json()
    mark = "&" if "?" in place else "?"
    pinned = service.http.get(f"{place}{mark}version=1")
    assert pinned.json() == first.json()
    assert pinned.headers["etag"] != tag


def test_a_refusal_has_no_tag_and_star_is_no_way_round_it(service: Server) -> None:
    for query in ("q=x&rnk=1", "q=x&limit=0", "version=9&q=x", ""):
        reply = service.http.get(f"{PATH}?{query}", headers={"if-none-match": "*"})
        assert reply.status_code in (404, 422)
        assert "etag" not in reply.headers
        assert reply.headers["cache-control"] == "no-store"


def test_answers_are_compressed_for_those_who_take_it(service: Server) -> None:
    plain = service.http.get(PATH, params={"q": "war"}, headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    for _ in range(2):  # the second is the one that was kept
        reply = service.http.get(PATH, params={"q": "war"}, headers={"accept-encoding": "br, gzip"})
        assert (reply.headers["content-encoding"], reply.headers["vary"]) == (
            "gzip",
            "accept-encoding",
        )
        assert reply.content == plain.content
        assert int(reply.headers["content-length"]) < len(plain.content) / 2
        assert reply.headers["etag"] == plain.headers["etag"]


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        *(("gzip", True), ("GZIP", True), ("deflate, gzip;q=0.5", True), ("gzip; q=1.0", True)),
        *(("gzip;q=0", False), ("gzip; q=0.000", False), ("x-gzip", False), ("*", False)),
        *(("", False), (None, False), ("identity", False)),
    ],
)
def test_gzip_is_taken_as_it_is_named(header: str | None, accepted: bool) -> None:
    assert accepts_gzip(header) == accepted


def test_tags_compare_weakly() -> None:
    assert matches('W/"a"', 'W/"a"') and matches('"a"', 'W/"a"') and matches('"b", "a"', 'W/"a"')
    assert not matches('"b"', 'W/"a"') and not matches(None, 'W/"a"') and not matches("", 'W/"a"')


def test_the_last_answers_are_kept_and_no_more() -> None:
    answers = Answers("films 1")
    for number in range(MAX_ANSWERS + 10):
        answers.keep(b"%d" % number, False, StoredAnswer(b"x", False))
        assert answers.get(b"0", False) is not None  # asked for, and so the last to go
    assert answers.get(b"1", False) is None
    assert answers.get(b"0", True) is None
    assert answers.get(b"%d" % (MAX_ANSWERS + 9), False) is not None
    large = b"x" * (1 << 20)
    for number in range(100):
        answers.keep(b"large %d" % number, False, StoredAnswer(large, False))
    assert answers.get(b"large 99", False) is not None
    assert answers.get(b"large 0", False) is None
    assert Answers("films 2").tag(b"q") != answers.tag(b"q") != answers.tag(b"p")


@pytest.fixture
def changing(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path / "data", key="secret", require_keys=1) as server:
        server.http.headers["authorization"] = "Bearer secret"
        server.put("films", films(40))
        assert [server.fit("films", n_clusters=k) for k in (2, 3)] == [1, 2]
        yield server


def test_a_tag_is_of_one_version_and_no_way_past_a_key(changing: Server) -> None:
    asked = {"q": "the"}
    second = changing.http.get(PATH, params=asked)
    tag = {"if-none-match": second.headers["etag"]}
    assert changing.http.get(PATH, params=asked, headers=tag).status_code == 304
    changing.http.post("/v1/models/films/versions/1/activate")
    first = changing.http.get(PATH, params=asked, headers=tag)
    assert (first.status_code, first.json()["version"]) == (200, 1)
    assert first.headers["etag"] != second.headers["etag"]
    refused(
        changing.http.get(PATH, params=asked, headers=tag | {"authorization": "Bearer no"}),
        401,
        "invalid_key",
    )
    page = changing.get("/v1/models/films/items", limit=10)
    changing.http.post("/v1/models/films/versions/2/activate")
    following = changing.http.get("/v1/models/films/items", params={"cursor": page["next_cursor"]})
    assert following.json()["version"] == 1
    requests = [line for line in changing.log() if line.get("status") == 304]
    assert [line["version"] for line in requests] == [2]


def test_a_packed_answer_unpacks(service: Server) -> None:
    with service.http.stream(
        "GET", PATH, params={"q": "love"}, headers={"accept-encoding": "gzip"}
    ) as reply:
        packed = b"".join(reply.iter_raw())
    assert b'"query":"love"' in gzip.decompress(packed)
