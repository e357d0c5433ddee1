"""What every route works with, and how it answers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any

import orjson
from fastapi import Depends, Query, Request, Response

from gpu_kmeans.service.audit import write_audit
from gpu_kmeans.service.clients import Clients, network_of
from gpu_kmeans.service.jobs import Jobs
from gpu_kmeans.service.keys import Scope, check_scope, find_key
from gpu_kmeans.service.metrics import Metrics
from gpu_kmeans.service.models import Loaded, Models
from gpu_kmeans.service.problems import Problem, answer_too_large
from gpu_kmeans.service.questions import Questions
from gpu_kmeans.service.rates import Rates
from gpu_kmeans.service.registry import Registry
from gpu_kmeans.service.request_checks import ALWAYS_ANSWERED, check_query
from gpu_kmeans.service.retention import Retention
from gpu_kmeans.service.schemas import Name
from gpu_kmeans.service.settings import Settings
from gpu_kmeans.service.store import Store

__all__ = [
    "Chosen",
    "NamePath",
    "Service",
    "ServiceOf",
    "admit",
    "answer",
    "answer_aside",
    "answers_by",
    "errors",
    "may_read",
    "may_write",
    "service_of",
]

log = logging.getLogger("gpu_kmeans.service")

CODES = {
    400: "not a valid request",
    401: "no valid key",
    403: "the key may not do this, or another site's page asked",
    404: "not there",
    409: "not in this state",
    412: "not what If-Match names",
    413: "too large",
    415: "another media type or encoding",
    422: "a value outside its domain; `code` says which kind",
    428: "the version to change is not named",
    429: "too many at once; see Retry-After",
    507: "the disk is full",
}
ALWAYS = (400, 401, 403, 422, 429)


@dataclass
class Service:
    """One running service."""

    settings: Settings
    store: Store
    models: Models
    jobs: Jobs
    metrics: Metrics
    clients: Clients
    questions: Questions
    retention: Retention
    backend: str
    backend_reason: str
    stopping: bool = False
    failure: Exception | None = None
    uploads: set[str] = field(default_factory=set)
    rates: Rates = field(init=False)

    def __post_init__(self) -> None:
        self.rates = Rates(self.settings.client_requests_per_minute)

    @property
    def registry(self) -> Registry:
        """The store's registry."""
        return self.store.registry

    @contextmanager
    def uploading(self, what: str, request: Request) -> Iterator[None]:
        """Hold a name while something is uploaded under it."""
        if what in self.uploads:
            raise Problem(409, "upload_in_progress", "another upload of this name is going on")
        with self.clients.inside("uploads", request.state.client):
            self.uploads.add(what)
            try:
                yield
            finally:
                self.uploads.discard(what)

    async def changed(self, request: Request, action: str, **what: Any) -> None:
        """Write down that a request changed something: in the log, and beside the data."""
        request.state.about = request.state.about | what
        about = {
            "action": action,
            **what,
            "client": request.state.client,
            "key": request.state.key,
            "request": request.state.request_id,
        }
        log.info("change", extra=about)
        await asyncio.to_thread(write_audit, self.store.folder, about)


def service_of(request: Request) -> Service:
    """The service that a request came to."""
    service: Service = request.app.state.service
    return service


# Coroutines, although they wait for nothing: FastAPI would run functions on other threads.
async def _service(request: Request) -> Service:
    return service_of(request)


async def may_read(request: Request) -> None:
    """Let those pass who may read, and ask for what there is."""
    admit(request, "read")
    await check_query(request)


async def may_write(request: Request) -> None:
    """Let those pass who may write, and ask for what there is."""
    admit(request, "write")
    await check_query(request)


def admit(request: Request, scope: Scope) -> None:
    """Let a request pass whose key may do what it asks for, where keys are needed."""
    service = service_of(request)
    client = network_of(request.state.client)
    try:
        key = find_key(service.registry, service.settings, request.headers.get("authorization"))
    except Problem:
        service.rates.count(client)  # guesses are counted as well
        raise
    if request.scope["route"].path not in ALWAYS_ANSWERED:
        service.rates.count(client if key is None else f"key {key.id}")
    request.state.key = None if key is None else {"id": key.id, "name": key.name}
    check_scope(service.settings, key, scope)


async def _chosen(
    request: Request,
    name: Name,
    version: Annotated[int | None, Query(ge=1, le=2**31, description="active by default")] = None,
) -> Loaded:
    loaded = await service_of(request).models.get(name, version)
    answers_by(request, loaded)
    return loaded


def answers_by(request: Request, loaded: Loaded) -> None:
    """Write down which version answers a request: for the log, and for the answer's tag."""
    request.state.about = request.state.about | {"version": loaded.version}
    request.state.loaded = loaded


ServiceOf = Annotated[Service, Depends(_service)]
Chosen = Annotated[Loaded, Depends(_chosen)]
"""The version that a request means."""
NamePath = Name


def answer(
    data: Any, status: int = 200, headers: dict[str, str] | None = None, most: int | None = None
) -> Response:
    """JSON. Schemas document answers; to check each by them would cost more than to make it.

    Raises
    ------
    Problem
        422 ``answer_too_large`` where it has more than ``most`` bytes.
    """
    content = orjson.dumps(data, option=orjson.OPT_SERIALIZE_NUMPY)
    if most is not None and len(content) > most:
        raise answer_too_large(len(content), most)
    return Response(
        content,
        status,
        {"cache-control": "no-store", **(headers or {})},
        media_type="application/json",
    )


async def answer_aside(make: Callable[[], Any], most: int | None = None) -> Response:
    """The same of what a call returns, both on a thread: for what may be large."""
    return await asyncio.to_thread(lambda: answer(make(), most=most))


def errors(*codes: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's ``responses`` for these problems, and those that any route may answer with."""
    schema = {"$ref": "#/components/schemas/Problem"}
    content = {"application/problem+json": {"schema": schema}}
    responses: dict[int | str, dict[str, Any]] = {
        code: {"description": CODES[code], "content": content} for code in sorted({*codes, *ALWAYS})
    }
    return responses | {"default": {"description": "any other problem", "content": content}}
