"""Jobs: asked for, watched, cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from fastapi.responses import StreamingResponse

from gpu_kmeans.service import schemas
from gpu_kmeans.service.dependencies import (
    Service,
    ServiceOf,
    answer,
    answer_aside,
    errors,
    may_read,
    may_write,
)
from gpu_kmeans.service.job_requests import about_choice, about_fit, request_kind
from gpu_kmeans.service.jobs import CHOICE, Event
from gpu_kmeans.service.problems import Problem
from gpu_kmeans.service.registry import Row
from gpu_kmeans.service.request_body import read_one_of

__all__ = ["router"]

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "oneOf": [
                        {"$ref": "#/components/schemas/JobRequest"},
                        {"$ref": "#/components/schemas/ChoiceRequest"},
                    ]
                },
                "example": {"dataset": "films", "parameters": {"n_clusters": 10, "seed": 42}},
            }
        },
    }
}
JobId = Annotated[str, Path(max_length=64)]
MOST_DIGITS = 9


@router.post(
    "",
    status_code=202,
    response_model=schemas.Job,
    responses=errors(404, 409, 413, 415, 507),
    dependencies=[Depends(may_write)],
    openapi_extra=BODY,
)
async def add_job(
    service: ServiceOf,
    request: Request,
    idempotency_key: Annotated[
        str | None,
        Header(min_length=1, max_length=200, description="the same key, the same job"),
    ] = None,
) -> Response:
    """Ask for a fit, which gives the model a new version, or for numbers of clusters (choose-k).

    The parameters are held to each other and to the dataset before the job waits for its turn. It
    ends as failed once it takes more than `fit_seconds` or `fit_memory_bytes`; see `limits` of
    `/v1/info`. What a choice has answered is its `result`.
    """
    asked = await read_one_of(request, request_kind, service.settings)
    dataset = service.registry.dataset(asked.dataset)
    if dataset is None:
        raise Problem(404, "unknown_dataset", f"there is no dataset {asked.dataset!r}")
    if isinstance(asked, schemas.ChoiceRequest):
        about = about_choice(asked, dataset, service.settings)
    else:
        about = about_fit(asked, dataset, service.settings)
    row = await service.jobs.add(about, idempotency_key)
    names = {"job": row["id"], "dataset": about["dataset"]}
    names |= {"model": about["model"]} if about["model"] is not None else {"kind": CHOICE}
    await service.changed(request, "job added", **names)
    location = f"{service.settings.root_path}/v1/jobs/{row['id']}"
    return answer(service.jobs.view(row), 202, {"location": location})


@router.get("", response_model=schemas.Jobs, responses=errors(), dependencies=[Depends(may_read)])
async def list_jobs(
    service: ServiceOf,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(pattern=r"^[0-9a-f]{22}$")] = None,
) -> Response:
    """Jobs, the newest first."""
    rows = await asyncio.to_thread(service.registry.jobs, limit + 1, cursor)
    more = rows[limit - 1]["id"] if len(rows) > limit else None
    views = [service.jobs.view(row, history=False) for row in rows[:limit]]
    return answer({"jobs": views, "next_cursor": more}, most=service.settings.max_answer_bytes)


@router.get(
    "/{job}", response_model=schemas.Job, responses=errors(404), dependencies=[Depends(may_read)]
)
async def show_job(service: ServiceOf, job: JobId) -> Response:
    """One job, with its iterations so far."""
    view = service.jobs.view(await asyncio.to_thread(_row, service, job))
    return await answer_aside(lambda: view, service.settings.max_answer_bytes)


@router.post(
    "/{job}/cancel",
    status_code=202,
    response_model=schemas.Job,
    responses=errors(404, 507),
    dependencies=[Depends(may_write)],
)
async def cancel_job(service: ServiceOf, job: JobId, request: Request) -> Response:
    """End a job; one that has ended stays as it is."""
    row = await service.jobs.cancel(job)
    if row["state"] == "cancelled":
        await service.changed(request, "job cancelled", job=row["id"])
    return answer(service.jobs.view(row), 202)


@router.get(
    "/{job}/events",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "events `state`, `stage`, `progress`, `candidate` and `end`; each has "
            "JSON data",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
        **errors(404),
    },
    dependencies=[Depends(may_read)],
)
async def follow_job(
    service: ServiceOf,
    job: JobId,
    last_event_id: Annotated[str | None, Header(description="go on after this one")] = None,
) -> Response:
    """Server-sent events: what the job told so far, then what it tells, until it ends."""
    _row(service, job)
    last_id = last_event_id or ""
    after = int(last_id) if last_id.isdecimal() and len(last_id) <= MOST_DIGITS else 0
    return StreamingResponse(
        _lines(service.jobs.events(job, after)),
        media_type="text/event-stream",
        headers={"cache-control": "no-store", "x-accel-buffering": "no"},
    )


async def _lines(stream: AsyncIterator[Event | None]) -> AsyncIterator[bytes]:
    async for event in stream:
        if event is None:
            yield b": still here\n\n"
        else:
            data = orjson.dumps(event.data).decode()
            yield f"id: {event.number}\nevent: {event.kind}\ndata: {data}\n\n".encode()


def _row(service: Service, job: str) -> Row:
    row = service.registry.job(job)
    if row is None:
        raise Problem(404, "unknown_job", f"there is no job {job!r:.60}")
    return row
