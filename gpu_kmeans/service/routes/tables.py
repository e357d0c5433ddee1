"""Tables before they are uploaded: what columns can be, and what a file seems to hold."""

from __future__ import annotations

from dataclasses import asdict

from fastapi import APIRouter, Depends, Request, Response

from gpu_kmeans.data.roles import FEATURES, ROLES
from gpu_kmeans.service import schemas
from gpu_kmeans.service.dependencies import ServiceOf, answer, errors, may_read
from gpu_kmeans.service.formats import MEDIA_TYPES
from gpu_kmeans.service.request_body import media_type, reading_from
from gpu_kmeans.service.routes.datasets import UPLOAD, Delimiter, answer_of_worker

__all__ = ["router"]

router = APIRouter(prefix="/v1", tags=["datasets"], dependencies=[Depends(may_read)])


@router.get("/roles", response_model=schemas.Roles, responses=errors())
async def list_roles() -> Response:
    """What columns can be: the parameters of uploads, with their meanings."""
    return answer(
        {
            "roles": [{"name": name, **asdict(role)} for name, role in ROLES.items()],
            "features": [{"name": name, **asdict(role)} for name, role in FEATURES.items()],
        }
    )


@router.post(
    "/preview",
    response_model=schemas.Preview,
    responses=errors(413, 415, 507),
    openapi_extra=UPLOAD,
)
async def preview_table(
    service: ServiceOf, request: Request, delimiter: Delimiter = None
) -> Response:
    """What a table holds, and what a fit without options would make of it; nothing is stored.

    It is sent as items are. A matrix has no columns to look at, and is refused.
    """
    kind = media_type(request, tuple(MEDIA_TYPES))
    spec = {"task": "look", **reading_from(request, delimiter)}
    return await answer_of_worker(service, request, kind, spec)
