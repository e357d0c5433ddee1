"""What a file gets that is not a table: one error, naming the place and the way out.

Over every backend that is present: what is refused, and in which words, is the same on each.
"""

from __future__ import annotations

import csv
import io
import os
import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_kmeans import errors
from gpu_kmeans.tables.strict_csv import read_csv

COLUMNS = ("id", "title", "overview")
BY_THE_STRICT_READER = "\n\n"
"""Blank lines at a file's end: it is read all the same, and by no faster reader."""


@pytest.fixture(scope="module")
def table(backend):
    """Read a file with the backend and bring what was read to the host."""

    def read(path: Path, columns=COLUMNS, optional=()) -> pa.Table:
        return backend.to_host(backend.read_table(path, columns, optional))

    return read


@pytest.fixture(scope="module")
def read(table):
    """Write a file and read it."""

    def written(folder: Path, content: bytes | str, name: str = "films.csv") -> pa.Table:
        path = folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return table(path)

    return written


@pytest.fixture(scope="module")
def refusal(read):
    """Code and status of a file's error, and its message, which always names the file only."""

    def refused(folder: Path, content: bytes | str, name: str = "films.csv"):
        with pytest.raises(errors.InputError) as caught:
            read(folder, content, name)
        message = str(caught.value)
        assert message.startswith(name)
        assert str(folder) not in message
        assert "\n" not in message
        return caught.value.code, caught.value.status, message

    return refused


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xef\xbb\xbf",
        b"\n\r\n\n",
        b"id,title,overview",
        b"id,title,overview\n",
        b"\xef\xbb\xbfid,title,overview\r\n\r\n",
    ],
    ids=["zero bytes", "BOM only", "blank lines", "header only", "header line", "BOM and header"],
)
def test_a_file_without_rows_is_an_empty_dataset(refusal, tmp_path, content):
    assert refusal(tmp_path, content)[:2] == ("empty_dataset", 422)


@pytest.mark.parametrize(
    ("content", "found", "hint"),
    [
        ("id,title,plot\n1,A,x\n", "'id', 'title', 'plot'", "rename"),
        ("id;title;plot\n1;A;x, y\n", "'id', 'title', 'plot'", "rename"),
        ('"id"^"title"^"overview"\n1^A^x\n', "id", "rename"),
    ],
)
def test_a_missing_column_is_named_with_those_that_were_found(
    refusal, tmp_path, content, found, hint
):
    code, status, message = refusal(tmp_path, content)
    assert (code, status) == ("missing_column", 422)
    assert "'overview'" in message
    assert found in message
    assert hint in message


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("id,title,overview,title", "columns 2 and 4 are both named 'title'"),
        ("overview,id,title,overview", "columns 1 and 4 are both named 'overview'"),
        ("\nid,title,overview", "row 1 is blank"),
    ],
)
def test_a_blank_header_or_a_wanted_name_twice_is_refused(refusal, tmp_path, header, said):
    code, status, message = refusal(tmp_path, f"{header}\n1,A,x,y\n")
    assert (code, status) == ("invalid_header", 422)
    assert "row 1" in message
    assert said in message


@pytest.mark.parametrize("end", ["\n", BY_THE_STRICT_READER])
@pytest.mark.parametrize(
    ("header", "row"),
    [
        (",id,title,overview", "0,1,A,x"),
        ("id,title,overview, ,", "1,A,x,0,0"),
        ("id,no,title,overview,no", "1,0,A,x,0"),
        ('id,0,1,0_,title,"",overview', "1,0,0,0,A,0,x"),
        ("id,title,date,overview,date", "1,A,0,x,0"),
    ],
)
def test_columns_without_a_name_of_their_own_are_ignored_where_nobody_wants_them(
    table, tmp_path, header, row, end
):
    path = tmp_path / "films.csv"
    path.write_text(f"{header}\n{row}\n{row}{end}")
    assert table(path, COLUMNS, ["date"]).to_pydict() == {
        **{"id": ["1"] * 2, "title": ["A"] * 2, "overview": ["x"] * 2}
    }


