"""What the service says to what it cannot take: which code, in what words, and nothing stored."""

from __future__ import annotations

import gzip
import io
import itertools
import pickle
import random
import socket
import struct
import tarfile
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from serving import (
    CSV,
    GZIP,
    NDJSON,
    PARQUET,
    TAR,
    XLSX,
    Server,
    answered,
    films,
    head,
    httpx,
    refused,
    until,
)

from gpu_kmeans import Model
from gpu_kmeans.errors import ModelError
from gpu_kmeans.service import archive

JSON = "Content-Type: application/json"
SOON = 10.0
"""Seconds within which every refusal is to be there."""


def promptly(ask: Callable[[], Any]) -> Any:
    """An answer that does not let people wait; other work of the machine may, now and then."""
    for _ in range(3):
        began = time.perf_counter()
        reply = ask()
        if time.perf_counter() - began < SOON:
            return reply
    pytest.fail(f"three times it took more than {SOON} s")


@pytest.fixture(autouse=True, scope="module")
def calm(service: Server) -> Iterator[None]:
    """None of this is unexpected, leaves anything behind, or takes something away."""
    before = [service.get(path) for path in ("/v1/models", "/v1/datasets/films")]
    errors = sum(line["level"] == "error" for line in service.log())
    yield
    until(lambda: not service.incoming() and not service.workers())
    assert [service.get(path) for path in ("/v1/models", "/v1/datasets/films")] == before
    assert sum(line["level"] == "error" for line in service.log()) == errors
    assert service.get("/readyz")["status"] == "ok"


# -- tables ------------------------------------------------------------------------------------


class Table(NamedTuple):
    """A table that is refused, and how."""

    content: bytes | str
    status: int
    code: str
    said: tuple[str, ...] = ()
    kind: str = CSV
    query: str = ""
    part: str = "items"


def zipped(*more: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        for name in ("xl/workbook.xml", *more):
            file.writestr(name, "<workbook/>")
    return out.getvalue()


def parquet(**columns: list[Any]) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out)
    return out.getvalue()


