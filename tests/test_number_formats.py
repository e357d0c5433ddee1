"""Numbers as people write them: one format a column, and never a guess."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_kmeans import fit
from gpu_kmeans.data.catalogue import load_catalogue
from gpu_kmeans.data.number_formats import PLAIN, NumberFormat, number_format
from gpu_kmeans.errors import NotNumeric
from gpu_kmeans.questions.assign import assign
from gpu_kmeans.questions.look import look


def column(*cells: str) -> pa.ChunkedArray:
    return pa.chunked_array([list(cells)], pa.string())


def values(*cells: str) -> list[float] | None:
    custom = number_format(column(*cells))
    return custom and [float(cell) for cell in custom.plain(column(*cells)).to_pylist()]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (("1", "2.5", "1e3"), [1, 2.5, 1000]),
        (("2,5", "-1,5", "3"), [2.5, -1.5, 3]),
        (("1.234,50", "99", "7"), [1234.5, 99, 7]),
        (("1,234.50", "99"), [1234.5, 99]),
        (("1,234,567", "12"), [1234567, 12]),
        (("1 234,5", "1\u00a0234,5".replace("\u00a0", " ")), [1234.5, 1234.5]),
        (("1\u202f234", "5"), [1234, 5]),
        (("1'234.5", "2"), [1234.5, 2]),
        (("$54,000", "$61,500"), [54000, 61500]),
        (("-$5", "$-5", "$ 1.50"), [-5, -5, 1.5]),
        (("12 %", "5%"), [12, 5]),
        (("12,50 €", "1.000,00 €"), [12.5, 1000]),
        (("EUR 5", "EUR 7.5"), [5, 7.5]),
        (("0,123", "1,234"), [0.123, 1.234]),
    ],
)
def test_a_column_has_the_format_that_fits_all_its_cells(cells, expected):
    assert values(*cells) == expected


@pytest.mark.parametrize(
    "cells",
    [
        ("1,234", "2,345"),  # thousands, or little more than one
        ("1", "1,5"),  # a slip, or a custom
        ("2,5", "1.5"),
        ("$5", "7"),
        ("$5", "5 %"),
        ("ABC 1", "ABC 2"),  # names of things
        ("INV1", "INV2"),
        ("1 2", "2"),
        ("1_000", "2"),
        ("192.168.100.101", "192.168.100.102"),
        ("2020-01-01", "2020-01-02"),
        ("030 123 456", "030 123 457"),
        ("5,", "6,"),
        ("٣", "٤"),
        ("", "1"),
        (),
    ],
)
def test_what_may_be_read_in_two_ways_or_is_no_number_has_no_format(cells):
    assert number_format(column(*cells)) is None


@given(
    st.lists(st.integers(-(10**9), 10**9), min_size=1, max_size=8),
    st.sampled_from([(".", ","), (",", "."), (",", " "), (".", "'"), (".", ""), (",", "")]),
    st.sampled_from([("", ""), ("$", ""), ("", " €"), ("", "%"), ("CHF ", "")]),
)
def test_a_number_is_never_read_as_another(cents, signs, units):
    decimal, group = signs

    def written(value: int) -> str:
        digits = f"{abs(value) / 100:,.2f}".replace(",", "\0").replace(".", decimal)
        return f"{'-' * (value < 0)}{units[0]}{digits.replace(chr(0), group)}{units[1]}"

    read = values(*map(written, cents))
    assert read is None or read == [value / 100 for value in cents]
    if not group and decimal == ".":
        assert read is not None


def test_a_format_comes_back_from_what_is_stored_and_nothing_else_does():
    custom = NumberFormat(",", ".", "€")
    assert NumberFormat.of(custom.to_dict()) == custom
    for damaged in (None, [], {"decimal": 1}, {"decimal": "x"}, {"decimal": ",", "group": 0}):
        assert NumberFormat.of(damaged) is None
    assert PLAIN.words == ""


CUSTOMERS = "id;age;income;city\n" + "".join(
    f"c{i};{20 + i};{i}.{100 + 37 * i},{i}0;{'Ulm' if i % 2 else 'Bonn'}\n" for i in range(1, 10)
)


def test_decimal_commas_of_a_file_are_clustered_as_numbers_and_it_says_so(tmp_path):
    path = tmp_path / "kunden.csv"
    path.write_text(CUSTOMERS)
    roles = {each.column: each.role for each in look(path).columns}
    assert roles["income"] == "number"
    model = fit(path, n_clusters=2, backend="cpu")
    expected = [float(f"{i}{100 + 37 * i}.{i}0") for i in range(1, 10)]
    assert model.others["income"].to_pylist() == expected
    assert any("'income': read as numbers with decimal commas" in w for w in model.info.warnings)


def test_new_rows_are_read_as_the_model_s_own_were(tmp_path):
    path, new = tmp_path / "kunden.csv", tmp_path / "neu.csv"
    path.write_text(CUSTOMERS)
    model = fit(path, n_clusters=2, backend="cpu")
    own = assign(model, path, backend="cpu")
    # Alone this row has two readings, of which plain numbers would be the wrong one.
    new.write_text("id;age;income;city\nx;21;1.137;Ulm\n")
    plain = tmp_path / "plain.csv"
    plain.write_text("id;age;income;city\nx;21;1137.0;Ulm\n")
    distance = assign(model, new, backend="cpu").distances
    assert distance == pytest.approx(assign(model, plain, backend="cpu").distances)
    assert np.isfinite(own.distances).all()


def test_a_wanted_column_that_may_be_read_in_two_ways_is_refused_with_its_place(tmp_path):
    path = tmp_path / "sales.csv"
    path.write_text('id,price\n1,"1,234"\n2,"2,345"\n')
    with pytest.raises(NotNumeric, match=r"^sales\.csv, row 2, column 'price': '1,234'"):
        load_catalogue(path, numbers=["price"], text=None, backend="cpu")


@pytest.mark.parametrize("sign", ["NA", "-", "?", "n.a.", "unknown", "#DIV/0!", "\u2013", "..."])
def test_signs_for_a_missing_number_are_missing_numbers(tmp_path, sign):
    path = tmp_path / "income.csv"
    path.write_text("id,age,income\n" + "".join(f"k{i},{i * i},{i}.5\n" for i in range(9)))
    path.write_text(path.read_text() + f"k9,7,{sign}\n", encoding="utf-8")
    roles = {each.column: (each.role, each.missing) for each in look(path).columns}
    assert roles["income"] == ("number", 1)
    catalogue = load_catalogue(path, backend="cpu")
    assert catalogue.roles.numbers == ("age", "income")
    assert np.flatnonzero(np.isnan(catalogue.features["income"])).tolist() == [9]


def test_a_column_of_signs_alone_is_no_column_of_numbers(tmp_path):
    path = tmp_path / "income.csv"
    path.write_text("id,age,income\n" + "".join(f"k{i},{i * i},-\n" for i in range(9)))
    assert load_catalogue(path, backend="cpu").roles.numbers == ("age",)
