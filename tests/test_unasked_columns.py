"""Columns that nobody asked for refuse no file; those that somebody did are held to their role."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gpu_kmeans import errors
from gpu_kmeans.data.catalogue import load_catalogue


@pytest.fixture(scope="module")
def load(backend):
    return partial(load_catalogue, backend=backend)


@pytest.fixture
def films(tmp_path: Path):
    """Write a CSV and return its path."""

    def written(content: str | bytes, name: str = "films.csv") -> Path:
        (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
        return tmp_path / name

    return written


def columns(catalogue: Any) -> dict[str, list[Any]]:
    return catalogue.to_arrow().to_pydict()


# -- of another shape ------------------------------------------------------------------------

SHAPES = {
    "genres that are plain text": ("genres", "genres", '"Animation, Family"'),
    "keywords as Python": ("keywords", "keywords", "\"['sea']\""),
    "a popularity in words": ("popularity", "popularity", "high"),
    "a rating with a comma": ("rating", "vote_average", '"7,5"'),
    "votes that are no number": ("votes", "vote_count", "NaN"),
    "a popularity beyond float32": ("popularity", "popularity", "1e39"),
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_column_of_another_shape_is_left_out_and_reported(load, films, name):
    role, column, cell = SHAPES[name]
    path = films(f"id,title,overview,{column}\n1,A,two toys,{cell}\n2,B,a driver,\n")
    catalogue = load(path)
    assert columns(catalogue) == {
        **{"id": [1, 2], "title": ["A", "B"], "text": ["two toys", "a driver"]}
    }
    assert list(catalogue.report.left_out) == [role]
    assert role not in catalogue.report.absent
    [warning] = catalogue.report.warnings
    assert warning.startswith(f"films.csv, row 2, column {column!r}")
    assert warning.endswith("nobody asked for this column, and it is left out")
    with pytest.raises(errors.InputError, match=rf"^films\.csv, row 2, column '{column}'"):
        load(path, **{role: column})


def test_columns_of_credits_are_left_out_likewise(load, films):
    movies = films("id,overview\n1,two toys\n")
    credits = films('movie_id,cast,crew\n1,nobody,"[""Ann""]"\n', "credits.csv")
    catalogue = load(movies, credits)
    assert columns(catalogue)["crew"] == [["Ann"]]
    assert list(catalogue.report.left_out) == ["cast"]
    with pytest.raises(errors.InvalidJsonCell, match="'cast'"):
        load(movies, credits, cast="cast")


def test_a_column_asked_for_by_its_usual_name_must_be_there(load, films):
    path = films("id,overview\n1,two toys\n")
    assert "title" in load(path).report.absent
    with pytest.raises(errors.MissingColumn, match="'title'"):
        load(path, title="title")


# -- without a name of their own ----------------------------------------------------------------


@pytest.mark.parametrize("end", ["", "\n\n"], ids=["fast reader", "strict reader"])
def test_an_index_without_a_name_is_ignored_and_counted(load, films, end):
    catalogue = load(films(f",overview,label\n0,two toys,a\n1,a driver,b\n{end}"))
    assert columns(catalogue) == {"id": [1, 2], "text": ["two toys", "a driver"]}
    assert catalogue.report.ignored == 1
    assert catalogue.report.to_dict()["ignored"] == 1


def test_a_name_that_stands_twice_is_left_out_where_nobody_asked_for_it(load, films):
    path = films('id,genres,overview,genres\n1,"[""a""]",two toys,"[""b""]"\n')
    catalogue = load(path)
    assert columns(catalogue) == {"id": [1], "text": ["two toys"]}
    assert "columns 2 and 4 are both named 'genres'" in catalogue.report.left_out["genres"]
    assert catalogue.report.ignored == 2
    with pytest.raises(errors.InvalidHeader, match="columns 2 and 4 are both named 'genres'"):
        load(path, genres="genres")


@pytest.mark.parametrize("name", ["id", "overview"])
def test_ids_and_texts_are_always_wanted(load, films, name):
    with pytest.raises(errors.InvalidHeader, match=f"columns 1 and 4 are both named '{name}'"):
        load(films(f"{name},id,overview,{name}\n".replace(f",{name},", ",x,", 1) + "1,2,3,4\n"))


def test_parquet_columns_without_a_name_of_their_own_are_ignored_too(load, tmp_path):
    arrays = [pa.array([0, 1]), pa.array(["x", "y"]), pa.array([1.0, 2.0]), pa.array([3.0, 4.0])]
    names = ["", "overview", "popularity", "popularity"]
    pq.write_table(pa.Table.from_arrays(arrays, names), tmp_path / "films.parquet")
    catalogue = load(tmp_path / "films.parquet")
    assert columns(catalogue) == {"id": [1, 2], "text": ["x", "y"]}
    assert catalogue.report.ignored == 3


# -- ids -----------------------------------------------------------------------------------


def test_rows_without_ids_are_numbered_and_it_is_said(load, films):
    catalogue = load(films("text,label\nlate,neg\ngood,pos\ngood,pos\n"), text="text")
    assert columns(catalogue) == {"id": [1, 2, 3], "text": ["late", "good", "good"]}
    assert catalogue.to_arrow().schema.field("id").type == pa.int64()
    assert catalogue.report.numbered
    assert "films.csv has no column 'id': rows are numbered from 1" in catalogue.report.warnings


def test_an_id_that_was_asked_for_must_be_there(load, films):
    path = films("overview\ntwo toys\n")
    assert columns(load(path))["id"] == [1]
    for name in ("id", "isbn"):
        with pytest.raises(errors.MissingColumn, match=f"'{name}'"):
            load(path, id=name)


def test_credits_are_joined_by_ids_that_must_be_there(load, films):
    credits = films("movie_id\n1\n", "credits.csv")
    with pytest.raises(errors.MissingColumn, match=r"films\.csv has no column 'id'"):
        load(films("overview\ntwo toys\n"), credits)


@pytest.mark.parametrize("header", ["Overview", "overveiw", " overview ", "OVERVIEW"])
def test_a_missing_column_is_told_with_those_that_look_alike(load, films, header):
    with pytest.raises(errors.MissingColumn) as caught:
        load(films(f"id,{header},label\n1,x,a\n"))
    assert f"(alike: {header!r})" in str(caught.value)


# -- texts that say that they are none ---------------------------------------------------------

NOTHING = ["nan", "NaN", "NA", "N/A", "n/a", "null", "NULL", "None", "none", " nan ", "<NA>", "NaT"]


@pytest.mark.parametrize("word", NOTHING)
def test_texts_that_are_nan_count_as_missing_beyond_one_in_a_hundred(load, films, word):
    def table(count: int) -> Path:
        rows = [f"text{n}" for n in range(200 - count)] + [word] * count
        return films("id,overview\n" + "".join(f"{n},{row}\n" for n, row in enumerate(rows)))

    kept = load(table(2))
    assert columns(kept)["text"][-3:] == ["text197", word, word]
    assert kept.report.missing_texts == 0
    missing = load(table(3))
    assert columns(missing)["text"][-4:] == ["text196", "", "", ""]
    assert missing.report.missing_texts == 3
    [warning] = [each for each in missing.report.warnings if "nan" in each]
    assert warning.startswith("films.csv, column 'overview'")
    assert "3 of 200" in warning


def test_titles_are_kept_whatever_they_are(load, films):
    rows = "".join(f"{n},{word},text{n}\n" for n, word in enumerate(NOTHING))
    catalogue = load(films("id,title,overview\n" + rows))
    assert columns(catalogue)["title"] == NOTHING
    assert catalogue.report.missing_texts == 0


# -- numbers that would be clustered as words ---------------------------------------------------

WORDLESS = ["41500.5", "-3", "1e5", "2020-01-31", "$1,200.50", "12:30", "99 %", "(5)"]


def test_numbers_in_place_of_words_get_a_warning(load, films):
    rows = "".join(f'{n},"{cell}"\n' for n, cell in enumerate(WORDLESS))
    path = films("customer_id,income\n" + rows, "customers.csv")
    catalogue = load(path, id="customer_id", text="income")
    [warning] = [each for each in catalogue.report.warnings if "holds numbers" in each]
    assert warning.startswith("customers.csv, column 'income'")
    assert "8 of 8" in warning
    assert "--text" in warning


@pytest.mark.parametrize("cells", [["a1", "7 days", "x", "5"], ["1995", "", "", "war", "love"]])
def test_texts_with_some_numbers_get_none(load, films, cells):
    rows = "".join(f'{n},"{cell}"\n' for n, cell in enumerate(cells))
    assert not any(
        "numbers" in each for each in load(films("id,overview\n" + rows)).report.warnings
    )


def test_numbers_of_parquet_get_the_same_warning_as_those_of_csv(load, films, tmp_path):
    table = pa.table({"id": [1, 2], "income": [41500.5, 38000.0]})
    pq.write_table(table, tmp_path / "customers.parquet")
    of_parquet = load(tmp_path / "customers.parquet", text="income")
    of_csv = load(films("id,income\n1,41500.5\n2,38000.0\n", "customers.csv"), text="income")
    assert of_parquet.to_arrow().equals(of_csv.to_arrow())
    told = [each.replace("parquet", "csv") for each in of_parquet.report.warnings]
    assert tuple(told) == of_csv.report.warnings


# -- encodings -----------------------------------------------------------------------------

WORDS = ["It\u2019s a café", "\u201cÜnder\u201d the sea"]
TEXT = f"id,overview\n1,{WORDS[0]}\n2,{WORDS[1]}\n"


@pytest.mark.parametrize(
    "encoding", ["windows-1252", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig", "utf-8"]
)
def test_a_file_in_an_encoding_that_is_named_is_read(load, films, encoding):
    for end in ("", "\n\n"):  # the second by the strict reader alone
        path = films((TEXT + end).encode(encoding))
        assert columns(load(path, encoding=encoding)) == {"id": [1, 2], "text": WORDS}


def test_a_large_file_of_two_bytes_a_letter_is_read_whole(load, films):
    rows = [f"{n},text {n} “é😀”" for n in range(30_000)]  # letters across the ends of blocks
    path = films(("id,overview\n" + "\n".join(rows)).encode("utf-16"))
    assert columns(load(path, encoding="utf-16"))["text"] == [row.partition(",")[2] for row in rows]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (TEXT.encode("windows-1252"), "encoding='windows-1252', on the command line --encoding"),
        (
            TEXT.encode("utf-16-le"),
            "encoding='utf-16-le', on the command line --encoding utf-16-le",
        ),
    ],
)
def test_the_refusal_of_another_encoding_says_how_it_is_named(load, films, content, said):
    with pytest.raises(errors.InvalidEncoding) as caught:
        load(films(content))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("content", "encoding", "said"),
    [
        (b"id,overview\n1,a\n2,\x81\n", "windows-1252", "line 3: byte 18 of the file"),
        (b"id,overview\n1,\xe9\n", "ascii", "line 2: byte 14 of the file"),
        ("id,overview\n1,x".encode("utf-16")[:-1], "utf-16", "is not utf-16"),
        (b"id,overview\n" + b"1,a\n" * 40_000 + b"2,\x81\n", "windows-1252", "byte 160014 of"),
    ],
)
def test_bytes_that_the_named_encoding_does_not_have_are_refused(
    load, films, content, encoding, said
):
    with pytest.raises(errors.InvalidEncoding, match=r"^films\.csv") as caught:
        load(films(content), encoding=encoding)
    assert said in str(caught.value)


def test_parquet_states_its_encoding_itself(load, tmp_path):
    pq.write_table(pa.table({"id": [1], "overview": ["é"]}), tmp_path / "films.parquet")
    assert columns(load(tmp_path / "films.parquet", encoding="utf-16"))["text"] == ["é"]
