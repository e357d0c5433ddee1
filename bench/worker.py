"""The fresh process in which one contestant answers one question.

    python -m bench.worker FOLDER

reads ``spec.json`` in the folder and writes ``answer.json`` there, whatever happens: figures, or
``failed`` or ``skipped`` with the reason. The libraries' own printing goes to stderr.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path


def main() -> None:
    """Answer the spec in the folder that the command line names."""
    folder = Path(sys.argv[1])
    spec = json.loads((folder / "spec.json").read_text(encoding="utf-8"))
    if hasattr(os, "sched_setaffinity"):
        # Pools that count cores, rather than read OMP_NUM_THREADS, find as many.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: spec["threads"]])
    sys.stdout = sys.stderr  # some libraries print as they go
    from bench.contestants.base import CannotRun
    from bench.measure import peak_bytes
    from bench.questions import ask

    try:
        answer = {"peak_bytes": None} | ask(spec, folder)
        answer["peak_bytes"] = answer["peak_bytes"] or peak_bytes()
    except CannotRun as reason:
        answer = {"skipped": str(reason)}
    except Exception as problem:  # whatever a library raises is its answer
        answer = {"failed": f"{type(problem).__name__}: {problem}"[:500]}
    (folder / "answer.json").write_text(json.dumps(answer), encoding="utf-8")


if __name__ == "__main__":
    main()