HEADER = "id,title,overview\n"
ROW = "1,A,a ghost\n"
CAST = 'movie_id,cast\n1001,"[{""name"": ""A""}]"\n'
TABLES = {
    "zero bytes": Table("", 422, "empty_dataset"),
    "a header only": Table(HEADER, 422, "empty_dataset"),
    "a BOM only": Table("\ufeff", 422, "empty_dataset"),
    "a missing column": Table(
        "id,plot\n1,x\n", 422, "missing_column", ("items.csv", "'overview'", "'id', 'plot'")
    ),
    "a missing column that was named": Table(
        HEADER + ROW, 422, "missing_column", ("'plot'", "'overview'"), query="?text=plot"
    ),
    "semicolons": Table("id;title;plot\n1;A;x\n", 422, "missing_column", ("'title', 'plot'",)),
    "two delimiters": Table(
        "id,overview;title\n1,x;A\n", 422, "uncertain_format", ("commas", "semicolons")
    ),
    "a column twice": Table("id,overview,id\n1,x,1\n", 422, "invalid_header", ("'id'", "1 and 3")),
    "a blank header": Table("\nid,overview\n1,x\n", 422, "invalid_header", ("row 1",)),
    "a long row": Table(HEADER + ROW + "2,B,x,y\n", 400, "csv_malformed", ("row 3", "4 cells")),
    "a short row": Table(HEADER + ROW + "2,B\n", 400, "csv_malformed", ("row 3", "2 cells")),
    "an open quote": Table(HEADER + ROW + '2,B,"x\n', 400, "csv_malformed", ("row 3", "closed")),
    "text after a quote": Table(HEADER + ROW + '2,"B"b,x\n', 400, "csv_malformed", ("row 3",)),
    "NUL": Table(HEADER + ROW + "2,B\0,x\n", 400, "csv_malformed", ("row 3", "NUL")),
    "an id twice": Table(HEADER + ROW + ROW, 422, "duplicate_id", ("rows 2 and 3", "'1'")),
    "no id": Table(HEADER + ",A,x\n", 422, "invalid_input", ("row 2", "'id'")),
    "UTF-16": Table((HEADER + ROW).encode("utf-16-le"), 400, "invalid_encoding", ("UTF-16",)),
    "Latin-1": Table(
        (HEADER + "1,Amélie,x\n").encode("latin-1"), 400, "invalid_encoding", ("line 2",)
    ),
    "truncated UTF-8": Table(
        (HEADER + "1,A,é").encode()[:-1], 400, "invalid_encoding", ("line 2",)
    ),
    "gzip of a header": Table(gzip.compress(HEADER.encode()), 422, "empty_dataset", ("items.gz",)),
    "half a gzip file": Table(
        gzip.compress((HEADER + ROW * 99).encode())[:-9],
        *(422, "file_problem", ("items.gz", "not a whole gzip file")),
        kind=GZIP,
    ),
    "JSON lines without a text": Table(
        '{"id": 1}\n', 422, "missing_column", ("items.csv", "'overview'")
    ),
    "JSON that is no object": Table(
        '{"id": 1, "overview": "x"}\n[2]\n',
        *(400, "json_malformed", ("items.jsonl", "line 2")),
        kind=NDJSON,
    ),
    "an empty spreadsheet": Table(zipped(), 422, "file_problem", ("items.xlsx",), kind=XLSX),
    "a spreadsheet of another kind": Table(
        zipped("xl/workbook.bin"), 415, "unsupported_file_type", ("another kind than .xlsx",)
    ),
    "a charset that is none": Table(
        HEADER + ROW, 422, "invalid_param", ("encoding",), kind=f"{CSV}; charset=utf-7000"
    ),
    "a delimiter that is none": Table(
        HEADER + ROW, 422, "invalid_param", ("delimiter",), query="?delimiter=ab"
    ),
    "a column of two roles": Table(
        HEADER + ROW, 422, "invalid_param", ("'title'", "twice"), query="?text=title&numbers=title"
    ),
    "words for numbers": Table(
        HEADER + ROW, 422, "not_numeric", ("row 2", "'title'"), query="?numbers=title"
    ),
    "numbers that are missing": Table(
        HEADER + ROW, 422, "missing_column", ("'age'",), query="?numbers=age"
    ),
    "nothing to cluster": Table("code\nA\nB\n", 422, "missing_column", ("'overview'",)),
    "CSV called Parquet": Table(HEADER + ROW, 415, "unsupported_file_type", kind=PARQUET),
    "half a Parquet file": Table(
        parquet(id=[1] * 99, overview=["x"] * 99)[:-50], 422, "file_problem", kind=PARQUET
    ),
    "lists for texts": Table(
        parquet(id=[1], overview=[[2.5]]), 422, "invalid_input", ("'overview'",), kind=PARQUET
    ),
    "genres as Python": Table(
        "id,overview,genres\n1,x,\"['Drama']\"\n",
        *(422, "invalid_json_cell", ("row 2", "'genres'", "single quotes")),
        query="?genres=genres",
    ),
    "genres that are an object": Table(
        'id,overview,genres\n1,x,[]\n2,y,"{}"\n',
        *(422, "invalid_json_cell", ("row 3", "'genres'")),
        query="?genres=genres",
    ),
    "genres nested deep": Table(
        f"id,overview,genres\n1,x,{'[' * 5000}{']' * 5000}\n",
        *(422, "invalid_json_cell", ("row 2",)),
        query="?genres=genres",
    ),
    "a word for a number": Table(
        "id,overview,popularity\n1,x,many\n",
        *(422, "not_numeric", ("row 2", "'popularity'", "'many'")),
        query="?popularity=popularity",
    ),
    "no number": Table(
        "id,overview,popularity\n1,x,NaN\n",
        *(422, "non_finite", ("row 2",)),
        query="?popularity=popularity",
    ),
    "an endless number": Table(
        "id,overview,popularity\n1,x,-inf\n",
        *(422, "non_finite", ("row 2",)),
        query="?popularity=popularity",
    ),
    "too large a number": Table(
        "id,overview,popularity\n1,x,1\n2,y,1e39\n",
        *(422, "out_of_range", ("row 3", "'popularity'")),
        query="?popularity=popularity",
    ),
    "a duration for a date": Table(
        parquet(id=[1], overview=["x"], release_date=[timedelta(hours=1)]),
        *(422, "invalid_input", ("'release_date'", "duration")),
        kind=PARQUET,
    ),
    "an unknown role": Table(
        HEADER + ROW, 422, "invalid_param", ("colour",), query="?colour=overview"
    ),
    "an id without a name": Table(HEADER + ROW, 422, "invalid_param", ("id",), query="?id="),
    "columns of the credits": Table(
        HEADER + ROW, 422, "invalid_param", ("cast",), query="?cast=overview"
    ),
    "credits without their column": Table(
        "id,cast\n1001,[]\n", 422, "missing_column", ("credits.csv", "'movie_id'"), part="credits"
    ),
    "credits twice": Table(
        CAST + CAST.partition("\n")[2],
        *(422, "duplicate_id", ("credits.csv", "rows 2 and 3")),
        part="credits",
    ),
    "credits of odd cast": Table(
        'movie_id,cast\n1001,"[{""name"": 7}]"\n',
        *(422, "invalid_json_cell", ("credits.csv", "row 2", "'cast'")),
        part="credits",
        query="?cast=cast",
    ),
}


