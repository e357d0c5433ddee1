"""``kill -9`` at random moments: what was acknowledged is there, byte for byte; nothing else is.

``GPU_KMEANS_KILLS=200 pytest -s tests/test_service_crash.py`` does it as often as one likes, and
says how long the slowest start took.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import Any

from serving import environment

KILLS = int(os.environ.get("GPU_KMEANS_KILLS", "10"))
SEED = 7
WORDS = ("ghost", "house", "alien", "planet", "dragon", "sword", "bride", "groom", "ship", "storm")


class Server:
    """A server process that can be killed."""

    def __init__(self, data: Path, log: Path) -> None:
        begun = time.perf_counter()
        command = [sys.executable, "-m", "gpu_kmeans", "serve", "--port", "0"]
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                [*command, "--data", str(data), "--backend", "cpu"],
                stderr=out,
                stdout=subprocess.DEVNULL,
                env=environment(),
            )
        while b"in a browser" not in (said := log.read_bytes()):
            assert self.process.poll() is None, said.decode()
            assert time.perf_counter() - begun < 60, said.decode()
            time.sleep(0.02)
        self.address = said.decode().partition("open ")[2].partition(" in a browser")[0]
        self.call("GET", "/readyz")
        self.seconds_to_ready = time.perf_counter() - begun

    def raw(self, method: str, path: str, body: bytes | None = None, kind: str = "") -> bytes:
        request = urllib.request.Request(self.address + path, body, method=method)
        if body is not None:
            request.add_header("Content-Type", kind)
        with urllib.request.urlopen(request, timeout=30) as answer:
            content: bytes = answer.read()
        return content

    def call(self, method: str, path: str, body: bytes | None = None, kind: str = "") -> Any:
        return json.loads(self.raw(method, path, body, kind))

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def catalogue(rng: random.Random) -> bytes:
    """A CSV of a few hundred to a few thousand rows."""
    lines = ["id,title,overview"]
    for row in range(rng.choice((200, 800, 4_000))):
        lines.append(f"{row},Film {row},{' '.join(rng.choices(WORDS, k=12))}")
    return "\n".join(lines).encode()


class Expected:
    """What may be found after a crash: by name, the checksums that were sent or acknowledged."""

    def __init__(self) -> None:
        self.datasets: dict[str, set[str | None]] = {}
        self.archives: dict[tuple[str, int], str] = {}
        self.jobs: set[str] = set()

    def upload(self, server: Server, name: str, body: bytes) -> None:
        before = self.datasets.setdefault(name, {None})
        new = hashlib.sha256(body).hexdigest()
        self.datasets[name] = before | {new}
        server.call("PUT", f"/v1/datasets/{name}/items?replace=true", body, "text/csv")
        self.datasets[name] = {new}

    def fit(self, server: Server, name: str, seed: int) -> None:
        wanted = {"dataset": name, "parameters": {"n_clusters": 5, "seed": seed}}
        job = server.call("POST", "/v1/jobs", json.dumps(wanted).encode(), "application/json")
        self.jobs.add(job["id"])
        told = server.raw("GET", f"/v1/jobs/{job['id']}/events").decode()
        if '"state":"succeeded"' in told.rpartition("event: end")[2]:
            version = server.call("GET", f"/v1/jobs/{job['id']}")["version"]
            self.keep(server, name, version)

    def keep(self, server: Server, name: str, version: int) -> None:
        archive = server.raw("GET", f"/v1/models/{name}/archive?version={version}")
        self.archives[name, version] = hashlib.sha256(archive).hexdigest()

    def check(self, server: Server, data: Path) -> None:
        stored = {hashlib.sha256(file.read_bytes()).hexdigest() for file in data.glob("datasets/*")}
        found = {
            each["name"]: each["items"]["sha256"]
            for each in server.call("GET", "/v1/datasets")["datasets"]
        }
        for name, allowed in self.datasets.items():
            assert found.get(name) in allowed, name
            self.datasets[name] = {found.get(name)}
        assert stored == set(found.values())  # each one whole, and nothing beside them
        # Before the models: jobs that waited go on meanwhile.
        jobs = {each["id"]: each for each in server.call("GET", "/v1/jobs?limit=200")["jobs"]}
        for model in server.call("GET", "/v1/models")["models"]:
            name = model["name"]
            versions = server.call("GET", f"/v1/models/{name}")["versions"]
            assert all(each["state"] == "ready" for each in versions)
            for each in versions:
                archive = server.raw("GET", f"/v1/models/{name}/archive?version={each['version']}")
                digest = hashlib.sha256(archive).hexdigest()
                assert self.archives.setdefault((name, each["version"]), digest) == digest
            kept = {version for of, version in self.archives if of == name}
            assert kept == {each["version"] for each in versions}
            assert server.call("GET", f"/v1/models/{name}/recommend?q=ghost")["items"]
        assert self.jobs <= set(jobs)
        for job in jobs.values():
            assert job["state"] in ("succeeded", "interrupted", "queued", "running")
            if job["state"] == "succeeded":
                assert (job["model"], job["version"]) in self.archives


def test_what_was_acknowledged_survives_kills(tmp_path: Path) -> None:
    rng, expected, data, slowest = random.Random(SEED), Expected(), tmp_path / "data", 0.0
    killed_in_the_middle, left_behind = 0, list[Path]()
    for number in range(KILLS):
        server = Server(data, tmp_path / f"log-{number}")
        slowest = max(slowest, server.seconds_to_ready)
        assert not any(path.exists() for path in left_behind)
        expected.check(server, data)
        done = threading.Event()

        def work(server: Server = server, done: threading.Event = done) -> None:
            try:
                while True:
                    name = rng.choice("abc")
                    expected.upload(server, name, catalogue(rng))
                    expected.fit(server, name, rng.randrange(100))
            except (OSError, HTTPException):
                done.set()  # the server is gone

        working = threading.Thread(target=work)
        working.start()
        time.sleep(random.Random(SEED + number).uniform(0.1, 4.0))
        server.kill()
        working.join(60)
        assert done.is_set()
        left_behind = list(data.glob("incoming/*"))
        killed_in_the_middle += bool(left_behind)
    server = Server(data, tmp_path / "log-end")
    expected.check(server, data)
    assert not any(path.exists() for path in left_behind)
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(30) == 0
    assert killed_in_the_middle, "no kill hit anything: this has shown nothing"
    print(
        f"\n{KILLS} kills, {killed_in_the_middle} in the middle of something, "
        f"{len(expected.archives)} versions intact; slowest start {slowest:.1f} s"
    )
