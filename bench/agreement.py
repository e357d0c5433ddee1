"""How far clusters agree with labels that people gave, by rows, algorithm and number of clusters.

``python -m bench agreement --wheels WHEELS`` clusters every data set of :mod:`bench.labelled` that
is present, in every representation, with this package and with scikit-learn, from several seeds,
and writes records (``agreement.json``), a table (``agreement.md``) and a figure
(``agreement.png``). Algorithms are given the same rows. What ``gpu_kmeans.fit`` makes of the same
file with its defaults is judged beside them: it is what these were chosen by.

V-measure and the adjusted Rand and mutual information indices are scikit-learn's. Purity is the
share of items whose label is their cluster's most frequent one; it grows with the number of
clusters. Items without a known term are left out.
"""

from __future__ import annotations

import csv
import json
import statistics
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.contestants.base import CannotRun
from bench.labelled import DATASETS, Labelled
from bench.measure import machine

__all__ = ["ALGORITHMS", "PLAIN", "draw", "measure", "scores", "table", "write_agreement"]

SEEDS = (0, 1, 2)
SCORES = ("v_measure", "ari", "ami", "purity", "largest")
WIDTHS = (50, 100)
"""Numbers of directions that texts are projected onto."""
DEFAULT = ("the file", "gpu_kmeans.fit, defaults")
"""Representation and algorithm under which whole fits are recorded."""
PLAIN = ("scikit-learn KMeans", "scikit-learn KMeans, n_init=10", "gpu_kmeans hartigan")
COMPARED = (
    ("TF-IDF", PLAIN[0], "#d55e00", "o", "scikit-learn, one start"),
    ("TF-IDF", PLAIN[1], "#e69f00", "D", "scikit-learn, ten starts"),
    ("TF-IDF", PLAIN[2], "#56b4e9", "v", "hartigan, same rows"),
    (*DEFAULT, "#0072b2", "s", "gpu_kmeans.fit, defaults"),
)
"""What the figure compares: plain rows are those of a matrix as they are."""


def scores(labels: Any, clusters: Any) -> dict[str, float]:
    """Compare clusters with labels: agreement, purity, and the share of the largest cluster."""
    from sklearn import metrics

    pairs = metrics.cluster.contingency_matrix(labels, clusters)
    values = {
        "v_measure": metrics.v_measure_score(labels, clusters),
        "ari": metrics.adjusted_rand_score(labels, clusters),
        "ami": metrics.adjusted_mutual_info_score(labels, clusters),
        "purity": pairs.max(axis=0).sum() / pairs.sum(),
        "largest": pairs.sum(axis=0).max() / pairs.sum(),
    }
    return {name: round(float(value), 4) for name, value in values.items()}


# -- who clusters ------------------------------------------------------------------------------


def _sklearn(name: str, **options: Any) -> Callable[[Any, int, int], NDArray[Any]]:
    def cluster(rows: Any, k: int, seed: int) -> NDArray[Any]:
        from sklearn import cluster as library

        estimator = getattr(library, name)(k, random_state=seed, **options)
        labels: NDArray[Any] = estimator.fit(rows).labels_
        return labels

    return cluster


def _ours(algorithm: str) -> Callable[[Any, int, int], NDArray[Any]]:
    def cluster(rows: Any, k: int, seed: int) -> NDArray[Any]:
        from gpu_kmeans import resolve
        from gpu_kmeans.clustering.base import clusterer

        fitted = clusterer(algorithm, n_clusters=k, max_iter=300, seed=seed)
        return fitted.fit(rows, resolve("cpu")).labels

    return cluster


ALGORITHMS: dict[str, Callable[[Any, int, int], NDArray[Any]]] = {
    PLAIN[0]: _sklearn("KMeans", n_init=1),
    PLAIN[1]: _sklearn("KMeans", n_init=10),
    "scikit-learn MiniBatchKMeans": _sklearn("MiniBatchKMeans", n_init=1),
    "scikit-learn BisectingKMeans": _sklearn("BisectingKMeans"),
    PLAIN[2]: _ours("hartigan"),
    "gpu_kmeans spherical": _ours("spherical"),
}


# -- what is clustered -------------------------------------------------------------------------


class _Rows(NamedTuple):
    name: str
    rows: Callable[[int], Any]
    """Rows for a seed, which draws the directions of a reduction."""
    has_terms: NDArray[np.bool_]


