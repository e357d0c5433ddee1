"""Kernels and the Python beside them say the same: numbers, structures and arguments."""

from __future__ import annotations

import ast
import ctypes
import re
from pathlib import Path
from typing import Any

import pytest

from cpu_fallback import word_chars
from cpu_fallback.compiled import csr, dense, library, neighbors, sums, words
from gpu_kmeans.clustering import bounds
from gpu_kmeans.features.weighting import NORMS

ROOT = Path(__file__).resolve().parents[1]
C, CUDA = ROOT / "cpu_fallback" / "kernels", ROOT / "gpu_kmeans" / "cuda"
COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)


def source(path: Path) -> str:
    """The code of a kernel's file, without comments."""
    return COMMENT.sub("", path.read_text("utf-8"))


def macros(path: Path, name: str) -> list[int]:
    """Every number that a file defines a name as, one after the other; it may name others."""
    lines = re.findall(r"#define (\w+) (\S.*)", source(path))
    defined = dict(lines)

    def value(text: str) -> int:
        text = re.sub(r"\b[A-Z]\w*", lambda match: str(value(defined[match[0]])), text)
        number = eval(text, {"__builtins__": {}})
        assert isinstance(number, int)
        return number

    return [value(text) for macro, text in lines if macro == name]


def constant(path: Path, name: str) -> Any:
    """A constant of a module that is read and not imported; numbers of a tuple have a name each."""
    for node in ast.parse(path.read_text("utf-8")).body:
        if not isinstance(node, ast.Assign):
            continue
        (target,) = node.targets
        if isinstance(target, ast.Name) and target.id == name:
            return ast.literal_eval(node.value)
        if isinstance(target, ast.Tuple) and name in (
            names := [ast.unparse(n) for n in target.elts]
        ):
            return ast.literal_eval(node.value)[names.index(name)]
    raise AssertionError(f"{path} has no {name}")


# -- numbers ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "name", "value"),
    [
        ("rows.c", "ROWS_OF_A_TASK", csr.ROWS_OF_A_TASK),
        ("rows.c", "WAYS", csr.WAYS),
        ("rows.c", "GROUPS", bounds.GROUPS),
        ("rows.c", "SINGLES", bounds.SINGLES),
        ("rows.c", "DENSE_ROWS", dense.ROWS_AT_ONCE),
        ("rows.c", "MOST_DENSE_ROWS", dense.MOST_ROWS),
        ("rows.c", "AT_A_LOOK", neighbors.AT_A_LOOK),
        ("words.c", "END", ord(words.END)),
        ("words.c", "POINTS", word_chars.POINTS),
        ("words.c", "BLOCK_BITS", word_chars.BLOCK_BITS),
    ],
)
def test_a_number_of_the_cpu_is_the_same_in_c(file: str, name: str, value: int) -> None:
    assert set(macros(C / file, name)) == {value}


def test_vectors_are_as_wide_as_the_library_takes_them() -> None:
    widths = macros(C / "rows.c", "VECTOR_BYTES")
    assert widths == [*library.NARROW_BYTES, library.LINE_BYTES]
    assert min(macros(C / "rows.c", "MOST_VECTORS")) == csr.MOST_VECTORS
    assert f"#define LINE ({library.LINE_BYTES} / sizeof(REAL))" in source(C / "names.h")
    # A vector of the changes of clusters: the groups twice, and the single ones.
    numbers = 2 * bounds.GROUPS + bounds.SINGLES
    assert numbers * ctypes.sizeof(ctypes.c_double) == library.LINE_BYTES


@pytest.mark.parametrize(
    ("kernels", "module", "name"),
    [
        ("rows.cu", "rows.py", "WARP"),
        ("rows.cu", "rows.py", "TILE"),
        ("neighbors.cu", "rows.py", "WARP"),
    ],
)
def test_a_number_of_the_gpu_is_the_same_in_cuda(kernels: str, module: str, name: str) -> None:
    assert macros(CUDA / "kernels" / kernels, name) == [constant(CUDA / module, name)]


