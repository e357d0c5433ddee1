"""Routes whose answers do not change as long as the version does not: tagged, kept, compressed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from gpu_kmeans.service.answers import StoredAnswer, accepts_gzip, matches, packed
from gpu_kmeans.service.dependencies import admit, answers_by, service_of
from gpu_kmeans.service.models import Loaded
from gpu_kmeans.service.problems import Problem

__all__ = ["UNCHANGED", "ConditionalRoute"]

UNCHANGED: dict[int | str, dict[str, Any]] = {
    304: {"description": "the answer is still what If-None-Match names"}
}
AT_ONCE = 1 << 18
"""Number of bytes that are compressed sooner than others would have to wait."""


class ConditionalRoute(APIRoute):
    """A route of a version's answers; those to other methods than GET are left as they are."""

    def get_route_handler(self) -> Callable[[Request], Any]:
        """Answer from what is kept where that can be done, else as any route does."""
        make = super().get_route_handler()
        if self.methods != {"GET"}:
            return make

        async def handle(request: Request) -> Response:
            scope = request.scope
            request_key = b"%b?%b" % (scope["path"].encode(), scope["query_string"])
            gzip_accepted = accepts_gzip(request.headers.get("accept-encoding"))
            sought = request.headers.get("if-none-match")
            loaded = _ready(request)
            if loaded is not None:
                tag = loaded.answers.tag(request_key)
                if sought and "*" not in sought and matches(sought, tag):
                    answers_by(request, loaded)
                    return _unchanged(tag)
                kept = loaded.answers.get(request_key, gzip_accepted)
                if kept is not None:
                    answers_by(request, loaded)
                    return _unchanged(tag) if matches(sought, tag) else _sent(kept, tag)
            response: Response = await make(request)
            if response.status_code != 200:
                return response
            loaded = request.state.loaded
            assert loaded is not None
            tag = loaded.answers.tag(request_key)
            if matches(sought, tag):
                return _unchanged(tag)
            body = bytes(response.body)
            if gzip_accepted and len(body) > AT_ONCE:
                answer = await asyncio.to_thread(packed, body, True)
            else:
                answer = packed(body, gzip_accepted)
            loaded.answers.keep(request_key, gzip_accepted, answer)
            return _sent(answer, tag)

        return handle


def _ready(request: Request) -> Loaded | None:
    """The version that a request means, where it is in memory and the request may be answered."""
    admit(request, "read")
    number = None
    if b"version" in request.scope["query_string"]:
        given = request.query_params.get("version")
        if given is not None:
            if not (given.isascii() and given.isdigit() and len(given) < 10):
                return None
            number = int(given)
    # What is wrong with the name or the version is said where all of the request is looked at.
    with suppress(Problem):
        return service_of(request).models.ready(request.path_params["name"], number)
    return None


def _headers(tag: str) -> dict[str, str]:
    return {"etag": tag, "cache-control": "private, no-cache", "vary": "accept-encoding"}


def _unchanged(tag: str) -> Response:
    return Response(status_code=304, headers=_headers(tag))


def _sent(answer: StoredAnswer, tag: str) -> Response:
    headers = _headers(tag)
    if answer.is_packed:
        headers["content-encoding"] = "gzip"
    return Response(answer.body, headers=headers, media_type="application/json")
