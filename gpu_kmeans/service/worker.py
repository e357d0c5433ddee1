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

from gpu_kmeans.service import question_tasks
from gpu_kmeans.service.worker_files import BEFORE, write_answer

__all__ = ["main"]

READING = ("encoding", "delimiter")
"""What is said of how files of texts are to be read."""


def main() -> None:
    """Do what standard input asks for."""
    spec = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_input, daemon=True).start()
    say = _Voice()
    _be_modest()
    try:
        done = TASKS[spec["task"]](spec, say)
    except BaseException as error:
        say("error", **_verdict(error, spec))
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


def _be_modest() -> None:
    """Let the service's answers go first, and die first where memory runs out."""
    with suppress(OSError, AttributeError):
        os.nice(10)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def _hold_to(memory: int) -> None:
    """Let no more memory be had; what the service sees of it, it sees a little later.

    Not on a GPU, whose driver reserves more than the machine has.
    """
    import resource

    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))


def _verdict(error: BaseException, spec: dict[str, Any]) -> dict[str, Any]:
    """What is told of an error; of an unexpected one no message, which may hold users' data."""
    from gpu_kmeans.errors import GpuKMeansError
    from gpu_kmeans.service.problems import of_exception, out_of_memory, unreadable

    task, folder = spec["task"], Path(spec["folder"])
    frames = traceback.extract_tb(error.__traceback__)
    where = "; ".join(
        f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames
    )
    known = of_exception(error)
    if isinstance(error, MemoryError) and not isinstance(error, GpuKMeansError):
        known = out_of_memory(task, spec.get("memory"), spec.get("memory_setting", ""))
    if known is not None:
        detail = known.detail.replace(f"{folder}{os.sep}", "")
        return {"status": known.status, "code": known.code, "detail": detail}
    unexpected = unreadable(task, f"unexpected {type(error).__name__}")
    return {
        "status": unexpected.status,
        "code": unexpected.code,
        "detail": unexpected.detail,
        "where": f"{type(error).__name__}: {where}",
    }


def _paths(spec: dict[str, Any]) -> list[Path]:
    folder = Path(spec["folder"])
    return [folder / spec[part] for part in ("items", "credits") if spec[part] is not None]


def check(spec: dict[str, Any], say: _Voice) -> dict[str, Any]:
    """Read a table or a matrix as a fit would, once its size is known; say what it holds."""
    from gpu_kmeans.service.limits import TableLimits
    from gpu_kmeans.service.reading import describe_dataset, read_dataset
    from gpu_kmeans.service.unpacked import check_catalogue, check_upload

    _hold_to(spec["memory"])
    limits = TableLimits(**spec["limits"])
    reading = {name: spec[name] for name in READING}
    for path in _paths(spec):
        check_upload(path, limits, **reading)
    catalogue = read_dataset(_paths(spec), spec["columns"], **reading)
    about = describe_dataset(catalogue, spec["columns"])
    check_catalogue(catalogue, about["columns"], limits)
    return about


def fit(spec: dict[str, Any], say: _Voice) -> dict[str, Any]:
    """Fit, judge and save a model; it is in ``model`` of the folder then."""
    from gpu_kmeans import pipeline
    from gpu_kmeans.backends.select import choose
    from gpu_kmeans.service.model_size import check_model
    from gpu_kmeans.service.version_report import describe, judge

    backend, _ = choose(spec["parameters"]["backend"])
    if backend.name == "cpu":
        _hold_to(spec["memory"])

    def progress(step: Any) -> None:
        say(
            "progress",
            stage=step.stage,
            iteration=step.iteration,
            inertia=step.inertia,
            moved=step.moved,
        )

    model = pipeline.fit(
        **_fit_arguments(spec, _parameters(spec)),
        callback=progress,
        on_stage=lambda stage: say("stage", stage=stage),
    )
    model = _named_as_before(model, Path(spec["folder"]) / BEFORE)
    check_model(model, spec["max_model_bytes"])
    say("stage", stage="judge")
    report = judge(model)
    say("stage", stage="save")
    model.save(Path(spec["folder"]) / "model")
    return {"report": report, "about": describe(model)}


def _named_as_before(model: Any, folder: Path) -> Any:
    """Give clusters the names that people gave to their like in the version before.

    Of one that cannot be read, or that has no item in common, there are none to be had.
    """
    from dataclasses import replace

    from gpu_kmeans.errors import GpuKMeansError
    from gpu_kmeans.model import Model
    from gpu_kmeans.model.storage import MANIFEST
    from gpu_kmeans.questions.compare import carry_names

    with suppress(GpuKMeansError, OSError, ValueError, AttributeError, MemoryError):
        # Most have none, and need not be read whole.
        if json.loads((folder / MANIFEST).read_bytes()).get("names"):
            return replace(model, names=carry_names(Model.load(folder), model))
    return model


