"""Where the service ends: what is slow, too much, forbidden, full, broken, killed or stopped."""

from __future__ import annotations

import base64
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from serving import CSV, Server, answered, films, head, refused, run, until

import gpu_kmeans
from gpu_kmeans.data import sample
from gpu_kmeans.service import archive

JSON = "Content-Type: application/json"
LATE = 5.0
"""Seconds in which everything that ends after 0.3 s has ended."""


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service that waits for nobody, and takes little."""
    folder = tmp_path_factory.mktemp("small") / "model"
    plain: dict[str, Any] = {"weighting": "tfidf", "reduce": 0, "n_clusters": 5}
    gpu_kmeans.fit(*sample.paths(), backend="cpu", **plain).save(folder)
    with Server(
        tmp_path_factory.mktemp("impatient"),
        **{"header_seconds": 0.3, "body_seconds": 0.3, "max_header_bytes": 4_000},
        **{"max_upload_bytes": 600_000, "max_body_bytes": 2_000, "max_rows": 50, "max_batch": 3},
        fit_seconds=0.1,
    ) as server:
        server.put("films", films(30))
        assert server.upload("films", b"".join(archive.pack(folder))).status_code == 201
        yield server
        assert not [line for line in server.log() if line["level"] == "error"]
        assert server.stop() == 0


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service for a few at a time."""
    with Server(
        tmp_path_factory.mktemp("narrow"),
        **{"max_concurrent": 3, "max_uploads": 1, "max_queue": 1, "heartbeat_seconds": 0.1},
    ) as server:
        server.put("films", films(30))
        yield server
        assert server.stop() == 0


def ended(connection: socket.socket) -> bytes:
    """What comes until the other side hangs up, which it does soon."""
    connection.settimeout(LATE)
    found = b""
    try:
        while part := connection.recv(65_536):
            found += part
    except ConnectionResetError:
        pass
    return found


# -- slow clients ----------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [b"G", b"GET /livez HTTP/1.1\r\nHost: local", b"\r\n\r\n"])
def test_headers_that_do_not_come_are_not_waited_for(impatient: Server, sent: bytes) -> None:
    with impatient.connection() as connection:
        connection.sendall(sent)
        refused(answered(connection), 408, "too_slow")
        assert ended(connection) == b""


def test_headers_that_drip_are_not_waited_for(impatient: Server) -> None:
    with impatient.connection() as connection, pytest.raises(OSError):
        for byte in b"GET /livez HTTP/1.1\r\nX-Slow: " + b"x" * 100:
            connection.sendall(bytes([byte]))
            time.sleep(0.05)


def test_who_says_nothing_is_hung_up_on(impatient: Server) -> None:
    with impatient.connection() as connection:
        assert ended(connection) == b""


def test_a_connection_is_kept_for_the_next_request_which_is_not_waited_for(
    impatient: Server,
) -> None:
    with impatient.connection() as connection:
        for _ in range(2):
            connection.sendall(head("GET /livez"))
            assert answered(connection).status_code == 200
            time.sleep(0.5)  # longer than headers may take: they have not begun
        connection.sendall(b"GET /livez HTTP/1.1\r\n")
        refused(answered(connection), 408, "too_slow")


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("PUT /v1/datasets/slow/items", CSV),
        ("POST /v1/jobs", "application/json"),
        ("POST /v1/models/films/predict", "application/json"),
    ],
)
@pytest.mark.parametrize("length", ["Content-Length: 1000", "Transfer-Encoding: chunked"])
def test_a_body_that_does_not_come_is_not_waited_for(
    impatient: Server, line: str, kind: str, length: str
) -> None:
    with impatient.connection() as connection:
        connection.sendall(head(line, f"Content-Type: {kind}", length) + b"2\r\n{\r")
        refused(answered(connection), 408, "too_slow")
        assert ended(connection) == b""
    until(lambda: not impatient.incoming())
    refused(impatient.http.get("/v1/datasets/slow"), 404, "unknown_dataset")


