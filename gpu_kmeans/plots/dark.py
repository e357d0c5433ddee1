"""The same figure for a dark page: light turns dark, dark turns light, hues stay."""

from __future__ import annotations

from colorsys import hls_to_rgb, rgb_to_hls
from typing import Any

from matplotlib.collections import Collection
from matplotlib.colors import to_rgba, to_rgba_array
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text

from gpu_kmeans.errors import InvalidParam
from gpu_kmeans.inputs.cells import a

__all__ = ["dark"]

BLACK, WHITE = 0.09, 0.95
"""Lightness of what was white, and of what was black."""


def dark(figure: Figure) -> Figure:
    """Change a figure's colours to those of a dark card, and return it.

    The lightness of every colour is turned round, so that all that stood out still does.
    """
    if not isinstance(figure, Figure):
        raise InvalidParam(f"dark changes a Matplotlib figure, not {a(figure)}")
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            axis.get_ticklabels()  # brings every tick of the view into being
    for artist in figure.findobj():
        _turn(artist)
    return figure


def _turn(artist: Any) -> None:
    if isinstance(artist, Text):
        artist.set_color(_turned(artist.get_color()))
    elif isinstance(artist, Line2D):
        face, edge = artist.get_markerfacecolor(), artist.get_markeredgecolor()
        artist.set_color(_turned(artist.get_color()))
        artist.set_markerfacecolor(_turned(face))
        artist.set_markeredgecolor(_turned(edge))
    elif isinstance(artist, Patch):
        face, edge = artist.get_facecolor(), artist.get_edgecolor()
        artist.set_facecolor(_turned(face))
        artist.set_edgecolor(_turned(edge))
    elif isinstance(artist, Collection):
        faces, edges = artist.get_facecolor(), artist.get_edgecolor()
        artist.set_facecolor([_turned(color) for color in to_rgba_array(faces)])
        artist.set_edgecolor([_turned(color) for color in to_rgba_array(edges)])


def _turned(color: Any) -> Any:
    red, green, blue, alpha = to_rgba(color)
    if not alpha:
        return "none"
    hue, lightness, saturation = rgb_to_hls(red, green, blue)
    turned = WHITE - (WHITE - BLACK) * lightness
    # As much colour as before, and not as large a share of what the lightness allows.
    chroma = saturation * (1 - abs(2 * lightness - 1))
    saturation = min(1.0, chroma / (1 - abs(2 * turned - 1)))
    return (*hls_to_rgb(hue, turned, saturation), alpha)
