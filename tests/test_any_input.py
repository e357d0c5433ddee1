"""Whatever comes in, only errors of this package come out: of any Arrow type, bytes or argument."""

from __future__ import annotations

import datetime as dt
import decimal
import io
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_kmeans import Model, Recommender, errors, fit, load_catalogue
from gpu_kmeans.data.sample import paths

FILMS, _ = paths()
ROLES = {
    "id": "id",
    "text": "overview",
    "title": "title",
    "popularity": "popularity",
    "genres": "genres",
    "date": "release_date",
}


@pytest.fixture(scope="module")
def load(backend):
    return partial(load_catalogue, backend=backend)


# -- types of Parquet -----------------------------------------------------------------------


def cast(values: list[Any], kind: pa.DataType, through: pa.DataType) -> pa.Array:
    return pa.array(values, through).cast(kind)


def cells_of_every_type() -> dict[str, pa.Array]:
    """Three cells of each type that Arrow has and Parquet can hold."""
    cells: dict[str, pa.Array] = {"null": pa.nulls(3), "bool": pa.array([True, False, None])}
    for kind in (pa.int8(), pa.uint16(), pa.int64(), pa.uint64()):
        cells[str(kind)] = pa.array([1, 2, None], kind)
    for kind in (pa.float16(), pa.float32(), pa.float64()):
        cells[str(kind)] = cast([1.5, 2.0, None], kind, pa.float64())
    for kind in (pa.decimal32(5, 1), pa.decimal64(9, 1), pa.decimal128(9, 2), pa.decimal256(50, 3)):
        cells[str(kind)] = pa.array([decimal.Decimal(1), decimal.Decimal(2), None], kind)
    for kind in (pa.date32(), pa.time32("s"), pa.time32("ms")):
        cells[str(kind)] = cast([1, 2, None], kind, pa.int32())
    for unit in ("s", "ms", "us", "ns"):
        for zone in (None, "UTC", "Europe/Berlin", "+05:30"):
            kind = pa.timestamp(unit, zone)
            cells[str(kind)] = cast([1, 2, None], kind, pa.int64())
        cells[str(pa.duration(unit))] = cast([1, 2, None], pa.duration(unit), pa.int64())
    for kind in (pa.time64("us"), pa.time64("ns")):
        cells[str(kind)] = cast([1, 2, None], kind, pa.int64())
    days = [dt.date(2020, 1, 1), dt.date(2020, 1, 2), None]
    cells["date64"] = pa.array(days, pa.date64())
    for kind in (pa.binary(), pa.large_binary(), pa.binary_view(), pa.binary(2)):
        cells[str(kind)] = pa.array([b"ab", b"\xff\xfe", None], kind)
    for kind in (pa.string(), pa.large_string(), pa.string_view()):
        cells[str(kind)] = pa.array(["ab", '["x"]', None], kind)
    for values in ([1, 2, None], days, [b"a", b"b", None], ["a", "b", None]):
        array = pa.array(values)
        cells[f"dictionary of {array.type}"] = array.dictionary_encode()
    for kind in (
        *(pa.list_(pa.string()), pa.large_list(pa.string()), pa.list_view(pa.string())),
        *(pa.large_list_view(pa.string()), pa.list_(pa.string_view())),
        pa.list_(pa.dictionary(pa.int32(), pa.string())),
    ):
        cells[str(kind)] = pa.array([["a"], [], None], kind)
    for member, values in (
        (pa.binary(), [b"a"]),
        (pa.int64(), [1]),
        (pa.date32(), [1]),
        (pa.duration("ns"), [1]),
        (pa.timestamp("ns"), [1]),
        (pa.decimal128(5, 1), [decimal.Decimal(1)]),
        (pa.list_(pa.null()), [[]]),
        (pa.null(), [None]),
        (pa.map_(pa.string(), pa.string()), [[("k", "v")]]),
        (pa.struct({"name": pa.string(), "job": pa.string()}), [{"name": "a", "job": "x"}]),
        (pa.struct({"name": pa.string(), "when": pa.duration("ns")}), [{"name": "a", "when": 1}]),
        (pa.struct({"name": pa.int64()}), [{"name": 1}]),
        (pa.struct({"other": pa.string()}), [{"other": "a"}]),
    ):
        cells[f"list of {member}"] = pa.array([values, [], None], pa.list_(member))
    cells["list of three"] = pa.array([["a"] * 3, ["b"] * 3, None], pa.list_(pa.string(), 3))
    cells["struct"] = pa.array([{"name": "a"}, None, {"name": None}])
    cells["map"] = pa.array([[("k", "v")], [], None], pa.map_(pa.string(), pa.string()))
    cells["uuid"] = pa.array([b"0123456789abcdef", None, b"0123456789abcdee"], pa.uuid())
    cells["json"] = pa.ExtensionArray.from_storage(pa.json_(), pa.array(['["a"]', "x", None]))
    cells["tensor"] = pa.ExtensionArray.from_storage(
        pa.fixed_shape_tensor(pa.int32(), [2]), pa.array([[1, 2]] * 3, pa.list_(pa.int32(), 2))
    )
    # What a type can hold, and a text or a date cannot.
    cells["texts that are not UTF-8"] = pa.array([b"ab", b"\xff\xfe", None]).view(pa.string())
    cells["the last moments"] = cast([2**63 - 1, 1 - 2**63, 0], pa.timestamp("ns"), pa.int64())
    cells["days beyond the calendar"] = cast([2**31 - 1, -(2**31), 0], pa.date32(), pa.int32())
    cells["an unknown zone"] = cast([1, 2, 3], pa.timestamp("s", "No/Where"), pa.int64())
    cells["no numbers"] = pa.array([float("nan"), float("inf"), -0.0])
    cells["large numbers"] = pa.array([2**64 - 1, 0, 1], pa.uint64())
    return cells