def test_the_rest_of_a_refused_body_is_not_waited_for(impatient: Server) -> None:
    with impatient.connection() as connection:
        connection.sendall(head("POST /v1/jobs", "Content-Length: 1000"))
        refused(answered(connection), 415, "unsupported_media_type")
        ended(connection)


def test_the_slow_do_not_keep_others_waiting(impatient: Server) -> None:
    with ExitStack() as stack:
        for _ in range(50):
            connection = stack.enter_context(impatient.connection())
            connection.sendall(head("POST /v1/jobs", JSON, "Content-Length: 10") + b"{")
        began = time.perf_counter()
        assert impatient.get("/v1/models/films/recommend", q="love")["version"] == 1
        assert time.perf_counter() - began < 2  # one after another they would take 15


# -- too much --------------------------------------------------------------------------------


def test_headers_beyond_the_limit_are_refused(impatient: Server) -> None:
    assert impatient.raw(head("GET /livez", "X-Long: " + "x" * 3_500)).status_code == 200
    reply = impatient.raw(head("GET /livez", "X-Long: " + "x" * 4_000))
    assert "4000 bytes" in refused(reply, 431, "headers_too_large")


def test_an_upload_beyond_the_limit_is_refused(impatient: Server) -> None:
    line = "PUT /v1/datasets/large/items"
    announced = head(line, f"Content-Type: {CSV}", "Content-Length: 600001")
    refused(impatient.raw(announced), 413, "too_large")
    in_chunks = head(line, f"Content-Type: {CSV}", "Transfer-Encoding: chunked")
    part = b"7d0\r\n" + b"x" * 2_000 + b"\r\n"
    refused(impatient.raw(in_chunks + part * 301), 413, "too_large")
    until(lambda: not impatient.incoming())
    # A client that goes on sending hears of it, too.
    parts = (b"x" * 60_000 for _ in range(50))
    reply = impatient.http.put(
        "/v1/datasets/large/items", content=parts, headers={"content-type": CSV}
    )
    refused(reply, 413, "too_large")
    refused(impatient.http.get("/v1/datasets/large"), 404, "unknown_dataset")


def test_json_beyond_the_limit_is_refused(impatient: Server) -> None:
    reply = impatient.http.post("/v1/models/films/predict", json={"texts": ["x" * 2_000]})
    assert "2000 bytes" in refused(reply, 413, "too_large")


def test_a_table_of_too_many_rows_is_refused(impatient: Server) -> None:
    def rows(count: int) -> str:
        return "id,overview\n" + "".join(f"{row},some text\n" for row in range(count))

    assert impatient.put("rows", rows(50))["rows"] == 50
    reply = impatient.http.put(
        "/v1/datasets/rows/items?replace=true", content=rows(51), headers={"content-type": CSV}
    )
    assert "51 rows" in refused(reply, 413, "too_many_rows")
    assert impatient.get("/v1/datasets/rows")["rows"] == 50


def test_too_many_texts_at_a_time_are_refused(impatient: Server) -> None:
    address = "/v1/models/films/predict"
    assert impatient.http.post(address, json={"texts": ["x"] * 3}).status_code == 200
    reply = impatient.http.post(address, json={"texts": ["x"] * 4})
    assert "4 texts" in refused(reply, 422, "batch_too_large")


# -- too many at once ------------------------------------------------------------------------


@contextmanager
def held(server: Server, line: str, kind: str) -> Iterator[socket.socket]:
    """A request that goes on for as long as it is held; its body wants twelve bytes more."""
    with server.connection() as connection:
        body = b"id,overview\n1,some "
        length = f"Content-Length: {len(body) + 12}"
        connection.sendall(head(line, f"Content-Type: {kind}", length) + body)
        yield connection


def test_too_many_at_once_are_told_to_come_again(narrow: Server) -> None:
    until(lambda: narrow.http.get("/v1/info").status_code == 200)
    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(held(narrow, "POST /v1/jobs", "application/json"))
        reply = until(lambda: (one := narrow.http.get("/v1/info")).status_code == 429 and one)
        refused(reply, 429, "too_many_requests")
        assert int(reply.headers["retry-after"]) >= 1
        # What watches the service is answered all the same.
        for path in ("/livez", "/readyz", "/metrics"):
            assert narrow.http.get(path).status_code == 200
    until(lambda: narrow.http.get("/v1/info").status_code == 200)


