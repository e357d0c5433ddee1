"""``python -m bench.gpu_check``: which sections there are, and the command that runs them."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.gpu_check import __doc__ as description
from bench.gpu_check import checks, contract, measurements
from bench.gpu_check.processes import ENDED, Note, note_on_stdout, run

SEED = measurements.SEED
MACHINE, SMOKE, CONTRACT = "machine", "smoke", "contract"
COMMAND = (sys.executable, "-m", "bench.gpu_check")
"""What a section's process runs."""
COLLECTION = 300
"""Maximum number of seconds in which pytest finds the tests that have a backend."""

Files = tuple[Path, Path | None]
"""Tables of films and of their credits."""


@dataclass(frozen=True, slots=True)
class Section:
    """What a section does, and the seconds that it may take, start of the process included."""

    work: Callable[[Files, Note], None]
    seconds: float = 600


SECTIONS = {
    MACHINE: Section(checks.machine, 120),
    SMOKE: Section(checks.smoke, 120),  # half a minute, and as much for libraries off a cold disk
    "parity": Section(checks.parity, 300),
    "memory": Section(checks.memory, 300),
    "places": Section(checks.places, 300),
    "tmdb": Section(measurements.tmdb),
    "tfidf": Section(measurements.tfidf, 300),
    "iteration": Section(measurements.iteration),
    "spmm": Section(measurements.spmm),
    "dense": Section(measurements.dense),
    "reduced": Section(measurements.reduced),
    "million": Section(measurements.million),
    "memcheck": Section(lambda files, note: contract.sanitized("memcheck", note)),
    "racecheck": Section(lambda files, note: contract.sanitized("racecheck", note)),
}


def section(name: str) -> Section:
    """Return the section of a name, a file of the contract's included."""
    start, slash, module = name.partition("/")
    if start == CONTRACT and slash:
        return Section(lambda files, note: contract.one_file(module, note))
    return SECTIONS[name]


def main() -> None:
    """Run the given sections, or all, and write their results."""
    parser = argparse.ArgumentParser(
        prog="bench.gpu_check",
        description=(description or "").split("\n")[0],
        epilog=f"sections: {', '.join([*SECTIONS][1:])}, {CONTRACT}, {CONTRACT}/FILE",
    )
    parser.add_argument("sections", nargs="*", metavar="SECTION")
    parser.add_argument("--movies", type=Path, help="tmdb_5000_movies.csv (the sample otherwise)")
    parser.add_argument("--credits", type=Path, help="tmdb_5000_credits.csv")
    parser.add_argument("--out", type=Path, help="JSON file; kept whole after every figure")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    for name in options.sections:
        if name not in SECTIONS and name.partition("/")[0] != CONTRACT:
            parser.error(f"no section is named {name}")
    files = _files(options.movies, options.credits)
    if options.inside:
        (name,) = options.sections
        note = note_on_stdout()
        section(name).work(files, note)
        note(**{ENDED: True})
        return
    sys.exit(check(options.sections, files, options.out))


def check(names: list[str], files: Files, out: Path | None) -> str | int:
    """Run sections, all where none is named; 0, or what failed."""
    record: dict[str, Any] = {"machine": {}, "seed": SEED, "sections": {}}
    if names and out is not None and out.exists():
        record |= json.loads(out.read_text("utf-8"))
    # Not asked in this process: the answer would hold a context on the device all the while.
    device = _apart(MACHINE, files, lambda figures: None)
    obstacle = device.get("failed") or device.get("obstacle")
    if obstacle or not device.get("gpu"):
        said = "".join(f"\n  {line}" for line in device.get("said", ()))
        return f"gpu-check needs a GPU: {obstacle or 'no device is named'}{said}"
    record["machine"] = device
    results = record["sections"]
    everything = [name for name in SECTIONS if name != MACHINE] + [CONTRACT]
    failed: list[str] = []
    for name in _with_files(names or everything, results):

        def seen(figures: dict[str, Any], name: str = name) -> None:
            results[name] = {"failed": "it has not ended", **figures}
            save(record, out)

        results[name] = _apart(name, files, seen)
        save(record, out)
        if reason := results[name].get("failed"):
            failed.append(name)
            print(f"[{name}] failed: {reason}", flush=True)
            if name == SMOKE and not names:
                print("the others are left out; sections that are named run all the same")
                break
    print(json.dumps(record, indent=2))
    failed += [name for name in results if name not in failed and "unlisted" in results[name]]
    return f"failed: {', '.join(failed)}" if failed else 0


def _with_files(names: list[str], results: dict[str, Any]) -> Any:
    """The names, the contract's file by file; asked for when it is their turn."""
    for name in names:
        if name != CONTRACT:
            yield name
            continue
        modules, trouble = contract.files(COLLECTION)
        if trouble:
            results[CONTRACT] = {"unlisted": trouble}
        yield from (f"{CONTRACT}/{module}" for module in modules)


def _apart(name: str, files: Files, seen: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Run a section in a fresh process; its figures, and why it failed if it did."""
    command = [*COMMAND, name, "--inside", "--movies", str(files[0])]
    command += [] if files[1] is None else ["--credits", str(files[1])]
    return run(
        command,
        section(name).seconds,
        echo=lambda line: print(f"[{name}] {line}", flush=True),
        seen=seen,
    )


def save(record: dict[str, Any], out: Path | None) -> None:
    """Keep a record, whole or not at all, where a file was named."""
    if out is not None:
        partial = out.with_name(f"{out.name}.part")
        partial.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        partial.replace(out)


def _files(movies: Path | None, credits: Path | None) -> Files:
    if movies is not None:
        return movies, credits
    from gpu_kmeans.data import sample

    return sample.paths()


if __name__ == "__main__":
    main()
