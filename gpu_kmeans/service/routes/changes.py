"""Versions that are made of others: clusters changed by hand, and new rows put into them."""

from __future__ import annotations

import asyncio
import re
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request, Response

from gpu_kmeans.files import remove
from gpu_kmeans.service import question_schemas as shapes
from gpu_kmeans.service.dependencies import (
    NamePath,
    Service,
    ServiceOf,
    answer,
    answer_aside,
    errors,
    may_read,
    may_write,
)
from gpu_kmeans.service.formats import MEDIA_TYPES
from gpu_kmeans.service.limits import table_limits
from gpu_kmeans.service.model_files import changed_meanwhile, commit_version, link_version
from gpu_kmeans.service.problems import Problem
from gpu_kmeans.service.registry import Row
from gpu_kmeans.service.request_body import media_type, read_json, reading_from
from gpu_kmeans.service.routes.datasets import UPLOAD, Delimiter, receive_table
from gpu_kmeans.service.routes.models import version_view
from gpu_kmeans.service.work import WorkLimits, run_worker
from gpu_kmeans.service.worker_files import MADE, MODEL

__all__ = ["router"]

router = APIRouter(prefix="/v1/models/{name}", tags=["models"])

BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"$ref": "#/components/schemas/Edits"},
                "example": {
                    "version": 1,
                    "operations": [{"op": "rename", "cluster": 0, "name": "Sharks"}],
                },
            }
        },
    }
}
ETAG = re.compile(r'"([1-9][0-9]{0,9})"')
IfMatch = Annotated[str | None, Header(description='the version that is changed, in quotes: `"3"`')]


@router.get(
    "/versions",
    response_model=shapes.Versions,
    responses=errors(404),
    dependencies=[Depends(may_read)],
)
async def list_versions(
    service: ServiceOf,
    name: NamePath,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[int | None, Query(ge=1, le=2**31, description="of the page before")] = None,
) -> Response:
    """Versions of a model, the newest first, and which of them answers."""
    model = _model(service, name)
    before = {} if cursor is None else {"before": cursor}
    rows = await asyncio.to_thread(service.registry.versions, name, limit + 1, **before)
    more = str(rows[limit - 1]["version"]) if len(rows) > limit else None
    return await answer_aside(
        lambda: {
            "model": name,
            "active": model["active"],
            "previous": model["previous"],
            "versions": [version_view(row, model["active"]) for row in rows[:limit]],
            "next_cursor": more,
        },
        service.settings.max_answer_bytes,
    )


@router.post(
    "/edits",
    status_code=201,
    response_model=shapes.Edited,
    responses=errors(404, 409, 412, 413, 415, 428, 507),
    dependencies=[Depends(may_write)],
    openapi_extra=BODY,
)
async def edit_version(
    service: ServiceOf, name: NamePath, request: Request, if_match: IfMatch = None
) -> Response:
    """Rename, merge and split clusters, and move items, which gives the model a new version.

    The version that is changed is named, in the body or by If-Match. To become the active one, the
    new version needs that one to be active still. Undone by activating it again.
    """
    asked = await read_json(request, shapes.Edits, service.settings)
    base = _base(service, name, asked.version, if_match, asked.activate)
    with service.clients.inside("questions", request.state.client):
        scratch = await asyncio.to_thread(service.store.scratch)
        try:
            spec = {
                "task": "edit",
                "operations": [operation.model_dump() for operation in asked.operations],
            }
            with service.retention.using(base["folder"]):
                async with service.questions.turns:
                    made, _ = await _made(service, scratch, base, spec, "edit", asked.activate)
        finally:
            remove(scratch)  # at once: the service may be ending
    kinds = [operation.op for operation in asked.operations]
    counts = {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}
    await service.changed(
        request, "version edited", model=name, version=made, based_on=base["version"], **counts
    )
    return await _shown(service, name, made, base)


