"""A table looked at before anything is fitted: its format, its columns and what is odd."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from os import PathLike
from typing import Any

from gpu_kmeans.backends.select import resolve
from gpu_kmeans.data.catalogue import Catalogue, load_catalogue
from gpu_kmeans.data.columns import Sheet
from gpu_kmeans.data.proposals import Proposal, proposals, whole_sheet
from gpu_kmeans.data.roles import FeatureRoles
from gpu_kmeans.errors import InputError
from gpu_kmeans.features.build import FeatureOptions, build_features
from gpu_kmeans.tables.delimiters import check_delimiter
from gpu_kmeans.tables.encodings import check_encoding
from gpu_kmeans.tables.paths import check_path
from gpu_kmeans.tables.table_file import open_table

__all__ = ["TableLook", "look"]

ROWS = 10
"""Number of rows that are shown."""
CHARACTERS = 200
"""Number of characters of a cell that are shown."""


@dataclass(frozen=True, slots=True)
class TableLook:
    """What a file holds, and what a fit without options would make of it.

    Attributes
    ----------
    file : str
    format : {"csv", "jsonl", "parquet", "xlsx"}
    packed : bool
        Whether it is packed with gzip.
    encoding, delimiter : str
        As they were found or named; ``""`` where the format has none.
    n_rows : int
    columns : tuple of Proposal
        In the file's order, without those that have no name of their own.
    text : str or None
        The column of texts that a fit without options would cluster.
    clustered : dict of str to tuple of str
        All columns that it would cluster, by what they would be: ``"text"``, ``"numbers"``,
        ``"categories"`` or ``"matrix"``; none where nothing offers itself.
    rows : tuple of tuple of str
        The first ten rows, long cells cut.
    problems : tuple of str
        What a fit without options would say, or be refused for.
    """

    file: str
    format: str
    packed: bool
    encoding: str
    delimiter: str
    n_rows: int
    columns: tuple[Proposal, ...]
    text: str | None
    clustered: dict[str, tuple[str, ...]]
    rows: tuple[tuple[str, ...], ...]
    problems: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The same as plain JSON types."""
        return asdict(self) | {
            "clustered": {kind: list(columns) for kind, columns in self.clustered.items()},
            "rows": [list(row) for row in self.rows],
        }


def look(
    path: str | PathLike[str], *, encoding: str | None = None, delimiter: str | None = None
) -> TableLook:
    """Look at a file of a table.

    Parameters
    ----------
    path : path
    encoding, delimiter : str or None
        As for :func:`gpu_kmeans.data.catalogue.load_catalogue`.

    Raises
    ------
    InputError
        The file is no table, or how to read it does not show.
    """
    path = check_path("path", path)
    encoding, delimiter = check_encoding(encoding), check_delimiter(delimiter)
    with open_table(path, encoding, delimiter) as source:
        about = (source.format, source.packed, source.encoding, source.delimiter)
    sheet = whole_sheet(resolve("cpu"), path, encoding, delimiter)
    columns = tuple(proposals(sheet))
    clustered: dict[str, tuple[str, ...]] = {}
    problems: tuple[str, ...] = ()
    try:
        catalogue = load_catalogue(
            path, encoding=encoding, delimiter=delimiter, keep_columns=False, backend="cpu"
        )
        clustered = catalogue.roles.by_kind()
        problems = (*catalogue.report.warnings, *_notes(catalogue))
    except InputError as error:
        problems = (str(error),)
    text = next(iter(clustered.get("text", ())), None)
    return TableLook(
        path.name, *about, len(sheet.frame), columns, text, clustered, _first_rows(sheet), problems
    )


def _notes(catalogue: Catalogue) -> list[str]:
    """Say what encoders of numbers and categories would say, which is quickly known."""
    roles = FeatureRoles(numbers=catalogue.roles.numbers, categories=catalogue.roles.categories)
    if not roles.columns:
        return []
    features = build_features(roles, FeatureOptions(), None, catalogue.backend)
    features.fit_transform(catalogue.features, catalogue.backend)
    return features.notes


def _first_rows(sheet: Sheet) -> tuple[tuple[str, ...], ...]:
    columns = [_shown(sheet, name) for name in sheet.names]
    return tuple(zip(*columns, strict=True))


def _shown(sheet: Sheet, name: str) -> list[str]:
    try:
        cells = sheet.written(name)[:ROWS].to_pylist()
    except InputError:
        cells = ["" if c is None else str(c) for c in sheet.column(name)[:ROWS].to_pylist()]
    return [cell if len(cell) <= CHARACTERS else f"{cell[:CHARACTERS]}…" for cell in cells]
