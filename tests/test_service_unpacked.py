"""What an upload holds is counted before it is built: a bomb of every kind is refused, unbuilt."""

from __future__ import annotations

import dataclasses
import gzip
import io
import json
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save
from scipy import sparse
from workbooks import workbook

import gpu_kmeans
from gpu_kmeans import Model
from gpu_kmeans.errors import GpuKMeansError, ModelCorrupt
from gpu_kmeans.model.storage import ARRAYS, ITEMS, MANIFEST
from gpu_kmeans.service.formats import SUFFIXES, charset, suffix_of
from gpu_kmeans.service.limits import TableLimits
from gpu_kmeans.service.model_size import check_folder, memory_of
from gpu_kmeans.service.problems import Problem
from gpu_kmeans.service.unpacked import check_upload

MIB = 1 << 20
MOST = 40 * MIB
"""Bytes that Python may take to count what would be hundreds of megabytes."""
LIMITS = TableLimits(
    max_rows=100_000,
    max_columns=1_000,
    max_cell_bytes=MIB,
    max_row_bytes=2 * MIB,
    max_table_bytes=128 * MIB,
    max_expansion=100,
    max_distinct=1_000_000,
    max_matrix_columns=100_000,
)


def zeros(count: int) -> bytes:
    """So many zeros as gzip, made a piece at a time."""
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", compresslevel=1) as file:
        for _ in range(count >> 20):
            file.write(b"0" * MIB)
    return out.getvalue()


def gzipped(head: bytes, line: bytes, times: int) -> bytes:
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", compresslevel=1) as file:
        file.write(head)
        for _ in range(times // 1_000):
            file.write(line * 1_000)
    return out.getvalue()


def npy_of(shape: tuple[int, ...], kind: str = "<f4") -> bytes:
    """An array's header, and nothing of what it promises."""
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}"
    header = header.ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode()


def npz_of_zeros(shape: tuple[int, int]) -> bytes:
    out = io.BytesIO()
    np.savez_compressed(out, x=np.zeros(shape, np.float32))
    return out.getvalue()


def sheet(cells: str, texts: str = "", **more: str) -> bytes:
    """A workbook whose sheet and shared texts are these pieces of XML."""
    with zipfile.ZipFile(io.BytesIO(workbook([["id", "overview"], [1, "x"]]))) as plain:
        parts = {name: plain.read(name).decode() for name in plain.namelist()}
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    data = f'<worksheet xmlns="{main}"><sheetData>{cells}</sheetData></worksheet>'
    parts["xl/worksheets/sheet1.xml"] = data
    if texts:
        parts["xl/sharedStrings.xml"] = f'<sst xmlns="{main}">{texts}</sst>'
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {**parts, **more}.items():
            archive.writestr(name, content)
    return out.getvalue()


def repeated_text() -> bytes:
    """A text of 200 kB in 2,000 cells: 400 MB."""
    rows = "".join(f'<row r="{at}"><c r="A{at}" t="s"><v>0</v></c></row>' for at in range(1, 2_001))
    return sheet(rows, f"<si><t>{'x' * 200_000}</t></si>")


def lying(content: bytes) -> bytes:
    """The same archive, each member of which is said to unpack to one byte."""
    out = bytearray(content)
    at = out.find(b"PK\x01\x02")
    while at >= 0:
        out[at + 24 : at + 28] = struct.pack("<I", 1)
        at = out.find(b"PK\x01\x02", at + 4)
    return bytes(out)


def nulls() -> bytes:
    """A thousand columns of twenty thousand empty cells each."""
    column = pa.nulls(20_000, pa.string())
    out = io.BytesIO()
    pq.write_table(pa.table({f"c{at}": column for at in range(1_000)}), out)
    return out.getvalue()


def dictionary(text: str, count: int) -> bytes:
    cells = pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), pa.array([text]))
    out = io.BytesIO()
    pq.write_table(pa.table({"id": np.arange(count), "other": cells}), out)
    return out.getvalue()


def h5ad(**datasets: Any) -> bytes:
    h5py = pytest.importorskip("h5py")
    out = io.BytesIO()
    with h5py.File(out, "w") as file:
        for name in ("obs", "var"):
            file.create_group(name)
        for name, options in datasets.items():
            file.create_dataset(name.replace("__", "/"), **options)
    return out.getvalue()


def categories() -> bytes:
    """A category of 300 kB on 2,000 rows: 600 MB."""
    return h5ad(
        X={"data": np.ones((2_000, 1), np.float32)},
        obs__kind__codes={"data": np.zeros(2_000, np.int8)},
        obs__kind__categories={"data": ["x" * 300_000]},
    )


