"""Records to a page of Markdown with figures beside it: what was measured, and what was not.

Every table belongs to one case and puts this package's CPU backend in the place of 1. Who looks at
a part of the rows only, stops early or starts elsewhere is named before the first table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from bench.cases import QUESTIONS
from bench.contestants import CONTESTANTS, OURS, REFERENCE
from bench.growth import SERIES, fitted, points
from bench.measure import spread
from bench.questions import DIFFERENCE
from bench.records import Record
from bench.targets import FACTORS

__all__ = ["describe", "table", "title_of", "write_report"]

DIFFERENT = 1e-4
"""Relative difference of inertias above which a table marks them as different."""

HEADINGS = {
    "iteration": "Seconds an iteration",
    "convergence": "Inertia at convergence",
    "target": "Seconds to a target inertia",
    "text": "Text to TF-IDF",
    "article": "From CSV files to labels and ten titles",
    "queries": "Queries",
}
MEANINGS = {
    "iteration": "One start for all (means of rows drawn with a seed), one number of iterations. "
    "A fit of that length less a fit of one iteration, by the iterations between. Inertia is "
    "recomputed from the labels of the longer fit.",
    "convergence": "Each library's own start and stopping rule, one start a seed. Inertia is "
    "recomputed from the labels in float64.",
    "target": "From cold, the start included; targets are multiples of the best inertia known in "
    f"these records, and the best of all starts of {CONTESTANTS[REFERENCE].title}. Seeds are tried "
    "in order, those that miss the target count in full, and of the first that reaches it "
    "counts the shortest fit that does.",
    "text": "The same texts, English stop words, float32; compared with scikit-learn's matrix.",
    "article": "A fresh process each time, imports included: read two CSV files, join, TF-IDF, ten "
    "clusters (scikit-learn: ten starts), ten titles for a query.",
    "queries": "Ten titles for two or three words. `gpu_kmeans` looks into the nearest cluster, "
    "scikit-learn's cosines rank all rows.",
}


def write_report(records: list[Record], folder: Path) -> Path:
    """Write ``report.md`` and its figures into a folder; return the page's path.

    Raises
    ------
    ValueError
        There are no records.
    """
    from bench.figures import draw

    if not records:
        raise ValueError("there are no records to report")
    folder.mkdir(parents=True, exist_ok=True)
    drawn = draw(records, folder)
    parts = ["# Benchmark\n", _machines(records), _contestants(records)]
    for question in QUESTIONS:
        parts += _section(question, records, drawn)
    parts += [_growth(records, drawn), _missing(records)]
    page = folder / "report.md"
    page.write_text("\n".join(part for part in parts if part), encoding="utf-8")
    return page


def describe(record: Record) -> str:
    """Describe a clustering case: its corpus, shape and number of clusters."""
    about = record["corpus"]
    kind = f"{about['nonzeros']:,} non-zeros" if about["sparse"] else "dense"
    return (
        f"{about['name']}: {about['rows']:,} x {about['features']:,}, {kind}, k = {record['k']:,}"
    )


def title_of(record: Record) -> str:
    """Name a contestant as it is shown."""
    name = record["contestant"]
    return CONTESTANTS[name].title if name in CONTESTANTS else str(name)


def table(header: list[str], rows: Iterable[list[str]], texts: int = 1) -> str:
    """Lay cells out as Markdown; all but the first few columns to the right."""
    lines = [header, ["---"] * texts + ["---:"] * (len(header) - texts), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


# -- before the tables -------------------------------------------------------------------


def _machines(records: list[Record]) -> str:
    threads_by_machine: dict[str, list[int]] = {}
    for record in records:
        if record["status"] == "skipped":
            continue
        machine = record["machine"]
        gpu = f", {machine['gpu']}" if machine["gpu"] else ""
        memory = machine["memory_bytes"]
        held = f", {memory / 2**30:.0f} GiB of memory" if memory else ""
        installed = ", ".join(
            f"{library} {version}"
            for library, version in sorted(machine["versions"].items())
            if version != "not installed" and library != "python"
        )
        description = (
            f"{machine['processor']}{gpu}; {machine['cores']} usable cores{held}, "
            f"{machine['system']}, Python {machine['python']}; {installed}"
        )
        threads = threads_by_machine.setdefault(description, [])
        if record["threads"] not in threads:
            threads.append(record["threads"])
    lines = ["## Machine\n"]
    for description, threads in threads_by_machine.items():
        lines.append(f"{description}. Threads: {' or '.join(map(str, sorted(threads)))}.\n")
    first, last = (pick(record["when"] for record in records) for pick in (min, max))
    lines.append(
        f"{len(records)} records from {first} to {last}. Each figure comes from a fresh process; "
        "peak memory is that of the whole process, libraries and rows included. Times are "
        "medians (lowest to highest; of nine and more, quartiles).\n"
    )
    return "\n".join(lines)


def _contestants(records: list[Record]) -> str:
    """Describe what sets apart the figures of the contestants that were measured."""
    names = {record["contestant"] for record in records if record["status"] == "done"}
    lines = []
    for name, contestant in CONTESTANTS.items():
        remarks = [contestant.subsamples, contestant.stops, contestant.remark]
        if name in names and any(remarks):
            marks = "; ".join(remark for remark in remarks if remark)
            lines.append(f"- **{contestant.title}**: {marks}.")
    return "\n".join(["## Who does what\n", *lines, ""]) if lines else ""


# -- tables --------------------------------------------------------------------------------


def _section(question: str, records: list[Record], drawn: dict[str, list[str]]) -> list[str]:
    done = [
        record
        for record in records
        if record["question"] == question and record["status"] == "done" and not record["series"]
    ]
    if not done:
        return []
    parts = [f"## {HEADINGS[question]}\n", f"{MEANINGS[question]}\n"]
    parts += [f"![{HEADINGS[question]}]({name})\n" for name in drawn.get(question, [])]
    for case in dict.fromkeys(record["case"] for record in done):
        mine = [record for record in done if record["case"] == case]
        parts.append(f"### {case}\n")
        if "rows" in mine[0]["corpus"]:
            parts.append(f"{describe(mine[0])}.\n")
        parts.append(TABLES[question](mine))
        fewer = [
            f"{title_of(record)}: {record['repeats']}, as {record['fewer_because']}"
            for record in mine
            if record.get("fewer_because")
        ]
        if fewer:
            label = "Fewer seeds" if question == "convergence" else "Fewer repeats"
            parts.append(f"{label}: {'; '.join(fewer)}.\n")
    return parts


def _by_time(records: list[Record]) -> list[Record]:
    return sorted(records, key=lambda record: record["seconds"]["median"])


def _unit(values: Iterable[float]) -> tuple[str, Callable[[float], str]]:
    """One unit for a column: milliseconds where something in it is short."""
    short = min(values, default=1.0) < 0.1
    scale = 1000 if short else 1
    return ("ms" if short else "s"), lambda seconds: f"{float(f'{seconds * scale:.3g}'):,g}"


def _range(seconds: dict[str, float], show: Callable[[float], str]) -> str:
    low, high = spread(seconds)
    if low == high:
        return show(seconds["median"])
    return f"{show(seconds['median'])} ({show(low)} to {show(high)})"


def _ratio(record: Record, records: list[Record]) -> str:
    mine = next((other for other in records if other["contestant"] == OURS), None)
    if mine is None:
        return ""
    return f"{record['seconds']['median'] / mine['seconds']['median']:.3g}"


def _memory(record: Record) -> str:
    peak = record.get("peak_bytes")
    return f"{peak / 2**20:,.0f}" if peak else ""


def _iteration(records: list[Record]) -> str:
    unit, show = _unit(record["seconds"]["median"] for record in records)
    usual = sorted(record["inertia"] for record in records)[len(records) // 2]
    rows = []
    for record in _by_time(records):
        differs = abs(record["inertia"] - usual) > DIFFERENT * usual
        rows.append(
            [
                title_of(record),
                ("" if record["method"] == DIFFERENCE else "at most ")
                + _range(record["seconds"], show),
                _ratio(record, records),
                f"{show(record['seconds_of_fit']['median'])}",
                f"{record['n_iter'] or record['iterations']}",
                f"{record['inertia']:,.2f}{' (differs)' if differs else ''}",
                f"{record['sizes']['min']:,} to {record['sizes']['max']:,}",
                _memory(record),
                f"{record['repeats']}",
            ]
        )
    header = [
        "contestant",
        f"{unit} an iteration",
        f"relative to {CONTESTANTS[OURS].title}",
        f"{unit} the whole fit",
        "iterations",
        "inertia",
        "cluster sizes",
        "peak MiB",
        "repeats",
    ]
    return table(header, rows)


def _convergence(records: list[Record]) -> str:
    unit, show = _unit(record["seconds"]["median"] for record in records)
    best = min(record["inertia"]["min"] for record in records)
    rows = []
    for record in sorted(records, key=lambda record: record["inertia"]["median"]):
        inertia = record["inertia"]
        n_iter = sorted(fit["n_iter"] for fit in record["fits"] if fit["n_iter"] is not None)
        empty = max(fit["sizes"]["empty"] for fit in record["fits"])
        rows.append(
            [
                title_of(record),
                f"{inertia['median']:,.2f} ({inertia['min']:,.2f} to {inertia['max']:,.2f})",
                f"{100 * (inertia['median'] / best - 1):.2f}",
                _range(record["seconds"], show),
                _ratio(record, records),
                f"{n_iter[len(n_iter) // 2]}" if n_iter else "",
                f"{record['repeats']}",
                f"{empty}",
                _memory(record),
            ]
        )
    header = [
        "contestant",
        "inertia",
        "% above the best",
        f"{unit} a fit",
        f"relative to {CONTESTANTS[OURS].title}",
        "iterations",
        "seeds",
        "empty clusters",
        "peak MiB",
    ]
    return table(header, rows)


def _target(records: list[Record]) -> str:
    names = [*FACTORS, REFERENCE]
    inertia = {
        name: record["targets"][name]["target"]
        for record in records
        for name in names
        if name in record["targets"]
    }
    names = [name for name in names if name in inertia]
    times = [
        result["seconds"]["median"]
        for record in records
        for result in record["targets"].values()
        if result["reached"]
    ]
    unit, show = _unit(times)

    def cell(result: dict[str, Any] | None) -> str:
        if result is None:
            return ""
        tried = result["seeds_tried"]
        starts = "1 start" if tried == 1 else f"{tried} starts"
        if not result["reached"]:
            return f"not in {starts}, {show(result['seconds_spent'])}"
        return show(result["seconds"]["median"]) + ("" if tried == 1 else f" ({starts})")

    def order(record: Record) -> tuple[float, ...]:
        results = (record["targets"].get(name) for name in names)
        return tuple(
            result["seconds"]["median"] if result and result["reached"] else float("inf")
            for result in results
        )

    header = ["contestant"]
    for name in names:
        name_of_target = (
            f"{name} x the best" if name in FACTORS else f"{CONTESTANTS[name].title}, all starts"
        )
        header.append(f"{unit} to {name_of_target} ({inertia[name]:,.2f})")
    return table(
        header,
        [
            [title_of(record), *(cell(record["targets"].get(name)) for name in names)]
            for record in sorted(records, key=order)
        ],
    )


def _text(records: list[Record]) -> str:
    unit, show = _unit(record["seconds"]["median"] for record in records)
    rows = []
    for record in _by_time(records):
        same = record["same_as_scikit_learn"]
        if record["contestant"] == REFERENCE:
            agreement = ""
        elif same is None:
            agreement = "not compared"
        elif not same["pattern"]:
            agreement = "no"
        elif not same["largest_difference"]:
            agreement = "identical"
        else:
            agreement = f"same pattern, values within {same['largest_difference']:.1g}"
        rows.append(
            [
                "scikit-learn" if record["contestant"] == REFERENCE else title_of(record),
                _range(record["seconds"], show),
                _ratio(record, records),
                f"{record['texts']:,}",
                agreement,
                _memory(record),
            ]
        )
    header = ["contestant", unit, f"relative to {CONTESTANTS[OURS].title}", "texts"]
    return table([*header, "scikit-learn's matrix", "peak MiB"], rows)


def _article(records: list[Record]) -> str:
    unit, show = _unit(record["seconds"]["median"] for record in records)
    rows = [
        [
            "pandas and scikit-learn" if record["contestant"] == REFERENCE else title_of(record),
            _range(record["seconds"], show),
            _ratio(record, records),
            f"{record['inertia']:,.2f}",
            _memory(record),
        ]
        for record in _by_time(records)
    ]
    ours = f"relative to {CONTESTANTS[OURS].title}"
    return table(["contestant", unit, ours, "inertia", "peak MiB"], rows)


def _queries(records: list[Record]) -> str:
    rows = [
        [
            "scikit-learn cosines" if record["contestant"] == REFERENCE else title_of(record),
            f"{record['queries_per_second']:,.0f}",
            _range(
                {name: 1000 * seconds for name, seconds in record["seconds"].items()},
                "{:.3g}".format,
            ),
            _memory(record),
        ]
        for record in _by_time(records)
    ]
    return table(["contestant", "queries a second", "ms a query", "peak MiB"], rows)


TABLES: dict[str, Callable[[list[Record]], str]] = {
    "iteration": _iteration,
    "convergence": _convergence,
    "target": _target,
    "text": _text,
    "article": _article,
    "queries": _queries,
}


# -- after the tables ------------------------------------------------------------------------


def _growth(records: list[Record], drawn: dict[str, list[str]]) -> str:
    parts = []
    for series in SERIES:
        lines = points(records, series)
        if not lines:
            continue
        sizes = sorted({size for line in lines.values() for size in line.sizes})
        rows = []
        for (name, measure), line in lines.items():
            value_at = dict(zip(line.sizes, line.values, strict=True))
            slope = fitted(line)
            rows.append(
                [
                    f"{CONTESTANTS[name].title}, {measure}",
                    *(f"{value_at[size]:.3g}" if size in value_at else "" for size in sizes),
                    "" if slope is None else f"{slope:.2f}",
                ]
            )
        parts += [f"### {series}\n"]
        parts += [f"![Growth with {series}]({name})\n" for name in drawn.get(series, [])]
        parts += [table(["", *(f"{size:,}" for size in sizes), "slope"], rows)]
    if not parts:
        return ""
    meaning = (
        "The slope of a straight line through logarithms: 1 is growth in proportion, "
        "-1 is time halved by twice as many threads. Memory includes the libraries, which weigh "
        "most where the rows are few.\n"
    )
    return "\n".join(["## Growth\n", meaning, *parts])


def _missing(records: list[Record]) -> str:
    """Everything that was not measured, and why."""
    reasons: dict[tuple[str, str, str], dict[str, list[str]]] = {}
    for record in records:
        if record["status"] != "done":
            about = (title_of(record), record["status"], record["reason"])
            where = reasons.setdefault(about, {})
            where.setdefault(record["case"], []).append(record["question"])
    if not reasons:
        return ""
    rows = [
        [
            *(cell.replace("|", "\\|") for cell in about),
            "; ".join(f"{case}: {', '.join(questions)}" for case, questions in where.items()),
        ]
        for about, where in reasons.items()
    ]
    header = ["contestant", "", "why", "where"]
    return "## Not measured\n\n" + table(header, rows, texts=len(header))