@pytest.fixture(scope="module")
def sent(service: Server) -> dict[str, Any]:
    """The answers to all of these tables; two at a time, as most of it is to start a process."""
    service.put("with-items", films(3))
    before = service.get("/v1/datasets/with-items")

    def send(table: Table, at: int) -> Any:
        name = "with-items" if table.part == "credits" else f"refused-{at}"
        address = f"/v1/datasets/{name}/{table.part}{table.query}"
        headers = {"content-type": table.kind}
        with httpx.Client(base_url=service.http.base_url, timeout=30, trust_env=False) as client:
            return promptly(lambda: client.put(address, content=table.content, headers=headers))

    # One after another to the one dataset, as two uploads at once would be refused for that.
    order = sorted(TABLES, key=lambda name: TABLES[name].part)
    with ThreadPoolExecutor(2) as pool:
        first = [name for name in order if TABLES[name].part == "items"]
        answers = dict(zip(first, pool.map(send, map(TABLES.get, first), range(99)), strict=True))
    answers |= {name: send(TABLES[name], 0) for name in order if name not in answers}
    names = {each["name"] for each in service.get("/v1/datasets")["datasets"]}
    assert not any(name.startswith("refused-") for name in names)
    assert service.get("/v1/datasets/with-items") == before
    assert service.incoming() == []
    assert service.http.delete("/v1/datasets/with-items").status_code == 204
    return answers


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_refused_with_its_place(sent: dict[str, Any], name: str) -> None:
    table = TABLES[name]
    detail = refused(sent[name], table.status, table.code)
    for words in table.said:
        assert words in detail


def test_a_table_of_another_delimiter_and_encoding_is_taken(service: Server) -> None:
    content = "sep=;\r\nid;title;overview\r\n7;Amélie;a, b\r\n".encode("utf-16")
    reply = service.http.put(
        "/v1/datasets/semicolons/items", content=content, headers={"content-type": CSV}
    )
    assert reply.status_code == 201, reply.text
    assert (reply.json()["rows"], reply.json()["columns"]["text"]) == (1, "overview")
    assert service.http.delete("/v1/datasets/semicolons").status_code == 204


def test_credits_need_items(service: Server) -> None:
    reply = service.http.put(
        "/v1/datasets/nothing/credits", content=CAST, headers={"content-type": CSV}
    )
    assert "'nothing'" in refused(reply, 409, "items_first")


# -- requests that are none ----------------------------------------------------------------------


PUT = "PUT /v1/datasets/raw/items"
POST = "POST /v1/jobs"
NUMBERS = itertools.count()


def elsewhere(content: bytes) -> bytes:
    """The request with a name of its own: one that is being given up may still be held."""
    return content.replace(b"/raw/", b"/raw-%d/" % next(NUMBERS))


@pytest.mark.parametrize(
    "content",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
        b"hello\r\n\r\n",
        b"GET /livez HTTP/9.9\r\nHost: localhost\r\n\r\n",
        b"GET  HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /caf\xe9 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost : localhost\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: local\0host\r\n\r\n",
        head(POST, JSON, "Content-Length: -5"),
        head(POST, JSON, "Content-Length: 5, 6"),
        head(POST, JSON, "Content-Length: 5", "Content-Length: 6"),
        head(POST, JSON, f"Content-Length: {'9' * 5000}"),
        head(POST, JSON, "Content-Length: 5", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
        head(PUT, f"Content-Type: {CSV}", "Transfer-Encoding: chunked") + b"zz\r\nid,ov\r\n",
        head(PUT, f"Content-Type: {CSV}", "Transfer-Encoding: chunked") + b"5\r\nid,overview\r\n",
        head(PUT, f"Content-Type: {CSV}", "Transfer-Encoding: chunked") + b"f" * 40 + b"\r\n",
    ],
    ids=[
        *("TLS", "no HTTP", "a version to come", "no path", "raw bytes in a path"),
        *("a space before a colon", "NUL in a header", "negative length", "two lengths"),
        *("two length headers", "a length of 5,000 digits", "length and chunks"),
        *("a bad chunk", "a chunk longer than it says", "a chunk of any size"),
    ],
)
def test_what_is_not_http_is_a_bad_request(service: Server, content: bytes) -> None:
    refused(promptly(lambda: service.raw(elsewhere(content))), 400, "bad_request")
    until(lambda: not service.incoming(), SOON)


@pytest.mark.parametrize(
    "content",
    [
        head(PUT, f"Content-Type: {CSV}", "Content-Length: 500") + b"id,overview\n1,x",
        head(PUT, f"Content-Type: {CSV}", "Transfer-Encoding: chunked") + b"5\r\nid,ov\r\n",
        head(PUT, f"Content-Type: {CSV}", "Transfer-Encoding: chunked") + b"ff\r\nid,ov",
        head(POST, JSON, "Content-Length: 50") + b'{"dataset": "fil',
    ],
    ids=["of a length", "of chunks", "within a chunk", "of JSON"],
)
def test_a_body_that_ends_early_is_a_bad_request(service: Server, content: bytes) -> None:
    reply = promptly(lambda: service.raw(elsewhere(content), half_close=True))
    refused(reply, 400, "short_body")
    until(lambda: not service.incoming(), SOON)
    names = [each["name"] for each in service.get("/v1/datasets")["datasets"]]
    assert not any(name.startswith("raw") for name in names)