@pytest.mark.parametrize(
    ("rows", "row", "said"),
    [
        ("1,A,x\n2,B,y,z\n3,C,w\n", 3, "4 cells and the header has 3"),
        ("1,A,x\n2,B\n", 3, "2 cells and the header has 3"),
        ("1,A,x,\n2,B,y,\n", 2, "4 cells and the header has 3"),
        ("1,A,x\n\n2,B,y\n", 3, "blank"),
        ('1,A,x\n2,B,"y\n3,C,z\n', 3, "never closed"),
        ('1,A,x\n2,"B"b,y\n', 3, "text after a closing quote"),
        ("1,A,x\n2,B\0,y\n", 3, "NUL"),
        ("1,A,x\n2,B\rb,y\n", 3, "carriage return"),
        ('1,"A\nA\nA",x\n2,B\n', 3, "2 cells"),
        ("1,A,x\n   \n", 3, "nothing but spaces; remove the line"),
        ("1,A,x\n\n\r\n \t \r\n\n", 5, "nothing but spaces; remove the line"),
        ("1,A,x\n\n2,B,y\n  \n", 3, "is blank, and rows follow it"),
    ],
    ids=[
        "too long",
        "too short",
        "every row one too long",
        "blank line",
        "open quote",
        "text after quote",
        "NUL",
        "bare carriage return",
        "rows are counted, not lines",
        "spaces at the end",
        "blank lines and spaces at the end",
        "blank line between rows",
    ],
)
def test_a_malformed_row_is_refused_with_its_number(refusal, tmp_path, rows, row, said):
    code, status, message = refusal(tmp_path, "id,title,overview\n" + rows)
    assert (code, status) == ("csv_malformed", 400)
    assert f"row {row}" in message
    assert said in message


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("id,title,overview\n1,A,x\n".encode("utf-16-le"), "UTF-16"),
        ("id,title,overview\n1,A,x\n".encode("utf-16-be"), "UTF-16"),
        ("id,title,overview\n1,A,x\n2,Amélie,y\n".encode("latin-1"), "line 3: byte 28 "),
        ("id,title,overview\n1,A,é".encode()[:-1], "line 2: byte 22 "),
        (b"\xef\xbb\xbfid,title,overview\n1,A,\xff\n", "line 2: byte 25 "),
    ],
    ids=["UTF-16-LE", "UTF-16-BE", "Latin-1", "truncated", "after a BOM"],
)
def test_text_that_is_not_utf8_is_refused_with_its_place(refusal, tmp_path, content, said):
    code, status, message = refusal(tmp_path, content)
    assert (code, status) == ("invalid_encoding", 400)
    assert said in message


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"PK\x03\x04rest", "films.csv"),
        (b"\xd0\xcf\x11\xe0rest", "films.csv"),
        (b"PK\x03\x04rest", "films.xlsx"),
        (b"id,title,overview\n1,A,x\n", "films.xlsx"),
        (b"id,title,overview\n1,A,x\n", "films.jsonl"),
        (b"id,title,overview\n1,A,x\n", "films.log"),
        (b"id,title,overview\n1,A,x\n", "films.parquet"),
    ],
)
def test_other_kinds_of_file_are_refused_by_content_and_suffix(refusal, tmp_path, content, name):
    assert refusal(tmp_path, content, name)[:2] == ("unsupported_file_type", 415)


def test_a_path_that_cannot_be_read_is_a_file_problem(table, tmp_path):
    with pytest.raises(errors.FileProblem, match="no such file"):
        table(tmp_path / "none.csv")
    with pytest.raises(errors.FileProblem, match="is a directory"):
        table(tmp_path)
    with pytest.raises(errors.FileProblem, match="cannot be read"):
        table(tmp_path / ("x" * 300))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_read_permission_is_a_file_problem(table, tmp_path):
    path = tmp_path / "films.csv"
    path.touch(mode=0)
    with pytest.raises(errors.FileProblem, match="Permission denied"):
        table(path)


def test_text_is_kept_exactly_as_written(read, tmp_path):
    titles = ["NA", "None", "null", "007", "", " ", "nan", "1e5", 'a "b"', "x,y", "l1\nl2", "l\r\n"]
    content = io.StringIO()
    writer = csv.writer(content)  # ends its lines with CRLF
    writer.writerow(COLUMNS)
    writer.writerows((number, title, "t") for number, title in enumerate(titles))
    for end in ("", BY_THE_STRICT_READER):
        films = read(tmp_path, content.getvalue() + end)
        assert films["title"].to_pylist() == titles
        assert films.schema.types == [pa.large_string()] * 3


def test_an_empty_cell_at_the_very_end_is_an_empty_text(read, tmp_path):
    films = read(tmp_path, "id,title,overview\n1,,x\n2,,")
    assert films["title"].to_pylist() == ["", ""]
    assert films["overview"].to_pylist() == ["x", ""]


