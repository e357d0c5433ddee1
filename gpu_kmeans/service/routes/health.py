"""What watches the service, and what asks what it is."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST

from gpu_kmeans import __version__
from gpu_kmeans.service import schemas
from gpu_kmeans.service.context import ServiceOf, answer, errors, may_read
from gpu_kmeans.service.problems import Problem

__all__ = ["router"]

router = APIRouter(tags=["service"])

UNREADY: dict[int | str, dict[str, Any]] = {
    503: {"description": "not ready: stopping, or a model does not answer"}
}


@router.get("/livez")
async def live() -> Response:
    """The process answers."""
    return answer({"status": "ok"})


@router.get("/readyz", responses=UNREADY)
async def ready(service: ServiceOf) -> Response:
    """Every active model answers now."""
    if service.stopping:
        raise Problem(503, "stopping", "the service is about to stop", {"Retry-After": "5"})
    answering = 0
    for model in service.registry.models():
        if model["active"] is None:
            continue
        if answering < service.settings.max_loaded_models:
            try:
                (await service.models.get(model["name"])).check()
            except Problem as problem:
                raise Problem(503, problem.code, problem.detail, {"Retry-After": "5"}) from None
            answering += 1
    return answer({"status": "ok", "models": answering})


@router.get("/metrics", response_class=PlainTextResponse, dependencies=[Depends(may_read)])
async def metrics(service: ServiceOf) -> Response:
    """Everything in Prometheus's text format."""
    return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)


@router.get(
    "/v1/info", response_model=schemas.Info, responses=errors(), dependencies=[Depends(may_read)]
)
async def info(service: ServiceOf) -> Response:
    """What this service is, and its limits."""
    return answer(
        {
            "name": "gpu-kmeans",
            "version": __version__,
            "backend": service.backend,
            "backend_reason": service.backend_reason,
            "keys_required": service.settings.needs_keys,
            "limits": schemas.limits(service.settings),
        }
    )
