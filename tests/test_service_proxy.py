"""Behind a proxy that puts a path before ours: nginx, which takes it off again or leaves it."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from serving import CSV, Server, films, httpx, refused, run, until

NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
ROOT = "/tools/clusters"
CONFIGURATION = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  client_max_body_size 10m;
  server {{
    listen 127.0.0.1:{port};
    location {root} {{
      proxy_pass http://127.0.0.1:{upstream}{target};
      proxy_http_version 1.1;
      proxy_buffering off;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Host $http_host;
    }}
  }}
}}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    data = tmp_path_factory.mktemp("proxied") / "data"
    with Server(
        data,
        *("--root-path", ROOT),
        **{"trusted_proxies": '["127.0.0.1"]', "allowed_hosts": '["films.example"]'},
    ) as server:
        yield server
        assert server.stop() == 0


@pytest.fixture(
    scope="module",
    params=[("/", "/"), ("/", ""), ("", "")],
    ids=["takes the path off", "leaves it", "leaves it, without a slash"],
)
def proxy(
    request: Any, server: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    """A client of a proxy."""
    if NGINX is None:
        pytest.skip("nginx is not installed")
    folder = tmp_path_factory.mktemp("nginx")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    slash, target = request.param
    configuration = folder / "nginx.conf"
    configuration.write_text(
        CONFIGURATION.format(
            **{"folder": folder, "port": port, "root": ROOT + slash},
            **{"upstream": server.port, "target": target},
        )
    )
    process = subprocess.Popen(
        [NGINX, "-c", configuration, "-p", folder, "-e", folder / "error.log"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as it:
            until(lambda: process.poll() is not None or answers(it))
            assert process.poll() is None, (folder / "error.log").read_text()
            yield it
    finally:
        process.terminate()
        process.wait(60)


def answers(client: httpx.Client) -> bool:
    with suppress(httpx.TransportError):
        return bool(client.get(f"{ROOT}/livez").status_code == 200)
    return False


def test_the_page_and_what_it_loads_are_reached_below_the_path(proxy: httpx.Client) -> None:
    page = proxy.get(f"{ROOT}/")
    assert page.status_code == 200
    own = proxy.get(f"{ROOT}/assets/main.js")
    assert own.status_code == 200
    loaded = re.findall(r'(?:src|href)="([^"#]+)"', page.text)
    assert loaded
    for address in loaded:
        target = page.url.join(address)
        assert target.path.startswith(f"{ROOT}/"), address
        assert proxy.get(target).status_code == 200, address


def test_without_its_slash_the_page_is_found(proxy: httpx.Client) -> None:
    reply = proxy.get(ROOT)
    assert reply.status_code in (301, 307)
    assert httpx.URL(reply.headers["location"]).path == f"{ROOT}/"


def test_everything_that_is_asked_for_is_reached_below_the_path(
    proxy: httpx.Client, server: Server
) -> None:
    upload = {"content": films(20), "headers": {"content-type": CSV}}
    address = f"{ROOT}/v1/datasets/films/items?replace=true"
    assert proxy.put(address, **upload).status_code in (200, 201)
    made = proxy.post(f"{ROOT}/v1/jobs", json={"dataset": "films", "parameters": {"n_clusters": 2}})
    assert made.headers["location"] == f"{ROOT}/v1/jobs/{made.json()['id']}"
    with proxy.stream("GET", f"{made.headers['location']}/events") as events:
        assert b"event: end" in b"".join(events.iter_bytes())
    assert proxy.get(made.headers["location"]).json()["state"] == "succeeded"
    found = proxy.get(f"{ROOT}/v1/models/films/recommend", params={"q": "love"})
    assert found.json()["model"] == "films"
    head = proxy.head(f"{ROOT}/v1/models/films/clusters")
    assert (head.status_code, head.content) == (200, b"")
    document = proxy.get(f"{ROOT}/v1/openapi.json").json()
    assert document["servers"] == [{"url": ROOT}]
    assert "/v1/jobs" in document["paths"]
    refused(proxy.get(f"{ROOT}/v1/datasets/NO"), 422, "invalid_name")
    refused(proxy.get(f"{ROOT}/none"), 404, "not_found")
    refused(proxy.get(f"{ROOT}/v1/jobs?limt=1"), 422, "invalid_param")
    # And without the proxy, as of what watches the service.
    assert server.get("/readyz")["status"] == "ok"


def test_a_changing_page_of_this_site_may_and_of_others_may_not(proxy: httpx.Client) -> None:
    def post(host: str, origin: str) -> Any:
        headers = {"host": host, "origin": origin}
        return proxy.post(f"{ROOT}/v1/jobs", json={"dataset": "none"}, headers=headers)

    # As of a browser that does not say which site a request is of: the page is not encrypted.
    refused(post("films.example", "http://films.example"), 404, "unknown_dataset")
    refused(post("films.example", "http://evil.example"), 403, "cross_site")
    refused(post("evil.example", "http://evil.example"), 400, "bad_host")


def test_the_log_names_the_client_and_not_the_proxy(proxy: httpx.Client, server: Server) -> None:
    headers = {"x-forwarded-for": "203.0.113.7", "x-request-id": "through-the-proxy"}
    assert proxy.get(f"{ROOT}/livez", headers=headers).status_code == 200
    until(lambda: any(line.get("request") == "through-the-proxy" for line in server.log()))
    # Its own address is that of a trusted one as well here.
    line = next(line for line in server.log() if line.get("request") == "through-the-proxy")
    assert (line["client"], line["route"]) == ("203.0.113.7", "/livez")


@pytest.mark.parametrize(
    "path", ["clusters", "/a/../b", "/a//b", "/a?b", "/a b", "/v1", "/assets/x", "http://x/a", "//"]
)
def test_a_path_that_cannot_be_is_refused(path: str, tmp_path: Path) -> None:
    if path == "//":  # no more than no path
        assert run("config", "--root-path", path, cwd=tmp_path)[0] == 0
        return
    code, out, err = run("config", "--root-path", path, cwd=tmp_path)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "root_path (flag)" in err