def test_too_many_uploads_at_once_are_told_to_come_again(narrow: Server) -> None:
    def upload(name: str) -> Any:
        headers = {"content-type": CSV}
        return narrow.http.put(f"/v1/datasets/{name}/items", content=films(2), headers=headers)

    with held(narrow, "PUT /v1/datasets/held/items", CSV) as connection:
        until(narrow.incoming)
        reply = upload("other")
        refused(reply, 429, "too_many_uploads")
        assert int(reply.headers["retry-after"]) >= 1
        refused(upload("held"), 409, "upload_in_progress")
        connection.sendall(b"text to end\n")
        assert answered(connection).json()["rows"] == 1
    assert upload("other").status_code == 201


def test_a_full_queue_takes_no_more_until_there_is_room(narrow: Server) -> None:
    narrow.ask("films", n_clusters=2)
    (worker,) = until(narrow.workers)
    os.kill(worker, signal.SIGSTOP)  # it takes as long as it is to
    about = {"dataset": "films", "parameters": {"n_clusters": 3}}
    key = {"idempotency-key": "mine"}
    waiting = narrow.http.post("/v1/jobs", json=about, headers=key)
    assert waiting.json()["queue_position"] == 1
    reply = narrow.http.post("/v1/jobs", json=about)
    refused(reply, 429, "queue_full")
    assert int(reply.headers["retry-after"]) >= 1
    # What is in it already can be asked for again.
    again = narrow.http.post("/v1/jobs", json=about, headers=key)
    assert (again.status_code, again.json()["id"]) == (202, waiting.json()["id"])
    # Who listens to a job that waits hears that the line is alive.
    with narrow.told(waiting.json()) as events:
        assert [next(events).kind, next(events).kind] == ["state", "comment"]
    narrow.http.post(f"/v1/jobs/{waiting.json()['id']}/cancel")
    assert narrow.http.post("/v1/jobs", json=about).status_code == 202
    os.kill(worker, signal.SIGCONT)
    for job in narrow.get("/v1/jobs")["jobs"]:
        narrow.http.post(f"/v1/jobs/{job['id']}/cancel")


# -- fits that die ---------------------------------------------------------------------------


def test_a_killed_process_fails_its_job_and_nothing_else(narrow: Server) -> None:
    for number, name in ((signal.SIGKILL, "SIGKILL"), (signal.SIGABRT, "SIGABRT")):
        job = narrow.ask("films", "killed", n_clusters=2)
        after = narrow.ask("films", "killed", n_clusters=2)
        (worker,) = until(narrow.workers)
        os.kill(worker, number)
        failed = narrow.ended(job)
        assert (failed["state"], failed["version"]) == ("failed", None)
        assert failed["error"]["code"] == "crashed"
        assert name in failed["error"]["detail"]
        if name == "SIGKILL":
            narrow.http.post(f"/v1/jobs/{after['id']}/cancel")
    assert narrow.ended(after)["state"] == "succeeded"
    assert narrow.incoming() == []
    assert narrow.get("/readyz")["status"] == "ok"


def test_a_fit_that_takes_too_long_fails(impatient: Server) -> None:
    job = impatient.ended(impatient.ask("films", n_clusters=3))
    assert (job["state"], job["error"]["code"]) == ("failed", "too_slow")
    assert "0.1 s" in job["error"]["detail"]
    assert impatient.workers() == impatient.incoming() == []


def test_a_fit_that_wants_too_much_memory_fails_and_nothing_else(tmp_path: Path) -> None:
    with Server(tmp_path / "data") as server:
        server.put("films", films(30))
        assert server.stop() == 0
    with Server(tmp_path / "data", fit_memory_bytes=200 << 20) as server:
        job = server.ended(server.ask("films", n_clusters=3))
        assert job["state"] == "failed"
        # Libraries that get no memory break down in many ways.
        assert job["error"]["code"] in ("out_of_memory", "crashed", "failed")
        assert "memory" in job["error"]["detail"]
        assert server.get("/readyz")["status"] == "ok"
        assert server.stop() == 0


