"""Whatever is sent, the service answers and says what was wrong: no 5xx, no traceback."""

from __future__ import annotations

import datetime
import decimal
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from serving import CSV, PARQUET, Server, refused

from gpu_kmeans.service import worker
from gpu_kmeans.service.limits import TableLimits

LIMITS = TableLimits(1_000, 50, 10_000, 20_000, 10**6, 100, 1_000, 1_000)
QUIETLY = settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=60)


@pytest.fixture(scope="module", autouse=True)
def in_this_process() -> Any:
    """The work is done here, where memory is not to be held to anything."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(worker, "_hold_to", lambda _: None)
        yield


def checked(file: Path, **columns: str) -> dict[str, Any]:
    """What the process that checks uploads would say of a file of items."""
    spec = {
        **{"task": "check", "folder": str(file.parent), "items": file.name, "credits": None},
        **{"columns": columns, "limits": asdict(LIMITS), "memory": 0},
        **{"encoding": None, "delimiter": None},
    }
    try:
        return worker.check(spec, lambda *_: None)  # type: ignore[arg-type]
    except Exception as error:
        return worker._verdict(error, spec)


def assert_told(said: dict[str, Any]) -> None:
    """It was read, or refused in words that help."""
    if "rows" in said:
        assert said["rows"] > 0
        assert json.dumps(said)
        return
    assert 400 <= said["status"] < 500, said
    assert len(said["detail"]) > 10
    assert "Traceback" not in said["detail"]


# -- tables ----------------------------------------------------------------------------------------

PIECES = st.sampled_from(
    [
        *(b"id", b"overview", b"title", b"genres", b"PAR1", b"1", b"-1e400", b"null"),
        *(b",", b"\n", b"\r\n", b'"', b'""', b";", b"\t", b"[", b"]", b"{}"),
        *(b"\0", b"\xff", b"\xef\xbb\xbf", "é".encode(), b'{"id": 1}', b"PK\x03\x04"),
        *(b"\x1f\x8b\x08", b"\x93NUMPY\x01\0", b"\x89HDF\r\n\x1a\n", b"%%MatrixMarket "),
    ]
)


@QUIETLY
@given(st.lists(PIECES, max_size=30).map(b"".join) | st.binary(max_size=200))
@example(b"id,overview\n1,x\n")
@example(b"PAR1" + bytes(100) + b"PAR1")
def test_any_bytes_are_read_or_refused(tmp_path_factory: Any, content: bytes) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    for suffix in (".csv", ".parquet"):
        (folder / f"items{suffix}").write_bytes(content)
        assert_told(checked(folder / f"items{suffix}"))
        (folder / f"items{suffix}").write_bytes(b"id,overview\n" + content)
        assert_told(checked(folder / f"items{suffix}"))


KINDS = {
    "int8": pa.array([1, None, 3], pa.int8()),
    "uint64": pa.array([2**64 - 1, 0, 1], pa.uint64()),
    "bool": pa.array([True, None, False]),
    "half": pa.array([1.5, None, float("nan")], pa.float16()),
    "double": pa.array([1.5, float("inf"), 1e300]),
    "decimal": pa.array([decimal.Decimal("1.50"), None, decimal.Decimal("9")]),
    "text": pa.array(["a", None, "nan"]),
    "large text": pa.array(["a", "", "b c"], pa.large_string()),
    "binary": pa.array([b"a", None, b"\xff"]),
    "fixed binary": pa.array([b"ab", None, b"cd"], pa.binary(2)),
    "dictionary": pa.array(["a", "b", None]).dictionary_encode(),
    "nothing": pa.nulls(3),
    "date": pa.array([datetime.date(2000, 1, 1), None, datetime.date(1, 1, 1)]),
    "moment": pa.array([datetime.datetime(2000, 1, 1), None, None], pa.timestamp("ns", tz="UTC")),
    "time": pa.array([datetime.time(1), None, datetime.time(2)]),
    "duration": pa.array([datetime.timedelta(1), None, datetime.timedelta(-1)]),
    "list": pa.array([["a"], None, []], pa.list_(pa.string())),
    "large list": pa.array([["a"], None, []], pa.large_list(pa.string())),
    "list of numbers": pa.array([[1], None, []], pa.list_(pa.int64())),
    "list of lists": pa.array([[["a"]], None, []]),
    "fixed list": pa.array([["a", "b"], None, ["c", "d"]], pa.list_(pa.string(), 2)),
    "struct": pa.array([{"name": "a"}, None, {"name": None}]),
    "list of structs": pa.array([[{"name": "a"}], None, [{"name": None}]]),
    "map": pa.array([[("k", 1)], None, []], pa.map_(pa.string(), pa.int64())),
    "month": pa.array([1, None, 3], pa.int32()),
}
ROLES = {"id": "id", "title": "title", "text": "overview", "popularity": "popularity"} | {
    **{"genres": "genres", "date": "release_date", "votes": "vote_count"}
}
GOOD = {"id": pa.array([1, 2, 3]), "overview": pa.array(["a ghost", "a house", "the sea"])}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("role", ROLES)
def test_any_kind_of_column_in_any_role_is_read_or_refused_by_name(
    tmp_path: Path, role: str, kind: str
) -> None:
    pq.write_table(pa.table(GOOD | {ROLES[role]: KINDS[kind]}), tmp_path / "items.parquet")
    said = checked(tmp_path / "items.parquet")
    assert_told(said)
    if "rows" not in said and said["code"] != "unreadable":
        assert ROLES[role] in said["detail"], said


def test_what_nobody_foresaw_is_told_without_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("with a user's words")

    pq.write_table(pa.table(GOOD), tmp_path / "items.parquet")
    monkeypatch.setattr("gpu_kmeans.service.reading.load_catalogue", fail)
    said = checked(tmp_path / "items.parquet")
    assert (said["status"], said["code"]) == (422, "unreadable")
    assert "ZeroDivisionError" in said["detail"]
    assert "words" not in json.dumps(said)
    assert "fail" in said["where"]  # for the log alone


# -- requests --------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
PARAMETERS = st.dictionaries(
    st.sampled_from(
        [
            *("n_clusters", "seed", "algorithm", "max_iter", "backend", "stop_words"),
            *(
                "ngram_range",
                "min_df",
                "max_df",
                "max_features",
                "sublinear_tf",
                "weighting",
                "other",
            ),
        ]
    ),
    JSON | st.lists(st.integers(-1, 12), max_size=3),
    min_size=1,
    max_size=3,
)
BODIES = {
    "/v1/jobs": st.fixed_dictionaries(
        {"dataset": st.sampled_from(["none", "f/", ""]) | JSON, "parameters": PARAMETERS | JSON},
        optional={"model": JSON, "activate": JSON, "more": JSON},
    ),
    "/v1/models/films/recommend": st.fixed_dictionaries(
        {
            "queries": st.lists(
                st.fixed_dictionaries(
                    {},
                    optional={
                        name: JSON | st.sampled_from(["ghost", 3, ["year>=2000"], [1054], "best"])
                        for name in (
                            *("q", "limit", "rank", "cluster", "where", "like", "dislike"),
                            *("diversity", "clusters", "more"),
                        )
                    },
                )
                | JSON,
                max_size=3,
            )
            | JSON
        }
    ),
    "/v1/models/films/predict": st.fixed_dictionaries({"texts": st.lists(JSON, max_size=3) | JSON}),
}
ASKED = st.sampled_from(sorted(BODIES)).flatmap(
    lambda path: st.tuples(st.just(path), BODIES[path] | JSON)
)


@settings(parent=QUIETLY, max_examples=100)
@given(ASKED)
def test_any_json_is_taken_or_refused(service: Server, sent: tuple[str, Any]) -> None:
    path, body = sent
    reply = service.http.post(
        path,
        content=json.dumps(body).encode("utf-8", "surrogatepass"),
        headers={"content-type": "application/json"},
    )
    assert_answered(reply)


ODD = [
    "",
    "1",
    "0",
    "-1",
    "1e3",
    "nan",
    "\0",
    "\ud7ff",
    "blend",
    "love",
    "1-1",
    "f" * 22,
    "9" * 5_000,
    "year>=2000",
    "genres=Drama",
    "1054",
    '"haunted house"',
]
VALUES = st.text(max_size=12) | st.integers(-(2**70), 2**70).map(str) | st.sampled_from(ODD)
NAMES = st.sampled_from(
    [
        *("q", "limit", "rank", "clusters", "version", "cursor", "start", "id", "text", "cast"),
        *("cluster", "where", "like", "dislike", "diversity", "x", "é"),
    ]
)
PATHS = st.sampled_from(
    [
        *(
            "recommend",
            "columns",
            "items",
            "clusters",
            "clusters/0/items",
            "clusters/-1/items",
            "items/1001",
            "items/",
        ),
        *("items/1001/similar", "items/1001/text", "items//text", "map", "report", "export", ""),
        *("versions/0/activate", "items/%00", "items/%ff%fe", "items/..%2f..", "nothing"),
    ]
)
LATIN = st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f")
HEADERS = st.dictionaries(
    st.sampled_from(["accept-encoding", "if-none-match", "last-event-id", "idempotency-key"]),
    st.text(LATIN, max_size=9).map(str.strip),  # the client sends no other
    max_size=2,
)


@settings(parent=QUIETLY, max_examples=150)
@given(PATHS, st.lists(st.tuples(NAMES, VALUES), max_size=3), HEADERS)
def test_any_question_is_answered_or_refused(
    service: Server, path: str, query: list[tuple[str, str]], headers: dict[str, str]
) -> None:
    text = "&".join(f"{quote(name)}={quote(value)}" for name, value in query)
    reply = service.http.get(
        f"/v1/models/films/{path}?{text}",
        headers={name: value.encode("latin-1") for name, value in headers.items()},
    )
    assert_answered(reply)


@settings(parent=QUIETLY, max_examples=40)
@given(
    st.sampled_from(["/v1/jobs", "/v1/jobs/x/events", "/v1/datasets", "/v1/info", "/v1/models"]),
    st.lists(st.tuples(NAMES, VALUES), max_size=3),
    HEADERS,
)
def test_any_list_is_answered_or_refused(
    service: Server, path: str, query: list[tuple[str, str]], headers: dict[str, str]
) -> None:
    text = "&".join(f"{quote(name)}={quote(value)}" for name, value in query)
    encoded = {name: value.encode("latin-1") for name, value in headers.items()}
    assert_answered(service.http.get(f"{path}?{text}", headers=encoded))


def assert_answered(reply: Any) -> None:
    assert reply.status_code < 500, reply.text
    if reply.status_code >= 400:
        refused(reply, reply.status_code, reply.json()["code"])


NO_TABLE = b"PAR1" + bytes(50) + b"PAR1"


@pytest.mark.parametrize("kind", [CSV, PARQUET])
def test_bytes_of_no_table_are_refused_by_the_service_too(service: Server, kind: str) -> None:
    reply = service.http.put(
        "/v1/datasets/fuzz/items",
        content=NO_TABLE,
        headers={"content-type": kind},
    )
    assert_answered(reply)
    assert reply.status_code >= 400
