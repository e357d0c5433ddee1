"""The service under load: recommendations a second, latencies, and what a fit does to them.

    python -m bench.service [--seconds 60] [--soak 600] [--out FILE] [SECTION ...]

A server process on this machine, with 10,000 made-up documents in 50 clusters; the generator
shares its cores. Sections:

burst    64 connections, each asking again as soon as it was answered: 2,000 queries, again and
         again, whose answers the service keeps
new      the same with 20,000 queries, one after the other: more than it keeps, so that every one
         is searched for
large    burst and new with 100,000 documents, by a server of their own
steady   200 such requests a second, whenever they are due: a late answer delays no other request,
         and counts from when it was due
fit      both of these while fits run, one after the other
soak     100 requests a second for ten minutes: memory and file handles at the start and the end

Every answer is read to its end and must be a 200; answers to a sample of the queries are compared
with the library's before anything is timed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from bench.measure import machine, write
from gpu_kmeans.data.synthetic import corpus

SEED = 42
ITEMS, TERMS, TOPICS, CLUSTERS = 10_000, 20_000, 200, 50
MANY_ITEMS, MANY_TERMS = 100_000, 60_000
QUERIES, MANY_QUERIES = 2_000, 20_000
"""Number of queries whose answers are kept, and of those that are more than are kept."""
CONNECTIONS = 64
RATE, SOAK_RATE = 200.0, 100.0
WARM_UP = 3.0
NAME = "load"

Section: TypeAlias = Callable[["Load", Any], dict[str, Any]]


def main() -> None:
    """Run the given sections, or all, and write their results."""
    parser = argparse.ArgumentParser(prog="bench.service", description=__doc__.split("\n")[0])
    parser.add_argument("sections", nargs="*", choices=[[], *SECTIONS], metavar="SECTION")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each section (60)")
    parser.add_argument("--soak", type=float, default=600.0, help="seconds of the soak (600)")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    record: dict[str, Any] = {
        "what": "the service under load",
        "items": ITEMS,
        "terms": TERMS,
        "many_items": MANY_ITEMS,
        "clusters": CLUSTERS,
        "queries": QUERIES,
        "many_queries": MANY_QUERIES,
        "seed": SEED,
        "warm_up_seconds": WARM_UP,
        "machine": machine(),
    }
    wanted = options.sections or list(SECTIONS)
    with _loaded(ITEMS, TERMS) as load:
        for name in wanted:
            if name != "large":
                record[name] = _told(name, SECTIONS[name], load, options)
    if "large" in wanted:
        with _loaded(MANY_ITEMS, MANY_TERMS) as load:
            record["large"] = _told("large", SECTIONS["large"], load, options)
    write(record, options.out)


def _told(name: str, section: Section, load: Load, options: Any) -> dict[str, Any]:
    print(f"{name} …", file=sys.stderr, flush=True)
    result = section(load, options)
    print(f"{name}: {json.dumps(result)}", file=sys.stderr, flush=True)
    return result


@contextmanager
def _loaded(items: int, terms: int) -> Iterator[Load]:
    """A server with a model of so many documents."""
    with tempfile.TemporaryDirectory(prefix="bench-service-") as folder:
        corpus(items, terms, n_topics=TOPICS, seed=SEED, mean_length=60).write_csv(folder)
        with _served(Path(folder)) as address:
            load = Load(address, Path(folder), terms)
            load.prepare()
            yield load


class Load:
    """A running server, its address, and the queries to ask."""

    def __init__(self, address: str, folder: Path, terms: int) -> None:
        self.host, _, port = address.removeprefix("http://").rpartition(":")
        self.port = int(port)
        self.address = address
        self.folder = folder
        rng = np.random.default_rng(SEED)
        digits = len(str(terms - 1))
        # Zipf's law, as in the corpus: common words are asked for more often.
        drawn = np.floor((terms + 1) ** rng.random((QUERIES + MANY_QUERIES, 3))).astype(int) - 1
        queries = [" ".join(f"t{term:0{digits}d}" for term in row) for row in drawn]
        self.queries = queries[:QUERIES]
        self.requests, self.new_requests = (
            self._requests(part) for part in (self.queries, queries[QUERIES:])
        )

    def _requests(self, queries: list[str]) -> list[bytes]:
        return [
            f"GET /v1/models/{NAME}/recommend?q={urllib.parse.quote_plus(query)} HTTP/1.1\r\n"
            f"Host: {self.host}:{self.port}\r\n\r\n".encode()
            for query in queries
        ]

    def prepare(self) -> None:
        """Upload, fit, and compare some answers with the library's."""
        for part, file in (("items", "movies.csv"), ("credits", "credits.csv")):
            data = (self.folder / file).read_bytes()
            self.call("PUT", f"/v1/datasets/{NAME}/{part}", data, "text/csv")
        self.wait(self.fit())
        self._compare()

    def call(self, method: str, path: str, body: bytes | None = None, kind: str = "") -> Any:
        """One request outside the timed ones; the answer's JSON."""
        request = urllib.request.Request(self.address + path, body, method=method)
        if body is not None:
            request.add_header("Content-Type", kind)
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.loads(answer.read())

    def fit(self, **parameters: Any) -> str:
        """Ask for a fit; return its id."""
        wanted = {"dataset": NAME, "parameters": {"n_clusters": CLUSTERS, **parameters}}
        wanted["activate"] = not parameters
        job = self.call("POST", "/v1/jobs", json.dumps(wanted).encode(), "application/json")
        return str(job["id"])

    def wait(self, job: str) -> None:
        """Wait until a job has succeeded."""
        while (state := self.call("GET", f"/v1/jobs/{job}")["state"]) != "succeeded":
            if state not in ("queued", "running"):
                raise RuntimeError(f"the job ended as {state}")
            time.sleep(0.1)

    def process(self) -> dict[str, float]:
        """Memory and file handles of the server, as its metrics report them."""
        with urllib.request.urlopen(f"{self.address}/metrics", timeout=30) as answer:
            text = answer.read().decode()
        names = {"resident_mb": "process_resident_memory_bytes", "handles": "process_open_fds"}
        values = {
            short: float(re.search(rf"^{name} (\S+)$", text, re.MULTILINE)[1])  # type: ignore[index]
            for short, name in names.items()
        }
        return values | {"resident_mb": round(values["resident_mb"] / 1e6, 1)}

    def _compare(self) -> None:
        from gpu_kmeans import Model
        from gpu_kmeans.search import Searcher

        (stored,) = (self.folder / "data" / "models").iterdir()
        library = Searcher(Model.load(stored))
        for query in self.queries[:50]:
            path = f"/v1/models/{NAME}/recommend?q={urllib.parse.quote_plus(query)}"
            served = [item["id"] for item in self.call("GET", path)["items"]]
            if served != [item.id for item in library.search(query).items]:
                raise RuntimeError(f"the service answers {query!r} otherwise than the library")