def representations(kind: str, items: Any) -> Iterator[_Rows]:
    """Yield the ways in which items become rows, the plain one first."""
    from gpu_kmeans import RandomizedSVD, TfidfVectorizer, resolve

    def reduced(rows: Any, width: int) -> Callable[[int], Any]:
        def project(seed: int) -> Any:
            svd = RandomizedSVD(
                min(width, *rows.shape),
                normalize=kind == "texts",
                random_state=seed,
                backend="cpu",
            )
            return svd.fit_transform(rows)

        return project

    if kind == "matrix":
        yield _Rows("as they are", lambda seed: items, np.ones(len(items), dtype=np.bool_))
        yield _Rows("PCA to 50", reduced(items, 50), np.ones(len(items), dtype=np.bool_))
        return
    for title, weighting in (("TF-IDF", "tfidf"), ("BM25", "bm25")):
        vectorizer = TfidfVectorizer(stop_words="english", weighting=weighting, backend="cpu")
        weights = resolve("cpu").to_host(vectorizer.fit_transform(items))
        has_terms = np.diff(weights.indptr) > 0
        rows = weights[has_terms]
        yield _Rows(title, lambda seed, rows=rows: rows, has_terms)  # type: ignore[misc]
        if weighting == "bm25":
            for width in WIDTHS:
                yield _Rows(f"{title}, SVD to {width}", reduced(rows, width), has_terms)


def whole_fit(kind: str, items: Any, k: int, seed: int) -> NDArray[np.int32]:
    """Return the labels of ``gpu_kmeans.fit`` with its defaults on a file of the items."""
    from gpu_kmeans import fit

    with tempfile.TemporaryDirectory() as folder:
        if kind == "matrix":
            file, columns = Path(folder) / "rows.npy", None
            np.save(file, items)
        else:
            file, columns = Path(folder) / "texts.csv", {"text": "text"}
            with file.open("w", encoding="utf-8", newline="") as out:
                csv.writer(out).writerows([["text"], *([text] for text in items)])
        return fit(file, n_clusters=k, seed=seed, columns=columns, backend="cpu").labels


# -- measuring ---------------------------------------------------------------------------------


def measure(
    datasets: dict[str, Labelled],
    wheels: Path | None = None,
    seeds: Sequence[int] = SEEDS,
    algorithms: Sequence[str] = tuple(ALGORITHMS),
) -> Iterator[dict[str, Any]]:
    """Cluster everything from every seed; after each data set, yield all that is measured so far.

    That is the machine, the seeds, the records, and why data sets were skipped.
    """
    records: list[dict[str, Any]] = []
    skipped: dict[str, str] = {}
    host = machine()
    for name, dataset in datasets.items():
        try:
            items, labels = dataset.load(wheels)
        except CannotRun as reason:
            skipped[name] = str(reason)
            print(f"{name}: skipped, {reason}", file=sys.stderr)
        else:
            print(f"{name}: {len(labels)} items", file=sys.stderr)
            records += _of(name, dataset, items, labels, seeds, algorithms)
        yield {"machine": host, "seeds": list(seeds), "skipped": skipped, "records": records}


def _of(
    name: str,
    dataset: Labelled,
    items: Any,
    labels: NDArray[Any],
    seeds: Sequence[int],
    algorithms: Sequence[str],
) -> list[dict[str, Any]]:
    n_labels = len(np.unique(labels))
    counts = (n_labels, 2 * n_labels) if dataset.finer else (n_labels,)
    records: list[dict[str, Any]] = []

    def judge(about: tuple[str, str], shape: Sequence[int], k: int, clusters: Any) -> None:
        known = [made >= 0 for made in clusters]
        truth = [labels[has] for has in known]
        judged = [scores(t, made[has]) for t, made, has in zip(truth, clusters, known, strict=True)]
        records.append(
            {
                "dataset": name,
                "rows": int(shape[0]),
                "features": int(shape[1]),
                "n_labels": n_labels,
                "representation": about[0],
                "algorithm": about[1],
                "k": k,
                **{score: [one[score] for one in judged] for score in SCORES},
            }
        )

    shape = (len(labels), 0)
    for representation in representations(dataset.kind, items):
        has_terms = representation.has_terms
        rows = [representation.rows(seed) for seed in seeds]
        shape = rows[0].shape
        for k in counts:
            for algorithm in algorithms:
                clusters = []
                for seed, matrix in zip(seeds, rows, strict=True):
                    everyone = np.full(len(labels), -1)
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore")  # of fewer clusters than asked for
                        everyone[has_terms] = ALGORITHMS[algorithm](matrix, k, seed)
                    clusters.append(everyone)
                judge((representation.name, algorithm), shape, k, clusters)
    for k in counts:
        clusters = [whole_fit(dataset.kind, items, k, seed) for seed in seeds]
        judge(DEFAULT, (int((clusters[0] >= 0).sum()), 0), k, clusters)
    return records


