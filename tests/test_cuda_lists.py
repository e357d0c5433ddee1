"""Lists read by the GPU's kernels, run on the CPU, against the host's reader.

This is not a run on a GPU: it proves what the kernels make of bytes, and nothing about a
device. Whatever a cell holds, either the kernels leave it to the host, or they give the names
that :func:`gpu_kmeans.data.json_lists.read_lists` gives. What :mod:`test_catalogue` states of lists
is tested here too, on a backend that reads them so.
"""

from __future__ import annotations

import csv
import importlib
import json
import sys
from collections.abc import Iterator, Sequence
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from cuda_on_cpu import cupy_on_numpy
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from test_catalogue import (  # noqa: F401 - the contract of lists, on the backend of this module
    load,
    test_credits_are_joined_by_id_and_everything_unmatched_is_counted,
    test_credits_may_match_nothing_and_hold_no_lists,
    test_empty_list_cells_are_counted,
    test_equal_list_cells_are_read_and_counted_each,
    test_list_cells_are_read_as_names,
    test_list_cells_of_any_shape_are_the_same_on_every_backend,
    test_list_cells_of_credits_are_checked_even_where_the_row_is_dropped,
    test_other_list_cells_are_refused_with_their_place,
    test_parquet_columns_of_nulls_alone_are_empty_and_counted,
    test_parquet_text_may_be_of_any_arrow_text_type,
    test_parquet_with_typed_columns_gives_the_same_catalogue_as_csv,
    test_the_sample_is_the_same_catalogue_on_every_backend,
    test_the_tmdb_files_are_the_same_catalogue_on_every_backend,
    write,
)

from cpu_fallback import CpuBackend
from gpu_kmeans.backends.protocol import NamesRead
from gpu_kmeans.data.catalogue import load_catalogue
from gpu_kmeans.data.json_lists import DIRECTOR, directors, every_name, read_lists
from gpu_kmeans.data.sample import paths
from gpu_kmeans.errors import InvalidJsonCell, OutOfDeviceMemory

few = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
PICKS = {None: every_name, DIRECTOR: directors}


@pytest.fixture(scope="module")
def device() -> Iterator[ModuleType]:
    with cupy_on_numpy():
        yield importlib.import_module("gpu_kmeans.cuda.lists")


@pytest.fixture(scope="module")
def backend(device):
    """The CPU backend, its lists read by the GPU's kernels."""

    class Backend(CpuBackend):
        name = "gpu"

        def names_in_lists(self, frame: Any, column: str, job: str | None) -> NamesRead | None:
            cells = pa.array(frame[column])
            if not pa.types.is_string(cells.type) and not pa.types.is_large_string(cells.type):
                return None
            return read(device, cells.to_pylist(), job)

    return Backend()


def read(device: ModuleType, cells: Sequence[str | bytes | None], job: str | None) -> NamesRead:
    """Read cells that stand between others in one buffer, a null with bytes of its own."""
    contents = [
        b'["of a null"]' if cell is None else cell.encode() if isinstance(cell, str) else cell
        for cell in cells
    ]
    before, after = b'["before", "', b'"]}, "after"]'
    chars = np.frombuffer(before + b"".join(contents) + after, np.uint8)
    offsets = len(before) + np.cumsum([0, *map(len, contents)], dtype=np.int64)
    valid = np.array([cell is not None for cell in cells], np.uint8)
    found = device.read_names(chars, offsets, valid, job)
    assert found is not None
    return found


def assert_right_or_unread(
    device: ModuleType, cells: Sequence[str | bytes | None], job: str | None = None
) -> NamesRead:
    found = read(device, cells, job)
    found.names.validate(full=True)
    empty = 0
    for cell, names, unread in zip(cells, found.names.to_pylist(), found.unread, strict=True):
        if unread:
            assert names == []
            continue
        text = cell.decode() if isinstance(cell, bytes) else cell
        (expected,), is_empty = read_lists([text], "f.csv", "c", PICKS[job])
        assert names == expected, cell
        empty += is_empty
    assert found.empty == empty
    return found