def test_quotes_that_begin_a_line_inside_a_cell_end_neither_the_cell_nor_the_row(read, tmp_path):
    films = read(tmp_path, 'id,title,overview\n1,A,"x\n""y"",\n"""\n2,"\n""B,""",y\n')
    assert films["title"].to_pylist() == ["A", '\n"B,"']
    assert films["overview"].to_pylist() == ['x\n"y",\n"', "y"]


def test_a_bom_and_blank_lines_at_the_end_are_no_content(read, tmp_path):
    films = read(tmp_path, b"\xef\xbb\xbfid,title,overview\r\n1,A,x\r\n\r\n\r\n")
    assert films.column_names == list(COLUMNS)
    assert films.num_rows == 1


def test_a_mark_of_byte_order_that_begins_a_row_is_text(read, tmp_path):
    films = read(tmp_path, "id,title,overview\n\ufeff1,A,x\n")
    assert films["id"].to_pylist() == ["\ufeff1"]


def test_names_of_columns_are_read_as_cells_are(table, tmp_path):
    path = tmp_path / "films.csv"
    path.write_text('"the ""id""","a\nb"," c"\n1,A,x\n')
    assert table(path, [" c", 'the "id"'], ["a\nb"]).to_pydict() == {
        " c": ["x"],
        'the "id"': ["1"],
        "a\nb": ["A"],
    }


def test_only_wanted_columns_are_kept_and_optional_ones_when_present(table, tmp_path):
    path = tmp_path / "films.csv"
    path.write_text("junk,title,id\nx,A,1\n")
    assert table(path, ["id"], ["title", "date"]).to_pydict() == {"id": ["1"], "title": ["A"]}


@given(
    rows=st.lists(
        st.tuples(
            *[st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))] * 3
        ),
        min_size=1,
        max_size=8,
    )
)
def test_what_a_csv_writer_writes_is_read_back(read, tmp_path_factory, rows):
    content = io.StringIO(newline="")
    writer = csv.writer(content, quoting=csv.QUOTE_ALL)
    writer.writerows([COLUMNS, *rows])
    films = read(tmp_path_factory.mktemp("csv"), content.getvalue())
    assert list(zip(*films.to_pydict().values(), strict=True)) == rows


SCRIBBLES = ['"', '""', ",", "\n", "\r\n", "a", "é", '"a"', '"a,b\n",', "1,A,x\n", '\n""', "\ufeff"]


@settings(max_examples=300, deadline=None)
@given(
    content=st.one_of(
        st.binary(max_size=60),
        st.lists(st.sampled_from(SCRIBBLES), max_size=12).map(lambda all: "".join(all).encode()),
    )
)
def test_any_bytes_are_read_or_refused_as_the_strict_reader_does(read, tmp_path_factory, content):
    content = b"id,title,overview\n" + content
    try:
        strictly = read_csv(io.BufferedReader(io.BytesIO(content)), "films.csv", COLUMNS, [])
    except errors.InputError as error:
        with pytest.raises(type(error)) as caught:
            read(tmp_path_factory.mktemp("csv"), content)
        assert str(caught.value) == str(error)
    else:
        assert read(tmp_path_factory.mktemp("csv"), content).to_pydict() == strictly.to_pydict()


def test_long_cells_are_read_and_the_csv_module_keeps_its_limit(refusal, read, tmp_path):
    before = csv.field_size_limit()
    for end in ("\n", BY_THE_STRICT_READER):
        films = read(tmp_path, "id,title,overview\n1,A," + "x" * 300_000 + end)
        assert len(films["overview"][0].as_py()) == 300_000
    refusal(tmp_path, "id,title,overview\n1\n")
    assert csv.field_size_limit() == before