@pytest.mark.parametrize("abruptly", [False, True])
def test_who_goes_away_in_mid_upload_leaves_nothing(service: Server, abruptly: bool) -> None:
    name = f"left-{abruptly}".lower()
    line = f"PUT /v1/datasets/{name}/items"
    with service.connection() as connection:
        connection.sendall(head(line, f"Content-Type: {CSV}", "Content-Length: 9000000"))
        connection.sendall(b"id,overview\n" + b"1,some text\n" * 200_000)
        until(service.incoming)
        if abruptly:
            reset = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
    until(lambda: not service.incoming(), SOON)
    refused(service.http.get(f"/v1/datasets/{name}"), 404, "unknown_dataset")
    # And the name is free again.
    assert service.put(name, films(2))["rows"] == 2
    assert service.http.delete(f"/v1/datasets/{name}").status_code == 204


@pytest.mark.parametrize(
    "host", ["films.example", "", "localhost.evil.example", "localhost/x", "a b", "[::1", "127.1"]
)
def test_another_host_is_refused(service: Server, host: str) -> None:
    # A page of another site whose name was made to lead here would send such a one.
    reply = service.raw(head("GET /v1/models", host=host))
    if host == "a b":  # which the parser of requests may find odd by itself
        assert reply.status_code == 400
    else:
        refused(reply, 400, "bad_host")


def test_a_request_without_a_host_is_refused(service: Server) -> None:
    refused(service.raw(b"GET /v1/models HTTP/1.0\r\n\r\n"), 400, "bad_host")


@pytest.mark.parametrize("host", ["localhost", "LocalHost:8000", "127.0.0.1:1", "[::1]:8000"])
def test_this_machine_is_known_by_its_names(service: Server, host: str) -> None:
    assert service.raw(head("GET /livez", host=host)).status_code == 200


@pytest.mark.parametrize(
    "content",
    [
        head("GET /livez", f"X-Long: {'x' * 200_000}"),
        head("GET /livez", *(f"X-{number}: {'y' * 50}" for number in range(3_000))),
        head(f"GET /livez?{'z' * 200_000}"),
        head("GET /livez", f"{'n' * 200_000}: 1"),
        head("GET /livez", "Connection: close", f"Cookie: {'c' * 200_000}") * 3,
    ],
    ids=["one header", "many headers", "a long address", "a long name", "again and again"],
)
def test_oversized_headers_are_refused(service: Server, content: bytes) -> None:
    assert "131072 bytes" in refused(
        promptly(lambda: service.raw(content)), 431, "headers_too_large"
    )


def test_headers_after_a_body_count_as_headers(service: Server) -> None:
    content = head(POST, JSON, "Transfer-Encoding: chunked") + b"2\r\n{}\r\n0\r\n"
    trailers = b"".join(b"x-%d: %b\r\n" % (number, b"y" * 50) for number in range(20_000))
    reply = promptly(lambda: service.raw(content + trailers + b"\r\n"))
    refused(reply, 431, "headers_too_large")


# -- media types and sizes ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "headers", "code", "said"),
    [
        (*("PUT", "/v1/datasets/raw/items", {}), *("unsupported_media_type", "missing")),
        (
            *("PUT", "/v1/datasets/raw/items", {"content-type": "application/json"}),
            *("unsupported_media_type", "text/csv"),
        ),
        (
            *("PUT", "/v1/datasets/films/credits", {"content-type": "multipart/form-data"}),
            *("unsupported_media_type", "text/csv"),
        ),
        (
            *("POST", "/v1/jobs", {"content-type": "text/plain"}),
            *("unsupported_media_type", "application/json"),
        ),
        (
            *("POST", "/v1/models/films/predict", {"content-type": "text/plain"}),
            *("unsupported_media_type", "application/json"),
        ),
        (
            *("POST", "/v1/models/films/versions", {"content-type": "application/gzip"}),
            *("unsupported_media_type", TAR),
        ),
        (
            *("PUT", "/v1/datasets/raw/items", {"content-type": CSV, "content-encoding": "gzip"}),
            *("unsupported_encoding", "uncompressed"),
        ),
        (
            *("POST", "/v1/jobs", {"content-type": "application/json", "content-encoding": "br"}),
            *("unsupported_encoding", "uncompressed"),
        ),
    ],
)
def test_another_media_type_or_encoding_is_refused(
    service: Server, method: str, path: str, headers: dict[str, str], code: str, said: str
) -> None:
    reply = service.http.request(method, path, content=b'{"dataset": "films"}', headers=headers)
    assert said in refused(reply, 415, code)


@pytest.mark.parametrize(
    ("line", "kind", "most"),
    [
        (PUT, CSV, 256 << 20),
        ("POST /v1/models/raw/versions", TAR, 256 << 20),
        (POST, "application/json", 4 << 20),
        ("POST /v1/models/films/predict", "application/json", 4 << 20),
    ],
)
def test_a_body_announced_too_large_is_refused_unread(
    service: Server, line: str, kind: str, most: int
) -> None:
    wait = "Expect: 100-continue"
    announced = head(line, f"Content-Type: {kind}", f"Content-Length: {most + 1}", wait)
    reply = promptly(lambda: service.raw(announced))
    assert f"{most} bytes" in refused(reply, 413, "too_large")


