"""A file that holds a matrix as a catalogue: its rows are the items."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gpu_kmeans.backends.protocol import Backend
from gpu_kmeans.data.catalogue import Catalogue
from gpu_kmeans.data.report import CatalogueReport
from gpu_kmeans.data.roles import FeatureRoles
from gpu_kmeans.tables.cell_texts import as_texts, plain
from gpu_kmeans.tables.matrices import read_matrix

__all__ = ["load_matrix"]


def load_matrix(path: Path, backend: Backend) -> Catalogue:
    """Read a matrix; its rows are called by their names, or numbered from 1.

    Raises
    ------
    InputError
        The file holds no matrix that can be clustered.
    """
    matrix = read_matrix(path)
    n_rows = int(matrix.values.shape[0])
    names = matrix.row_names
    repeated = names is not None and len(set(names)) < n_rows
    numbered = names is None or repeated
    ids: Any = np.arange(1, n_rows + 1) if names is None or repeated else names
    columns = matrix.columns if matrix.columns is not None else pa.table({})
    cells = {name: columns[name] for name in columns.column_names}
    if repeated:
        cells["name"] = pa.chunked_array([pa.array(names, pa.string())])
    others, unkept = _others(cells)
    notes = []
    if repeated:
        notes.append(f"{path.name}: names of rows stand more than once: rows are numbered from 1")
    elif numbered:
        notes.append(f"{path.name} has no names of its rows: they are numbered from 1")
    report = CatalogueReport(
        rows=n_rows,
        missing_texts=0,
        filled={},
        absent=(),
        left_out={},
        proposed={},
        numbered=numbered,
        number_formats={},
        ignored=0,
        unkept=tuple(unkept),
        credits=None,
        warnings=tuple(notes),
    )
    return Catalogue(
        frame=pa.table({"id": pa.array(ids)}),
        report=report,
        backend=backend,
        roles=FeatureRoles(matrix="matrix"),
        features={"matrix": matrix.values},
        feature_names=matrix.feature_names,
        others=others,
    )


def _others(columns: dict[str, pa.ChunkedArray]) -> tuple[pa.Table, list[str]]:
    """Return annotations of the rows as texts, and the names of those that have none."""
    texts: dict[str, pa.ChunkedArray] = {}
    unkept = []
    for name, cells in columns.items():
        try:
            written = as_texts(plain(cells))
        except (pa.ArrowException, ValueError, OverflowError):
            written = None
        if written is None:
            unkept.append(name)
        else:
            texts[name] = pc.fill_null(written.cast(pa.string()), "")
    return pa.table(texts), unkept
