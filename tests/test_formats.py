"""Files that people have: delimiters, encodings, gzip, JSON lines and Excel, found by looking."""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from workbooks import Day, Formula, workbook

from gpu_kmeans import errors
from gpu_kmeans.data.catalogue import load_catalogue
from gpu_kmeans.tables.json_array import lines_of_array

TEXTS = {"id": [1, 2], "text": ["two toys, one room", "a driver; tired"]}
DELIMITERS = [",", ";", "\t", "|"]


@pytest.fixture(scope="module")
def load(backend):
    return partial(load_catalogue, backend=backend)


@pytest.fixture
def films(tmp_path: Path):
    """Write a file and return its path."""

    def written(content: str | bytes, name: str = "films.csv") -> Path:
        (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
        return tmp_path / name

    return written


def columns(catalogue: Any) -> dict[str, list[Any]]:
    return catalogue.to_arrow().to_pydict()


def as_csv(rows: list[list[Any]], delimiter: str = ",", end: str = "\r\n") -> str:
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter, lineterminator=end).writerows(rows)
    return out.getvalue()


ROWS = [["id", "overview"], *zip(*TEXTS.values(), strict=True)]

# -- delimiters ------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["", "\n\n"], ids=["fast reader", "strict reader"])
@pytest.mark.parametrize("delimiter", DELIMITERS)
def test_the_delimiter_of_the_header_is_found(load, films, delimiter, end):
    assert columns(load(films(as_csv(ROWS, delimiter) + end))) == TEXTS


@pytest.mark.parametrize(
    "rows",
    [
        [["id", "overview", "a;b"], ["1", "two toys", "x"], ["2", "a driver", "y"]],
        [["id", "overview", "a;b"], ["1", "two toys", "x"], ["2", "a; driver", "y"]],
        [["id", "overview", "a|b"], ["1", "two | toys", "x"], ["2", "a driver", "y;z"]],
    ],
)
def test_signs_in_names_of_columns_are_no_delimiters_where_rows_disagree(load, films, rows):
    assert columns(load(films(as_csv(rows))))["text"] == [row[1] for row in rows[1:]]


def test_what_two_delimiters_read_alike_is_refused_with_the_answer(load, films):
    path = films("id,overview;label\n1,a toy;x\n2,a car;y\n")
    with pytest.raises(errors.UncertainFormat, match=r"^films\.csv .*delimiter=','.*--delimiter"):
        load(path)
    assert columns(load(path, delimiter=",", text="overview;label"))["text"][0] == "a toy;x"
    with pytest.raises(errors.MissingColumn, match="'id,overview', 'label'"):
        load(path, delimiter=";")


def test_rows_at_fault_are_told_of_whatever_the_delimiter(load, films):
    with pytest.raises(errors.CsvMalformed, match=r"row 3 has 3 cells.*hold semicolons"):
        load(films("id;overview\n1;a toy\n2;a car;x\n"))


def test_decimal_commas_are_a_custom_of_a_column_and_not_of_a_cell(load, films):
    path = films("id;overview;popularity\n1;a toy;7,5\n")
    assert "popularity" in load(path).report.left_out
    path = films("id;overview;popularity\n1;a toy;7,5\n2;a ship;8,25\n")
    assert columns(load(path, popularity="popularity"))["popularity"] == [7.5, 8.25]
    path = films("id;overview;popularity\n1;a toy;7,5\n2;a ship;8\n")
    with pytest.raises(errors.NotNumeric, match="'7,5'"):
        load(path, popularity="popularity")


@pytest.mark.parametrize("name", ["films.tsv", "films.tab"])
def test_a_name_may_say_that_tabs_separate(load, films, name):
    path = films("id\toverview, short\n1\ta toy, a car\n", name)
    assert columns(load(path, text="overview, short"))["text"] == ["a toy, a car"]
    with pytest.raises(errors.UncertainFormat, match="tabs"):
        load(films("id,overview\n1,a toy\n", name))


