"""Questions to models on the command line: names, levels, outliers, changes, how many clusters."""

from __future__ import annotations

import argparse
from itertools import chain
from shlex import quote
from typing import TYPE_CHECKING, Any

from gpu_kmeans.cli import figures, progress, show, signals, staging, standard_input, tables
from gpu_kmeans.cli.fit_options import fit_options
from gpu_kmeans.cli.layout import commands, count, facts, heading, printable, table
from gpu_kmeans.cli.output import Answer
from gpu_kmeans.errors import InvalidParam

if TYPE_CHECKING:
    from gpu_kmeans.clustering.choose import Choice
    from gpu_kmeans.model import Model
    from gpu_kmeans.model.hierarchy import Level
    from gpu_kmeans.questions.compare import Comparison, Drift

__all__ = ["choose_k", "compare", "drift", "edit", "levels", "neighbors", "outliers", "update"]


def drawings() -> Any:
    """Return the module of figures, imported on first use."""
    from gpu_kmeans import plots

    return plots


def choose_k(options: argparse.Namespace) -> Answer:
    """Show what speaks for each number of clusters."""
    from gpu_kmeans.questions.choose_k import choose_k

    figures.check_plot(options)
    encoding = fit_options(options)

    def tell(k: int) -> None:
        signals.check()
        shown.say(f"fitting {k} clusters")

    with standard_input.as_file(options.file) as path, progress.shown("encoding") as shown:
        choice = choose_k(
            path,
            low=options.low,
            high=options.high,
            seed=options.seed,
            on_candidate=tell,
            **encoding,
        )
    answer = Answer(choice.to_dict(), lambda: _choice(choice))
    return figures.with_plot(answer, options, lambda: drawings().choice_curves(choice))


def _choice(choice: Choice) -> str:
    has_texts = choice.candidates[0].coherence is not None
    header = ["explained", "silhouette", "stability", "largest", "smallest"]
    rows = []
    for c in choice.candidates:
        cells = [
            str(c.k),
            f"{c.explained:.1%}",
            f"{c.silhouette:.3f}",
            f"{c.stability:.2f}",
            f"{c.largest:.1%}",
            f"{c.smallest:.1%}",
        ]
        cells += [f"{c.coherence:.2f}"] if c.coherence is not None else []
        rows.append([*cells, "recommended" if c.k in choice.recommended else ""])
    header += ["coherence"] if has_texts else []
    best = ", ".join(map(str, choice.recommended)) or "none stands out"
    return show.paragraphs(
        heading(f"Number of clusters: {best}"),
        facts([("Why", choice.reason)]),
        table(["k", *header, ""], rows),
    )


def neighbors(options: argparse.Namespace) -> Answer:
    """List the items like each item of a model."""
    from gpu_kmeans.model import Model
    from gpu_kmeans.questions.neighbors import similar_items

    if options.out is not None:
        tables.check_free(options.out, options.overwrite)
    model = Model.load(options.model)
    with progress.shown("comparing the items"):
        rows = similar_items(model, options.count, backend=options.backend)
        return tables.answer(rows, options.out, options.overwrite)


def levels(options: argparse.Namespace) -> Answer:
    """Show the clusters of a model on several levels, or write each item's path."""
    from gpu_kmeans.model import Model
    from gpu_kmeans.model.hierarchy import level_rows, levels

    figures.check_plot(options)
    if options.out is not None:
        tables.check_free(options.out, options.overwrite)
    model = Model.load(options.model)
    made = levels(model, options.levels, seed=options.seed)

    def drawn(answer: Answer) -> Answer:
        return figures.with_plot(answer, options, lambda: drawings().level_tree(made))

    if options.out is not None:
        return drawn(tables.answer(level_rows(model, made), options.out, options.overwrite))
    data = {
        "levels": [
            {
                "n_clusters": len(level.names),
                "clusters": [
                    {
                        "label": label,
                        "name": name,
                        "size": int(level.sizes[label]),
                        "parent": None if level.parents is None else int(level.parents[label]),
                    }
                    for label, name in enumerate(level.names)
                ],
            }
            for level in made
        ]
    }
    return drawn(Answer(data, lambda: "\n".join(_tree(made, 0, None))))


def _tree(made: list[Level], depth: int, parent: int | None) -> list[str]:
    level = made[depth]
    lines = []
    for label in (-level.sizes).argsort(kind="stable").tolist():
        if parent is not None and level.parents is not None and level.parents[label] != parent:
            continue
        name = printable(level.names[label])
        lines.append(f"{'    ' * depth}{name} ({count(int(level.sizes[label]), 'item')})")
        if depth + 1 < len(made):
            lines += _tree(made, depth + 1, label)
    return lines


