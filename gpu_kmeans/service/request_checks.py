"""What is refused before any route looks at a request: what could be taken in two ways."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from typing import Any, get_origin

from fastapi import Request
from pydantic import BaseModel

from gpu_kmeans.service.clients import Headers
from gpu_kmeans.service.problems import Problem

__all__ = [
    "ALWAYS_ANSWERED",
    "check_headers",
    "check_name",
    "check_origin",
    "check_query",
    "host_of",
]

ALWAYS_ANSWERED = ("/livez", "/readyz", "/metrics")
"""Paths that are answered also when there are too many other requests: for what watches."""
HOST = re.compile(rb"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]{1,253})(:[0-9]{1,5})?")
SINGLE = frozenset(
    (
        b"authorization",
        b"content-encoding",
        b"content-type",
        b"host",
        b"idempotency-key",
        b"if-match",
        b"if-none-match",
        b"last-event-id",
        b"origin",
        b"sec-fetch-site",
    )
)
"""Headers of which one value counts: with two, a proxy and this service could take either."""
NAMED = re.compile(rb"/v1/(?:datasets|models)/([^/]*)")
NAME = re.compile(rb"[a-z0-9_-]{1,64}")
SHOWN = 60
"""Maximum number of characters of a client's own word in a message."""


def host_of(headers: dict[bytes, bytes], forwarded: bool) -> bytes:
    """The Host that a client named; behind a proxy that is trusted, to the proxy."""
    return (headers.get(b"x-forwarded-host") if forwarded else None) or headers.get(b"host", b"")


def check_headers(
    raw: Headers, headers: dict[bytes, bytes], host: bytes, hosts: set[str] | None
) -> None:
    """Refuse repeated headers, a Host that is not known, and bodies that are compressed."""
    if len(headers) < len(raw):
        names = [name for name, _ in raw if name in SINGLE]
        for name in names:
            if names.count(name) > 1:
                code = "bad_host" if name == b"host" else "repeated_header"
                raise Problem(400, code, f"the header {name.decode().title()} stands twice")
    matched = HOST.fullmatch(host)
    name_of_host = matched.group(1).decode().strip("[]").lower() if matched is not None else ""
    if matched is None or (hosts is not None and name_of_host not in hosts):
        raise Problem(
            400,
            "bad_host",
            "this service is not known by that Host; name it in GPU_KMEANS_ALLOWED_HOSTS",
        )
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise Problem(415, "unsupported_encoding", "send the body as it is, uncompressed")


def check_name(raw_path: bytes) -> None:
    """Refuse names that no dataset and no model has."""
    named = NAMED.match(raw_path)
    if named is not None and not NAME.fullmatch(named.group(1)):
        raise Problem(422, "invalid_name", "a name is 1 to 64 of the characters a-z, 0-9, _ and -")


def check_origin(headers: dict[bytes, bytes], host: bytes) -> None:
    """Refuse what another site's page makes a browser send: no key may be needed here."""
    site = headers.get(b"sec-fetch-site", b"none")
    origin = headers.get(b"origin")
    foreign = origin is not None and origin.partition(b"://")[2] != host
    if site in (b"cross-site", b"same-site") or (foreign and site != b"same-origin"):
        raise Problem(403, "cross_site", "pages of other sites may not change anything here")


# -- query parameters --------------------------------------------------------------------------


async def check_query(request: Request) -> None:
    """Refuse parameters that a route does not know, and those that stand twice.

    Raises
    ------
    Problem
        422 that names the parameter, the nearest one that is known, and all of them.
    """
    if not request.scope["query_string"]:
        return
    known = _known(request.scope["route"])
    seen: set[str] = set()
    for name, _ in request.query_params.multi_items():
        if name not in known:
            raise Problem(422, "invalid_param", _unknown(name, tuple(known)))
        if name in seen and not known[name]:
            raise Problem(422, "invalid_param", f"{name}: the parameter stands twice")
        seen.add(name)


def _known(route: Any) -> dict[str, bool]:
    """Query parameters of a route, and whether each may stand more than once.

    Found once: they are kept with the route, as it has no hash.
    """
    known: dict[str, bool] | None = getattr(route, "known_parameters", None)
    if known is None:
        known = route.known_parameters = dict(sorted(_parameters(route.dependant)))
    return known


def _parameters(dependant: Any) -> Iterator[tuple[str, bool]]:
    """Query parameters that a route and what it depends on take, and whether they are lists."""
    for parameter in dependant.query_params:
        kind = parameter.field_info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            for name, field in kind.model_fields.items():
                yield field.alias or name, get_origin(field.annotation) is list
        else:
            yield parameter.alias, get_origin(kind) is list
    for dependency in dependant.dependencies:
        yield from _parameters(dependency)


def _unknown(name: str, known: tuple[str, ...]) -> str:
    shown = "".join(c if c.isprintable() else "?" for c in name[:SHOWN])
    if not known:
        return f"{shown}: there is no such parameter, and none at all here"
    near = difflib.get_close_matches(name[:SHOWN], known, 1, 0.5)
    hint = f"; did you mean {near[0]}?" if near else "."
    return f"{shown}: there is no such parameter here{hint} There are: {', '.join(known)}"