EVERY_TYPE = cells_of_every_type()


@pytest.mark.parametrize("role", ROLES)
def test_a_column_of_any_type_is_read_or_refused_by_its_name(load, tmp_path, role):
    column = ROLES[role]
    outcomes = set()
    for name, cells in EVERY_TYPE.items():
        columns = {"id": pa.array([1, 2, 3]), "overview": pa.array(["one", "two", "three"])}
        pq.write_table(pa.table(columns | {column: cells}), tmp_path / "films.parquet")
        for wanted in (True, False):
            try:
                catalogue = load(tmp_path / "films.parquet", **({role: column} if wanted else {}))
            except errors.InputError as error:
                assert f"column {column!r}" in str(error), name
                assert str(error).startswith("films.parquet"), name
                assert len(str(error)) < 500, name
                outcomes.add(f"refused, {wanted=}")
            else:
                assert catalogue.to_arrow().num_rows == 3, name
                assert (
                    wanted
                    or role in catalogue.to_arrow().column_names
                    or (f"column {column!r}" in catalogue.report.left_out[role])
                ), name
                outcomes.add(f"read, {wanted=}")
    always_wanted = {"id", "text", "date"}  # times are no dates, whoever asked for them
    refused = {f"refused, wanted={wanted}" for wanted in (True, *[False] * (role in always_wanted))}
    assert refused <= outcomes
    assert "read, wanted=False" in outcomes


@pytest.mark.parametrize(
    "kind", [pa.time32("s"), pa.time64("ns"), pa.duration("us"), pa.duration("s")], ids=str
)
def test_times_and_durations_are_no_dates(load, tmp_path, kind):
    cells = EVERY_TYPE[str(kind)]
    table = pa.table({"id": [1, 2, 3], "overview": ["a", "b", "c"], "release_date": cells})
    pq.write_table(table, tmp_path / "films.parquet")
    with pytest.raises(errors.InputError, match=r"^films\.parquet, column 'release_date' holds"):
        load(tmp_path / "films.parquet")
    assert load(tmp_path / "films.parquet", date=None).report.absent[-1] == "genres"


# -- the same table in each format -----------------------------------------------------------

SCALARS = {
    "years": st.integers(1900, 2030),
    "integers": st.integers(-(2**63), 2**63 - 1),
    "reals": st.floats(allow_nan=False, allow_infinity=False),
    "truths": st.booleans(),
    "days": st.dates(dt.date(1678, 1, 1), dt.date(2261, 1, 1)),
    "moments": st.datetimes(dt.datetime(1678, 1, 1), dt.datetime(2261, 1, 1)),
    "texts": st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r")),
}


