"""What a file gets that is not a table: one error, naming the place and the way out."""

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

from cpu_fallback.frames import join, read_table, to_arrow
from gpu_kmeans import errors

COLUMNS = ("id", "title", "overview")


def read(folder: Path, content: bytes | str, name: str = "films.csv"):
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_table(path, COLUMNS, [])


def refusal(folder: Path, content: bytes | str, name: str = "films.csv") -> tuple[str, int, str]:
    """Code and status of the error, and its message, which always names the file only."""
    with pytest.raises(errors.InputError) as caught:
        read(folder, content, name)
    message = str(caught.value)
    assert message.startswith(name)
    assert str(folder) not in message
    assert "\n" not in message
    return caught.value.code, caught.value.status, message


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
def test_a_file_without_rows_is_an_empty_dataset(tmp_path, content):
    assert refusal(tmp_path, content)[:2] == ("empty_dataset", 422)


@pytest.mark.parametrize(
    ("content", "found", "hint"),
    [
        ("id,title,plot\n1,A,x\n", "'id', 'title', 'plot'", "rename"),
        ("id;title;overview\n1;A;x, y\n", "'id;title;overview'", "semicolons"),
        ('"id";"title";"overview"\n1;A;x\n', "id", "semicolons"),
        ("id\ttitle\toverview\n1\tA\tx\n", "id", "tabs"),
        ("id|title|overview\n1|A|x\n", "id", "vertical bars"),
    ],
)
def test_a_missing_column_is_named_with_those_that_were_found(tmp_path, content, found, hint):
    code, status, message = refusal(tmp_path, content)
    assert (code, status) == ("missing_column", 422)
    assert "'overview'" in message
    assert found in message
    assert hint in message


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("id,title,overview,title", "columns 2 and 4 are both named 'title'"),
        ("id,title,overview,", "column 4 has no name"),
        (" ,id,title,overview", "column 1 has no name"),
        ("\nid,title,overview", "row 1 is blank"),
    ],
)
def test_a_blank_or_repeated_header_is_refused(tmp_path, header, said):
    code, status, message = refusal(tmp_path, f"{header}\n1,A,x,y\n")
    assert (code, status) == ("invalid_header", 422)
    assert "row 1" in message
    assert said in message


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
def test_a_malformed_row_is_refused_with_its_number(tmp_path, rows, row, said):
    code, status, message = refusal(tmp_path, "id,title,overview\n" + rows)
    assert (code, status) == ("csv_malformed", 400)
    assert f"row {row}" in message
    assert said in message


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("id,title,overview\n1,A,x\n".encode("utf-16"), "UTF-16"),
        ("id,title,overview\n1,A,x\n".encode("utf-16-le"), "UTF-16"),
        ("id,title,overview\n1,A,x\n".encode("utf-16-be"), "UTF-16"),
        ("id,title,overview\n1,A,x\n".encode("utf-32"), "UTF-16"),
        ("id,title,overview\n1,A,x\n2,Amélie,y\n".encode("latin-1"), "line 3: byte 28 "),
        ("id,title,overview\n1,A,é".encode()[:-1], "line 2: byte 22 "),
        (b"\xef\xbb\xbfid,title,overview\n1,A,\xff\n", "line 2: byte 25 "),
    ],
    ids=["UTF-16", "UTF-16-LE", "UTF-16-BE", "UTF-32", "Latin-1", "truncated", "after a BOM"],
)
def test_text_that_is_not_utf8_is_refused_with_its_place(tmp_path, content, said):
    code, status, message = refusal(tmp_path, content)
    assert (code, status) == ("invalid_encoding", 400)
    assert said in message


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"\x1f\x8b\x08\x00rest", "films.csv"),
        (b"PK\x03\x04rest", "films.csv"),
        (b"\xd0\xcf\x11\xe0rest", "films.csv"),
        (b"PK\x03\x04rest", "films.xlsx"),
        (b"id,title,overview\n1,A,x\n", "films.xlsx"),
        (b"id\ttitle\n", "films.tsv"),
        (b"id,title,overview\n1,A,x\n", "films.parquet"),
    ],
)
def test_other_kinds_of_file_are_refused_by_content_and_suffix(tmp_path, content, name):
    assert refusal(tmp_path, content, name)[:2] == ("unsupported_file_type", 415)


def test_a_path_that_cannot_be_read_is_a_file_problem(tmp_path):
    with pytest.raises(errors.FileProblem, match="no such file"):
        read_table(tmp_path / "none.csv", COLUMNS, [])
    with pytest.raises(errors.FileProblem, match="is a directory"):
        read_table(tmp_path, COLUMNS, [])
    with pytest.raises(errors.FileProblem, match="cannot be read"):
        read_table(tmp_path / ("x" * 300), COLUMNS, [])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_read_permission_is_a_file_problem(tmp_path):
    path = tmp_path / "films.csv"
    path.touch(mode=0)
    with pytest.raises(errors.FileProblem, match="Permission denied"):
        read_table(path, COLUMNS, [])


def test_text_is_kept_exactly_as_written(tmp_path):
    titles = ["NA", "None", "null", "007", "", " ", "nan", "1e5", 'a "b"', "x,y", "l1\nl2", "l\r\n"]
    content = io.StringIO()
    writer = csv.writer(content)  # ends its lines with CRLF
    writer.writerow(COLUMNS)
    writer.writerows((number, title, "t") for number, title in enumerate(titles))
    frame = read(tmp_path, content.getvalue())
    assert frame["title"].tolist() == titles
    assert not frame.isna().any().any()


