"""What each command does: options in, an :class:`~gpu_kmeans.cli.output.Answer` out."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from shlex import quote
from typing import Any

from gpu_kmeans.cli import (
    figures,
    layout,
    output,
    progress,
    questions,
    show,
    signals,
    staging,
    standard_input,
    summary,
    tables,
)
from gpu_kmeans.cli.fit_options import fit_options
from gpu_kmeans.cli.layout import count, facts, heading
from gpu_kmeans.cli.output import Answer
from gpu_kmeans.errors import FileProblem, InvalidParam, InvalidQuery

__all__ = ["run"]


def run(options: argparse.Namespace) -> Answer:
    """Run the command that was parsed."""
    return _COMMANDS[options.command](options)


def fit(options: argparse.Namespace) -> Answer:
    from gpu_kmeans import pipeline
    from gpu_kmeans.backends.select import connected

    _check_model_place(options.model, options.overwrite)
    arguments = fit_options(options)
    with (
        standard_input.as_file(options.movies) as movies,
        progress.shown("starting") as shown,
        connected(arguments.pop("backend"), options.scheduler) as backend,
    ):
        model = pipeline.fit(
            movies,
            options.credits,
            n_clusters=options.clusters,
            seed=options.seed,
            noise=options.noise,
            trim=options.trim,
            callback=shown.callback,
            on_stage=shown.on_stage,
            backend=backend,
            **arguments,
        )
        # All that can take its time comes before the model is in place.
        data = {"model": options.model, **summary.of_fit(model)}
        signals.check()
        _check_model_place(options.model, options.overwrite)  # again: minutes may have passed
        with staging.folder_at(options.model) as aside:
            model.save(aside, overwrite=True)
    return Answer(data, lambda: _fit_text(data))


def _fit_text(data: dict[str, Any]) -> str:
    n_found = data["n_clusters"] - data["n_empty"]
    title = f"{count(data['n_clustered'], 'item')} in {count(n_found, 'cluster')}"
    folder = str(data["model"])
    return show.paragraphs(
        heading(title),
        show.fit(data),
        facts([("Model", folder)])
        + "\n"
        + layout.commands(
            "Next",
            [f'gpu-kmeans recommend {quote(folder)} "a few keywords"']
            if data["n_terms"]
            else [f"gpu-kmeans profile {quote(folder)}", f"gpu-kmeans labels {quote(folder)}"],
        ),
    )


def look(options: argparse.Namespace) -> Answer:
    from gpu_kmeans.questions.look import look

    with standard_input.as_file(options.file) as path:
        seen = look(path, encoding=options.encoding, delimiter=options.delimiter)
    return Answer(seen.to_dict(), lambda: show.table_look(seen))


def recommend(options: argparse.Namespace) -> Answer:
    """Search all items; with ``--clusters`` or ``--rank article``, the nearest clusters alone."""
    from gpu_kmeans.index.filters import merge_conditions
    from gpu_kmeans.model import Model
    from gpu_kmeans.search import Searcher

    query = " ".join(options.query)
    if bool(options.query) + bool(options.like) > 1 or not (
        options.query or options.like or options.where
    ):
        raise InvalidParam(
            "recommend needs keywords, or the ids of items that others are to be like, or a "
            "condition: recommend DIR QUERY, recommend DIR --like ID, or recommend DIR --where "
            "COLUMN=VALUE"
        )
    if options.dislike and not options.like:
        raise InvalidParam("--dislike goes with --like: recommend DIR --like ID --dislike ID")
    if options.clusters is not None or options.rank == "article":
        return _recommend_in_clusters(options, query)
    searcher = Searcher(Model.load(options.model))
    filters = merge_conditions(options.where) or None
    if options.like:
        if options.rank is not None:
            raise InvalidParam("--rank goes with keywords: items like others rank by likeness")
        liked = [searcher.item_id(item) for item in options.like]
        disliked = [searcher.item_id(item) for item in options.dislike]
        found = searcher.like(
            liked, disliked, options.limit, filters=filters, diversity=options.diversity
        )
        data = {"like": liked, "dislike": disliked, **found.to_dict()}
        return Answer(data, lambda: show.alike(liked, disliked, found))
    found = searcher.search(
        query,
        options.limit,
        filters=filters,
        rank=options.rank or "best",
        diversity=options.diversity,
    )
    return Answer(found.to_dict(), lambda: show.search(found, options.rank or "best"))


def _recommend_in_clusters(options: argparse.Namespace, query: str) -> Answer:
    from gpu_kmeans.model import Model
    from gpu_kmeans.recommend import Recommender

    others = {
        "--like": options.like,
        "--where": options.where,
        "--diversity": options.diversity,
        "--rank best": options.rank == "best",
    }
    if wrong := [name for name, value in others.items() if value]:
        raise InvalidParam(
            f"{wrong[0]} searches all items: leave out --clusters and --rank article, or it"
        )
    answer = Recommender(Model.load(options.model)).recommend(
        query,
        limit=options.limit,
        rank="popularity" if options.rank == "article" else options.rank or "blend",
        clusters=options.clusters or 1,
    )
    return Answer(answer.to_dict(), lambda: show.recommendation(answer))


def profile(options: argparse.Namespace) -> Answer:
    from gpu_kmeans.model import Model
    from gpu_kmeans.model.profiles import profiles

    model = Model.load(options.model)
    clusters = profiles(model, n_reasons=options.reasons, n_typical=options.typical)
    data = {"clusters": [cluster.to_dict() for cluster in clusters]}
    return Answer(data, lambda: show.profiles(clusters))


def labels(options: argparse.Namespace) -> Answer:
    from gpu_kmeans.model import Model
    from gpu_kmeans.model.export import label_rows

    if options.out is not None:
        tables.check_free(options.out, options.overwrite)
    rows = label_rows(Model.load(options.model), columns=options.columns)
    return tables.answer(rows, options.out, options.overwrite)


def assign(options: argparse.Namespace) -> Answer:
    from gpu_kmeans.model import Model
    from gpu_kmeans.questions.assign import assign

    if options.out is not None:
        tables.check_free(options.out, options.overwrite)
    model = Model.load(options.model)
    with standard_input.as_file(options.file) as path, progress.shown("assigning"):
        assignment = assign(
            model,
            path,
            encoding=options.encoding,
            delimiter=options.delimiter,
            backend=options.backend,
        )
    for warning in assignment.warnings:
        output.write_error(f"note: {warning}\n")
    return tables.answer(assignment.rows(), options.out, options.overwrite)


def evaluate(options: argparse.Namespace) -> Answer:
    from gpu_kmeans.evaluate import evaluate
    from gpu_kmeans.model import Model

    model = Model.load(options.model)
    with progress.shown("judging the clusters and the recommendations"):
        judged = evaluate(
            model, seed=options.seed, n_queries=options.queries, labels=options.labels
        )
    return Answer(judged.to_dict(), lambda: show.evaluation(judged))


def plot(options: argparse.Namespace) -> Answer:
    from gpu_kmeans.model import Model
    from gpu_kmeans.recommend import Recommender, cluster_views

    model = Model.load(options.model)
    names = figures.names(model, options.query is not None)
    with staging.files_into(options.out, names, overwrite=options.overwrite) as aside:
        answer = None
        if options.query is not None:
            answer = Recommender(model).recommend(options.query, limit=options.limit)
            if not answer.items:
                raise InvalidQuery(f"nothing to draw for {options.query!r}: {answer.message}")
        with progress.shown("drawing"):
            figures.draw(model, cluster_views(model), answer, aside, dark=options.dark)
    paths = [options.out / name for name in names]
    return Answer({"files": paths}, lambda: show.files("Figures", paths))


def image(options: argparse.Namespace) -> Answer:
    from gpu_kmeans.cli import image

    return image.run(options)


def fetch(options: argparse.Namespace) -> Answer:
    from gpu_kmeans.data.fetch import FILES, fetch_tmdb

    # What a download library prints belongs to the progress, not to the result.
    with redirect_stdout(sys.stderr):
        folder = fetch_tmdb(options.out)
    paths = [folder / name for name in FILES]
    following = " ".join(["gpu-kmeans fit", *(quote(str(path)) for path in paths)])
    return Answer(
        {"folder": folder, "files": paths},
        lambda: show.paragraphs(
            show.files("Files", paths), layout.commands("Next", [following + " --model tmdb-model"])
        ),
    )


def doctor(options: argparse.Namespace) -> Answer:
    from gpu_kmeans.backends.doctor import diagnose

    diagnosis = diagnose()
    return Answer(diagnosis.to_dict(), lambda: show.diagnosis(diagnosis))


def serve(options: argparse.Namespace) -> Answer:
    from gpu_kmeans.cli import service

    return service.serve(options)


def config(options: argparse.Namespace) -> Answer:
    from gpu_kmeans.cli import service

    return service.config(options)


def key(options: argparse.Namespace) -> Answer:
    from gpu_kmeans.cli import service

    return service.key(options)


def recover(options: argparse.Namespace) -> Answer:
    from gpu_kmeans.cli import service

    return service.recover(options)


def restore(options: argparse.Namespace) -> Answer:
    from gpu_kmeans.cli import service

    return service.restore(options)


def demo(options: argparse.Namespace) -> Answer:
    from gpu_kmeans.cli import demo

    return demo.run(options.out, options.backend)


def _check_model_place(folder: Path, overwrite: bool) -> None:
    """Find out before the long work whether the model can be put there."""
    from gpu_kmeans.model.storage import MANIFEST

    staging.check_free(folder, overwrite=overwrite)
    if folder.exists() and any(folder.iterdir()) and not (folder / MANIFEST).exists():
        raise FileProblem(f"{folder} is a folder without a model in it: give another name")


_COMMANDS: dict[str, Callable[[argparse.Namespace], Answer]] = {
    "demo": demo,
    "look": look,
    "fit": fit,
    "profile": profile,
    "labels": labels,
    "assign": assign,
    "recommend": recommend,
    "choose-k": questions.choose_k,
    "levels": questions.levels,
    "neighbors": questions.neighbors,
    "outliers": questions.outliers,
    "compare": questions.compare,
    "drift": questions.drift,
    "edit": questions.edit,
    "update": questions.update,
    "evaluate": evaluate,
    "plot": plot,
    "image": image,
    "fetch": fetch,
    "serve": serve,
    "config": config,
    "key": key,
    "recover": recover,
    "restore": restore,
    "doctor": doctor,
}
