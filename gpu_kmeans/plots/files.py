"""A figure to a file: the same bytes for the same figure, and never half of them."""

from __future__ import annotations

import secrets
import threading
from io import BytesIO
from os import PathLike
from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure

from gpu_kmeans.cells import a
from gpu_kmeans.errors import FileProblem, InvalidParam, shown

__all__ = ["save"]

SUFFIXES = {".png": "png", ".svg": "svg"}
_settings = threading.Lock()  # Matplotlib's SVG settings belong to the whole process


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
    aside = target.with_name(f".{secrets.token_hex(8)}.partial")
    try:
        try:
            with aside.open("xb") as file:
                file.write(content)
            aside.replace(target)
        finally:
            aside.unlink(missing_ok=True)
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
    with _settings, rc_context({"svg.hashsalt": "gpu-kmeans", "svg.fonttype": "path"}):
        figure.savefig(buffer, format=kind, dpi=figure.dpi, metadata=metadata)
    return buffer.getvalue()
