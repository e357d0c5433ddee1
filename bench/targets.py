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
"""Relative slack of a target, which is judged in float64 and reached in float32."""
LONGEST = 64
"""Maximum number of iterations of a shortened fit of a library that does not report them."""


def targets(convergence: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Inertias to reach by name, from the records of convergence by contestant."""
    fits = {name: record["fits"] for name, record in convergence.items()}
    judged = {name: min(fit["inertia"] for fit in runs) for name, runs in fits.items()}
    if not judged:
        return {}
    best = min(judged.values())
    inertias = {factor: float(factor) * best for factor in FACTORS}
    if REFERENCE in judged:
        inertias[REFERENCE] = judged[REFERENCE]
    return inertias


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
                {"limit": None, "stop_at": inertia * (1 + SLACK / 2), "goals": [inertia]}
                for inertia in inertias
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
    counting = set()
    for seed, inertia in {
        (attempt["seed"], goal) for attempt in attempts for goal in attempt["goals"]
    }:
        met = [
            position
            for position, attempt in enumerate(attempts)
            if attempt["seed"] == seed and meets(attempt["inertia"], inertia)
        ]
        if met:
            counting.add(min(met, key=lambda position: float(attempts[position]["each"][0])))
    return sorted(counting)


def reached(
    record: dict[str, Any], wanted: dict[str, float], attempts: list[dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """For each target: whether it was reached, in how many seconds, and how."""
    fits = record["fits"]
    results: dict[str, dict[str, Any]] = {}
    for name, inertia in wanted.items():
        tried = _first(fits, inertia)
        spent = sum(fit["seconds"] for fit in fits[: len(fits) if tried is None else tried])
        about = {"target": inertia, "reached": tried is not None}
        if tried is None:
            results[name] = about | {"seeds_tried": len(fits), "seconds_spent": spent}
            continue
        whole_fit = {which: fits[tried]["seconds"] for which in ("median", "min", "max")}
        ways = [(whole_fit, fits[tried]["inertia"], 1, "a whole fit")]
        for attempt in attempts:
            if attempt["seed"] == fits[tried]["seed"] and meets(attempt["inertia"], inertia):
                stop = (
                    "its callback" if attempt["limit"] is None else f"{attempt['limit']} iterations"
                )
                ways.append(
                    (attempt["seconds"], attempt["inertia"], attempt["repeats"], f"ended by {stop}")
                )
        seconds, inertia_reached, repeats, how = min(ways, key=lambda way: way[0]["median"])
        results[name] = about | {
            "seconds": {which: spent + seconds[which] for which in ("median", "min", "max")},
            "seeds_tried": tried + 1,
            "inertia": inertia_reached,
            "repeats": repeats,
            "how": how,
        }
    if record["contestant"] == REFERENCE and REFERENCE in results:
        # Its best of all starts is known only when all of them are done.
        total = sum(fit["seconds"] for fit in fits)
        results[REFERENCE] |= {
            "seconds": {which: total for which in ("median", "min", "max")},
            "seeds_tried": len(fits),
            "repeats": 1,
            "how": "all its starts",
        }
    return results


def meets(inertia: float, wanted: float) -> bool:
    """Whether an inertia is the wanted one or lower, but for rounding."""
    return inertia <= wanted * (1 + SLACK)


def _first(fits: list[dict[str, Any]], wanted: float) -> int | None:
    """Position of the first fit that reached the target."""
    return next((i for i, fit in enumerate(fits) if meets(fit["inertia"], wanted)), None)
