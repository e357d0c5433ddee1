"""Models: their versions, which of them answers, and what they hold."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import StreamingResponse

from gpu_kmeans.files import remove
from gpu_kmeans.model.profiles import REASONS, TYPICAL
from gpu_kmeans.service import archive, schemas
from gpu_kmeans.service.dependencies import (
    Chosen,
    NamePath,
    Service,
    ServiceOf,
    answer,
    answer_aside,
    errors,
    may_read,
    may_write,
)
from gpu_kmeans.service.problems import Problem
from gpu_kmeans.service.registry import Row
from gpu_kmeans.service.request_body import media_type
from gpu_kmeans.service.routes.datasets import receive
from gpu_kmeans.service.work import WorkLimits, run_worker

__all__ = ["router", "version_view"]

router = APIRouter(prefix="/v1/models", tags=["models"])

TAR = "application/x-tar"
ARCHIVES = (TAR, "application/zip", "application/octet-stream")
"""Media types of archives; what one is, its first bytes say."""

Number = Annotated[int, Path(ge=1, le=2**31)]
_UPLOAD: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in ARCHIVES},
    }
}


# -- versions --------------------------------------------------------------------------------


@router.get("", response_model=schemas.Models, responses=errors(), dependencies=[Depends(may_read)])
async def list_models(service: ServiceOf) -> Response:
    """All models by name."""
    shown = ("name", "active", "versions", "updated")
    rows = await asyncio.to_thread(service.registry.models)
    return await answer_aside(
        lambda: {"models": [{key: row[key] for key in shown} for row in rows]},
        service.settings.max_answer_bytes,
    )


@router.get(
    "/{name}",
    response_model=schemas.ModelDetail,
    responses=errors(404),
    dependencies=[Depends(may_read)],
)
async def show_model(service: ServiceOf, name: NamePath) -> Response:
    """One model and its versions."""
    return await _detailed(service, name)


@router.delete(
    "/{name}", status_code=204, responses=errors(404, 507), dependencies=[Depends(may_write)]
)
async def delete_model(service: ServiceOf, name: NamePath, request: Request) -> Response:
    """Delete a model with all its versions; their numbers are not used again."""
    _model(service, name)
    gone = await asyncio.to_thread(service.registry.delete_model, name)
    await _remove(service, gone)
    await service.changed(request, "model deleted", model=name, versions=len(gone))
    return Response(status_code=204)


@router.delete(
    "/{name}/versions/{version}",
    status_code=204,
    responses=errors(404, 409, 507),
    dependencies=[Depends(may_write)],
)
async def delete_version(
    service: ServiceOf, name: NamePath, version: Number, request: Request
) -> Response:
    """Delete a version that is not active; its number is not used again.

    The others stay as they are, and the same one is active as before.
    """
    row = _version(service, name, version)
    if not await asyncio.to_thread(service.registry.delete_version, name, version):
        raise Problem(
            409,
            "version_active",
            f"version {version} is active: activate another one first, or delete the whole model",
        )
    await _remove(service, [row["folder"]])
    await service.changed(request, "version deleted", model=name, version=version)
    return Response(status_code=204)


@router.post(
    "/{name}/versions/{version}/activate",
    response_model=schemas.ModelDetail,
    responses=errors(404, 409, 507),
    dependencies=[Depends(may_write)],
)
async def activate_version(
    service: ServiceOf, name: NamePath, version: Number, request: Request
) -> Response:
    """Let a version answer from now on; it is loaded first."""
    await service.models.get(name, version)
    if not await asyncio.to_thread(service.registry.activate, name, version):
        raise Problem(404, "unknown_version", f"version {version} was deleted meanwhile")
    await service.changed(request, "version activated", model=name, version=version)
    return await _detailed(service, name)


@router.post(
    "/{name}/rollback",
    response_model=schemas.ModelDetail,
    responses=errors(404, 409, 507),
    dependencies=[Depends(may_write)],
)
async def roll_back_model(service: ServiceOf, name: NamePath, request: Request) -> Response:
    """Let the version answer that was active before."""
    previous = _model(service, name)["previous"]
    if previous is None:
        raise Problem(
            409, "no_previous_version", f"no other version of the model {name!r} was active before"
        )
    return await activate_version(service, name, previous, request)


@router.post(
    "/{name}/versions",
    status_code=201,
    response_model=schemas.Version,
    responses=errors(409, 413, 415, 507),
    dependencies=[Depends(may_write)],
    openapi_extra=_UPLOAD,
)
async def upload_version(service: ServiceOf, name: NamePath, request: Request) -> Response:
    """Upload a model directory, as a tar or a zip archive, as a new version.

    It is verified before it counts: its files are read, and nothing in them is run. Which version
    answers stays as it is; of a new model, it is this one.
    """
    media_type(request, ARCHIVES)
    with service.uploading(f"model {name}", request):
        scratch = await asyncio.to_thread(service.store.scratch)
        try:
            file = scratch / "archive"
            await receive(service, request, file)
            settings = service.settings
            spec = {
                "task": "verify",
                "folder": str(scratch),
                "archive": file.name,
                "max_model_bytes": settings.max_model_bytes,
                "max_expansion": settings.max_expansion,
            }
            report = await run_worker(spec, WorkLimits.of_check(settings))
            model = scratch / "model"
            about = {
                **report["about"],
                "bytes": sum(path.stat().st_size for path in model.iterdir()),
                "dataset": None,
                "job": None,
                "source": "upload",
            }

            def register(folder: str) -> int:
                return service.registry.add_version(
                    name, folder, about, report["report"], activate=False
                )

            version = await service.store.commit(model, service.store.models, register)
        finally:
            remove(scratch)  # at once: the service may be ending
    await service.changed(request, "version uploaded", model=name, version=version)
    await service.retention.prune(name)
    row, active = _version(service, name, version), _model(service, name)["active"]
    return answer(version_view(row, active), 201)


# -- what a version holds ---------------------------------------------------------------------


@router.get(
    "/{name}/report",
    response_model=schemas.Report,
    responses=errors(404, 409),
    dependencies=[Depends(may_read)],
)
async def show_report(service: ServiceOf, loaded: Chosen) -> Response:
    """How good a version is, and how it came about."""
    info = loaded.model.info

    def make() -> Row:
        row = _version(service, loaded.name, loaded.version)
        judged = {key: value for key, value in row["report"].items() if key != "clusters"}
        about = {
            "history": info.history,
            "seconds": info.seconds,
            "warnings": info.warnings,
            "backend": info.backend,
            "backend_reason": info.backend_reason,
            "created": info.created,
            "parameters": row["about"]["parameters"],
            "catalogue": info.catalogue,
        }
        return {**loaded.head(), **judged, **about}

    return await answer_aside(make, service.settings.max_answer_bytes)


@router.get(
    "/{name}/clusters",
    response_model=schemas.Clusters,
    responses=errors(404, 409),
    dependencies=[Depends(may_read)],
)
async def list_clusters(loaded: Chosen) -> Response:
    """All clusters with sizes and the words that name them."""
    return await answer_aside(
        lambda: {
            **loaded.head(),
            "unclustered": len(loaded.model.labels) - loaded.model.n_clustered,
            "clusters": loaded.cluster_rows(),
        }
    )


@router.get(
    "/{name}/profiles",
    response_model=schemas.Profiles,
    responses=errors(404, 409),
    dependencies=[Depends(may_read)],
)
async def show_profiles(
    service: ServiceOf,
    loaded: Chosen,
    reasons: Annotated[int, Query(ge=1, le=50, description="of each kind at most")] = REASONS,
    typical: Annotated[int, Query(ge=0, le=50, description="items at most")] = TYPICAL,
) -> Response:
    """What sets each cluster apart, and its most typical items."""
    made = await loaded.profiles(reasons, typical)
    return await answer_aside(lambda: made, service.settings.max_answer_bytes)


@router.get(
    "/{name}/clusters/{label}/items",
    response_model=schemas.Items,
    responses=errors(404, 409),
    dependencies=[Depends(may_read)],
)
async def list_cluster_items(
    service: ServiceOf,
    name: NamePath,
    loaded: Chosen,
    label: Annotated[int, Path(ge=0, le=2**31)],
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[
        str | None, Query(pattern=r"^[0-9]{1,9}-[0-9]{1,9}$", description="of the page before")
    ] = None,
) -> Response:
    """Items of a cluster, the most typical first. A cursor stays with its version."""
    start = 0
    if cursor is not None:
        version, start = map(int, cursor.split("-"))
        loaded = await service.models.get(name, version)

    def make() -> Row:
        rows = loaded.members(label)
        end = start + limit
        following = f"{loaded.version}-{end}" if end < len(rows) else None
        items = [loaded.item(row) for row in rows[start:end]]
        return {"items": items, "next_cursor": following}

    return await answer_aside(make, service.settings.max_answer_bytes)


@router.get(
    "/{name}/map",
    response_model=schemas.Map,
    responses=errors(404, 409),
    dependencies=[Depends(may_read)],
)
async def show_map(request: Request, loaded: Chosen) -> Response:
    """Clustered items as places in two dimensions, for viewing only; of very many, some evenly."""
    packed = await loaded.packed_map()
    headers = {"cache-control": "no-store", "vary": "accept-encoding"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["content-encoding"] = "gzip"
    else:
        packed = await asyncio.to_thread(gzip.decompress, packed)
    return Response(packed, headers=headers, media_type="application/json")


@router.get(
    "/{name}/archive",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "a tar of the model directory",
            "content": {TAR: {"schema": {"type": "string", "format": "binary"}}},
        },
        **errors(404, 409),
    },
    dependencies=[Depends(may_read)],
)
async def download_version(service: ServiceOf, loaded: Chosen) -> Response:
    """A version as one file, which `POST .../versions` takes."""
    row = _version(service, loaded.name, loaded.version)
    folder = service.store.models / row["folder"]
    name = f"{loaded.name}-{loaded.version}.tar"

    def parts() -> Iterator[bytes]:
        with service.retention.using(row["folder"]):
            yield from archive.pack(folder)

    return StreamingResponse(
        parts(),
        media_type=TAR,
        headers={
            "content-length": str(archive.size(folder)),
            "content-disposition": f'attachment; filename="{name}"',
        },
    )


# -- rows to views ----------------------------------------------------------------------------


def _model(service: Service, name: str) -> Row:
    row = service.registry.model(name)
    if row is None:
        raise Problem(404, "unknown_model", f"there is no model {name!r}")
    return row


def _version(service: Service, name: str, version: int) -> Row:
    _model(service, name)
    row = service.registry.version(name, version)
    if row is None:
        raise Problem(404, "unknown_version", f"the model {name!r} has no version {version}")
    return row


async def _detailed(service: Service, name: str) -> Response:
    return await answer_aside(lambda: _detail(service, name), service.settings.max_answer_bytes)


def _detail(service: Service, name: str) -> Row:
    row = _model(service, name)
    versions = [version_view(version, row["active"]) for version in service.registry.versions(name)]
    return {key: row[key] for key in ("name", "active", "previous")} | {"versions": versions}


def version_view(row: Row, active: int | None) -> Row:
    """A version's row as the API shows it."""
    shown = ("dataset", "job", "source", "bytes", "backend", "parameters", "metrics")
    return {
        "version": row["version"],
        "created": row["created"],
        "active": row["version"] == active,
        "state": row["state"],
        **{key: row["about"][key] for key in shown},
        "based_on": row["about"].get("based_on"),
    }


async def _remove(service: Service, folders: list[str]) -> None:
    for folder in folders:
        service.models.forget(folder)
    await asyncio.to_thread(service.store.discard, *folders)
