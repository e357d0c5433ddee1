"""The drawing of the house: imports go one way, between modules and between rooms."""

from __future__ import annotations

from collections.abc import Callable
from graphlib import CycleError, TopologicalSorter

import pytest
from conftest import SLOW
from test_imports import ROOT, SOURCES, imports_of

MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in [*SOURCES, *sorted((ROOT / "bench").rglob("*.py"))]
}
FACADE = "gpu_kmeans"
"""The package itself: it names what is imported on first use, and has the version."""
BACK = {
    ("gpu_kmeans.backends.select", "cpu_fallback"): "the switch imports the backend it takes",
    ("gpu_kmeans.backends.select", "gpu_kmeans.cuda"): "the switch imports the backend it takes",
    ("gpu_kmeans.backends.select", "gpu_kmeans.distributed"): "likewise",
    ("gpu_kmeans.backends.select", "gpu_kmeans.distributed.cluster"): "likewise",
    ("gpu_kmeans.model.model", "gpu_kmeans.model.storage"): "a model saves and loads itself",
}
"""Imports that close a circle, each within a function, and why they may."""


def module_of(name: str) -> str:
    """The module of the checkout that a dotted name lies in; empty for others."""
    while name and name not in MODULES:
        name = name.rpartition(".")[0]
    return name


IMPORTS = {
    (module, imported)
    for module, path in MODULES.items()
    for imported in map(module_of, imports_of(path))
    if imported and module not in (imported, FACADE)
}


def room_of(module: str) -> str:
    """The room of a module: a folder or a file at the root of gpu_kmeans, or another package."""
    parts = module.split(".")
    return ".".join(parts[: 2 if parts[0] == FACADE else 1])


def circle(imports: set[tuple[str, str]], level: Callable[[str], str] = str) -> list[str]:
    """Return a circle among imports, from a name back to itself; empty where there is none."""
    graph: dict[str, set[str]] = {}
    for pair in imports:
        module, imported = map(level, pair)
        if module != imported:
            graph.setdefault(module, set()).add(imported)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return [*error.args[1]]
    return []


def test_a_circle_is_seen_between_modules_and_between_rooms() -> None:
    line = {("gpu_kmeans.a.x", "gpu_kmeans.b.y"), ("gpu_kmeans.b.z", "gpu_kmeans.a.w")}
    assert circle(line) == []
    assert set(circle(line, room_of)) == {"gpu_kmeans.a", "gpu_kmeans.b"}
    assert len(circle({*line, ("gpu_kmeans.b.y", "gpu_kmeans.a.x")})) == 3


def test_every_module_has_its_imports_drawn() -> None:
    assert ("cpu_fallback.rows", "gpu_kmeans.backends.protocol") in IMPORTS
    assert ("bench.report", "bench.figures") in IMPORTS  # within a function
    assert ("gpu_kmeans.model.model", "gpu_kmeans.features.tfidf") in IMPORTS  # for types alone


@pytest.mark.parametrize("level", [str, room_of], ids=["modules", "rooms"])
def test_imports_run_in_no_circle(level: Callable[[str], str]) -> None:
    """Late imports and those for types count: a circle that is closed late is one."""
    assert circle(IMPORTS - set(BACK), level) == []


@pytest.mark.parametrize("back", BACK, ids=" -> ".join)
def test_imports_that_may_close_a_circle_do(back: tuple[str, str]) -> None:
    assert back in IMPORTS
    rest = IMPORTS - (set(BACK) - {back})
    assert circle(rest) or circle(rest, room_of), "it need not be excused"


# -- tests -----------------------------------------------------------------------------------


def test_modules_that_are_slow_exist() -> None:
    names = [path.name for path in (ROOT / "tests").glob("test_*.py")]
    assert [start for start in SLOW if not any(name.startswith(start) for name in names)] == []


def test_quick_tests_are_those_that_are_not_slow(request: pytest.FixtureRequest) -> None:
    assert "quick: $(DEV)" in (makefile := (ROOT / "Makefile").read_text("utf-8"))
    assert '\t$(BIN)/python -m pytest -m "not slow"\n' in makefile
    for item in request.session.items:
        slow = item.get_closest_marker("slow") is not None
        assert slow or not item.path.name.startswith(SLOW)
