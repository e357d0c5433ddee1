"""Pages of other sites that may use the service, if the settings name them (CORS).

They send a key of their own in a header, as programs do: there are no cookies, and nothing is ever
sent or answered with credentials of the browser.
"""

from __future__ import annotations

from collections.abc import Collection

__all__ = ["ANY", "Cors"]

ANY = "*"
ALLOWED_METHODS = b"GET, HEAD, PUT, POST, DELETE"
ALLOWED_HEADERS = (
    b"authorization, content-type, idempotency-key, if-match, if-none-match, last-event-id, "
    b"x-request-id"
)
EXPOSED_HEADERS = b"content-disposition, etag, location, retry-after, x-request-id"
MAX_AGE = b"600"
"""Seconds for which a browser may keep what it was told before it asks again."""
Headers = list[tuple[bytes, bytes]]


class Cors:
    """Which origins may ask, and what browsers are told of it.

    Parameters
    ----------
    origins : collection of str
        Such as ``https://films.example``; ``*`` for all.
    """

    def __init__(self, origins: Collection[str]) -> None:
        self._any = ANY in origins
        self._origins = frozenset(origin.encode() for origin in origins)

    def allows(self, origin: bytes | None) -> bool:
        """Whether pages of an origin may ask."""
        return origin is not None and (self._any or origin in self._origins)

    def headers(self, origin: bytes | None) -> Headers:
        """Return what an answer says of it; nothing where no other site may ask."""
        if not self._origins:
            return []
        vary = [] if self._any else [(b"vary", b"Origin")]  # caches must not mix them up
        if not self.allows(origin):
            return vary
        allowed = b"*" if self._any else origin or b""
        return [
            (b"access-control-allow-origin", allowed),
            (b"access-control-expose-headers", EXPOSED_HEADERS),
            *vary,
        ]

    def preflight(self, method: str, headers: dict[bytes, bytes]) -> Headers | None:
        """Return the answer to a browser that asks first; None for any other request."""
        is_asked = method == "OPTIONS" and b"access-control-request-method" in headers
        if not is_asked or not self.allows(headers.get(b"origin")):
            return None
        return [
            (b"access-control-allow-methods", ALLOWED_METHODS),
            (b"access-control-allow-headers", ALLOWED_HEADERS),
            (b"access-control-max-age", MAX_AGE),
        ]
