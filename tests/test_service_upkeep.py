"""Running a service: backups, other sites' pages, rates, metrics, and generated clients."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import serving
from serving import Server, refused

from gpu_kmeans.cli import main
from gpu_kmeans.errors import InvalidParam
from gpu_kmeans.service.app import create_app
from gpu_kmeans.service.cors import Cors
from gpu_kmeans.service.problems import Problem
from gpu_kmeans.service.rates import Rates
from gpu_kmeans.service.settings import Settings, configure
from gpu_kmeans.service.store import Store

SITE = "https://films.example"
KEY = "correct horse battery staple"
AUTHORIZED = {"authorization": f"Bearer {KEY}"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service that another site's pages may use, with a model of a few films."""
    data = tmp_path_factory.mktemp("upkeep") / "data"
    with Server(data, cors_origins=json.dumps([SITE])) as server:
        server.put("films", serving.films(40))
        server.fit("films", n_clusters=3)
        yield server
        assert not [line for line in server.log() if line["level"] == "error"]
        assert server.incoming() == []
        assert server.stop() == 0


# -- backups -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def backup(server: Server) -> bytes:
    """A backup that was taken while other requests changed things."""
    server.put("kept", serving.films(5))
    ended = threading.Event()

    def disturb() -> None:
        while not ended.is_set():
            server.put("changing", serving.films(4), replace=True)
            server.http.delete("/v1/datasets/changing").raise_for_status()

    other = threading.Thread(target=disturb)
    other.start()
    try:
        reply = server.http.get("/v1/backup")
    finally:
        ended.set()
        other.join()
    assert reply.status_code == 200, reply.text
    assert len(reply.content) == int(reply.headers["content-length"])
    return reply.content


def test_a_backup_of_a_running_service_is_restored_to_one_that_answers_alike(
    server: Server, backup: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "backup.tar").write_bytes(backup)
    data = tmp_path / "new" / "data"
    assert main(["restore", "--json", str(tmp_path / "backup.tar"), "--data", str(data)]) == 0
    assert json.loads(capsys.readouterr().out)["files"] > 5
    with closing(Store(data)) as store:
        named = store.registry.files()
        stored = {path.name for kind in ("datasets", "models") for path in (data / kind).iterdir()}
        assert named == stored
    with Server(data) as restored:
        for address in ("/v1/models/films/clusters", "/v1/models/films", "/v1/datasets/kept"):
            assert restored.get(address) == server.get(address)
        assert restored.archive("films") == server.archive("films")
        actions = [entry["action"] for entry in restored.get("/v1/audit")["entries"]]
        assert actions[0] == "backup restored"
        assert "items added" in actions
        assert restored.stop() == 0


def test_nothing_is_written_over_by_a_restore(backup: bytes, tmp_path: Path) -> None:
    (tmp_path / "backup.tar").write_bytes(backup)
    data = tmp_path / "data"
    data.mkdir()
    (data / "mine").write_text("mine")
    assert main(["restore", str(tmp_path / "backup.tar"), "--data", str(data)]) == 2
    assert [path.name for path in data.iterdir()] == ["mine"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup.tar", "data"]


def repacked(backup: bytes, *, more: dict[str, bytes]) -> bytes:
    """The same with members before the others, or in their place."""
    out = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(backup)) as old, tarfile.open(None, "w", out) as new:
        for name, content in more.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            new.addfile(member, io.BytesIO(content))
        for member in old:
            if member.name not in more:
                new.addfile(member, old.extractfile(member))
    return out.getvalue()


