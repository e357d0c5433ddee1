"""Questions to models, and changes of them, as the worker process answers them.

Each takes what it is asked as a dictionary and finds the models in its folder. Long answers go to
files there: JSON, and columns of numbers beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpu_kmeans.service.worker_files import MADE, MODEL, write_answer, write_arrays

if TYPE_CHECKING:
    from gpu_kmeans.model import Model

__all__ = ["TASKS"]

READING = ("encoding", "delimiter")
MOST_FLOWS = 1_000
"""Maximum number of pairs of clusters in a comparison, the largest."""
MOST_STRANGE = 1_000
"""Maximum number of ids of items that fit nowhere."""

Spec = dict[str, Any]


def _load(spec: Spec, name: str = MODEL) -> Model:
    from gpu_kmeans.model import Model

    return Model.load(Path(spec["folder"]) / name)


def _names(model: Model) -> list[str]:
    from gpu_kmeans.model.naming import cluster_names
    from gpu_kmeans.service.shown import MAX_NAME_CHARACTERS, cut

    return [cut(name, MAX_NAME_CHARACTERS) for name in cluster_names(model)]


def _clusters(model: Model) -> list[Spec]:
    sizes = model.sizes.tolist()
    return [
        {"label": label, "name": name, "size": size}
        for label, (name, size) in enumerate(zip(_names(model), sizes, strict=True))
    ]


# -- questions ---------------------------------------------------------------------------------


def levels(spec: Spec) -> Spec:
    """Show the clusters of a model on several levels, the coarsest first."""
    import numpy as np

    from gpu_kmeans.model.hierarchy import levels
    from gpu_kmeans.service.shown import MAX_NAME_CHARACTERS, cut

    model = _load(spec)
    made = levels(model, spec["counts"] or _usual_counts(model), seed=spec["seed"])
    shown = []
    for level in made:
        inside = level.labels >= 0
        pairs = np.unique(np.stack([level.labels[inside], model.labels[inside]]), axis=1)
        own: dict[int, list[int]] = {}
        for group, label in pairs.T.tolist():
            own.setdefault(group, []).append(label)
        parents = [None] * len(level.names) if level.parents is None else level.parents.tolist()
        clusters = [
            {
                "label": label,
                "name": cut(name, MAX_NAME_CHARACTERS),
                "size": int(level.sizes[label]),
                "parent": parents[label],
                "labels": own.get(label, []),
            }
            for label, name in enumerate(level.names)
        ]
        shown.append({"n_clusters": len(clusters), "clusters": clusters})
    return write_answer(spec, {"levels": shown})


def _usual_counts(model: Model) -> list[int]:
    """Return up to three numbers of clusters: the model's own, and thirds of it."""
    own = int((model.sizes > 0).sum())
    return sorted({count for count in (round(own / 9), round(own / 3), own) if count > 1} or {own})


def outliers(spec: Spec) -> Spec:
    """Score all items: their rows, the worst first, with scores, margins and nearest clusters."""
    import numpy as np

    from gpu_kmeans.model.outliers import junk_clusters, outliers

    model = _load(spec)
    scored = outliers(model)
    order = np.argsort(-np.nan_to_num(scored.scores, nan=-1.0), kind="stable")
    columns = (order, scored.scores[order], scored.margins[order], scored.nearest[order])
    write_arrays(spec, dict(zip(("rows", "scores", "margins", "nearest"), columns, strict=True)))
    clusters = _clusters(model)
    return write_answer(
        spec, {"junk_clusters": [clusters[label] for label in junk_clusters(model)]}
    )


def compare(spec: Spec) -> Spec:
    """Compare two models: what moved goes beside the answer, by the rows of the second."""
    import numpy as np

    from gpu_kmeans.questions.compare import compare
    from gpu_kmeans.service.shown import MAX_NAME_CHARACTERS, MAX_TERM_CHARACTERS, cut

    before, after = _load(spec, "before"), _load(spec, "after")
    comparison = compare(before, after)
    rows_before, rows_after = (
        {item: row for row, item in enumerate(model.items["id"].to_pylist())}
        for model in (before, after)
    )
    moved = np.array([rows_after[item] for item in comparison.moved], dtype=np.int64)
    left = np.array([rows_before[item] for item in comparison.moved], dtype=np.int64)
    columns = {"rows": moved, "before": before.labels[left], "after": after.labels[moved]}
    write_arrays(spec, columns)
    data = comparison.to_dict()
    flows = data["flows"]
    for flow in flows[:MOST_FLOWS]:
        for name in ("before_name", "after_name"):
            flow[name] = cut(flow[name], MAX_NAME_CHARACTERS)
    terms = [
        {"label": label}
        | {what: [cut(term, MAX_TERM_CHARACTERS) for term in words] for what, words in came.items()}
        for label, came in sorted(comparison.terms.items())
    ]
    del data["moved"]
    about = {"flows": flows[:MOST_FLOWS], "n_flows": len(flows), "terms": terms}
    clusters = {"before": _clusters(before), "after": _clusters(after)}
    return write_answer(spec, {**data, **about, "clusters": clusters})


