"""The cases as data: corpora, numbers of clusters, questions, and what they may cost.

Tiers: ``tiny`` proves that the harness works and says nothing about speed; ``standard`` is the
comparison that the report shows; ``large`` takes hours: fits of tens of thousands of documents
from ten seeds, a million documents, and series that show how time and memory grow.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from bench.corpora import Blobs, Corpus, Films, Zipf

__all__ = ["CASES", "QUESTIONS", "TIERS", "Case", "corpora", "select"]

TIERS = ("tiny", "standard", "large")
CLUSTERING = ("iteration", "convergence", "target")
ONE_JOB = ("text", "article", "queries")
QUESTIONS = (*CLUSTERING, *ONE_JOB)
OURS = ("gpu_kmeans-cpu", "gpu_kmeans-gpu")
GROWING = (*OURS, "scikit-learn", "faiss-sparse")

CORPORA: dict[str, Corpus] = {
    "sample": Films(),
    "zipf-2k": Zipf(2_000, 5_000, topics=40, mean_length=25),
    "blobs-2k": Blobs(2_000, 32, centres=40),
    "zipf-5k": Zipf(5_000, 20_000, topics=100, mean_length=38),
    "zipf-63k": Zipf(63_000, 79_000, topics=1_000, mean_length=36.5),
    "blobs-63k": Blobs(63_000, 256, centres=1_000),
    "zipf-1m": Zipf(1_000_000, 200_000, topics=1_000, mean_length=75),
    # For the series: documents at the same vocabulary, terms at the same documents.
    **{
        f"zipf-{n}k-of-79k": Zipf(n * 1000, 79_000, topics=1_000, mean_length=36.5)
        for n in (8, 16, 32, 63, 126, 252)
    },
    **{
        f"zipf-32k-of-{terms}k": Zipf(32_000, terms * 1000, topics=1_000, mean_length=36.5)
        for terms in (10, 20, 40, 158)
    },
}


@dataclass(frozen=True)
class Case:
    """One thing to measure.

    Attributes
    ----------
    name, tier, corpus : str
    k : int
    questions : tuple of str
        Of :mod:`bench.questions`.
    iterations : int
        Of Lloyd's algorithm, from a given start.
    seeds : int
        Fits to convergence, each from its own seed.
    patience : float
        Seconds after which no further seed and no further repeat is begun.
    timeout : float
        Seconds after which a contestant is stopped, which is recorded as a failure.
    memory : float
        GiB that a contestant may hold.
    repeats : int or None
        At most so many, whatever the command line asks for, where figures do not matter.
    threads : int or None
        None for all usable cores.
    only : tuple of str
        Contestants; empty for all.
    series : str
        What grows from case to case, and ``size``, how far: the points of one line.
    """

    name: str
    tier: str
    corpus: str
    k: int
    questions: tuple[str, ...] = CLUSTERING
    iterations: int = 10
    seeds: int = 10
    patience: float = 30.0
    timeout: float = 180.0
    memory: float = 8.0
    repeats: int | None = None
    threads: int | None = None
    only: tuple[str, ...] = ()
    series: str = ""
    size: int = 0


def _growth() -> list[Case]:
    """One contestant at a time along one axis, the others at rest."""
    at_rest = Case(
        name="",
        tier="large",
        corpus="zipf-32k-of-79k",
        k=100,
        questions=("iteration", "convergence"),
        iterations=6,
        seeds=1,
        patience=120.0,
        timeout=900.0,
        memory=12.0,
        only=GROWING,
    )
    cases = [
        replace(at_rest, corpus=f"zipf-{n}k-of-79k", series="documents", size=n * 1000)
        for n in (8, 16, 32, 63, 126, 252)
    ]
    cases += [
        replace(at_rest, corpus=f"zipf-32k-of-{terms}k", series="terms", size=terms * 1000)
        for terms in (10, 20, 40, 79, 158)
    ]
    cases += [replace(at_rest, k=k, series="clusters", size=k) for k in (10, 30, 100, 300, 1000)]
    cases += [
        replace(at_rest, threads=threads, series="threads", size=threads)
        for threads in (1, 2, 4, 8, 16, 32)
    ]
    return [replace(case, name=f"growth-{case.series}-{case.size}") for case in cases]


CASES: tuple[Case, ...] = (
    Case(
        "sample-10",
        "tiny",
        "sample",
        10,
        (*CLUSTERING, *ONE_JOB),
        iterations=3,
        seeds=2,
        patience=2.0,
        timeout=60.0,
        memory=4.0,
        repeats=2,
    ),
    Case(
        "blobs-2k-20",
        "tiny",
        "blobs-2k",
        20,
        ("iteration", "convergence"),
        iterations=4,
        seeds=2,
        patience=2.0,
        timeout=60.0,
        memory=4.0,
        repeats=2,
    ),
    *(
        Case(
            f"tmdb-{k}",
            "standard",
            "tmdb",
            k,
            CLUSTERING + (ONE_JOB if k == 10 else ()),
            iterations=20,
            patience=60.0,
        )
        for k in (10, 50, 100)
    ),
    *(
        Case(
            f"zipf-5k-{k}",
            "standard",
            "zipf-5k",
            k,
            CLUSTERING + (("text", "queries") if k == 10 else ()),
            iterations=20,
            patience=60.0,
        )
        for k in (10, 100)
    ),
    # Few clusters, where there is least to gain.
    *(
        Case(
            f"{corpus}-{k}",
            "standard",
            corpus,
            k,
            ("iteration",),
            iterations=20,
            patience=30.0,
            only=(*OURS, "scikit-learn", "scikit-learn-intelex"),
        )
        for corpus, few in (("tmdb", (2, 3, 5)), ("zipf-5k", (2, 3, 5)), ("zipf-63k", (2, 10)))
        for k in few
    ),
    Case("zipf-63k-100", "standard", "zipf-63k", 100, ("iteration", "text"), patience=120.0),
    Case(
        "zipf-63k-1000",
        "standard",
        "zipf-63k",
        1000,
        ("iteration",),
        patience=1800.0,
        timeout=3600.0,
    ),
    Case("blobs-63k-100", "standard", "blobs-63k", 100, patience=20.0),
    Case("blobs-63k-1000", "standard", "blobs-63k", 1000, iterations=5, patience=20.0),
    Case(
        "zipf-63k-100-long",
        "large",
        "zipf-63k",
        100,
        ("convergence", "target"),
        patience=1800.0,
        timeout=3600.0,
        memory=16.0,
    ),
    # Elkan's algorithm ends where Lloyd's does, later.
    Case(
        "zipf-63k-1000-long",
        "large",
        "zipf-63k",
        1000,
        ("convergence", "target"),
        patience=3600.0,
        timeout=7200.0,
        memory=16.0,
        only=(
            *OURS,
            "scikit-learn",
            "scikit-learn-minibatch",
            "scikit-learn-intelex",
            "faiss-sparse",
            "sparsekmeans-lloyd",
        ),
    ),
    Case(
        "zipf-1m-100",
        "large",
        "zipf-1m",
        100,
        iterations=4,
        seeds=1,
        patience=600.0,
        timeout=3600.0,
        memory=12.0,
    ),
    *_growth(),
)


def corpora(tmdb: Path | None) -> dict[str, Corpus]:
    """All corpora by name; the TMDB films from the given folder."""
    return CORPORA | {"tmdb": Films(tmdb or Path("-"))}


def select(tier: str | None, names: Iterable[str]) -> list[Case]:
    """Return the cases of a tier, or those of the given names or corpora, in their order.

    Raises
    ------
    ValueError
        A name is neither a case's nor a corpus's.
    """
    names = set(names)
    selected = [case for case in CASES if not names or {case.name, case.corpus} & names]
    known = {case.name for case in CASES} | {case.corpus for case in CASES}
    if names - known:
        raise ValueError(
            f"no case is named {', '.join(sorted(names - known))}; "
            f"there are {', '.join(case.name for case in CASES)}"
        )
    return [case for case in selected if case.tier == tier] if tier or not names else selected