# -- the generator -------------------------------------------------------------------------


class Connection:
    """One kept connection that asks and waits."""

    def __init__(self, load: Load) -> None:
        self.load = load

    async def open(self) -> None:
        self.reader, self.writer = await asyncio.open_connection(self.load.host, self.load.port)

    async def ask(self, request: bytes) -> None:
        """Send a request and read its answer to the end; anything but a 200 is an error."""
        self.writer.write(request)
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        assert length is not None
        await self.reader.readexactly(int(length[1]))
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(head.split(b"\r\n")[0].decode())


async def _connections(load: Load, count: int) -> list[Connection]:
    made = [Connection(load) for _ in range(count)]
    for connection in made:
        await connection.open()
    return made


async def burst(load: Load, seconds: float, asked: Sequence[bytes] | None = None) -> dict[str, Any]:
    """Ask on all connections at once, again and again."""
    connections = await _connections(load, CONNECTIONS)
    requests, latencies, errors = cycle(asked or load.requests), [], []

    async def run(connection: Connection) -> None:
        while (begun := time.perf_counter()) < end:
            try:
                await connection.ask(next(requests))
            except (RuntimeError, OSError, asyncio.IncompleteReadError) as error:
                errors.append(str(error))
                await connection.open()
                continue
            if begun >= start:
                latencies.append(time.perf_counter() - begun)

    start = time.perf_counter() + WARM_UP
    end = start + seconds
    await asyncio.gather(*map(run, connections))
    return _summary(latencies, errors, seconds) | {"connections": CONNECTIONS}


async def steady(load: Load, seconds: float, rate: float = RATE) -> dict[str, Any]:
    """Ask at a steady rate, on any connection that is free."""
    free: asyncio.Queue[Connection] = asyncio.Queue()
    for connection in await _connections(load, CONNECTIONS):
        free.put_nowait(connection)
    latencies: list[float] = []
    errors: list[str] = []

    async def run(due: float, request: bytes) -> None:
        connection = await free.get()
        try:
            await connection.ask(request)
            if due >= start:
                latencies.append(time.perf_counter() - due)
        except (RuntimeError, OSError, asyncio.IncompleteReadError) as error:
            errors.append(str(error))
            await connection.open()
        finally:
            free.put_nowait(connection)

    begun = time.perf_counter()
    start = begun + WARM_UP
    tasks: set[asyncio.Task[None]] = set()
    for number, request in enumerate(cycle(load.new_requests)):
        due = begun + number / rate
        if due > start + seconds:
            break
        if (wait := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        task = asyncio.create_task(run(due, request))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks)
    return _summary(latencies, errors, seconds) | {"asked_a_second": rate}