def test_chunks_beyond_the_limit_are_refused(service: Server) -> None:
    chunk = b"100000\r\n" + b" " * (1 << 20) + b"\r\n"
    with service.connection() as connection:
        connection.sendall(head(POST, JSON, "Transfer-Encoding: chunked"))
        for _ in range(4):
            connection.sendall(chunk)
        connection.sendall(b"1\r\n \r\n")  # the one byte too many
        refused(answered(connection), 413, "too_large")


# -- JSON -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/models/films/predict"])
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"dataset": "films"',
        b"[" * 5_000 + b"]" * 5_000,
        b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
        b'{"parameters": {"n_clusters": NaN}}',
        b'{"parameters": {"max_df": Infinity}}',
        b'{"dataset": "fil\xe9ms"}',
        b'{"dataset": "\\ud800"}',
        b'{"dataset": "films"} and more',
        b"{'dataset': 'films'}",
        b"\xff\xfe{\0}\0",
    ],
    ids=[
        *("nothing", "half", "lists 5,000 deep", "objects 5,000 deep", "NaN", "Infinity"),
        *("Latin-1", "half a character", "more after it", "Python", "UTF-16"),
    ],
)
def test_what_is_not_json_is_a_bad_request(service: Server, path: str, content: bytes) -> None:
    headers = {"content-type": "application/json"}
    reply = promptly(lambda: service.http.post(path, content=content, headers=headers))
    refused(reply, 400, "invalid_json")


@pytest.mark.parametrize(
    ("parameters", "place"),
    [
        ({"n_clusters": 0}, "parameters.n_clusters"),
        ({"n_clusters": 1.5}, "parameters.n_clusters"),
        ({"n_clusters": True}, "parameters.n_clusters"),
        ({"n_clusters": "10"}, "parameters.n_clusters"),
        ({"n_clusters": None}, "parameters.n_clusters"),
        ({"n_clusters": 244}, "n_clusters=244 is more than the 243 rows"),
        ({"n_clusters": 10**30}, "parameters.n_clusters"),
        ({"seed": -1}, "parameters.seed"),
        ({"seed": 2**63}, "parameters.seed"),
        ({"max_iter": 0}, "parameters.max_iter"),
        ({"algorithm": "elkan"}, "parameters.algorithm"),
        ({"backend": "tpu"}, "parameters.backend"),
        ({"stop_words": "klingon"}, "parameters.stop_words"),
        ({"ngram_range": [1]}, "parameters.ngram_range"),
        ({"min_df": -1}, "parameters.min_df"),
        ({"max_df": 1.5}, "parameters.max_df"),
        ({"max_features": 0}, "parameters.max_features"),
        ({"sublinear_tf": 1}, "parameters.sublinear_tf"),
        ({"weighting": "bm26"}, "parameters.weighting"),
        ({"weighting": None}, "parameters.weighting"),
        ({"n_cluster": 3}, "parameters.n_cluster"),
        ([], "parameters"),
    ],
)
def test_a_parameter_outside_its_domain_is_refused(
    service: Server, parameters: Any, place: str
) -> None:
    before = service.get("/v1/jobs")
    reply = service.http.post("/v1/jobs", json={"dataset": "films", "parameters": parameters})
    assert place in refused(reply, 422, "invalid_param")
    assert service.get("/v1/jobs") == before


@pytest.mark.parametrize(
    ("about", "place"),
    [
        ({}, "dataset"),
        ([], "body"),
        ("films", "body"),
        ({"dataset": 7}, "dataset"),
        ({"dataset": "../films"}, "dataset"),
        ({"dataset": "films", "model": "Films"}, "model"),
        ({"dataset": "films", "model": "x" * 65}, "model"),
        ({"dataset": "films", "activate": "yes"}, "activate"),
        ({"dataset": "films", "colour": "red"}, "colour"),
        # What people sent is not to fill their screens, or to break lines.
        ({"dataset": "films", "k" * 100_000: 1}, "kkk"),
        ({"dataset": "films", "a\nb\x1b[31m": 1}, "a"),
    ],
)
def test_a_job_that_is_none_is_refused(service: Server, about: Any, place: str) -> None:
    assert place in refused(service.http.post("/v1/jobs", json=about), 422, "invalid_param")


@pytest.mark.parametrize("key", ["", "x" * 201])
def test_an_odd_idempotency_key_is_refused(service: Server, key: str) -> None:
    headers = {"idempotency-key": key}
    reply = service.http.post("/v1/jobs", json={"dataset": "films"}, headers=headers)
    refused(reply, 422, "invalid_param")


