"""Seconds to a target inertia: which fits to try, and what they come to.

The best known inertia is the lowest judged one of any contestant in this run. A contestant tries
its seeds in order. Those that missed the target count in full; of the first that reached it counts
the shortest way: see :mod:`bench.questions`.
"""

from __future__ import annotations

from typing import Any

from bench.contestants import CONTESTANTS, REFERENCE

__all__ = ["FACTORS", "meets", "plan", "quickest", "reached", "targets"]

FACTORS = ("1.01", "1.001", "1.0")
SLACK = 1e-6
"""Relative: judged in float64, reached in float32."""
LONGEST = 64
"""Limit of the longest shortened fit of a library that does not tell its iterations."""


def targets(convergence: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Inertias to reach by name, from the records of convergence by contestant."""
    fits = {name: record["fits"] for name, record in convergence.items()}
    judged = {name: min(fit["inertia"] for fit in each) for name, each in fits.items()}
    if not judged:
        return {}
    best = min(judged.values())
    found = {factor: float(factor) * best for factor in FACTORS}
    if REFERENCE in judged:
        found[REFERENCE] = judged[REFERENCE]
    return found


def plan(record: dict[str, Any], wanted: dict[str, float]) -> list[dict[str, Any]]:
    """Fits that one contestant should try, shortest first.

    Each is a seed with a limit of iterations or an inertia to stop at, and ``goals``, the targets
    that this seed is the first to reach.
    """
    stops = CONTESTANTS[record["contestant"]].stops_at_target
    by_seed: dict[int, list[float]] = {}
    for inertia in sorted(set(wanted.values()), reverse=True):
        tried = _first(record["fits"], inertia)
        if tried is not None:
            by_seed.setdefault(tried, []).append(inertia)
    attempts: list[dict[str, Any]] = []
    for tried, inertias in by_seed.items():
        fit = record["fits"][tried]
        if stops:
            ways = [
                {"limit": None, "stop_at": each * (1 + SLACK / 2), "goals": [each]}
                for each in inertias
            ]
        else:
            longest = fit["n_iter"] or LONGEST
            limits = [2**power for power in range(12) if 2**power < longest]
            ways = [{"limit": limit, "stop_at": None, "goals": inertias} for limit in limits]
        attempts += [{"seed": fit["seed"]} | way for way in ways]
    return attempts


def quickest(attempts: list[dict[str, Any]]) -> list[int]:
    """Positions of the attempts that count: of a seed, the quickest to reach one of its targets.

    ``each`` are the seconds of an attempt, ``goals`` the targets of its seed.
    """
    found = set()
    for seed, inertia in {(each["seed"], goal) for each in attempts for goal in each["goals"]}:
        met = [
            at
            for at, each in enumerate(attempts)
            if each["seed"] == seed and meets(each["inertia"], inertia)
        ]
        if met:
            found.add(min(met, key=lambda at: float(attempts[at]["each"][0])))
    return sorted(found)


def reached(
    record: dict[str, Any], wanted: dict[str, float], attempts: list[dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """For each target: whether it was reached, in how many seconds, and how."""
    fits = record["fits"]
    found: dict[str, dict[str, Any]] = {}
    for name, inertia in wanted.items():
        tried = _first(fits, inertia)
        spent = sum(fit["seconds"] for fit in fits[: len(fits) if tried is None else tried])
        about = {"target": inertia, "reached": tried is not None}
        if tried is None:
            found[name] = about | {"seeds_tried": len(fits), "seconds_spent": spent}
            continue
        whole = {which: fits[tried]["seconds"] for which in ("median", "min", "max")}
        ways = [(whole, fits[tried]["inertia"], 1, "a whole fit")]
        for each in attempts:
            if each["seed"] == fits[tried]["seed"] and meets(each["inertia"], inertia):
                stop = "its callback" if each["limit"] is None else f"{each['limit']} iterations"
                ways.append((each["seconds"], each["inertia"], each["repeats"], f"ended by {stop}"))
        seconds, got, repeats, how = min(ways, key=lambda way: way[0]["median"])
        found[name] = about | {
            "seconds": {which: spent + seconds[which] for which in ("median", "min", "max")},
            "seeds_tried": tried + 1,
            "inertia": got,
            "repeats": repeats,
            "how": how,
        }
    if record["contestant"] == REFERENCE and REFERENCE in found:
        # Its best of all starts is known only when all of them are done.
        total = sum(fit["seconds"] for fit in fits)
        found[REFERENCE] |= {
            "seconds": {which: total for which in ("median", "min", "max")},
            "seeds_tried": len(fits),
            "repeats": 1,
            "how": "all its starts",
        }
    return found


def meets(inertia: float, wanted: float) -> bool:
    """Whether an inertia is the wanted one or lower, but for rounding."""
    return inertia <= wanted * (1 + SLACK)


def _first(fits: list[dict[str, Any]], wanted: float) -> int | None:
    """Position of the first fit that reached the target."""
    return next((at for at, fit in enumerate(fits) if meets(fit["inertia"], wanted)), None)