@pytest.mark.parametrize("line", ["sep=;\n", "sep=;\r\n", "SEP=;\n", '"sep=;"\n'])
@pytest.mark.parametrize("end", ["", "\n\n"], ids=["fast reader", "strict reader"])
def test_the_line_that_tells_excel_the_delimiter_is_obeyed_and_no_row(load, films, line, end):
    body = as_csv(ROWS, ";")
    for mark in ("", "\ufeff"):
        assert columns(load(films(mark + line + body + end))) == TEXTS
    with pytest.raises(errors.CsvMalformed, match="row 3 has 1 cells"):
        load(films(line + "id;overview\n1;a\n2\n"))
    with pytest.raises(errors.EmptyDataset):
        load(films(line))


def test_a_bad_byte_after_the_line_for_excel_is_placed_in_the_file(load, films):
    with pytest.raises(errors.InvalidEncoding, match="line 3: byte 21 of the file"):
        load(films(b"sep=;\nid;overview\n1;a\xe9\n"))


@pytest.mark.parametrize("delimiter", [",", ";", "tab", "\\t", "\t", "|", ":", "^", "~", " "])
def test_a_delimiter_can_be_named(load, films, delimiter):
    sign = "\t" if "t" in delimiter else delimiter
    body = as_csv(ROWS, sign)
    assert columns(load(films(body), delimiter=delimiter)) == TEXTS
    assert columns(load(films("sep=;\n" + body), delimiter=delimiter)) == TEXTS


@pytest.mark.parametrize("delimiter", ["", ";;", "a", "1", '"', "\n", "\r", "\0", "é", 1, b";", []])
def test_what_is_no_delimiter_is_refused(load, films, delimiter):
    with pytest.raises(errors.InvalidParam, match="delimiter must be one sign"):
        load(films("id,overview\n1,x\n"), delimiter=delimiter)


cells = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8)


@settings(max_examples=80, deadline=None)
@given(
    rows=st.lists(st.tuples(cells, cells), min_size=1, max_size=6),
    delimiter=st.sampled_from(DELIMITERS),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]),
    packed=st.booleans(),
    line=st.booleans(),
)
def test_any_table_comes_back_from_any_delimiter_and_marked_encoding(
    tmp_path_factory, rows, delimiter, encoding, packed, line
):
    path = tmp_path_factory.mktemp("any") / "films.csv"
    table = [["overview", "title"], *rows]
    content = (f"sep={delimiter}\r\n" if line else "") + as_csv(table, delimiter)
    data = content.encode(encoding)
    path.write_bytes(gzip.compress(data) if packed else data)
    catalogue = load_catalogue(path, backend="cpu").to_arrow()
    assert catalogue["title"].to_pylist() == [title for _, title in rows]


# -- encodings and gzip ------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_an_encoding_with_a_mark_need_not_be_named(load, films, encoding):
    path = films("id,overview\n1,Amélie 種\n".encode(encoding))
    assert columns(load(path))["text"] == ["Amélie 種"]


def test_a_packed_file_is_told_by_its_content(load, films):
    for name in ("films.csv.gz", "films.csv", "films.gz", "films"):
        assert columns(load(films(gzip.compress(as_csv(ROWS).encode()), name))) == TEXTS
    lines = b'{"id": 1, "overview": "a toy"}\n'
    for name in ("films.jsonl.gz", "films"):
        assert columns(load(films(gzip.compress(lines), name)))["text"] == ["a toy"]


def test_a_large_packed_file_is_read_whole(load, films):
    rows = [["id", "overview"], *([str(n), f"text {n} é"] for n in range(30_000))]
    path = films(gzip.compress(as_csv(rows, ";").encode()), "films.csv.gz")
    assert columns(load(path))["text"] == [text for _, text in rows[1:]]


@pytest.mark.parametrize("cut", [11, 40, -3])
def test_half_a_packed_file_is_refused(load, films, cut):
    content = gzip.compress(as_csv([["id", "overview"], *([n, n] for n in range(999))]).encode())
    with pytest.raises(errors.FileProblem, match=r"^films\.csv\.gz is not a whole gzip file"):
        load(films(content[:cut], "films.csv.gz"))