# -- telling -----------------------------------------------------------------------------------


def table(measured: dict[str, Any]) -> str:
    """Return the report: a Markdown table for each data set and number of clusters."""
    host = measured["machine"]
    versions = host["versions"]
    lines = [
        "# Agreement with labels",
        "",
        "From `python -m bench agreement`: medians over seeds "
        f"{', '.join(map(str, measured['seeds']))}; in brackets the smallest and the largest "
        "V-measure. "
        f"{host['processor']}, {host['cores']} cores; NumPy {versions.get('numpy', '?')}, "
        f"scikit-learn {versions.get('scikit-learn', '?')}.",
        "",
        "![V-measure by data set](agreement.png)",
    ]
    groups = dict.fromkeys((record["dataset"], record["k"]) for record in measured["records"])
    for dataset, k in groups:
        mine = [r for r in measured["records"] if (r["dataset"], r["k"]) == (dataset, k)]
        lines += [
            "",
            f"## {DATASETS[dataset].title if dataset in DATASETS else dataset}, k = {k}",
            "",
            f"{mine[0]['rows']:,} items, {mine[0]['n_labels']} labels.",
            "",
            "| rows | algorithm | V-measure | ARI | AMI | purity | largest cluster |",
            "|---|---|---|---|---|---|---|",
        ]
        for record in sorted(mine, key=lambda r: -statistics.median(r["v_measure"])):
            middle = {score: statistics.median(record[score]) for score in SCORES}
            spread = f"{min(record['v_measure']):.3f} - {max(record['v_measure']):.3f}"
            name = record["algorithm"]
            lines.append(
                f"| {record['representation']} | {f'**{name}**' if name == DEFAULT[1] else name} | "
                f"{middle['v_measure']:.3f} ({spread}) | {middle['ari']:.3f} | "
                f"{middle['ami']:.3f} | {middle['purity']:.3f} | {middle['largest']:.0%} |"
            )
    if measured["skipped"]:
        lines += ["", "Skipped:", ""]
        lines += [f"- {name}: {reason}" for name, reason in measured["skipped"].items()]
    return "\n".join(lines) + "\n"


def draw(measured: dict[str, Any]) -> Any:
    """Return a figure: V-measure of plain recipes and of the defaults, a line a data set."""
    from bench.figures import ROW
    from gpu_kmeans.plots.card import HEADER, add_axes, card

    groups = list(dict.fromkeys((r["dataset"], r["k"]) for r in measured["records"]))
    height = HEADER + 1.5 * ROW * len(groups) + 1.3
    figure = card(
        height,
        "Agreement with labels",
        "V-measure: median and extremes over seeds; 1 is perfect. Plain rows are TF-IDF, or a "
        "matrix as it is",
    )
    axes = add_axes(figure, 2.0, right=0.4, top=HEADER + 0.1, bottom=1.0)
    for representation, algorithm, color, marker, label in COMPARED:
        plain = (representation, "as they are") if representation == "TF-IDF" else (representation,)
        for at, group in enumerate(groups):
            for record in measured["records"]:
                if (record["dataset"], record["k"]) != group or record["algorithm"] != algorithm:
                    continue
                if record["representation"] in plain:
                    values = record["v_measure"]
                    middle = statistics.median(values)
                    axes.plot([min(values), max(values)], [at, at], color=color, linewidth=1)
                    axes.plot(
                        [middle],
                        [at],
                        color=color,
                        marker=marker,
                        linestyle="none",
                        label=label if at == 0 else None,
                    )
    axes.set_yticks(range(len(groups)), [f"{dataset}, k = {k}" for dataset, k in groups])
    axes.set_ylim(len(groups) - 0.5, -0.5)
    axes.set_xlim(0, 1)
    axes.legend(
        loc="upper center", bbox_to_anchor=(0.4, -1.1 * ROW / (height - HEADER - 1.1)), ncols=2
    )
    return figure


def write_agreement(measured: dict[str, Any], folder: Path) -> Path:
    """Write records, table and figure into a folder; return the table's file."""
    from gpu_kmeans.plots import save

    records = measured.pop("records")
    head = json.dumps(measured, indent=1)[:-2]
    body = ",\n".join(json.dumps(record) for record in records)
    measured["records"] = records
    (folder / "agreement.json").write_text(f'{head},\n "records": [\n{body}\n]}}\n', "utf-8")
    save(draw(measured), folder / "agreement.png")
    report = folder / "agreement.md"
    report.write_text(table(measured), encoding="utf-8")
    return report