def test_a_bom_and_blank_lines_at_the_end_are_no_content(tmp_path):
    frame = read(tmp_path, b"\xef\xbb\xbfid,title,overview\r\n1,A,x\r\n\r\n\r\n")
    assert list(frame) == list(COLUMNS)
    assert len(frame) == 1


def test_only_wanted_columns_are_kept_and_optional_ones_when_present(tmp_path):
    path = tmp_path / "films.csv"
    path.write_text("junk,title,id\nx,A,1\n")
    assert list(read_table(path, ["id"], ["title", "date"])) == ["id", "title"]


@given(
    rows=st.lists(
        st.tuples(
            *[st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))] * 3
        ),
        min_size=1,
        max_size=8,
    )
)
def test_what_a_csv_writer_writes_is_read_back(tmp_path_factory, rows):
    content = io.StringIO(newline="")
    writer = csv.writer(content, quoting=csv.QUOTE_ALL)
    writer.writerows([COLUMNS, *rows])
    frame = read(tmp_path_factory.mktemp("csv"), content.getvalue())
    assert [tuple(row) for row in frame.itertuples(index=False)] == rows


@settings(deadline=None)
@given(content=st.binary(max_size=60))
def test_any_bytes_are_either_read_or_refused_by_our_own_errors(tmp_path_factory, content):
    try:
        read(tmp_path_factory.mktemp("csv"), b"id,title,overview\n" + content)
    except errors.InputError as error:
        assert str(error).startswith("films.csv")


def test_long_cells_are_read_and_the_csv_module_keeps_its_limit(tmp_path):
    before = csv.field_size_limit()
    frame = read(tmp_path, "id,title,overview\n1,A," + "x" * 300_000 + "\n")
    assert len(frame["overview"][0]) == 300_000
    refusal(tmp_path, "id,title,overview\n1\n")
    assert csv.field_size_limit() == before


def test_threads_may_read_long_cells_at_once(tmp_path):
    path = tmp_path / "films.csv"
    path.write_text("id,title,overview\n" + "1,A,{}\n".format("x" * 200_000) * 20)
    sizes: list[int] = []
    threads = [
        threading.Thread(target=lambda: sizes.append(len(read_table(path, COLUMNS, []))))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sizes == [20] * 4


def test_more_rows_than_a_batch_keep_their_order(tmp_path):
    frame = read(tmp_path, "id,title,overview\n" + "".join(f"{n},A,x\n" for n in range(45_000)))
    assert frame["id"].tolist() == [str(n) for n in range(45_000)]


def test_parquet_keeps_types_and_tells_null_from_nan(tmp_path):
    table = pa.table(
        {
            "id": [1, 2, 3],
            "title": ["NA", None, "007"],
            "overview": ["x", "y", "z"],
            "score": pa.array([1.5, None, float("nan")]),
            "names": [["a"], [], None],
        }
    )
    path = tmp_path / "films.parquet"
    pq.write_table(table, path)
    back = to_arrow(read_table(path, COLUMNS, ["score", "names", "absent"]))
    assert back.column_names == ["id", "title", "overview", "score", "names"]
    assert back["title"].to_pylist() == ["NA", None, "007"]
    assert back["score"].null_count == 1
    assert back["names"].to_pylist() == [["a"], [], None]
    assert read_table(path.rename(tmp_path / "films.csv"), ["id"], []).shape == (3, 1)


def test_a_damaged_or_empty_parquet_file_is_refused(tmp_path):
    path = tmp_path / "films.parquet"
    pq.write_table(pa.table({name: ["x"] * 1000 for name in COLUMNS}), path)
    assert refusal(tmp_path, path.read_bytes()[:-40], path.name)[0] == "file_problem"
    pq.write_table(pa.table({name: pa.array([], pa.string()) for name in COLUMNS}), path)
    assert refusal(tmp_path, path.read_bytes(), path.name)[0] == "empty_dataset"
    pq.write_table(pa.table({"id": [1]}), path)
    assert refusal(tmp_path, path.read_bytes(), path.name)[0] == "missing_column"


def test_a_join_keeps_the_left_order_and_counts_what_is_left_over():
    import pandas as pd

    left = pd.DataFrame({"id": ["7", "3", "5"], "a": [1, 2, 3]})
    right = pd.DataFrame({"id": ["5", "9", "7"], "b": [10, 20, 30]})
    joined, counts = join(left, right, "id")
    assert joined["id"].tolist() == ["7", "3", "5"]
    assert to_arrow(joined)["b"].to_pylist() == [30, None, 10]
    assert (counts.matched, counts.left_only, counts.right_only) == (2, 1, 1)


def test_a_join_that_is_not_one_to_one_is_refused():
    import pandas as pd

    once = pd.DataFrame({"id": ["1", "2"], "a": [1, 2]})
    twice = pd.DataFrame({"id": ["2", "2"], "b": [1, 2]})
    with pytest.raises(errors.DuplicateId, match="'2' stands twice in the right table"):
        join(once, twice, "id")
    with pytest.raises(errors.DuplicateId, match="left table"):
        join(twice, once, "id")
    with pytest.raises(errors.InvalidParam, match="'a'"):
        join(once, once, "id")
