"""Folders of 10x Genomics: a matrix of genes by cells, and the names of both beside it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from gpu_kmeans.errors import FileProblem, InvalidEncoding, UncertainFormat
from gpu_kmeans.tables.files import opened
from gpu_kmeans.tables.matrix_file import MatrixFile, make_matrix
from gpu_kmeans.tables.matrix_market import open_content, read_entries, read_shape

__all__ = ["MATRIX", "is_10x", "matrix_in", "read_10x"]

MATRIX = "matrix.mtx", "matrix.mtx.gz"
"""Names of the matrix in a folder."""
BARCODES = "barcodes.tsv", "barcodes.tsv.gz"
GENES = "features.tsv", "features.tsv.gz", "genes.tsv", "genes.tsv.gz"
LINE_BYTES = 1 << 16
"""Maximum length of a line of names; what is longer counts as several."""


def matrix_in(folder: Path) -> Path | None:
    """Return the matrix of a folder of 10x Genomics; None where there is none.

    Raises
    ------
    UncertainFormat
        There are two.
    """
    return _one_of(folder, MATRIX)


def is_10x(path: Path) -> bool:
    """Tell whether a matrix lies beside names of cells or genes, as 10x Genomics writes them."""
    beside = (path.with_name(name) for name in BARCODES + GENES)
    return path.name in MATRIX and any(file.is_file() for file in beside)


def read_10x(path: Path) -> MatrixFile:
    """Read a matrix of genes by cells and the names beside it; the cells become the rows.

    All kinds of features are kept. Genes are called by their symbols, those that share a symbol
    also by their ids: ``"TBCE (ENSG00000285053)"``.

    Parameters
    ----------
    path : Path
        The ``matrix.mtx`` or ``matrix.mtx.gz``.

    Raises
    ------
    FileProblem
        A file is missing, damaged, or has another number of names than the matrix.
    InputError
        See :func:`~gpu_kmeans.tables.matrix_file.make_matrix`.
    """
    folder = path.parent
    barcodes, genes = _one_of(folder, BARCODES), _one_of(folder, GENES)
    if barcodes is None or genes is None:
        lacking = "barcodes.tsv" if barcodes is None else "features.tsv or genes.tsv"
        raise FileProblem(
            f"{path.name} lies in a folder without {lacking} (plain or .gz), which a matrix of "
            "10x Genomics needs beside it; copy it there"
        )
    n_genes, n_cells = read_shape(path)
    rows = _lines(barcodes, n_cells, f"{path.name} has {n_cells:,} columns (cells)")
    features = _lines(genes, n_genes, f"{path.name} has {n_genes:,} rows (genes)")
    return make_matrix(
        read_entries(path).T,
        path.name,
        "10x",
        row_names=[cells[0] for cells in rows],
        feature_names=_gene_names(features, genes.name),
    )


def _gene_names(lines: list[list[str]], name: str) -> list[str]:
    symbols = [cells[1] if len(cells) > 1 and cells[1] else cells[0] for cells in lines]
    times = Counter(symbols)
    names = [
        symbol if times[symbol] == 1 else f"{symbol} ({cells[0]})"
        for symbol, cells in zip(symbols, lines, strict=True)
    ]
    first: dict[str, int] = {}
    for line, label in enumerate(names, start=1):
        if first.setdefault(label, line) != line:
            raise FileProblem(
                f"{name}: lines {first[label]} and {line} are the same gene, {label[:60]!r}; "
                "give one of them an id of its own"
            )
    return names


def _one_of(folder: Path, names: tuple[str, ...]) -> Path | None:
    present = [folder / name for name in names if (folder / name).is_file()]
    if len(present) > 1:
        raise UncertainFormat(
            f"{present[0].name} and {present[1].name} lie in one folder; remove one of the two"
        )
    return present[0] if present else None


def _lines(path: Path, n: int, other: str) -> list[list[str]]:
    """Read a file of ``n`` names, one a line, cut at tabs."""
    lines: list[list[str]] = []
    with opened(path) as file:
        content = open_content(file, path.name)
        while line := content.readline(LINE_BYTES):
            if len(lines) == n:
                raise FileProblem(f"{path.name} has more than {n:,} lines, and {other}")
            try:
                text = line.decode("utf-8-sig" if not lines else "utf-8").rstrip("\r\n")
            except UnicodeDecodeError as error:
                raise InvalidEncoding(
                    f"{path.name}, line {len(lines) + 1} is not UTF-8; save the file as UTF-8"
                ) from error
            if not text.strip():
                raise FileProblem(f"{path.name}, line {len(lines) + 1} is blank; remove it")
            lines.append(text.split("\t"))
    if len(lines) != n:
        raise FileProblem(
            f"{path.name} has {len(lines):,} lines, and {other}; give the files of one run"
        )
    return lines
