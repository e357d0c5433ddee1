"""What importing costs, and which room may import which."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import gpu_kmeans

ROOT = Path(__file__).resolve().parents[1]
HEAVY = {
    *("cudf", "cuml", "cupy", "rmm", "numba", "torch"),  # GPU libraries
    *("dask", "distributed", "faiss", "sklearn", "scipy", "pandas", "polars", "pyarrow"),
    *("matplotlib", "PIL", "rich", "h5py"),
    *("fastapi", "starlette", "uvicorn"),
    "kagglehub",
}
SEAM = (
    *("errors", "forking", "tables", "backends.protocol", "backends.delegation"),
    *(
        "clustering.bounds",
        "clustering.nearness",
        "inputs.sparse_rows",
        "features.texts",
        "features.weighting",
    ),
)
"""Modules of gpu_kmeans that a backend may import: what both reckon with."""
MOST_AT_THE_ROOT = 12
"""Maximum number of modules that lie in no room of gpu_kmeans."""
SOURCES = [
    path
    for package in ("gpu_kmeans", "cpu_fallback")
    for path in sorted((ROOT / package).rglob("*.py"))
]


# -- start-up ---------------------------------------------------------------------------


def loaded_by(program: str, folder: Path) -> set[str]:
    """Run a program in a fresh process and return the top-level modules that it loaded."""
    report = folder / "modules.json"
    program += f"\nimport json, sys\nopen({str(report)!r}, 'w').write(json.dumps([*sys.modules]))"
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return {name.partition(".")[0] for name in json.loads(report.read_text("utf-8"))}


def test_importing_the_package_loads_nothing_heavy(tmp_path: Path) -> None:
    loaded = loaded_by("import gpu_kmeans", tmp_path)
    assert "gpu_kmeans" in loaded
    assert not loaded & HEAVY
    assert "cpu_fallback" not in loaded


def test_asking_for_help_loads_nothing_heavy(tmp_path: Path) -> None:
    program = """
import runpy, sys
sys.argv = ["gpu-kmeans", "--help"]
try:
    runpy.run_module("gpu_kmeans", run_name="__main__", alter_sys=True)
except SystemExit as end:
    assert not end.code, end.code
"""
    loaded = loaded_by(program, tmp_path)
    assert not loaded & HEAVY


def test_the_service_answers_without_a_library_that_fits(tmp_path: Path) -> None:
    """Fits and checks run elsewhere: CUDA, FAISS and pandas stay out of this process."""
    pytest.importorskip("uvicorn", reason="the service's libraries are not installed")
    program = """
from pathlib import Path
from gpu_kmeans.service import server, worker
from gpu_kmeans.service.settings import configure
service = server.open_service(configure({"data": Path(%r), "backend": "auto"}).settings)
server.create_app(service)
service.store.close()
"""
    loaded = loaded_by(program % str(tmp_path / "data"), tmp_path)
    assert "fastapi" in loaded
    fitting = {"cudf", "cuml", "cupy", "rmm", "numba", "torch", "faiss", "sklearn", "pandas"}
    assert not loaded & (fitting | {"cpu_fallback", "scipy", "matplotlib", "bokeh"})


def test_the_public_names_exist_and_are_listed_once() -> None:
    names = gpu_kmeans.__all__
    assert len(set(names)) == len(names)
    assert [name for name in names if not hasattr(gpu_kmeans, name)] == []
    assert set(names) <= set(dir(gpu_kmeans))


# -- the rules of the house -----------------------------------------------------------------


def imports(source: str, module: str) -> Iterator[str]:
    """Yield the full name of everything that a module's source imports, wherever it stands.

    ``module`` is the dotted name of the package that relative imports start from.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = module.split(".")[: -(node.level - 1) or None] if node.level else []
            start = ".".join([*above, *filter(None, [node.module])])
            yield from (f"{start}.{name.name}" for name in node.names)


def imports_of(path: Path) -> list[str]:
    """List everything that a file of the checkout imports."""
    package = ".".join(path.relative_to(ROOT).parent.parts)
    return list(imports(path.read_text("utf-8"), package))


def within(name: str, *rooms: str) -> bool:
    """Tell whether a dotted name is one of ``rooms`` or lies in it."""
    return any(f"{name}.".startswith(f"{room}.") for room in rooms)


def test_the_reader_of_imports_sees_every_form() -> None:
    source = """
import a.b as c
from d import e
from . import f
from .g import h
from .. import i
def late():
    from j.k import l
"""
    assert list(imports(source, "top.mid")) == [
        *("a.b", "d.e", "top.mid.f", "top.mid.g.h", "top.i", "j.k.l")
    ]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_each_module_imports_only_what_its_room_may(path: Path) -> None:
    room = path.relative_to(ROOT).parts
    names = imports_of(path)
    # What scikit-learn asks of an estimator, in its own types: these imports are late.
    estimators = [
        ("gpu_kmeans", *name.split("/"))
        for name in ("estimator.py", "clustering/kmeans.py", "features/svd.py", "features/tfidf.py")
    ]
    allowed = ("sklearn.base", "sklearn.utils") if room in estimators else ()
    foreign = [name for name in names if within(name, "sklearn", "bench", "tests")]
    assert not [name for name in foreign if not within(name, *allowed)]
    if room[0] == "cpu_fallback":
        ours = [name for name in names if within(name, "gpu_kmeans")]
        seam = tuple(f"gpu_kmeans.{n}" for n in SEAM)
        assert not [name for name in ours if not within(name, *seam)]
    elif room != ("gpu_kmeans", "backends", "select.py"):
        assert not [name for name in names if within(name, "cpu_fallback")]
        assert room[1] == "cuda" or not [name for name in names if within(name, "gpu_kmeans.cuda")]
    if room[:2] != ("gpu_kmeans", "distributed"):
        assert not [name for name in names if within(name, "dask", "distributed")]
        switch = room == ("gpu_kmeans", "backends", "select.py")
        assert switch or not [n for n in names if within(n, "gpu_kmeans.distributed")]
    if room[:2] != ("gpu_kmeans", "cuda"):
        assert not [name for name in names if within(name, "cudf", "cuml", "cupy", "cupyx", "rmm")]


def test_modules_lie_in_rooms() -> None:
    at_the_root = [path.name for path in SOURCES if path.parent == ROOT / "gpu_kmeans"]
    assert len(at_the_root) <= MOST_AT_THE_ROOT
