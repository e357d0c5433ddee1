"""Files to a checked catalogue: read, check, join, fill, and count what was done.

Cells are checked on the host, in one place for all backends; only texts, numbers and lists
that passed reach the backend's frame. Row numbers in messages are a spreadsheet's: the header
is row 1, and a row keeps its number however many line breaks its cells hold.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gpu_kmeans.backend import BackendSpec, resolve
from gpu_kmeans.errors import (
    DuplicateId,
    InputError,
    InvalidParam,
    NonFinite,
    NotNumeric,
    OutOfRange,
)
from gpu_kmeans.listcells import directors, every_name, read_lists
from gpu_kmeans.protocol import Backend, Frame, JoinCounts

__all__ = ["Catalogue", "CatalogueReport", "load_catalogue"]

DEFAULTS = {
    "id": "id",
    "title": "title",
    "text": "overview",
    "popularity": "popularity",
    "rating": "vote_average",
    "votes": "vote_count",
    "keywords": "keywords",
    "genres": "genres",
    "date": "release_date",
    "credits_id": "movie_id",
    "cast": "cast",
    "crew": "crew",
}
"""Names of the columns in TMDB's files, by the names they get in a catalogue."""

TEXTS = ("title", "text", "date")
NUMBERS = ("popularity", "rating", "votes")
LISTS = {"keywords": every_name, "genres": every_name, "cast": every_name, "crew": directors}
REQUIRED = ("id", "text", "credits_id")
CREDITS = ("credits_id", "cast", "crew")
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"


