"""Answers of versions, which do not change: tags for them, gzip, and the last ones again.

A version of a model is never written twice, so that the same request to it has the same answer.
Each carries an ``ETag`` of version and request; who sends it back as ``If-None-Match`` gets a 304
without the question being looked at. Answers stay with the browser that asked (``private``), which
asks each time whether they still hold (``no-cache``): another version may be active by then.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from collections import OrderedDict
from dataclasses import dataclass

__all__ = ["Answers", "StoredAnswer", "accepts_gzip", "matches", "packed"]

MAX_ANSWERS = 4_096
"""Maximum number of a version's answers that are kept, the last asked for."""
MAX_BYTES = 48 << 20
"""Maximum number of their bytes together: two thousand answers of ten items each."""
LEAST_PACKED = 1_000
"""Number of bytes from which an answer is compressed: a packet holds about as many."""
REFUSED = re.compile(r"q=0(\.0*)?")
LEVEL = 1
"""Compression: higher levels save a tenth of the bytes, and take twice the time."""


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """An answer as it was sent: its body, compressed or not."""

    body: bytes
    is_packed: bool


class Answers:
    """The last answers of one version; of the event loop alone.

    Parameters
    ----------
    about : str
        What they depend on beside the request.
    """

    def __init__(self, about: str) -> None:
        self._seed = hashlib.blake2b(about.encode("utf-8", "surrogatepass"), digest_size=16)
        self._answers: OrderedDict[tuple[bytes, bool], StoredAnswer] = OrderedDict()
        self._bytes = 0

    def tag(self, request: bytes) -> str:
        """Return the weak entity tag of the answer to a request: its path and query."""
        tag = self._seed.copy()
        tag.update(request)
        return f'W/"{tag.hexdigest()}"'

    def get(self, request: bytes, gzip_accepted: bool) -> StoredAnswer | None:
        """Return the answer to a request, if it is kept."""
        key = request, gzip_accepted
        answer = self._answers.get(key)
        if answer is not None:
            self._answers.move_to_end(key)
        return answer

    def keep(self, request: bytes, gzip_accepted: bool, answer: StoredAnswer) -> None:
        """Keep an answer, in place of those that were not asked for the longest."""
        key = request, gzip_accepted
        size = len(request) + len(answer.body)
        if size > MAX_BYTES // 8 or key in self._answers:
            return
        self._answers[key] = answer
        self._bytes += size
        while len(self._answers) > MAX_ANSWERS or self._bytes > MAX_BYTES:
            (other, _), dropped = self._answers.popitem(last=False)
            self._bytes -= len(other) + len(dropped.body)


def accepts_gzip(header: str | None) -> bool:
    """Whether an ``Accept-Encoding`` names gzip, and does not rule it out (RFC 9110)."""
    for part in (header or "").lower().replace(" ", "").split(","):
        coding, _, weight = part.partition(";")
        if coding == "gzip":
            return REFUSED.fullmatch(weight) is None
    return False


def matches(header: str | None, tag: str) -> bool:
    """Whether an ``If-None-Match`` names a tag; weak ones compare as strong ones do."""
    if not header:
        return False
    sought = tag.removeprefix("W/")
    return any(one.strip().removeprefix("W/") in (sought, "*") for one in header.split(","))


def packed(body: bytes, gzip_accepted: bool) -> StoredAnswer:
    """Return an answer, compressed where that is accepted and pays."""
    if gzip_accepted and len(body) >= LEAST_PACKED:
        return StoredAnswer(gzip.compress(body, LEVEL, mtime=0), True)
    return StoredAnswer(body, False)