HEADER = b"id,overview\n"
MTX = b"%%MatrixMarket matrix coordinate real general\n"
BOMBS: dict[str, tuple[Callable[[], bytes], int, str]] = {
    "gzip of one line": (lambda: zeros(256 * MIB), 413, "too_large"),
    "gzip of rows": (lambda: gzipped(HEADER, b"1,x\n", 40_000_000), 413, "too_large"),
    "gzip of too many rows": (lambda: gzipped(HEADER, b"1,x\n", 110_000), 413, "too_many_rows"),
    "gzip of a cell": (lambda: gzipped(HEADER + b'1,"', b"\n", 4_000_000), 413, "too_large"),
    "gzip of commas": (
        lambda: gzipped(b"," * 999 + b"\n", b"," * 999 + b"\n", 40_000),
        *(413, "too_large"),
    ),
    "gzip of objects": (
        lambda: gzipped(b"", b'{"id": 1, "overview": "x"}\n', 110_000),
        *(413, "too_many_rows"),
    ),
    "objects of many names": (
        lambda: "".join(f'{{"c{at}": 1}}\n' for at in range(1_001)).encode(),
        *(422, "too_many_columns"),
    ),
    "few names on many lines": (
        lambda: (
            b"{%s}\n" % b",".join(b'"c%d":1' % at for at in range(900)) + b'{"c1":1}\n' * 30_000
        ),
        *(413, "too_large"),
    ),
    "a long object": (lambda: b'{"a": "%s"}\n' % (b"x" * 3 * MIB), 413, "too_large"),
    "a long cell of an object": (lambda: b'{"a": "%s"}\n' % (b"x" * 1_100_000), 413, "too_large"),
    "a repeated text in a column nobody names": (
        lambda: dictionary("x" * 100_000, 2_000),
        *(413, "too_large"),
    ),
    "columns of nothing": (nulls, 413, "too_large"),
    "a repeated text of a workbook": (repeated_text, 413, "too_large"),
    "a workbook's far corner": (
        lambda: sheet('<row r="1"><c r="A1"><v>1</v></c><c r="XFD1"><v>1</v></c></row>'),
        *(422, "too_many_columns"),
    ),
    "a workbook's last row": (
        lambda: sheet('<row r="1048576"><c r="A1048576"><v>1</v></c></row>'),
        *(413, "too_many_rows"),
    ),
    "a workbook's grid": (
        lambda: sheet('<row r="90000"><c r="ZZ90000"><v>1</v></c></row>'),
        *(413, "too_large"),
    ),
    "a workbook of blanks": (
        lambda: sheet('<row r="1"><c r="A1"><v>1</v></c></row>' + " " * 200 * MIB),
        *(413, "too_large"),
    ),
    "a workbook that lies about its size": (
        lambda: lying(sheet('<row r="1"><c r="A1"><v>1</v></c></row>' + " " * 200 * MIB)),
        *(413, "too_large"),
    ),
    "a workbook of entities": (
        lambda: sheet(
            "", **{"xl/worksheets/sheet1.xml": '<!DOCTYPE a [<!ENTITY b "c">]><worksheet/>'}
        ),
        *(422, "file_problem"),
    ),
    "a workbook that is no XML": (
        lambda: sheet("", **{"xl/worksheets/sheet1.xml": "<worksheet><row></worksheet>"}),
        *(422, "file_problem"),
    ),
    "a workbook of OpenDocument as well": (
        lambda: sheet("", **{"content.xml": "<office/>"}),
        *(415, "unsupported_file_type"),
    ),
    "an array's header": (lambda: npy_of((100_000, 1_000)), 413, "too_large"),
    "an array of narrow numbers": (lambda: npy_of((90_000, 500), "|i1"), 413, "too_large"),
    "an array of many rows": (lambda: npy_of((2_000_000, 1)), 413, "too_many_rows"),
    "an array of many columns": (lambda: npy_of((1, 200_000)), 422, "too_many_columns"),
    "an archive of zeros": (lambda: npz_of_zeros((40_000, 1_000)), 413, "too_large"),
    "a matrix of many rows": (lambda: MTX + b"2000000 1 1\n1 1 1\n", 413, "too_many_rows"),
    "a matrix of many columns": (lambda: MTX + b"1 2000000 1\n1 1 1\n", 422, "too_many_columns"),
    "a matrix's lines": (
        lambda: gzipped(MTX + b"9 9 9000000\n", b"1 1 1\n", 9_000_000),
        *(413, "too_large"),
    ),
    "an AnnData of nothing": (
        lambda: h5ad(X={"shape": (90_000, 1_000), "dtype": "f4", "chunks": (1_000, 1_000)}),
        *(413, "too_large"),
    ),
    "an AnnData of zeros": (
        lambda: h5ad(X={"data": np.zeros((20_000, 2_000), np.float32), "compression": "gzip"}),
        *(413, "too_large"),
    ),
    "an AnnData of many columns": (
        lambda: h5ad(X={"shape": (1, 200_000), "dtype": "f4", "chunks": (1, 1_000)}),
        *(422, "too_many_columns"),
    ),
    "an AnnData's category": (categories, 413, "too_large"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_in_little_memory(tmp_path: Path, name: str) -> None:
    make, status, code = BOMBS[name]
    file = tmp_path / "items"
    file.write_bytes(make())
    assert file.stat().st_size < 8 * MIB
    tracemalloc.start()
    try:
        with pytest.raises(Problem) as caught:
            check_upload(file, LIMITS)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (caught.value.status, caught.value.code) == (status, code), caught.value.detail
    assert caught.value.detail.startswith("items") or "max_" in caught.value.detail
    assert peak < MOST


def matrix_of(rows: int, columns: int) -> bytes:
    out = io.BytesIO()
    np.save(out, np.ones((rows, columns)))
    return out.getvalue()


def sparse_npz() -> bytes:
    out = io.BytesIO()
    sparse.save_npz(out, sparse.random_array((500, 300), density=0.1, format="csr"))
    return out.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        gzip.compress(HEADER + b"1,x\n" * 50_000),
        gzip.compress(HEADER + b"1,x\n" * 50_000)[:-20],  # damaged: its reader says so
        gzip.compress(b""),
        b'{"id": 1}\n{"id": 2, "overview": null}\n\n',
        b'{"id": 1}\nno JSON\n',
        workbook([["id", "overview"], *[[at, "a text" * 50] for at in range(500)]]),
        b"PK\x03\x04 and no archive",
        matrix_of(300, 200),
        b"\x93NUMPY\x01\x00\xff\xff{",
        sparse_npz(),
        MTX + b"% comment\n3 3 2\n1 1 1\n2 2 2\n",
        gzip.compress(MTX + b"3 3 1\n1 1 1\n"),
        MTX + b"no shape\n",
    ],
)
def test_what_is_within_the_limits_is_left_to_its_reader(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "items"
    file.write_bytes(content)
    check_upload(file, LIMITS)


def test_an_encoding_and_a_delimiter_are_read_as_named(tmp_path: Path) -> None:
    limits = dataclasses.replace(LIMITS, max_columns=2)
    file = tmp_path / "items.csv"
    file.write_bytes("id|größe;x,y\n1|2\n".encode("utf-16"))
    check_upload(file, limits, None, "|")
    file.write_bytes("id,a,b\n1,2,3\n".encode("utf-16-le"))
    with pytest.raises(Problem, match="3 columns"):
        check_upload(file, limits, "utf-16-le", ",")


# -- how files are called ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "kind", "suffix"),
    [
        (b"id,x\n", "text/csv", ".csv"),
        (b"id\tx\n", "text/tab-separated-values", ".tsv"),
        (b"{}\n", "application/x-ndjson", ".jsonl"),
        (b"id,x\n", "application/octet-stream", ".csv"),
        (b"id,x\n", "application/gzip", ".csv"),
        (b"PAR1", "text/csv", ".parquet"),
        (b"id,x\n", "application/vnd.apache.parquet", ".parquet"),
        (b"\x1f\x8b\x08", "text/csv", ".gz"),
        (b"\x93NUMPY", "application/octet-stream", ".npy"),
        (b"\x89HDF\r\n\x1a\n", "application/octet-stream", ".h5ad"),
        (b"%%MatrixMarket", "application/octet-stream", ".mtx"),
        (sparse_npz(), "application/octet-stream", ".npz"),
        (workbook([["a"], [1]]), "application/octet-stream", ".xlsx"),
        (b"", "application/octet-stream", ".csv"),
    ],
)
def test_a_file_is_called_as_its_reader_expects(
    tmp_path: Path, content: bytes, kind: str, suffix: str
) -> None:
    file = tmp_path / "received"
    file.write_bytes(content)
    assert suffix_of(file, kind) == suffix
    assert suffix in SUFFIXES