@dataclass(frozen=True, slots=True)
class CatalogueReport:
    """What reading a catalogue counted, filled and dropped.

    Attributes
    ----------
    rows : int
    missing_texts : int
        Rows whose text was empty: they are kept, with an empty text.
    filled : dict of str to int
        By column of the catalogue, its empty cells where there were any: numbers became 0,
        lists hold no names, titles and dates are empty texts.
    absent : tuple of str
        Columns of the catalogue that the files do not have.
    credits : JoinCounts or None
        Rows that have credits, rows without (kept, with empty lists), and credits rows that
        belong to no row (dropped); None when no credits were given.
    warnings : tuple of str
        Sentences about what a reader of the results should know.
    """

    rows: int
    missing_texts: int
    filled: dict[str, int]
    absent: tuple[str, ...]
    credits: JoinCounts | None
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The same as plain JSON types."""
        counts = self.credits and {
            "matched": self.credits.matched,
            "without_credits": self.credits.left_only,
            "dropped": self.credits.right_only,
        }
        plain = {"absent": list(self.absent), "warnings": list(self.warnings), "credits": counts}
        return asdict(self) | plain


@dataclass(frozen=True, slots=True, eq=False)
class Catalogue:
    """A checked table of items.

    Attributes
    ----------
    frame : Frame
        The backend's frame, rows in the file's order. ``id`` (int64 when every id is an
        integer in canonical form, else text), ``text``, and those present of ``title`` and
        ``date`` (text), ``popularity``, ``rating`` and ``votes`` (float64), ``keywords``,
        ``genres``, ``cast`` and ``crew`` (lists of names).
    report : CatalogueReport
    backend : Backend
    """

    frame: Frame
    report: CatalogueReport
    backend: Backend

    def __len__(self) -> int:
        return self.report.rows

    @property
    def texts(self) -> Any:
        """The text column, on the backend; a missing text is ``""``."""
        return self.frame["text"]

    def to_arrow(self) -> pa.Table:
        """All columns on the host, of the same types on every backend."""
        table: pa.Table = self.backend.to_host(self.frame)
        kinds = dict.fromkeys(TEXTS, pa.string()) | dict.fromkeys(LISTS, pa.list_(pa.string()))
        if not pa.types.is_integer(table.schema.field("id").type):
            kinds["id"] = pa.string()
        fields = [pa.field(f.name, kinds.get(f.name, f.type)) for f in table.schema]
        return table.cast(pa.schema(fields))


def load_catalogue(
    movies: str | PathLike[str],
    credits: str | PathLike[str] | None = None,
    *,
    id: str = DEFAULTS["id"],
    title: str | None = DEFAULTS["title"],
    text: str = DEFAULTS["text"],
    popularity: str | None = DEFAULTS["popularity"],
    rating: str | None = DEFAULTS["rating"],
    votes: str | None = DEFAULTS["votes"],
    keywords: str | None = DEFAULTS["keywords"],
    genres: str | None = DEFAULTS["genres"],
    date: str | None = DEFAULTS["date"],
    credits_id: str = DEFAULTS["credits_id"],
    cast: str | None = DEFAULTS["cast"],
    crew: str | None = DEFAULTS["crew"],
    backend: BackendSpec = "auto",
) -> Catalogue:
    """Read a catalogue of texts, and credits that are joined to it by id.

    Parameters
    ----------
    movies, credits : path
        CSV (UTF-8, commas, a header) or Parquet. Rows of the first are the items; a row of
        the second adds its cast and crew to the item of the same id, one to one. A catalogue
        whose texts are all empty still loads.
    id, title, text, popularity, rating, votes, keywords, genres, date : str or None
        Names of the columns in ``movies``. ``id`` and ``text`` must be there; another may be
        absent when its name is the default; None leaves it out.
    credits_id, cast, crew : str or None
        Names of the columns in ``credits``, likewise; ``credits_id`` must be there. Of a crew
        whose members have a ``"job"``, the directors are kept.
    backend : {"auto", "cpu", "gpu"} or Backend

    Returns
    -------
    Catalogue

    Raises
    ------
    InputError
        A file, a column or a cell cannot be used: FileProblem, UnsupportedFileType,
        InvalidEncoding, CsvMalformed, InvalidHeader, MissingColumn, EmptyDataset,
        DuplicateId, NotNumeric, NonFinite, OutOfRange, InvalidJsonCell.
    InvalidParam
        A column's name is not a text, or ``id``, ``text`` or ``credits_id`` is None.
    BackendUnavailable
        The backend cannot run here.
    """
    names = _named(
        {
            "id": id,
            "title": title,
            "text": text,
            "popularity": popularity,
            "rating": rating,
            "votes": votes,
            "keywords": keywords,
            "genres": genres,
            "date": date,
            "credits_id": credits_id,
            "cast": cast,
            "crew": crew,
        }
    )
    device = resolve(backend)
    items = _Sheet(device, movies, {r: n for r, n in names.items() if r not in CREDITS})
    ids = _ids(items, "id")
    columns, empty = _checked(items)
    counts, absent = None, items.absent
    of_credits = {r: n for r, n in names.items() if r in CREDITS}
    if credits is not None:
        extra = _Sheet(device, credits, of_credits)
        lists, counts = _joined(device, items, ids, extra)
        columns |= lists
        absent += extra.absent
    elif of_credits != {r: DEFAULTS[r] for r in of_credits}:
        raise InvalidParam(
            "credits_id, cast and crew name columns of the credits, and no credits were given; "
            "give the file or leave them out"
        )

    frame = items.frame[[items.names["id"]]].rename(columns={items.names["id"]: "id"})
    frame["id"] = _as_integers(ids)
    for role, column in columns.items():
        frame[role] = column
    report = CatalogueReport(
        rows=len(ids),
        missing_texts=empty.pop("text"),
        filled={role: count for role, count in empty.items() if count},
        absent=absent,
        credits=counts,
        warnings=(),
    )
    return Catalogue(frame, replace(report, warnings=_warnings(report, items, columns)), device)


class _Sheet:
    """One file's wanted columns: the backend's frame, the same on the host, and their names."""

    def __init__(self, backend: Backend, path: str | PathLike[str], names: dict[str, str]) -> None:
        self.path = Path(path)
        free = {role for role, name in names.items() if _may_be_absent(role, name)}
        self.frame = backend.read_table(
            self.path,
            [name for role, name in names.items() if role not in free],
            [name for role, name in names.items() if role in free],
        )
        self.host: pa.Table = backend.to_host(self.frame)
        found = set(self.host.column_names)
        self.names = {role: name for role, name in names.items() if name in found}
        self.absent = tuple(role for role, name in names.items() if name not in found)

    def cells(self, role: str) -> pa.ChunkedArray:
        """The column; text of any Arrow type, and a column of nulls alone, as text."""
        column = self.host[self.names[role]]
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        plain = pa.types.is_null(column.type) or pa.types.is_string_view(column.type)
        return column.cast(pa.string()) if plain else column

    def place(self, role: str, index: int | None = None) -> str:
        """Where a cell, or a whole column, stands: for the beginning of a message."""
        row = "" if index is None else f", row {index + 2}"
        return f"{self.path.name}{row}, column {self.names[role]!r}"


def _named(names: dict[str, str | None]) -> dict[str, str]:
    """The columns to use, without those that were left out."""
    for role, name in names.items():
        if not isinstance(name, str) and (role in REQUIRED or name is not None):
            raise InvalidParam(f"{role} must be the name of a column, got {name!r}")
    return {role: name for role, name in names.items() if name is not None}


def _may_be_absent(role: str, name: str) -> bool:
    return role not in REQUIRED and name == DEFAULTS[role]


def _checked(sheet: _Sheet) -> tuple[dict[str, Any], dict[str, int]]:
    """Check every column but the ids: what goes into the frame, and the empty cells of each."""
    columns: dict[str, Any] = {}
    empty: dict[str, int] = {}
    for role, name in sheet.names.items():
        if role in TEXTS:
            columns[role], empty[role] = _texts(sheet, role)
        elif role in NUMBERS:
            columns[role], empty[role] = _numbers(sheet, role)
        elif role in LISTS:
            cells = sheet.cells(role).to_pylist()
            columns[role], empty[role] = read_lists(cells, sheet.path.name, name, LISTS[role])
    return columns, empty


def _joined(
    backend: Backend, items: _Sheet, ids: pa.ChunkedArray, extra: _Sheet
) -> tuple[dict[str, list[list[str]]], JoinCounts]:
    """Bring the lists of the credits into the order of the items.

    Only ids and row positions go through the backend's join; the lists follow by position.
    """
    lists, _ = _checked(extra)
    left = items.frame[[items.names["id"]]].rename(columns={items.names["id"]: "id"})
    left["id"] = ids.to_pylist()
    right = extra.frame[[extra.names["credits_id"]]].rename(
        columns={extra.names["credits_id"]: "id"}
    )
    right["id"] = _ids(extra, "credits_id").to_pylist()
    right["position"] = np.arange(len(right))
    both, counts = backend.join(left, right, "id")
    positions = backend.to_host(both)["position"].to_pylist()
    aligned = {
        role: [[] if place is None else rows[int(place)] for place in positions]
        for role, rows in lists.items()
    }
    return aligned, counts


def _ids(sheet: _Sheet, role: str) -> pa.ChunkedArray:
    """The ids as text, each there and each once."""
    cells = sheet.cells(role)
    if not (_is_text(cells.type) or pa.types.is_integer(cells.type)):
        raise InputError(f"{sheet.place(role)} holds {cells.type}; ids must be texts or integers")
    ids = pc.fill_null(cells.cast(pa.large_string()), "")
    blank = _first(pc.equal(pc.utf8_trim_whitespace(ids), ""))
    if blank is not None:
        raise InputError(f"{sheet.place(role, blank)} is empty; every row needs an id")
    if pc.count_distinct(ids).as_py() < len(ids):
        first: dict[str, int] = {}
        for index, one in enumerate(ids.to_pylist()):
            if first.setdefault(one, index) != index:
                raise DuplicateId(
                    f"{sheet.place(role)}: id {one!r} stands on rows {first[one] + 2} and "
                    f"{index + 2}; remove one of the two rows or give it an id of its own"
                )
    return ids


def _as_integers(ids: pa.ChunkedArray) -> Any:
    """int64 when every id is an integer as it would be printed (``007`` is not), else text."""
    try:
        numbers = ids.cast(pa.int64())
    except pa.ArrowInvalid:
        return ids.to_pylist()
    canonical = pc.all(pc.equal(numbers.cast(ids.type), ids)).as_py()
    return numbers.to_numpy() if canonical else ids.to_pylist()


def _texts(sheet: _Sheet, role: str) -> tuple[Any, int]:
    cells = sheet.cells(role)
    if role == "date" and pa.types.is_temporal(cells.type):
        cells = cells.cast(pa.date32()).cast(pa.string())
    if not _is_text(cells.type):
        raise InputError(f"{sheet.place(role)} holds {cells.type}; it must hold text")
    texts = pc.fill_null(cells, "")
    as_read = cells is sheet.host[sheet.names[role]] and not cells.null_count
    column = sheet.frame[sheet.names[role]] if as_read else texts.to_pylist()
    return column, _count(pc.equal(texts, ""))


def _numbers(sheet: _Sheet, role: str) -> tuple[NDArray[np.float64], int]:
    """A column as float64 within float32's range, and how many empty cells became 0."""
    cells = sheet.cells(role)
    if _is_text(cells.type):
        texts = pc.ascii_trim_whitespace(pc.fill_null(cells, ""))
        empty = pc.equal(texts, "")
        wrong = _first(pc.invert(pc.or_(empty, pc.match_substring_regex(texts, _NUMBER))))
        if wrong is not None:
            _refuse_number(sheet.place(role, wrong), texts[wrong].as_py())
        values = np.array([float(text or 0) for text in texts.to_pylist()])
    elif pa.types.is_integer(cells.type) or _is_real(cells.type):
        empty = pc.is_null(cells)
        values = pc.fill_null(cells.cast(pa.float64(), safe=False), 0.0).to_numpy()
    else:
        raise NotNumeric(f"{sheet.place(role)} holds {cells.type}; it must hold numbers")
    infinite = np.flatnonzero(~np.isfinite(values))
    if len(infinite):
        index = int(infinite[0])
        _refuse_infinite(sheet.place(role, index), cells[index].as_py())
    with np.errstate(over="ignore"):
        large = np.flatnonzero(np.isinf(values.astype(np.float32)))
    if len(large):
        raise OutOfRange(
            f"{sheet.place(role, int(large[0]))}: {values[large[0]]:g} is beyond float32 "
            "(about 3.4e38); correct the cell"
        )
    return values, _count(empty)