def test_a_packed_parquet_file_is_refused_with_the_way_out(load, films, tmp_path):
    pq.write_table(pa.table({"overview": ["x"]}), tmp_path / "films.parquet")
    content = gzip.compress((tmp_path / "films.parquet").read_bytes())
    with pytest.raises(errors.UnsupportedFileType, match="Parquet packed with gzip; unpack it"):
        load(films(content, "films.gz"))


def test_a_path_may_begin_at_home(load, films, monkeypatch, tmp_path):
    films("id,overview\n1,a toy\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert columns(load("~/films.csv"))["text"] == ["a toy"]
    with pytest.raises(errors.FileProblem, match="no such file"):
        load("~no-such-user/films.csv")


# -- JSON lines --------------------------------------------------------------------------------


def test_json_lines_become_the_texts_that_a_csv_holds(load, films):
    rows = [
        {"id": 7, "overview": "a toy", "genres": ["A", "B"], "popularity": 1.5, "title": True},
        {"overview": None, "id": 8, "genres": [{"id": 1, "name": "C"}], "title": "x\ny"},
        {"id": 9, "popularity": 3, "genres": None, "more": {"a": [1]}},
    ]
    content = "\n\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    found = columns(load(films(content, "films.jsonl")))
    assert found == {
        "id": [7, 8, 9],
        "text": ["a toy", "", ""],
        "title": ["True", "x\ny", ""],
        "popularity": [1.5, 0.0, 3.0],
        "genres": [["A", "B"], ["C"], []],
    }


def test_ids_of_many_digits_keep_them_all(load, films):
    ids = ["123456789012345678901234567890", "123456789012345678901234567891"]
    rows = "".join(f'{{"id": {one}, "overview": "x"}}\n' for one in ids)
    assert columns(load(films(rows)))["id"] == ids


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "not a JSON object"),
        ('{"overview": "x"', "not a JSON object"),
        ('{"overview": "x"} {"overview": "y"}', "Extra data"),
        ('["x"]', "no object in braces"),
        ("7", "no object in braces"),
        ('{"overview": NaN}', "NaN is no JSON; write null"),
        ('{"overview": "x", "overview": "y"}', "a name stands twice"),
        ('{"overview": "\\ud800"}', "half of a pair of surrogates"),
        ('{"overview": ["\\ud800"]}', "half of a pair of surrogates"),
        ('{"overview": ' + "9" * 5000 + "}", "digits"),
        ('{"overview": ' + "[" * 100_000 + "}", "nested too deeply"),
        ('{"overview": "\0"}', "NUL"),
    ],
)
def test_a_line_that_is_no_object_is_refused_with_its_number(load, films, line, said):
    path = films('{"overview": "x"}\n\n' + line + '\n{"overview": "x"}\n', "films.jsonl")
    with pytest.raises(errors.MalformedJson, match=r"^films\.jsonl, line 3 ") as caught:
        load(path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


JSON_ROWS = [
    {"id": 1, "overview": 'a ] "ship", \\', "genres": [{"name": "A, [B]"}], "popularity": 1.5},
    {"id": 2, "overview": "a\nhouse {", "genres": [], "more": {"a": [1, {"b": "]"}]}},
]


@pytest.mark.parametrize("indent", [None, 0, 3])
@pytest.mark.parametrize("name", ["films.json", "films.jsonl", "films"])
def test_an_array_of_objects_is_the_table_of_its_lines(load, films, indent, name):
    lines = columns(load(films("\n".join(map(json.dumps, JSON_ROWS)), "lines.jsonl")))
    content = f"\n {json.dumps(JSON_ROWS, indent=indent, ensure_ascii=False)}\n\n"
    assert columns(load(films(content, name))) == lines


@given(
    st.lists(
        st.dictionaries(
            st.text(max_size=4),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.text(max_size=6),
                lambda values: (
                    st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=3), values)
                ),
                max_leaves=6,
            ),
            max_size=3,
        ),
        max_size=5,
    ),
    st.sampled_from([None, 0, 2]),
    st.integers(1, 9),
)
def test_any_array_comes_out_element_by_element(rows, indent, block):
    content = json.dumps(rows, indent=indent, ensure_ascii=False).encode()
    with mock.patch("gpu_kmeans.tables.json_array.BLOCK_BYTES", block):
        lines = lines_of_array(io.BufferedReader(io.BytesIO(content)), "x").readlines()
    assert [json.loads(line) for line in lines if line.strip()] == rows


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('[{"id": 1, "overview": "x"}', "films.json ends within an array"),
        ('[{"id": 1, "overview": "x', "films.json ends within an array"),
        ('[\n{"id": 1, "overview": "x"},\n]', "films.json, line 3 is not a JSON object"),
        ('[\n\n{"overview": "x"},\n\n{\n"overview": \n7 8}\n]', "films.json, line 5 is not"),
        ('[{"overview": "x"},, {"overview": "x"}]', "films.json, line 2 is not a JSON object"),
        ('[{"overview": "x"} {"overview": "x"}]', "films.json, line 1 is not a JSON object"),
        ('[{"overview": "x"}] []', "films.json, line 1 is not a JSON object"),
        ('[{"overview": "x"}, 7]', "films.json, line 2 is not a JSON object"),
        ('[{"overview": 1\n2}]', "films.json, line 1 is not a JSON object"),
    ],
)
def test_an_array_that_is_not_whole_is_refused_with_its_place(load, films, content, said):
    with pytest.raises(errors.MalformedJson) as caught:
        load(films(content, "films.json"))
    assert str(caught.value).startswith(said)


