"""The set-up files agree with each other, and the tree is fit to be published."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
EXTRAS: dict[str, list[str]] = PROJECT["project"]["optional-dependencies"]
CONDA: dict[str, Any] = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))

CONDA_NAMES = {"matplotlib-base": "matplotlib"}  # conda's "matplotlib" adds the Qt toolkit
RAPIDS = ("cudf", "cuml", "cupy")
STAR = re.compile(r"==(\d+\.\d+)\.\*")


def bounds(requirements: list[str]) -> dict[str, SpecifierSet]:
    """Map the name of each requirement to its bounds."""
    parsed = map(Requirement, requirements)
    return {canonicalize_name(each.name): each.specifier for each in parsed}


def conda_bounds() -> dict[str, SpecifierSet]:
    """Map what environment.yml installs, under its PyPI name, to its bounds."""
    found = {}
    for line in CONDA["dependencies"]:
        if isinstance(line, str):
            name, bound = re.fullmatch(r"([a-z0-9-]+)(.*)", line).groups()  # type: ignore[union-attr]
            # A single "=" is conda's way to say "==26.10.*".
            bound = re.sub(r"^=(\d[\d.]*)$", r"==\1.*", bound)
            found[CONDA_NAMES.get(name, name)] = SpecifierSet(bound)
    return found | bounds([line for line in pip_lines() if not line.startswith("-")])


def pip_lines() -> list[str]:
    """List the lines of environment.yml that are pip's."""
    (lines,) = (line["pip"] for line in CONDA["dependencies"] if isinstance(line, dict))
    return list(lines)


BASE = bounds(PROJECT["project"]["dependencies"])


# -- versions ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", BASE)
def test_every_base_dependency_is_in_the_conda_environment_with_the_same_bounds(name: str) -> None:
    assert conda_bounds().get(name) == BASE[name]


@pytest.mark.parametrize("name", BASE)
def test_every_base_dependency_is_bounded_on_both_sides(name: str) -> None:
    assert {bound.operator for bound in BASE[name]} == {">=", "<"}


@pytest.mark.parametrize("cuda", ["12", "13"])
def test_the_rapids_line_is_one_in_the_extras_and_the_conda_environment(cuda: str) -> None:
    extra = bounds(EXTRAS[f"cu{cuda}"])
    names = {"cudf": f"cudf-cu{cuda}", "cuml": f"cuml-cu{cuda}", "cupy": f"cupy-cuda{cuda}x"}
    assert {names[name]: conda_bounds()[name] for name in RAPIDS} == extra
    assert len({str(extra[names[name]]) for name in ("cudf", "cuml")}) == 1


def test_the_conda_environment_takes_the_gpu_packages_from_rapids_and_installs_this_checkout() -> (
    None
):
    assert CONDA["name"] == PROJECT["project"]["name"]
    assert CONDA["channels"] == ["rapidsai", "conda-forge"]
    assert conda_bounds()["cuda-version"] == SpecifierSet(">=13.0,<=13.3")
    assert pip_lines()[-1] == "--editable .[dev]"


@pytest.mark.parametrize(
    ("name", "version"),
    [("numpy", "2.4.0"), ("pandas", "3.0.5"), ("scipy", "1.16.0"), ("pyarrow", "23.0.0")],
)
def test_the_base_leaves_room_for_what_rapids_needs(name: str, version: str) -> None:
    # cuDF 26.10: pandas >=3.0,<3.1, pyarrow >=19 and, through numba <0.65, numpy <2.5.
    assert Version(version) in BASE[canonicalize_name(name)]


def test_the_python_of_both_files_is_the_same() -> None:
    lowest = SpecifierSet(PROJECT["project"]["requires-python"])
    assert str(lowest) == ">=3.11"
    assert set(lowest) <= set(conda_bounds()["python"])
    assert PROJECT["tool"]["ruff"]["target-version"] == "py311"


def test_one_distribution_has_one_bound_wherever_it_stands() -> None:
    everything = [BASE, *map(bounds, EXTRAS.values())]
    for name in {name for group in everything for name in group}:
        assert len({group[name] for group in everything if name in group}) == 1, name


def test_no_extra_is_empty() -> None:
    assert all(EXTRAS.values())


# -- what is published --------------------------------------------------------------------


def test_the_wheel_holds_both_packages_and_nothing_else() -> None:
    assert PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"] == {
        "packages": ["gpu_kmeans", "cpu_fallback"],
        "hooks": {"custom": {"path": "hatch_build.py"}},
    }
    for package in ("gpu_kmeans", "cpu_fallback"):
        assert (ROOT / package / "py.typed").is_file()


def test_the_command_is_the_one_that_python_dash_m_runs() -> None:
    assert PROJECT["project"]["scripts"] == {"gpu-kmeans": "gpu_kmeans.cli:main"}
    assert (ROOT / "gpu_kmeans" / "__main__.py").is_file()


def test_the_licence_is_apache_2() -> None:
    assert PROJECT["project"]["license"] == "Apache-2.0"
    text = (ROOT / "LICENSE").read_text("utf-8")
    assert "Apache License\n                           Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text


def tree() -> list[Path]:
    """List the files that git holds or would take."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    names = done.stdout.decode().split("\0")
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


def test_no_file_names_a_path_of_the_machine_it_was_written_on() -> None:
    private = re.compile(r"(?<![\w./-])/(?:(?:home|Users)/\w|(?:root|work|workspace|builds)/)")
    here = [str(ROOT), *(str(home) for home in [Path.home()] if home != Path("/"))]
    for file in tree():
        text = file.read_bytes().decode("utf-8", "replace")
        assert not (found := private.search(text)), f"{file}: {found}"
        assert not (found_here := [path for path in here if path in text]), f"{file}: {found_here}"


def test_without_a_compiler_the_package_is_built_all_the_same(tmp_path: Path) -> None:
    pytest.importorskip("hatchling", reason="the build backend is not installed here")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]);"
        "from hatchling.builders.wheel import WheelBuilder;"
        "print(*WheelBuilder(sys.argv[1]).build(directory=sys.argv[2], versions=['standard']))"
    )
    copy = tmp_path / "checkout"
    for file in tree():
        target = copy / file.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read_bytes())
    done = subprocess.run(
        [sys.executable, "-c", code, str(copy), str(tmp_path / "dist")],
        capture_output=True,
        text=True,
        env={**os.environ, "CC": str(tmp_path / "no-such-compiler")},
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    assert wheel.name.endswith("-none-any.whl"), "without the library it runs anywhere"
    assert not any(name.endswith(".so") for name in ZipFile(wheel).namelist())
