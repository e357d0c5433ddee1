"""A service in a process of its own, as people run it, and ways to talk to it over sockets."""

from __future__ import annotations

import csv
import http.client
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest

from gpu_kmeans.data import sample

SERVE = ("bokeh", "fastapi", "httptools", "prometheus_client", "pydantic_settings", "uvicorn")
for name in SERVE:
    pytest.importorskip(name, reason=f'{name} is not installed: pip install ".[serve]"')
httpx = pytest.importorskip("httpx", reason='httpx is not installed: pip install ".[dev]"')

ROOT = Path(__file__).resolve().parents[1]
CSV = "text/csv"
TSV = "text/tab-separated-values"
NDJSON = "application/x-ndjson"
PARQUET = "application/vnd.apache.parquet"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
GZIP = "application/gzip"
BYTES = "application/octet-stream"
TAR = "application/x-tar"
FINAL = ("succeeded", "failed", "cancelled", "interrupted")
PATIENCE = 120.0
"""Seconds until a test gives up on a service; nothing here should take a tenth of it."""


class Event(NamedTuple):
    """A server-sent event."""

    number: int
    kind: str
    data: dict[str, Any]


def environment(**settings: object) -> dict[str, str]:
    """This process's environment with these settings of the service, and no others."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("GPU_KMEANS_")}
    return kept | {f"GPU_KMEANS_{name.upper()}": str(value) for name, value in settings.items()}


def command(*arguments: object) -> list[str]:
    """A command line of the package, whose warnings are errors."""
    return [sys.executable, "-W", "error", "-m", "gpu_kmeans", *map(str, arguments)]


def run(*arguments: object, cwd: Path = ROOT, **settings: object) -> tuple[int, str, str]:
    """Run a command to its end: exit code, standard output, standard error."""
    done = subprocess.run(
        command(*arguments),
        cwd=cwd,
        env=environment(**settings) | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def until(found: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """Wait until something is true, and return it."""
    end = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.01)
    return value


PLAIN = {"weighting": "tfidf", "reduce": 0}
"""Parameters of fits that tests ask for, where they name no others: figures stay what they are."""


class Server:
    """A service on a free port of this machine.

    Parameters
    ----------
    data : Path
        Its folder.
    *flags : str
        Of ``gpu-kmeans serve``.
    **settings
        Go into its environment.
    """

    def __init__(self, data: Path, *flags: str, **settings: object) -> None:
        self.data = data
        self.process = subprocess.Popen(
            command("serve", "--data", data, "--port", 0, "--backend", "cpu", *flags),
            cwd=ROOT,
            env=environment(**settings),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._lines: list[str] = []
        self._more = threading.Condition()
        self._ended = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            self.address = self._announced()
        except BaseException:
            self.kill()
            raise
        self.port = urlsplit(self.address).port
        self.http = httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}", timeout=PATIENCE, trust_env=False
        )

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as stream:
            for line in stream:
                with self._more:
                    self._lines.append(line)
                    self._more.notify_all()
        with self._more:
            self._ended = True
            self._more.notify_all()

    def _announced(self) -> str:
        def address() -> str | None:
            words = next((line.split() for line in self._lines if " open http" in line), None)
            return words and words[2]

        with self._more:
            self._more.wait_for(lambda: address() or self._ended, PATIENCE)
        found = address()
        assert found, f"the service did not start: {''.join(self._lines)}"
        return found

    # -- its end ---------------------------------------------------------------------------

    def stop(self) -> int:
        """End it as a supervisor would, and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        """Wait for its end, and return its exit code."""
        try:
            return self.process.wait(PATIENCE)
        finally:
            self.kill()

    def kill(self) -> None:
        """End it at once, and leave nothing of it here."""
        self.process.kill()
        self.process.wait()
        self._reader.join()
        if hasattr(self, "http"):
            self.http.close()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    # -- what it says ------------------------------------------------------------------------

    def said(self) -> str:
        """Everything on its standard error so far."""
        with self._more:
            return "".join(self._lines)

    def log(self) -> list[dict[str, Any]]:
        """Its log; every line but that for people is one JSON object."""
        lines = self.said().splitlines()
        return [json.loads(line) for line in lines if not line.startswith("gpu-kmeans: open ")]

    def incoming(self) -> list[str]:
        """What is being received or made, or was left behind."""
        return sorted(path.name for path in (self.data / "incoming").iterdir())

    def workers(self) -> list[int]:
        """Processes that do its heavy work."""
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            with suppress(OSError, IndexError):
                parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
                # One that is only just being made holds the service up, and must not be stopped.
                is_made = b"gpu_kmeans.service.worker" in (path / "cmdline").read_bytes()
                if parent == self.process.pid and is_made:
                    found.append(int(path.name))
        return found

    # -- asking --------------------------------------------------------------------------------

    def get(self, path: str, **query: Any) -> Any:
        """The JSON of an answer that must be good."""
        # Even an empty mapping would take the place of what the path asks for.
        reply = self.http.get(path, params=query or None)
        assert reply.status_code == 200, reply.text
        return reply.json()

    def put(
        self,
        dataset: str,
        content: bytes | str,
        kind: str = CSV,
        *,
        part: str = "items",
        **query: Any,
    ) -> Any:
        """Upload a table that must be taken, and return what is said of the dataset."""
        reply = self.http.put(
            f"/v1/datasets/{dataset}/{part}",
            content=content,
            params=query,
            headers={"content-type": kind},
        )
        assert reply.status_code in (200, 201), reply.text
        return reply.json()

    def ask(self, dataset: str, model: str | None = None, *, activate: bool = True, **given: Any):
        """Ask for a fit that must be taken, and return the job."""
        about = {"dataset": dataset, "model": model or dataset, "activate": activate}
        reply = self.http.post("/v1/jobs", json=about | {"parameters": PLAIN | given})
        assert reply.status_code == 202, reply.text
        return reply.json()

    def ended(self, job: dict[str, Any]) -> dict[str, Any]:
        """The job, once it has ended."""
        return until(lambda: (now := self.get(f"/v1/jobs/{job['id']}"))["state"] in FINAL and now)

    def fit(self, dataset: str, model: str | None = None, **given: Any) -> int:
        """Fit, and return the number of the new version."""
        job = self.ended(self.ask(dataset, model, **given))
        assert job["state"] == "succeeded", job
        return job["version"]

    def archive(self, model: str, **query: Any) -> bytes:
        """A version as one file."""
        reply = self.http.get(f"/v1/models/{model}/archive", params=query)
        assert (reply.status_code, reply.headers["content-type"]) == (200, TAR), reply.text
        return reply.content

    def upload(self, model: str, archive: bytes) -> Any:
        """Send an archive."""
        return self.http.post(
            f"/v1/models/{model}/versions", content=archive, headers={"content-type": TAR}
        )

    @contextmanager
    def told(self, job: dict[str, Any], after: int | None = None) -> Iterator[Iterator[Event]]:
        """The events of a job, as they come."""
        headers = {} if after is None else {"last-event-id": str(after)}
        with self.http.stream("GET", f"/v1/jobs/{job['id']}/events", headers=headers) as reply:
            assert reply.status_code == 200
            assert reply.headers["content-type"].startswith("text/event-stream")
            yield _events(reply.iter_lines())

    # -- sockets ---------------------------------------------------------------------------------

    @contextmanager
    def connection(self) -> Iterator[socket.socket]:
        """A connection on which nothing was sent."""
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as connection:
            yield connection

    def raw(self, sent: bytes, *, half_close: bool = False) -> Any:
        """Send these bytes and return the answer; None if the service just hung up."""
        with self.connection() as connection:
            connection.sendall(sent)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
            return answered(connection)


