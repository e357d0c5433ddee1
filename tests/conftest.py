"""What all tests share: the real data where it is present, and the backends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from gpu_kmeans.backends.select import resolve, why_not_gpu

pytest.register_assert_rewrite("serving")

ROOT = Path(__file__).resolve().parents[1]
SLOW = (
    *("test_any_input", "test_bench", "test_cli", "test_compiled", "test_containers"),
    *(
        "test_cuda_lists",
        "test_cuda_rows",
        "test_cuda_strict",
        "test_cuda_text",
        "test_dask",
        "test_deploy",
        "test_discs",
    ),
    *("test_drop_in", "test_forking", "test_gpu_check", "test_kmeans"),
    *("test_plots", "test_project", "test_ranges", "test_readme", "test_service", "test_sklearn"),
)
"""Modules, or starts of the names of several, whose tests `make quick` leaves out."""

# On a GPU the first example of a test may import RAPIDS or compile a kernel.
settings.register_profile("any device", deadline=None)
settings.load_profile("any device")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--backend",
        choices=("cpu", "gpu"),
        help="run the contract suite, the tests that have a backend, on this one alone; fails "
        "where it cannot run",
    )


@pytest.hookimpl(tryfirst=True)  # before tests are taken by their marks
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--backend"):
        # The others show what they show without a backend, and nothing about this one.
        others = [item for item in items if "backend_name" not in _fixtures_of(item)]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if "backend_name" in _fixtures_of(item)]
    for item in items:
        if item.path.name.startswith(SLOW):
            item.add_marker(pytest.mark.slow)


def _fixtures_of(item: pytest.Item) -> list[str]:
    return getattr(item, "fixturenames", [])


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "backend_name" in metafunc.fixturenames:
        asked = metafunc.config.getoption("--backend")
        present = ["cpu"] if why_not_gpu() else ["cpu", "gpu"]
        metafunc.parametrize("backend_name", [asked] if asked else present, scope="session")


@pytest.fixture(scope="session")
def backend(backend_name: str):
    """Each backend that is present; the one asked for must be."""
    return resolve(backend_name)


@pytest.fixture(scope="session")
def tmdb() -> Path:
    """Folder with the TMDB 5000 CSVs: ``GPU_KMEANS_TMDB``, or beside the checkout."""
    folder = Path(os.environ.get("GPU_KMEANS_TMDB", ROOT.parent / "shared" / "data"))
    if not (folder / "tmdb_5000_movies.csv").is_file():
        pytest.skip(f"the TMDB 5000 CSVs are not in {folder} (set GPU_KMEANS_TMDB)")
    return folder


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """One running service for all tests that need no other, with the bundled sample fitted.

    The dataset and the model ``films`` are to be left as they are.
    """
    from serving import Server  # which skips where the service is not installed

    with Server(tmp_path_factory.mktemp("service") / "data", "--sample") as server:
        yield server
        assert server.stop() == 0