def outliers(options: argparse.Namespace) -> Answer:
    """Show the items that fit worst, or write the scores of all."""
    from gpu_kmeans.model import Model
    from gpu_kmeans.model.naming import cluster_names
    from gpu_kmeans.model.outliers import junk_clusters, outliers

    figures.check_plot(options)
    if options.out is not None:
        tables.check_free(options.out, options.overwrite)
    model = Model.load(options.model)
    scored = outliers(model)
    junk = junk_clusters(model)

    def drawn(answer: Answer) -> Answer:
        return figures.with_plot(
            answer, options, lambda: drawings().outlier_scores(model, scored, junk)
        )

    ids = model.items["id"].to_pylist()
    titles = model.items["title"].to_pylist() if "title" in model.items.column_names else None
    if options.out is not None:
        header = ["id", "cluster", "outlier_score"]
        cells = zip(ids, model.labels.tolist(), map(_number, scored.scores.tolist()), strict=True)
        rows_of = chain([header], map(list, cells))
        return drawn(tables.answer(rows_of, options.out, options.overwrite))
    names = cluster_names(model)
    items = [
        {
            "id": ids[row],
            "title": None if titles is None else titles[row],
            "score": float(scored.scores[row]),
            "margin": float(scored.margins[row]),
            "cluster": int(model.labels[row]),
            "nearest": int(scored.nearest[row]),
        }
        for row in scored.first(options.limit).tolist()
    ]
    data = {
        "items": items,
        "junk_clusters": [{"label": label, "name": names[label]} for label in junk],
    }
    lines = [("Junk", ", ".join(f"{label} ({names[label]})" for label in junk))] if junk else []
    rows = [
        (f"{item['score']:.2f}", str(item["cluster"]), str(item["id"]), item["title"] or "")
        for item in items
    ]
    return drawn(
        Answer(
            data,
            lambda: show.paragraphs(
                heading(
                    "Items that fit worst (distance, in median distances of the nearest cluster)"
                ),
                table(("score", "cluster", "id", "title"), rows, left=(2, 3)),
                facts(lines) if lines else "",
            ),
        )
    )


def _number(value: float) -> Any:
    return "" if value != value else round(value, 6)


def compare(options: argparse.Namespace) -> Answer:
    """Show what became of the clusters of one model in another."""
    from gpu_kmeans.model import Model
    from gpu_kmeans.questions.compare import compare

    figures.check_plot(options)
    comparison = compare(Model.load(options.model), Model.load(options.other))
    answer = Answer(comparison.to_dict(), lambda: _comparison(comparison))
    return figures.with_plot(answer, options, lambda: drawings().cluster_flows(comparison))


def _comparison(comparison: Comparison) -> str:
    counts = f"{count(comparison.n_common, 'item')} in both"
    counts += f", {comparison.n_gone:,} gone, {comparison.n_new:,} new"
    rows = [
        (
            f"{flow.items:,}",
            "=" if flow.matched else "->",
            f"{flow.before} {flow.before_name}",
            f"{flow.after} {flow.after_name}",
        )
        for flow in comparison.flows[:MOST_FLOWS]
    ]
    changes = [
        (str(label), f"came: {', '.join(t['came']) or '-'}; went: {', '.join(t['went']) or '-'}")
        for label, t in sorted(comparison.terms.items())
    ]
    return show.paragraphs(
        heading(comparison.verdict[0].upper() + comparison.verdict[1:]),
        facts(
            [
                ("Items", counts),
                ("Agreement", f"adjusted Rand index {comparison.agreement:.3f}"),
                ("", f"V-measure {comparison.v_measure:.3f}"),
            ]
        ),
        table(("items", "", "before", "after"), rows, left=(1, 2, 3)),
        heading("Terms of the second model's clusters") if changes else "",
        facts(changes) if changes else "",
    )


MOST_FLOWS = 40
"""Number of pairs of clusters that are shown."""


def drift(options: argparse.Namespace) -> Answer:
    """Show whether new rows still are what a model was fitted on."""
    from gpu_kmeans.model import Model
    from gpu_kmeans.model.naming import cluster_names
    from gpu_kmeans.questions.compare import drift

    figures.check_plot(options)
    model = Model.load(options.model)
    with standard_input.as_file(options.file) as path, progress.shown("assigning"):
        change = drift(
            model,
            path,
            encoding=options.encoding,
            delimiter=options.delimiter,
            backend=options.backend,
        )
    answer = Answer(change.to_dict(), lambda: _drift(change, model))
    return figures.with_plot(
        answer, options, lambda: drawings().drift_shares(change, cluster_names(model))
    )


