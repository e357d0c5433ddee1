"""What one client may have, what every request must be like, and what is written down of it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from serving import (
    CSV,
    PATIENCE,
    ROOT,
    Server,
    answered,
    command,
    environment,
    films,
    head,
    refused,
    run,
    until,
)

from gpu_kmeans.service.clients import Clients
from gpu_kmeans.service.problems import Problem
from gpu_kmeans.service.settings import Settings

OTHER = "127.0.0.2"
"""Another address of this machine: another client."""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service that gives little to each, with a fit that goes on for as long as it is to."""
    data = tmp_path_factory.mktemp("clients") / "data"
    with Server(
        data,
        **{"max_client_streams": 3, "max_streams": 5, "max_client_requests": 3},
        **{"max_client_connections": 30, "max_client_uploads": 1, "max_concurrent": 20},
        **{"heartbeat_seconds": 0.2, "body_seconds": 60, "max_loaded_models": 1},
    ) as server:
        server.put("films", films(30))
        server.fit("films", n_clusters=2)
        server.fit("films", "other", n_clusters=2)
        yield server
        for pid in server.workers():
            os.kill(pid, signal.SIGCONT)
        assert not [line for line in server.log() if line["level"] == "error"]
        assert server.stop() == 0


@pytest.fixture
def job(small: Server) -> Iterator[str]:
    """A job that does not end by itself."""
    made = small.ask("films", "held", n_clusters=2)
    (worker,) = until(small.workers)
    os.kill(worker, signal.SIGSTOP)
    yield made["id"]
    os.kill(worker, signal.SIGCONT)
    small.http.post(f"/v1/jobs/{made['id']}/cancel")
    until(lambda: not small.workers())


@contextmanager
def connected(server: Server, client: str = "127.0.0.1") -> Iterator[socket.socket]:
    address = ("127.0.0.1", server.port)
    with socket.create_connection(address, 60, source_address=(client, 0)) as connection:
        yield connection


def asked(connection: socket.socket, line: str, *headers: str) -> bytes:
    """Send a request and return the first line and the headers of its answer."""
    connection.sendall(head(line, *headers))
    received = b""
    while b"\r\n\r\n" not in received and (part := connection.recv(65_536)):
        received += part
    return received


def get(server: Server, path: str, client: str = "127.0.0.1") -> Any:
    with connected(server, client) as connection:
        connection.sendall(head(f"GET {path}"))
        return answered(connection)


# -- each client has its share ---------------------------------------------------------------


def test_streams_of_one_client_shut_out_nobody(small: Server, job: str) -> None:
    line = f"GET /v1/jobs/{job}/events"
    with ExitStack() as stack:

        def streams(client: str, count: int) -> list[bytes]:
            opened = [stack.enter_context(connected(small, client)) for _ in range(count)]
            return [asked(connection, line) for connection in opened]

        mine = streams("127.0.0.1", 20)
        assert [b" 200 " in each for each in mine] == [True] * 3 + [False] * 17
        for each in mine[3:]:
            assert each.startswith(b"HTTP/1.1 429 ")
            assert re.search(rb"retry-after: [1-9]", each)
            assert b"connection: close" in each
        refused(get(small, f"/v1/jobs/{job}/events"), 429, "too_many_streams")
        # They take nothing from the requests, neither of this client nor of others.
        for _ in range(5):
            assert get(small, "/v1/info").status_code == 200
        assert [b" 200 " in each for each in streams(OTHER, 3)] == [True, True, False]
        assert get(small, "/v1/info", OTHER).status_code == 200
    until(lambda: b" 200 " in first_line(small, line))


def first_line(server: Server, line: str) -> bytes:
    with connected(server) as connection:
        return asked(connection, line)


