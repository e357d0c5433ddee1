"""What goes wrong over HTTP: one exception, answered as ``application/problem+json`` (RFC 9457)."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson

from gpu_kmeans.errors import FileProblem, GpuKMeansError

__all__ = ["MEDIA_TYPE", "Problem", "body", "of_exception"]

MEDIA_TYPE = "application/problem+json"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Problem(Exception):
    """An answer that is an error.

    Parameters
    ----------
    status : int
    code : str
        Stable, for programs.
    detail : str
        One message for people: what is wrong, where, and the way out.
    headers : mapping, optional
    """

    def __init__(
        self, status: int, code: str, detail: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})


def of_exception(error: BaseException) -> Problem | None:
    """The problem that an exception stands for; None for one that nobody expected."""
    if isinstance(error, Problem):
        return error
    if _is_full(error):
        return Problem(
            507, "storage_full", "the server's disk is full: nothing was stored; free some space"
        )
    if isinstance(error, GpuKMeansError):
        return Problem(error.status, error.code, str(error))
    return None


def _is_full(error: BaseException | None) -> bool:
    if isinstance(error, FileProblem):  # which may say it in other words
        error = error.__cause__
    if isinstance(error, sqlite3.OperationalError):
        # SQLite tells ENOSPC apart, but not EDQUOT and EFBIG.
        return error.sqlite_errorname in ("SQLITE_FULL", "SQLITE_IOERR_WRITE")
    return isinstance(error, OSError) and error.errno in FULL


def body(problem: Problem, request_id: str) -> bytes:
    """The JSON that is sent."""
    answer: dict[str, Any] = {
        "type": "about:blank",
        "title": _title(problem.status),
        "status": problem.status,
        "code": problem.code,
        "detail": problem.detail.encode("utf-8", "replace").decode(),  # no lone surrogates
        "request_id": request_id,
    }
    return orjson.dumps(answer)


def _title(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