def test_an_array_of_nothing_is_empty(load, films):
    for content in ("[]", " [\n] ", "["):
        with pytest.raises((errors.EmptyDataset, errors.MalformedJson)):
            load(films(content, "films.json"))


def test_json_lines_without_an_object_or_the_column_are_refused(load, films):
    for content in ("", "\n \n"):
        with pytest.raises(errors.EmptyDataset):
            load(films(content, "films.jsonl"))
    with pytest.raises(errors.MissingColumn, match="found 'id', 'plot'"):
        load(films('{"id": 1}\n{"plot": "x"}\n'))
    with pytest.raises(errors.MalformedJson, match="line 1"):
        load(films('{\n  "id": 1\n}\n'))


def test_a_byte_that_is_not_utf8_is_placed_in_json_lines_too(load, films):
    with pytest.raises(errors.InvalidEncoding, match="line 2: byte 32"):
        load(films(b'{"overview": "x"}\n{"overview": "\xe9"}\n'))
    content = '{"overview": "\u201cé\u201d"}\n'.encode("windows-1252")
    assert columns(load(films(content), encoding="windows-1252"))["text"] == ["\u201cé\u201d"]


# -- Excel -------------------------------------------------------------------------------------


@pytest.fixture
def excel():
    return pytest.importorskip("python_calamine", reason='needs pip install ".[excel]"')


def test_a_workbook_becomes_the_texts_that_a_csv_holds(load, films, excel):
    rows = [
        ["id", "overview", "popularity", "title", "release_date", "genres", None],
        [7, "a toy,\n<a> car", 1.5, True, Day(43832), '["A"]'],
        [8, None, None, 12.0, Day(43833), "[]", "a note"],
        [9, Formula("1+1"), 0.25, "007", None, None],
        [],
    ]
    content = workbook(rows, [])
    found = columns(load(films(content, "films.xlsx"), text="overview"))
    assert found == {
        "id": [7, 8, 9],
        "text": ["a toy,\n<a> car", "", "42"],
        "popularity": [1.5, 0.0, 0.25],
        "title": ["True", "12", "007"],
        "date": ["2020-01-02", "2020-01-03", ""],
        "genres": [["A"], [], []],
    }


def test_a_workbook_of_several_sheets_is_refused_with_their_names(load, films, excel):
    sheet = [["overview"], ["a toy"]]
    with pytest.raises(errors.UncertainFormat, match=r"2 sheets .*'S1', 'S3'.*save the one"):
        load(films(workbook(sheet, [], sheet), "films.xlsx"))
    assert columns(load(films(workbook([], sheet), "films.xlsx")))["text"] == ["a toy"]