# -- keys ------------------------------------------------------------------------------------


OWN = "a key that stands in the environment"


def key(data: Path, *arguments: object) -> str:
    code, out, err = run("key", *arguments, "--data", data)
    assert (code, err) == (0, "")
    return out.strip()


class Keyed:
    """A service that asks for keys, and two of them."""

    def __init__(self, data: Path) -> None:
        self.reader = key(data, "add", "reader")
        self.writer = key(data, "add", "writer", "--scope", "write")
        self.server = Server(data, require_keys=1, key=OWN)


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keyed]:
    made = Keyed(tmp_path_factory.mktemp("keyed") / "data")
    with made.server:
        yield made
        assert made.server.stop() == 0


def bearing(given: str) -> dict[str, str]:
    return {"authorization": f"Bearer {given}"}


@pytest.mark.parametrize(
    "line",
    [
        *("GET /v1/info", "GET /v1/datasets", "GET /v1/models", "GET /v1/jobs", "GET /metrics"),
        *("PUT /v1/datasets/x/items", "DELETE /v1/datasets/x", "POST /v1/jobs"),
        *("POST /v1/jobs/x/cancel", "GET /v1/jobs/x/events", "GET /v1/models/x/recommend?q=x"),
        *("POST /v1/models/x/predict", "GET /v1/models/x/archive", "GET /v1/models/x/items/1"),
        *("POST /v1/models/x/versions", "DELETE /v1/models/x", "POST /v1/models/x/rollback"),
        *("POST /v1/models/x/versions/1/activate", "DELETE /v1/models/x/versions/1"),
    ],
)
def test_without_a_key_nothing_is_said_or_done(keyed: Keyed, line: str) -> None:
    method, path = line.split()
    reply = keyed.server.http.request(method, path)
    assert "Authorization: Bearer" in refused(reply, 401, "missing_key")
    assert reply.headers["www-authenticate"] == "Bearer"


def test_what_watches_the_service_and_the_page_need_no_key(keyed: Keyed) -> None:
    for path in ("/livez", "/readyz", "/", "/v1/openapi.json"):
        assert keyed.server.http.get(path).status_code == 200


@pytest.mark.parametrize(
    "given",
    ["", "x", "gk_", "gk__", "gk_000000000000_x", "Bearer", "gk_000000000000_", "é", "x" * 5_000],
)
def test_a_key_that_is_none_is_refused(keyed: Keyed, given: str) -> None:
    sent = b"Authorization: Bearer " + given.encode("latin-1")  # more than some clients send
    reply = keyed.server.raw(b"GET /v1/info HTTP/1.1\r\nHost: localhost\r\n" + sent + b"\r\n\r\n")
    refused(reply, 401, "missing_key" if not given else "invalid_key")


def test_a_key_is_good_as_a_whole_and_in_its_scheme_alone(keyed: Keyed) -> None:
    number = keyed.reader.split("_")[1]
    wrong = [
        bearing(keyed.reader[:-1]),
        bearing(keyed.reader + "x"),
        bearing(f"gk_{number}_{keyed.writer.split('_', 2)[2]}"),
        bearing(OWN.upper()),
        {"authorization": f"Basic {base64.b64encode(keyed.reader.encode()).decode()}"},
        {"authorization": keyed.reader},
        {"x-api-key": keyed.reader},
    ]
    for headers in wrong:
        assert keyed.server.http.get("/v1/info", headers=headers).status_code == 401
    for given in (keyed.reader, keyed.writer, OWN):
        reply = keyed.server.http.get("/v1/info", headers=bearing(given))
        assert reply.json()["keys_required"] is True


