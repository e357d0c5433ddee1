"""The GPU backend as far as it can be read: sources that compile, and a twin of the CPU's."""

from __future__ import annotations

import ast
import inspect
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from cpu_fallback import CpuBackend
from gpu_kmeans.protocol import Backend

ROOT = Path(__file__).resolve().parents[1]
CUDA = ROOT / "gpu_kmeans" / "cuda"
SOURCES = sorted((CUDA / "kernels").glob("*.cu"))
INDICES = ("int", "long long")
MACROS = {
    "rows.cu": [{"REAL": real, "INDEX": i} for real in ("float", "double") for i in INDICES],
    "weigh.cu": [
        {"INDEX": i, "REAL": real, "SATURATED": saturated}
        for i in INDICES
        for real in ("float", "double")
        for saturated in "01"
    ],
}
VERBS = [name for name, _ in inspect.getmembers(Backend, inspect.isfunction) if name[0] != "_"]


@pytest.mark.parametrize("architecture", ["sm_75", "sm_90"])
@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_the_sources_compile_without_a_warning(
    source: Path, architecture: str, tmp_path: Path
) -> None:
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        pytest.skip("nvcc is not installed")
    for macros in MACROS.get(source.name, [{}]):
        command = [nvcc, f"-arch={architecture}", "-std=c++17", "-cubin", "-Werror", "all-warnings"]
        command += [f"-D{name}={value}" for name, value in macros.items()]
        command += [str(source), "-o", str(tmp_path / "out.cubin")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_the_sources_are_what_the_runtime_compiler_takes(source: Path) -> None:
    text = source.read_text("utf-8")
    assert "#include" not in text, "NVRTC has no headers beside it"
    assert re.search(r'extern "C" __global__', text), "kernels are found by their plain names"


def test_every_kernel_source_is_tested_here() -> None:
    assert [source.name for source in SOURCES] == ["lists.cu", "rows.cu", "weigh.cu"]


def verbs_of(path: Path, name: str) -> dict[str, ast.FunctionDef]:
    """The methods of a class by name, read and not imported."""
    tree = ast.parse(path.read_text("utf-8"))
    (found,) = [n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == name]
    return {n.name: n for n in found.body if isinstance(n, ast.FunctionDef)}


CPU_VERBS = verbs_of(ROOT / "cpu_fallback" / "__init__.py", "CpuBackend")
GPU_VERBS = verbs_of(CUDA / "__init__.py", "GpuBackend")


@pytest.mark.parametrize("verb", VERBS)
def test_both_backends_have_the_signature_of_the_protocol(verb: str) -> None:
    cpu, gpu = CPU_VERBS[verb], GPU_VERBS[verb]
    assert ast.unparse(cpu.args) == ast.unparse(gpu.args)
    assert ast.unparse(cpu.returns or cpu) == ast.unparse(gpu.returns or gpu)
    assert ast.get_docstring(cpu) == ast.get_docstring(gpu)
    assert inspect.signature(getattr(CpuBackend, verb)) == inspect.signature(getattr(Backend, verb))


def functions_of(path: Path) -> dict[str, ast.FunctionDef]:
    tree = ast.parse(path.read_text("utf-8"))
    return {n.name: n for n in tree.body if isinstance(n, ast.FunctionDef) if n.name[0] != "_"}


@pytest.mark.parametrize("module", ["frames.py", "text.py", "rows.py", "dense.py"])
def test_the_modules_mirror_each_other(module: str) -> None:
    cpu, gpu = functions_of(ROOT / "cpu_fallback" / module), functions_of(CUDA / module)
    for name, function in cpu.items():
        assert [a.arg for a in function.args.args] == [a.arg for a in gpu[name].args.args], name


def test_only_the_gpu_package_imports_gpu_libraries() -> None:
    for path in [*(ROOT / "gpu_kmeans").rglob("*.py"), *(ROOT / "cpu_fallback").rglob("*.py")]:
        if CUDA in path.parents:
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            roots = {name.partition(".")[0] for name in names}
            assert not roots & {"cupy", "cupyx", "cudf", "cuml", "rmm", "pylibcudf"}, path