@pytest.mark.parametrize(
    ("given", "encoding"),
    [
        ("text/csv", None),
        ("text/csv; header=present", None),
        ("text/csv; charset=UTF-8", "utf-8"),
        ('text/csv;charset="Windows-1252"; header=present', "cp1252"),
        ("text/csv; charset=latin1", "iso8859-1"),
    ],
)
def test_the_charset_is_the_encoding(given: str, encoding: str | None) -> None:
    assert charset(given) == encoding


@pytest.mark.parametrize("given", ["base64", "x" * 50, "a b", "", "../utf-8", "ü"])
def test_a_charset_that_is_none_is_refused(given: str) -> None:
    with pytest.raises((GpuKMeansError, Problem), match=r"charset|encoding"):
        charset(f"text/csv; charset={given}")


# -- archives of models ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of numbers and categories, reduced."""
    folder = tmp_path_factory.mktemp("numbers")
    table = folder / "items.csv"
    lines = [f"{at % 7},{at % 5},{at * 37 % 11},{'abc'[at % 3]},k{at % 4}" for at in range(60)]
    table.write_text("\n".join(["a,b,c,d,e", *lines]))
    columns = {"numbers": ["a", "b", "c"], "categories": ["d", "e"]}
    model = gpu_kmeans.fit(table, n_clusters=4, columns=columns, reduce=3, backend="cpu")
    model.save(folder / "model")
    return folder / "model"