def test_who_may_read_may_not_write(keyed: Keyed) -> None:
    def upload(given: str) -> Any:
        headers = bearing(given) | {"content-type": CSV}
        address = "/v1/datasets/x/items?replace=true"
        return keyed.server.http.put(address, content=films(2), headers=headers)

    assert "only read" in refused(upload(keyed.reader), 403, "wrong_scope")
    reply = keyed.server.http.post("/v1/jobs", json={}, headers=bearing(keyed.reader))
    refused(reply, 403, "wrong_scope")
    assert upload(keyed.writer).status_code == 201
    assert upload(OWN).status_code == 200
    assert (
        keyed.server.http.get("/v1/datasets/x", headers=bearing(keyed.reader)).json()["rows"] == 2
    )


def test_keys_come_and_go_while_it_runs_and_are_not_kept(keyed: Keyed) -> None:
    data = keyed.server.data
    made = key(data, "add", "guest")
    assert keyed.server.http.get("/v1/info", headers=bearing(made)).status_code == 200
    assert [line.split()[:2] for line in key(data, "list").splitlines()] == [
        *(["guest", "read"], ["reader", "read"], ["writer", "write"])
    ]
    kept = b"".join(path.read_bytes() for path in data.glob("registry*"))
    for given in (made, keyed.reader, keyed.writer):
        assert given.split("_", 2)[2].encode() not in kept
    key(data, "remove", "guest")
    refused(keyed.server.http.get("/v1/info", headers=bearing(made)), 401, "invalid_key")


def test_neither_the_log_nor_the_metrics_hold_what_people_ask_or_their_keys(keyed: Keyed) -> None:
    server, word = keyed.server, "xylophonist"
    for given in (keyed.writer, "gk_wrong_" + word):
        headers = bearing(given)
        for path in (f"recommend?q={word}", f"items/{word}", f"clusters?version={word}"):
            server.http.get(f"/v1/models/x/{path}", headers=headers)
        server.http.post("/v1/models/x/predict", json={"texts": [word]}, headers=headers)
        server.http.post("/v1/jobs", json={"dataset": "x", word: word}, headers=headers)
        bad = f"id,overview\n1,{word}\n1,{word}\n"
        server.http.put(
            f"/v1/datasets/x/items?title={word}",
            content=bad,
            headers=headers | {"content-type": CSV},
        )
        server.http.get(f"/{word}", headers=headers)
        server.http.request(word.upper(), "/", headers=headers)
    server.raw(f"{word}\r\n\r\n".encode())
    server.raw(head("GET /v1/models", f"Cookie: {word}", host=f"{word}.example"))
    metrics = server.http.get("/metrics", headers=bearing(OWN)).text
    said = server.said()
    for secret in (word, word.upper(), OWN, keyed.reader, keyed.writer, keyed.writer[:15]):
        assert secret not in said
        assert secret not in metrics
    assert {line["level"] for line in server.log()} <= {"info", "warning"}