def series_of(name: str, cells: list[Any]) -> pd.Series[Any]:
    if name == "moments":
        return pd.Series(pd.to_datetime(pd.Series(cells, dtype="datetime64[us]")))
    return pd.Series(cells, dtype={"days": object}.get(name))


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(sorted(SCALARS)).flatmap(
        lambda name: st.tuples(st.just(name), st.lists(SCALARS[name], min_size=1, max_size=4))
    )
)
def test_the_same_table_is_the_same_catalogue_in_each_format(load, tmp_path_factory, named):
    name, cells = named
    column = series_of(name, cells)
    words = [f"word{n}" for n in range(len(cells))]
    table = pd.DataFrame({"id": words, "overview": words, "title": column, "release_date": column})
    folder = tmp_path_factory.mktemp("formats")
    table.to_csv(folder / "films.csv", index=False)
    table.to_parquet(folder / "films.parquet", index=False)
    of_csv, of_parquet = load(folder / "films.csv"), load(folder / "films.parquet")
    assert of_parquet.to_arrow().equals(of_csv.to_arrow())
    assert of_parquet.report.filled == of_csv.report.filled


def test_a_column_of_years_is_the_same_in_each_format(load, tmp_path):
    table = pd.DataFrame({"id": [1, 2], "overview": ["x", "y"], "release_date": [1995, 1996]})
    table.to_csv(tmp_path / "films.csv", index=False)
    table.to_parquet(tmp_path / "films.parquet")
    for name in ("films.csv", "films.parquet"):
        assert load(tmp_path / name).to_arrow()["date"].to_pylist() == ["1995", "1996"]


def test_cells_that_pandas_has_no_value_for_are_empty(load, tmp_path):
    table = pd.DataFrame(
        {
            "id": pd.array([1, 2], "Int64"),
            "overview": pd.array(["x", pd.NA], "string"),
            "popularity": pd.array([1.5, pd.NA], "Float64"),
            "release_date": [dt.date(1999, 1, 2), None],
            "genres": [["Drama"], None],
        }
    )
    table.to_parquet(tmp_path / "films.parquet")
    catalogue = load(tmp_path / "films.parquet")
    assert catalogue.to_arrow().to_pydict() == {
        "id": [1, 2],
        "text": ["x", ""],
        "popularity": [1.5, 0.0],
        "genres": [["Drama"], []],
        "date": ["1999-01-02", ""],
    }


# -- bytes ---------------------------------------------------------------------------------

PIECES = [
    *(b'"', b",", b"\n", b"\r", b"\0", b"\xff", b"\xef\xbb\xbf", b"nan", b"[", b"]", b"{", b'"id"'),
    *(b"id", b"overview", b"1e999", b"\xff\xfe", b"PK\x03\x04", b"PAR1", b"\x1f\x8b", b" ", b";"),
]
SOUND = b'id,title,overview,genres,popularity\n1,A,"a ship","[""x""]",1.5\n2,B,love,[],2\n'


