"""What is proposed for columns before anything is fitted, and a fit that follows it."""

from __future__ import annotations

import io
import json
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from workbooks import workbook

from gpu_kmeans import errors
from gpu_kmeans.cli import main
from gpu_kmeans.data import sample
from gpu_kmeans.data.catalogue import load_catalogue
from gpu_kmeans.data.roles import DEFAULTS
from gpu_kmeans.questions.look import look

TOPICS = [
    "my parcel was not delivered to the address",
    "the printer on our floor is offline",
    "cannot log in after I reset the password",
    "please refund the invoice of last month",
]
N = 60


def column(make: Any) -> list[Any]:
    return [make(n) for n in range(N)]


COLUMNS: dict[str, tuple[str, list[Any]]] = {
    "ticket_id": ("id", column(lambda n: 7 * n + 3)),
    "row": ("id", column(lambda n: n)),
    "sku": ("id", column(lambda n: f"A-{n:04d}")),
    "hash": ("id", column(lambda n: f"{n * 7919:08x}0")),
    "population": ("number", column(lambda n: 1000 + n * n)),
    "income": ("number", column(lambda n: n * 1.5 if n % 9 else "")),
    "popularity": ("popularity", column(lambda n: n / 7)),
    "vote_count": ("votes", column(lambda n: n % 5)),
    "genres": ("genres", column(lambda n: json.dumps([{"name": "Drama"}] * (n % 3)))),
    "tags": ("list", column(lambda n: json.dumps(["a", "b"][: n % 3]))),
    "brackets": ("text", column(lambda n: f"[not so much a list {n}]")),
    "priority": ("category", column(lambda n: ["low", "normal", "high"][n % 3])),
    "status": ("category", column(lambda n: ["open since a long time ago", "closed"][n % 2])),
    "opened": ("date", column(lambda n: f"2026-01-{n % 28 + 1:02d}")),
    "closed": ("date", column(lambda n: f"{n % 28 + 1}.3.2026 12:{n:02d}")),
    "release_date": ("date", column(lambda n: f"{1950 + n}-05-01")),
    "customer": ("title", column(lambda n: f"Anna Nr{n}" if n % 2 else f"Bert M{n}")),
    "title": ("title", column(lambda n: f"The Film {n}")),
    "homepage": ("other", column(lambda n: f"https://example.org/{n}")),
    "mail": ("other", column(lambda n: f"anna{n}@example.org")),
    "body": ("text", column(lambda n: f"{TOPICS[n % 4]} again {n}")),
    "chinese": ("text", column(lambda n: f"這個包裹沒有送到我家{n}")),
    "nothing": ("empty", column(lambda n: "")),
}


def table(folder: Path, *names: str, file: str = "table.parquet") -> Path:
    cells = {name: pa.array([str(cell) for cell in COLUMNS[name][1]]) for name in names}
    pq.write_table(pa.table(cells), folder / file)
    return folder / file


@pytest.mark.parametrize("name", COLUMNS)
def test_a_role_is_proposed_from_what_a_column_holds(tmp_path, name):
    role, cells = COLUMNS[name]
    [proposal] = look(table(tmp_path, name)).columns
    assert (proposal.column, proposal.role) == (name, role)
    assert proposal.missing == sum(cell == "" for cell in cells)
    assert proposal.distinct == len({cell for cell in cells if cell != ""})


def test_typed_columns_get_the_same_roles(tmp_path):
    typed = {
        "row": pa.array(range(N)),
        "income": pa.array([n * 1.5 for n in range(N)]),
        "tags": pa.array([["a"]] * N),
        "opened": pa.array([18_000 + n for n in range(N)], pa.date32()),
        "length": pa.array(range(N), pa.duration("s")),
    }
    pq.write_table(pa.table(typed), tmp_path / "table.parquet")
    roles = {each.column: each.role for each in look(tmp_path / "table.parquet").columns}
    assert roles == {
        **{"row": "id", "income": "number", "tags": "list", "opened": "date", "length": "other"}
    }


def test_the_sample_gets_the_roles_that_it_is_read_by():
    seen = look(sample.paths()[0])
    catalogue = load_catalogue(sample.paths()[0], backend="cpu")
    roles = {each.column: each.role for each in seen.columns}
    assert seen.text == "overview"
    for role in ("id", "title", "text", "genres", "keywords", "popularity", "rating", "date"):
        assert roles[DEFAULTS[role]] == role
    assert seen.n_rows == len(catalogue) == 243
    assert seen.problems == catalogue.report.warnings
    assert len(seen.rows) == 10


