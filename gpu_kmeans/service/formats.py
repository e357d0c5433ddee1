"""Formats of uploads: their media types, their first bytes, and how stored files end."""

from __future__ import annotations

import re
from pathlib import Path

from gpu_kmeans.service.problems import Problem
from gpu_kmeans.tables.encodings import check_encoding
from gpu_kmeans.tables.table_file import PARQUET_MAGIC as PARQUET
from gpu_kmeans.tables.unpacking import GZIP

__all__ = [
    "GZIP",
    "HDF5",
    "MEDIA_TYPES",
    "MTX",
    "NPY",
    "PARQUET",
    "PARQUET_TYPE",
    "SUFFIXES",
    "XLSX_TYPE",
    "ZIP",
    "beginning",
    "charset",
    "suffix_of",
]

PARQUET_TYPE = "application/vnd.apache.parquet"
XLSX_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
MEDIA_TYPES = {
    "text/csv": ".csv",
    "text/tab-separated-values": ".tsv",
    "application/x-ndjson": ".jsonl",
    PARQUET_TYPE: ".parquet",
    XLSX_TYPE: ".xlsx",
    "application/gzip": ".gz",
    "application/octet-stream": ".csv",
}
"""Media types of tables and matrices, and how files of texts of each are called."""
NPY, HDF5, MTX = b"\x93NUMPY", b"\x89HDF\r\n\x1a\n", b"%%MatrixMarket"
ZIP = b"PK"
MAGIC = {PARQUET: ".parquet", GZIP: ".gz", NPY: ".npy", HDF5: ".h5ad", MTX: ".mtx"}
"""First bytes of files whatever they are called, and how they are called here."""
SUFFIXES = sorted({*MEDIA_TYPES.values(), *MAGIC.values(), ".npz"})
"""All endings of the names of stored files."""
WORKBOOK = b"xl/"
HEAD_BYTES = 16
CHARSET = re.compile(r';\s*charset\s*=\s*"?([A-Za-z0-9._:+-]{1,40})"?\s*(?:;|\Z)', re.IGNORECASE)


def beginning(file: Path) -> bytes:
    """Return the first bytes of a file."""
    with file.open("rb") as opened:
        return opened.read(HEAD_BYTES)


def suffix_of(file: Path, media_type: str) -> str:
    """Return how a file that was received is to be called: told by content, else by its type."""
    head = beginning(file)
    for magic, suffix in MAGIC.items():
        if head.startswith(magic):
            return suffix
    if head.startswith(ZIP):  # told apart by its members when it is read
        return ".xlsx" if MEDIA_TYPES[media_type] == ".xlsx" else _archive(file)
    return ".csv" if MEDIA_TYPES[media_type] == ".gz" else MEDIA_TYPES[media_type]


def _archive(file: Path) -> str:
    """Tell a workbook from an archive of arrays by the directory at the end of the file."""
    with file.open("rb") as opened:
        opened.seek(max(0, file.stat().st_size - (1 << 16)))
        return ".xlsx" if WORKBOOK in opened.read() else ".npz"


def charset(content_type: str) -> str | None:
    """Return the encoding that a Content-Type names, by Python's name for it.

    Raises
    ------
    InvalidParam
        It is no encoding of texts.
    Problem
        422 ``invalid_param`` for a charset that is no name.
    """
    named = CHARSET.search(content_type)
    if named is None:
        if re.search(r";\s*charset\s*=", content_type, re.IGNORECASE):
            raise Problem(
                422,
                "invalid_param",
                "the charset of Content-Type is no name of an encoding; write "
                "charset=windows-1252, or leave it out for UTF-8",
            )
        return None
    return check_encoding(named[1])