def test_an_open_address_needs_a_key_to_begin_with(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        open_address = ("serve", "--data", data, "--host", "0.0.0.0", "--port", port)
        code, out, err = run(*open_address, "--backend", "cpu")
    # Before the port: that it is taken is not even noticed.
    assert (code, out) == (2, "")
    assert err.startswith("gpu-kmeans: error: the address 0.0.0.0 can be reached from outside")
    assert f"gpu-kmeans key add NAME --scope write --data {data}" in err
    made = key(data, "add", "mine", "--scope", "write")
    with Server(data, "--host", "0.0.0.0", allowed_hosts='["films.example"]') as server:
        asked = {"host": "films.example"}
        refused(server.http.get("/v1/info", headers=asked), 401, "missing_key")
        assert server.http.get("/v1/info", headers=asked | bearing(made)).status_code == 200
        refused(server.http.get("/v1/info", headers=bearing(made)), 400, "bad_host")
        assert server.stop() == 0


# -- its end, and what comes after -----------------------------------------------------------


def test_a_folder_is_served_by_one_process(service: Server) -> None:
    command = ("serve", "--data", service.data, "--port", 0, "--backend", "cpu")
    code, out, err = run(*command)
    assert (code, out) == (2, "")
    assert err == (
        f"gpu-kmeans: error: another process serves {service.data}: "
        "stop it, or choose another --data\n"
    )
    assert service.get("/readyz")["status"] == "ok"


def test_a_signal_lets_requests_in_flight_finish(tmp_path: Path) -> None:
    with Server(tmp_path / "data", drain_seconds=1) as server:
        with held(server, "PUT /v1/datasets/last/items", CSV) as connection:
            until(server.incoming)
            server.process.send_signal(signal.SIGTERM)
            reply = until(lambda: (one := server.http.get("/readyz")).status_code == 503 and one)
            refused(reply, 503, "stopping")
            assert int(reply.headers["retry-after"]) >= 1
            # Those who have not heard of it yet are still served.
            assert server.get("/livez") == {"status": "ok"}
            assert server.get("/v1/datasets") == {"datasets": []}
            until(lambda: hung_up(server))
            connection.sendall(b"text to end\n")
            assert answered(connection).json()["rows"] == 1
        assert server.wait() == 0
    with Server(tmp_path / "data") as server:
        assert server.get("/v1/datasets/last")["rows"] == 1


def hung_up(server: Server) -> bool:
    """Whether new connections are refused."""
    try:
        with server.connection():
            return False
    except OSError:
        return True


def test_who_never_finishes_does_not_keep_it_from_ending(tmp_path: Path) -> None:
    with (
        Server(tmp_path / "data", shutdown_seconds=1) as server,
        held(server, "PUT /v1/datasets/last/items", CSV),
    ):
        until(server.incoming)
        began = time.perf_counter()
        assert server.stop() == 0
        assert time.perf_counter() - began < LATE
    assert server.incoming() == []


def test_an_interrupt_ends_it_as_well(tmp_path: Path) -> None:
    with Server(tmp_path / "data") as server:
        server.process.send_signal(signal.SIGINT)
        assert server.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_new_start_tells_what_was_interrupted_and_goes_on_with_what_waited(
    tmp_path: Path, number: signal.Signals
) -> None:
    with Server(tmp_path / "data") as server:
        server.put("films", films(30))
        running, *waiting = (server.ask("films", n_clusters=k) for k in (2, 3))
        with server.told(running) as events:
            next(event for event in events if event.kind == "stage")
            (worker,) = server.workers()
            server.process.send_signal(number)
            if number == signal.SIGTERM:
                assert list(events)[-1].data["state"] == "interrupted"
                assert server.wait() == 0
        server.kill()
    until(lambda: not Path(f"/proc/{worker}").exists())  # it does not outlive the service
    with Server(tmp_path / "data") as server:
        # What is there belongs to the job that waited, which may just be beginning or ending.
        until(lambda: server.incoming() == [] or server.workers())
        interrupted = server.get(f"/v1/jobs/{running['id']}")
        assert (interrupted["state"], interrupted["error"]["code"]) == ("interrupted",) * 2
        assert interrupted["finished"]
        if number == signal.SIGKILL:
            done = server.ended(waiting[0])
            assert (done["state"], done["version"]) == ("succeeded", 1)
        else:  # which need not be waited for twice
            until(lambda: server.get(f"/v1/jobs/{waiting[0]['id']}")["state"] == "running")
        assert server.stop() == 0


# -- disks -----------------------------------------------------------------------------------


@contextmanager
def no_file_beyond(server: Server, size: int) -> Iterator[None]:
    """Let the kernel refuse the service all writing beyond this size, as a full disk would."""
    resource = pytest.importorskip("resource", reason="limits are Unix's")
    if not hasattr(resource, "prlimit"):
        pytest.skip("only Linux sets the limits of another process")
    before = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, before)