@pytest.mark.parametrize(
    ("sheet", "error"),
    [
        ([], errors.EmptyDataset),
        ([["overview"]], errors.EmptyDataset),
        ([["overview", "id"], [None, None]], errors.EmptyDataset),
        ([[None], ["a report"], ["overview"], ["x"]], errors.InvalidHeader),
        ([["overview", "overview"], ["x", "y"]], errors.InvalidHeader),
        ([["plot"], ["x"]], errors.MissingColumn),
    ],
)
def test_a_sheet_that_is_no_table_is_refused(load, films, excel, sheet, error):
    with pytest.raises(error, match=r"^films\.xlsx"):
        load(films(workbook(sheet), "films.xlsx"))


def test_a_damaged_workbook_is_refused(load, films, excel):
    content = bytearray(workbook([["overview"], ["x"]] * 50))
    place = content.find(b"sheetData") if b"sheetData" in content else 60
    content[place : place + 20] = b"\xff" * 20
    with pytest.raises(errors.InputError, match=r"^films\.xlsx"):
        load(films(bytes(content), "films.xlsx"))


def test_without_a_reader_of_workbooks_its_extra_is_named(load, films, monkeypatch):
    monkeypatch.setitem(sys.modules, "python_calamine", None)
    with pytest.raises(errors.UnsupportedFileType) as caught:
        load(films(workbook([["overview"], ["x"]]), "films.xlsx"))
    assert 'pip install ".[excel]"' in str(caught.value)


# -- the same table in every format ---------------------------------------------------------------

words = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Zs"]), max_size=12)
items = st.fixed_dictionaries(
    {
        "title": words.filter(lambda text: not text.startswith("_x")),
        "overview": words.filter(lambda text: "_x" not in text),
        "popularity": st.none() | st.floats(0, 1e6, width=32) | st.integers(0, 10**6),
        "vote_count": st.integers(0, 10**6),
        "genres": st.lists(words, max_size=3),
    }
)


def written(folder: Path, rows: list[dict[str, Any]]) -> list[Path]:
    """Write a table in every format that is read."""
    names = list(rows[0])
    cells = [
        [json.dumps(cell) if isinstance(cell, list) else cell for cell in map(row.get, names)]
        for row in rows
    ]
    text = as_csv([names, *cells])
    files = {
        "comma.csv": text.encode(),
        "semicolon.csv": as_csv([names, *cells], ";").encode("utf-16"),
        "tab.tsv": ("sep=\t\n" + as_csv([names, *cells], "\t")).encode("utf-8-sig"),
        "bar.txt": as_csv([names, *cells], "|", "\n").encode(),
        "packed.csv.gz": gzip.compress(text.encode()),
        "lines.jsonl": "\n".join(json.dumps(row) for row in rows).encode(),
        "lines.ndjson.gz": gzip.compress(
            "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
        ),
    }
    if find_spec("python_calamine"):
        files["sheet.xlsx"] = workbook([names, *cells])
    for name, content in files.items():
        (folder / name).write_bytes(content)
    table = {name: [row[name] for row in rows] for name in names}
    table["popularity"] = [None if cell is None else float(cell) for cell in table["popularity"]]
    pq.write_table(pa.table(table), folder / "table.parquet")
    return [folder / name for name in (*files, "table.parquet")]


@settings(max_examples=8, deadline=None)
@given(rows=st.lists(items, min_size=1, max_size=5))
def test_the_same_table_is_the_same_catalogue_in_every_format(tmp_path_factory, rows):
    rows = [{"id": place, **row} for place, row in enumerate(rows, start=7)]
    first, *others = written(tmp_path_factory.mktemp("formats"), rows)
    expected = load_catalogue(first, backend="cpu")
    assert expected.to_arrow()["id"].to_pylist() == [row["id"] for row in rows]
    assert expected.to_arrow()["text"].to_pylist() == [row["overview"] for row in rows]
    for path in others:
        catalogue = load_catalogue(path, backend="cpu")
        assert catalogue.to_arrow().equals(expected.to_arrow()), path.name
        assert catalogue.report.filled == expected.report.filled, path.name
        warnings = [said.replace(path.name, first.name) for said in catalogue.report.warnings]
        assert warnings == list(expected.report.warnings), path.name