def _summary(latencies: list[float], errors: list[str], seconds: float) -> dict[str, Any]:
    if not latencies:
        raise RuntimeError(f"no answer at all: {errors[:3]}")
    milliseconds = 1000 * np.sort(latencies)
    shown = {
        f"p{share:g}_ms": round(float(np.percentile(milliseconds, share)), 2)
        for share in (50, 90, 99, 99.9)
    }
    return {
        "seconds": seconds,
        "answers": len(latencies),
        "answers_a_second": round(len(latencies) / seconds, 1),
        **shown,
        "max_ms": round(float(milliseconds[-1]), 2),
        "errors": len(errors),
        "first_error": errors[0] if errors else None,
    }


# -- sections -------------------------------------------------------------------------------


def _burst(load: Load, options: Any) -> dict[str, Any]:
    return asyncio.run(_kept(load, options.seconds))


async def _kept(load: Load, seconds: float) -> dict[str, Any]:
    """Ask once for all there is to be kept, then again and again."""
    (connection,) = await _connections(load, 1)
    for request in load.requests:
        await connection.ask(request)
    return await burst(load, seconds)


def _new(load: Load, options: Any) -> dict[str, Any]:
    return asyncio.run(burst(load, options.seconds, load.new_requests))


def _large(load: Load, options: Any) -> dict[str, Any]:
    return {"burst": _burst(load, options), "new": _new(load, options)}


def _steady(load: Load, options: Any) -> dict[str, Any]:
    return asyncio.run(steady(load, options.seconds))


def _fit(load: Load, options: Any) -> dict[str, Any]:
    """Both kinds of load, for half of the time each, while one fit follows another."""

    async def during(work: Callable[[Load, float], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
        done = 0

        async def fits() -> None:
            nonlocal done
            for seed in range(1_000_000):
                job = await asyncio.to_thread(load.fit, n_clusters=500, seed=seed)
                await asyncio.to_thread(load.wait, job)
                done += 1

        fitting = asyncio.create_task(fits())
        try:
            result = await work(load, options.seconds / 2)
        finally:
            fitting.cancel()
        return result | {"fits_done": done, "clusters_of_a_fit": 500}

    result = {"steady": asyncio.run(during(steady)), "burst": asyncio.run(during(burst))}
    for job in load.call("GET", "/v1/jobs?limit=5")["jobs"]:
        if job["state"] in ("queued", "running"):
            load.call("POST", f"/v1/jobs/{job['id']}/cancel")
    return result


def _soak(load: Load, options: Any) -> dict[str, Any]:
    samples: list[dict[str, float]] = []

    async def watch() -> None:
        while True:
            samples.append(await asyncio.to_thread(load.process))
            await asyncio.sleep(options.soak / 60)

    async def both() -> dict[str, Any]:
        watching = asyncio.create_task(watch())
        try:
            return await steady(load, options.soak, SOAK_RATE)
        finally:
            watching.cancel()

    result = asyncio.run(both())
    tenth = max(1, len(samples) // 10)
    # The first samples see connections being opened and caches being filled.
    for name, part in (("after_a_tenth", samples[tenth : 2 * tenth]), ("end", samples[-tenth:])):
        result[name] = {key: float(np.median([sample[key] for sample in part])) for key in part[0]}
    return result


SECTIONS: dict[str, Section] = {
    "burst": _burst,
    "new": _new,
    "large": _large,
    "steady": _steady,
    "fit": _fit,
    "soak": _soak,
}


@contextmanager
def _served(folder: Path) -> Iterator[str]:
    """Start a server on a free port; stop it by SIGTERM, and make sure that it ends with 0."""
    command = [sys.executable, "-m", "gpu_kmeans", "serve", "--port", "0", "--backend", "cpu"]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [*command, "--data", str(folder / "data")], stderr=log, env=dict(os.environ)
        )
        try:
            yield _address(folder / "log", server)
        finally:
            server.send_signal(signal.SIGTERM)
            code = server.wait(timeout=60)
    if code:
        raise RuntimeError(f"the server ended with {code}")


def _address(log: Path, server: subprocess.Popen[bytes]) -> str:
    for _ in range(300):
        match = re.search(rb"open (http://\S+) in a browser", log.read_bytes())
        if match:
            return match[1].decode()
        if server.poll() is not None:
            break
        time.sleep(0.1)
    raise RuntimeError(f"the server does not start: {log.read_text()[-500:]}")


if __name__ == "__main__":
    main()
