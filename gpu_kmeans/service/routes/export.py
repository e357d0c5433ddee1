"""Items with their clusters as one file: CSV as it is read, other formats made by a process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse

from gpu_kmeans.files import remove
from gpu_kmeans.model.export import chosen_rows, csv_lines, label_rows
from gpu_kmeans.service.dependencies import (
    NamePath,
    Service,
    ServiceOf,
    errors,
    may_read,
)
from gpu_kmeans.service.formats import PARQUET_TYPE, XLSX_TYPE
from gpu_kmeans.service.model_files import link_version
from gpu_kmeans.service.registry import Row
from gpu_kmeans.service.work import WorkLimits, run_worker
from gpu_kmeans.service.worker_files import MODEL

__all__ = ["router"]

router = APIRouter(prefix="/v1/models/{name}", tags=["models"], dependencies=[Depends(may_read)])

AT_ONCE = 1 << 20
BINARY = {"schema": {"type": "string", "format": "binary"}}
MEDIA = {"csv": "text/csv; charset=utf-8", "parquet": PARQUET_TYPE, "xlsx": XLSX_TYPE}


@router.get(
    "/export",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "id, title, cluster and distance of every item, its columns after them",
            "content": {
                "text/csv": {"schema": {"type": "string"}},
                PARQUET_TYPE: BINARY,
                XLSX_TYPE: BINARY,
            },
        },
        **errors(404, 409, 507),
    },
)
async def export_items(
    service: ServiceOf,
    request: Request,
    name: NamePath,
    version: Annotated[int | None, Query(ge=1, le=2**31, description="active by default")] = None,
    columns: Annotated[
        bool, Query(description="the cluster's name and all columns of the items as well")
    ] = False,
    cluster: Annotated[
        int | None, Query(ge=-1, le=2**31 - 1, description="its items alone; -1: those in none")
    ] = None,
    format: Literal["csv", "parquet", "xlsx"] = "csv",
) -> Response:
    """Clusters of all items, or of one cluster's, as CSV, Parquet or a workbook of Excel.

    What a spreadsheet could take for a formula gets a quote before it in CSV, and is a text in a
    workbook. There, texts of more than 32,767 characters are cut, as no cell holds more.
    """
    row = service.models.row(name, version)
    part = "" if cluster is None else "-unclustered" if cluster < 0 else f"-cluster-{cluster}"
    file = f"{name}-{row['version']}{part}.{format}"
    headers = {"content-disposition": f'attachment; filename="{file}"'}
    if format == "csv":
        loaded = await service.models.get(name, row["version"])
        chosen_rows(loaded.model, cluster)  # refused before anything is sent
        rows = label_rows(loaded.model, columns=columns, cluster=cluster)
        return StreamingResponse(csv_lines(rows), media_type=MEDIA[format], headers=headers)
    asked: Row = {"format": format, "columns": columns, "cluster": cluster}
    with service.clients.inside("questions", request.state.client):
        scratch = await asyncio.to_thread(service.store.scratch)
        try:
            made, size = await _made(service, row, scratch, asked)
        except BaseException:
            remove(scratch)
            raise
    headers["content-length"] = str(size)
    return StreamingResponse(_parts(made, scratch), media_type=MEDIA[format], headers=headers)


async def _made(service: Service, row: Row, scratch: Path, asked: Row) -> tuple[Path, int]:
    """Let a process write a version's items to a file; return it and its size."""
    await asyncio.to_thread(link_version, service.store, row, scratch / MODEL)
    file = scratch / f"items.{asked['format']}"
    spec = {"task": "export", "folder": str(scratch), "file": file.name, **asked}
    async with service.questions.turns:
        await run_worker(spec, WorkLimits.of_check(service.settings))
    return file, file.stat().st_size


async def _parts(file: Path, scratch: Path) -> AsyncIterator[bytes]:
    """Read a file that nobody else will, part by part, and remove it with its folder."""
    try:
        with file.open("rb") as source:
            while part := await asyncio.to_thread(source.read, AT_ONCE):
                yield part
    finally:
        remove(scratch)