@pytest.mark.parametrize(
    ("about", "place"),
    [
        ({"texts": []}, "texts"),
        ({"texts": "a ghost"}, "texts"),
        ({"texts": ["a ghost", 7]}, "texts.1"),
        ({"texts": ["a ghost", None]}, "texts.1"),
        ({"texts": ["x" * 10_001]}, "texts.0"),
        ({"texts": ["x"], "more": 1}, "more"),
        ({}, "texts"),
    ],
)
def test_texts_that_are_none_are_refused(service: Server, about: Any, place: str) -> None:
    reply = service.http.post("/v1/models/films/predict", json=about)
    assert place in refused(reply, 422, "invalid_param")


# -- queries ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("recommend", "invalid_query"),
        (f"recommend?q={'x' * 100_000}", "invalid_query"),
        (f"recommend?q={'x' * 10_001}", "invalid_query"),
        ("recommend?q=x&limit=-1", "invalid_query"),
        ("recommend?q=x&limit=0", "invalid_query"),
        ("recommend?q=x&limit=1000000000", "invalid_query"),
        ("recommend?q=x&limit=1e3", "invalid_query"),
        ("recommend?q=x&limit=" + "9" * 5_000, "invalid_query"),
        ("recommend?q=x&clusters=0", "invalid_param"),
        ("recommend?q=x&clusters=11", "invalid_query"),
        ("recommend?q=x&rank=fame", "invalid_param"),
        ("recommend?q=x&version=0", "invalid_param"),
        ("recommend?q=x&version=x", "invalid_param"),
        ("items/1001/similar?limit=-1", "invalid_query"),
        ("items/1001/similar?limit=1000000000", "invalid_query"),
        ("clusters/0/items?limit=201", "invalid_query"),
        ("clusters/0/items?cursor=1", "invalid_param"),
        ("clusters/0/items?cursor=1--1", "invalid_param"),
        ("clusters/-1/items", "invalid_param"),
        ("clusters/x/items", "invalid_param"),
    ],
)
def test_a_query_outside_its_bounds_is_refused(service: Server, path: str, code: str) -> None:
    asked = head(f"GET /v1/models/films/{path}")  # longer than some clients' own limit
    refused(promptly(lambda: service.raw(asked)), 422, code)


@pytest.mark.parametrize("query", ["", "qqqq zzzz", "   ", "\0", "%%%", "\ufffd", "🦆", "the of"])
def test_a_query_without_a_known_term_finds_nothing_and_says_so(
    service: Server, query: str
) -> None:
    found = service.get("/v1/models/films/recommend", q=query, rank="article")
    assert (found["items"], found["cluster"], found["terms"]) == ([], None, [])
    assert found["message"] == "no term of the query is known to the model"
    if query == "the of":  # words of texts all the same
        return
    found = service.get("/v1/models/films/recommend", q=query)
    assert (found["items"], found["total"], found["facets"], found["terms"]) == ([], 0, [], [])
    assert found["message"].startswith(
        "nothing matches qqqq, zzzz" if "q" in query else "the query has no word"
    )


def test_a_query_that_is_not_utf8_is_a_text_all_the_same(service: Server) -> None:
    found = service.get("/v1/models/films/recommend?q=%ff%fe+ghost")
    assert found["terms"] == ["ghost"]


def test_the_longest_query_is_answered(service: Server) -> None:
    # A duck is twelve bytes of an address.
    asked = "ghost+" + "%F0%9F%A6%86" * 9_994
    reply = promptly(lambda: service.raw(head(f"GET /v1/models/films/recommend?q={asked}")))
    assert reply.json()["terms"] == ["ghost"]
    assert len(reply.json()["query"]) == 10_000


@pytest.mark.parametrize("given", ["x", "-1", "1.5", "9" * 5_000, ""])
def test_an_odd_event_id_is_no_failure(service: Server, given: str) -> None:
    (job,) = service.get("/v1/jobs", limit=200)["jobs"][-1:]
    reply = service.http.get(f"/v1/jobs/{job['id']}/events", headers={"last-event-id": given})
    if reply.status_code == 200:
        assert "event: end" in reply.text
    else:
        refused(reply, 422, "invalid_param")