# -- cells of any kind -----------------------------------------------------------------

jobs = st.sampled_from([None, DIRECTOR])
texts = st.text(max_size=8) | st.sampled_from(["name", "job", DIRECTOR, "", 'a "b"', "Zoë", "🎬"])
keys = st.sampled_from(["name", "name", "job", "id", "na", "names", ""]) | texts
numbers = st.integers() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False)
anything = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=8,
)
usual_members = texts | st.fixed_dictionaries(
    {"id": st.integers(0, 2**53), "name": texts},
    optional={"job": texts | st.none(), "character": texts, "gender": st.none() | st.booleans()},
)
some_json = st.builds(
    lambda value, ascii, indent, comma: json.dumps(
        value, ensure_ascii=ascii, indent=indent, separators=(comma, ": ")
    ),
    st.lists(usual_members | anything, max_size=4) | anything,
    st.booleans(),
    st.sampled_from([None, 1, "\t"]),
    st.sampled_from([",", " ,\r\n"]),
)
TOKENS = [*"[]{}:,", *"[]{}:,", '"name"', '"job"', '"Director"', '"Bo"', " ", "\n", "null", "true"]
TOKENS += ["false", "0", "-1", "1.5", "1e5", "01", "1.", "-", "NaN", "'a'", "None", '"', "\\", "é"]
TOKENS += ['"\\u00e9"', '"\\ud83d\\ude00"', '"\\ud83d"', '"\\n"', '"\\x"', '"a\nb"', "\0", "\x7f"]
token_soup = st.lists(st.sampled_from(TOKENS), max_size=12).map("".join)


@st.composite
def mutilated(draw: st.DrawFn) -> bytes:
    """JSON with a few bytes changed, dropped, doubled or cut off."""
    content = bytearray(draw(some_json).encode())
    assume(content)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(content)))
        byte = draw(st.sampled_from(b'[]{}",:\\nu0dname \x00\x1f\x80\xc0\xed\xf4\xff'))
        content[at : at + draw(st.integers(0, 2))] = bytes([byte][: draw(st.integers(0, 1))])
    return bytes(content[: draw(st.integers(0, len(content)) | st.just(len(content)))])


@few
@given(st.lists(st.none() | some_json | token_soup | st.text(max_size=8), min_size=1), jobs)
def test_any_cell_is_read_as_the_host_reads_it_or_left_to_it(device, cells, job):
    assert_right_or_unread(device, cells, job)


@few
@given(st.lists(mutilated(), min_size=1), jobs)
def test_any_bytes_are_read_as_the_host_reads_them_or_left_to_it(device, cells, job):
    assert_right_or_unread(device, cells, job)


@few
@given(st.lists(st.lists(usual_members, max_size=4), min_size=1), st.booleans())
def test_usual_lists_are_read_whatever_their_texts(device, lists, ascii):
    cells = [json.dumps(members, ensure_ascii=ascii) for members in lists]
    assert not assert_right_or_unread(device, cells).unread.any()