def test_three_hundred_streams_of_one_client_shut_out_nobody(tmp_path: Path) -> None:
    with Server(tmp_path / "data") as server:
        server.put("films", films(10))
        made = server.ask("films", n_clusters=2)
        (worker,) = until(server.workers)
        os.kill(worker, signal.SIGSTOP)
        with ExitStack() as stack:
            opened = [stack.enter_context(connected(server)) for _ in range(300)]
            for connection in opened:
                connection.sendall(head(f"GET /v1/jobs/{made['id']}/events"))
            assert sum(b" 200 " in each.recv(200) for each in opened) == 16
            for client in ("127.0.0.1", OTHER):
                assert get(server, "/v1/info", client).status_code == 200
        os.kill(worker, signal.SIGCONT)
        assert server.stop() == 0


def test_requests_of_one_client_shut_out_nobody(small: Server) -> None:
    line, body = "POST /v1/jobs", ("Content-Type: application/json", "Content-Length: 9")
    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(connected(small)).sendall(head(line, *body) + b"{")
        reply = until(lambda: (one := get(small, "/v1/info")).status_code == 429 and one)
        assert "of one client" in refused(reply, 429, "too_many_requests")
        assert int(reply.headers["retry-after"]) >= 1
        assert get(small, "/v1/info", OTHER).status_code == 200
        for path in ("/livez", "/readyz", "/metrics"):
            assert get(small, path).status_code == 200
    until(lambda: get(small, "/v1/info").status_code == 200)


def test_connections_of_one_client_shut_out_nobody(small: Server) -> None:
    with ExitStack() as stack:
        for _ in range(40):
            stack.enter_context(connected(small))
        reply = get(small, "/v1/info")
        assert int(reply.headers["retry-after"]) >= 1
        refused(reply, 429, "too_many_connections")
        assert get(small, "/v1/info", OTHER).status_code == 200
    until(lambda: get(small, "/v1/info").status_code == 200)


def test_uploads_of_one_client_shut_out_nobody(small: Server) -> None:
    def upload(stack: ExitStack, name: str, client: str) -> socket.socket:
        connection = stack.enter_context(connected(small, client))
        length = (f"Content-Type: {CSV}", "Content-Length: 100")
        connection.sendall(head(f"PUT /v1/datasets/{name}/items", *length) + b"id,")
        return connection

    with ExitStack() as stack:
        upload(stack, "one", "127.0.0.1")
        until(small.incoming)
        refused(answered(upload(stack, "two", "127.0.0.1")), 429, "too_many_uploads")
        upload(stack, "three", OTHER)
        until(lambda: len(small.incoming()) == 2)
    until(lambda: not small.incoming())


# -- who a client is -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("peer", "said", "client"),
    [
        ("192.0.2.1", ["203.0.113.9"], "192.0.2.1"),  # anyone can say so
        ("10.1.2.3", [], "10.1.2.3"),
        ("10.1.2.3", ["203.0.113.9"], "203.0.113.9"),
        ("10.1.2.3", ["203.0.113.9, 10.9.9.9"], "203.0.113.9"),
        ("10.1.2.3", ["203.0.113.9", "10.9.9.9"], "203.0.113.9"),
        ("10.1.2.3", ["1.1.1.1, 203.0.113.9"], "203.0.113.9"),  # what the proxy saw itself
        ("10.1.2.3", ["203.0.113.9:4711"], "203.0.113.9"),
        ("10.1.2.3", ["[2001:db8::1]:80"], "2001:db8::1"),
        ("10.1.2.3", ["2001:db8::1"], "2001:db8::1"),
        ("10.1.2.3", ["::ffff:203.0.113.9"], "203.0.113.9"),
        ("10.1.2.3", ["203.0.113.9, unknown"], "10.1.2.3"),
        ("10.1.2.3", ["203.0.113.9, unknown, 10.4.4.4"], "10.4.4.4"),
        ("10.1.2.3", [""], "10.1.2.3"),
        ("::1", ["203.0.113.9"], "203.0.113.9"),
        ("", ["203.0.113.9"], ""),
    ],
)
def test_the_client_is_whom_trusted_proxies_name(peer: str, said: list[str], client: str) -> None:
    clients = Clients(Settings(trusted_proxies=("10.0.0.0/8", "::1")))
    headers = [(b"x-forwarded-for", each.encode()) for each in said]
    assert clients.address(peer, headers) == client
    assert Clients(Settings()).address(peer, headers) == peer


