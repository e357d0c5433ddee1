"""Datasets: uploaded, checked, and kept whole or not at all."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from gpu_kmeans.data.roles import DEFAULTS, ROLES
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
from gpu_kmeans.service.formats import MEDIA_TYPES, suffix_of
from gpu_kmeans.service.jobs import link_parts, reading_of
from gpu_kmeans.service.limits import table_limits
from gpu_kmeans.service.problems import Problem
from gpu_kmeans.service.registry import Row, now, revision
from gpu_kmeans.service.request_body import media_type, read_parts, reading_from
from gpu_kmeans.service.work import WorkLimits, run_worker
from gpu_kmeans.service.worker_files import ANSWER

__all__ = ["UPLOAD", "Delimiter", "adopt", "answer_of_worker", "receive", "router"]

router = APIRouter(prefix="/v1/datasets", tags=["datasets"])

AT_ONCE = 1 << 20
UPLOAD: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            kind: {"schema": {"type": "string", "format": "binary"}} for kind in MEDIA_TYPES
        },
    }
}
NEW: dict[int | str, Any] = {201: {"model": schemas.Dataset, "description": "new"}}
CREDITS = tuple(name for name, role in ROLES.items() if role.in_credits)

IN_USE = (
    "there is a dataset {name!r} with {part} already: choose another name, or replace it with "
    "replace=true{more}"
)
Replace = Annotated[bool, Field(description="take the place of what has this name")]

_Column = Annotated[str | None, Field(max_length=500, description="empty: leave it out")]
_Needed = Annotated[str | None, Field(min_length=1, max_length=500)]
_Several = Annotated[list[schemas.Column], Field(max_length=schemas.MOST_COLUMNS)]
Delimiter = Annotated[
    str | None, Field(max_length=5, description="of a CSV, such as `;` or `tab`; else looked for")
]


class ItemColumns(BaseModel):
    """Columns of the items, where they are not TMDB's, and those to cluster."""

    model_config = ConfigDict(extra="forbid")
    replace: Replace = False
    delimiter: Delimiter = None
    id: _Needed = None
    title: _Column = None
    text: _Several = Field([], description="columns of texts to cluster; several are joined")
    numbers: _Several = Field([], description="columns of numbers to cluster")
    categories: _Several = Field([], description="columns of categories to cluster")
    matrix: _Needed = Field(None, description="a column of lists of numbers to cluster")
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
    delimiter: Delimiter = None
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
async def show_dataset(service: ServiceOf, name: NamePath) -> Response:
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
    """Upload the items: a table, or a matrix whose rows they are.

    CSV, JSON lines (both also packed with gzip), Excel or Parquet; `.npy`, `.npz`, `.mtx`,
    `.mtx.gz` or `.h5ad`. What a file is is told by its content; the charset of Content-Type is the
    encoding of texts, UTF-8 by default. Where nothing to cluster is named, and there is no column
    `overview`, columns are taken by what they hold: see `clustered` and `problems` of the answer.

    With `replace=true`, or If-Match, it takes the place of a dataset of this name, whose credits
    go with its items; without, such a dataset stays and the answer is 409 `name_in_use`.
    """
    kind = media_type(request, tuple(MEDIA_TYPES))
    reading = reading_from(request, columns.delimiter)
    with service.uploading(name, request):
        before = service.registry.dataset(name)
        _check_revision(request, name, before)
        if before is not None:
            replace = columns.replace or "if-match" in request.headers
            _check_replaced(service, name, "items", replace, "; its credits go with them")
        parts: Row = {"items": None, "credits": None}
        about = {"given": _given(columns), "reading": reading}
        await _put(service, request, name, "items", kind, parts, about)
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
    answer is 409 `name_in_use`. Its encoding and delimiter are those of the items.
    """
    kind = media_type(request, tuple(MEDIA_TYPES))
    reading = reading_from(request, columns.delimiter)
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
        _check_reading(reading, reading_of(before))
        about = {"given": kept | _given(columns), "reading": reading_of(before)}
        await _put(service, request, name, "credits", kind, parts, about)
    return await _stored(service, request, name, "credits", before["credits"] is not None)


@router.delete(
    "/{name}", status_code=204, responses=errors(404, 409, 412), dependencies=[Depends(may_write)]
)
async def delete_dataset(service: ServiceOf, name: NamePath, request: Request) -> Response:
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


def _check_reading(wanted: Row, of_items: Row) -> None:
    """Refuse credits of another encoding or delimiter than the items: both are read alike."""
    for what, value in wanted.items():
        usual = "utf-8" if what == "encoding" else None
        if value is not None and value != (of_items[what] or usual):
            raise Problem(
                422,
                "invalid_param",
                f"the credits are said to be of {what} {value!r}, and the items are of "
                f"{of_items[what] or 'no other than the usual one'!r}: send both alike",
            )


async def _put(
    service: Service, request: Request, name: str, part: str, kind: str, parts: Row, given: Row
) -> None:
    """Receive a part of a dataset, check it with the others, and let these be the dataset.

    ``given`` has the columns that were named, and how the files are to be read.
    """
    scratch = await asyncio.to_thread(service.store.scratch)
    try:
        about, file = await receive_table(service, request, scratch, part, kind)
        names = await asyncio.to_thread(_link, service, scratch, parts) | {part: file.name}
        parts[part] = about | {"media_type": kind, "uploaded": now()}
        report = await _checked(service, scratch, names, given)

        def register(stored: str) -> list[str]:
            parts[part]["file"] = stored
            return service.registry.put_dataset(
                name, report | given, parts["items"], parts["credits"]
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
        given: Row = {"given": {}, "reading": {"encoding": None, "delimiter": None}}
        report = await _checked(service, scratch, names, given)
        for part, file in files.items():
            parts[part]["file"] = service.store.keep(file, service.store.datasets)
        service.registry.put_dataset(name, report | given, parts["items"], parts["credits"])
    finally:
        remove(scratch)  # at once: the service may be ending


async def _checked(service: Service, scratch: Path, names: Row, given: Row) -> Row:
    """Let a process of its own read a dataset; return what it found."""
    report = await run_worker(
        {
            "task": "check",
            "folder": str(scratch),
            **names,
            "columns": given["given"],
            **given["reading"],
            "limits": table_limits(service.settings),
        },
        WorkLimits.of_check(service.settings),
    )
    return {key: value for key, value in report.items() if key != "event"}


async def answer_of_worker(
    service: Service,
    request: Request,
    kind: str,
    spec: Row,
    prepare: Callable[[Path], None] | None = None,
) -> Response:
    """Let a process of its own answer what is asked of a table or a matrix, and store nothing.

    Parameters
    ----------
    kind : str
        Media type of the request's body.
    spec : dict
        What the process is asked, beside the file and its limits.
    prepare : callable, optional
        Puts more into the folder that it works in.
    """
    settings = service.settings
    with service.uploading(f"request {request.state.request_id}", request):
        scratch = await asyncio.to_thread(service.store.scratch)
        try:
            _, file = await receive_table(service, request, scratch, "table", kind)
            if prepare is not None:
                await asyncio.to_thread(prepare, scratch)
            about = {"folder": str(scratch), "file": file.name, "limits": table_limits(settings)}
            most = {"max_answer_bytes": settings.max_answer_bytes}
            await run_worker({**spec, **about, **most}, WorkLimits.of_check(settings))
            content = await asyncio.to_thread((scratch / ANSWER).read_bytes)
        finally:
            remove(scratch)  # at once: the service may be ending
    return Response(content, headers={"cache-control": "no-store"}, media_type="application/json")


async def receive_table(
    service: Service, request: Request, scratch: Path, name: str, kind: str
) -> tuple[Row, Path]:
    """Write a table or a matrix to a file that is called as its content is to be read."""
    received = scratch / "received"
    about = await receive(service, request, received)
    file = scratch / f"{name}{suffix_of(received, kind)}"
    received.rename(file)
    return about, file


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

        async for part in read_parts(request, service.settings.max_upload_bytes, service.settings):
            size += len(part)
            waiting += part
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
    about["clustered"] = row["about"].get("clustered") or {
        "text": [row["about"]["columns"].get("text", DEFAULTS["text"])],
        "numbers": [],
        "categories": [],
        "matrix": None,
    }
    about["proposed"] = row["about"].get("proposed") or {}
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
    named = columns.model_dump(exclude_none=True, exclude={"replace", "delimiter"})
    roles = {role: name or None for role, name in named.items() if name != []}
    texts = roles.get("text")
    if texts is not None and len(texts) == 1:
        roles["text"] = texts[0]
    return roles