def test_threads_may_read_long_cells_at_once(table, tmp_path):
    path = tmp_path / "films.csv"
    rows = "1,A,{}\n".format("x" * 200_000) * 20
    path.write_text("id,title,overview\n" + rows + BY_THE_STRICT_READER)
    sizes: list[int] = []
    threads = [
        threading.Thread(target=lambda: sizes.append(table(path).num_rows)) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sizes == [20] * 4


def test_more_rows_than_a_batch_or_a_block_keep_their_order(read, tmp_path):
    rows = "".join(f"{n},A,some text\n" for n in range(90_000))  # more bytes than a block, too
    for end in ("", BY_THE_STRICT_READER):
        films = read(tmp_path, "id,title,overview\n" + rows + end)
        assert films["id"].to_pylist() == [str(n) for n in range(90_000)]


def test_parquet_keeps_types_and_tells_null_from_nan(table, tmp_path):
    columns = {
        "id": [1, 2, 3],
        "title": ["NA", None, "007"],
        "overview": ["x", "y", "z"],
        "score": pa.array([1.5, None, float("nan")]),
        "names": [["a"], [], None],
    }
    path = tmp_path / "films.parquet"
    pq.write_table(pa.table(columns), path)
    back = table(path, COLUMNS, ["score", "names", "absent"])
    assert back.column_names == ["id", "title", "overview", "score", "names"]
    assert back.schema.types[:4] == [pa.int64(), pa.large_string(), pa.large_string(), pa.float64()]
    assert back["title"].to_pylist() == ["NA", None, "007"]
    assert back["score"].null_count == 1
    assert back["names"].to_pylist() == [["a"], [], None]
    assert table(path.rename(tmp_path / "films.csv"), ["id"], []).shape == (3, 1)


def test_parquet_of_a_dataframe_keeps_its_index_a_column_and_dots_in_names(table, tmp_path):
    import pandas as pd

    path = tmp_path / "year=2020" / "films.parquet"
    path.parent.mkdir()
    pd.DataFrame({"id": ["1"], "a.b": ["x"], "a": ["y"]}).set_index("id").to_parquet(path)
    assert table(path, ["id", "a.b"], ["a", "year"]).to_pydict() == {
        "id": ["1"],
        "a.b": ["x"],
        "a": ["y"],
    }


def test_a_damaged_or_empty_parquet_file_is_refused(refusal, tmp_path):
    path = tmp_path / "films.parquet"
    pq.write_table(pa.table({name: ["x"] * 1000 for name in COLUMNS}), path)
    assert refusal(tmp_path, path.read_bytes()[:-40], path.name)[0] == "file_problem"
    pq.write_table(pa.table({name: pa.array([], pa.string()) for name in COLUMNS}), path)
    assert refusal(tmp_path, path.read_bytes(), path.name)[0] == "empty_dataset"
    pq.write_table(pa.table({"id": [1]}), path)
    assert refusal(tmp_path, path.read_bytes(), path.name)[0] == "missing_column"


@pytest.fixture(scope="module")
def frame(backend, tmp_path_factory):
    """A table of the backend's own."""

    def made(**columns):
        path = tmp_path_factory.mktemp("parquet") / "table.parquet"
        pq.write_table(pa.table(columns), path)
        return backend.read_table(path, list(columns), [])

    return made


def test_a_join_keeps_the_left_order_and_counts_what_is_left_over(backend, frame):
    left = frame(id=["7", "3", "5"], a=["x", "y", "z"])
    right = frame(id=["5", "9", "7"], b=["i", "j", "k"])
    joined, counts = backend.join(left, right, "id")
    assert backend.to_host(joined).to_pydict() == {
        "id": ["7", "3", "5"],
        "a": ["x", "y", "z"],
        "b": ["k", None, "i"],
    }
    assert (counts.matched, counts.left_only, counts.right_only) == (2, 1, 1)


def test_a_join_of_many_rows_keeps_the_left_order(backend, frame):
    ids = [str(n * 7919 % 10_007) for n in range(10_007)]
    joined, counts = backend.join(frame(id=ids), frame(id=ids[::-1], b=ids[::-1]), "id")
    assert backend.to_host(joined).to_pydict() == {"id": ids, "b": ids}
    assert (counts.matched, counts.left_only, counts.right_only) == (10_007, 0, 0)


def test_a_join_that_is_not_one_to_one_is_refused(backend, frame):
    once = frame(id=["1", "2"], a=["x", "y"])
    twice = frame(id=["2", "2"], b=["x", "y"])
    with pytest.raises(errors.DuplicateId, match="'2' stands twice in the right table"):
        backend.join(once, twice, "id")
    with pytest.raises(errors.DuplicateId, match="left table"):
        backend.join(twice, once, "id")
    with pytest.raises(errors.DuplicateId, match="join on 'id': 3 stands twice"):
        backend.join(frame(id=[3, 3]), frame(id=[1]), "id")
    with pytest.raises(errors.InvalidParam, match="'a'"):
        backend.join(once, once, "id")