@given(said=st.binary(max_size=60), trusted=st.booleans())
def test_no_header_makes_a_client_of_what_is_no_address(said: bytes, trusted: bool) -> None:
    clients = Clients(Settings(trusted_proxies=("10.0.0.0/8",)))
    peer = "10.0.0.1" if trusted else "192.0.2.1"
    found = clients.address(peer, [(b"x-forwarded-for", said)])
    assert str(ip_address(found)) == found
    assert trusted or found == peer


@given(st.lists(st.tuples(st.sampled_from(["a", "2001:db8::1", "2001:db8::2", "2001:db8:0:1::"]))))
def test_a_network_of_one_machine_is_one_client(names: list[tuple[str]]) -> None:
    clients = Clients(Settings(max_client_streams=2, max_streams=100))
    counts: dict[str, int] = {}
    for (name,) in names:
        own = name if name == "a" else str(ip_network((name, 64), strict=False))
        if counts.get(own, 0) < 2:
            clients.enter("streams", name)
            counts[own] = counts.get(own, 0) + 1
        else:
            with pytest.raises(Problem):
                clients.enter("streams", name)
    for own, count in counts.items():
        for _ in range(count):
            clients.leave("streams", own.partition("/")[0])
    clients.enter("streams", "a")
    clients.enter("streams", "2001:db8::3")


# -- probes ----------------------------------------------------------------------------------


def test_a_probe_changes_nothing(small: Server) -> None:
    def loaded(server: Server) -> str:
        return server.http.get("/metrics").text.partition("gpu_kmeans_models_loaded ")[2][:3]

    assert small.get("/v1/models/films/recommend", q="love")["version"] == 1
    count = loaded(small)
    hot = small.get("/v1/models/films")["versions"][0]
    folders = list((small.data / "models").iterdir())
    before = {path: path.stat() for path in small.data.rglob("*") if path.is_file()}
    for _ in range(5):
        for path in ("/readyz", "/livez", "/metrics", "/v1/info", "/v1/models", "/v1/models/other"):
            assert small.http.get(path).status_code == 200
    after = {path: path.stat() for path in small.data.rglob("*") if path.is_file()}
    assert {path: (each.st_size, each.st_mtime_ns) for path, each in after.items()} == {
        path: (each.st_size, each.st_mtime_ns) for path, each in before.items()
    }
    assert loaded(small) == count
    # The one that was in memory still is: it answers without its files.
    assert hot["active"]
    for folder in folders:
        folder.rename(folder.with_suffix(".away"))
    try:
        assert small.get("/v1/models/films/recommend", q="love")["version"] == 1
        refused(small.http.get("/readyz"), 503, "version_missing")  # the other one
    finally:
        for folder in folders:
            folder.with_suffix(".away").rename(folder)
    assert small.get("/readyz") == {"status": "ok", "models": 2}


# -- HEAD --------------------------------------------------------------------------------------


def places(service: Server, method: str) -> list[str]:
    """An address that answers of each route with a method."""
    known = {"name": "films", "item": "1001", "label": "0", "version": "1"}
    found = service.get("/v1/openapi.json")["paths"]
    job = service.get("/v1/jobs")["jobs"][0]["id"]
    query = {"recommend": "?q=ghost"}
    return [
        re.sub(r"\{(\w+)\}", lambda match: (known | {"job": job})[match[1]], path)
        + query.get(path.rpartition("/")[2], "")
        for path, methods in found.items()
        if method in methods
    ]


PAGE = ["/", "/assets/main.js", "/assets/vendor/bokeh.min.js", "/v1/openapi.json"]
PASSING = ("x-request-id", "date")