def _fit_arguments(spec: dict[str, Any], parameters: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a fit: its files, how they are read, and other parameters."""
    files = dict(zip(("movies", "credits"), _paths(spec), strict=False))
    return {**files, **{name: spec[name] for name in ("columns", *READING)}, **parameters}


def _parameters(spec: dict[str, Any]) -> dict[str, Any]:
    return {**spec["parameters"], "ngram_range": tuple(spec["parameters"]["ngram_range"])}


def choose_k(spec: dict[str, Any], say: _Voice) -> dict[str, Any]:
    """Look for numbers of clusters, and show what the clusters of three of them would be."""
    from gpu_kmeans import pipeline
    from gpu_kmeans.backends.select import choose
    from gpu_kmeans.questions.choose_k import choose_k_of_model
    from gpu_kmeans.questions.previews import preview, previewed_counts, with_clusters
    from gpu_kmeans.service.shown import cut_preview

    parameters = _parameters(spec)
    low, high, seed = (parameters.pop(name) for name in ("from", "to", "seed"))
    backend, _ = choose(parameters.pop("backend"))
    if backend.name == "cpu":
        _hold_to(spec["memory"])
    model = pipeline.fit(
        **_fit_arguments(spec, parameters),
        n_clusters=2,
        seed=seed,
        backend=backend,
        on_stage=lambda stage: say("stage", stage=stage),
    )
    say("stage", stage="choose")
    choice = choose_k_of_model(
        model,
        low=low,
        high=high,
        seed=seed,
        backend=backend,
        on_candidate=lambda k: say("candidate", k=k),
    )
    say("stage", stage="preview")
    previews = []
    for k in previewed_counts(choice):
        say("candidate", k=k)
        clusters = with_clusters(
            model, k, seed=seed, max_iter=parameters["max_iter"], backend=backend
        )
        shown = cut_preview(preview(clusters))
        previews.append({**shown, "recommended": k in choice.recommended})
    return {"result": {**choice.to_dict(), "previews": previews}}


def verify(spec: dict[str, Any], say: _Voice) -> dict[str, Any]:
    """Unpack, read and judge a model that was uploaded; it is in ``model`` of the folder then."""
    from gpu_kmeans.model import Model
    from gpu_kmeans.service import archive
    from gpu_kmeans.service.limits import allowance
    from gpu_kmeans.service.model_size import check_folder, check_model
    from gpu_kmeans.service.version_report import describe, judge

    _hold_to(spec["memory"])
    folder = Path(spec["folder"])
    packed = folder / spec["archive"]
    most = allowance(packed, spec["max_model_bytes"], spec["max_expansion"])
    archive.unpack(packed, folder / "model", most)
    check_folder(folder / "model", spec["max_model_bytes"], spec["max_expansion"])
    model = Model.load(folder / "model")
    check_model(model, spec["max_model_bytes"])
    return {"report": judge(model), "about": describe(model)}


def look(spec: dict[str, Any], say: _Voice) -> dict[str, Any]:
    """Look at a table; what there is to see is in ``answer.json`` of the folder then."""
    from gpu_kmeans.questions.look import look
    from gpu_kmeans.service.limits import TableLimits
    from gpu_kmeans.service.unpacked import check_upload

    _hold_to(spec["memory"])
    path = Path(spec["folder"]) / spec["file"]
    reading = {name: spec[name] for name in READING}
    check_upload(path, TableLimits(**spec["limits"]), **reading)
    seen = look(path, **reading).to_dict()
    return write_answer(spec, {key: value for key, value in seen.items() if key != "file"})


def question(spec: dict[str, Any], say: _Voice) -> dict[str, Any]:
    """Answer what is asked of models, or change one."""
    _hold_to(spec["memory"])
    return question_tasks.TASKS[spec["task"]](spec)


def choose(spec: dict[str, Any], say: _Voice) -> dict[str, Any]:
    """Say which backend a fit would run on."""
    from gpu_kmeans.backends.select import choose
    from gpu_kmeans.errors import BackendUnavailable

    try:
        backend, reason = choose(spec["backend"])
    except BackendUnavailable as obstacle:
        return {"name": None, "reason": None, "obstacle": str(obstacle)}
    return {"name": backend.name, "reason": reason, "obstacle": None}


TASKS = {
    **dict.fromkeys(question_tasks.TASKS, question),
    "check": check,
    "choose": choose,
    "choose-k": choose_k,
    "fit": fit,
    "look": look,
    "verify": verify,
}

if __name__ == "__main__":
    main()