def _refuse_number(place: str, cell: str) -> NoReturn:
    if cell.lower().lstrip("+-") in ("nan", "inf", "infinity"):
        _refuse_infinite(place, cell)
    raise NotNumeric(
        f"{place}: {cell[:60]!r} is not a number; write digits with a point, such as 1500.5, "
        "or leave the cell empty"
    )


def _refuse_infinite(place: str, cell: object) -> NoReturn:
    raise NonFinite(
        f"{place}: {str(cell)[:60]} is not a finite number; correct the cell or leave it empty"
    )


def _warnings(report: CatalogueReport, items: _Sheet, columns: dict[str, Any]) -> tuple[str, ...]:
    """What a reader of the results should know, in sentences."""
    said: list[str] = []
    rows, counts = report.rows, report.credits
    of = f" of {rows}"
    if report.missing_texts:
        said.append(f"rows without a text, which cannot be clustered: {report.missing_texts}{of}")
    different = pc.count_distinct(pc.fill_null(items.cells("text"), "")).as_py()
    repeated = rows - different - max(report.missing_texts - 1, 0)
    if repeated:
        said.append(f"rows that repeat the text of another row: {repeated}{of}")
    for role in NUMBERS:
        if role in report.filled:
            said.append(f"{items.place(role)}: empty cells taken as 0: {report.filled[role]}{of}")
        if role in columns and rows > 1 and np.ptp(columns[role]) == 0:
            said.append(f"{items.place(role)} has one value on every row: it tells no rows apart")
    if counts is not None and counts.left_only:
        said.append(f"rows without credits, whose lists are empty: {counts.left_only}{of}")
    if counts is not None and counts.right_only:
        total = counts.matched + counts.right_only
        said.append(f"credits of no row, which were dropped: {counts.right_only} of {total}")
    return tuple(said)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_real(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _first(mask: pa.ChunkedArray) -> int | None:
    index = pc.index(mask, True).as_py()
    return None if index < 0 else index


def _count(mask: pa.ChunkedArray) -> int:
    return int(pc.sum(mask).as_py() or 0)
