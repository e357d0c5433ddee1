"""Round every request: whom it came to, how many there are, what is logged, counted and sent.

Plain ASGI and not Starlette's ``BaseHTTPMiddleware``, which costs a task and a queue a request.
"""

from __future__ import annotations

import json
import logging
import re
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from gpu_kmeans.service.metrics import Metrics
from gpu_kmeans.service.problems import MEDIA_TYPE, Problem, body, of_exception
from gpu_kmeans.service.settings import Settings

__all__ = ["Gate", "JsonLines", "send_problem"]

log = logging.getLogger("gpu_kmeans.service")

LOOPBACK = {"localhost", "127.0.0.1", "::1"}
HOST = re.compile(rb"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]{1,253})(:[0-9]{1,5})?")
NAMED = re.compile(rb"/v1/(?:datasets|models)/([^/]*)")
NAME = re.compile(rb"[a-z0-9_-]{1,64}")
REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
ALWAYS_ANSWERED = ("/livez", "/readyz", "/metrics")
"""Also when there are too many other requests: what watches the service asks these."""

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; "
    "style-src 'self' 'unsafe-inline'; "  # Bokeh writes style elements; nothing else does
    "img-src 'self' data: blob:; font-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = (
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


class Gate:
    """ASGI middleware.

    Parameters
    ----------
    app : ASGI application
    settings : Settings
    metrics : Metrics
    """

    def __init__(self, app: Any, settings: Settings, metrics: Metrics) -> None:
        self.app = app
        self.settings = settings
        self.metrics = metrics
        self.active = 0
        own = {settings.host, *settings.allowed_hosts}
        self.hosts = (LOOPBACK | own) if settings.is_loopback else (own if len(own) > 1 else None)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"")
        request_id = given.decode() if REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        scope["state"]["request_id"] = request_id
        status = 0

        async def send_on(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message.get("headers", ()),
                    (b"x-request-id", request_id.encode()),
                    *HEADERS,
                ]
            await send(message)

        self.active += 1
        try:
            self._check(scope, headers)
            await self.app(scope, receive, send_on)
        except Exception as error:
            problem = of_exception(error)
            if problem is None:
                log.error("unexpected error", extra={"request": request_id, **_place(error)})
                problem = Problem(
                    500, "failed", "the service failed; its log knows this request by its id"
                )
            if not status:
                await send_problem(problem, request_id, send_on)
        finally:
            self.active -= 1
            seconds = time.perf_counter() - began
            route = getattr(scope.get("route"), "path", "other")
            self.metrics.request(scope["method"], route, status, seconds)
            log.info(
                "request",
                extra={
                    "request": request_id,
                    "method": scope["method"],
                    "route": route,
                    "status": status,
                    "ms": round(1000 * seconds, 2),
                },
            )

    def _check(self, scope: Any, headers: dict[bytes, bytes]) -> None:
        """Refuse what no route needs to look at."""
        host = HOST.fullmatch(headers.get(b"host", b""))
        name = host.group(1).decode().strip("[]").lower() if host is not None else ""
        if host is None or (self.hosts is not None and name not in self.hosts):
            raise Problem(
                400,
                "bad_host",
                "this service is not known by that Host; name it in GPU_KMEANS_ALLOWED_HOSTS",
            )
        if self.active > self.settings.max_concurrent and scope["path"] not in ALWAYS_ANSWERED:
            raise Problem(
                429,
                "too_many_requests",
                f"more than {self.settings.max_concurrent} requests at a time: try again",
                {"Retry-After": "1"},
            )
        named = NAMED.match(scope["raw_path"])
        if named is not None and not NAME.fullmatch(named.group(1)):
            raise Problem(
                422, "invalid_name", "a name is 1 to 64 of the characters a-z, 0-9, _ and -"
            )
        if headers.get(b"content-encoding", b"identity").lower() != b"identity":
            raise Problem(415, "unsupported_encoding", "send the body as it is, uncompressed")
        if scope["method"] not in ("GET", "HEAD", "OPTIONS"):
            _check_origin(headers)


def _check_origin(headers: dict[bytes, bytes]) -> None:
    """Refuse what another site's page makes a browser send: no key may be needed here."""
    site = headers.get(b"sec-fetch-site", b"none")
    origin = headers.get(b"origin")
    foreign = origin is not None and origin.partition(b"://")[2] != headers.get(b"host")
    if site in (b"cross-site", b"same-site") or (foreign and site != b"same-origin"):
        raise Problem(403, "cross_site", "pages of other sites may not change anything here")


async def send_problem(problem: Problem, request_id: str, send: Callable[..., Any]) -> None:
    """Send a problem as an answer."""
    content = body(problem, request_id)
    headers = [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", str(len(content)).encode()),
        (b"cache-control", b"no-store"),
        *((name.lower().encode(), value.encode()) for name, value in problem.headers.items()),
    ]
    if problem.status == 408:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


def _place(error: BaseException) -> dict[str, str]:
    """Where an error came from, without its message, which may hold what users sent."""
    import traceback

    frames = traceback.extract_tb(error.__traceback__)
    where = "; ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in frames)
    return {"error": type(error).__name__, "where": where}


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, message, and what was given as ``extra``."""

    _USUAL = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "color_message"}

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        line |= {key: value for key, value in record.__dict__.items() if key not in self._USUAL}
        if record.exc_info and record.exc_info[1] is not None:
            line |= _place(record.exc_info[1])
        return json.dumps(line, default=str)
