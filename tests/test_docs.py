"""The documentation is true: its commands run, its links lead somewhere, its notebooks end well."""

from __future__ import annotations

import importlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from reader import BLOCK, Reader

from gpu_kmeans.data import sample

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))
WITH_BLOCKS = [
    page
    for page in PAGES
    if any(kind in ("console", "python") for kind, _ in BLOCK.findall((DOCS / page).read_text()))
]
NOTEBOOKS = sorted(DOCS.glob("notebooks/*.ipynb"))


@pytest.mark.parametrize("page", WITH_BLOCKS)
def test_what_a_page_shows_runs_in_an_empty_folder(page: str, tmp_path: Path) -> None:
    if page == "estimators.md":  # its table of films
        shutil.copy(sample.paths()[0], tmp_path / "films.csv")
    reader = Reader(tmp_path)
    for kind, text in BLOCK.findall((DOCS / page).read_text("utf-8")):
        assert kind in ("console", "python")
        reader.python(text) if kind == "python" else reader.console(text)


def test_guides_run_something() -> None:
    guides = [page for page in PAGES if page.startswith("guides/")]
    assert len(guides) == 6
    assert set(guides) <= set(WITH_BLOCKS)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_ends_well_and_is_kept_without_outputs(notebook: Path, tmp_path: Path) -> None:
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed: extra dev")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed: extra dev")
    nbformat = importlib.import_module("nbformat")
    content = nbformat.read(notebook, as_version=4)
    code = [cell for cell in content.cells if cell.cell_type == "code"]
    assert len(code) > 2
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
    # In a process of its own: the client's loop and sockets end with it.
    run = (
        "import sys, nbformat; from nbclient import NotebookClient;"
        "content = nbformat.read(sys.argv[1], as_version=4);"
        "NotebookClient(content, timeout=300, resources={'metadata': {'path': sys.argv[2]}})"
        ".execute()"
    )
    assert nbclient
    done = subprocess.run(
        [sys.executable, "-c", run, str(notebook), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="mkdocs is not installed: extra docs")
    pytest.importorskip("mkdocstrings", reason="mkdocstrings is not installed: extra docs")
    pytest.importorskip("material", reason="mkdocs-material is not installed: extra docs")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) > len(PAGES)  # and one for what is not there
    loaded = re.compile(
        r'<(?:script|img|iframe)[^>]+src="?(https?:[^" >]+)|<link[^>]+rel="?(?:'
        r'stylesheet|preconnect)"?[^>]+href="?(https?:[^" >]+)'
    )
    for page in pages:
        text = page.read_text("utf-8")
        assert not loaded.search(text), f"{page.name} loads from elsewhere"
    assert "n_clusters" in (tmp_path / "api.html").read_text("utf-8")
