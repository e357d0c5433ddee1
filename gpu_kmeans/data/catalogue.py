"""Files to a checked catalogue: read, check, join, fill, and count what was done.

:mod:`gpu_kmeans.data.columns` checks the cells of each column; only texts, numbers and lists that
passed reach the backend's frame.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from os import PathLike
from typing import Any

import numpy as np
import pyarrow as pa

from gpu_kmeans.backends.protocol import Backend, Frame, JoinCounts
from gpu_kmeans.backends.select import BackendSpec, resolve
from gpu_kmeans.data.columns import NAMES, Sheet, Words, as_integers
from gpu_kmeans.data.json_lists import directors, every_name
from gpu_kmeans.data.number_formats import NumberFormat
from gpu_kmeans.data.proposals import proposed_features
from gpu_kmeans.data.roles import DEFAULTS, ROLES, FeatureRoles
from gpu_kmeans.errors import InputError, InvalidParam, MissingColumn
from gpu_kmeans.tables.delimiters import check_delimiter
from gpu_kmeans.tables.encodings import check_encoding
from gpu_kmeans.tables.list_column import read_list_column
from gpu_kmeans.tables.paths import check_path

__all__ = ["Catalogue", "CatalogueReport", "load_catalogue"]


class _Usual(str):
    """The name that a column has unless the caller says otherwise: nobody asked for it."""

    __slots__ = ()


USUAL = {role: _Usual(name) for role, name in DEFAULTS.items()}
"""Names of columns as defaults of arguments, known from names that a caller gave."""

TEXTS = tuple(role for role, about in ROLES.items() if about.kind == "text")
NUMBERS = tuple(role for role, about in ROLES.items() if about.kind == "number")
LISTS = {
    role: directors if role == "crew" else every_name
    for role, about in ROLES.items()
    if about.kind == "list"
}
REQUIRED = tuple(role for role, about in ROLES.items() if about.required)
CREDITS = tuple(role for role, about in ROLES.items() if about.in_credits)


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
    left_out : dict of str to str
        Why columns of the default's name are not used, by column of the catalogue: nobody asked
        for them, and what they hold is not what the catalogue keeps under that name.
    proposed : dict
        Columns that were taken for a role because of what they hold, by role: where no column
        has the usual name of the text, the only one that holds texts, or numbers and categories.
    numbered : bool
        Whether there was no column of ids, so that rows are numbered from 1.
    number_formats : dict of str to dict
        How columns write numbers that are not written as programs do, by their names; see
        :class:`gpu_kmeans.data.number_formats.NumberFormat`.
    ignored : int
        Columns of the files that have no name, or the same name as another.
    unkept : tuple of str
        Columns without a role that are not kept with the items, as their cells are no text.
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
    left_out: dict[str, str]
    proposed: dict[str, Any]
    numbered: bool
    number_formats: dict[str, dict[str, str]]
    ignored: int
    unkept: tuple[str, ...]
    credits: JoinCounts | None
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The same as plain JSON types."""
        counts = self.credits and {
            "matched": self.credits.matched,
            "without_credits": self.credits.left_only,
            "dropped": self.credits.right_only,
        }
        plain = {
            "absent": list(self.absent),
            "unkept": list(self.unkept),
            "warnings": list(self.warnings),
            "credits": counts,
        }
        return asdict(self) | plain