def test_what_is_no_whole_backup_leaves_nothing(
    backup: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flipped = bytearray(backup)
    flipped[len(flipped) // 2] ^= 1
    damaged = {
        "cut": backup[: len(backup) // 2],
        "end": backup[:-4096],
        "flipped": bytes(flipped),
        "outside": repacked(backup, more={"../evil": b"x"}),
        "other": repacked(backup, more={"datasets/evil.py": b"x"}),
        "registry": repacked(backup, more={"registry.sqlite": b"x" * 4096}),
        "sums": repacked(backup, more={"checksums.json": b"[]"}),
        "nothing": b"",
        "text": b"id,title\n1,x\n",
    }
    for name, content in damaged.items():
        file = tmp_path / f"{name}.tar"
        file.write_bytes(content)
        assert main(["restore", str(file), "--data", str(tmp_path / "data")]) == 2, name
        said = capsys.readouterr().err
        assert file.name in said, said
        assert "Traceback" not in said
        file.unlink()
        assert list(tmp_path.iterdir()) == [], name
    assert main(["restore", str(tmp_path / "none.tar"), "--data", str(tmp_path / "data")]) == 2
    assert list(tmp_path.iterdir()) == []


def test_those_who_may_only_read_take_no_backup_and_see_no_audit(tmp_path: Path) -> None:
    data = tmp_path / "data"
    code, key, said = serving.run("key", "add", "reader", "--scope", "read", "--data", data)
    assert code == 0, said
    with Server(data, require_keys=True, key=KEY, client_requests_per_minute=12) as server:
        reader = {"authorization": f"Bearer {key.strip()}"}
        for address in ("/v1/backup", "/v1/audit"):
            refused(server.http.get(address, headers=reader), 403, "wrong_scope")
            refused(server.http.get(address), 401, "missing_key")
        assert server.http.get("/v1/audit", headers=AUTHORIZED).status_code == 200
        # By key: what one has used up, another has still.
        for _ in range(10):
            server.http.get("/v1/models", headers=reader).raise_for_status()
        reply = server.http.get("/v1/models", headers=reader)
        assert "12 requests a minute" in refused(reply, 429, "too_many_requests")
        assert 1 <= int(reply.headers["retry-after"]) <= 5
        assert server.http.get("/v1/models", headers=AUTHORIZED).status_code == 200
        # Guesses of keys count by address.
        for _ in range(10):
            reply = server.http.get("/v1/models", headers={"authorization": "Bearer guess"})
            refused(reply, 401, "invalid_key")
        refused(server.http.get("/v1/models"), 429, "too_many_requests")
        assert server.http.get("/livez").status_code == 200
        assert server.stop() == 0


def test_a_rate_fills_again_with_time() -> None:
    now = [0.0]
    rates = Rates(60, clock=lambda: now[0])
    for _ in range(60):
        rates.count("one")
    with pytest.raises(Problem) as refusal:
        rates.count("one")
    assert refusal.value.headers == {"Retry-After": "1"}
    rates.count("other")
    now[0] = 1.0
    rates.count("one")
    with pytest.raises(Problem):
        rates.count("one")
    now[0] = 1_000.0
    for _ in range(60):
        rates.count("one")
    for _ in range(1_000):
        Rates(0).count("any")


# -- pages of other sites ----------------------------------------------------------------------


def test_pages_of_a_named_site_may_use_it_and_no_others(server: Server) -> None:
    asked = {"origin": SITE, "access-control-request-method": "PUT", "sec-fetch-site": "cross-site"}
    allowed = server.http.options("/v1/datasets/films/items", headers=asked)
    assert (allowed.status_code, allowed.content) == (204, b"")
    assert allowed.headers["access-control-allow-origin"] == SITE
    assert "PUT" in allowed.headers["access-control-allow-methods"]
    assert "if-match" in allowed.headers["access-control-allow-headers"]
    assert allowed.headers["vary"] == "Origin"
    page = {"origin": SITE, "sec-fetch-site": "cross-site"}
    for reply in (
        server.http.get("/v1/models", headers=page),
        server.http.get("/v1/models/none", headers=page),
        server.http.post("/v1/jobs", json={"dataset": "none"}, headers=page),
    ):
        assert reply.headers["access-control-allow-origin"] == SITE
        assert reply.status_code != 403
    for origin in ("https://evil.example", f"{SITE}.evil.example", "http://films.example", "null"):
        other = {"origin": origin, "sec-fetch-site": "cross-site"}
        reply = server.http.get("/v1/models", headers=other)
        assert "access-control-allow-origin" not in reply.headers
        assert reply.headers["vary"] == "Origin"
        reply = server.http.post("/v1/jobs", json={"dataset": "films"}, headers=other)
        refused(reply, 403, "cross_site")
        assert "access-control-allow-origin" not in reply.headers
        reply = server.http.options("/v1/models", headers={**asked, "origin": origin})
        refused(reply, 405, "method_not_allowed")
    for reply in (allowed, server.http.get("/v1/models", headers=page)):
        assert "access-control-allow-credentials" not in reply.headers


def test_no_site_is_told_anything_by_default(service: Server) -> None:
    reply = service.http.get("/v1/models", headers={"origin": SITE})
    assert not [name for name in reply.headers if name.startswith("access-control")]
    assert "vary" not in reply.headers


def test_every_site_may_ask_only_where_keys_are_needed() -> None:
    any_site = Cors(["*"])
    assert dict(any_site.headers(b"https://x"))[b"access-control-allow-origin"] == b"*"
    assert configure({"cors_origins": ["*"], "require_keys": True}, environ={}).settings
    for origins in (["*"], [f"{SITE}/"], ["films.example"], [SITE.upper()], ["null"], [""]):
        with pytest.raises(InvalidParam, match="cors_origins"):
            configure({"cors_origins": origins}, environ={})


# -- metrics -----------------------------------------------------------------------------------


def test_metrics_tell_of_jobs_models_and_the_disk(server: Server) -> None:
    text = server.http.get("/metrics").text
    values = {
        name: float(value)
        for name, value in (line.rsplit(" ", 1) for line in text.splitlines() if line[0] != "#")
    }
    ended = 'gpu_kmeans_job_seconds_count{kind="fit",state="succeeded"}'
    assert values[ended] >= 1
    assert 0 < values[ended.replace("_count", "_sum")] < serving.PATIENCE
    assert values['gpu_kmeans_job_wait_seconds_count{kind="fit"}'] >= 1
    server.get("/v1/models/films/clusters")
    assert values["gpu_kmeans_models_loaded_bytes"] > 10_000
    assert values['gpu_kmeans_model_versions_total{event="loaded"}'] >= 1
    assert values['gpu_kmeans_model_versions_total{event="evicted"}'] == 0
    parts = server.get("/v1/datasets")["datasets"]
    versions = server.get("/v1/models/films")["versions"]
    stored = sum(d["items"]["bytes"] for d in parts) + sum(v["bytes"] for v in versions)
    assert values["gpu_kmeans_stored_bytes"] == stored
    assert values["gpu_kmeans_disk_free_bytes"] > 0


# -- clients made of the document --------------------------------------------------------------


def document() -> dict[str, Any]:
    service: Any = SimpleNamespace(settings=Settings(), metrics=None)
    made: dict[str, Any] = create_app(service).app.openapi()
    return made


def test_operations_have_names_that_can_be_read() -> None:
    operations = [
        op["operationId"] for path in document()["paths"].values() for op in path.values()
    ]
    assert len(set(operations)) == len(operations)
    assert [name for name in operations if not re.fullmatch(r"[a-z]+(_[a-z]+){0,3}", name)] == []
    assert {"list_models", "add_job", "put_items", "edit_version"} <= set(operations)


USE = """
import io, sys, time
from generated_client import Client, models, types
from generated_client.api.datasets import put_items
from generated_client.api.jobs import add_job, show_job
from generated_client.api.models import edit_version, list_clusters, upload_version

address, table, archive = sys.argv[1:]

def file(path):
    return types.File(payload=io.BytesIO(open(path, "rb").read()))

with Client(base_url=address) as client:
    dataset = put_items.sync("generated", client=client, body=file(table), text=["overview"])
    assert (dataset.name, dataset.rows) == ("generated", 30), dataset
    weighting = models.ParametersWeighting.TFIDF
    parameters = models.Parameters(n_clusters=3, weighting=weighting, reduce=0)
    request = models.JobRequest(dataset="generated", parameters=parameters)
    job = add_job.sync(client=client, body=request)
    while job.state in ("queued", "running"):
        time.sleep(0.1)
        job = show_job.sync(job.id, client=client)
    assert (job.state, job.version) == ("succeeded", 1), job
    clusters = list_clusters.sync("generated", client=client).clusters
    assert sum(cluster.size for cluster in clusters) == 30, clusters
    rename = models.Rename(op="rename", cluster=0, name="First")
    edits = models.Edits(operations=[rename], version=1)
    edited = edit_version.sync("generated", client=client, body=edits)
    assert (edited.version, edited.clusters[0].name) == (2, "First"), edited
    version = upload_version.sync("sent", client=client, body=file(archive))
    assert (version.version, version.source) == (1, "upload"), version
    problem = list_clusters.sync("nothing", client=client)
    assert (problem.status, problem.code) == (404, "unknown_model"), problem
"""
"""A program that uses a generated client."""


def test_a_generated_client_uploads_a_dataset_and_asks_a_model(
    server: Server, tmp_path: Path
) -> None:
    pytest.importorskip("openapi_python_client", reason="openapi-python-client is not installed")

    def python(*arguments: object) -> None:
        done = subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=serving.PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    document, config = tmp_path / "openapi.json", tmp_path / "config.yml"
    document.write_text(json.dumps(server.get("/v1/openapi.json")))
    config.write_text("post_hooks: []\n")
    python(
        *("-m", "openapi_python_client", "generate", "--meta", "none"),
        *("--path", document, "--config", config, "--output-path", tmp_path / "generated_client"),
    )
    table, archive, program = (tmp_path / name for name in ("table.csv", "model.tar", "use.py"))
    table.write_text(serving.films(30))
    archive.write_bytes(server.archive("films"))
    program.write_text(USE)
    python(program, server.http.base_url, table, archive)
    assert server.get("/v1/models/generated")["active"] == 2
