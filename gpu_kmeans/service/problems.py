"""What goes wrong over HTTP: one exception, answered as ``application/problem+json`` (RFC 9457)."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson

from gpu_kmeans.errors import FileProblem, GpuKMeansError

__all__ = [
    "JOBS",
    "MEDIA_TYPE",
    "QUESTIONS",
    "Problem",
    "answer_too_large",
    "body",
    "of_exception",
    "out_of_memory",
    "unreadable",
]

JOBS = ("fit", "choose-k")
"""Tasks that wait for their turn as jobs; all others answer a request."""
QUESTIONS = ("compare", "edit", "export", "levels", "outliers")
"""Tasks that read nothing but models that are here."""
UPLOADS = ("assign", "check", "drift", "look", "update")
"""Tasks that read a table or a matrix that was sent."""
MEDIA_TYPE = "application/problem+json"
MAX_DETAIL = 1_400
"""Characters of a message; what is beyond is left out."""
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
        self.detail = _plain(detail)
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


def answer_too_large(size: int, most: int) -> Problem:
    """The problem of an answer that would have too many bytes."""
    return Problem(
        422,
        "answer_too_large",
        f"the answer has {size} bytes, more than the {most} allowed (max_answer_bytes): ask for "
        "less, with a smaller limit where there is one",
    )


def out_of_memory(task: str, most: int | None = None, setting: str = "") -> Problem:
    """The problem of work that wants more memory than there is, or than it may take."""
    bound = (
        "than there is" if most is None else f"than the {most} bytes that it may take ({setting})"
    )
    if task in JOBS:
        return Problem(
            507,
            "out_of_memory",
            f"the job wants more memory {bound}: use fewer rows, terms or clusters",
        )
    if task in QUESTIONS:
        return Problem(
            507,
            "out_of_memory",
            f"the answer wants more memory {bound}: ask it of a smaller model",
        )
    return Problem(
        413, "too_large", f"what was sent wants more memory {bound} to be read: send less of it"
    )


def unreadable(task: str, reason: str) -> Problem:
    """The problem of work that ended for a reason that nobody foresaw."""
    if task in UPLOADS:
        return Problem(
            422,
            "unreadable",
            f"the table cannot be read ({reason}); the service's log says where. Write it anew, "
            "as CSV in UTF-8",
        )
    if task == "verify":
        return Problem(
            422,
            "model_corrupt",
            f"the archive cannot be read ({reason}); the service's log says where. Send what was "
            "downloaded",
        )
    return Problem(500, "failed", f"{reason}; the service's log says where")


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
        "detail": problem.detail,
        "request_id": request_id,
    }
    return orjson.dumps(answer)


def _plain(detail: str) -> str:
    """One line of what can be shown; libraries and users write other characters, and many."""
    shown = "".join(sign if sign.isprintable() else " " for sign in detail[:MAX_DETAIL]).strip()
    return shown if len(detail) <= MAX_DETAIL else f"{shown}\N{HORIZONTAL ELLIPSIS}"


def _title(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