@pytest.mark.parametrize(
    ("cell", "names"),
    [
        ("[]", []),
        ("\t[\r\n] ", []),
        ('["a", "b"]', ["a", "b"]),
        ('[""]', [""]),
        ('[{"name": "a", "name": "b"}]', ["b"]),
        ('[{"name": 1, "name": "b"}]', ["b"]),
        ('[{"name": [], "name": "b"}]', ["b"]),
        ('[{"of": {"name": "inner"}, "name": "a", "in": [{"name": "x"}]}]', ["a"]),
        ('[{"name": "a", "n": [0, -0, 1.5, 1e9, 2E-9, 1.25e+99, 12345678901234567890]}]', ["a"]),
        ('[{"name": "a", "n": ' + "9" * 64 + "." + "9" * 64 + "e99}]", ["a"]),
        ('[{"name": "a", "n": [true, false, null, {}, [], [[]], {"": {}}]}]', ["a"]),
        (r'["\"\\\/\b\f\n\r\t"]', ['"\\/\b\f\n\r\t']),
        (r'["\u0000\u007f\u0080\u07ff\u0800\uFFFF"]', ["\0\x7f\x80\u07ff\u0800\uffff"]),
        (r'["\ud800\udc00\uDBFF\uDFFF"]', ["\U00010000\U0010ffff"]),
        ('["\x7f é 星 🎬"]', ["\x7f é 星 🎬"]),
        ('[{"name": "a", "deep": ' + "[" * 62 + "]" * 62 + "}]", ["a"]),
        (json.dumps([{"name": f"n{i}"} for i in range(3000)]), [f"n{i}" for i in range(3000)]),
    ],
)
def test_plain_lists_are_read_on_the_device(device, cell, names):
    found = read(device, [cell], None)
    assert not found.unread.any()
    assert found.names.to_pylist() == [names]
    assert_right_or_unread(device, [cell])


@pytest.mark.parametrize(
    "cell",
    [
        *(
            "Drama",
            '"a"',
            "5",
            "true",
            "{}",
            "nul",
            "nullx",
            "[",
            "]",
            "[]]",
            "[] x",
            '["a"',
        ),
        *("[,]", '["a",]', '["a" "b"]', '[{"name": "a",}]', '[{"name" "a"}]', '[{name: "a"}]'),
        *("[{'name': 'a'}]", "['a']", "[None]", "[NaN]", "[1]", "[null]", "[[]]", '[["a"]]'),
        *("[{}]", '[{"id": 1}]', '[{"name": null}]', '[{"name": 5}]', '[{"name": ["a"]}]'),
        *(
            '[{"name": "a", "name": 1}]',
            '[{"name": "a", "name": []}]',
            '[{"name": "a"}, ["b"]]',
            '[{"name": "a"}, {}]',
            '[{"name": "a"]',
            '["a"}',
            '[{"name": "a"}}',
        ),
        *(f'[{{"name": "a", "n": {n}}}]' for n in ("01", "1.", ".5", "+1", "-", "1e", "0x1")),
        *(
            f'[{{"name": "a", "n": {n}}}]'
            for n in ("1e999", "9" * 400, "9" * 5000, "Infinity", "tru")
        ),
        *(r'["\x41"]', r'["\u12"]', r'["\u12g4"]', r'["\ud800"]', r'["\udc00"]', '["\\'),
        *(
            r'["\ud800\u0041"]',
            r'["\ud800x"]',
            r'["\udc00\udc00"]',
            '["a\nb"]',
            '["a\tb"]',
            '["a\0"]',
            '["\x1f"]',
        ),
        *("\ufeff[]", "\u00a0[]", "[]\u00a0", "[]\x0b", "\x0c", "[]\0", "/**/[]", "[]//"),
        '[{"name": "a", "deep": ' + "[" * 70 + "]" * 70 + "]]",
        *("[" * 101 + "]" * 101, "[" * 5000 + "]" * 5000, "[" * 5000, '[{"a":' * 5000),
        *(b'["\x80"]', b'["\xc0\xaf"]', b'["\xe0\x80\xaf"]', b'["\xed\xa0\x80"]', b'["\xff"]'),
        *(
            b'["\xf0\x80\x80\xaf"]',
            b'["\xf4\x90\x80\x80"]',
            b'["\xe6\x98"]',
            b'["\xe6\x98',
            b'["\xc3',
        ),
    ],
)
def test_what_the_host_would_refuse_is_left_to_it(device, cell):
    for job in PICKS:
        assert read(device, [cell], job).unread.all()
    if isinstance(cell, str) and cell.strip():
        with pytest.raises(InvalidJsonCell):
            read_lists([cell], "f.csv", "c")


