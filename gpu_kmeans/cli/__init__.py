"""The command line: the only place of the package that prints.

Nothing but the standard library is imported until a command runs, and that inside the
reach of the handlers below: an interrupt during imports ends as quietly as any other.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
from collections.abc import Sequence
from contextlib import suppress

__all__ = ["main"]

_CLOSED_PIPE = 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0, 1, 2, 130, 141 or 143 (see ``--help``)."""
    from gpu_kmeans.cli import signals

    words = sys.argv[1:] if arguments is None else list(arguments)
    if arguments is None:
        # A process that ends needs no last search for garbage: it took a tenth of `fit`.
        atexit.register(gc.freeze)
    with signals.handled(until_exit=arguments is None):
        try:
            return _run(words)
        except BaseException as problem:
            signals.ignore()
            code, kind, message = _verdict(problem)
        if code == _CLOSED_PIPE:
            return code
        _complain(message)
        if "--json" in words:
            _print_error(kind, message)
        if arguments is None and signals.received():
            # Python itself may end by the signal instead of this code: it does so when the
            # interrupt came inside code that ``exec`` ran, as dataclasses do on import.
            os._exit(code)
        return code


def _run(words: list[str]) -> int:
    from gpu_kmeans.cli import output, parser

    with output.captured() as printed:
        try:
            options = parser.build().parse_args(words)
        except SystemExit:  # after --help or --version
            options = None
    if options is None:
        output.write(printed.getvalue())
        return 0
    from gpu_kmeans.cli import commands

    answer = commands.run(options)
    output.write(answer.json() if options.json else answer.text())
    return 0


def _verdict(problem: BaseException) -> tuple[int, str, str]:
    """Return exit code, error code and message for whatever ended a command."""
    from gpu_kmeans.cli import output, signals
    from gpu_kmeans.errors import GpuKMeansError

    if os.environ.get("GPU_KMEANS_TRACEBACK"):
        import traceback

        traceback.print_exception(problem)
    if signals.received() or isinstance(problem, KeyboardInterrupt):
        return 128 + (signals.received() or 2), "cancelled", "interrupted"
    if isinstance(problem, GpuKMeansError):
        return problem.exit_code, problem.code, str(problem)
    if isinstance(problem, output.OutputFailed):
        return (_CLOSED_PIPE if problem.closed_pipe else 1), "output_failed", str(problem)
    if isinstance(problem, MemoryError):
        return 1, "out_of_memory", "not enough memory"
    if isinstance(problem, OSError) and problem.strerror:
        file = f"{problem.filename}: " if problem.filename else ""
        return 1, "failed", f"{file}{problem.strerror}"
    return (
        1,
        "failed",
        f"unexpected {type(problem).__name__}: {problem} "
        "(set GPU_KMEANS_TRACEBACK=1 to see where it comes from)",
    )


def _complain(message: str) -> None:
    """Print one line to standard error, and live with it when nobody listens there."""
    from gpu_kmeans.cli import layout, output

    output.write_error(f"gpu-kmeans: error: {layout.printable(message)}\n")


def _print_error(kind: str, message: str) -> None:
    from gpu_kmeans.cli import output

    with suppress(output.OutputFailed):  # it has been said on standard error
        output.write(output.as_json({"error": {"code": kind, "message": message}}))
