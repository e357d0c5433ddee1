"""The connection: uvicorn's HTTP protocol, with limits on what a slow or broken client may do.

uvicorn waits for a request's headers for as long as a client likes, takes any number of them, and
waits as long for a client that does not read its answer. Here all of this ends: 408, 431, and a
connection that is closed. What is no HTTP is answered as a problem, too.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from gpu_kmeans.service.clients import Clients
from gpu_kmeans.service.problems import MEDIA_TYPE, Problem, body
from gpu_kmeans.service.settings import Settings

__all__ = ["protocol"]


class _Protocol(HttpToolsProtocol):
    max_header_bytes: int
    header_seconds: float
    body_seconds: float
    clients: Clients

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._peer: str | None = None
        self._in_headers = True
        self._received = 0
        self._refused = False
        self._timer: asyncio.TimerHandle | None = None
        self._watcher: asyncio.TimerHandle | None = None
        self._wait(self.header_seconds)
        peer = self.client[0] if self.client else ""
        try:
            self.clients.enter("connections", peer)
        except Problem as problem:
            self._refuse(problem)
        else:
            self._peer = peer

    def connection_lost(self, exc: Exception | None) -> None:
        if self._peer is not None:
            self.clients.leave("connections", self._peer)
        self._stop_waiting()
        self._stop_watching()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        if self._in_headers:
            if self._timer is None:  # the next request on a connection that was kept
                self._wait(self.header_seconds)
            self._received += len(data)
        super().data_received(data)
        if self._in_headers and self._received > self.max_header_bytes:
            self._too_large()

    def pause_writing(self) -> None:
        """Watch a client that does not read: its request may not be kept open for ever."""
        super().pause_writing()
        self._watch()

    def resume_writing(self) -> None:
        self._stop_watching()
        super().resume_writing()

    def _watch(self) -> None:
        left = self.transport.get_write_buffer_size()
        self._watcher = self.loop.call_later(self.body_seconds, self._unread, left)

    def _unread(self, before: int) -> None:
        if self.transport.get_write_buffer_size() >= before:
            self.transport.abort()
        else:
            self._watch()

    def _stop_watching(self) -> None:
        if self._watcher is not None:
            self._watcher.cancel()
            self._watcher = None

    def eof_received(self) -> None:
        cycle: Any = self.cycle  # None before the first request
        if cycle is not None and cycle.more_body and not cycle.response_started:
            self._refuse(Problem(400, "short_body", "the body ended before its announced length"))

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_headers = True
        self._of_headers = 0

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._of_headers += len(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self._of_headers += len(name) + len(value) + 4
        # Headers may also come after a body in chunks.
        if not self._in_headers and self._of_headers > self.max_header_bytes and not self._refused:
            self._too_large()

    def on_headers_complete(self) -> None:
        self._in_headers = False
        self._stop_waiting()
        if self._refused:  # what came along with it is not looked at any more
            return
        if self._of_headers > self.max_header_bytes:
            self._too_large()
            return
        if not self._is_for_its_host():
            self._refuse(
                Problem(400, "bad_host", "the address and the Host header name two services")
            )
            return
        # httptools takes addresses below 64 KiB only; 10,000 characters of a query may be more.
        self.url, _, query = self.url.partition(b"?")
        super().on_headers_complete()
        self.scope["query_string"] = query.partition(b"#")[0]

    def _is_for_its_host(self) -> bool:
        """Whether an address in absolute form names the same host as the Host header does."""
        scheme, separator, rest = self.url.partition(b"://")
        if self.url.startswith((b"/", b"*")) or not separator:
            return True
        hosts = [value.lower() for name, value in self.headers if name == b"host"]
        return (
            scheme.lower() in (b"http", b"https")
            and [re.split(rb"[/?#]", rest, maxsplit=1)[0].lower()] == hosts
        )

    def on_body(self, body: bytes) -> None:
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if not self._refused:
            super().on_message_complete()
        self._in_headers = True
        self._received = 0
        self._stop_waiting()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self._in_headers and not self.transport.is_closing():
            # Answered before all of the body is here: the rest may not take for ever.
            self._timer = self.loop.call_later(self.body_seconds, self.transport.close)

    def send_400_response(self, msg: str) -> None:
        if not self._refused:
            self._refuse(Problem(400, "bad_request", "this is not a valid HTTP request"))

    def _too_large(self) -> None:
        most = self.max_header_bytes
        self._refuse(
            Problem(431, "headers_too_large", f"the request's headers exceed {most} bytes")
        )

    def _wait(self, seconds: float) -> None:
        self._stop_waiting()
        self._timer = self.loop.call_later(seconds, self._late)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        if self._received:
            self._refuse(Problem(408, "too_slow", "the request took too long to arrive"))
        else:
            self.transport.close()

    def _refuse(self, problem: Problem) -> None:
        """Answer from here, and end the connection."""
        self._refused = True
        self._stop_waiting()
        if self.transport.is_closing():
            return
        content = body(problem, "-")
        head = [
            STATUS_LINE[problem.status],
            f"content-type: {MEDIA_TYPE}\r\n".encode(),
            f"content-length: {len(content)}\r\n".encode(),
            *(f"{name.lower()}: {value}\r\n".encode() for name, value in problem.headers.items()),
            b"connection: close\r\n\r\n",
        ]
        self.transport.write(b"".join(head) + content)
        self.transport.close()


def protocol(settings: Settings, clients: Clients) -> type[HttpToolsProtocol]:
    """The protocol's class, with the limits of these settings."""
    limits = {
        "max_header_bytes": settings.max_header_bytes,
        "header_seconds": settings.header_seconds,
        "body_seconds": settings.body_seconds,
        "clients": clients,
    }
    return type("Protocol", (_Protocol,), limits)
