"""Does the steps of a Dockerfile without Docker: its RUN lines, then its command and health check.

    python deploy/rehearse.py DOCKERFILE PYTHON

What installs packages of the system or makes users is left out; /opt, /src and /data lie in a
folder that is removed afterwards, and PYTHON stands for the image's. Needs the package index.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OF_THE_SYSTEM = ("apt-get ", "useradd ")
PATHS = re.compile(r"(?<![\w/])/(opt|src|data|tmp/matplotlib)(?=[/\s\"':]|$)")
PATIENCE = 60.0


def instructions(dockerfile: Path) -> list[tuple[str, str]]:
    """Instructions and their arguments, lines that go on joined, comments left out."""
    text = re.sub(r"^\s*#.*\n", "", dockerfile.read_text("utf-8"), flags=re.MULTILINE)
    lines = [line for line in re.sub(r"\\\n\s*", "", text).splitlines() if line.strip()]
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines]


def main(dockerfile: Path, python: str) -> int:
    """Print what is done; 1 where the service does not become healthy."""
    steps = instructions(dockerfile)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def moved(text: str) -> str:
            return PATHS.sub(rf"{folder}/\1", text)

        (folder / "bin").mkdir()
        (folder / "bin" / "python").symlink_to(shutil.which(python) or python)
        archive = subprocess.run(
            ["git", "archive", "HEAD"], cwd=ROOT, check=True, capture_output=True
        )
        (folder / "src").mkdir()
        subprocess.run(["tar", "-x", "-C", folder / "src"], input=archive.stdout, check=True)
        (folder / "data").mkdir()
        path = f"{folder / 'bin'}:{os.environ['PATH']}"
        for step, argument in steps:
            if step == "RUN" and not argument.startswith(OF_THE_SYSTEM):
                print("RUN", argument, flush=True)
                command = ["bash", "-euo", "pipefail", "-c", moved(argument)]
                subprocess.run(
                    command, cwd=folder / "src", env=os.environ | {"PATH": path}, check=True
                )
        arguments = dict(steps)
        environment = dict(re.findall(r"(\w+)=(\S+)", moved(arguments["ENV"])))
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = str(free.getsockname()[1])
        environment |= {"PATH": moved("/opt/gpu-kmeans/bin:/usr/bin:/bin"), "GPU_KMEANS_PORT": port}
        environment |= {"GPU_KMEANS_KEY": secrets.token_urlsafe(32)}
        command = [*json.loads(arguments["ENTRYPOINT"]), *json.loads(arguments["CMD"])]
        command[0] = str(folder / "opt/gpu-kmeans/bin" / command[0])
        health = json.loads(
            arguments["HEALTHCHECK"].partition(" CMD ")[2].replace(":8000", f":{port}")
        )
        health[0] = str(folder / "opt/gpu-kmeans/bin" / health[0])
        print("CMD", *command, flush=True)
        service = subprocess.Popen(command, cwd=folder / "data", env=environment)
        try:
            begun = time.monotonic()
            while time.monotonic() - begun < PATIENCE and service.poll() is None:
                if subprocess.run(health, capture_output=True).returncode == 0:
                    print(f"healthy after {time.monotonic() - begun:.1f} s")
                    return 0
                time.sleep(0.5)
            print("error: the service does not become healthy", file=sys.stderr)
            return 1
        finally:
            service.terminate()
            service.wait(PATIENCE)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
