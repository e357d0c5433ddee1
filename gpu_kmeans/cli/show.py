"""Results as text for people, for 80 columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpu_kmeans.cli.layout import count, cut, facts, heading, printable, table

if TYPE_CHECKING:
    from gpu_kmeans.backends.doctor import Diagnosis
    from gpu_kmeans.evaluate import Evaluation
    from gpu_kmeans.features.base import Reason
    from gpu_kmeans.model.profiles import Profile
    from gpu_kmeans.questions.look import TableLook
    from gpu_kmeans.recommend import Recommendation
    from gpu_kmeans.search import FoundItem, SearchResult

__all__ = [
    "alike",
    "clusters",
    "diagnosis",
    "evaluation",
    "files",
    "fit",
    "paragraphs",
    "profiles",
    "reach",
    "recommendation",
    "search",
    "table_look",
]


def paragraphs(*parts: str) -> str:
    """Join the parts that are not empty, an empty line between."""
    return "\n\n".join(part for part in parts if part)


def fit(data: dict[str, Any]) -> str:
    """Show what a fit read, did and found; ``data`` is what ``fit --json`` prints."""
    seconds = data["seconds"]
    lines = [
        ("Read", _read(data)),
        ("Backend", f"{data['backend']} ({data['backend_reason']})"),
        (
            "Matrix",
            _matrix(data),
        ),
        ("Inertia", _inertia(data)),
        (
            "Time",
            f"{seconds['total']:.2f} s: "
            + ", ".join(f"{stage} {s:.2f}" for stage, s in seconds.items() if stage != "total")
            + f" ({count(data['n_iter'], 'iteration')})",
        ),
        *(("Warning", warning) for warning in data["warnings"]),
    ]
    return paragraphs(
        facts(lines), clusters(data["clusters"], data["n_clustered"], texts=data["n_terms"] > 0)
    )


def table_look(seen: TableLook) -> str:
    """Show what a file of a table holds."""
    kind = {"csv": "CSV", "jsonl": "JSON", "parquet": "Parquet", "xlsx": "Excel"}[seen.format]
    parts = [kind + (", packed with gzip" if seen.packed else "")]
    if seen.delimiter:
        sign = "tab" if seen.delimiter == "\t" else repr(seen.delimiter)
        parts.append(f"cells separated by {sign}")
    if seen.encoding:
        parts.append(seen.encoding)
    lines = [
        ("Format", ", ".join(parts)),
        ("Rows", f"{seen.n_rows:,}"),
        *_clustered_columns(seen),
        *(("Problem", problem) for problem in seen.problems),
    ]
    examples = list(zip(*seen.rows, strict=True))
    columns = [
        (
            column.role,
            f"{column.missing:,}",
            f"{column.distinct:,}",
            column.column[:30],
            " | ".join(cell for cell in cells[:3] if cell),
        )
        for column, cells in zip(seen.columns, examples, strict=True)
    ]
    return paragraphs(
        heading(seen.file),
        facts(lines),
        table(("role", "missing", "distinct", "column", "first cells"), columns, left=(0, 3, 4)),
        "\n\n".join(_row(seen, row) for row in seen.rows),
    )


def _clustered_columns(seen: TableLook) -> list[tuple[str, str]]:
    """Say what a fit without options would cluster."""
    titles = {"text": "Text", "numbers": "Numbers", "categories": "Groups", "matrix": "Matrix"}
    if not seen.clustered:
        return [("Text", "none that is certain: name it with --text")]
    return [(titles[kind], ", ".join(columns)) for kind, columns in seen.clustered.items()]


def _row(seen: TableLook, row: Sequence[str]) -> str:
    """Show a row: its columns one under the other."""
    names = [column.column[:20] for column in seen.columns]
    return facts([pair for pair in zip(names, row, strict=True) if pair[1]] or [("", "")])


def clusters(each: Iterable[dict[str, Any]], n_clustered: int, *, texts: bool = True) -> str:
    """Show the clusters, largest first."""
    largest_first = sorted(each, key=lambda cluster: -cluster["size"])
    return table(
        ("cluster", "items", "share", "top terms" if texts else "what sets it apart"),
        [
            (
                str(cluster["label"]),
                f"{cluster['size']:,}",
                f"{cluster['size'] / max(1, n_clustered):.1%}",
                ", ".join(cluster["top_terms"]),
            )
            for cluster in largest_first
        ],
    )


def profiles(shown: Sequence[Profile]) -> str:
    """Show what sets each cluster apart, largest first."""
    return "\n\n".join(
        _profile(profile) for profile in sorted(shown, key=lambda profile: -profile.size)
    )


def _profile(profile: Profile) -> str:
    size = f"{count(profile.size, 'item')}, {profile.share:.1%}"
    title = f"Cluster {profile.label}, {profile.name}: {size}"
    kinds = {kind: [r for r in profile.reasons if r.kind == kind] for kind in _REASON_TITLES}
    terms = [reason.name for kind in ("term", "feature") for reason in kinds[kind]]
    lines = [("Terms" if kinds["term"] else "Features", ", ".join(terms))] if terms else []
    typical = "; ".join(f"{item}" if name is None else name for item, name in profile.typical)
    lines += [("Typical", typical)] if typical else []
    return paragraphs(
        heading(title),
        facts(lines) if lines else "",
        _numbers(kinds["number"]),
        _categories(kinds["category"]),
    )


_REASON_TITLES = ("term", "number", "category", "feature")


def _numbers(reasons: Sequence[Reason]) -> str:
    rows = [
        (
            f"{reason.mean:,.6g}",
            "-" if reason.median is None else f"{reason.median:,.6g}",
            f"{reason.overall:,.6g}",
            f"{reason.deviation:+.2f}",
            reason.name,
        )
        for reason in reasons
    ]
    return table(("mean", "median", "mean of all", "deviation", "number"), rows) if rows else ""


def _categories(reasons: Sequence[Reason]) -> str:
    rows = [
        (
            f"{reason.mean:.1%}",
            f"{reason.overall:.1%}",
            f"{reason.deviation:+.2f}",
            f"{reason.column}: {reason.name}",
        )
        for reason in reasons
    ]
    return table(("share", "of all", "deviation", "category"), rows) if rows else ""


def search(found: SearchResult, rank: str) -> str:
    """Show the items that a search found, and why."""
    if not found.items:
        return paragraphs(
            heading(f"Nothing for: {found.query}" if found.query else "Nothing passes"),
            facts([("Because", found.message or "no item matches")]),
        )
    return paragraphs(
        heading(f"For: {found.query}" if found.query else "Items that pass"),
        facts(_hits(found)),
        table(
            ("", "score", "popularity", "title", "matches"),
            [
                (
                    str(item.rank),
                    f"{item.score:.3f}",
                    _number(item.popularity),
                    _title(item),
                    _matched(item.reasons),
                )
                for item in found.items
            ],
            left=(3, 4),
        ),
        facts([("Score", _SCORES[rank])]) if found.query else "",
    )


_SCORES = {
    "best": "0.75 x words that match, rare ones and titles most + 0.20 x cosine of the texts + "
    "0.05 x fame (share of items less popular), each beside the best",
    "blend": "0.75 x words that match, beside the best + 0.25 x fame (share of items less popular)",
    "relevance": "words that match, rare ones and titles most",
    "popularity": "fame (share of items less popular)",
}


def alike(liked: Sequence[int | str], disliked: Sequence[int | str], found: SearchResult) -> str:
    """Show the items that are like some and unlike others."""
    names = ", ".join(map(str, liked))
    names += f", unlike {', '.join(map(str, disliked))}" if disliked else ""
    if not found.items:
        return paragraphs(heading(f"Nothing like {names}"))
    return paragraphs(
        heading(f"Like {names}"),
        facts(_hits(found)),
        table(
            ("", "likeness", "cluster", "id", "title", "shared"),
            [
                (
                    str(item.rank),
                    f"{item.score:.3f}",
                    str(item.label),
                    str(item.id),
                    _title(item),
                    ", ".join(term for terms in item.reasons.values() for term in terms),
                )
                for item in found.items
            ],
            left=(4, 5),
        ),
    )


MOST_FACETS = 4
"""Number of clusters whose hits are shown."""
TITLE_CELLS = 32
"""Number of terminal columns of a title that stands before another column."""


def _hits(found: SearchResult) -> list[tuple[str, str]]:
    """Say how many items match, in which clusters, and what the reader should know."""
    facets = [f"{facet.hits:,} in {facet.name}" for facet in found.facets[:MOST_FACETS]]
    more = len(found.facets) - len(facets)
    lines = [("Found", count(found.total, "item"))]
    lines.append(("Clusters", "; ".join(facets) + (f"; {more} more" if more else "")))
    return [*lines, ("Note", found.message)] if found.message else lines


def _title(item: FoundItem) -> str:
    return cut(printable(str(item.id) if item.title is None else item.title), TITLE_CELLS)


def _matched(reasons: dict[str, list[str]]) -> str:
    return "; ".join(f"{name}: {', '.join(words)}" for name, words in reasons.items())


def recommendation(answer: Recommendation) -> str:
    """Show ranked items and how their scores come about."""
    if answer.cluster is None:
        return paragraphs(
            heading(f"Nothing for: {answer.query}"), facts([("Because", answer.message or "")])
        )
    cluster = answer.cluster
    lines = [
        ("Terms", ", ".join(answer.terms)),
        (
            "Cluster",
            f"{cluster.label}, {count(cluster.size, 'item')}: {', '.join(cluster.top_terms)}",
        ),
    ]
    if answer.message:
        lines.append(("Note", answer.message))
    return paragraphs(
        heading(f"For: {answer.query}"),
        facts(lines),
        table(
            ("", "score", "relevance", "fame", "popularity", "vote", "title"),
            [
                (
                    str(rank),
                    f"{item.score:.3f}",
                    f"{item.parts['relevance']:.3f}",
                    f"{item.parts['fame']:.3f}",
                    _number(item.popularity),
                    _number(item.vote_average),
                    str(item.id) if item.title is None else item.title,
                )
                for rank, item in enumerate(answer.items, start=1)
            ],
        ),
        _score_rule(answer),
    )


def evaluation(judged: Evaluation) -> str:
    """Show how good the clusters and the recommendations are."""
    data = judged.to_dict()
    silhouette = judged.silhouette
    lines = [
        ("Items", _clustered(data)),
        ("Inertia", _inertia(data)),
        (
            "Clusters",
            f"{_occupied(judged.n_clusters, judged.n_empty)}; "
            f"the largest holds {judged.largest_share:.1%}",
        ),
    ]
    if silhouette is not None:
        lines.append(
            (
                "Separation",
                f"mean silhouette {silhouette.value:.4f} ({silhouette.metric}, "
                f"{count(silhouette.n_sampled, 'item')} sampled)",
            )
        )
    lines += _steadiness(judged)
    return paragraphs(
        heading("Clusters"),
        facts(lines),
        clusters(data["clusters"], judged.n_clustered, texts=judged.reach is not None),
        reach(judged),
    )


def _steadiness(judged: Evaluation) -> list[tuple[str, str]]:
    """Say whether the clusters come back, which hold together badly, and what labels say."""
    lines = []
    if (stability := judged.stability) is not None:
        occupied = [c.label for c in judged.clusters if c.size]
        worst = min(occupied, key=lambda label: stability.clusters[label])
        lines.append(
            (
                "Stability",
                f"{stability.value:.2f}: agreement of fits of other draws of the items (1: always "
                f"the same clusters); the least steady is {_named(judged, worst)}, "
                f"{stability.clusters[worst]:.0%} of which come back",
            )
        )
    junk = ", ".join(_named(judged, label) for label in judged.junk_clusters)
    lines.append(("Junk", junk or "none: every cluster holds together"))
    if (agreement := judged.agreement) is not None:
        compared = f"{count(agreement.n_compared, 'item')}, {count(agreement.n_labels, 'label')}"
        lines.append(
            (
                "Labels",
                f"V-measure {agreement.v_measure:.3f}, adjusted Rand index "
                f"{agreement.adjusted_rand:.3f}, purity {agreement.purity:.1%} ({compared})",
            )
        )
    return lines


def _named(judged: Evaluation, label: int) -> str:
    return f"{label} ({judged.names[label]})"


def reach(judged: Evaluation) -> str:
    """Show how many different items each ranking shows to many queries."""
    counts = judged.reach
    if counts is None:
        return ""
    shown = [(rank, "nearest cluster", number) for rank, number in counts.nearest_cluster.items()]
    shown += [(rank, "all items", number) for rank, number in counts.whole_catalogue.items()]
    return paragraphs(
        heading(
            f"Different items in the top {counts.limit} of {counts.n_queries:,} random queries"
        ),
        table(
            ("items", "of all", "ranking", "drawn from"),
            [
                (f"{number:,}", f"{number / max(1, judged.n_items):.1%}", rank, source)
                for rank, source, number in shown
            ],
            left=(2, 3),
        ),
    )


def diagnosis(state: Diagnosis) -> str:
    """Show what can run here."""
    lines = [
        ("Machine", state.platform),
        ("Cores", f"{state.usable_cores} usable of {state.cores}"),
    ]
    if state.memory_bytes is not None:
        free = (
            "" if state.free_memory_bytes is None else f"{_gib(state.free_memory_bytes)} free of "
        )
        lines.append(("Memory", free + _gib(state.memory_bytes)))
    driver = f"{state.driver} supports CUDA {state.cuda}".strip() if state.cuda else "none"
    lines.append(("NVIDIA driver", driver))
    if state.device is not None:
        memory = f"{_gib(state.device.free_memory_bytes)} free of {_gib(state.device.memory_bytes)}"
        capability = "{}.{}".format(*state.device.capability)
        lines.append(("GPU", f"{state.device.name}, compute capability {capability}, {memory}"))
    if state.accelerators:
        lines.append(("Active", f"{', '.join(state.accelerators)}: what they serve is no CPU"))
    return paragraphs(
        heading("Backends"),
        facts(
            (backend.name, f"{'can run' if backend.can_run else 'cannot run'}: {backend.reason}")
            for backend in state.backends
        )
        + "\n"
        + facts([("auto", f"takes {state.auto}" if state.auto else "finds nothing that can run")]),
        heading("Machine"),
        facts(lines),
        heading("Versions"),
        facts(state.versions.items()),
    )


def files(title: str, paths: Sequence[Path]) -> str:
    """Show a list of files."""
    return "\n".join([heading(title), *(f"  {printable(str(path))}" for path in paths)])


def _read(data: dict[str, Any]) -> str:
    """Say what the catalogue's warnings do not say already."""
    report = data["catalogue"]
    parts = [f"{count(report['rows'], 'item')}, {_unclustered(data)}"]
    if report["filled"]:
        filled = ", ".join(f"{name} {number:,}" for name, number in report["filled"].items())
        parts.append(f"empty cells: {filled}")
    if report["absent"] and data["n_terms"] and not report.get("proposed"):
        parts.append(f"columns not in the files: {', '.join(report['absent'])}")
    if report["left_out"]:
        parts.append(f"columns left out: {', '.join(report['left_out'])}")
    if report["ignored"]:
        parts.append(f"{count(report['ignored'], 'column')} without a name of their own ignored")
    if report["credits"]:
        parts.append(f"credits of {count(report['credits']['matched'], 'item')}")
    return "; ".join(parts)