@dataclass(frozen=True, slots=True, eq=False)
class Catalogue:
    """A checked table of items.

    Attributes
    ----------
    frame : Frame or pyarrow.Table
        The backend's frame, rows in the file's order. ``id`` (int64 when every id is an
        integer in canonical form, else text), ``text``, and those present of ``title`` and
        ``date`` (text), ``popularity``, ``rating`` and ``votes`` (float64), ``keywords``,
        ``genres``, ``cast`` and ``crew`` (lists of names).
    report : CatalogueReport
    backend : Backend
    roles : FeatureRoles
        Columns that are clustered.
    features : dict
        Cells of these columns, as the encoders of :mod:`gpu_kmeans.features` read them:
        ``"text"`` the texts, on the backend; numbers as float64 with NaN where one is missing,
        and categories as lists of ``str``, by the names of their columns; ``"matrix"``.
    feature_names : list of str or None
        Names of the matrix's columns.
    others : pyarrow.Table
        All other columns of the items' file as texts, and numbers and categories, by their names.
    """

    frame: Frame
    report: CatalogueReport
    backend: Backend
    roles: FeatureRoles
    features: dict[str, Any] = field(default_factory=dict)
    feature_names: list[str] | None = None
    others: pa.Table = field(default_factory=lambda: pa.table({}))

    def __len__(self) -> int:
        return self.report.rows

    @property
    def texts(self) -> Any:
        """The text column, on the backend; a missing text is ``""``."""
        return self.frame["text"]

    def to_arrow(self) -> pa.Table:
        """All columns on the host, of the same types on every backend."""
        frame = self.frame
        table = frame if isinstance(frame, pa.Table) else self.backend.to_host(frame)
        kinds = dict.fromkeys(TEXTS, pa.string()) | dict.fromkeys(LISTS, NAMES)
        if not pa.types.is_integer(table.schema.field("id").type):
            kinds["id"] = pa.string()
        fields = [pa.field(f.name, kinds.get(f.name, f.type)) for f in table.schema]
        return table.cast(pa.schema(fields))