def test_norms_have_the_same_numbers_everywhere() -> None:
    numbers = {
        norm: macros(CUDA / "kernels" / "weigh.cu", name)[0]
        for norm, name in ((None, "NO_NORM"), ("l1", "L1"), ("l2", "L2"))
    }
    assert numbers == words.NORMS == constant(CUDA / "text.py", "_NORMS")
    assert set(numbers) == set(NORMS)
    weigh = re.findall(r"norm == (\d)", source(C / "weigh.c"))
    assert {int(number) for number in weigh} == {numbers[None], numbers["l2"]}  # else l1


def test_states_of_a_list_have_the_same_numbers() -> None:
    (states,) = re.findall(r"enum State \{(.*?)\}", source(CUDA / "kernels" / "lists.cu"))
    numbers = {name: int(number) for name, number in re.findall(r"(\w+) = (\d+)", states)}
    for name in ("UNREAD", "EMPTY"):
        assert numbers[name] == constant(CUDA / "lists.py", name)


# -- structures ------------------------------------------------------------------------------


def fields(path: Path, name: str) -> list[tuple[str, str]]:
    """Fields of a structure, in order: names, and their types or ``"pointer"``."""
    (body,) = re.findall(r"typedef struct \{([^}]*)\} " + name + ";", source(path))
    listed = []
    for line in filter(None, map(str.strip, body.split(";"))):
        kind, declared = re.findall(r"^(?:const )?(\w+)(.*)$", line, re.DOTALL)[0]
        for field in declared.split(","):
            listed.append((field.strip(" *"), "pointer" if "*" in field else kind))
    return listed


@pytest.mark.parametrize(
    ("structure", "file", "name"),
    [(sums._SumsOfC, "sums_impl.h", "SUMS"), (words._Words, "dictionary.h", "dictionary")],
)
def test_a_structure_has_the_fields_that_it_has_in_c(
    structure: type[ctypes.Structure], file: str, name: str
) -> None:
    types = {"int64_t": ctypes.c_int64, "uint64_t": ctypes.c_uint64, "pointer": ctypes.c_void_p}
    expected = [(field, types[kind]) for field, kind in fields(C / file, name)]
    assert [*structure._fields_] == expected


# -- arguments -------------------------------------------------------------------------------

FUNCTION = re.compile(
    r"^(?:EACH_STEP_ROUNDED )?void (?:NAMED\((\w+)\)|(\w+))\(([^)]*)\)\s*\{", re.MULTILINE
)


def functions() -> dict[str, tuple[bool, list[str]]]:
    """Functions that the library has: whether one for each width and kind, and their arguments."""
    return {
        named or plain: (bool(named), [argument.strip() for argument in arguments.split(",")])
        for path in sorted(C.glob("*.[ch]"))
        if path.name != "thread_pool.h"
        for named, plain, arguments in FUNCTION.findall(source(path))
    }


def test_every_function_of_the_library_is_declared_and_no_other() -> None:
    made = functions()
    assert {name for name, (many, _) in made.items() if many} == set(library.PARAMETERS)
    assert {name for name, (many, _) in made.items() if not many} == set(library.PLAIN_PARAMETERS)


@pytest.mark.parametrize("name", [*library.PARAMETERS, *library.PLAIN_PARAMETERS])
def test_a_function_takes_the_arguments_that_it_takes_in_c(name: str) -> None:
    """Integers of 64 bits first, and then pointers."""
    many, arguments = functions()[name]
    integers, pointers = (library.PARAMETERS if many else library.PLAIN_PARAMETERS)[name]
    kinds = ["pointer" if "*" in argument else argument.split()[0] for argument in arguments]
    assert kinds == ["int64_t"] * integers + ["pointer"] * pointers


def test_what_is_asked_of_the_library_itself_has_the_type_that_it_has_in_c() -> None:
    rows = source(C / "rows.c")
    assert "uint32_t sources(void)" in rows
    assert len(re.findall(r"int32_t widest_vectors\(void\)", rows)) == 2  # ctypes' own int
    assert ctypes.sizeof(ctypes.c_int) == 4