# -- names and what is not there ------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        *("%2e%2e%2f", "..", "%2e%2e", "a%2fb", "%00", "a%00", "A", "a.b", "a b", "%C3%A9"),
        *("a%0a", "a" * 65, "%", "%zz", "~", "", "a;b", "a:b", "*"),
    ],
)
def test_a_name_of_other_characters_is_refused(service: Server, name: str) -> None:
    sent = name.replace(" ", "+")
    for line in (
        f"PUT /v1/datasets/{sent}/items",
        f"GET /v1/datasets/{sent}",
        f"DELETE /v1/datasets/{sent}",
        f"GET /v1/models/{sent}/report",
        f"POST /v1/models/{sent}/versions",
        f"GET /v1/models/{sent}/recommend?q=x",
    ):
        reply = service.raw(head(line, f"Content-Type: {CSV}", "Content-Length: 0"))
        assert "a-z, 0-9" in refused(reply, 422, "invalid_name")


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("GET /v1/datasets/none", "unknown_dataset"),
        ("DELETE /v1/datasets/none", "unknown_dataset"),
        ("GET /v1/jobs/none", "unknown_job"),
        ("GET /v1/jobs/none/events", "unknown_job"),
        ("GET /v1/jobs/%2e%2e%2f%00", "not_found"),
        ("POST /v1/jobs/none/cancel", "unknown_job"),
        ("GET /v1/models/none", "unknown_model"),
        ("DELETE /v1/models/none", "unknown_model"),
        ("POST /v1/models/none/rollback", "unknown_model"),
        ("POST /v1/models/none/versions/1/activate", "unknown_model"),
        ("GET /v1/models/none/recommend?q=x", "unknown_model"),
        ("GET /v1/models/none/archive", "unknown_model"),
        ("GET /v1/models/films/recommend?q=x&version=99", "unknown_version"),
        ("POST /v1/models/films/versions/99/activate", "unknown_version"),
        ("DELETE /v1/models/films/versions/99", "unknown_version"),
        ("GET /v1/models/films/clusters/0/items?cursor=99-0", "unknown_version"),
        ("GET /v1/models/films/clusters/10/items", "unknown_item"),
        ("GET /v1/models/films/items/1", "unknown_item"),
        ("GET /v1/models/films/items/01001", "unknown_item"),
        ("GET /v1/models/films/items/" + "9" * 30, "unknown_item"),
        ("GET /v1/models/films/items/%2e%2e%2fmodels", "unknown_item"),
        ("GET /v1/models/films/items/%00", "unknown_item"),
        ("GET /v1/models/films/items/x/similar", "unknown_item"),
        ("GET /v1/models/films/items/", "unknown_item"),
        ("GET /v1/nothing", "not_found"),
        ("GET /assets/nothing.js", "not_found"),
        ("GET /assets/..%2f..%2fstore.py", "not_found"),
        ("GET /assets/vendor/..%2fbokeh.js", "not_found"),
        ("GET /../../etc/passwd", "not_found"),
    ],
)
def test_what_is_not_there_is_not_found(service: Server, line: str, code: str) -> None:
    refused(promptly(lambda: service.raw(head(line, "Content-Length: 0"))), 404, code)


def test_a_job_for_an_unknown_dataset_is_refused(service: Server) -> None:
    reply = service.http.post("/v1/jobs", json={"dataset": "none"})
    assert "'none'" in refused(reply, 404, "unknown_dataset")


@pytest.mark.parametrize(
    ("line", "allowed"),
    [
        ("DELETE /v1/models", {"GET"}),
        ("POST /v1/datasets/films", {"GET", "DELETE"}),
        ("PATCH /v1/models/films", {"GET", "DELETE"}),
        ("GET /v1/datasets/films/items", {"PUT"}),
        ("PUT /v1/jobs", {"GET", "POST"}),
        ("GET /v1/jobs/x/cancel", {"POST"}),
        ("POST /livez", {"GET"}),
        ("TRACE /v1/info", {"GET"}),
        ("OPTIONS /v1/models/films/recommend", {"GET", "POST"}),
    ],
)
def test_another_method_is_refused_with_those_that_are_allowed(
    service: Server, line: str, allowed: set[str]
) -> None:
    reply = service.raw(head(line, "Content-Length: 0"))
    refused(reply, 405, "method_not_allowed")
    assert set(reply.headers["allow"].replace(" ", "").split(",")) == allowed


# -- other sites ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site", "origin": "http://localhost:1"},
    ],
)
def test_pages_of_other_sites_change_nothing(service: Server, header: dict[str, str]) -> None:
    for method, path in (
        ("PUT", "/v1/datasets/raw/items"),
        ("POST", "/v1/jobs"),
        ("DELETE", "/v1/models/films"),
    ):
        refused(service.http.request(method, path, headers=header), 403, "cross_site")


def test_pages_of_this_site_may(service: Server) -> None:
    own = {"origin": str(service.http.base_url).rstrip("/"), "sec-fetch-site": "same-origin"}
    reply = service.http.post("/v1/models/films/predict", json={"texts": ["x"]}, headers=own)
    assert reply.status_code == 200


# -- archives -----------------------------------------------------------------------------------


