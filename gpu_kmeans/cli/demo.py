"""The whole job on the bundled sample: fit, recommend, evaluate, draw."""

from __future__ import annotations

from pathlib import Path
from shlex import quote

from gpu_kmeans.backends.select import BackendSpec
from gpu_kmeans.cli import figures, progress, show, signals, staging, summary
from gpu_kmeans.cli.layout import commands, count, facts, heading
from gpu_kmeans.cli.output import Answer
from gpu_kmeans.errors import FileProblem

__all__ = ["QUERIES", "run"]

QUERIES = ("space alien invasion", "haunted house by the sea")
"""What the demo asks for."""

_MODEL, _FIGURES = "model", "figures"
_N_QUERIES = 2_000  # enough for a few hundred films


def run(folder: Path, backend: BackendSpec) -> Answer:
    """Do it all, and leave the model and the figures in ``folder``.

    Raises
    ------
    FileProblem
        ``folder`` holds something that no demo made, or cannot be written.
    """
    from gpu_kmeans import pipeline
    from gpu_kmeans.data import sample
    from gpu_kmeans.evaluate import evaluate
    from gpu_kmeans.recommend import Recommender

    _check_ours(folder)
    with staging.folder_at(folder) as aside, progress.shown("starting") as shown:
        model = pipeline.fit(
            *sample.paths(), backend=backend, callback=shown.callback, on_stage=shown.on_stage
        )
        shown.say("asking and judging")
        recommender = Recommender(model)
        answers = [recommender.recommend(query, limit=5) for query in QUERIES]
        judged = evaluate(model, n_queries=_N_QUERIES)
        shown.say("drawing")
        model.save(aside / _MODEL)
        (aside / _FIGURES).mkdir()
        figures.draw(model, list(judged.clusters), answers[0], aside / _FIGURES)
        signals.check()
    fitted = {"model": folder / _MODEL, **summary.of_fit(model)}
    data = {
        "folder": folder,
        "fit": fitted,
        "recommendations": [answer.to_dict() for answer in answers],
        "evaluation": judged.to_dict(),
        "figures": [folder / _FIGURES / name for name in figures.names(model, query=True)],
    }

    def text() -> str:
        place = quote(str(folder / _MODEL))
        return show.paragraphs(
            heading(f"{count(len(model.labels), 'invented film')} that come with the package"),
            show.fit(fitted),
            *(show.recommendation(answer) for answer in answers),
            show.reach(judged),
            heading("What to do next"),
            facts([("Look at", f"{folder / _FIGURES} (PNG and SVG)")])
            + "\n"
            + commands(
                "Try",
                [
                    f"gpu-kmeans recommend {place} dragons --rank relevance",
                    f"gpu-kmeans plot {place} --query dragons --out figures",
                    "gpu-kmeans fetch tmdb --out tmdb",
                    "gpu-kmeans fit MOVIES.csv CREDITS.csv --model DIR",
                ],
            ),
        )

    return Answer(data, text)


def _check_ours(folder: Path) -> None:
    staging.check_free(folder, overwrite=True)
    if folder.exists() and not {path.name for path in folder.iterdir()} <= {_MODEL, _FIGURES}:
        raise FileProblem(
            f"{folder} holds files that no demo made, and stays as it is: give another --out"
        )