@router.post(
    "/update",
    status_code=201,
    response_model=shapes.Updated,
    responses=errors(404, 409, 412, 413, 415, 507),
    dependencies=[Depends(may_write)],
    openapi_extra=UPLOAD,
)
async def update_version(
    service: ServiceOf,
    name: NamePath,
    request: Request,
    version: Annotated[
        int | None, Query(ge=1, le=2**31, description="active by default; see also If-Match")
    ] = None,
    activate: Annotated[bool, Query(description="let the new version answer")] = True,
    delimiter: Delimiter = None,
    if_match: IfMatch = None,
) -> Response:
    """Put the rows of a table into a version's clusters, whose means move: a new version.

    Clusters keep their labels and names. It is sent as items are, and needs the columns that were
    clustered; rows whose id is known already are left out.
    """
    kind = media_type(request, tuple(MEDIA_TYPES))
    reading = reading_from(request, delimiter)
    if version is None and if_match is None:
        version = service.models.row(name)["version"]
    base = _base(service, name, version, if_match, activate)
    with service.uploading(f"model {name}", request):
        scratch = await asyncio.to_thread(service.store.scratch)
        try:
            _, file = await receive_table(service, request, scratch, "table", kind)
            limits = table_limits(service.settings)
            spec = {"task": "update", "file": file.name, "limits": limits, **reading}
            with service.retention.using(base["folder"]):
                made, done = await _made(service, scratch, base, spec, "update", activate)
        finally:
            remove(scratch)  # at once: the service may be ending
    about = done["update"]
    await service.changed(
        request,
        "version updated",
        model=name,
        version=made,
        based_on=base["version"],
        n_new=about["n_new"],
    )
    return await _shown(service, name, made, base, about)


def _base(
    service: Service, name: str, version: int | None, if_match: str | None, activate: bool
) -> Row:
    """Return the row of the version to change, with its report, or refuse to change it."""
    if if_match is not None:
        matched = ETAG.fullmatch(if_match)
        number = 0 if matched is None else int(matched[1])
        if version is not None and number != version:
            raise Problem(
                422, "invalid_param", f"version is {version}, and If-Match names another one"
            )
        if not 0 < number <= 2**31:
            raise Problem(
                412, "version_changed", 'If-Match must be the number of a version, such as "3"'
            )
        version = number
    if version is None:
        raise Problem(
            428,
            "version_needed",
            "name the version to change, as `version` or in If-Match, so that no change of another "
            "is lost",
        )
    service.models.row(name, version)
    row = service.registry.version(name, version)
    if row is None:
        raise Problem(404, "unknown_version", f"version {version} was deleted meanwhile")
    if activate and _model(service, name)["active"] != version:
        raise changed_meanwhile(name, version)
    return row


async def _made(
    service: Service, scratch: Any, base: Row, spec: Row, source: str, activate: bool
) -> tuple[int, Row]:
    """Let a process make a model of a version, and let it be the next one; return its number."""
    await asyncio.to_thread(link_version, service.store, base, scratch / MODEL)
    about = {"folder": str(scratch), "max_model_bytes": service.settings.max_model_bytes}
    done = await run_worker({**spec, **about}, WorkLimits.of_check(service.settings))
    made = scratch / MADE
    number = await commit_version(service.store, base, made, done, source, activate=activate)
    return number, done


async def _shown(
    service: Service, name: str, version: int, base: Row, more: Row | None = None
) -> Response:
    await service.retention.prune(name)
    loaded = await service.models.get(name, version)
    active = _model(service, name)["active"] == version
    clusters = await asyncio.to_thread(loaded.cluster_rows)
    about = {"based_on": base["version"], "active": active, **(more or {})}
    return answer({**loaded.head(), **about, "clusters": clusters}, 201)


def _model(service: Service, name: str) -> Row:
    row = service.registry.model(name)
    if row is None:
        raise Problem(404, "unknown_model", f"there is no model {name!r}")
    return row
