"""Files to a checked catalogue: read, check, join, fill, and count what was done.

:mod:`gpu_kmeans.sheet` checks the cells of each column; only texts, numbers and lists that
passed reach the backend's frame.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from os import PathLike
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gpu_kmeans.backend import BackendSpec, resolve
from gpu_kmeans.errors import InvalidParam
from gpu_kmeans.listcells import directors, every_name
from gpu_kmeans.protocol import Backend, Frame, JoinCounts
from gpu_kmeans.sheet import NAMES, Sheet, as_integers

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
        kinds = dict.fromkeys(TEXTS, pa.string()) | dict.fromkeys(LISTS, NAMES)
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
    free = {role for role, name in names.items() if _may_be_absent(role, name)}
    items = Sheet(device, movies, {r: n for r, n in names.items() if r not in CREDITS}, free)
    ids = items.ids("id")
    columns, empty = _checked(items)
    counts, absent = None, items.absent
    of_credits = {r: n for r, n in names.items() if r in CREDITS}
    if credits is not None:
        extra = Sheet(device, credits, of_credits, free)
        lists, counts = _joined(device, items, ids, extra)
        columns |= lists
        absent += extra.absent
    elif of_credits != {r: DEFAULTS[r] for r in of_credits}:
        raise InvalidParam(
            "credits_id, cast and crew name columns of the credits, and no credits were given; "
            "give the file or leave them out"
        )

    frame = items.frame[[items.names["id"]]].rename(columns={items.names["id"]: "id"})
    frame["id"] = as_integers(ids)
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


def _named(names: dict[str, str | None]) -> dict[str, str]:
    """The columns to use, without those that were left out."""
    for role, name in names.items():
        if not isinstance(name, str) and (role in REQUIRED or name is not None):
            raise InvalidParam(f"{role} must be the name of a column, got {name!r}")
    return {role: name for role, name in names.items() if name is not None}


def _may_be_absent(role: str, name: str) -> bool:
    return role not in REQUIRED and name == DEFAULTS[role]


def _checked(sheet: Sheet) -> tuple[dict[str, Any], dict[str, int]]:
    """Check every column but the ids: what goes into the frame, and the empty cells of each."""
    columns: dict[str, Any] = {}
    empty: dict[str, int] = {}
    for role in sheet.names:
        if role in TEXTS:
            columns[role], empty[role] = sheet.texts(role)
        elif role in NUMBERS:
            columns[role], empty[role] = sheet.numbers(role)
        elif role in LISTS:
            columns[role], empty[role] = sheet.lists(role, LISTS[role])
    return columns, empty


def _joined(
    backend: Backend, items: Sheet, ids: pa.ChunkedArray, extra: Sheet
) -> tuple[dict[str, pa.ListArray], JoinCounts]:
    """Bring the lists of the credits into the order of the items.

    Only ids and row positions go through the backend's join; the lists follow by position.
    """
    lists, _ = _checked(extra)
    left = items.frame[[items.names["id"]]].rename(columns={items.names["id"]: "id"})
    left["id"] = ids.to_pylist()
    right = extra.frame[[extra.names["credits_id"]]].rename(
        columns={extra.names["credits_id"]: "id"}
    )
    right["id"] = extra.ids("credits_id").to_pylist()
    right["position"] = np.arange(len(right))
    both, counts = backend.join(left, right, "id")
    positions = backend.to_host(both)["position"].to_pylist()
    # Rows without credits take the empty list that is put behind the others.
    places = pa.array(len(right) if place is None else int(place) for place in positions)
    nobody = pa.array([[]], NAMES)
    aligned = {role: pa.concat_arrays([rows, nobody]).take(places) for role, rows in lists.items()}
    return aligned, counts


def _warnings(report: CatalogueReport, items: Sheet, columns: dict[str, Any]) -> tuple[str, ...]:
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
