"""The GPU backend as far as it can be read: sources that compile, and a twin of the CPU's."""

from __future__ import annotations

import ast
import copy
import importlib.util
import inspect
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

from cpu_fallback import CpuBackend
from gpu_kmeans.backends.protocol import Backend
from gpu_kmeans.cuda import GpuBackend
from gpu_kmeans.errors import BackendUnavailable

ROOT = Path(__file__).resolve().parents[1]
CPU, CUDA = ROOT / "cpu_fallback", ROOT / "gpu_kmeans" / "cuda"
SOURCES = sorted((CUDA / "kernels").glob("*.cu"))
INDICES = ("int", "long long")
MACROS = {
    "neighbors.cu": [{"INDEX": i} for i in INDICES],
    "rows.cu": [{"REAL": real, "INDEX": i} for real in ("float", "double") for i in INDICES],
    "weigh.cu": [
        {"INDEX": i, "REAL": real, "SATURATED": saturated}
        for i in INDICES
        for real in ("float", "double")
        for saturated in "01"
    ],
}
METHODS = [(CPU, "names_in_lists"), (CPU, "iterations")]
METHODS += [(CPU, "dense_regions")]
"""Verbs that a backend does itself, in a line."""
VERBS = [name for name, _ in inspect.getmembers(Backend, inspect.isfunction) if name[0] != "_"]


@pytest.mark.slow
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
    assert [source.name for source in SOURCES] == [
        "lists.cu",
        "neighbors.cu",
        "rows.cu",
        "weigh.cu",
    ]


@pytest.mark.parametrize("verb", VERBS)
def test_both_backends_have_the_signature_of_the_protocol(verb: str) -> None:
    declared = getattr(Backend, verb)
    for backend in (CpuBackend, GpuBackend):
        assert inspect.signature(getattr(backend, verb)) == inspect.signature(declared)


@cache
def methods_of(path: Path, name: str) -> dict[str, ast.FunctionDef]:
    """The methods of a class by name, read and not imported."""
    tree = ast.parse(path.read_text("utf-8"))
    (found,) = [n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == name]
    return {n.name: n for n in found.body if isinstance(n, ast.FunctionDef)}


@cache
def functions_of(path: Path) -> dict[str, ast.FunctionDef]:
    tree = ast.parse(path.read_text("utf-8"))
    return {n.name: n for n in tree.body if isinstance(n, ast.FunctionDef) if n.name[0] != "_"}


def arguments_of(function: ast.FunctionDef, of_its_own: set[str]) -> str:
    """What a function takes and returns, but for types of the backend's own."""
    function = copy.deepcopy(function)
    arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    for argument in arguments:
        if argument.arg in of_its_own:
            argument.annotation = None
    function.args.args = [argument for argument in function.args.args if argument.arg != "self"]
    returned = ast.unparse(function.returns) if function.returns else ""
    return ast.unparse(function.args) + ("" if "return" in of_its_own else f" -> {returned}")


def own_types(function: ast.FunctionDef) -> set[str]:
    """Arguments, and the return, that the protocol leaves to the backend: rows and frames."""
    types = {argument.arg: argument.annotation for argument in function.args.args}
    types["return"] = function.returns
    return {
        name
        for name, annotation in types.items()
        if annotation is not None
        and {"Frame", "Matrix"} & {n.id for n in ast.walk(annotation) if isinstance(n, ast.Name)}
    }


@pytest.mark.parametrize(
    ("folder", "verb"),
    [
        pytest.param(folder, verb, id=f"{folder.name}-{verb}")
        for folder in (CPU, CUDA)
        for verb in VERBS
        if verb != "to_host" and (folder, verb) not in METHODS
    ],
)
def test_each_verb_is_a_function_with_the_arguments_of_the_protocol(
    folder: Path, verb: str
) -> None:
    declared = methods_of(ROOT / "gpu_kmeans" / "backends" / "protocol.py", "Backend")[verb]
    (function,) = [
        functions[verb]
        for functions in map(functions_of, sorted(folder.glob("*.py")))
        if verb in functions
    ]
    own = own_types(declared)
    assert arguments_of(function, own) == arguments_of(declared, own)


@pytest.mark.parametrize("module", ["frames.py", "text.py", "rows.py", "neighbors.py", "dense.py"])
def test_the_modules_mirror_each_other(module: str) -> None:
    cpu, gpu = functions_of(CPU / module), functions_of(CUDA / module)
    for name, function in cpu.items():
        assert [a.arg for a in function.args.args] == [a.arg for a in gpu[name].args.args], name


def test_a_verb_is_done_by_the_function_of_its_module(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr("cpu_fallback.rows.assign", lambda *given, **named: asked.append(named))
    CpuBackend().assign("rows", "clusters", second=True)
    assert asked == [{"second": True}]


def test_a_verb_of_the_gpu_says_what_does_not_load() -> None:
    backend = object.__new__(GpuBackend)  # without a pool of memory
    if importlib.util.find_spec("cupy"):
        pytest.skip("CuPy is installed")
    with pytest.raises(BackendUnavailable, match=r"do not load.*use backend='cpu'"):
        backend.matrix([[1.0]])
    assert backend.matrix.__name__ == "matrix"


def test_only_the_gpu_package_imports_gpu_libraries() -> None:
    for path in [*(ROOT / "gpu_kmeans").rglob("*.py"), *(ROOT / "cpu_fallback").rglob("*.py")]:
        if CUDA in path.parents:
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            roots = {name.partition(".")[0] for name in names}
            assert not roots & {"cupy", "cupyx", "cudf", "cuml", "rmm", "pylibcudf"}, path
