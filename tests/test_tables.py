"""Which CSV files a fast reader may read: those that it cannot read otherwise than strictly."""

from __future__ import annotations

import csv
import io
import re

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gpu_kmeans.errors import InputError
from gpu_kmeans.tables.csv_scan import whole_rows
from gpu_kmeans.tables.fast_csv import Block, Irregular, read_regular
from gpu_kmeans.tables.strict_csv import read_csv

SIGNS = [b'"', b'""', b",", b"\n", b"\r", b"\r\n", b"a", b" ", b"\0", "é€😀".encode()]
CELLS = [b"a,", b'"a"', b'"a,b\n",', b'"x","y"\n', b"x,y\r\n", b'"a ""b"""', b'\n""', b'"\r\n"']
FILLERS = st.integers(55, 70).map(lambda n: b"x" * n)  # from one word of 64 bits to the next
pieces = st.one_of(st.sampled_from(SIGNS), st.sampled_from(CELLS), FILLERS)
scribbles = st.lists(pieces, max_size=30).map(b"".join)


# -- the check of the structure -----------------------------------------------------------------


def judged(content: bytes, width: int = 2) -> tuple[int, int] | None:
    return whole_rows(np.frombuffer(content, dtype=np.uint8), width, np)


def by_grammar(content: bytes, width: int) -> tuple[int, int] | None:
    """The same verdict from a grammar of regular rows, and quotes counted one by one."""
    lines = [match.end() for match in re.finditer(b"\n", content)]
    ends = [end for end in lines if content.count(b'"', 0, end) % 2 == 0]
    if not ends:
        return None
    cell = rb'(?:"(?:[^"\0]|"")*"|[^",\r\n\0]*)'
    row = b",".join([cell] * width) + rb"\r?\n"
    if width == 1:
        row = rb"(?!\r?\n)" + row
    whole = content[: ends[-1]]
    if not re.fullmatch(b"(?:" + row + b")+", whole):
        return None
    return len(re.findall(row, whole)), ends[-1]


@pytest.mark.slow
@settings(max_examples=800, deadline=None)
@given(content=scribbles.filter(len), width=st.integers(1, 3))
@example(content=b"x" * 63 + b"\n" + b"x" * 63 + b"\n", width=1)
@example(content=b"x" * 62 + b"\r\n" + b"\r\n", width=1)
@example(content=b"x" * 62 + b',"\n",' + b"x" * 61 + b'"\n', width=2)
def test_the_check_agrees_with_a_grammar_of_regular_rows(content, width):
    assert judged(content, width) == by_grammar(content, width)


@settings(deadline=None)
@given(content=st.binary(min_size=1, max_size=200), width=st.integers(1, 3))
def test_the_check_agrees_with_the_grammar_on_any_bytes(content, width):
    assert judged(content, width) == by_grammar(content, width)


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        (b"1,a\n", 1),
        (b"1,a\r\n2,b\n", 2),
        (b'1,"a ""b"", c"\n', 1),
        (b'"",""\n', 1),
        (b'1,"a\nb\r\nc\rd"\n2,\n', 2),
        (b'"""",""""""\n', 1),
        (b",\n,\n", 2),
    ],
)
def test_regular_rows_are_counted(content, rows):
    assert judged(content) == (rows, len(content))


def test_what_follows_the_last_whole_row_is_not_judged():
    assert judged(b'1,a\n2,"b\n') == (1, 4)
    assert judged(b"1,a\n2,b,c,d") == (1, 4)
    assert judged(b"1,a") is None
    assert judged(b'1,"a\n') is None


@pytest.mark.parametrize(
    "content",
    [
        b'1,a"b"\n',
        b'1, "b"\n',
        b'1,"a"b\n',
        b'1,"a" \n',
        b'1,"a"\rb\n',
        b'1,"a\n2,"b"\n',
        b"1,a\rb\n",
        b"1,a\r\r\n",
        b"1,a\0\n",
        b'1,"\0"\n',
        b"1,a\n\n2,b\n",
        b"1,a\n\r\n2,b\n",
        b"\n1,a\n",
        b"1,a\n2\n3,c,d\n",
        b"1,a,b\n2\n",
        b"1\n",
        b"1,a,\n",
    ],
)
def test_odd_bytes_are_left_to_the_strict_reader(content):
    assert judged(content) is None


def test_a_blank_line_is_no_row_of_a_single_column():
    assert judged(b'a\n""\n \n', width=1) == (3, 7)
    for blank in (b"\n", b"\r\n"):
        assert judged(b"a\n" + blank + b"b\n", width=1) is None
        assert judged(blank + b"a\n", width=1) is None
        assert judged(b"a\n" + blank, width=1) is None


# -- whole files, block by block ------------------------------------------------------------------


def cells_of(block: Block) -> list[list[str]]:
    """The rows of a block by a reader of its own."""
    rows = list(csv.reader(io.StringIO(block.content.decode(), newline=""), strict=True))
    assert len(rows) == block.rows
    assert all(len(row) == len(block.header) for row in rows)
    places = [block.header.index(name) for name in block.wanted]
    return [[row[place] for place in places] for row in rows]


def regular(content: bytes, size: int = 1 << 20) -> list[list[str]]:
    """All rows by way of blocks; none where the strict reader must decide."""
    file = io.BufferedReader(io.BytesIO(content))
    parts = read_regular(file, ["id"], ["title"], size, np, cells_of)
    assert parts or file.tell() == 0
    return [row for part in parts for row in part]


