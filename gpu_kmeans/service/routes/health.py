"""What watches the service, and what asks what it is."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Depends, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST

from gpu_kmeans import __version__
from gpu_kmeans.clustering.base import ALGORITHMS
from gpu_kmeans.service import schemas
from gpu_kmeans.service.dependencies import ServiceOf, answer, errors, may_read
from gpu_kmeans.service.models import missing
from gpu_kmeans.service.problems import Problem
from gpu_kmeans.service.request_checks import check_query

__all__ = ["router"]

router = APIRouter(tags=["service"])

UNREADY: dict[int | str, dict[str, Any]] = {
    503: {"description": "not ready: stopping, or a model does not answer"}
}


@router.get("/livez", dependencies=[Depends(check_query)])
async def show_liveness() -> Response:
    """The process answers."""
    return answer({"status": "ok"})


@router.get("/readyz", responses=UNREADY, dependencies=[Depends(check_query)])
async def show_readiness(service: ServiceOf) -> Response:
    """Every active model can answer: it is in memory, or its files are there.

    Nothing is loaded for this, and nothing leaves the memory for it.
    """
    if service.stopping:
        raise Problem(503, "stopping", "the service is about to stop", {"Retry-After": "5"})
    active = service.registry.active()
    for row in active:
        if service.models.has(row["folder"]):
            continue
        if not await asyncio.to_thread(service.store.is_whole, row["folder"], row["bytes"]):
            problem = missing(row["model"], row["version"])
            raise Problem(503, problem.code, problem.detail, {"Retry-After": "5"})
    return answer({"status": "ok", "models": len(active)})


@router.get("/metrics", response_class=PlainTextResponse, dependencies=[Depends(may_read)])
async def show_metrics(service: ServiceOf) -> Response:
    """Everything in Prometheus's text format."""
    return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)


@router.get(
    "/v1/info", response_model=schemas.Info, responses=errors(), dependencies=[Depends(may_read)]
)
async def show_info(service: ServiceOf) -> Response:
    """What this service is, and its limits."""
    return answer(
        {
            "name": "gpu-kmeans",
            "version": __version__,
            "backend": service.backend,
            "backend_reason": service.backend_reason,
            "keys_required": service.settings.needs_keys,
            "algorithms": [
                {"name": name, "meaning": algorithm.meaning, "finds_k": algorithm.finds_k}
                for name, algorithm in ALGORITHMS.items()
            ],
            "limits": schemas.limits(service.settings),
        }
    )