# -- a fit follows it ----------------------------------------------------------------------


def test_the_only_column_of_texts_is_clustered_and_it_is_said(tmp_path):
    path = table(tmp_path, "ticket_id", "priority", "opened", "body")
    catalogue = load_catalogue(path, backend="cpu")
    assert catalogue.to_arrow()["text"].to_pylist() == COLUMNS["body"][1]
    assert catalogue.report.proposed == {"text": "body", "id": "ticket_id"}
    assert catalogue.report.to_dict()["proposed"] == {"text": "body", "id": "ticket_id"}
    assert catalogue.to_arrow()["id"].to_pylist() == COLUMNS["ticket_id"][1]
    assert (
        "table.parquet has no column 'id': 'ticket_id' is taken for the ids"
    ) in catalogue.report.warnings
    assert (
        "table.parquet has no column 'overview': 'body' is clustered, the only column that "
        "holds texts"
    ) in catalogue.report.warnings
    assert look(path).text == "body"


def test_a_text_that_is_named_overrules_the_proposal(tmp_path):
    path = table(tmp_path, "priority", "body")
    catalogue = load_catalogue(path, text="priority", backend="cpu")
    assert catalogue.to_arrow()["text"].to_pylist() == COLUMNS["priority"][1]
    assert catalogue.report.proposed == {}
    with pytest.raises(errors.MissingColumn):
        load_catalogue(path, text="overview", backend="cpu")


def test_of_several_columns_of_texts_none_is_taken_in_silence(tmp_path):
    path = table(tmp_path, "body", "brackets", "row")
    with pytest.raises(errors.MissingColumn, match=r"'body', 'brackets'.*--text 'body'"):
        load_catalogue(path, backend="cpu")
    seen = look(path)
    assert seen.text is None
    assert "--text" in seen.problems[0]


def test_a_few_short_texts_are_texts(tmp_path):
    path = tmp_path / "reviews.csv"
    path.write_text(
        "text,label\nthe delivery was late,neg\ngreat quality shoes,pos\ngreat quality shoes,pos\n"
    )
    assert [each.role for each in look(path).columns] == ["text", "category"]
    assert load_catalogue(path, backend="cpu").report.proposed == {"text": "text"}


def test_titles_beside_much_longer_texts_are_no_texts(tmp_path):
    films = {
        "label": [f"A long name of a film {n}" for n in range(N)],
        "plot": [f"{' '.join(TOPICS)} and so on {n}" for n in range(N)],
    }
    pq.write_table(pa.table(films), tmp_path / "films.parquet")
    assert [each.role for each in look(tmp_path / "films.parquet").columns] == ["title", "text"]
    assert load_catalogue(tmp_path / "films.parquet", backend="cpu").report.proposed == {
        "text": "plot"
    }


def test_a_table_with_nothing_to_cluster_is_refused(tmp_path):
    path = table(tmp_path, "row", "priority", "customer")
    with pytest.raises(errors.MissingColumn, match="has no column 'overview'; found"):
        load_catalogue(path, backend="cpu")
    assert look(path).clustered == {}


def test_numbers_and_categories_are_clustered_where_there_are_no_texts(tmp_path):
    path = table(tmp_path, "row", "priority", "customer", "income", "population", "opened")
    catalogue = load_catalogue(path, backend="cpu")
    assert catalogue.roles.by_kind() == {
        "numbers": ("income", "population"),
        "categories": ("priority",),
    }
    assert (
        "table.parquet has no column of texts: the numbers 'income', 'population' and the "
        "categories 'priority' are clustered"
    ) in catalogue.report.warnings
    assert np.isnan(catalogue.features["income"]).sum() == 7
    assert catalogue.others["opened"].to_pylist() == COLUMNS["opened"][1]
    seen = look(path)
    assert (seen.text, seen.clustered) == (None, catalogue.roles.by_kind())
    assert any("missing in 7 of 60 rows" in problem for problem in seen.problems)


# -- the command -----------------------------------------------------------------------------


