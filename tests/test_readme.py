"""README is true: its commands run from top to bottom, and its figures follow from the records."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from reader import BLOCK, EXEMPT, RECIPES, Reader

from bench.readme import NUMBER, PAGES, Records, problems, prose_of
from gpu_kmeans.cli.parser import build
from gpu_kmeans.data import sample

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text("utf-8")
FILES = ("tmdb_5000_movies.csv", "tmdb_5000_credits.csv")


@pytest.fixture(scope="module")
def tmdb_files(request: pytest.FixtureRequest) -> list[Path]:
    """The two files where they are; else the bundled films, whose columns are the same."""
    try:
        folder: Path = request.getfixturevalue("tmdb")
    except pytest.skip.Exception:
        return list(sample.paths())
    return [folder / name for name in FILES]


def test_readme_runs_from_top_to_bottom_in_an_empty_folder(
    tmp_path: Path, tmdb_files: list[Path]
) -> None:
    reader = Reader(tmp_path)
    for name, source in zip(FILES, tmdb_files, strict=True):
        (tmp_path / name).symlink_to(source)
    rooms = ("a haunted house by the sea", "a castle on the hill", "a ship of fools")
    books = [f"{n},{rooms[n % 3]} in year {n} and its ghost {n % 7}" for n in range(60)]
    (tmp_path / "books.csv").write_text("\n".join(["isbn,plot", *books]), encoding="utf-8")
    try:
        for kind, text in BLOCK.findall(README):
            if kind == "python":
                reader.python(text)
            elif kind == "console":
                reader.console(text)
            else:  # what the block before it printed
                assert kind == ""
                assert reader.printed.strip() == text.strip()
    finally:
        if reader.server is not None:
            reader.server.kill()
    assert set(RECIPES) | set(EXEMPT) <= set(reader.ran)
    # What the blocks say that they make.
    for made in ("films", "tmdb", "gpu-kmeans-demo/model"):
        assert (tmp_path / made / "manifest.json").is_file()
    assert (tmp_path / "ratings.png").is_file()
    assert any((tmp_path / "figures").iterdir())


def inline() -> Iterator[str]:
    """Code within the prose."""
    text = BLOCK.sub("", README)
    for code in re.findall(r"`([^`]+)`", text):
        yield " ".join(code.split())


def test_commands_within_the_prose_exist() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    verbs = next(each for each in build()._actions if each.dest == "command").choices
    assert isinstance(verbs, dict)
    found = set()
    for code in inline():
        words = code.split()
        if words[0] == "gpu-kmeans" and len(words) > 1:
            found.add("gpu-kmeans")
            flags = {word for word in words if word.startswith("--")}
            assert flags <= set(verbs[words[1]]._option_string_actions), code
        elif words[0] == "make":
            found.add("make")
            assert re.search(rf"^{words[1]}:", makefile, re.MULTILINE), code
        elif words[:2] == ["python", "-m"]:
            found.add("python")
            assert find_spec(words[2]), code
        elif words[:2] == ["pip", "install"]:
            found.add("pip")
            assert re.fullmatch(r'pip install (-e )?("\.\[\w+\]"|\.)', code), code
    assert found == {"gpu-kmeans", "make", "python", "pip"}


def test_files_that_readme_links_to_exist() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert len(links) > 5
    for link in links:
        assert (ROOT / link).exists(), link


def test_no_text_sends_readers_to_an_index_that_does_not_have_the_package() -> None:
    for path in [ROOT / "README.md", *(ROOT / "gpu_kmeans").rglob("*.py")]:
        assert not re.search(r"gpu-kmeans\[\w", path.read_text("utf-8")), path


# -- figures ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def records() -> Records:
    return Records()


@pytest.mark.parametrize("page", PAGES)
def test_every_figure_follows_from_a_record(records: Records, page: str) -> None:
    assert problems(PAGES[page].read_text("utf-8"), records, page) == []


@pytest.mark.parametrize(("page", "least"), [("readme", 40), ("benchmarks", 100), ("backends", 3)])
def test_no_figure_can_be_changed_without_its_record(
    records: Records, page: str, least: int
) -> None:
    prose = prose_of(PAGES[page].read_text("utf-8"))
    figures = list(NUMBER.finditer(prose))
    assert len(figures) >= least
    for figure in figures:
        end = figure.end()
        digit = (int(prose[end - 1]) + 1) % 10
        changed = f"{prose[: end - 1]}{digit}{prose[end:]}"
        assert problems(changed, records, page), prose[figure.start() - 30 : end + 30]


def test_a_figure_without_a_record_is_noticed(records: Records) -> None:
    (amiss,) = problems(f"{README}\n\nIt is 12.5 times as fast.\n", records, "readme")
    assert amiss.startswith("12.5 has no record")


def test_the_records_themselves_say_what_they_are_of(records: Records) -> None:
    assert records.reach["command"].startswith("python -m bench.reach")
    assert records.reach["machine"]["versions"]["gpu-kmeans"]
    assert [draw["seed"] for draw in records.reach["draws"]] == list(range(10))


def test_a_record_that_does_not_bear_the_claim_is_noticed() -> None:
    records = Records()
    records.record("convergence", "tmdb-50")["inertia"]["max"] = 1e9
    assert "a fit of tmdb-50 does not end below the best of theirs" in problems(
        README, records, "readme"
    )
