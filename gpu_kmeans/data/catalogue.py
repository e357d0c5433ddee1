"""Files to a checked catalogue: read, check, join, fill, and count what was done.

:mod:`gpu_kmeans.data.columns` checks the cells of each column; only texts, numbers and lists that
passed reach the backend's frame.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from gpu_kmeans.backends.protocol import Backend, Frame
from gpu_kmeans.backends.select import BackendSpec, resolve
from gpu_kmeans.data.checked_columns import LISTS, check_columns, frame_of_ids, join_credits
from gpu_kmeans.data.clustered_columns import (
    check_proposal,
    columns_by_role,
    feature_cells,
    feature_roles,
    other_columns,
    sheet_roles,
    words_of,
)
from gpu_kmeans.data.columns import NAMES, Sheet
from gpu_kmeans.data.number_formats import NumberFormat
from gpu_kmeans.data.proposals import proposed_features
from gpu_kmeans.data.report import CatalogueReport, warnings_of
from gpu_kmeans.data.roles import (
    CREDITS,
    DEFAULTS,
    NUMBERS,
    REQUIRED,
    ROLES,
    TEXTS,
    USUAL,
    FeatureRoles,
    Usual,
)
from gpu_kmeans.errors import InvalidParam, MissingColumn
from gpu_kmeans.tables.delimiters import check_delimiter
from gpu_kmeans.tables.encodings import check_encoding
from gpu_kmeans.tables.paths import check_path

__all__ = ["Catalogue", "load_catalogue"]


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
    roles = feature_roles(text, numbers, categories, matrix)
    source = _Source(
        backend=resolve(backend),
        movies=check_path("movies", movies),
        credits=None if credits is None else check_path("credits", credits),
        encoding=check_encoding(encoding),
        delimiter=check_delimiter(delimiter),
        names=names,
        keep_columns=keep_columns,
        number_formats=number_formats or {},
    )
    may_propose = isinstance(text, Usual) and roles.columns == (DEFAULTS["text"],)
    items, roles, proposed = source.read_items(roles, may_propose)
    words = words_of(items, roles)
    columns = check_columns(items, source.usual)
    ids = items.ids("id") if "id" in items.names else None
    frame = frame_of_ids(items, ids)
    extra, counts = None, None
    if source.credits is not None and ids is not None:
        extra = source.read_credits()
        lists, counts = join_credits(source.backend, items, ids, extra, source.usual)
        columns = columns.with_credits(lists)
    else:
        source.refuse_names_of_credits()
    cells = columns.cells | ({} if words is None else {"text": words.cells})
    for role in sorted(cells, key=list(ROLES).index):
        frame[role] = cells[role]
    features = feature_cells(items, roles)
    others, unkept = other_columns(items, features)
    if words is not None:
        features["text"] = frame["text"]
    report = CatalogueReport(
        rows=len(items.frame),
        missing_texts=0 if words is None else words.empty,
        filled={role: n for role, n in columns.empty.items() if n},
        absent=items.absent + (() if extra is None else extra.absent),
        left_out=columns.left_out,
        proposed=proposed,
        numbered=ids is None,
        number_formats={name: each.to_dict() for name, each in items.number_formats.items()},
        ignored=items.ignored + (0 if extra is None else extra.ignored),
        unkept=tuple(unkept),
        credits=counts,
        warnings=(),
    )
    constant = [
        role for role in NUMBERS if role in columns.cells and np.ptp(columns.cells[role]) == 0
    ]
    report = replace(report, warnings=warnings_of(report, items, constant, words))
    return Catalogue(frame, report, source.backend, roles, features, others=others)


def _named(names: dict[str, str | None]) -> dict[str, str]:
    """The columns to use, without those that were left out."""
    for role, name in names.items():
        if not isinstance(name, str) and (role in REQUIRED or name is not None):
            raise InvalidParam(f"{role} must be the name of a column, got {name!r}")
    return {role: name for role, name in names.items() if name is not None}


@dataclass(frozen=True, slots=True)
class _Source:
    """The files of a catalogue, and the names that their columns have by role."""

    backend: Backend
    movies: Path
    credits: Path | None
    encoding: str | None
    delimiter: str | None
    names: dict[str, str]
    keep_columns: bool
    number_formats: Mapping[str, NumberFormat]

    @property
    def usual(self) -> set[str]:
        """Roles whose column nobody named."""
        return {role for role, name in self.names.items() if isinstance(name, Usual)}

    @property
    def optional(self) -> set[str]:
        """Roles whose column may be absent; ids may where no credits are joined by them."""
        required = set(REQUIRED) - ({"id"} if self.credits is None else set())
        return self.usual - required

    def read_items(
        self, roles: FeatureRoles, may_propose: bool
    ) -> tuple[Sheet, FeatureRoles, dict[str, Any]]:
        """Read the items; return them, the columns to cluster, and those that were proposed.

        Where the usual column of texts is absent, columns are taken by what they hold.
        """
        proposed: dict[str, Any] = {}
        names = {role: name for role, name in self.names.items() if role not in CREDITS}
        try:
            items = self._sheet(roles, names)
        except MissingColumn as error:
            if not may_propose or not self.movies.is_file():
                raise
            roles, id_column = proposed_features(
                self.backend, self.movies, self.encoding, self.delimiter
            )
            check_proposal(roles, error)
            proposed = columns_by_role(roles)
            if id_column is not None and "id" in self.optional and names["id"] == DEFAULTS["id"]:
                names["id"] = proposed["id"] = id_column
            items = self._sheet(roles, names)
        if "id" in items.repeated:  # who has a column of ids wants it
            raise items.repeated["id"]
        return items, roles, proposed

    def _sheet(self, roles: FeatureRoles, names: dict[str, str]) -> Sheet:
        sheet = Sheet(
            self.backend,
            self.movies,
            sheet_roles(roles) | names,
            self.optional,
            self.encoding,
            self.delimiter,
            self.keep_columns,
        )
        sheet.number_formats.update(self.number_formats)
        return sheet

    def read_credits(self) -> Sheet:
        """Read the credits."""
        assert self.credits is not None
        names = {role: name for role, name in self.names.items() if role in CREDITS}
        return Sheet(
            self.backend, self.credits, names, self.optional, self.encoding, self.delimiter
        )

    def refuse_names_of_credits(self) -> None:
        """Refuse names of their columns where there are none."""
        names = {role: name for role, name in self.names.items() if role in CREDITS}
        if any(name != DEFAULTS[role] for role, name in names.items()):
            raise InvalidParam(
                "credits_id, cast and crew name columns of the credits, and no credits were given; "
                "give the file or leave them out"
            )