def test_head_is_get_without_the_body(service: Server) -> None:
    for place in [*places(service, "get"), *PAGE, "/none", "/v1/models/none", "/?x=1"]:
        with service.connection() as connection:
            # On one connection: a body would be taken for the next answer.
            connection.sendall(head(f"HEAD {place}"))
            received = b""
            while b"\r\n\r\n" not in received:
                received += connection.recv(65_536)
            lines, _, body = received.partition(b"\r\n\r\n")
            assert body == b""
            connection.sendall(head("GET /livez"))
            assert answered(connection).json() == {"status": "ok"}
        status, *fields = lines.decode().split("\r\n")
        headers = dict(field.split(": ", 1) for field in fields)
        reply = service.http.get(place, headers={"accept-encoding": "identity"})
        assert int(status.split()[1]) == reply.status_code
        expected = dict(reply.headers)
        if expected.pop("transfer-encoding", None) is None and place != "/metrics":
            assert headers["content-length"] == expected["content-length"]
        for name in (*PASSING, "content-length"):
            headers.pop(name, None)
            expected.pop(name, None)
        assert headers == expected


def test_head_of_a_stream_ends_at_once(small: Server, job: str) -> None:
    with connected(small) as connection:
        received = asked(connection, f"HEAD /v1/jobs/{job}/events")
        assert received.startswith(b"HTTP/1.1 200 ")
        assert b"text/event-stream" in received
        assert received.endswith(b"\r\n\r\n")
        assert asked(connection, "GET /livez").startswith(b"HTTP/1.1 200 ")


def test_head_is_not_for_what_has_no_get(service: Server) -> None:
    reply = service.http.head("/v1/models/films/rollback")
    assert (reply.status_code, reply.headers["allow"], reply.content) == (405, "POST", b"")


# -- what is not known is refused ----------------------------------------------------------------


def test_unknown_and_repeated_parameters_are_refused_everywhere(service: Server) -> None:
    document = service.get("/v1/openapi.json")["paths"]
    for method in ("get", "put", "post", "delete"):
        for place in [*places(service, method), *(PAGE if method == "get" else [])]:
            if place == "/":
                continue
            for name in ("zzz", "limt", "state", "%00", "LIMIT", "q[]"):
                mark = "&" if "?" in place else "?"
                reply = service.http.request(method, f"{place}{mark}{name}=3")
                assert "no such parameter" in refused(reply, 422, "invalid_param")
    known = 0
    for path, methods in document.items():
        for parameter in methods.get("get", {}).get("parameters", []):
            if parameter["in"] == "query" and parameter["schema"].get("type") != "array":
                place = next(each for each in places(service, "get") if matches(path, each))
                name = parameter["name"]
                reply = service.http.get(f"{place.partition('?')[0]}?{name}=1&{name}=2")
                assert name in refused(reply, 422, "invalid_param")
                known += 1
    assert known > 10


def matches(path: str, place: str) -> bool:
    pattern = re.sub(r"\{\w+\}", "[^/]+", path)
    return re.fullmatch(pattern, place.partition("?")[0]) is not None


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("/v1/jobs?limt=3", "limt: there is no such parameter here; did you mean limit?"),
        ("/v1/jobs?state=failed", "There are: cursor, limit"),
        ("/v1/models/films/recommend?q=x&rnk=blend", "did you mean rank?"),
        ("/v1/models/films/clusters?verison=1", "did you mean version?"),
        ("/readyz?verbose", "none at all"),
    ],
)
def test_the_nearest_parameter_is_named(service: Server, place: str, said: str) -> None:
    assert said in refused(service.http.get(place), 422, "invalid_param")


@pytest.mark.parametrize(
    "sent",
    [
        head("GET /livez", "Host: localhost"),
        head("GET /livez", "Host: evil.example"),
        head("GET /livez", "host: evil.example"),
        head("GET http://evil.example/livez"),
        head("GET http://localhost:1/livez"),
        head("GET ftp://localhost/livez"),
        head("GET http://localhost@evil.example/livez"),
        b"GET http://localhost/livez HTTP/1.1\r\n\r\n",
        b"GET /livez HTTP/1.1\r\n\r\n",
    ],
)
def test_who_is_meant_must_be_clear(service: Server, sent: bytes) -> None:
    refused(service.raw(sent), 400, "bad_host")


def test_an_absolute_address_of_the_same_host_is_taken(service: Server) -> None:
    for line in ("GET http://localhost/livez", "GET HTTP://LOCALHOST/livez"):
        assert service.raw(head(line)).json() == {"status": "ok"}
    reply = service.raw(head("GET http://localhost/v1/jobs?limt=1"))
    assert "limit" in refused(reply, 422, "invalid_param")


