"""The upkeep of a service: who changed what."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from gpu_kmeans.service import question_schemas as shapes
from gpu_kmeans.service.audit import read_audit
from gpu_kmeans.service.dependencies import ServiceOf, answer_aside, errors, may_write

__all__ = ["router"]

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
