"""The process that does one piece of heavy work: checking what was uploaded, or fitting a model.

It reads one JSON object from standard input and writes one JSON object a line to standard
output: ``stage`` and ``progress`` as they come, then ``done`` or ``error``. It ends when
its standard input does, so that it never outlives the service. Whatever happens here (a crash of
a library, memory that runs out, a GPU that fails) happens to this process alone.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

__all__ = ["main"]

QUERIES = 2_000
"""Random queries that measure what recommendations reach: enough to compare versions."""


def main() -> None:
    """Do what standard input asks for."""
    spec = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_input, daemon=True).start()
    say = _Voice()
    _be_modest(spec.get("memory"))
    try:
        done = TASKS[spec["task"]](spec, say)
    except BaseException as error:
        say("error", **_verdict(error, Path(spec["folder"])))
    else:
        say("done", **done)
    os._exit(0)  # everything is said: no library's own farewell is waited for


class _Voice:
    """Writes to what was standard output; what libraries print goes to standard error."""

    def __init__(self) -> None:
        self._out = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)

    def __call__(self, event: str, **data: Any) -> None:
        import orjson  # which knows NumPy's numbers, and writes NaN as null

        line = orjson.dumps({"event": event, **data}, option=orjson.OPT_SERIALIZE_NUMPY)
        self._out.write(line.decode() + "\n")
        self._out.flush()


def _end_with_input() -> None:
    sys.stdin.read()
    os._exit(1)


def _be_modest(memory: int | None) -> None:
    """Let the service's answers go first, and die first where memory runs out."""
    with suppress(OSError, AttributeError):
        os.nice(10)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    if memory is not None:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))


def _verdict(error: BaseException, folder: Path) -> dict[str, Any]:
    """What is told of an error; of an unexpected one no message, which may hold users' data."""
    from gpu_kmeans.errors import GpuKMeansError
    from gpu_kmeans.service.problems import of_exception

    if isinstance(error, MemoryError) and not isinstance(error, GpuKMeansError):
        return {
            "status": 507,
            "code": "out_of_memory",
            "detail": "there was not enough memory for this: use fewer rows, terms or clusters",
        }
    known = of_exception(error)
    if known is not None:
        detail = known.detail.replace(f"{folder}{os.sep}", "")
        return {"status": known.status, "code": known.code, "detail": detail}
    frames = traceback.extract_tb(error.__traceback__)
    where = "; ".join(f"{Path(each.filename).name}:{each.lineno} {each.name}" for each in frames)
    return {
        "status": 500,
        "code": "failed",
        "detail": f"unexpected {type(error).__name__}; the service's log says where",
        "where": f"{type(error).__name__}: {where}",
    }


def _paths(spec: dict[str, Any]) -> list[Path]:
    folder = Path(spec["folder"])
    return [folder / spec[part] for part in ("items", "credits") if spec[part] is not None]


def check(spec: dict[str, Any], say: _Voice) -> dict[str, Any]:
    """Read a catalogue as a fit would; say what it holds."""
    from gpu_kmeans.catalogue import DEFAULTS, load_catalogue
    from gpu_kmeans.service.problems import Problem

    catalogue = load_catalogue(*_paths(spec), **spec["columns"], backend="cpu")
    report = catalogue.report
    if report.rows > spec["max_rows"]:
        raise Problem(
            413, "too_many_rows", f"{report.rows} rows are more than the {spec['max_rows']} allowed"
        )
    names = {**DEFAULTS, **spec["columns"]}
    absent = {*report.absent, *report.left_out}
    absent.update(() if spec["credits"] else ("credits_id", "cast", "crew"))
    used = {role: name for role, name in names.items() if name and role not in absent}
    return {
        "rows": report.rows,
        "columns": used,
        "absent": list(report.absent),
        "problems": list(report.warnings),
    }


def fit(spec: dict[str, Any], say: _Voice) -> dict[str, Any]:
    """Fit, judge and save a model; it is in ``model`` of the folder then."""
    from gpu_kmeans import pipeline
    from gpu_kmeans.evaluate import evaluate

    def progress(each: Any) -> None:
        say(
            "progress",
            stage=each.stage,
            iteration=each.iteration,
            inertia=each.inertia,
            moved=each.moved,
        )

    model = pipeline.fit(
        *_paths(spec),
        columns=spec["columns"],
        **{**spec["parameters"], "ngram_range": tuple(spec["parameters"]["ngram_range"])},
        callback=progress,
        on_stage=lambda stage: say("stage", stage=stage),
    )
    say("stage", stage="judge")
    report = evaluate(model, n_queries=QUERIES).to_dict()
    say("stage", stage="save")
    model.save(Path(spec["folder"]) / "model")
    return {"report": report, "about": describe(model)}


def verify(spec: dict[str, Any], say: _Voice) -> dict[str, Any]:
    """Read and judge a model that was uploaded."""
    from gpu_kmeans.evaluate import evaluate
    from gpu_kmeans.model import Model

    model = Model.load(Path(spec["folder"]) / "model")
    return {"report": evaluate(model, n_queries=QUERIES).to_dict(), "about": describe(model)}


def describe(model: Any) -> dict[str, Any]:
    """What the registry says of a model."""
    info = model.info
    return {
        "backend": info.backend,
        "parameters": {**info.parameters, "seed": info.seed},
        "metrics": model.metrics(),
    }


def choose(spec: dict[str, Any], say: _Voice) -> dict[str, Any]:
    """Say which backend a fit would run on."""
    from gpu_kmeans.backend import choose
    from gpu_kmeans.errors import BackendUnavailable

    try:
        backend, reason = choose(spec["backend"])
    except BackendUnavailable as obstacle:
        return {"name": None, "reason": None, "obstacle": str(obstacle)}
    return {"name": backend.name, "reason": reason, "obstacle": None}


TASKS = {"check": check, "choose": choose, "fit": fit, "verify": verify}

if __name__ == "__main__":
    main()