def _matrix(data: dict[str, Any]) -> str:
    items, terms, features = data["n_items"], data["n_terms"], data["n_features"]
    kind = "terms" if terms == features else "features"
    dense = data["nnz"] == items * features
    parts = [f"{items:,} items x {features:,} {kind}"]
    parts += [] if dense else [f"{data['nnz']:,} non-zeros"]
    parts += [f"reduced to {data['reduced']:,} directions"] if data["reduced"] else []
    return ", ".join(parts)


def _clustered(data: dict[str, Any]) -> str:
    return f"{data['n_items']:,}; {data['n_clustered']:,} in a cluster, {_unclustered(data)}"


_REASONS = {
    "no_text": "without a text",
    "no_known_term": "without a known term",
    "set_apart": "set apart",
}


def _unclustered(data: dict[str, Any]) -> str:
    """Say how many items are in no cluster, and why."""
    reasons = ", ".join(f"{n:,} {_REASONS[reason]}" for reason, n in data["unclustered"].items())
    total = f"{sum(data['unclustered'].values()):,} in none"
    return f"{total} ({reasons})" if reasons else total


def _occupied(n_clusters: int, n_empty: int) -> str:
    """Say how many clusters there are, and how many of them have items where not all do."""
    if not n_empty:
        return f"{n_clusters:,}"
    occupied = n_clusters - n_empty
    return (
        f"{occupied:,} of {count(n_clusters, 'cluster')} {'has' if occupied == 1 else 'have'} items"
    )


def _inertia(data: dict[str, Any]) -> str:
    return (
        f"{data['inertia']:,.2f}; one single cluster has {data['inertia_one_cluster']:,.2f}, "
        f"so {data['explained']:.2%} is explained"
    )


def _score_rule(answer: Recommendation) -> str:
    """Explain the score with the weights that were used."""
    if not answer.items:
        return ""
    relevance = answer.items[0].parts["relevance_weight"]
    fame = max(item.parts["fame_weight"] for item in answer.items)
    parts = []
    if relevance:
        parts.append(f"{relevance:.2f} x relevance (cosine to the query)")
    if fame:
        parts.append(f"{fame:.2f} x fame (share of items less popular)")
    return facts([("Score", " + ".join(parts))]) if parts else ""


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"