def spoiled(sound: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
    """The bytes with some replaced: place, how many, and by what."""
    for at, length, piece in changes:
        at %= len(sound) + 1
        sound = sound[:at] + piece + sound[at + length :]
    return sound


any_changes = st.lists(
    st.tuples(
        st.integers(0, 1 << 16),
        st.integers(0, 4),
        st.one_of(st.sampled_from(PIECES), st.binary(max_size=4)),
    ),
    min_size=1,
    max_size=6,
)


def only_our_errors(load: Any, path: Path, **options: Any) -> None:
    for wanted in ({}, {"genres": "genres", "popularity": "popularity"}):
        try:
            load(path, **wanted, **options)
        except errors.InputError as error:
            assert str(error).startswith(path.name)
            assert str(path.parent) not in str(error)


@settings(max_examples=100, deadline=None)
@given(
    changes=any_changes,
    encoding=st.sampled_from(
        [None, "utf-8", "utf-16", "utf-32", "utf-7", "windows-1252", "shift_jis", "idna", "hz"]
    ),
)
def test_any_csv_is_read_or_refused(load, tmp_path_factory, changes, encoding):
    path = tmp_path_factory.mktemp("csv") / "films.csv"
    path.write_bytes(spoiled(SOUND, changes))
    only_our_errors(load, path, encoding=encoding)


def parquet_file() -> bytes:
    out = io.BytesIO()
    columns = {
        "id": list(range(30)),
        "overview": [f"text {n}" for n in range(30)],
        "genres": [["a", "b"]] * 30,
        "popularity": [1.5] * 29 + [None],
        "title": pa.array(["x"] * 30).dictionary_encode(),
        "release_date": cast([1] * 30, pa.date32(), pa.int32()),
    }
    pq.write_table(pa.table(columns), out, compression="none")
    return out.getvalue()


PARQUET = parquet_file()
FOOTER = len(PARQUET) - 8 - int.from_bytes(PARQUET[-8:-4], "little")


@settings(max_examples=60, deadline=None)
@given(
    places=st.lists(
        st.one_of(st.integers(4, FOOTER - 1), st.integers(FOOTER, len(PARQUET) - 1)),
        min_size=1,
        max_size=6,
    ),
    values=st.lists(st.integers(0, 255), min_size=6, max_size=6),
)
def test_any_parquet_is_read_or_refused(load, tmp_path_factory, places, values):
    content = bytearray(PARQUET)
    for place, value in zip(places, values, strict=False):
        content[place] = value
    path = tmp_path_factory.mktemp("parquet") / "films.parquet"
    path.write_bytes(content)
    only_our_errors(load, path)


# -- arguments -----------------------------------------------------------------------------

NO_PATHS = [
    *(1, 1.5, True, b"films.csv", [FILMS], (FILMS,), {}, set(), object(), pd.NA, np.nan, range(3)),
    *(pd.DataFrame({"id": [1]}), pd.Series([1]), np.zeros(3), pa.table({"id": [1]})),
    *(io.StringIO("id,overview\n1,x"), io.BytesIO(b"id,overview\n1,x"), Model),
]
NO_FILES = ["", "\0", "a\0b", "\udc80", "\ud800", "x" * 5000, "http://localhost/films.csv", "id\n1"]


def kind_of(value: Any) -> str:
    return type(value).__name__


@pytest.mark.parametrize("value", [None, *NO_PATHS], ids=kind_of)
def test_what_is_no_path_is_refused_with_the_way_out(backend, value):
    with pytest.raises(errors.InvalidParam, match=r"^movies must be the path of a file.*: \w+"):
        fit(value, backend=backend)
    with pytest.raises(errors.InvalidParam, match=r"^path must be the path of a file"):
        Model.load(value)
    if value is not None:
        with pytest.raises(errors.InvalidParam, match=r"^credits must be the path of a file"):
            load_catalogue(FILMS, value, backend=backend)


@pytest.mark.parametrize(
    ("value", "way_out"),
    [
        (pd.DataFrame({"id": [1]}), r"\.to_parquet\('table.parquet'\)"),
        (pa.table({"id": [1]}), r"pyarrow\.parquet\.write_table"),
        (io.StringIO("id\n1"), "write what it holds to a file"),
        (b"films.csv", r"os\.fsdecode"),
        ([FILMS], "one file"),
    ],
    ids=kind_of,
)
def test_the_way_out_is_that_of_the_kind(value, way_out):
    with pytest.raises(errors.InvalidParam, match=way_out):
        fit(value)


@pytest.mark.parametrize("value", NO_FILES)
def test_a_text_that_no_file_has_as_its_name_is_a_file_problem(load, value):
    with pytest.raises(errors.FileProblem) as caught:
        load(value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("value", [*NO_PATHS, "text", ["text"], {"words": "overview"}], ids=kind_of)
def test_columns_that_are_no_roles_and_names_are_refused(backend, value):
    if isinstance(value, dict) and not value:
        pytest.skip("no column is named, and none needs to be")
    with pytest.raises(errors.InvalidParam, match="columns"):
        fit(FILMS, columns=value, backend=backend)


@pytest.mark.parametrize(
    "encoding", [1, b"utf-8", "", "no such", "\0", "\ud800", "base64", "hex", "undefined", [], None]
)
def test_encodings_are_those_of_texts(load, encoding):
    if encoding is None:
        assert len(load(FILMS, encoding=encoding)) == 243
    else:
        with pytest.raises(errors.InvalidParam, match="encoding must be the name of an encoding"):
            load(FILMS, encoding=encoding)


@pytest.mark.parametrize("name", ["callback", "on_stage", "algorithm", "backend"])
@pytest.mark.parametrize("value", [1, pd.DataFrame({"a": [1, 2]}), np.zeros(3), pd.NA], ids=kind_of)
def test_other_arguments_of_a_fit_are_checked_before_any_work(name, value):
    with pytest.raises(errors.InvalidParam, match=name):
        fit(FILMS, **{"backend": "cpu", name: value})


@pytest.mark.parametrize("value", [None, *NO_PATHS], ids=kind_of)
def test_a_recommender_is_of_a_model(value):
    with pytest.raises(errors.InvalidParam, match="model must be a Model"):
        Recommender(value)