@pytest.mark.parametrize(
    "headers",
    [
        ("Content-Type: text/csv", "Content-Type: application/json"),
        ("Content-Encoding: gzip", "Content-Encoding: identity"),
        ("Authorization: Bearer a", "Authorization: Bearer b"),
        ("Origin: http://evil.example", "Origin: http://localhost"),
        ("Idempotency-Key: a", "Idempotency-Key: b"),
    ],
)
def test_a_header_that_says_two_things_is_refused(
    service: Server, headers: tuple[str, str]
) -> None:
    reply = service.raw(head("POST /v1/jobs", *headers, "Content-Length: 0"))
    assert "stands twice" in refused(reply, 400, "repeated_header")


# -- replacing, and deleting the newest ------------------------------------------------------


def test_nothing_is_replaced_without_being_asked_for(small: Server) -> None:
    def put(part: str, content: str, query: str = "") -> Any:
        address = f"/v1/datasets/mine/{part}{query}"
        return small.http.put(address, content=content, headers={"content-type": CSV})

    credits = 'movie_id,cast,crew\n1001,"[]","[]"\n'
    assert put("items", films(5)).status_code == 201
    assert put("credits", credits).status_code == 201
    before = small.get("/v1/datasets/mine")
    for query in ("", "?replace=false"):
        for part, content in (("items", films(6)), ("credits", credits)):
            said = refused(put(part, content, query), 409, "name_in_use")
            assert "replace=true" in said
    refused(put("items", films(6), "?replace=perhaps"), 422, "invalid_param")
    refused(put("items", "id,plot\n1,x\n", "?replace=true"), 422, "missing_column")
    assert small.get("/v1/datasets/mine") == before
    assert put("credits", credits, "?replace=true").status_code == 200
    revision = small.get("/v1/datasets/mine")["revision"]
    for mark, status in (("0" * 16, 412), (revision, 200)):
        headers = {"content-type": CSV, "if-match": f'"{mark}"'}
        reply = small.http.put("/v1/datasets/mine/items", content=films(4), headers=headers)
        assert reply.status_code == status, reply.text
    assert put("credits", credits).status_code == 201
    # The credits of other items go with these, their file as well.
    reply = put("items", films(6), "?replace=true")
    assert (reply.status_code, reply.json()["rows"], reply.json()["credits"]) == (200, 6, None)
    assert "cast" not in reply.json()["columns"]
    assert credits.encode() not in {
        path.read_bytes() for path in (small.data / "datasets").iterdir()
    }
    assert small.http.delete("/v1/datasets/mine").status_code == 204


def test_a_dataset_that_a_job_waits_for_is_not_replaced_under_it(small: Server, job: str) -> None:
    reply = small.http.put(
        "/v1/datasets/films/items?replace=true", content=films(6), headers={"content-type": CSV}
    )
    assert job in refused(reply, 409, "in_use")


def test_without_its_newest_version_a_model_goes_on(service: Server) -> None:
    service.put("newest", films(17))
    for k in (2, 3):
        service.fit("newest", n_clusters=k)
    assert service.http.post("/v1/models/newest/versions/1/activate").status_code == 200
    assert service.http.delete("/v1/models/newest/versions/2").status_code == 204
    found = service.get("/v1/models/newest")
    assert (found["active"], found["previous"]) == (1, None)
    assert [row["version"] for row in found["versions"]] == [1]
    assert service.get("/v1/models/newest/clusters")["version"] == 1
    assert service.http.post("/v1/models/newest/versions/1/activate").status_code == 200
    said = refused(service.http.delete("/v1/models/newest/versions/1"), 409, "version_active")
    assert "delete the whole model" in said
    assert service.fit("newest", n_clusters=2) == 3


# -- what is written down ------------------------------------------------------------------------