def test_a_full_disk_stops_what_writes_and_nothing_else(service: Server, tmp_path: Path) -> None:
    def upload(size: int) -> Any:
        content = b"id,overview\n" + b"1,some text\n" * (size // 12)
        return server.http.put(
            "/v1/datasets/large/items", content=content, headers={"content-type": CSV}
        )

    with Server(tmp_path / "data") as server:
        server.put("films", films(243))
        archive = service.archive("films")
        assert server.upload("films", archive).status_code == 201
        with no_file_beyond(server, 1 << 20):
            assert "disk is full" in refused(upload(3 << 20), 507, "storage_full")
            assert server.incoming() == []
        with no_file_beyond(server, 300_000):  # enough for the registry, and not for a model
            job = server.ended(server.ask("films", n_clusters=60, reduce=100))
            assert (job["state"], job["error"]["code"]) == ("failed", "storage_full")
        lost = server.ask("films", n_clusters=3)
        until(server.workers)
        with no_file_beyond(server, 20_000):
            # Not even the registry can be written now.
            reply = server.http.put(
                "/v1/datasets/small/items", content=films(2), headers={"content-type": CSV}
            )
            refused(reply, 507, "storage_full")
            refused(server.upload("films", archive), 507, "storage_full")
            refused(server.http.post("/v1/jobs", json={"dataset": "films"}), 507, "storage_full")
            refused(server.http.delete("/v1/models/films"), 507, "storage_full")
            assert server.get("/v1/models/films/recommend", q="love")["items"]
            assert server.get("/readyz")["status"] == "ok"
            assert server.archive("films") == archive
            # A fit that ends now cannot even tell how, and does not go on for ever for that.
            with server.told(lost) as events:
                assert list(events)[-1].data["state"] == "interrupted"
            assert server.ended(lost)["state"] == "interrupted"
            until(lambda: not server.incoming())
        # With room again, everything goes on.
        server.put("small", films(2))
        assert [each["name"] for each in server.get("/v1/datasets")["datasets"]] == [
            *("films", "small")
        ]
        assert not [line for line in server.log() if line["message"] == "unexpected error"]
        assert server.stop() == 0


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_damaged_version_is_set_aside_and_the_rest_serves(tmp_path: Path) -> None:
    with Server(tmp_path / "data") as server:
        server.put("films", films(60))
        server.fit("films", "one", n_clusters=3)
        assert server.upload("two", server.archive("one")).status_code == 201
        assert server.fit("films", "one", n_clusters=4) == 2
        archive = server.archive("one")
        assert server.stop() == 0
    (damaged,) = (
        path.parent
        for path in (server.data / "models").glob("*/manifest.json")
        if path.read_bytes() in archive
    )
    damage(damaged / "arrays.safetensors")
    with Server(tmp_path / "data", max_loaded_models=1) as server:
        assert server.get("/readyz")["status"] == "ok"
        detail = server.get("/v1/models/one")
        states = [(each["version"], each["state"]) for each in detail["versions"]]
        assert states == [(2, "corrupt"), (1, "ready")]
        assert detail["active"] is None
        assert (server.data / "set-aside" / damaged.name).is_dir()
        refused(server.http.get("/v1/models/one/clusters"), 409, "no_active_version")
        reply = server.http.get("/v1/models/one/clusters?version=2")
        assert "set aside" in refused(reply, 409, "version_corrupt")
        refused(server.http.post("/v1/models/one/versions/2/activate"), 409, "version_corrupt")
        assert server.get("/v1/models/two/clusters")["version"] == 1
        assert server.http.post("/v1/models/one/rollback").status_code == 200
        assert server.get("/v1/models/one/clusters")["version"] == 1
        # And one that goes bad while it is not in memory.
        server.get("/v1/models/two/clusters")
        for folder in (server.data / "models").iterdir():
            damage(folder / "items.parquet")
        # A probe does not read them; who asks is told, and it answers no longer.
        assert server.get("/readyz")["models"] == 2
        refused(server.http.get("/v1/models/one/clusters"), 409, "version_corrupt")
        refused(server.http.get("/v1/models/one/clusters"), 409, "no_active_version")
        assert server.get("/readyz") == {"status": "ok", "models": 1}
        assert server.upload("one", archive).json()["version"] == 3
        assert server.http.delete("/v1/models/one/versions/2").status_code == 204
        assert server.stop() == 0
