"""Reading what a request brings: no more than is allowed, no slower than is sensible."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import islice
from typing import Any, TypeVar

import orjson
from fastapi import Request
from pydantic import BaseModel, ValidationError

from gpu_kmeans.service.formats import charset
from gpu_kmeans.service.problems import Problem
from gpu_kmeans.service.settings import Settings
from gpu_kmeans.tables.delimiters import check_delimiter

__all__ = [
    "media_type",
    "read_json",
    "read_one_of",
    "read_parts",
    "reading_from",
    "validation_problem",
]

LEAST_RATE = 1024
"""Bytes a second, on average, once the first half minute is over."""
PATIENCE = 30.0
AT_ONCE = 1 << 16
"""Bytes of JSON that are read sooner than another thread would begin."""
MOST_NAMES = 100

_Body = TypeVar("_Body", bound=BaseModel)


def media_type(request: Request, allowed: tuple[str, ...]) -> str:
    """The body's media type, or 415."""
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media not in allowed:
        raise Problem(
            415,
            "unsupported_media_type",
            f"Content-Type is {media or 'missing'!s:.60}; send {_listed(allowed)}",
        )
    return media


def _listed(kinds: tuple[str, ...]) -> str:
    return " or ".join(filter(None, [", ".join(kinds[:-1]), kinds[-1]]))


def reading_from(request: Request, delimiter: str | None) -> dict[str, str | None]:
    """Return how a file of texts is to be read: by its charset, and the delimiter that is named.

    Raises
    ------
    InvalidParam
        One of them is nothing that texts are read by.
    """
    encoding = charset(request.headers.get("content-type", ""))
    return {"encoding": encoding, "delimiter": check_delimiter(delimiter)}


async def read_parts(request: Request, most: int, settings: Settings) -> AsyncIterator[bytes]:
    """The body, part by part.

    Raises
    ------
    Problem
        413 for too much (before any of it is read, where its length is announced), 408 for too
        slow, 400 for a client that went away.
    """
    announced = request.headers.get("content-length", "0")
    if announced.isdecimal() and int(announced) > most:
        raise _too_large(most)
    began, received = time.monotonic(), 0
    while True:
        try:
            message = await asyncio.wait_for(request.receive(), settings.body_seconds)
        except TimeoutError:
            raise _too_slow() from None
        if message["type"] == "http.disconnect":
            raise Problem(400, "short_body", "the client went away before the end of the body")
        part = message.get("body", b"")
        received += len(part)
        if received > most:
            raise _too_large(most)
        if part:
            yield part
        if not message.get("more_body", False):
            return
        spent = time.monotonic() - began
        if spent > PATIENCE and received < LEAST_RATE * spent:
            raise _too_slow()


async def read_json(request: Request, kind: type[_Body], settings: Settings) -> _Body:
    """The body as a checked object.

    Raises
    ------
    Problem
        415 for another media type, 413 for too much, 400 for what is no JSON, 422 for what is
        not this object.
    """
    return await read_one_of(request, lambda _: kind, settings)


async def read_one_of(
    request: Request, kind_of: Callable[[Any], type[_Body]], settings: Settings
) -> _Body:
    """The same for a body of one of several kinds; ``kind_of`` tells which, by its JSON."""
    media_type(request, ("application/json",))
    parts = [part async for part in read_parts(request, settings.max_body_bytes, settings)]
    body = b"".join(parts)
    if len(body) <= AT_ONCE:
        return _parsed(body, kind_of)
    return await asyncio.to_thread(_parsed, body, kind_of)


def _parsed(body: bytes, kind_of: Callable[[Any], type[_Body]]) -> _Body:
    try:
        # Unlike json.loads: no NaN, no lone surrogates, no endless nesting.
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Problem(400, "invalid_json", f"the body is not JSON: {error}") from None
    try:
        return kind_of(document).model_validate(_few_names(document), strict=True)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False, include_context=False)
        raise validation_problem(errors, "invalid_param") from None


def _few_names(value: Any, depth: int = 3) -> Any:
    """The same with few names in each object: every one that is not known is an error more."""
    if not isinstance(value, dict) or not depth:
        return value
    few = islice(value.items(), MOST_NAMES)
    return {name: _few_names(value, depth - 1) for name, value in few}


def validation_problem(errors: Sequence[Any], code: str) -> Problem:
    """What pydantic found, in one message: each place and what is wrong there."""
    faults = []
    for error in errors[:5]:
        location = ".".join(
            str(part) for part in error["loc"] if part not in ("query", "path", "body")
        )
        # A name that is not known is whatever was sent.
        location = "".join(c if c.isprintable() else "?" for c in location[:100])
        faults.append(f"{location or 'body'}: {error['msg'][:200]}")
    more = f"; and {len(errors) - 5} more" if len(errors) > 5 else ""
    return Problem(422, code, "; ".join(faults) + more)


def _too_large(most: int) -> Problem:
    return Problem(413, "too_large", f"the body is larger than the {most} bytes allowed")


def _too_slow() -> Problem:
    return Problem(408, "too_slow", "the body took too long to arrive")