def _drift(change: Drift, model: Model) -> str:
    from gpu_kmeans.model.naming import cluster_names

    names = cluster_names(model)
    rows = [
        (f"{rows:,}", f"{far:,}", f"{label} {names[label]}" if label >= 0 else "no cluster")
        for label, (rows, far) in change.clusters.items()
    ]
    return show.paragraphs(
        heading(change.verdict[0].upper() + change.verdict[1:]),
        table(("rows", "far", "cluster"), rows),
    )


def edit(options: argparse.Namespace) -> Answer:
    """Change clusters by hand, and keep the result as a model of its own."""
    from gpu_kmeans.model import Model
    from gpu_kmeans.model.naming import cluster_names

    staging.check_free(options.out, overwrite=options.overwrite)
    model = _edited(Model.load(options.model), options.action, options.arguments, options.seed)
    names = cluster_names(model)
    with staging.folder_at(options.out) as aside:
        model.save(aside, overwrite=True)
    data = {
        "model": options.out,
        "clusters": [
            {"label": label, "size": int(size), "name": name}
            for label, (size, name) in enumerate(zip(model.sizes, names, strict=True))
        ],
    }
    rows = [
        (str(label), f"{size:,}", name)
        for label, (size, name) in enumerate(zip(model.sizes.tolist(), names, strict=True))
    ]
    before, after = quote(str(options.model)), quote(str(options.out))
    return Answer(
        data,
        lambda: show.paragraphs(
            heading(f"{count(model.n_clusters, 'cluster')} in {options.out}"),
            table(("cluster", "items", "name"), rows),
            commands("Next", [f"gpu-kmeans compare {before} {after}"]),
        ),
    )


def update(options: argparse.Namespace) -> Answer:
    """Put new rows into a model, and keep the result as a model of its own."""
    from gpu_kmeans.model import Model
    from gpu_kmeans.questions.update import update

    staging.check_free(options.out, overwrite=options.overwrite)
    model = Model.load(options.model)
    with standard_input.as_file(options.file) as path, progress.shown("assigning"):
        done = update(
            model,
            path,
            encoding=options.encoding,
            delimiter=options.delimiter,
            backend=options.backend,
        )
    with staging.folder_at(options.out) as aside:
        done.model.save(aside, overwrite=True)
    strange = ", ".join(map(str, done.strange[:MOST_STRANGE]))
    more = f" and {len(done.strange) - MOST_STRANGE:,} more" * (len(done.strange) > MOST_STRANGE)
    lines = [("Known", f"{count(done.n_known, 'row')} left out: the model has these ids")]
    return Answer(
        {"model": options.out, **done.to_dict()},
        lambda: show.paragraphs(
            heading(f"{count(done.n_new, 'new item')} in {options.out}"),
            facts(
                [
                    *(lines if done.n_known else []),
                    ("Strange", f"{len(done.strange):,} fit nowhere: {strange}{more}")
                    if done.strange
                    else ("Strange", "none: all fit"),
                ]
            ),
        ),
    )


MOST_STRANGE = 20
"""Number of ids that are shown of what fits nowhere."""


def _edited(model: Model, action: str, arguments: list[str], seed: int) -> Model:
    from gpu_kmeans.model import edit
    from gpu_kmeans.recommend import Recommender

    if action == "rename" and len(arguments) >= 2:
        name = " ".join(arguments[1:])
        return edit.rename(model, _label(arguments[0]), name or None)
    if action == "merge" and len(arguments) >= 2:
        return edit.merge(model, [_label(label) for label in arguments])
    if action == "split" and len(arguments) in (1, 2):
        parts = _label(arguments[1]) if len(arguments) == 2 else 2
        return edit.split(model, _label(arguments[0]), parts, seed=seed)
    if action == "move" and len(arguments) >= 2:
        item_id = Recommender(model).item_id
        return edit.move(model, [item_id(item) for item in arguments[1:]], _label(arguments[0]))
    raise InvalidParam(
        "edit takes: rename LABEL NAME, merge LABEL LABEL ..., split LABEL [PARTS], or move LABEL "
        "ID ..."
    )


def _label(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise InvalidParam(f"{text!r:.60} is not the number of a cluster")
    return int(text)
