"""The page at ``/``: files of this package, and Bokeh's from the installed Bokeh.

Bokeh draws the pictures, as it comes as a Python package with its JavaScript inside (nothing is
loaded from elsewhere), draws 60,000 points on a plain canvas in about half a second, needs neither
``eval`` nor inline scripts, and is a quarter of Plotly's size.
"""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from fastapi import APIRouter, Depends, Request, Response

from gpu_kmeans.service.problems import Problem
from gpu_kmeans.service.request_checks import check_query

__all__ = ["router"]

router = APIRouter(include_in_schema=False)

KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
BOKEH = ("bokeh.min.js", "bokeh-api.min.js")


@dataclass(frozen=True)
class _Asset:
    content: bytes
    packed: bytes
    kind: str
    tag: str


@router.get("/")
async def page(request: Request) -> Response:
    """The page, whatever is asked of it: where people send links, others add parameters."""
    return _answer(request, _assets().get("index.html"))


@router.get("/assets/{name}", dependencies=[Depends(check_query)])
async def asset(request: Request, name: str) -> Response:
    """A file of the page."""
    return _answer(request, _assets().get(name))


@router.get("/assets/vendor/{name}", dependencies=[Depends(check_query)])
async def vendor(request: Request, name: str) -> Response:
    """A file of Bokeh."""
    return _answer(request, _assets().get(f"vendor/{name}"))


def _answer(request: Request, asset: _Asset | None) -> Response:
    if asset is None:
        raise Problem(404, "not_found", "there is nothing here")
    headers = {"etag": asset.tag, "cache-control": "no-cache", "vary": "accept-encoding"}
    if request.headers.get("if-none-match") == asset.tag:
        return Response(status_code=304, headers=headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(
            asset.packed, headers=headers | {"content-encoding": "gzip"}, media_type=asset.kind
        )
    return Response(asset.content, headers=headers, media_type=asset.kind)


@cache
def _assets() -> dict[str, _Asset]:
    """All files that are served, by name; nothing else can be asked for."""
    own = Path(str(files("gpu_kmeans.service"))) / "page"
    assets = {path.name: _asset(path) for path in sorted(own.iterdir()) if path.suffix in KINDS}
    bokeh = find_spec("bokeh")  # without importing it
    places = [] if bokeh is None else list(bokeh.submodule_search_locations or [])
    for folder in places[:1]:
        for name in BOKEH:
            assets[f"vendor/{name}"] = _asset(Path(folder) / "server" / "static" / "js" / name)
    return assets


def _asset(path: Path) -> _Asset:
    content = path.read_bytes()
    tag = f'"{hashlib.sha256(content).hexdigest()[:24]}"'
    return _Asset(content, gzip.compress(content, 6, mtime=0), KINDS[path.suffix], tag)
