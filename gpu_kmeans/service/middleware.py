"""Round every request: whom it came to, how many there are, what is logged, counted and sent.

Plain ASGI and not Starlette's ``BaseHTTPMiddleware``, which costs a task and a queue a request.
"""

from __future__ import annotations

import json
import logging
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

from gpu_kmeans.service.clients import Clients, Headers
from gpu_kmeans.service.cors import Cors
from gpu_kmeans.service.metrics import Metrics
from gpu_kmeans.service.problems import MEDIA_TYPE, Problem, body, of_exception
from gpu_kmeans.service.request_checks import (
    ALWAYS_ANSWERED,
    check_headers,
    check_name,
    check_origin,
    host_of,
)
from gpu_kmeans.service.settings import Settings

__all__ = ["Gate", "JsonLines", "send_problem"]

log = logging.getLogger("gpu_kmeans.service")

LOOPBACK = {"localhost", "127.0.0.1", "::1"}
REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
JOB = re.compile(r"[0-9a-f]{22}")
VERSION = re.compile(r"[0-9]{1,10}")
EVENTS = re.compile(r"/v1/jobs/[^/]+/events")

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


class _HeadSent(Exception):
    """All of a HEAD request's answer is sent: nobody waits for a body."""


class _Answer:
    """What was sent so far, on its way out.

    Parameters
    ----------
    send : callable
        ASGI's.
    request_id : str
    is_head : bool
        Send no body, and stop what would make one.
    more : list of (bytes, bytes)
        Headers for pages of other sites.
    """

    def __init__(self, send: Any, request_id: str, is_head: bool, more: Headers) -> None:
        self.more = more
        self.send_on = send
        self.request_id = request_id.encode()
        self.is_head = is_head
        self.status = 0
        self.bytes = 0

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [
                *message.get("headers", ()),
                (b"x-request-id", self.request_id),
                *HEADERS,
                *self.more,
            ]
        elif self.is_head:
            await self.send_on({"type": "http.response.body", "body": b""})
            raise _HeadSent
        else:
            self.bytes += len(message.get("body", b""))
        await self.send_on(message)


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
        self.clients = Clients(settings)
        self.cors = Cors(settings.cors_origins)
        own = {settings.host, *settings.allowed_hosts}
        self.hosts = (LOOPBACK | own) if settings.is_loopback else (own if len(own) > 1 else None)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()
        method = scope["method"]
        headers = dict(scope["headers"])
        wanted_id = headers.get(b"x-request-id", b"")
        request_id = wanted_id.decode() if REQUEST_ID.fullmatch(wanted_id) else secrets.token_hex(8)
        peer = scope["client"][0] if scope["client"] else ""
        client = self.clients.address(peer, scope["headers"])
        scope["state"] |= {"request_id": request_id, "client": client, "key": None, "about": {}}
        # Not in place: the server goes by the method, too, when it frames the answer.
        scope = scope | self._routed(scope)
        cors = self.cors.headers(headers.get(b"origin"))
        answer = _Answer(send, request_id, method == "HEAD", cors)
        try:
            self._check(scope, headers, method, self.clients.is_trusted(peer))
            allowed = self.cors.preflight(method, headers)
            if allowed is not None:
                await answer.send(
                    {"type": "http.response.start", "status": 204, "headers": allowed}
                )
                await answer.send({"type": "http.response.body", "body": b""})
                return
            with self._counted(scope, client, method):
                await self.app(scope, receive, answer.send)
        except _HeadSent:
            pass
        except Exception as error:
            problem = of_exception(error)
            if problem is None:
                log.error("unexpected error", extra={"request": request_id, **_place(error)})
                problem = Problem(
                    500, "failed", "the service failed; its log knows this request by its id"
                )
            if not answer.status:
                with suppress(_HeadSent):
                    await send_problem(problem, request_id, answer.send)
        finally:
            seconds = time.perf_counter() - began
            route = getattr(scope.get("route"), "path", "other")
            self.metrics.request(method, route, answer.status, seconds)
            log.info(
                "request",
                extra={
                    "request": request_id,
                    "client": client,
                    "key": scope["state"]["key"],
                    "method": method,
                    "route": route,
                    **_subject(scope, route),
                    "status": answer.status,
                    "bytes": answer.bytes,
                    "ms": round(1000 * seconds, 2),
                },
            )

    def _routed(self, scope: Any) -> dict[str, Any]:
        """What routes are to see: HEAD as GET, and addresses without the proxy's prefix."""
        seen = {"method": "GET" if scope["method"] == "HEAD" else scope["method"]}
        root = self.settings.root_path
        if root and (scope["path"] == root or scope["path"].startswith(f"{root}/")):
            seen["path"] = scope["path"].removeprefix(root)
            seen["raw_path"] = scope["raw_path"].removeprefix(root.encode())
        return seen

    def _check(self, scope: Any, headers: dict[bytes, bytes], method: str, trusted: bool) -> None:
        """Refuse what no route needs to look at."""
        host = host_of(headers, trusted)
        check_headers(scope["headers"], headers, host, self.hosts)
        if not scope["path"]:  # the prefix without a slash, from which nothing is relative
            page = {"Location": f"{self.settings.root_path}/"}
            raise Problem(307, "moved", "the page is one slash further", page)
        check_name(scope["raw_path"])
        is_change = method not in ("GET", "HEAD", "OPTIONS")
        if is_change and not self.cors.allows(headers.get(b"origin")):
            check_origin(headers, host)

    @contextmanager
    def _counted(self, scope: Any, client: str, method: str) -> Iterator[None]:
        """Let a request in, if its client and all clients together have not too many."""
        if scope["path"] in ALWAYS_ANSWERED:
            yield
            return
        is_stream = method == "GET" and EVENTS.fullmatch(scope["path"]) is not None
        with self.clients.inside("streams" if is_stream else "requests", client):
            yield


def _subject(scope: Any, route: str) -> dict[str, Any]:
    """Which dataset, model, version or job a request was about: names that were checked."""
    parameters = scope.get("path_params", {})
    subject: dict[str, Any] = {}
    if "name" in parameters:
        subject["dataset" if route.startswith("/v1/datasets/") else "model"] = parameters["name"]
    if JOB.fullmatch(str(parameters.get("job", ""))):
        subject["job"] = parameters["job"]
    if VERSION.fullmatch(str(parameters.get("version", ""))):
        subject["version"] = int(parameters["version"])
    subject |= scope["state"]["about"]
    return subject


async def send_problem(problem: Problem, request_id: str, send: Callable[..., Any]) -> None:
    """Send a problem as an answer."""
    content = body(problem, request_id)
    headers = [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", str(len(content)).encode()),
        (b"cache-control", b"no-store"),
        *((name.lower().encode(), value.encode()) for name, value in problem.headers.items()),
    ]
    if problem.status == 408 or problem.code == "too_many_streams":
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