def test_it_can_be_found_afterwards_who_did_what(tmp_path: Path) -> None:
    data = tmp_path / "data"
    code, key, _ = run("key", "add", "anna", "--scope", "write", "--data", data)
    key = key.strip()
    assert code == 0
    with Server(data, require_keys=1) as server:
        server.http.headers["authorization"] = f"Bearer {key}"
        server.put("films", films(20))
        server.put("films", films(21), replace=True)
        server.fit("films", n_clusters=2)
        archive = server.archive("films")
        assert server.upload("films", archive).json()["version"] == 2
        server.http.post("/v1/models/films/versions/2/activate")
        server.get("/v1/models/films/recommend", q="xylophonist")
        server.http.get("/v1/models/films/clusters?version=1")
        server.http.delete("/v1/models/films/versions/1")
        server.http.delete("/v1/models/films")
        reply = server.http.delete("/v1/datasets/films", headers={"x-request-id": "mine"})
        assert reply.status_code == 204
        server.http.delete("/v1/datasets/films", headers={"authorization": "Bearer gk_no_no"})
        assert server.stop() == 0
        log, said = server.log(), server.said()
    assert run("key", "remove", "anna", "--data", data)[0] == 0

    changes = [line for line in log if line["message"] == "change"]
    written = [json.loads(line) for line in (data / "audit.jsonl").read_text().splitlines()]
    expected = [
        *("items added", "items replaced", "job added", "version added", "version uploaded"),
        *("version activated", "version deleted", "model deleted", "dataset deleted"),
    ]
    by_people = [action for action in expected if action != "version added"]
    assert [line["action"] for line in changes] == by_people
    ended = next(line for line in log if line["message"] == "job ended")
    assert (ended["model"], ended["version"]) == ("films", 1)
    assert [line["action"] for line in written] == ["key added", *expected, "key removed"]
    assert (written[0]["name"], written[-1]["name"]) == ("anna", "anna")
    last = written[-2]
    assert (last["dataset"], last["client"], last["request"]) == ("films", "127.0.0.1", "mine")
    assert last["key"] == {"id": key.split("_")[1], "name": "anna"}
    assert {line["version"] for line in written if "version" in line} == {1, 2}

    requests = [line for line in log if line["message"] == "request"]
    for line in requests:
        assert {"client", "key", "method", "route", "status", "bytes", "ms", "request"} <= set(line)
        assert line["client"] == "127.0.0.1"
    by_route = {line["route"]: line for line in requests if line["status"] == 200}
    found = by_route["/v1/models/{name}/recommend"]
    assert (found["model"], found["version"], found["key"]["name"]) == ("films", 2, "anna")
    assert by_route["/v1/models/{name}/clusters"]["version"] == 1
    assert by_route["/v1/models/{name}/archive"]["bytes"] == len(archive)
    denied = next(line for line in requests if line["status"] == 401)
    assert (denied["key"], denied["dataset"]) == (None, "films")
    for secret in (key, key.split("_")[2], "xylophonist", "gk_no_no"):
        assert secret not in said
        assert secret not in (data / "audit.jsonl").read_text()


@pytest.mark.skipif(shutil.which("sh") is None, reason="there is no shell to set limits")
def test_a_start_on_a_full_disk_says_so(tmp_path: Path) -> None:
    with Server(tmp_path / "data") as server:
        server.put("films", films(10))
        server.ask("films", n_clusters=2)
        until(server.workers)
        server.process.kill()
        server.wait()
    # No file may grow beyond these blocks of 512 bytes, as on a full disk: not SQLite's index of
    # its log, or that but not the log, in which the start writes what was interrupted.
    for blocks in (8, 80):
        limited = ["sh", "-c", f'ulimit -f {blocks}; exec "$0" "$@"']
        done = subprocess.run(
            limited + command("serve", "--data", server.data, "--port", 0, "--backend", "cpu"),
            env=environment(),
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert (done.returncode, done.stdout) == (2, ""), done.stderr
        (line,) = done.stderr.splitlines()
        assert line.startswith("gpu-kmeans: error: ")
        assert "disk is full" in line
    with Server(server.data) as again:
        assert again.get("/v1/jobs")["jobs"][0]["state"] == "interrupted"
        assert again.stop() == 0