def strict(content: bytes) -> list[list[str]]:
    table = read_csv(io.BufferedReader(io.BytesIO(content)), "f.csv", ["id"], ["title"])
    return [list(row.values()) for row in table.to_pylist()]


HEADERS = [
    *(b"id\n", b"id,title\n", b'"id","title"\r\n', b"\xef\xbb\xbfid,title\n", b"title,id\n"),
    *(b'"a\nb",title,id\n', b'"a""b",id\n', b"id,id\n", b"id;title\n", b"id,\n", b"\n", b""),
]
BAD_UTF8 = [
    b"\xff",
    b"\xed\xa0\x80",
    b"\xc0\x80",
    b"\xf4\x90\x80\x80",
    b"\xe2\x82",
    b"\xef\xbb\xbf",
]


@settings(max_examples=600, deadline=None)
@given(
    header=st.sampled_from(HEADERS),
    body=st.lists(st.one_of(pieces, st.sampled_from(BAD_UTF8)), max_size=12).map(b"".join),
    size=st.integers(1, 300),
)
def test_what_is_regular_the_strict_reader_accepts_and_reads_alike(header, body, size):
    rows = regular(header + body, size)
    if rows:
        assert rows == strict(header + body)


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


@settings(deadline=None)
@given(
    rows=st.lists(st.tuples(texts, texts), min_size=1, max_size=20),
    # Without a carriage return in the ends of its lines, the writer leaves one in a cell bare.
    style=st.sampled_from(
        [(csv.QUOTE_ALL, "\n"), (csv.QUOTE_ALL, "\r\n"), (csv.QUOTE_MINIMAL, "\r\n")]
    ),
    bom=st.booleans(),
    cut=st.booleans(),
)
def test_what_a_csv_writer_writes_is_regular(rows, style, bom, cut):
    quoting, end = style
    content = io.StringIO(newline="")
    writer = csv.writer(content, quoting=quoting, lineterminator=end)
    writer.writerows([("id", "title"), *(("." + one, other) for one, other in rows)])
    text = content.getvalue().removesuffix(end) if cut else content.getvalue()
    found = regular(text.encode("utf-8-sig" if bom else "utf-8"))
    assert found == [["." + one, other] for one, other in rows]


def test_blocks_are_cut_between_rows_and_hold_all_of_them():
    rows = [[str(n), f'n\n"{n}"' * (n % 5)] for n in range(500)]
    content = io.StringIO(newline="")
    csv.writer(content).writerows([("id", "title"), *rows])
    for size in (64, 65, 127, 1000, 1 << 20):
        assert regular(content.getvalue().encode(), size) == rows


@pytest.mark.parametrize("name", ["movies", "credits"])
def test_the_tmdb_files_are_regular_and_read_alike(tmdb, name):
    content = (tmdb / f"tmdb_5000_{name}.csv").read_bytes().replace(b"movie_id", b"id", 1)
    rows = regular(content)
    assert len(rows) == 4803
    assert rows == strict(content)


@pytest.mark.parametrize("name", ["movies", "credits"])
def test_the_cpu_reads_regular_files_without_the_strict_reader(tmdb, name, monkeypatch):
    from cpu_fallback import frames

    monkeypatch.setattr(frames, "read_host", None)
    assert len(frames.read_table(tmdb / f"tmdb_5000_{name}.csv", ["title"], [])) == 4803


@pytest.mark.parametrize("bad", BAD_UTF8)
def test_bytes_that_are_not_utf8_and_a_mark_at_the_beginning_of_a_row_are_irregular(bad):
    assert regular(b"id,title\n1,a\n" + bad + b",b\n", size=12) == []


def test_a_row_longer_than_a_block_is_irregular_whatever_the_size_of_the_file():
    unclosed = b'id,title\n1,a"b\n' + b"2,a\n" * 10_000
    long = b"id,title\n" + b"1,a\n" * 100 + b"2," + b"x" * 5000 + b"\n"
    taken = []

    class Counted(io.BytesIO):
        def read(self, size=-1):
            taken.append(size)
            return super().read(size)

        def readinto(self, buffer):
            taken.append(len(buffer))
            return super().readinto(buffer)

    for content in (unclosed, long):
        taken.clear()
        file = io.BufferedReader(Counted(content), buffer_size=64)
        assert read_regular(file, ["id"], [], 256, np, cells_of) == []
        assert sum(taken) < 3000


def test_a_reader_that_finds_other_rows_gives_the_file_to_the_strict_reader():
    file = io.BufferedReader(io.BytesIO(b"id\n1\n"))

    def disagree(block: Block) -> None:
        raise Irregular

    assert read_regular(file, ["id"], [], 100, np, disagree) == []
    assert file.tell() == 0


def test_a_stream_that_cannot_go_back_is_left_untouched():
    class Pipe(io.BytesIO):
        def seekable(self):
            return False

    file = io.BufferedReader(Pipe(b"id\n1\n"))
    assert read_regular(file, ["id"], [], 100, np, cells_of) == []
    assert file.read() == b"id\n1\n"


@pytest.mark.parametrize("header", [b"id,id\n", b"name\n", b'"id"x\n', b"i\0d,id\n"])
def test_a_header_that_would_be_refused_is_irregular(header):
    content = header + b"1,a\n"
    assert regular(content) == []
    with pytest.raises(InputError):
        strict(content)
