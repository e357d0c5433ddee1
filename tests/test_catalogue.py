"""From files to a checked catalogue: what is kept, filled, joined, refused and counted."""

from __future__ import annotations

import csv
import datetime
import json
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_kmeans import errors
from gpu_kmeans.data.catalogue import load_catalogue
from gpu_kmeans.data.json_lists import directors, read_lists
from gpu_kmeans.data.sample import paths


@pytest.fixture(scope="module")
def load(backend):
    """``load_catalogue`` on each backend that is present."""
    return partial(load_catalogue, backend=backend)


@pytest.fixture
def write(tmp_path: Path):
    """Write rows (dicts, with every cell as given) to a CSV and return its path."""

    def to_csv(rows: list[dict[str, Any]], name: str = "films.csv") -> Path:
        with (tmp_path / name).open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        return tmp_path / name

    return to_csv


def films(*rows: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows with ids 1, 2, ... and different overviews unless given."""
    return [
        {"id": number, "title": f"Film {number}", "overview": f"text {number}"} | row
        for number, row in enumerate(rows, start=1)
    ]


def host(catalogue: Any) -> dict[str, list[Any]]:
    return catalogue.to_arrow().to_pydict()


# -- the whole -------------------------------------------------------------------------


def test_columns_get_canonical_names_and_types(load, write):
    movies = write(
        films(
            {
                "popularity": "1.5",
                "vote_average": "7",
                "vote_count": "12",
                "keywords": '[{"id": 3, "name": "sea"}]',
                "genres": '["Drama", "War"]',
                "release_date": "1999-01-02",
                "budget": "not a number, and not wanted",
            }
        )
    )
    credits = write(
        [
            {
                "movie_id": 1,
                "cast": '[{"name": "Ann", "character": "X"}]',
                "crew": '[{"name": "Bo", "job": "Editor"}, {"name": "Cy", "job": "Director"}]',
            }
        ],
        "credits.csv",
    )
    catalogue = load(movies, credits)
    text, number, names = pa.string(), pa.float64(), pa.list_(pa.string())
    assert {f.name: f.type for f in catalogue.to_arrow().schema} == {
        "id": pa.int64(),
        "title": text,
        "text": text,
        "popularity": number,
        "rating": number,
        "votes": number,
        "keywords": names,
        "genres": names,
        "date": text,
        "cast": names,
        "crew": names,
    }
    assert [values[0] for values in host(catalogue).values()] == [
        *(1, "Film 1", "text 1", 1.5, 7.0, 12.0, ["sea"], ["Drama", "War"], "1999-01-02"),
        *(["Ann"], ["Cy"]),
    ]
    assert len(catalogue) == len(catalogue.texts) == 1
    assert catalogue.report.warnings == ()


def test_default_columns_may_be_absent_and_are_reported(load, write):
    catalogue = load(write([{"id": 1, "overview": "x"}]))
    assert catalogue.to_arrow().column_names == ["id", "text"]
    assert catalogue.report.absent == (
        *("title", "popularity", "rating", "votes", "keywords", "genres", "date"),
    )


def test_columns_are_named_by_arguments(load, write):
    path = write([{"no": "a", "plot": "words", "stars": "4", "title": "T"}])
    catalogue = load(path, id="no", text="plot", rating="stars", title=None)
    assert host(catalogue) == {"id": ["a"], "text": ["words"], "rating": [4.0]}
    same = load(path, id="no", text="title")
    assert host(same)["text"] == host(same)["title"] == ["T"]


@pytest.mark.parametrize("column", ["id", "text", "title", "popularity", "keywords", "date"])
def test_a_column_named_by_the_caller_must_be_there(load, write, column):
    with pytest.raises(errors.MissingColumn, match=r"no column 'mine'; found 'id', 'title'"):
        load(write(films({})), **{column: "mine"})


def test_credits_must_have_their_id(load, write):
    credits = write([{"id": 1, "cast": "[]"}], "credits.csv")
    with pytest.raises(errors.MissingColumn, match=r"credits\.csv has no column 'movie_id'"):
        load(write(films({})), credits)


@pytest.mark.parametrize(
    "wrong", [{"id": None}, {"text": None}, {"credits_id": None}, {"title": 3}]
)
def test_arguments_that_name_no_column_are_refused(load, write, wrong):
    with pytest.raises(errors.InvalidParam, match="must be the name of a column"):
        load(write(films({})), **wrong)


def test_naming_columns_of_credits_without_credits_is_refused(load, write):
    with pytest.raises(errors.InvalidParam, match="no credits were given"):
        load(write(films({})), cast="actors")


# -- ids -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (["5", "-3", "0"], [5, -3, 0]),
        (["9223372036854775807", "1"], [9223372036854775807, 1]),
        (["007", "7"], ["007", "7"]),
        (["9223372036854775808", "1"], ["9223372036854775808", "1"]),
        (["1.0", "2"], ["1.0", "2"]),
        (["0x10", "16"], ["0x10", "16"]),
        ([" 7", "7"], [" 7", "7"]),
        (["NA", "None"], ["NA", "None"]),
    ],
)
def test_ids_are_integers_only_when_all_are_written_as_one(load, write, ids, expected):
    catalogue = load(write(films(*({"id": one} for one in ids))))
    assert host(catalogue)["id"] == expected


def test_a_repeated_id_is_refused_with_both_rows(load, write):
    path = write(films({"id": 8}, {"id": 9}, {"id": 7}, {"id": 9}))
    with pytest.raises(errors.DuplicateId, match=r"films\.csv.*id '9' stands on rows 3 and 5"):
        load(path)


def test_a_repeated_id_in_the_credits_is_refused(load, write):
    credits = write([{"movie_id": 1}, {"movie_id": 1}], "credits.csv")
    with pytest.raises(errors.DuplicateId, match=r"credits\.csv.*rows 2 and 3"):
        load(write(films({})), credits)


def test_an_empty_id_is_refused_with_its_row(load, write):
    with pytest.raises(errors.InputError, match=r"films\.csv, row 3, column 'id' is empty"):
        load(write(films({}, {"id": " "})))


# -- texts -----------------------------------------------------------------------------


def test_texts_and_titles_survive_as_written(load, write):
    titles = [
        "NA",
        "None",
        "null",
        "007",
        'a "b", c',
        "line\r\nbreak",
        "l\nl",
        "星の手紙屋",
        "=1+1",
    ]
    texts = [*titles, *(f"text {number}" for number in range(300))]  # one in a hundred may be NA
    catalogue = load(write(films(*({"title": t, "overview": t} for t in texts))))
    assert host(catalogue)["title"] == texts
    assert host(catalogue)["text"] == texts
    assert catalogue.report.filled == {}
    assert catalogue.report.missing_texts == 0


def test_missing_texts_are_kept_as_empty_and_counted(load, write):
    catalogue = load(write(films({}, {"overview": ""}, {"overview": ""}, {"title": ""})))
    assert host(catalogue)["text"] == ["text 1", "", "", "text 4"]
    assert catalogue.report.missing_texts == 2
    assert catalogue.report.filled == {"title": 1}
    assert catalogue.report.warnings == ("rows without a text, which cannot be clustered: 2 of 4",)


def test_a_catalogue_without_any_text_still_loads(load, write):
    assert load(write(films({"overview": ""}, {"overview": ""}))).report.missing_texts == 2


def test_two_films_of_one_title_stay_two(load, write):
    catalogue = load(write(films({"title": "The Host"}, {"title": "The Host"})))
    assert host(catalogue)["id"] == [1, 2]


def test_repeated_texts_are_fine_with_a_warning(load, write):
    same = {"overview": "same"}
    catalogue = load(write(films(same, {"overview": ""}, same, {"overview": ""}, same)))
    assert "rows that repeat the text of another row: 2 of 5" in catalogue.report.warnings


# -- numbers ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("7", 7.0),
        ("-0.5", -0.5),
        ("+3.", 3.0),
        (".25", 0.25),
        ("1e3", 1000.0),
        (" 4 ", 4.0),
        ("1E-400", 0.0),
        ("3.4028235e38", 3.4028235e38),
        ("0" * 5000 + "1", 1.0),
    ],
)
def test_numbers_are_read(load, write, cell, value):
    assert host(load(write(films({"popularity": cell}))))["popularity"] == [value]


@pytest.mark.parametrize(
    ("cell", "error"),
    [
        *(
            (cell, errors.NotNumeric)
            for cell in ("many", "1_000", "1,5", "0x1F", "1 2", "٣", "--1")
        ),
        *((cell, errors.NotNumeric) for cell in ("None", "1e", ".", "$5", "1\n2", "True")),
        *((cell, errors.NonFinite) for cell in ("NaN", "nan", "inf", "-Infinity", "1e999")),
        ("9" * 5000, errors.NonFinite),
        ("1e39", errors.OutOfRange),
        ("-3.5e38", errors.OutOfRange),
    ],
)
@pytest.mark.parametrize("column", ["popularity", "vote_average", "vote_count"])
def test_what_is_no_finite_number_is_refused_with_its_place(load, write, column, cell, error):
    path = write(films({column: "1"}, {column: ""}, {column: cell}))
    role = {"vote_average": "rating", "vote_count": "votes"}.get(column, column)
    with pytest.raises(error, match=rf"^films\.csv, row 4, column '{column}'") as caught:
        load(path, **{role: column})
    assert len(str(caught.value)) < 250


def test_empty_numbers_become_zero_and_are_counted(load, write):
    path = write(films({"popularity": "3"}, {"popularity": ""}, {"popularity": " "}))
    catalogue = load(path)
    assert host(catalogue)["popularity"] == [3.0, 0.0, 0.0]
    assert catalogue.report.filled == {"popularity": 2}
    assert catalogue.report.warnings == (
        "films.csv, column 'popularity': empty cells taken as 0: 2 of 3",
    )


def test_a_constant_column_is_fine_with_a_warning(load, write):
    catalogue = load(write(films({"vote_count": "5"}, {"vote_count": "5"})))
    assert len(catalogue.report.warnings) == 1
    assert "'vote_count' has one value on every row" in catalogue.report.warnings[0]


@pytest.mark.slow
@settings(deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False, width=32))
def test_every_float32_is_read_as_python_reads_it(load, tmp_path_factory, value):
    path = tmp_path_factory.mktemp("numbers") / "films.csv"
    path.write_text(f"id,overview,popularity\n1,x,{value!r}\n")
    assert host(load(path))["popularity"] == [value]


# -- lists -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "names"),
    [
        ("", []),
        ("  ", []),
        ("null", []),
        ("[]", []),
        ('["a", "b"]', ["a", "b"]),
        ('[{"id": 1, "name": "a"}, "b"]', ["a", "b"]),
        (r'[{"name": "Skarsg\u00e5rd \"Bo\""}]', ['Skarsgård "Bo"']),
        ('[{"name": "x", "more": ' + "[" * 98 + "]" * 98 + "}]", ["x"]),
        (json.dumps([{"name": str(n)} for n in range(300)]), [str(n) for n in range(300)]),
    ],
)
def test_list_cells_are_read_as_names(load, write, cell, names):
    assert host(load(write(films({"genres": cell}))))["genres"] == [names]


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("Drama", "not JSON"),
        ('[{"name": "a"}', "not JSON"),
        ('["a"] x', "not JSON"),
        ("[{'name': 'a'}]", "written as Python"),
        ("['a']", "written as Python"),
        ("__import__('os').getcwd()", "not JSON"),
        ("[" * 101 + "]" * 101, "more than 100 deep"),
        ('[{"name": "x", "more": ' + "[" * 99 + "]" * 99 + "}]", "more than 100 deep"),
        ("[" * 5000 + "]" * 5000, "not JSON"),
        ('{"name": "a"}', "an object, not a list"),
        ('"a"', "a text, not a list"),
        ("5", "a number, not a list"),
        ("true", "a truth value, not a list"),
        ('["a", 5]', "member 2 of the list is a number"),
        ("[null]", "member 1 of the list is null"),
        ("[[]]", "member 1 of the list is a list"),
        ('[{"id": 1}]', "member 1 of the list is an object without a text as its name"),
        ('[{"name": 5}]', "without a text as its name"),
        (r'["\ud800"]', "not JSON"),
        (r'[{"name": "\udc00"}]', "not JSON"),
        ("[" + "9" * 5000 + "]", "not JSON"),
        ('[{"name": "a", "id": ' + "9" * 5000 + "}]", "not JSON"),
        ("[NaN]", "not JSON"),
        ("[1e999]", "not JSON"),
    ],
)
@pytest.mark.parametrize("column", ["genres", "keywords"])
def test_other_list_cells_are_refused_with_their_place(load, write, column, cell, said):
    path = write(films({column: "[]"}, {column: cell}))
    with pytest.raises(
        errors.InvalidJsonCell, match=rf"^films\.csv, row 3, column '{column}'"
    ) as e:
        load(path, **{column: column})
    assert said in str(e.value)
    assert len(str(e.value)) < 250


@pytest.mark.parametrize("movie", ["1", "999"])
def test_list_cells_of_credits_are_checked_even_where_the_row_is_dropped(load, write, movie):
    credits = write([{"movie_id": movie, "cast": "nobody"}], "credits.csv")
    with pytest.raises(errors.InvalidJsonCell, match=r"^credits\.csv, row 2, column 'cast'"):
        load(write(films({})), credits, cast="cast")


@settings(deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
def test_any_json_is_either_names_or_refused(value):
    cell = json.dumps(value)
    try:
        rows, empty = read_lists([cell], "f.csv", "c")
    except errors.InvalidJsonCell:
        assert not isinstance(value, list) or not all(isinstance(one, str) for one in value)
    else:
        assert rows == [value or []]
        assert empty == (value is None)


def test_of_a_crew_the_directors_are_kept_where_jobs_are_given():
    director = {"name": "A", "job": "Director"}
    assert directors([{"name": "B", "job": "Editor"}, director]) == ["A"]
    assert directors([{"name": "B", "job": "Editor"}]) == []
    assert directors([{"name": "B"}, "C"]) == ["B", "C"]
    assert directors([]) == []


def test_equal_list_cells_are_read_and_counted_each(load, write):
    cells = ['["a"]', "null", '["a"]', "", "null", "[]", "[]"]
    catalogue = load(write(films(*({"genres": cell} for cell in cells))))
    assert host(catalogue)["genres"] == [["a"], [], ["a"], [], [], [], []]
    assert catalogue.report.filled == {"genres": 3}


def test_empty_list_cells_are_counted(load, write):
    catalogue = load(write(films({"genres": ""}, {"genres": "null"}, {"genres": "[]"})))
    assert catalogue.report.filled == {"genres": 2}
    assert catalogue.to_arrow().schema.field("genres").type == pa.list_(pa.string())


# -- joins -----------------------------------------------------------------------------


def test_credits_are_joined_by_id_and_everything_unmatched_is_counted(load, write):
    movies = write(films({"id": 30}, {"id": 10}, {"id": 20}))
    rows = [("99", "Nobody"), ("20", "Two"), ("30", "Three")]
    credits = write(
        [{"movie_id": i, "title": "Film 1", "cast": f'["{name}"]'} for i, name in rows],
        "credits.csv",
    )
    catalogue = load(movies, credits)
    assert host(catalogue)["id"] == [30, 10, 20]
    assert host(catalogue)["cast"] == [["Three"], [], ["Two"]]
    assert catalogue.report.to_dict()["credits"] == {
        "matched": 2,
        "without_credits": 1,
        "dropped": 1,
    }
    assert catalogue.report.warnings == (
        "rows without credits, whose lists are empty: 1 of 3",
        "credits of no row, which were dropped: 1 of 3",
    )


def test_ids_are_joined_as_written(load, write):
    movies = write(films({"id": "007"}, {"id": "7"}))
    credits = write([{"movie_id": "7", "cast": '["Ann"]'}], "credits.csv")
    assert host(load(movies, credits))["cast"] == [[], ["Ann"]]


def test_credits_may_match_nothing_and_hold_no_lists(load, write):
    credits = write([{"movie_id": 5}], "credits.csv")
    catalogue = load(write(films({})), credits)
    assert catalogue.report.absent[-2:] == ("cast", "crew")
    assert catalogue.report.credits is not None
    assert catalogue.report.credits.matched == 0


# -- Parquet ---------------------------------------------------------------------------


def test_parquet_with_typed_columns_gives_the_same_catalogue_as_csv(load, write, tmp_path):
    cells = {"popularity": "1.5", "vote_count": "3", "genres": '["Drama"]'}
    movies = write(films(cells | {"release_date": "1999-01-02"}, {"overview": ""}))
    credits = write([{"movie_id": 2, "cast": '["Ann"]'}], "credits.csv")
    typed = pa.table(
        {
            "id": [1, 2],
            "title": pa.array(["Film 1", "Film 2"]).dictionary_encode(),
            "overview": ["text 1", None],
            "popularity": [1.5, None],
            "vote_count": pa.array([3, None], pa.int16()),
            "genres": [[{"id": 4, "name": "Drama"}], None],
            "release_date": [datetime.date(1999, 1, 2), None],
        }
    )
    pq.write_table(typed, tmp_path / "films.parquet")
    expected = load(movies, credits)
    catalogue = load(tmp_path / "films.parquet", credits)
    assert host(catalogue) == host(expected)
    assert catalogue.to_arrow().schema == expected.to_arrow().schema
    assert catalogue.report.filled == {"popularity": 1, "votes": 1, "genres": 1, "date": 1}
    assert catalogue.report.missing_texts == 1


def test_parquet_columns_of_nulls_alone_are_empty_and_counted(load, write, tmp_path):
    nothing = pa.nulls(2)
    names = ("overview", "title", "popularity", "genres", "release_date")
    pq.write_table(
        pa.table({"id": [1, 2], **dict.fromkeys(names, nothing)}), tmp_path / "films.parquet"
    )
    pq.write_table(
        pa.table({"movie_id": [1, 2], "cast": nothing, "crew": nothing}), tmp_path / "c.parquet"
    )
    catalogue = load(tmp_path / "films.parquet", tmp_path / "c.parquet")
    assert host(catalogue) == {
        "id": [1, 2],
        **{name: ["", ""] for name in ("text", "title", "date")},
        "popularity": [0.0, 0.0],
        **{name: [[], []] for name in ("genres", "cast", "crew")},
    }
    assert catalogue.report.missing_texts == 2
    assert catalogue.report.filled == dict.fromkeys(("title", "popularity", "genres", "date"), 2)
    cells = {"overview": "", "title": "", "popularity": "", "genres": "", "release_date": ""}
    csv_rows = write(films(cells, cells))
    credits = write([{"movie_id": n, "cast": "", "crew": ""} for n in (1, 2)], "credits.csv")
    assert catalogue.to_arrow().equals(
        load(csv_rows, credits).to_arrow().select(catalogue.to_arrow().column_names)
    )


def test_parquet_ids_that_are_all_null_are_refused(load, tmp_path):
    table = pa.table({"id": pa.nulls(2), "overview": ["x", "y"]})
    pq.write_table(table, tmp_path / "films.parquet")
    with pytest.raises(errors.InputError, match=r"films\.parquet, row 2, column 'id' is empty"):
        load(tmp_path / "films.parquet")


def test_parquet_text_may_be_of_any_arrow_text_type(load, tmp_path):
    cells = {
        "id": ["a", "b"],
        "overview": ["x", None],
        "popularity": ["1.5", None],
        "genres": ['["Drama"]', None],
    }
    read = []
    for kind in (pa.string(), pa.large_string(), pa.string_view()):
        table = pa.table({name: pa.array(values, kind) for name, values in cells.items()})
        pq.write_table(table, tmp_path / "films.parquet")
        assert pq.read_schema(tmp_path / "films.parquet").field("overview").type == kind
        read.append(load(tmp_path / "films.parquet"))
    assert host(read[0]) == {
        "id": ["a", "b"],
        "text": ["x", ""],
        "popularity": [1.5, 0.0],
        "genres": [["Drama"], []],
    }
    assert all(host(each) == host(read[0]) for each in read)
    assert all(each.report == read[0].report for each in read)


@pytest.mark.parametrize(
    ("column", "values", "error"),
    [
        ("popularity", pa.array([1.0, float("nan")]), errors.NonFinite),
        ("popularity", pa.array([1.0, 1e39]), errors.OutOfRange),
        ("popularity", pa.array([True, False]), errors.NotNumeric),
        ("overview", pa.array([[1], [2]]), errors.InputError),
        ("id", pa.array([b"x", b"y"]), errors.InputError),
        ("genres", pa.array([[1], [2]]), errors.InvalidJsonCell),
    ],
)
def test_parquet_columns_of_a_wrong_type_are_refused(load, tmp_path, column, values, error):
    role = {"overview": "text"}.get(column, column)
    columns = {"id": pa.array([1, 2]), "overview": pa.array(["x", "y"])} | {column: values}
    pq.write_table(pa.table(columns), tmp_path / "films.parquet")
    with pytest.raises(error, match=rf"films\.parquet.*column '{column}'"):
        load(tmp_path / "films.parquet", **{role: column})


# -- the same on every backend ---------------------------------------------------------


def assert_same_as_on_the_cpu(load, *files):
    catalogue, expected = load(*files), load_catalogue(*files, backend="cpu")
    assert catalogue.to_arrow().equals(expected.to_arrow())
    assert catalogue.report == expected.report


def test_the_sample_is_the_same_catalogue_on_every_backend(load):
    assert_same_as_on_the_cpu(load, *paths())


def test_list_cells_of_any_shape_are_the_same_on_every_backend(load, write):
    cells = [
        '[{"name": "A", "job": "Director"}, {"name": "B", "job": "Editor"}]',
        '[{"name": "A", "job": "Producer"}]',
        '[{"name": "A", "job": null}, {"name": "B"}, "C"]',
        '[{"name": "A", "job": 0}, {"name": "B", "job": []}]',
        '[{"name": "A", "job": {"x": []}}, {"name": "B", "job": "Director"}]',
        r'[{"name": "A", "job": "\u0044irector"}, {"n\u0061me": "B"}]',
        '[{"name": 5, "name": "last", "job": "x", "job": "Director"}]',
        r'["Zo\u00eb", "\ud83c\udfac \"q\" \\ \/ \b\f\n\r\t", "星", ""]',
        ' [ { "more" : { "name" : [ "inner" ] , "n" : -1.5e+3 } , "name" : "outer" } ] ',
        '[{"name": "x", "n": 123456789012345678901234567890, "deep": ' + "[" * 80 + "]" * 80 + "}]",
        *("", " ", "\u00a0", "null", " null\n", "[]", "[ ]"),
    ]
    movies = write(films(*({"genres": cell} for cell in cells)))
    rows = [{"movie_id": i, "crew": cell} for i, cell in enumerate(reversed(cells), start=3)]
    credits = write(rows, "credits.csv")
    assert_same_as_on_the_cpu(load, movies, credits)


# -- the real data ---------------------------------------------------------------------


def test_the_tmdb_files_are_the_same_catalogue_on_every_backend(load, tmdb):
    assert_same_as_on_the_cpu(load, tmdb / "tmdb_5000_movies.csv", tmdb / "tmdb_5000_credits.csv")


def test_the_tmdb_files_load_whole(load, tmdb):
    catalogue = load(tmdb / "tmdb_5000_movies.csv", tmdb / "tmdb_5000_credits.csv")
    report = catalogue.report
    assert len(catalogue) == 4803
    assert report.missing_texts == 3
    assert report.filled == {"date": 1}
    assert report.absent == ()
    assert report.credits is not None
    assert report.credits.matched == 4803
    table = catalogue.to_arrow()
    assert table.schema.field("id").type == pa.int64()
    assert sum(bool(names) for names in table["cast"].to_pylist()) == 196
    assert json.loads(json.dumps(report.to_dict()))["rows"] == 4803