def packed(
    *members: tuple[tarfile.TarInfo | str, bytes], kind: int = tarfile.USTAR_FORMAT
) -> bytes:
    """A tar of these."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=kind) as tar:
        for member, content in members:
            info = tarfile.TarInfo(member) if isinstance(member, str) else member
            if info.isreg():
                info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def link(kind: bytes, name: str, target: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def sparse(name: str) -> tarfile.TarInfo:
    """A file of a gigabyte of which next to nothing is in the archive."""
    info = tarfile.TarInfo("GNUSparseFile.0/" + name)
    size = str(1 << 30)
    info.pax_headers = {"GNU.sparse.map": "0,1", "GNU.sparse.size": size, "GNU.sparse.name": name}
    return info


@pytest.fixture(scope="module")
def whole(service: Server) -> bytes:
    """An archive as it was downloaded."""
    return service.archive("films")


@pytest.fixture(scope="module")
def parts(whole: bytes) -> dict[str, bytes]:
    """What is in it."""
    with tarfile.open(fileobj=io.BytesIO(whole)) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]


def archive_refused(service: Server, content: bytes) -> str:
    detail = refused(promptly(lambda: service.upload("bad", content)), 422, "model_corrupt")
    refused(service.http.get("/v1/models/bad"), 404, "unknown_model")
    assert service.incoming() == []
    return detail


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"not a tar", bytes(10_240), pickle.dumps({"a": 1}), gzip.compress(b"x" * 2_000)),
        packed(("model.pkl", pickle.dumps([1]))),
    ],
    ids=["nothing", "text", "an empty tar", "a pickle", "gzip", "a tar of a pickle"],
)
def test_what_is_no_archive_is_refused(service: Server, content: bytes) -> None:
    archive_refused(service, content)


MANIFEST = "manifest.json"


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("an extra file", lambda all: [*all, ("model.pkl", pickle.dumps([1]))]),
        ("a file twice", lambda all: [*all, all[0]]),
        ("a missing file", lambda all: all[1:]),
        ("a folder", lambda all: [*all, (link(tarfile.DIRTYPE, "more", ""), b"")]),
        ("a path upwards", lambda all: [(f"../{all[0][0]}", all[0][1]), *all[1:]]),
        ("a path from the root", lambda all: [(f"/{all[0][0]}", all[0][1]), *all[1:]]),
        (
            "a symlink",
            lambda all: [(link(tarfile.SYMTYPE, MANIFEST, "/etc/passwd"), b""), *all[1:]],
        ),
        ("a link", lambda all: [*all[1:], (link(tarfile.LNKTYPE, MANIFEST, all[1][0]), b"")]),
        ("a device", lambda all: [(link(tarfile.CHRTYPE, MANIFEST, ""), b""), *all[1:]]),
        ("a sparse file", lambda all: [(sparse(all[0][0]), b" " * 512), *all[1:]]),
        ("files changed", lambda all: [(all[0][0], all[1][1]), (all[1][0], all[0][1]), all[2]]),
        ("another manifest", lambda all: [(all[0][0], b"{}"), *all[1:]]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_archive_of_other_things_is_refused(
    service: Server, parts: dict[str, bytes], name: str, change: Callable[[Any], Any]
) -> None:
    content = packed(*change(list(parts.items())), kind=tarfile.PAX_FORMAT)
    detail = archive_refused(service, content)
    if name not in ("files changed", "another manifest", "a missing file"):
        assert "no model does" in detail


@pytest.mark.parametrize("left", [-1, -511, -512, -1_024, -1_025, -2_000, 100_000, 513, 512, 100])
def test_a_truncated_archive_is_refused(service: Server, whole: bytes, left: int) -> None:
    archive_refused(service, whole[:left])


@pytest.mark.parametrize("file", archive.FILES)
def test_a_flipped_bit_is_found(service: Server, whole: bytes, file: str) -> None:
    with tarfile.open(fileobj=io.BytesIO(whole)) as tar:
        member = tar.getmember(file)
    damaged = bytearray(whole)
    damaged[member.offset_data + member.size // 2] ^= 4
    archive_refused(service, bytes(damaged))


def test_no_damage_at_any_byte_gives_another_model(whole: bytes, tmp_path: Path) -> None:
    random_ = random.Random(0)
    marks = [0, len(whole) - 1, len(whole) - 600, 124, 600]  # also headers and what fills blocks
    for number in range(60):
        damaged = bytearray(whole)
        at = marks[number // 2] if number < 10 else random_.randrange(len(whole))
        if number % 2:
            del damaged[at:]
        else:
            damaged[at] ^= 1 << random_.randrange(8)
        file, folder = tmp_path / f"{number}.tar", tmp_path / str(number)
        file.write_bytes(damaged)
        with pytest.raises(ModelError):
            archive.unpack(file, folder)
            Model.load(folder)
        assert not folder.exists() or {path.name for path in folder.iterdir()} <= {*archive.FILES}


def test_headers_that_lie_are_refused(whole: bytes, tmp_path: Path) -> None:
    """Sizes, types and names at random, with checksums that are right."""
    random_ = random.Random(1)
    for number in range(200):
        damaged = bytearray(whole)
        for _ in range(random_.randrange(1, 4)):
            damaged[random_.choice([*range(100), *range(124, 136), 156, 157, 345, 500])] = (
                random_.choice([0, 0x20, 0x2F, 0x37, 0x80, 0xFF])
            )
        damaged[148:156] = b" " * 8
        damaged[148:156] = b"%06o\0 " % sum(damaged[:512])
        file, folder = tmp_path / f"{number}.tar", tmp_path / str(number)
        file.write_bytes(damaged)
        try:
            archive.unpack(file, folder)
            Model.load(folder)
        except ModelError:
            pass
