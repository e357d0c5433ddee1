"""What reading a catalogue counted, and the sentences that a reader of the results should have."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any

from gpu_kmeans.backends.protocol import JoinCounts
from gpu_kmeans.data.columns import Sheet, Words
from gpu_kmeans.data.number_formats import NumberFormat
from gpu_kmeans.data.roles import DEFAULTS, NUMBERS

__all__ = ["CatalogueReport", "warnings_of"]


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


def warnings_of(
    report: CatalogueReport, items: Sheet, constant: Collection[str], words: Words | None
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
        if role in constant and rows > 1:
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
