"""What is no table is told by its first bytes, whatever its name, with what to pass instead."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import pickle
import sqlite3
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from scipy import sparse

from gpu_kmeans import errors
from gpu_kmeans.data.catalogue import load_catalogue

TABLE = b"id,overview\n1,a ship\n"


@pytest.fixture(scope="module")
def load(backend):
    return partial(load_catalogue, backend=backend)


def zipped(*names: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        for name in names:
            file.writestr(name, TABLE)
    return out.getvalue()


def numpy_file(*, archive: bool) -> bytes:
    out = io.BytesIO()
    np.savez(out, x=np.eye(3)) if archive else np.save(out, np.eye(3))
    return out.getvalue()


def sparse_file() -> bytes:
    out = io.BytesIO()
    sparse.save_npz(out, sparse.csr_array(np.eye(3)))
    return out.getvalue()


def feather() -> bytes:
    out = io.BytesIO()
    table = pa.table({"id": [1]})
    with pa.ipc.new_file(out, table.schema) as file:
        file.write_table(table)
    return out.getvalue()


def database(folder: Path) -> bytes:
    with sqlite3.connect(folder / "films.sqlite") as connection:
        connection.execute("create table films (id, overview)")
    connection.close()
    return (folder / "films.sqlite").read_bytes()


KINDS = {
    "gzip twice": (gzip.compress(gzip.compress(TABLE)), "gzip-compressed twice", "unpack it"),
    "a packed zip": (gzip.compress(zipped("films.csv")), "a zip archive", "unpack it"),
    "bzip2": (bz2.compress(TABLE), "bzip2", "unpack it"),
    "xz": (lzma.compress(TABLE), "xz", "unpack it"),
    "zstd": (pa.compress(TABLE, "zstd", asbytes=True), "zstd", "unpack it"),
    "zip": (zipped("films.csv"), "a zip archive", "unpack it"),
    "half a zip": (zipped("films.csv")[:40], "a damaged zip archive", "check the file"),
    "an empty zip": (zipped(), "a zip archive", "unpack it"),
    "docx": (zipped("[Content_Types].xml", "word/document.xml"), ".docx", "copy its texts"),
    "ods": (zipped("mimetype", "content.xml"), "OpenDocument", "save the sheet as CSV"),
    "xls": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(20), ".xls", "export it as CSV"),
    "npy": (numpy_file(archive=False), ".npy", "gpu_kmeans.KMeans, as np.load"),
    "npz": (numpy_file(archive=True), ".npz", "gpu_kmeans.KMeans, as np.load"),
    "sparse npz": (sparse_file(), ".npz", "scipy.sparse.load_npz"),
    "h5ad": (b"\x89HDF\r\n\x1a\n" + bytes(20), "HDF5", "adata.X"),
    "JSON lists": (json.dumps([["id", 1]]).encode(), "JSON lists", "as an object with names"),
    "JSON lists with a mark": (b'\xef\xbb\xbf [ [ "id", 1]]', "JSON lists", "as an object"),
    "PDF": (b"%PDF-1.7\n%\xe2\xe3", "PDF", "copy its texts into a CSV"),
    "pickle": (pickle.dumps({"id": 1}), "a pickle", "load it and write the table"),
    "feather": (feather(), "Arrow", "load it and write the table"),
    "PNG": (b"\x89PNG\r\n\x1a\n" + bytes(20), "an image", "a table of texts"),
    "JPEG": (b"\xff\xd8\xff\xe0" + bytes(20), "an image", "a table of texts"),
    "HTML": (b"\n<!doctype html><table>", "a web page", "save the table itself"),
    "XML": (b'<?xml version="1.0"?>', "XML", "export it as CSV"),
    "a program": (b"\x7fELF\x02\x01\x01" + bytes(20), "a program", "a table of texts"),
}


@pytest.mark.parametrize("name", ["films.csv", "films.parquet", "films", "films.xlsx"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_table_is_named_with_what_to_pass_instead(load, tmp_path, kind, name):
    content, called, way_out = KINDS[kind]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(errors.UnsupportedFileType) as caught:
        load(tmp_path / name)
    message = str(caught.value)
    assert message.startswith(f"{name} is ")
    assert called in message
    assert way_out in message
    assert str(tmp_path) not in message


def test_a_database_is_named(load, tmp_path):
    (tmp_path / "films.csv").write_bytes(database(tmp_path))
    with pytest.raises(errors.UnsupportedFileType, match=r"SQLite.*export the table"):
        load(tmp_path / "films.csv")


@pytest.mark.parametrize(
    "first", ["ORCID", "BZh", "GIF89", "PK", "PDF", "{name}", "[0]", "xml", "Rar", "ÿÿ", "MZ"]
)
def test_names_of_columns_are_taken_for_no_other_kind(load, tmp_path, first):
    path = tmp_path / "films.csv"
    path.write_text(f"{first},id,overview\nx,1,a ship\n", encoding="utf-8")
    assert load(path).to_arrow()["text"].to_pylist() == ["a ship"]
