"""Someone who follows the documentation: runs its blocks in an empty folder."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from serving import Server, command, environment

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
RECIPES = {"make demo": "gpu-kmeans demo", "make serve": "gpu-kmeans serve --sample"}
"""What a target runs once it has set up ``.venv`` from the network, which a test does not."""
EXEMPT = {"gpu-kmeans fetch tmdb --out .": "downloads from Kaggle; tests/test_fetch.py stands in"}
PATIENCE = 300.0


class Reader:
    """Someone who does what README says, in an empty folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.printed = ""
        self.server: Server | None = None
        self.ran: list[str] = []

    def run(self, arguments: list[str]) -> None:
        done = subprocess.run(
            arguments,
            cwd=self.folder,
            env=environment(backend="cpu") | {"PYTHONPATH": str(ROOT), "MPLBACKEND": "agg"},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, f"{arguments}:\n{done.stdout}{done.stderr}"
        self.printed = done.stdout

    def python(self, code: str) -> None:
        self.run([sys.executable, "-W", "error", "-c", code])

    def console(self, block: str) -> None:
        for line in block.splitlines():
            if line.startswith("$ "):
                self.command(line.removeprefix("$ "))
            else:  # what the command before it prints
                said = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:8000", self.printed)
                assert line in said.splitlines()

    def command(self, line: str) -> None:
        self.ran.append(line)
        if line in EXEMPT:
            return
        if line in RECIPES:
            # The recipe is that command, with a folder and a port that can be chosen.
            assert f"$(BIN)/{RECIPES[line]}" in (ROOT / "Makefile").read_text("utf-8")
            line = RECIPES[line]
        if line.startswith("curl "):
            self.curl(line)
        elif "serve" in line:
            data = self.folder / "gpu-kmeans-data"
            self.server = Server(data, *shlex.split(line)[2:])
            self.printed = self.server.said()
        else:
            name, *arguments = shlex.split(line)
            assert Path(name).name == "gpu-kmeans"
            self.run(command(*arguments))

    def curl(self, line: str) -> None:
        assert self.server is not None
        if shutil.which("curl") is None:
            pytest.skip("there is no curl here")
        name, *arguments = shlex.split(line)
        port = f"localhost:{self.server.port}"
        arguments = [each.replace("localhost:8000", port) for each in arguments]
        self.run([name, "--silent", "--show-error", "--fail-with-body", *arguments])
        answer = json.loads(self.printed)
        if "queue_position" in answer:  # a job, whose end a reader sees on the page
            assert self.server.ended(answer)["state"] == "succeeded"