def answered(connection: socket.socket) -> Any:
    """Read an answer; None if the other side just hung up."""
    reply = http.client.HTTPResponse(connection)
    try:
        reply.begin()
        content = reply.read()
    except (http.client.RemoteDisconnected, ConnectionResetError):
        return None
    finally:
        reply.close()
    return httpx.Response(reply.status, headers=reply.getheaders(), content=content)


def head(line: str, *headers: str, host: str = "localhost") -> bytes:
    """The head of a request."""
    return "\r\n".join([f"{line} HTTP/1.1", f"Host: {host}", *headers, "", ""]).encode()


def _events(lines: Iterable[str]) -> Iterator[Event]:
    fields: dict[str, str] = {}
    for line in lines:
        if line.startswith(":"):
            yield Event(0, "comment", {})
        elif line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif fields:
            yield Event(int(fields["id"]), fields["event"], json.loads(fields["data"]))
            fields = {}


def refused(reply: Any, status: int, code: str) -> str:
    """The message of a refusal, which is told as all of them are."""
    assert reply is not None, "the service hung up without an answer"
    assert reply.headers["content-type"] == "application/problem+json", reply.text
    problem = reply.json()
    assert (reply.status_code, problem["code"]) == (status, code), reply.text
    assert set(problem) == {"type", "title", "status", "code", "detail", "request_id"}
    assert problem["status"] == status
    assert problem["title"]
    # What is no HTTP request has no id.
    assert problem["request_id"] == reply.headers.get("x-request-id", "-")
    detail = problem["detail"]
    assert 10 < len(detail) < 1_500, detail
    assert detail.isprintable(), detail
    # Nothing about this machine, and nothing from inside the program.
    for secret in (str(ROOT), sys.prefix, os.sep + "tmp", "Traceback", "gpu_kmeans/"):
        assert secret not in reply.text
    return str(detail)


with sample.paths()[0].open(encoding="utf-8", newline="") as _file:
    FILMS = list(csv.DictReader(_file))
BASIC = ("id", "title", "overview", "popularity")


def films(count: int, columns: Iterable[str] = BASIC, start: int = 0) -> str:
    """Some of the bundled films as CSV."""
    chosen = list(columns)
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, chosen, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(FILMS[start : start + count])
    return out.getvalue()