def test_null_and_empty_cells_hold_no_names_and_are_counted(device):
    found = assert_right_or_unread(device, [None, "", " \t\r\n", "null", "\nnull ", "[]", '["a"]'])
    assert not found.unread.any()
    assert found.empty == 5
    assert found.names.to_pylist() == [[]] * 6 + [["a"]]


@pytest.mark.parametrize(
    ("cell", "names"),
    [
        ('[{"name": "A", "job": "Director"}, {"job": "Editor", "name": "B"}]', ["A"]),
        ('[{"name": "A", "job": "Editor"}, {"name": "B", "job": "Director"}]', ["B"]),
        ('[{"name": "A", "job": "Director "}, {"name": "B", "job": "director"}]', []),
        ('[{"name": "A", "job": "Editor", "job": "Director"}]', ["A"]),
        ('[{"name": "A", "job": "Editor"}, "B", {"name": "C"}]', []),
        ('[{"name": "A", "job": ""}, {"name": "B", "job": null}, {"name": "C"}, "D"]', [*"ABCD"]),
        ('[{"name": "A", "job": "Editor", "job": null}]', ["A"]),
        ('[{"name": "A", "job": "Director"}, {"name": "B"}, {"name": "C", "job": null}]', ["A"]),
        ('[{"name": "A", "of": {"job": "Director"}}]', ["A"]),
        ('[{"name": "A", "of": [{"job": "Director"}], "job": "x"}]', []),
        ("[]", []),
    ],
)
def test_the_names_with_a_job_are_kept_where_jobs_are_given(device, cell, names):
    found = assert_right_or_unread(device, [cell], DIRECTOR)
    assert not found.unread.any()
    assert found.names.to_pylist() == [names]


@pytest.mark.parametrize(
    "cell", [r'[{"n\u0061me": "x", "name": "y"}]', r'[{"name": "y", "\n": 1}]']
)
def test_keys_with_escapes_are_left_to_the_host(device, cell):
    assert read(device, [cell], None).unread.all()


def test_jobs_that_are_no_plain_text_are_left_to_the_host(device):
    jobs = ["0", "1", "[]", "{}", "true", "false", r'"\u0044irector"']
    cells = [f'[{{"name": "A", "job": {job}}}]' for job in jobs]
    assert read(device, cells, DIRECTOR).unread.all()
    assert not read(device, cells, None).unread.any()


def test_more_names_than_arrow_can_hold_are_left_to_the_host(device, monkeypatch):
    cells = ['["ab", "cd"]', '["ef"]']
    chars = np.frombuffer("".join(cells).encode(), np.uint8)
    offsets = np.cumsum([0, *map(len, cells)], dtype=np.int64)
    valid = np.ones(2, np.uint8)
    for most, fits in ((6, True), (5, False), (2, False)):
        monkeypatch.setattr(device, "MOST", most)
        assert (device.read_names(chars, offsets, valid, None) is not None) == fits


# -- the column's memory ---------------------------------------------------------------


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
@pytest.mark.parametrize("nulls", [False, True])
@pytest.mark.parametrize(("start", "stop"), [(0, 40), (3, 40), (8, 17), (13, 39), (39, 40)])
def test_slices_nulls_and_wide_offsets_are_seen_as_arrow_sees_them(
    device, monkeypatch, kind, nulls, start, stop
):
    texts = [f'["n{i}"]' * (i % 4 > 0) for i in range(40)]
    cells = pa.array([None if nulls and i % 5 == 0 else t for i, t in enumerate(texts)], kind)
    part = cells.slice(start, stop - start)
    monkeypatch.setitem(sys.modules, "pylibcudf", SimpleNamespace(TypeId=IDS))
    monkeypatch.setattr(device, "_view", lambda span, kind: np.frombuffer(span or b"", kind))
    frame = {"c": SimpleNamespace(to_pylibcudf=lambda: (_column(part), {}))}
    found = device.names_in_lists(frame, "c", None)
    assert not found.unread.any()
    assert found.names.to_pylist() == read_lists(part.to_pylist(), "f.csv", "c")[0]