def load_catalogue(
    movies: str | PathLike[str],
    credits: str | PathLike[str] | None = None,
    *,
    id: str = USUAL["id"],
    title: str | None = USUAL["title"],
    text: str | Sequence[str] | None = USUAL["text"],
    popularity: str | None = USUAL["popularity"],
    rating: str | None = USUAL["rating"],
    votes: str | None = USUAL["votes"],
    keywords: str | None = USUAL["keywords"],
    genres: str | None = USUAL["genres"],
    date: str | None = USUAL["date"],
    credits_id: str = USUAL["credits_id"],
    cast: str | None = USUAL["cast"],
    crew: str | None = USUAL["crew"],
    numbers: Sequence[str] = (),
    categories: Sequence[str] = (),
    matrix: str | None = None,
    keep_columns: bool = True,
    encoding: str | None = None,
    delimiter: str | None = None,
    number_formats: Mapping[str, NumberFormat] | None = None,
    backend: BackendSpec = "auto",
) -> Catalogue:
    """Read a table of items, and credits that are joined to it by id.

    Parameters
    ----------
    movies, credits : path
        CSV with a header, JSON lines or a JSON array of objects (these also packed with gzip),
        Parquet or Excel, told by their content; see :mod:`gpu_kmeans.tables.table_file`. Rows of
        the first are the items; a row of the second adds its cast and crew to the item of the same
        id, one to one. A catalogue whose texts are all empty still loads.
    id, title, text, popularity, rating, votes, keywords, genres, date : str or None
        Names of the columns in ``movies``. A column that is named here is wanted: it must be
        there, once, and hold what its role needs. One of the default's name that nobody asked
        for may be absent, or hold something else: it is left out of its role then, and counted
        in the report. Several columns may be named as ``text``; their cells are joined by a line
        break. Where nothing to cluster is named and no column has the text's usual name, the only
        column that holds texts is taken, or all numbers and categories of a table without
        texts, which the report says. Without a column of ids, rows are numbered from 1 (but not
        where ``credits`` are given, which are joined by id). None leaves a column out.
    credits_id, cast, crew : str or None
        Names of the columns in ``credits``, likewise; ``credits_id`` is always wanted. Of a
        crew whose members have a ``"job"``, the directors are kept.
    numbers, categories : sequence of str
        Columns of ``movies`` to cluster as such, beside the text if one is named, or without one.
        A missing number is NaN.
    matrix : str or None
        A column of ``movies`` that holds lists of as many numbers on each row.
    keep_columns : bool
        Whether the columns without a role are kept as texts, too.
    encoding : str or None
        Encoding of CSV and JSON lines, such as ``"windows-1252"``; None means the one whose
        byte-order mark a file has, or UTF-8.
    delimiter : str or None
        The sign between two cells of CSV files, such as ``";"`` or ``"tab"``; None looks for
        commas, semicolons, tabs and vertical bars in the first rows.
    number_formats : mapping of str to NumberFormat, optional
        How columns of ``movies`` are expected to write numbers, by their names; a column that does
        otherwise, and all others, are looked at: decimal commas, signs between thousands, and
        units of currencies and per cents are read where no other reading of the column fits.
    backend : {"auto", "cpu", "gpu"} or Backend

    Returns
    -------
    Catalogue

    Raises
    ------
    InputError
        A file, a column or a cell cannot be used: FileProblem, UnsupportedFileType,
        InvalidEncoding, UncertainFormat, CsvMalformed, MalformedJson, InvalidHeader,
        MissingColumn, EmptyDataset, DuplicateId, NotNumeric, NonFinite, OutOfRange,
        InvalidJsonCell.
    InvalidParam
        ``movies`` or ``credits`` is no path, ``encoding`` no encoding of texts, ``delimiter`` no
        single sign, a column's name no text, ``id`` or ``credits_id`` is None, or ``text`` is and
        there is nothing else to cluster.
    BackendUnavailable
        The backend cannot run here.
    """
    names = _named(
        {
            "id": id,
            "title": title,
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
    roles = _feature_roles(text, numbers, categories, matrix)
    movies = check_path("movies", movies)
    credits = None if credits is None else check_path("credits", credits)
    encoding = check_encoding(encoding)
    delimiter = check_delimiter(delimiter)
    device = resolve(backend)
    usual = {role for role, name in names.items() if type(name) is _Usual}
    free = usual - set(REQUIRED) | ({"id"} & usual if credits is None else set())
    of_items = {role: name for role, name in names.items() if role not in CREDITS}
    of_credits = {role: name for role, name in names.items() if role in CREDITS}

    def read_sheet(clustered: FeatureRoles) -> Sheet:
        columns = _sheet_roles(clustered) | of_items
        sheet = Sheet(device, movies, columns, free, encoding, delimiter, keep_columns)
        sheet.number_formats.update(number_formats or {})
        return sheet

    proposed: dict[str, Any] = {}
    try:
        items = read_sheet(roles)
    except MissingColumn as error:
        if (
            not _is_usual(text)
            or roles.columns != (DEFAULTS["text"],)
            or not os.path.isfile(movies)
        ):
            raise
        roles, id_column = proposed_features(device, movies, encoding, delimiter)
        _check_proposal(roles, error)
        proposed = _proposed(roles)
        if id_column is not None and "id" in free and id == DEFAULTS["id"]:
            of_items["id"] = proposed["id"] = id_column
        items = read_sheet(roles)
    if "id" in items.repeated:  # who has a column of ids wants it
        raise items.repeated["id"]
    words = _words(items, roles)
    read = _checked(items, usual)
    ids = items.ids("id") if "id" in items.names else None
    frame = _frame_of_ids(items, ids)
    counts, absent, ignored = None, items.absent, items.ignored
    if credits is not None and ids is not None:
        extra = Sheet(device, credits, of_credits, free, encoding, delimiter)
        lists, counts = _joined(device, items, ids, extra, usual)
        read = read.with_credits(lists)
        absent, ignored = absent + extra.absent, ignored + extra.ignored
    elif of_credits != {role: DEFAULTS[role] for role in of_credits}:
        raise InvalidParam(
            "credits_id, cast and crew name columns of the credits, and no credits were given; "
            "give the file or leave them out"
        )
    columns = read.columns | ({} if words is None else {"text": words.cells})
    for role in sorted(columns, key=list(ROLES).index):
        frame[role] = columns[role]
    features = _features(items, roles)
    others, unkept = _others(items, features)
    report = CatalogueReport(
        rows=len(items.frame),
        missing_texts=0 if words is None else words.empty,
        filled={role: n for role, n in read.empty.items() if n},
        absent=absent,
        left_out=read.left_out,
        proposed=proposed,
        numbered=ids is None,
        number_formats={name: each.to_dict() for name, each in items.number_formats.items()},
        ignored=ignored,
        unkept=tuple(unkept),
        credits=counts,
        warnings=(),
    )
    if words is not None:
        features["text"] = frame["text"]
    warnings = _warnings(report, items, read, words)
    return Catalogue(
        frame, replace(report, warnings=warnings), device, roles, features, others=others
    )


# -- what is clustered --------------------------------------------------------------------


def _is_usual(name: object) -> bool:
    return type(name) is _Usual


def _feature_roles(text: Any, numbers: Any, categories: Any, matrix: Any) -> FeatureRoles:
    """Return the columns to cluster as they are named; the usual text only where no other is."""
    named = FeatureRoles.of(None, numbers, categories, matrix)
    if named.columns and _is_usual(text):
        return named
    roles = FeatureRoles.of(text, numbers, categories, matrix)
    if not roles.columns:
        raise InvalidParam(
            "text must be the name of a column, or numbers, categories or a matrix must name some: "
            f"got text={text!r:.60} and nothing else to cluster"
        )
    return roles


def _sheet_roles(roles: FeatureRoles) -> dict[str, str]:
    """Return the columns to cluster by roles of a sheet, each of its own."""
    texts = {_text_role(i): name for i, name in enumerate(roles.texts)}
    others = {
        f"{role}/{name}": name
        for role, columns in (("numbers", roles.numbers), ("categories", roles.categories))
        for name in columns
    }
    matrix = {} if roles.matrix is None else {"matrix": roles.matrix}
    return texts | others | matrix


def _text_role(number: int) -> str:
    return "text" if number == 0 else f"text/{number}"


def _check_proposal(roles: FeatureRoles, error: MissingColumn) -> None:
    """Raise what is said where no columns, or several texts, offer themselves."""
    if not roles.columns:
        raise MissingColumn(
            f"{error}: no column offers itself by what it holds, so name texts (--text), numbers "
            "(--numbers) or categories (--categories)"
        ) from error
    if len(roles.texts) > 1:
        listed = ", ".join(map(repr, roles.texts[:10]))
        first = roles.texts[0]
        raise MissingColumn(
            f"{error}; these hold texts: {listed}: name the one to cluster (text={first!r}, on "
            f"the command line --text {first!r}), or several"
        ) from error


def _proposed(roles: FeatureRoles) -> dict[str, Any]:
    """Return a proposal by roles, as the report has it."""
    named = {
        "text": roles.texts[0] if roles.texts else None,
        "numbers": list(roles.numbers),
        "categories": list(roles.categories),
        "matrix": roles.matrix,
    }
    return {role: columns for role, columns in named.items() if columns}


def _words(items: Sheet, roles: FeatureRoles) -> Words | None:
    """Return the texts to cluster; of several columns, joined by line breaks."""
    if not roles.texts:
        return None
    if len(roles.texts) == 1:
        return items.words("text")
    columns = [items.words(_text_role(i)) for i in range(len(roles.texts))]
    cells = [column.cells if isinstance(column.cells, list) else None for column in columns]
    texts = [
        written if written is not None else items.written(_text_role(i)).to_pylist()
        for i, written in enumerate(cells)
    ]
    joined = ["\n".join(text for text in row if text) for row in zip(*texts, strict=True)]
    return Words(
        cells=joined,
        empty=sum(not text for text in joined),
        names_nothing=sum(column.names_nothing for column in columns),
        wordless=min(column.wordless for column in columns),
        different=len(set(joined)),
    )


def _features(items: Sheet, roles: FeatureRoles) -> dict[str, Any]:
    """Return the cells of numbers, categories and a matrix."""
    features: dict[str, Any] = {}
    for name in roles.numbers:
        features[name] = items.measurements(f"numbers/{name}")
    for name in roles.categories:
        features[name] = items.written(f"categories/{name}").to_pylist()
    if roles.matrix is not None:
        features["matrix"] = read_list_column(items.column("matrix"), items.place("matrix"))
    return features


def _others(items: Sheet, features: dict[str, Any]) -> tuple[pa.Table, list[str]]:
    """Return the columns to keep beside those of the catalogue's roles, and those left out."""
    others, unkept = items.others()
    columns = {name: others[name] for name in others.column_names}
    for name, cells in features.items():
        if isinstance(cells, list):
            columns[name] = pa.chunked_array([pa.array(cells, pa.string())])
        elif cells.ndim == 1:
            columns[name] = pa.chunked_array([pa.array(cells, from_pandas=True)])
    return pa.table(columns), unkept


def _named(names: dict[str, str | None]) -> dict[str, str]:
    """The columns to use, without those that were left out."""
    for role, name in names.items():
        if not isinstance(name, str) and (role in REQUIRED or name is not None):
            raise InvalidParam(f"{role} must be the name of a column, got {name!r}")
    return {role: name for role, name in names.items() if name is not None}


@dataclass(frozen=True, slots=True)
class _Read:
    """Columns that were read, by role: cells, how many were empty, and what was left out."""

    columns: dict[str, Any]
    empty: dict[str, int]
    left_out: dict[str, str]
    """Why columns that nobody asked for are not used, by role."""

    def with_credits(self, other: _Read) -> _Read:
        """Return both; empty cells of credits are not counted."""
        return replace(
            self, columns=self.columns | other.columns, left_out=self.left_out | other.left_out
        )


def _checked(sheet: Sheet, usual: Collection[str]) -> _Read:
    """Check the columns beside the ids; those of ``usual`` that cannot be used are left out."""
    read = _Read({}, {}, {role: str(error) for role, error in sheet.repeated.items()})
    for role in sheet.names:
        if role in REQUIRED or role not in ROLES:
            continue
        try:
            if role in TEXTS:
                read.columns[role], read.empty[role] = sheet.texts(role)
            elif role in NUMBERS:
                read.columns[role], read.empty[role] = sheet.numbers(role)
            else:
                read.columns[role], read.empty[role] = sheet.lists(role, LISTS[role])
        except InputError as error:
            if role not in usual or (role == "date" and sheet.holds_times(role)):
                raise
            read.left_out[role] = str(error)
    return read


def _frame_of_ids(items: Sheet, ids: pa.ChunkedArray | None) -> Frame:
    """Return a frame of the ids alone; without ids, rows are numbered from 1."""
    source = items.names["id"] if ids is not None else next(iter(items.names.values()))
    frame = items.frame[[source]].rename(columns={source: "id"})
    frame["id"] = np.arange(1, len(frame) + 1) if ids is None else as_integers(ids)
    return frame


def _joined(
    backend: Backend, items: Sheet, ids: pa.ChunkedArray, extra: Sheet, usual: Collection[str]
) -> tuple[_Read, JoinCounts]:
    """Bring the lists of the credits into the order of the items.

    Only ids and row positions go through the backend's join; the lists follow by position.
    """
    read = _checked(extra, usual)
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
    places = pa.array(len(right) if position is None else int(position) for position in positions)
    nobody = pa.array([[]], NAMES)
    aligned = {
        role: pa.concat_arrays([rows, nobody]).take(places) for role, rows in read.columns.items()
    }
    return replace(read, columns=aligned), counts


def _warnings(
    report: CatalogueReport, items: Sheet, read: _Read, words: Words | None
) -> tuple[str, ...]:
    """What a reader of the results should know, in sentences."""
    rows, counts = report.rows, report.credits
    of_all = f" of {rows}"
    notes = [
        f"{reason}; nobody asked for this column, and it is left out"
        for reason in report.left_out.values()
    ]
    notes += _sentences_on_roles(report, items)
    if words is not None:
        notes += _sentences_on_texts(report, items, words)
    for name, values in report.number_formats.items():
        notes.append(
            f"{items.path.name}, column {name!r}: read as numbers with "
            f"{NumberFormat(**values).words}"
        )
    for role in NUMBERS:
        if role in report.filled:
            notes.append(
                f"{items.place(role)}: empty cells taken as 0: {report.filled[role]}{of_all}"
            )
        if role in read.columns and rows > 1 and np.ptp(read.columns[role]) == 0:
            notes.append(f"{items.place(role)} has one value on every row: it tells no rows apart")
    if counts is not None and counts.left_only:
        notes.append(f"rows without credits, whose lists are empty: {counts.left_only}{of_all}")
    if counts is not None and counts.right_only:
        total = counts.matched + counts.right_only
        notes.append(f"credits of no row, which were dropped: {counts.right_only} of {total}")
    return tuple(notes)


def _sentences_on_roles(report: CatalogueReport, items: Sheet) -> list[str]:
    """Say which columns are clustered where nobody named them, and what stands for the ids."""
    notes = []
    proposed = report.proposed
    if items.names_like_data:
        shown = ", ".join(f"{name!r:.40}" for name in items.names_like_data[:3])
        notes.append(
            f"{items.path.name}: the first row is the header, and {shown} look like cells; if the "
            "file has no header, write the columns' names above its first row"
        )
    nameless = f"{items.path.name} has no column"
    if "text" in proposed:
        notes.append(
            f"{nameless} {DEFAULTS['text']!r}: {proposed['text']!r} is clustered, the only column "
            "that holds texts"
        )
    elif proposed:
        parts = [
            f"the {role} {', '.join(map(repr, columns))}"
            for role, columns in proposed.items()
            if isinstance(columns, list)
        ]
        if "matrix" in proposed:
            parts.append(f"the lists of numbers {proposed['matrix']!r}")
        notes.append(
            f"{items.path.name} has no column of texts: {' and '.join(parts)} are clustered"
        )
    if proposed.get("id", DEFAULTS["id"]) != DEFAULTS["id"]:
        notes.append(f"{nameless} {DEFAULTS['id']!r}: {proposed['id']!r} is taken for the ids")
    if report.numbered:
        notes.append(f"{nameless} {DEFAULTS['id']!r}: rows are numbered from 1")
    return notes


def _sentences_on_texts(report: CatalogueReport, items: Sheet, words: Words) -> list[str]:
    """Say what is odd about the texts."""
    rows = report.rows
    of_all = f" of {rows}"
    notes = []
    if words.names_nothing:
        notes.append(
            f"{items.place('text')}: texts that are nothing but nan, null, None or the like, "
            f"which count as missing: {words.names_nothing}{of_all}"
        )
    if 2 * words.wordless > rows - report.missing_texts:
        notes.append(
            f"{items.place('text')} holds numbers, which are clustered as if they were words: "
            f"{words.wordless}{of_all}; name a column of texts (text=, on the command line "
            "--text), or cluster the numbers as such (numbers=, on the command line --numbers)"
        )
    if report.missing_texts:
        notes.append(
            f"rows without a text, which cannot be clustered: {report.missing_texts}{of_all}"
        )
    repeated = rows - words.different - max(report.missing_texts - 1, 0)
    if repeated:
        notes.append(f"rows that repeat the text of another row: {repeated}{of_all}")
    return notes
