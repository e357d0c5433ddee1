"""A figure to a file: the same bytes for the same figure, and never half of them."""

from __future__ import annotations

from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import Any

from matplotlib import rcParams
from matplotlib.figure import Figure

from gpu_kmeans.errors import FileProblem, InvalidParam, shown
from gpu_kmeans.files import write_over
from gpu_kmeans.forking import SharedSetting
from gpu_kmeans.inputs.cells import a

__all__ = ["save"]

SUFFIXES = {".png": "png", ".svg": "svg"}
SAME_BYTES = {"svg.hashsalt": "gpu-kmeans", "svg.fonttype": "path"}
"""Matplotlib's settings for an SVG file: element ids from a fixed salt, letters as outlines."""
_rc: Any = rcParams
_svg = SharedSetting[dict[str, Any]](
    lambda: {name: _rc[name] for name in SAME_BYTES}, lambda values: _rc.update(values)
)


def save(figure: Figure, path: str | PathLike[str]) -> None:
    """Write a figure as PNG or SVG, by the suffix of ``path``, over what was there.

    The file appears whole or not at all, and holds no date: the same figure, drawn by the same
    Matplotlib with the same fonts, gives the same bytes.

    Raises
    ------
    InvalidParam
        No figure, no path, or the suffix is neither ``.png`` nor ``.svg``.
    FileProblem
        The folder is missing, or the file cannot be written.
    """
    if not isinstance(figure, Figure):
        raise InvalidParam(f"save writes a Matplotlib figure, not {a(figure)}")
    target = _path(path)
    kind = SUFFIXES.get(target.suffix.lower())
    if kind is None:
        raise InvalidParam(f"{target}: a figure is saved as .png or .svg, not {target.suffix!r}")
    content = _rendered(figure, kind)
    try:
        write_over(target, content)
    except OSError as problem:
        raise FileProblem(
            f"{target}: cannot write the figure ({problem.strerror}); "
            "choose a file in a folder that exists and is writable"
        ) from problem


def _path(path: str | PathLike[str]) -> Path:
    try:
        target = Path(path)
    except TypeError:
        raise InvalidParam(f"a figure is saved to a path, not to {a(path)}") from None
    if "\0" in str(target):
        raise InvalidParam(f"{shown(str(target))} is no path: it holds a NUL")
    return target


def _rendered(figure: Figure, kind: str) -> bytes:
    """Draw the figure; element ids come from a fixed salt, and letters are outlines."""
    buffer = BytesIO()
    metadata = {"Date": None} if kind == "svg" else {}
    with _svg.changed_to(SAME_BYTES):
        figure.savefig(buffer, format=kind, dpi=figure.dpi, metadata=metadata)
    return buffer.getvalue()
