"""Writing to the standard streams, and what happens when they do not take it."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, redirect_stdout, suppress
from dataclasses import dataclass
from typing import Any, TextIO

__all__ = ["Answer", "OutputFailed", "as_json", "captured", "write", "write_error"]


class OutputFailed(Exception):
    """Standard output did not take the result."""

    def __init__(self, reason: str, *, closed_pipe: bool = False) -> None:
        super().__init__(f"cannot write the result to standard output: {reason}")
        self.closed_pipe = closed_pipe


@dataclass(frozen=True)
class Answer:
    """A command's result: as data, and as text for people, made only when asked for."""

    data: dict[str, Any]
    render: Callable[[], str]

    def json(self) -> bytes:
        return as_json(self.data)

    def text(self) -> str:
        return self.render() + "\n"


def as_json(data: dict[str, Any]) -> bytes:
    """Return one line of JSON: non-finite numbers are ``null``, paths are text."""
    import orjson

    return orjson.dumps(data, default=_plain) + b"\n"


def _plain(value: object) -> object:
    """Turn a path (whose bytes need not be text) into text that JSON can hold."""
    if isinstance(value, os.PathLike):
        return os.fsencode(value).decode("utf-8", "replace")
    raise TypeError(f"{type(value).__name__} has no place in a result")


def captured() -> AbstractContextManager[io.StringIO]:
    """Collect what argparse prints, so that it is written like any other result."""
    return redirect_stdout(io.StringIO())


def write(result: str | bytes) -> None:
    """Write a whole result to standard output and make sure that it got there.

    Raises
    ------
    OutputFailed
        The stream is closed, full, or its reader went away.
    """
    stream = sys.stdout
    if stream is None:
        raise OutputFailed("it is closed")
    try:
        _put(stream, result)
    except OSError as problem:
        _silence(stream)
        raise OutputFailed(
            problem.strerror or str(problem), closed_pipe=isinstance(problem, BrokenPipeError)
        ) from problem


def write_error(text: str) -> None:
    """Write to standard error; a message that cannot be shown does not change the outcome."""
    if sys.stderr is not None:
        with suppress(OSError):
            _put(sys.stderr, text)


def _put(stream: TextIO, result: str | bytes) -> None:
    buffer = getattr(stream, "buffer", None)
    if isinstance(result, str):
        encoding = stream.encoding or "utf-8"
        stream.write(result.encode(encoding, "backslashreplace").decode(encoding))
    elif buffer is None:
        stream.write(result.decode())
    else:  # JSON is UTF-8, whatever the encoding of the stream
        stream.flush()
        buffer.write(result)
    stream.flush()


def _silence(stream: TextIO) -> None:
    """Send what is still in the stream's buffer nowhere: Python writes it out at exit."""
    with suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
