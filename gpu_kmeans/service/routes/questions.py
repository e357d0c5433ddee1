"""Questions to versions: levels of clusters, outliers, changes between two, drift of new rows."""

from __future__ import annotations

from pathlib import Path as FolderPath
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from gpu_kmeans.service import question_schemas as shapes
from gpu_kmeans.service.dependencies import (
    Chosen,
    NamePath,
    ServiceOf,
    answer_aside,
    errors,
    may_read,
)
from gpu_kmeans.service.formats import MEDIA_TYPES
from gpu_kmeans.service.model_files import link_version
from gpu_kmeans.service.problems import Problem
from gpu_kmeans.service.question_views import moved_page, outliers_page
from gpu_kmeans.service.registry import Row
from gpu_kmeans.service.request_body import media_type, reading_from
from gpu_kmeans.service.routes.datasets import UPLOAD, Delimiter, answer_of_worker
from gpu_kmeans.service.schemas import Name
from gpu_kmeans.service.worker_files import AFTER, BEFORE, MODEL

__all__ = ["router"]

router = APIRouter(prefix="/v1/models/{name}", tags=["models"], dependencies=[Depends(may_read)])

MOST_LEVELS = 10
MOST_LEVEL_CLUSTERS = 1_000
Limit = Annotated[int, Query(ge=1, le=1_000)]
Version = Annotated[int | None, Query(ge=1, le=2**31, description="active by default")]


@router.get("/levels", response_model=shapes.Levels, responses=errors(404, 409, 507))
async def show_levels(
    service: ServiceOf,
    request: Request,
    name: NamePath,
    version: Version = None,
    counts: Annotated[
        list[Annotated[int, Query(ge=1, le=MOST_LEVEL_CLUSTERS)]],
        Query(
            max_length=MOST_LEVELS,
            description="rising numbers of clusters; by default three that suit the version",
        ),
    ] = [],  # noqa: B006 (FastAPI copies it)
    seed: Annotated[int, Query(ge=0, le=2**63 - 1, description="of splits")] = 42,
) -> Response:
    """Clusters on several levels: merged into fewer, and beyond the version's own number split."""
    row = service.models.row(name, version)
    with service.clients.inside("questions", request.state.client):
        asked = await service.questions.ask("levels", {MODEL: row}, counts=counts, seed=seed)
    return await answer_aside(
        lambda: {**_head(row), **asked.data}, service.settings.max_answer_bytes
    )


@router.get("/outliers", response_model=shapes.Outliers, responses=errors(404, 409, 507))
async def list_outliers(
    service: ServiceOf,
    request: Request,
    name: NamePath,
    version: Version = None,
    limit: Limit = 50,
    cursor: Annotated[
        str | None, Query(pattern=r"^[0-9]{1,9}-[0-9]{1,9}$", description="of the page before")
    ] = None,
    cluster: Annotated[
        int | None, Query(ge=-1, le=2**31 - 1, description="its items alone; -1: those in none")
    ] = None,
) -> Response:
    """Items by how badly they fit, the worst first, and clusters that hold together badly.

    A cursor stays with its version.
    """
    start = 0
    if cursor is not None:
        version, start = map(int, cursor.split("-"))
    row = service.models.row(name, version)
    with service.clients.inside("questions", request.state.client):
        asked = await service.questions.ask("outliers", {MODEL: row})
    loaded = await service.models.get(name, row["version"])
    return await answer_aside(
        lambda: outliers_page(loaded, asked, cluster, start, limit),
        service.settings.max_answer_bytes,
    )


@router.get("/compare", response_model=shapes.Comparison, responses=errors(404, 409, 507))
async def compare_versions(
    service: ServiceOf,
    request: Request,
    name: NamePath,
    version: Version = None,
    with_version: Annotated[
        int | None, Query(alias="with", ge=1, le=2**31, description="the version before")
    ] = None,
    with_model: Annotated[Name | None, Query(description="of another model")] = None,
    before: Annotated[int | None, Query(ge=0, le=2**31 - 1, description="moved from here")] = None,
    after: Annotated[int | None, Query(ge=0, le=2**31 - 1, description="moved to here")] = None,
    limit: Annotated[int, Query(ge=0, le=1_000, description="items that moved")] = 50,
    cursor: Annotated[str | None, Query(pattern=r"^[0-9]{1,9}-[0-9]{1,9}-[0-9]{1,9}$")] = None,
) -> Response:
    """What became of the clusters of one version in another: agreement, flows, items that moved.

    `with` is the version before, by default the one that was active before; of another model, its
    active one. Items are matched by their ids. A cursor stays with its versions.
    """
    start = 0
    if cursor is not None:
        version, with_version, start = map(int, cursor.split("-"))
    second = service.models.row(name, version)
    first = _compared_with(service, second, with_model, with_version)
    with service.clients.inside("questions", request.state.client):
        asked = await service.questions.ask("compare", {BEFORE: first, AFTER: second})
    loaded = await service.models.get(name, second["version"])
    prefix = f"{second['version']}-{first['version']}"
    return await answer_aside(
        lambda: {
            "before": _head(first),
            "after": _head(second),
            **asked.data,
            **moved_page(loaded, asked, (before, after), start, limit, prefix),
        },
        service.settings.max_answer_bytes,
    )


@router.post(
    "/drift",
    response_model=shapes.Drift,
    responses=errors(404, 409, 413, 415, 507),
    openapi_extra=UPLOAD,
)
async def tell_drift(
    service: ServiceOf, loaded: Chosen, request: Request, delimiter: Delimiter = None
) -> Response:
    """Whether the rows of a table still are what the version was fitted on.

    It is sent as items are, and needs the columns that were clustered. Nothing of it is stored.
    """
    kind = media_type(request, tuple(MEDIA_TYPES))
    row = service.models.row(loaded.name, loaded.version)
    spec: Row = {"task": "drift", **reading_from(request, delimiter), "head": _head(row)}

    def lend(scratch: FolderPath) -> None:
        link_version(service.store, row, scratch / MODEL)

    return await answer_of_worker(service, request, kind, spec, lend)


def _head(row: Row) -> Row:
    return {"model": row["model"], "version": row["version"]}


def _compared_with(service: ServiceOf, row: Row, model: str | None, version: int | None) -> Row:
    """Return the row of the version that another one is compared with."""
    if model is not None and model != row["model"]:
        return service.models.row(model, version)
    if version is None:
        known = service.registry.model(row["model"]) or {}
        version = known.get("previous") if row["version"] == known.get("active") else None
    if version is None:
        raise Problem(
            422,
            "invalid_param",
            "with: name the version to compare with, or another model (with_model)",
        )
    return service.models.row(row["model"], version)
