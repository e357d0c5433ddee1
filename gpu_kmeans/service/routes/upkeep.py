"""The upkeep of a service: who changed what, and a backup of all of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse

from gpu_kmeans.files import remove
from gpu_kmeans.service import question_schemas as shapes
from gpu_kmeans.service.audit import read_audit
from gpu_kmeans.service.backup import backup_size, gather, pack
from gpu_kmeans.service.dependencies import ServiceOf, answer_aside, errors, may_write

__all__ = ["router"]

TAR = "application/x-tar"
router = APIRouter(prefix="/v1", tags=["service"], dependencies=[Depends(may_write)])


@router.get("/audit", response_model=shapes.Audit, responses=errors())
async def list_changes(
    service: ServiceOf,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 50,
    cursor: Annotated[int | None, Query(ge=1, le=2**62, description="of the page before")] = None,
) -> Response:
    """Who changed what, the newest first; for those who may change something."""
    entries, start = await asyncio.to_thread(read_audit, service.store.folder, limit, cursor)
    page = {"entries": entries, "next_cursor": str(start) if start else None}
    return await answer_aside(lambda: page, service.settings.max_answer_bytes)


@router.get(
    "/backup",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "a tar; `gpu-kmeans restore FILE --data FOLDER` makes a folder of it",
            "content": {TAR: {"schema": {"type": "string", "format": "binary"}}},
        },
        **errors(507),
    },
)
async def download_backup(service: ServiceOf, request: Request) -> Response:
    """Everything as it is at this moment, as one file: datasets, models, jobs, keys, the audit.

    For those who may change something. Requests and jobs go on meanwhile.
    """
    scratch = await asyncio.to_thread(service.store.scratch)
    try:
        names = await asyncio.to_thread(gather, service.store, scratch)
        size = await asyncio.to_thread(backup_size, scratch, names)
    except BaseException:
        remove(scratch)
        raise
    await service.changed(request, "backup taken", files=len(names), bytes=size)

    async def parts() -> AsyncIterator[bytes]:
        """Read the files; those that were linked for this go in any case."""
        try:
            packed = pack(scratch, names)
            while part := await asyncio.to_thread(next, packed, b""):
                yield part
        finally:
            remove(scratch)

    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    headers = {
        "content-length": str(size),
        "content-disposition": f'attachment; filename="gpu-kmeans-{stamp}.tar"',
    }
    return StreamingResponse(parts(), media_type=TAR, headers=headers)
