"""The set-up files agree with each other, and the tree is fit to be published."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zipfile import ZipFile

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

import gpu_kmeans

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from hatch_build import CompileKernels  # noqa: E402

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


# -- releases ---------------------------------------------------------------------------------


def test_one_version_stands_everywhere() -> None:
    version = PROJECT["project"]["version"]
    assert gpu_kmeans.__version__ == version
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))["version"] == version
    first = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert first is not None
    assert first[1] == version


def test_the_citation_has_what_its_format_asks_for() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["license"] == PROJECT["project"]["license"]


def test_the_classifiers_name_the_pythons_that_the_workflow_installs_on() -> None:
    line = "Programming Language :: Python :: 3."
    named = [name for name in PROJECT["project"]["classifiers"] if name.startswith(line)]
    workflow = yaml.safe_load((ROOT / ".github/workflows/wheels.yml").read_text("utf-8"))
    pythons = workflow["jobs"]["install"]["strategy"]["matrix"]["python"]
    assert [name.rsplit(" ", 1)[1] for name in named] == pythons
    lowest, allowed = pythons[0], conda_bounds()["python"]
    assert PROJECT["project"]["requires-python"] == f">={lowest}"
    assert all(Version(python) in allowed for python in pythons)


def test_every_workflow_runs_what_is_there() -> None:
    for file in (ROOT / ".github" / "workflows").glob("*.yml"):
        for job in yaml.safe_load(file.read_text("utf-8"))["jobs"].values():
            for step in job["steps"]:
                command = step.get("run", "").split() or ["sudo"]
                if command[0] == "make":
                    assert f"\n{command[1]}:" in (ROOT / "Makefile").read_text("utf-8")
                elif command[0] != "sudo":
                    script = command[1] if command[0] == "bash" else command[0]
                    assert os.access(ROOT / script, os.X_OK), step


# -- the build ----------------------------------------------------------------------------------


class Build(CompileKernels):
    """The build hook by itself, in a folder."""

    def __init__(self, root: Path) -> None:
        self.root_folder = str(root)
        self.warnings: list[str] = []

    root = property(lambda self: self.root_folder)  # type: ignore[assignment]
    app = property(lambda self: SimpleNamespace(display_warning=self.warnings.append))
    target_name = "wheel"  # type: ignore[assignment]


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A checkout with the smallest kernels."""
    kernels = tmp_path / "cpu_fallback" / "kernels"
    kernels.mkdir(parents=True)
    (kernels / "one.c").write_text("int one(void) { return 1; }\n")
    (tmp_path / "hatch_build.py").write_text("")
    return tmp_path


def recorder(folder: Path, name: str) -> Path:
    """A compiler or linker that writes down its arguments, and makes the file asked for."""
    script = folder / name
    script.write_text(
        f"#!{sys.executable}\nimport sys\nfrom pathlib import Path\n"
        f"Path({str(folder / name)!r} + '.log').open('a').write(' '.join(sys.argv[1:]) + '\\n')\n"
        "arguments = sys.argv[1:]\n"
        "out = arguments[arguments.index('-o') + 1] if '-o' in arguments else 'one.o'\n"
        "Path(out).write_text('made')\n"
    )
    script.chmod(0o755)
    return script


def test_the_build_takes_the_compiler_the_linker_and_the_platform_that_it_is_given(
    sources: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler, linker = recorder(sources, "compiler"), recorder(sources, "linker")
    monkeypatch.setenv("CC", f"'{compiler}' --cross")
    monkeypatch.setenv("LDSHARED", f"'{linker}' -shared")
    monkeypatch.setenv("_PYTHON_HOST_PLATFORM", "manylinux_2_28-aarch64")
    data: dict[str, Any] = {"artifacts": []}
    build = Build(sources)
    build.initialize("standard", data)
    assert build.warnings == []
    assert data["tag"] == "py3-none-manylinux_2_28_aarch64"
    assert (sources / "cpu_fallback/kernels/librows.so").read_text() == "made"
    compiled = Path(f"{compiler}.log").read_text()
    assert compiled.startswith("--cross ")
    assert "-march" not in compiled, "the library runs on machines other than this one"
    assert Path(f"{linker}.log").read_text().startswith("-shared ")


def test_an_empty_compiler_makes_the_wheel_without_a_library_and_without_a_warning(
    sources: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", "")
    data: dict[str, Any] = {"artifacts": []}
    build = Build(sources)
    build.initialize("standard", data)
    assert data == {"artifacts": []}
    assert build.warnings == []


def test_a_compiler_that_fails_leaves_no_older_library(
    sources: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = sources / "cpu_fallback" / "kernels" / "librows.so"
    older.write_text("of older sources")
    os.utime(older, (0, 0))
    monkeypatch.setenv("CC", str(sources / "no-such-compiler"))
    data: dict[str, Any] = {"artifacts": []}
    build = Build(sources)
    build.initialize("standard", data)
    assert data == {"artifacts": []}
    assert "the C kernels are left out" in build.warnings[0]
    assert not older.exists()
