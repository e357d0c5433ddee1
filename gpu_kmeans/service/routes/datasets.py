"""Datasets: uploaded, checked, and kept whole or not at all."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from gpu_kmeans.data.roles import ROLES
from gpu_kmeans.files import flush, remove
from gpu_kmeans.service import schemas
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
from gpu_kmeans.service.jobs import link_parts
from gpu_kmeans.service.problems import Problem
from gpu_kmeans.service.registry import Row, now, revision
from gpu_kmeans.service.request_body import media_type, read_parts
from gpu_kmeans.service.unpacked import TableLimits
from gpu_kmeans.service.work import WorkLimits, run_worker

__all__ = ["adopt", "receive", "router"]

router = APIRouter(prefix="/v1/datasets", tags=["datasets"])

SUFFIXES = {"text/csv": ".csv", "application/vnd.apache.parquet": ".parquet"}
AT_ONCE = 1 << 20
UPLOAD: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in SUFFIXES},
    }
}
NEW: dict[int | str, Any] = {201: {"model": schemas.Dataset, "description": "new"}}
CREDITS = tuple(name for name, role in ROLES.items() if role.in_credits)
TABLE_LIMITS = [each.name for each in fields(TableLimits)]

IN_USE = (
    "there is a dataset {name!r} with {part} already: choose another name, or replace it with "
    "replace=true{more}"
)
Replace = Annotated[bool, Field(description="take the place of what has this name")]

_Column = Annotated[str | None, Field(max_length=200, description="empty: leave it out")]
_Needed = Annotated[str | None, Field(min_length=1, max_length=200)]


class ItemColumns(BaseModel):
    """Columns of the items, where they are not TMDB's."""

    model_config = ConfigDict(extra="forbid")
    replace: Replace = False
    id: _Needed = None
    title: _Column = None
    text: _Needed = None
    popularity: _Column = None
    rating: _Column = None
    votes: _Column = None
    keywords: _Column = None
    genres: _Column = None
    date: _Column = None


class CreditColumns(BaseModel):
    """Columns of the credits, where they are not TMDB's."""

    model_config = ConfigDict(extra="forbid")
    replace: Replace = False
    credits_id: _Needed = None
    cast: _Column = None
    crew: _Column = None


@router.get(
    "", response_model=schemas.Datasets, responses=errors(), dependencies=[Depends(may_read)]
)
async def list_datasets(service: ServiceOf) -> Response:
    """All datasets by name."""
    rows = await asyncio.to_thread(service.registry.datasets)
    return await answer_aside(
        lambda: {"datasets": [view(row) for row in rows]}, service.settings.max_answer_bytes
    )


@router.get(
    "/{name}",
    response_model=schemas.Dataset,
    responses=errors(404),
    dependencies=[Depends(may_read)],
)
async def describe(service: ServiceOf, name: NamePath) -> Response:
    """One dataset: rows, columns, and what was found to be odd; its ETag is its revision."""
    row = _row(service, name)
    return answer(view(row), headers={"etag": f'"{revision(row)}"'})


@router.put(
    "/{name}/items",
    response_model=schemas.Dataset,
    responses={**NEW, **errors(409, 412, 413, 415, 507)},
    dependencies=[Depends(may_write)],
    openapi_extra=UPLOAD,
)
async def put_items(
    service: ServiceOf, name: NamePath, request: Request, columns: Annotated[ItemColumns, Query()]
) -> Response:
    """Upload the table of items, CSV or Parquet.

    With `replace=true`, or If-Match, it takes the place of a dataset of this name, whose credits
    go with its items; without, such a dataset stays and the answer is 409 `name_in_use`.
    """
    kind = media_type(request, tuple(SUFFIXES))
    with service.uploading(name, request):
        before = service.registry.dataset(name)
        _check_revision(request, name, before)
        if before is not None:
            replace = columns.replace or "if-match" in request.headers
            _check_replaced(service, name, "items", replace, "; its credits go with them")
        parts: Row = {"items": None, "credits": None}
        await _put(service, request, name, "items", kind, parts, _given(columns))
    return await _stored(service, request, name, "items", before is not None)


@router.put(
    "/{name}/credits",
    response_model=schemas.Dataset,
    responses={**NEW, **errors(409, 412, 413, 415, 507)},
    dependencies=[Depends(may_write)],
    openapi_extra=UPLOAD,
)
async def put_credits(
    service: ServiceOf, name: NamePath, request: Request, columns: Annotated[CreditColumns, Query()]
) -> Response:
    """Upload the table of cast and crew, which are joined to the items by id.

    With `replace=true` it takes the place of credits that are there; without, these stay and the
    answer is 409 `name_in_use`.
    """
    kind = media_type(request, tuple(SUFFIXES))
    with service.uploading(name, request):
        before = service.registry.dataset(name)
        _check_revision(request, name, before)
        if before is None:
            raise Problem(
                409, "items_first", f"the dataset {name!r} has no items yet: upload these first"
            )
        if before["credits"] is not None:
            _check_replaced(service, name, "credits", columns.replace)
        parts = {"items": before["items"], "credits": None}
        kept = {k: v for k, v in before["about"]["given"].items() if k not in CREDITS}
        await _put(service, request, name, "credits", kind, parts, kept | _given(columns))
    return await _stored(service, request, name, "credits", before["credits"] is not None)