def export(spec: Spec) -> Spec:
    """Write items with their clusters to a file."""
    from gpu_kmeans.model.export_files import write_labels

    write_labels(
        _load(spec),
        Path(spec["folder"]) / spec["file"],
        spec["format"],
        columns=spec["columns"],
        cluster=spec["cluster"],
    )
    return {}


# -- uploads -----------------------------------------------------------------------------------


def assign(spec: Spec) -> Spec:
    """Put the rows of an upload into the clusters of the model beside it."""
    from gpu_kmeans.questions.assign import assign

    made = assign(_load(spec), _checked_upload(spec), **_reading(spec), backend="cpu")
    cells = zip(made.ids, made.labels.tolist(), made.distances.tolist(), strict=True)
    rows = [{"id": id, "cluster": label, "distance": far} for id, label, far in cells]
    return write_answer(spec, {**spec["head"], "rows": rows, "problems": made.warnings})


def drift(spec: Spec) -> Spec:
    """Tell whether the rows of an upload still are what the model beside it was fitted on."""
    from gpu_kmeans.questions.compare import drift

    model, path = _load(spec), _checked_upload(spec)
    change = drift(model, path, **_reading(spec), backend="cpu").to_dict()
    names = _names(model)
    for cluster in change["clusters"]:
        label = cluster["label"]
        cluster["name"] = names[label] if label >= 0 else None
    return write_answer(spec, {**spec["head"], **change})


def update(spec: Spec) -> Spec:
    """Put the rows of an upload into the model beside it, which is a new one then."""
    from gpu_kmeans.questions.update import update

    done = update(_load(spec), _checked_upload(spec), **_reading(spec), backend="cpu")
    about = done.to_dict()
    strange = about.pop("strange")
    about |= {"n_strange": len(strange), "strange": strange[:MOST_STRANGE]}
    return {**_kept(spec, done.model, is_judged=True), "update": about}


def _checked_upload(spec: Spec) -> Path:
    from gpu_kmeans.service.limits import TableLimits
    from gpu_kmeans.service.unpacked import check_upload

    path: Path = Path(spec["folder"]) / spec["file"]
    check_upload(path, TableLimits(**spec["limits"]), **_reading(spec))
    return path


def _reading(spec: Spec) -> Spec:
    return {name: spec[name] for name in READING}


# -- changes by hand ---------------------------------------------------------------------------


def edit(spec: Spec) -> Spec:
    """Change clusters by hand, one operation after the other."""
    from gpu_kmeans.errors import GpuKMeansError

    model = _load(spec)
    for number, operation in enumerate(spec["operations"]):
        try:
            model = _edited(model, operation)
        except GpuKMeansError as error:
            raise type(error)(f"operations.{number}: {error}") from error
    is_judged = any(operation["op"] != "rename" for operation in spec["operations"])
    return _kept(spec, model, is_judged=is_judged)


def _edited(model: Model, operation: Spec) -> Model:
    from gpu_kmeans.model import edit

    match operation["op"]:
        case "rename":
            return edit.rename(model, operation["cluster"], operation["name"])
        case "merge":
            return edit.merge(model, operation["clusters"])
        case "split":
            seed, parts = operation["seed"], operation["parts"]
            return edit.split(model, operation["cluster"], parts, seed=seed)
        case _:
            return edit.move(model, operation["items"], operation["cluster"])


def _kept(spec: Spec, model: Model, *, is_judged: bool) -> Spec:
    """Check, judge and save a model; names alone change nothing that is judged."""
    from gpu_kmeans.service.model_size import check_model
    from gpu_kmeans.service.version_report import describe, judge

    check_model(model, spec["max_model_bytes"])
    model.save(Path(spec["folder"]) / MADE)
    return {"about": describe(model), "report": judge(model) if is_judged else None}


TASKS: dict[str, Callable[[Spec], Spec]] = {
    "assign": assign,
    "compare": compare,
    "drift": drift,
    "edit": edit,
    "export": export,
    "levels": levels,
    "outliers": outliers,
    "update": update,
}
