"""Looks at the wheels and the sdist of a folder: tags, files, and what the libraries need.

    python .ci/check_wheels.py FOLDER

Every wheel for Linux holds the library, which needs no newer glibc than 2.28 (auditwheel
is asked, too); the one for everything else holds none. Run by .ci/wheels.
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from zipfile import ZipFile

from elftools.elf.elffile import ELFFile

GLIBC = (2, 28)
MACHINES = {"x86_64": "EM_X86_64", "aarch64": "EM_AARCH64"}
LIBRARY = "cpu_fallback/kernels/librows.so"
NEEDED = {"libc.so.6", "libm.so.6", "libpthread.so.0", "ld-linux-aarch64.so.1"}


def problems_of(wheel: Path) -> list[str]:
    """What is wrong with one wheel."""
    name, version, *tags = wheel.stem.split("-")
    with ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = archive.read(f"{name}-{version}.dist-info/WHEEL").decode()
        library = archive.read(LIBRARY) if LIBRARY in names else None
    problems = []
    if "-".join(tags) not in re.findall(r"^Tag: (.*)$", metadata, re.MULTILINE):
        problems.append(f"its name says {'-'.join(tags)}, and its metadata does not")
    if tags == ["py3", "none", "any"]:
        return problems + ["it holds a library"] * (library is not None)
    match = re.fullmatch(r"manylinux_2_28_(\w+)", tags[-1])
    if match is None or tags[:-1] != ["py3", "none"]:
        return [*problems, f"{'-'.join(tags)} is none of the tags that are published"]
    if library is None:
        return [*problems, f"it lacks {LIBRARY}"]
    problems += problems_of_library(ELFFile(io.BytesIO(library)), MACHINES[match[1]])
    return problems + problems_by_auditwheel(wheel)


def problems_of_library(library: ELFFile, machine: str) -> list[str]:
    """What keeps a library from being loaded on a machine with that glibc."""
    problems = []
    if library["e_machine"] != machine:
        problems.append(f"its library is for {library['e_machine']}")
    needed = {tag.needed for tag in library.get_section_by_name(".dynamic").iter_tags("DT_NEEDED")}
    if others := needed - NEEDED:
        problems.append(f"its library needs {sorted(others)}")
    for _, versions in library.get_section_by_name(".gnu.version_r").iter_versions():
        for version in versions:
            numbers = re.fullmatch(r"GLIBC_(\d+)\.(\d+)(\.\d+)?", version.name)
            if numbers is None or tuple(map(int, numbers.groups()[:2])) > GLIBC:
                problems.append(f"its library asks for {version.name}")
    return problems


def problems_by_auditwheel(wheel: Path) -> list[str]:
    """What auditwheel has against the wheel's tag."""
    command = [sys.executable, "-m", "auditwheel", "show", str(wheel)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = " ".join(done.stdout.split())
    match = re.search(r'consistent with the following platform tag: "manylinux_(\d+)_(\d+)_', said)
    if match is None or tuple(map(int, match.groups())) > GLIBC:
        return [f"auditwheel says: {said or done.stderr}"]
    return []


def problems_of_sdist(sdist: Path) -> list[str]:
    """What the sdist lacks to be built."""
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {"pyproject.toml", "hatch_build.py", "LICENSE", "README.md"}
    wanted |= {"cpu_fallback/kernels/rows.c", "gpu_kmeans/service/page/index.html"}
    problems = [f"it lacks {name}" for name in sorted(wanted - names)]
    return problems + [f"it holds {name}" for name in names if name.endswith(".so")]


def main(folder: Path) -> int:
    """Print one line for each file; 1 where anything is wrong."""
    wheels, sdists = sorted(folder.glob("*.whl")), sorted(folder.glob("*.tar.gz"))
    tags = sorted(wheel.stem.split("-")[-1] for wheel in wheels)
    amiss = tags != ["any", "manylinux_2_28_aarch64", "manylinux_2_28_x86_64"] or len(sdists) != 1
    if amiss:
        print(f"error: {folder} should hold an sdist and three wheels of one version", end="")
        print(f", and holds {[path.name for path in [*sdists, *wheels]]}")
    for path in [*sdists, *wheels]:
        problems = problems_of_sdist(path) if path in sdists else problems_of(path)
        amiss = amiss or bool(problems)
        print(f"{path.name}: {path.stat().st_size / 2**20:.1f} MiB", *problems, sep="\n  error: ")
    return int(amiss)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