def tickets(folder: Path) -> dict[str, Path]:
    """Write the same tickets, without ids, as offices export them."""
    draw = random.Random(5)
    rows = [
        [f"2026-{n % 11 + 1:02d}-03", draw.choice(["low", "high"]), f"{TOPICS[n % 4]}, Straße {n}"]
        for n in range(200)
    ]
    header = ["Datum", "Priorität", "Betreff"]
    lines = [";".join(row) for row in (header, *rows)]
    files = {
        "cp1252.csv": "\r\n".join(lines).encode("cp1252"),
        "utf16.txt": "\r\n".join(lines).encode("utf-16"),
        "sep.csv": "\r\n".join(["sep=;", *lines]).encode("utf-8-sig"),
        "tickets.jsonl": "\n".join(
            json.dumps(dict(zip(header, row, strict=True))) for row in rows
        ).encode(),
        "tickets.xlsx": workbook([header, *rows]),
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return {name: folder / name for name in files}


def result(capsys, *arguments: object) -> dict[str, Any]:
    assert main([str(argument) for argument in (*arguments, "--json")]) == 0
    return json.loads(capsys.readouterr().out)


FIVE = ["cp1252.csv", "utf16.txt", "sep.csv", "tickets.jsonl", "tickets.xlsx"]


@pytest.mark.parametrize("name", FIVE)
def test_tickets_without_ids_are_fitted_in_one_command(capsys, tmp_path, name):
    if name.endswith(".xlsx"):
        pytest.importorskip("python_calamine", reason='needs pip install ".[excel]"')
    path = tickets(tmp_path)[name]
    named = ["--encoding", "windows-1252"] if name == "cp1252.csv" else []
    seen = result(capsys, "look", path, *named)
    assert [each["role"] for each in seen["columns"]] == ["date", "category", "text"]
    assert (seen["text"], seen["n_rows"], len(seen["rows"])) == ("Betreff", 200, 10)
    assert seen["rows"][0][2].endswith("Straße 0")
    fitted = result(capsys, "fit", path, "--model", tmp_path / "model", "-k", 4, *named)
    assert fitted["catalogue"]["proposed"] == {"text": "Betreff"}
    assert sorted(cluster["size"] for cluster in fitted["clusters"]) == [50] * 4


def test_the_look_names_format_delimiter_and_encoding(capsys, tmp_path):
    paths = tickets(tmp_path)
    seen = result(capsys, "look", paths["utf16.txt"])
    assert (seen["format"], seen["delimiter"], seen["encoding"]) == ("csv", ";", "utf-16")
    assert main(["look", str(paths["sep.csv"])]) == 0
    said = capsys.readouterr().out
    assert "cells separated by ';'" in said
    assert "Betreff" in said
    assert "rows are numbered from 1" in said
    assert main(["look", str(paths["cp1252.csv"])]) == 2
    assert "--encoding windows-1252" in capsys.readouterr().err
    assert main(["look", str(paths["sep.csv"]), "--delimiter", ";;"]) == 2
    assert "delimiter must be one sign" in capsys.readouterr().err


def test_standard_input_is_a_file_too(capsys, monkeypatch, tmp_path):
    content = tickets(tmp_path)["utf16.txt"].read_bytes()
    for arguments in (["look", "-"], ["fit", "-", "--model", tmp_path / "model", "-k", 4]):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        assert result(capsys, *arguments)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    assert main(["look", "-"]) == 2
    assert "standard input is empty" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("header", "names"),
    [
        ("id,overview", []),
        ("0,1,2", []),
        ("name,2019,2020,2021", []),
        ("7,4.5", ["7", "4.5"]),
        ("a ship sails,2020-01-31", ["2020-01-31"]),
        ("12,a ship", ["12"]),
        ("17,3", ["17", "3"]),
        (f"{'9' * 5000},b", []),
        ("ann@example.org,b", ["ann@example.org"]),
    ],
)
def test_a_first_row_that_looks_like_cells_is_doubted(tmp_path, header, names):
    path = tmp_path / "rows.csv"
    width = header.count(",") + 1
    path.write_text(
        header + "\n" + "".join(f"{','.join(f'{i}.{i}' for _ in range(width))}\n" for i in range(9))
    )
    notes = [problem for problem in look(path).problems if "look like cells" in problem]
    assert len(notes) == bool(names)
    for name in names:
        assert repr(name) in notes[0]


@pytest.mark.parametrize(
    ("cells", "role"),
    [
        (["the printer does not print", "please reset my password today"], "text"),
        (["New York City", "Rio de Janeiro"], "category"),
    ],
)
def test_sentences_that_repeat_are_texts_and_names_that_repeat_are_categories(
    tmp_path, cells, role
):
    path = tmp_path / "tickets.csv"
    rows = "".join(f"2026-01-{1 + i % 28:02},{cells[i % 2]}\n" for i in range(40))
    path.write_text(f"opened,message\n{rows}")
    roles = {each.column: each.role for each in look(path).columns}
    assert roles == {"opened": "date", "message": role}
