"""Two files of records side by side: what became faster, slower or better, and by how much."""

from __future__ import annotations

from bench.measure import spread
from bench.records import Record, key, machine_of
from bench.report import table, title_of

__all__ = ["compare"]


def compare(old: list[Record], new: list[Record]) -> str:
    """Return Markdown: one row for each thing that both files measured.

    Rows are marked "faster" or "slower" where the two spreads do not overlap.
    """
    before = {key(record): record for record in old}
    after = {key(record): record for record in new}
    both = [subject for subject in before if subject in after]
    rows, changed = [], []
    for subject in both:
        was, now = before[subject], after[subject]
        about = [subject[1], subject[0], title_of(now)]
        if was["status"] == now["status"] == "done":
            rows.append([*about, *_seconds(was, now), _inertia(was, now)])
        elif was["status"] != now["status"]:
            changed.append([*about, was["status"], now["status"], now["reason"] or ""])
    parts = [_machines(old, new)]
    header = ["case", "question", "contestant", "s before", "s now", "ratio", "", "inertia"]
    parts.append(table(header, rows, texts=3) if rows else "Nothing was measured in both.\n")
    if changed:
        header = ["case", "question", "contestant", "before", "now", "why"]
        parts.append(table(header, changed, texts=6))
    alone = len(before) + len(after) - 2 * len(both)
    if alone:
        parts.append(f"{alone} records are in one of the files only.\n")
    return "\n".join(part for part in parts if part)


def _machines(old: list[Record], new: list[Record]) -> str:
    """Warn where the figures were not taken on the same machine."""
    was, now = ({machine_of(record) for record in records} for records in (old, new))
    if was == now:
        return ""
    return f"**Not the same machine**: {'; '.join(sorted(was))}, then {'; '.join(sorted(now))}.\n"


def _seconds(was: Record, now: Record) -> list[str]:
    if was["question"] == "target":
        return _to_target(was, now)
    a, b = was["seconds"], now["seconds"]
    return [*_pair(a["median"], b["median"]), _verdict(a, b)]


def _to_target(was: Record, now: Record) -> list[str]:
    """By 1.001 times the best known: the target itself may have moved between the files."""
    a, b = (record["targets"].get("1.001", {"reached": False}) for record in (was, now))
    if a["reached"] and b["reached"]:
        return [
            *_pair(a["seconds"]["median"], b["seconds"]["median"]),
            _verdict(a["seconds"], b["seconds"]),
        ]
    shown = [f"{way['seconds']['median']:.3g}" if way["reached"] else "not" for way in (a, b)]
    return [*shown, "", ""]


def _pair(a: float, b: float) -> list[str]:
    return [f"{a:.3g}", f"{b:.3g}", f"{b / a:.2f}"]


def _verdict(a: dict[str, float], b: dict[str, float]) -> str:
    (low, high), (lower, higher) = spread(a), spread(b)
    if higher < low:
        return "faster"
    return "slower" if lower > high else ""


def _inertia(was: Record, now: Record) -> str:
    inertias = [record.get("inertia") for record in (was, now)]
    a, b = (value["median"] if isinstance(value, dict) else value for value in inertias)
    if a is None or b is None:
        return ""
    return f"{a:,.2f} to {b:,.2f} ({100 * (b / a - 1):+.3f} %)"
