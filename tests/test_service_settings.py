"""What the service goes by: who wins, what is told of it, and what is refused before it starts."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from serving import run

from gpu_kmeans.backends.select import why_not_gpu
from gpu_kmeans.cli import main
from gpu_kmeans.service.settings import Settings

SECRET = "a secret that nobody is to see"


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither this machine's settings nor a file that lies here count."""
    for name in [name for name in os.environ if name.startswith("GPU_KMEANS_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def config(capsys: pytest.CaptureFixture[str]) -> Any:
    """What ``gpu-kmeans config`` says, by name: value and origin."""

    def asked(*flags: object) -> dict[str, tuple[str, str]]:
        assert main(["config", "--json", *map(str, flags)]) == 0
        rows = json.loads(capsys.readouterr().out)["settings"]
        return {row["name"]: (row["value"], row["from"]) for row in rows}

    return asked


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """The one line that a command says when it refuses its settings."""

    def started(*_: object, **__: object) -> None:
        raise AssertionError("the service was started")

    monkeypatch.setattr("gpu_kmeans.service.server.serve", started)

    def asked(*arguments: object) -> str:
        assert main([str(argument) for argument in arguments]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("gpu-kmeans: error: ")
        assert err.count("\n") == 1
        return err

    return asked


# -- who wins ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("flag", "variable", "file"), [*product([False, True], repeat=3)])
def test_flags_win_over_the_environment_that_over_the_file_and_that_over_defaults(
    config: Any, monkeypatch: pytest.MonkeyPatch, flag: bool, variable: bool, file: bool
) -> None:
    given = []
    if file:
        Path("mine.toml").write_text("port = 1111\nmax_queue = 7\n")
        given += ["--config", "mine.toml"]
    if variable:
        monkeypatch.setenv("GPU_KMEANS_PORT", "2222")
    if flag:
        given += ["--port", "3333"]
    expected = ("8000", "default")
    for value, origin, there in (
        *(("1111", "mine.toml", file), ("2222", "environment", variable)),
        ("3333", "flag", flag),
    ):
        expected = (value, origin) if there else expected
    found = config(*given)
    assert found["port"] == expected
    assert found["max_queue"] == (("7", "mine.toml") if file else ("20", "default"))


def test_the_file_is_the_one_that_was_named_or_lies_here(
    config: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, port in (("gpu-kmeans.toml", 1), ("variable.toml", 2), ("flag.toml", 3)):
        Path(name).write_text(f"port = {port}\n")
    assert config()["port"] == ("1", "gpu-kmeans.toml")
    monkeypatch.setenv("GPU_KMEANS_CONFIG", "variable.toml")
    assert config()["port"] == ("2", "variable.toml")
    assert config("--config", "flag.toml")["port"] == ("3", "flag.toml")


def test_every_setting_is_shown_with_its_meaning(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(Settings.model_fields)
    assert all("default" in line for line in lines)
    assert main(["config", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["settings"]
    assert all(row["meaning"] and row["value"] for row in rows)


def test_every_setting_can_be_given_in_the_environment_and_the_file(
    config: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {
        **{"data": "here", "host": "localhost", "port": 1, "backend": "cpu", "key": SECRET},
        **{"require_keys": True, "allowed_hosts": ["a.example", "b.example"]},
        **{"trusted_proxies": ["10.0.0.0/8", "::1"], "root_path": "/clusters"},
        **{name: 5 for name in Settings.model_fields if name.startswith("max_")},
        **{name: 1.5 for name in Settings.model_fields if name.endswith("_seconds")},
        **{"fit_memory_bytes": 1_000, "keep_versions": 3, "client_requests_per_minute": 60},
        "cors_origins": ["https://films.example"],
    }
    assert set(values) == set(Settings.model_fields)
    # JSON of these values is TOML as well.
    lines = [f"{name} = {json.dumps(value)}" for name, value in values.items()]
    Path("all.toml").write_text("\n".join(lines))
    from_file = config("--config", "all.toml")
    for name, value in values.items():
        text = value if isinstance(value, str) else json.dumps(value)
        monkeypatch.setenv(f"GPU_KMEANS_{name.upper()}", text)
    from_environment = config()
    assert {origin for _, origin in from_file.values()} == {"all.toml"}
    assert {origin for _, origin in from_environment.values()} == {"environment"}
    assert {name: value for name, (value, _) in from_file.items()} == {
        name: value for name, (value, _) in from_environment.items()
    }
    assert from_file["allowed_hosts"][0] == "a.example, b.example"
    assert from_file["fit_seconds"][0] == "1.5"


@pytest.mark.parametrize("where", ["environment", "file"])
@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_a_secret_is_not_shown(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    where: str,
    flags: tuple[str, ...],
) -> None:
    if where == "environment":
        monkeypatch.setenv("GPU_KMEANS_KEY", SECRET)
    else:
        Path("gpu-kmeans.toml").write_text(f"key = '{SECRET}'\n")
    assert main(["config", *flags]) == 0
    out = capsys.readouterr().out
    assert SECRET not in out
    assert "**" in out


# -- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["config", "serve"])
@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("PRT", "8000", "GPU_KMEANS_PRT is not a setting"),
        ("PORT", "70000", "port (environment)"),
        ("PORT", "http", "port (environment)"),
        ("PORT", "", "port (environment)"),
        ("BACKEND", "tpu", "backend (environment)"),
        ("HOST", " ", "host (environment)"),
        ("MAX_QUEUE", "0", "max_queue (environment)"),
        ("MAX_UPLOAD_BYTES", "1.5", "max_upload_bytes (environment)"),
        ("BODY_SECONDS", "nan", "body_seconds (environment)"),
        ("BODY_SECONDS", "inf", "body_seconds (environment)"),
        ("BODY_SECONDS", "-1", "body_seconds (environment)"),
        ("REQUIRE_KEYS", "perhaps", "require_keys (environment)"),
        # What a person would write for one name.
        ("ALLOWED_HOSTS", "films.example", "allowed_hosts"),
        ("ALLOWED_HOSTS", "{}", "allowed_hosts"),
        # As of a variable that is not set: a key that anyone can guess.
        ("KEY", "", "key (environment)"),
        ("KEY", "   ", "key (environment)"),
    ],
)
def test_a_variable_that_cannot_be_used_is_refused(
    refused: Any,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    variable: str,
    value: str,
    said: str,
) -> None:
    monkeypatch.setenv(f"GPU_KMEANS_{variable}", value)
    assert said in refused(command)


@pytest.mark.parametrize("command", ["config", "serve"])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("prt = 8000", "'prt' in mine.toml is not a setting"),
        ("[server]\nport = 8000", "'server' in mine.toml is not a setting"),
        ("port = 70000", "port (mine.toml)"),
        ("port = '80a'", "port (mine.toml)"),
        ("port = [1]", "port (mine.toml)"),
        ("port 8000", "mine.toml is not TOML"),
        ("port = 1\nport = 2", "mine.toml is not TOML"),
        (b"host = '\xff'", "mine.toml is not TOML"),
        ("key = 7", "key (mine.toml)"),
        ("key = ''", "key (mine.toml)"),
        ("allowed_hosts = 'films.example'", "allowed_hosts (mine.toml)"),
        ("max_rows = -5", "max_rows (mine.toml)"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(
    refused: Any, command: str, content: str | bytes, said: str
) -> None:
    Path("mine.toml").write_bytes(content if isinstance(content, bytes) else content.encode())
    assert said in refused(command, "--config", "mine.toml")


@pytest.mark.parametrize("name", ["none.toml", "."])
def test_a_file_that_cannot_be_read_is_refused(refused: Any, name: str) -> None:
    assert "check --config" in refused("serve", "--config", name)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--port", "70000"), "port (flag)"),
        (("--port", "-1"), "--port"),
        (("--host", ""), "host (flag)"),
        (("--backend", "tpu"), "--backend"),
        (("--data", ""), "--data"),
    ],
)
def test_a_flag_that_cannot_be_used_is_refused(
    refused: Any, flags: tuple[str, str], said: str
) -> None:
    assert said in refused("serve", *flags)


# -- what is refused by what is there --------------------------------------------------------------


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that is taken: what is refused before it is bound does not notice."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def serve(*flags: object, **settings: object) -> str:
    code, out, err = run("serve", *flags, **settings)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1, err
    return err


def test_a_file_in_the_folders_place_is_refused(tmp_path: Path, taken: int) -> None:
    (tmp_path / "file").touch()
    for data in (tmp_path / "file", tmp_path / "file" / "below"):
        said = serve("--data", data, "--port", taken, "--backend", "cpu")
        assert "cannot keep data in" in said
        assert "--data" in said


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path, taken: int) -> None:
    tmp_path.chmod(0o500)
    said = serve("--data", tmp_path / "data", "--port", taken, "--backend", "cpu")
    assert "cannot keep data in" in said


def test_a_registry_that_is_none_is_refused(tmp_path: Path, taken: int) -> None:
    (tmp_path / "registry.sqlite").write_bytes(b"this is no database" * 100)
    said = serve("--data", tmp_path, "--port", taken, "--backend", "cpu")
    assert "registry.sqlite cannot be used" in said


@pytest.mark.skipif(why_not_gpu() is None, reason="a GPU can run here")
def test_a_gpu_that_is_not_there_is_refused(tmp_path: Path, taken: int) -> None:
    said = serve("--data", tmp_path / "data", "--port", taken, "--backend", "gpu")
    assert "gpu" in said.lower()
    assert not (tmp_path / "data").exists()


def test_a_port_that_is_taken_is_refused(tmp_path: Path, taken: int) -> None:
    said = serve("--data", tmp_path / "data", "--port", taken, "--backend", "cpu")
    assert f"cannot listen on 127.0.0.1 port {taken}" in said
    assert "--port" in said


def test_without_its_libraries_the_command_says_how_to_get_them(
    refused: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "gpu_kmeans.service.settings")
    monkeypatch.setitem(sys.modules, "pydantic_settings", None)
    for command in ("serve", "config"):
        assert 'pip install ".[serve]"' in refused(command)


# -- keys ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("add",), "name"),
        (("add", ""), "name"),
        (("add", "x" * 65), "64"),
        (("add", "a\nb"), "printable"),
        (("add", "mine"), "there is a key named 'mine'"),
        (("remove", "other"), "there is no key named 'other'"),
        (("add", "x", "--scope", "admin"), "--scope"),
        (("revoke", "mine"), "revoke"),
    ],
)
def test_an_odd_key_is_refused(
    refused: Any, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    assert main(["key", "add", "mine", "--data", "data"]) == 0
    capsys.readouterr()
    assert said in refused("key", *arguments, "--data", "data")


def test_listing_the_keys_of_no_folder_makes_none(refused: Any) -> None:
    assert "there is no folder none" in refused("key", "list", "--data", "none")
    assert not Path("none").exists()
