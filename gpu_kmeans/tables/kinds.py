"""Kinds of files by their first bytes, and what to pass in place of those that are no tables."""

from __future__ import annotations

import re
import zipfile
from io import BufferedReader

__all__ = ["UTF8_BOM", "foreign_kind", "is_excel"]

UTF8_BOM = b"\xef\xbb\xbf"
_EXPORT = "export it as CSV or Parquet"
_UNPACK = "unpack it and give the file in it"
_COPY = "copy its texts into a CSV, one a row"
_REWRITE = "load it and write the table as CSV or Parquet"
_ROWS = "these are rows of numbers: load them and give them to gpu_kmeans.KMeans"

_SIGNATURES: tuple[tuple[bytes, str, str], ...] = (
    (rb"\x1f\x8b", "gzip-compressed twice", _UNPACK),
    (rb"BZh[1-9]", "bzip2-compressed", _UNPACK),
    (rb"\xfd7zXZ", "xz-compressed", _UNPACK),
    (rb"\(\xb5\x2f\xfd", "zstd-compressed", _UNPACK),
    (rb"\x04\x22\x4d\x18", "lz4-compressed", _UNPACK),
    (rb"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (rb"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (rb"\x93NUMPY", "a NumPy array (.npy)", f"{_ROWS}, as np.load gives them"),
    (
        rb"\x89HDF\r\n\x1a\n",
        "an HDF5 file (.h5, .h5ad)",
        f"{_ROWS}, such as adata.X or adata.obsm['X_pca'] of anndata.read_h5ad",
    ),
    (rb"\xd0\xcf\x11\xe0", "an old Excel workbook or Office document (.xls)", _EXPORT),
    (rb"%PDF-", "a PDF document", _COPY),
    (rb"\{\\rtf", "a rich text document (.rtf)", _COPY),
    (rb"SQLite format 3\0", "an SQLite database", "export the table as CSV or Parquet"),
    (rb"ARROW1\0|\xff{4}", "an Arrow or Feather file", _REWRITE),
    (rb"Obj\x01", "an Avro file", _REWRITE),
    (rb"\x80[\x02-\x05]", "a pickle", _REWRITE),
    (rb"\x89PNG\r\n|\xff\xd8\xff|GIF8[79]a", "an image", "give a table of texts"),
    (rb"\x7fELF|MZ\x90\0", "a program", "give a table of texts"),
    (rb"(?i:\s*<(!doctype|html))", "a web page (HTML)", "save the table itself, not its page"),
    (rb"\s*<\?xml", "an XML file", _EXPORT),
    (rb"\s*\[\s*\[", "JSON lists", "write each row as an object with names, or the table as CSV"),
)
"""Patterns of the first 16 bytes, the kind of file that has them, and the way out."""

_ZIP = b"PK\x03\x04", b"PK\x05\x06"
_ZIP_MEMBERS: tuple[tuple[str, str, str], ...] = (
    (
        ".npy",
        "an archive of NumPy arrays (.npz)",
        f"{_ROWS}, as np.load or scipy.sparse.load_npz gives them",
    ),
    ("word/", "a Word document (.docx)", _COPY),
    ("ppt/", "a PowerPoint document (.pptx)", _COPY),
    ("content.xml", "an OpenDocument file (.ods, .odt)", "save the sheet as CSV"),
    (".zarray", "a Zarr array", _ROWS),
)
"""Names that begin or end a member of an archive, and what such an archive is."""


def foreign_kind(file: BufferedReader) -> tuple[str, str] | None:
    """Return the kind of a file that is no table, and what to do with it.

    Parameters
    ----------
    file : BufferedReader
        At its beginning, where it is again afterwards.

    Returns
    -------
    (kind, way out) or None
        None where the first bytes may be those of text.
    """
    head = file.peek(16)[:16]
    for pattern, kind, way_out in _SIGNATURES:
        if re.match(pattern, head.removeprefix(UTF8_BOM)):
            return kind, way_out
    return _archive(file) if head.startswith(_ZIP) else None


def is_excel(file: BufferedReader) -> bool:
    """Tell whether a file, at its beginning and left there, is an Excel workbook (.xlsx)."""
    members = _members(file) if file.peek(4).startswith(_ZIP) else None
    return any(name.startswith("xl/") for name in members or ())


def _members(file: BufferedReader) -> list[str] | None:
    """Names of the members of a zip archive; None where it is damaged."""
    try:
        with zipfile.ZipFile(file) as archive:
            return archive.namelist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, EOFError):
        return None
    finally:
        file.seek(0)


def _archive(file: BufferedReader) -> tuple[str, str]:
    """Say what kind of zip archive a file is, by the names of its members."""
    names = _members(file)
    if names is None:
        return "a damaged zip archive", "check the file"
    for sign, kind, way_out in _ZIP_MEMBERS:
        if any(name.startswith(sign) or name.endswith(sign) for name in names):
            return kind, way_out
    return "a zip archive", _UNPACK