def test_other_types_and_no_rows_are_left_to_the_host(device, monkeypatch):
    monkeypatch.setitem(sys.modules, "pylibcudf", SimpleNamespace(TypeId=IDS))
    for column in (_column(pa.array([], pa.string())), _column(pa.array(["x"]), id="LIST")):
        frame = {"c": SimpleNamespace(to_pylibcudf=lambda column=column: (column, {}))}
        assert device.names_in_lists(frame, "c", None) is None


def test_too_little_memory_says_which_column_and_the_way_out(device, monkeypatch):
    def no_room(*arguments: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(device, "_strings", no_room)
    with pytest.raises(OutOfDeviceMemory, match=r"column 'genres'.*backend='cpu'"):
        device.names_in_lists({"genres": None}, "genres", None)


IDS = SimpleNamespace(STRING="STRING", INT64="INT64")


def _column(cells: pa.Array, id: str = "STRING") -> Any:
    """What stands for a pylibcudf column: the same three buffers, not sliced, and an offset."""
    mask, offsets, chars = cells.buffers()
    wide = pa.types.is_large_string(cells.type)
    child = SimpleNamespace(
        type=lambda: SimpleNamespace(id=lambda: "INT64" if wide else "INT32"),
        data=lambda: offsets,
        offset=lambda: 0,
    )
    return SimpleNamespace(
        type=lambda: SimpleNamespace(id=lambda: id),
        size=lambda: len(cells),
        offset=lambda: cells.offset,
        child=lambda index: child,
        null_mask=lambda: mask,
        data=lambda: chars,
    )


# -- real columns ----------------------------------------------------------------------


def _assert_all_read(device: ModuleType, path: Any, columns: dict[str, str | None]) -> None:
    """Escapes stand in names and characters alone, where they are resolved: all can be read."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for column, job in columns.items():
        cells = [row[column] for row in rows]
        found = read(device, cells, job)
        assert not found.unread.any(), column
        expected, empty = read_lists(cells, "f.csv", column, PICKS[job])
        assert found.names.to_pylist() == expected
        assert found.empty == empty


def test_every_list_of_the_sample_is_read_on_the_device(device):
    movies, credits = paths()
    _assert_all_read(device, movies, {"keywords": None, "genres": None})
    _assert_all_read(device, credits, {"cast": None, "crew": DIRECTOR})


def test_every_list_of_tmdb_is_read_on_the_device(device, tmdb):
    _assert_all_read(device, tmdb / "tmdb_5000_movies.csv", {"keywords": None, "genres": None})
    _assert_all_read(device, tmdb / "tmdb_5000_credits.csv", {"cast": None, "crew": DIRECTOR})


def test_only_cells_left_unread_come_to_the_host(backend, monkeypatch, tmp_path):
    path = tmp_path / "films.csv"
    cells = ['["a"]', r'[{"n\u0061me": "b"}]', '["c"]', r'[{"n\u0061me": "d"}]']
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("id", "overview", "genres"), *((c, "x", c) for c in cells)])
    moved: list[tuple[list[str], int]] = []

    def to_host(frame: Any) -> Any:
        moved.append((list(frame.columns), len(frame)))
        return CpuBackend.to_host(backend, frame)

    monkeypatch.setattr(backend, "to_host", to_host)
    catalogue = load_catalogue(path, backend=backend)
    assert [rows for columns, rows in moved if columns == ["genres"]] == [2]
    assert all(len(columns) == 1 for columns, _ in moved)
    assert catalogue.to_arrow()["genres"].to_pylist() == [["a"], ["b"], ["c"], ["d"]]
