"""What comes out of a service as files, and goes in again: exports, archives, the audit."""

from __future__ import annotations

import csv
import io
import json
import random
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from serving import PARQUET, XLSX, Server, refused

from gpu_kmeans.errors import ModelCorrupt
from gpu_kmeans.service import archive
from gpu_kmeans.service.audit import AUDIT, BLOCK, read_audit

calamine = pytest.importorskip("python_calamine", reason="python-calamine is not installed")

FORMULAS = ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", '=HYPERLINK("http://x")', "\t=1"]
"""Titles that a spreadsheet would run, were they not made harmless."""
LONG = "wide " * 10_000
"""Text of more characters than a cell of Excel can hold."""


def rows() -> list[dict[str, Any]]:
    """Items in two groups, with titles that are formulas, and texts of all kinds."""
    made = []
    for number in range(24):
        words = "ghost haunts lighthouse" if number % 2 else "robot builds spaceship"
        title = FORMULAS[number] if number < len(FORMULAS) else f"item {number}"
        note = LONG if number == 7 else f"http://example.org/{number}"
        made.append(
            {"id": 2**60 + number, "title": title, "overview": words, "note": note, "price": number}
        )
    return made


def table(columns: list[dict[str, Any]]) -> str:
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, list(columns[0]))
    writer.writeheader()
    writer.writerows(columns)
    return out.getvalue()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service with two versions of a model of planted texts, and a limit of three versions."""
    data = tmp_path_factory.mktemp("files") / "data"
    with Server(data, keep_versions=3) as server:
        server.put("planted", table(rows()))
        server.fit("planted", n_clusters=2)
        server.fit("planted", n_clusters=3, activate=False)
        yield server
        assert not [line for line in server.log() if line["level"] == "error"]
        assert server.incoming() == []
        assert server.stop() == 0


def export(server: Server, **query: Any) -> Any:
    reply = server.http.get("/v1/models/planted/export", params=query)
    assert reply.status_code == 200, reply.text
    return reply


def sheet_of(content: bytes) -> list[list[Any]]:
    book = calamine.CalamineWorkbook.from_filelike(io.BytesIO(content))
    cells: list[list[Any]] = book.get_sheet_by_index(0).to_python()
    return cells


# -- exports -----------------------------------------------------------------------------------


def test_all_formats_hold_the_same_items(server: Server) -> None:
    flat = export(server, columns=True)
    typed = export(server, columns=True, format="parquet")
    book = export(server, columns=True, format="xlsx")
    assert typed.headers["content-type"] == PARQUET
    assert book.headers["content-type"] == XLSX
    assert 'filename="planted-1.xlsx"' in book.headers["content-disposition"]
    lines = list(csv.DictReader(io.StringIO(flat.text)))
    found = pq.read_table(io.BytesIO(typed.content))
    header, *cells = sheet_of(book.content)
    assert list(lines[0]) == found.column_names == header
    assert header[:5] == ["id", "title", "cluster", "distance", "cluster name"]
    assert found["id"].to_pylist() == [int(line["id"]) for line in lines]
    assert found["id"].to_pylist() == [row["id"] for row in rows()]
    assert found["title"].to_pylist() == [row["title"] for row in rows()]
    assert found.schema.field("cluster").type == pa.int32()
    assert found["cluster"].to_pylist() == [int(line["cluster"]) for line in lines]
    assert found["price"].to_pylist() == [str(row["price"]) for row in rows()]
    names = {c["label"]: c["name"] for c in server.get("/v1/models/planted/clusters")["clusters"]}
    assert found["cluster name"].to_pylist() == [names[int(line["cluster"])] for line in lines]
    # Ids beyond what a float64 holds are texts in a workbook: Excel would round them.
    assert [row[0] for row in cells] == [str(row["id"]) for row in rows()]
    assert [row[2] for row in cells] == [int(line["cluster"]) for line in lines]
    assert [row[header.index("price")] for row in cells] == [str(row["price"]) for row in rows()]


def test_no_export_holds_a_formula_or_a_link(server: Server) -> None:
    lines = list(csv.DictReader(io.StringIO(export(server, columns=True).text)))
    assert [line["title"] for line in lines[: len(FORMULAS)]] == [f"'{text}" for text in FORMULAS]
    content = export(server, columns=True, format="xlsx").content
    header, *cells = sheet_of(content)
    assert [row[1] for row in cells[: len(FORMULAS)]] == FORMULAS
    with zipfile.ZipFile(io.BytesIO(content)) as book:
        assert book.testzip() is None
        sheet = book.read("xl/worksheets/sheet1.xml")
        assert b"<f>" not in sheet
        assert b"<f " not in sheet
        assert b"hyperlink" not in sheet.lower().replace(b"hyperlink(", b"")
        assert not [name for name in book.namelist() if "externalLink" in name or "vba" in name]
    cut = cells[7][header.index("note")]
    assert len(cut) == 32_767
    assert cut.endswith("…")
    assert LONG.startswith(cut[:-1])


@pytest.mark.parametrize("format", ["csv", "parquet", "xlsx"])
def test_one_cluster_of_the_version_that_is_asked_for(server: Server, format: str) -> None:
    clusters = server.get("/v1/models/planted/clusters", version=2)["clusters"]
    reply = export(server, version=2, cluster=1, format=format, columns=True)
    assert f'"planted-2-cluster-1.{format}"' in reply.headers["content-disposition"]
    if format == "csv":
        labels = [line["cluster"] for line in csv.DictReader(io.StringIO(reply.text))]
    elif format == "parquet":
        labels = pq.read_table(io.BytesIO(reply.content))["cluster"].to_pylist()
    else:
        labels = [row[2] for row in sheet_of(reply.content)[1:]]
    assert len(labels) == clusters[1]["size"]
    assert {int(label) for label in labels} == {1}


def test_exports_that_cannot_be_are_refused(server: Server) -> None:
    address = "/v1/models/planted/export"
    for format in ("csv", "xlsx"):
        said = refused(server.http.get(f"{address}?cluster=9&format={format}"), 404, "unknown_item")
        assert "0 to 1" in said
    refused(server.http.get(f"{address}?format=ods"), 422, "invalid_param")
    refused(server.http.get(f"{address}?version=9&format=parquet"), 404, "unknown_version")
    assert export(server, cluster=-1).text.splitlines() == ["id,title,cluster,distance"]


# -- archives ----------------------------------------------------------------------------------


def zipped(folder: Path, prefix: str = "", method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as packed:
        if prefix:
            packed.mkdir(prefix.rstrip("/"))
        for name in archive.FILES:
            packed.writestr(f"{prefix}{name}", (folder / name).read_bytes())
    return out.getvalue()


def send_zip(server: Server, model: str, content: bytes) -> Any:
    return server.http.post(
        f"/v1/models/{model}/versions",
        content=content,
        headers={"content-type": "application/zip"},
    )


@pytest.fixture(scope="module")
def folder(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a model."""
    made = tmp_path_factory.mktemp("folder")
    (made / "model.tar").write_bytes(server.archive("planted"))
    archive.unpack(made / "model.tar", made / "model")
    return made / "model"