def test_a_model_is_said_to_take_the_same_before_and_after_it_is_built(numbers: Path) -> None:
    memory = memory_of(Model.load(numbers))
    check_folder(numbers, 64 * MIB, 100)
    with pytest.raises(Problem, match="takes") as caught:
        check_folder(numbers, memory // 2, 100)
    assert caught.value.code == "model_too_large"


def stated(folder: Path, **arrays: Any) -> Path:
    """A folder whose arrays are these; nothing more of it is looked at."""
    folder.mkdir()
    plain = {"labels": np.zeros(3, np.int32)}
    (folder / ARRAYS).write_bytes(save(plain | arrays))
    (folder / MANIFEST).write_bytes(b"{}")
    pq.write_table(pa.table({"id": [1, 2, 3]}), folder / ITEMS)
    return folder


def sparse_rows(n_features: int) -> dict[str, Any]:
    return {
        "postings_indptr": np.zeros(n_features + 1, np.int64),
        "postings_rows": np.zeros(0, np.int32),
        "postings_values": np.zeros(0, np.float32),
    }


def sparse_centroids(k: int) -> dict[str, Any]:
    return {
        "centroids_indptr": np.zeros(k + 1, np.int64),
        "centroids_indices": np.zeros(0, np.int32),
        "centroids_values": np.zeros(0, np.float32),
    }


@pytest.mark.parametrize(
    "arrays",
    [
        sparse_rows(40_000) | sparse_centroids(20_000),
        sparse_rows(20)
        | sparse_centroids(100_000)
        | {
            "reduction_components": np.zeros((2_000, 20), np.float32),
            "reduction_rows": np.zeros((3, 2_000), np.float32),
        },
        sparse_rows(50_000)
        | sparse_centroids(10_000)
        | {
            "reduction_components": np.zeros((1, 50_000), np.float32),
            "reduction_rows": np.zeros((3, 1), np.float32),
        },
        {"rows": np.zeros((3, 1_000_000), np.float32), "centroids": np.zeros((1, 1_000_000))},
        sparse_rows(2)
        | sparse_centroids(2)
        | {"features/0/vocabulary_offsets": np.zeros(1_000_000, np.int64)},
    ],
    ids=["sparse centroids", "reduced", "means of reduced", "dense rows", "terms"],
)
def test_an_archive_that_would_become_gigabytes_is_refused(
    tmp_path: Path, arrays: dict[str, Any]
) -> None:
    folder = stated(tmp_path / "model", **arrays)
    tracemalloc.start()
    try:
        with pytest.raises(Problem) as caught:
            check_folder(folder, 256 * MIB, 100)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (caught.value.status, caught.value.code) == (413, "model_too_large")
    assert peak < MOST


@pytest.mark.parametrize("n_features", [10**9, "1000000000", 1e9, -1, None])
def test_a_matrix_of_more_features_than_there_are_is_no_model(
    tmp_path: Path, n_features: Any
) -> None:
    folder = stated(tmp_path / "model", **sparse_rows(5), **sparse_centroids(2))
    part = {"kind": "matrix", "params": {"n_features": n_features}}
    (folder / MANIFEST).write_text(json.dumps({"features": [part]}))
    with pytest.raises(ModelCorrupt):
        check_folder(folder, 256 * MIB, 100)


def test_items_of_many_empty_columns_are_refused(tmp_path: Path) -> None:
    folder = stated(tmp_path / "model", **sparse_rows(5), **sparse_centroids(2))
    (folder / ITEMS).write_bytes(nulls())
    with pytest.raises(Problem, match="once unpacked") as caught:
        check_folder(folder, 256 * MIB, 100)
    assert caught.value.code == "model_too_large"