@router.delete(
    "/{name}", status_code=204, responses=errors(404, 409, 412), dependencies=[Depends(may_write)]
)
async def delete(service: ServiceOf, name: NamePath, request: Request) -> Response:
    """Delete a dataset; models that were fitted on it stay."""
    with service.uploading(name, request):
        _check_revision(request, name, service.registry.dataset(name))
        _row(service, name)
        _check_unused(service, name)
        gone = await asyncio.to_thread(service.registry.delete_dataset, name)
        await asyncio.to_thread(service.store.discard, *gone)
    await service.changed(request, "dataset deleted", dataset=name)
    return Response(status_code=204)


def _check_replaced(service: Service, name: str, part: str, replace: bool, more: str = "") -> None:
    if not replace:
        raise Problem(409, "name_in_use", IN_USE.format(name=name, part=part, more=more))
    _check_unused(service, name)


def _check_unused(service: Service, name: str) -> None:
    job = service.jobs.uses(name)
    if job is not None:
        raise Problem(
            409, "in_use", f"the job {job} uses the dataset {name!r}: wait for it or cancel it"
        )


async def _put(
    service: Service, request: Request, name: str, part: str, kind: str, parts: Row, given: Row
) -> None:
    """Receive a part of a dataset, check it with the others, and let these be the dataset."""
    scratch = await asyncio.to_thread(service.store.scratch)
    try:
        file = scratch / f"{part}{SUFFIXES[kind]}"
        about = await receive(service, request, file)
        names = await asyncio.to_thread(_link, service, scratch, parts) | {part: file.name}
        parts[part] = about | {"media_type": kind, "uploaded": now()}
        found = await _checked(service, scratch, names, given)

        def register(stored: str) -> list[str]:
            parts[part]["file"] = stored
            return service.registry.put_dataset(
                name, found | {"given": given}, parts["items"], parts["credits"]
            )

        gone = await service.store.commit(file, service.store.datasets, register)
        await asyncio.to_thread(service.store.discard, *gone)
    finally:
        remove(scratch)  # at once: the service may be ending


async def _stored(
    service: Service, request: Request, name: str, part: str, replaced: bool
) -> Response:
    row = _row(service, name)
    await service.changed(
        request,
        f"{part} {'replaced' if replaced else 'added'}",
        dataset=name,
        sha256=row[part]["sha256"],
    )
    return answer(view(row), 200 if replaced else 201)


async def adopt(service: Service, name: str, items: Path, credits: Path) -> None:
    """Take two CSV files of this machine as a dataset."""
    scratch = await asyncio.to_thread(service.store.scratch)
    try:
        files = {"items": scratch / "items.csv", "credits": scratch / "credits.csv"}
        parts: Row = {}
        for part, source in (("items", items), ("credits", credits)):
            data = source.read_bytes()
            files[part].write_bytes(data)
            flush(files[part])
            about = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            parts[part] = about | {"media_type": "text/csv", "uploaded": now()}
        names = {part: file.name for part, file in files.items()}
        found = await _checked(service, scratch, names, {})
        for part, file in files.items():
            parts[part]["file"] = service.store.keep(file, service.store.datasets)
        service.registry.put_dataset(name, found | {"given": {}}, parts["items"], parts["credits"])
    finally:
        remove(scratch)  # at once: the service may be ending


async def _checked(service: Service, scratch: Path, names: Row, given: Row) -> Row:
    """Let a process of its own read a dataset; return what it found."""
    found = await run_worker(
        {
            "task": "check",
            "folder": str(scratch),
            **names,
            "columns": given,
            "limits": {name: getattr(service.settings, name) for name in TABLE_LIMITS},
        },
        WorkLimits.of_check(service.settings),
    )
    return {key: value for key, value in found.items() if key != "event"}


async def receive(service: Service, request: Request, file: Path) -> Row:
    """Write a request's body to a file, and to the disk; return its size and checksum."""
    checksum, size = hashlib.sha256(), 0
    waiting = bytearray()
    with file.open("xb") as out:

        def put(data: bytes) -> None:
            checksum.update(data)
            out.write(data)

        def finish() -> None:
            put(bytes(waiting))
            out.flush()
            flush(file)

        async for each in read_parts(request, service.settings.max_upload_bytes, service.settings):
            size += len(each)
            waiting += each
            if len(waiting) >= AT_ONCE:
                await asyncio.to_thread(put, bytes(waiting))
                waiting.clear()
        await asyncio.to_thread(finish)
    return {"bytes": size, "sha256": checksum.hexdigest()}


def _check_revision(request: Request, name: str, row: Row | None) -> None:
    """Refuse to change a dataset that is not the one in the request's If-Match."""
    wanted = request.headers.get("if-match")
    if wanted is not None and (row is None or wanted != f'"{revision(row)}"'):
        happened = "deleted" if row is None else "replaced"
        raise Problem(
            412,
            "dataset_changed",
            f"the dataset {name!r} was {happened} meanwhile, so nothing was done: look at it again",
        )


def _link(service: Service, scratch: Path, parts: Row) -> Row:
    return link_parts(service.store, scratch, parts["items"], parts["credits"])


def view(row: Row) -> Row:
    """A dataset's row as the API shows it."""
    about = {name: row["about"][name] for name in ("rows", "columns", "absent", "problems")}
    parts = {
        part: row[part] and {key: value for key, value in row[part].items() if key != "file"}
        for part in ("items", "credits")
    }
    known = {key: row[key] for key in ("name", "created", "updated")}
    return {**known, "revision": revision(row), **about, **parts}


def _row(service: Service, name: str) -> Row:
    row = service.registry.dataset(name)
    if row is None:
        raise Problem(404, "unknown_dataset", f"there is no dataset {name!r}")
    return row


def _given(columns: BaseModel) -> Row:
    """The columns that were named; None for those to leave out."""
    named = columns.model_dump(exclude_none=True, exclude={"replace"})
    return {role: name or None for role, name in named.items()}