@pytest.mark.parametrize("prefix", ["", "my model/"])
def test_a_zipped_directory_is_a_version(server: Server, folder: Path, prefix: str) -> None:
    reply = send_zip(server, "zipped", zipped(folder, prefix))
    assert reply.status_code == 201, reply.text
    assert reply.json()["source"] == "upload"
    assert server.archive("zipped") == server.archive("planted")


def test_zip_archives_of_anything_else_are_refused(
    server: Server, folder: Path, tmp_path: Path
) -> None:
    def packed(members: dict[str, bytes]) -> bytes:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
            for name, content in members.items():
                made.writestr(name, content)
        return out.getvalue()

    files = {name: (folder / name).read_bytes() for name in archive.FILES}
    whole = zipped(folder)
    flipped = bytearray(whole)
    flipped[len(flipped) // 2] ^= 1
    for number, content in enumerate(
        (
            packed({**files, "more.py": b"print()"}),
            packed({name: files[name] for name in archive.FILES[1:]}),
            packed({f"../{name}": files[name] for name in archive.FILES}),
            packed({f"a/b/{name}": files[name] for name in archive.FILES}),
            whole[: len(whole) // 2],
            bytes(flipped),
            b"PK and nothing else",
        )
    ):
        (tmp_path / "packed").write_bytes(content)
        with pytest.raises(ModelCorrupt):
            archive.unpack(tmp_path / "packed", tmp_path / str(number))
    odd = packed({**files, archive.FILES[0]: b"{}"})
    refused(send_zip(server, "refused", odd), 422, "model_corrupt")
    refused(send_zip(server, "refused", whole[:-9]), 422, "model_corrupt")
    refused(server.http.get("/v1/models/refused"), 404, "unknown_model")


def test_a_zip_bomb_is_ended(server: Server, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb", "w", zipfile.ZIP_DEFLATED) as made:
        for name in archive.FILES:
            made.writestr(name, bytes(40 << 20))
    content = (tmp_path / "bomb").read_bytes()
    assert len(content) < 1 << 18
    assert "max_expansion" in refused(send_zip(server, "bomb", content), 413, "too_large")


# -- old versions ------------------------------------------------------------------------------


def test_old_versions_go_and_the_active_one_stays(server: Server, folder: Path) -> None:
    content = zipped(folder)
    for _ in range(5):
        assert send_zip(server, "many", content).status_code == 201
    detail = server.get("/v1/models/many")
    assert ([v["version"] for v in detail["versions"]], detail["active"]) == ([5, 4, 3, 1], 1)
    server.http.post("/v1/models/many/versions/4/activate").raise_for_status()
    assert send_zip(server, "many", content).json()["version"] == 6
    detail = server.get("/v1/models/many")
    assert [v["version"] for v in detail["versions"]] == [6, 5, 4]
    assert (detail["active"], detail["previous"]) == (4, None)
    refused(server.http.get("/v1/models/many/clusters?version=1"), 404, "unknown_version")
    # What is gone is gone from the disk.
    folders = {path.name for path in (server.data / "models").iterdir()}
    assert len(folders) == sum(
        len(server.get(f"/v1/models/{m['name']}")["versions"])
        for m in server.get("/v1/models")["models"]
    )


# -- who changed what --------------------------------------------------------------------------


def test_the_audit_says_who_changed_what(server: Server) -> None:
    server.put("audited", table(rows()))
    rename = {"version": 1, "operations": [{"op": "rename", "cluster": 0, "name": "A secret"}]}
    edit = {**rename, "activate": False}
    headers = {"x-request-id": "by-hand"}
    reply = server.http.post("/v1/models/planted/edits", json=edit, headers=headers)
    assert reply.status_code == 201, reply.text
    page = server.get("/v1/audit", limit=2)
    edited, added = page["entries"]
    assert edited["about"] == {"model": "planted", "version": 3, "based_on": 1, "rename": 1}
    assert (edited["action"], edited["request"]) == ("version edited", "by-hand")
    assert (edited["client"], edited["key"]) == ("127.0.0.1", None)
    assert (added["action"], added["about"]["dataset"]) == ("items added", "audited")
    entries = page["entries"]
    while page["next_cursor"]:
        page = server.get("/v1/audit", limit=2, cursor=page["next_cursor"])
        entries += page["entries"]
    lines = (server.data / AUDIT).read_text().splitlines()
    assert [entry["time"] for entry in reversed(entries)] == [json.loads(x)["time"] for x in lines]
    assert len(entries) == len(lines) > 5
    # Names of clusters are people's own words, and stay out of it.
    assert "A secret" not in json.dumps(entries)


def test_an_audit_of_any_length_is_read_page_by_page(tmp_path: Path) -> None:
    draw = random.Random(5)
    lines = [
        json.dumps({"time": str(n), "action": "x", "what": "y" * draw.choice((0, 9, 70_000))})
        for n in range(60)
    ]
    lines[7:7] = ["", "no JSON", "[]"]
    text = "\n".join(lines) + "\n"
    assert len(text) > 3 * BLOCK
    (tmp_path / AUDIT).write_text(text)
    for limit in (1, 7, 60, 100):
        entries: list[Any] = []
        page, start = read_audit(tmp_path, limit)
        entries += page
        while start:
            page, start = read_audit(tmp_path, limit, start)
            entries += page
        assert [entry["time"] for entry in entries] == [str(n) for n in reversed(range(60))]
    assert read_audit(tmp_path / "none", 5) == ([], 0)
