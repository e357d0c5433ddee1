"""The figures of README and of two pages of the docs, each made anew from its record.

    python -m bench.readme [--tmdb FOLDER]

A claim is a phrase as these pages have it, written from the records under ``bench/results`` or from
what the tree holds. Every claim must stand on its page, and every figure in the prose of a page in
a claim, or in a name that happens to have digits. With the TMDB files the reach of searches, which
takes seconds, is measured again and compared with its record.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from bench import records

__all__ = ["PAGES", "Claim", "agreement_table", "claims", "corpus_table", "problems"]

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "bench" / "results"
PAGES = {
    "readme": ROOT / "README.md",
    "benchmarks": ROOT / "docs" / "benchmarks.md",
    "backends": ROOT / "docs" / "backends.md",
}
"""Pages whose figures are checked."""
OURS, THEIRS = "gpu_kmeans-cpu", "scikit-learn"
FILMS = (10, 50, 100)
BETTER = (
    *(f"tmdb-{k}" for k in FILMS),
    *("zipf-5k-10", "zipf-5k-100", "zipf-63k-100-long", "zipf-63k-1000-long"),
    *("blobs-63k-100", "blobs-63k-1000"),
)
"""Cases in which, as the pages say, each of our fits ends below the best of theirs."""

NAMES = (
    "TMDB 5000",
    "Python 3.11 or newer",
    "Python 3.11 to 3.14",
    "Python 3.11, 3.12 and 3.13",
    "20 Newsgroups",
    "Reuters R8",
    "Reuters R52",
    "V-measure, 1 is the same",
    "V-measure is 1 where",
    "`x86-64`",
    "x86-64",
    "Apache-2.0",
    "float64",
    "float32",
    "k-means",
    "127.0.0.1",
    "k = 100",
    "k = 1000",
    "`cu12`",
    "`cu13`",
    "seed 42",
    "best of 10 starts",
    "1 start",
    "kill -9",
    "pairs 11",
    "RAPIDS 26.10",
    "rating>=7",
    "--clusters 1",
)
"""Names with digits that are no figures."""
NUMBER = re.compile(r"(?<![\w.])\d+(?:,\d{3})*(?:\.\d+)?")


class Claim(NamedTuple):
    """A phrase, where its figures come from, and the page that must have it."""

    text: str
    source: str
    page: str = "benchmarks"


class Records:
    """The committed records."""

    def __init__(self, folder: Path = RESULTS) -> None:
        files = [folder / f"{tier}.jsonl" for tier in ("standard", "large")]
        self._by_key = {records.key(record): record for record in records.read(files)}
        names = ("article", "pruning", "service", "reach", "search", "agreement")
        self.article, self.pruning, self.service, self.reach, self.search, self.agreement = (
            json.loads((folder / f"{name}.json").read_text("utf-8")) for name in names
        )

    def record(self, question: str, case: str, contestant: str = OURS) -> dict[str, Any]:
        """One record."""
        record: dict[str, Any] = self._by_key[question, case, contestant]
        return record

    def seconds(self, question: str, case: str, contestant: str = OURS) -> float:
        """Median seconds of a record."""
        return float(self.record(question, case, contestant)["seconds"]["median"])

    def to_best_of_theirs(self, case: str, contestant: str = OURS) -> float:
        """Seconds until the lowest inertia of scikit-learn's ten starts is reached."""
        target = self.record("target", case, contestant)["targets"][THEIRS]
        return float(target["seconds"]["median"])


def short(value: float) -> str:
    """Two significant digits, as one reads them aloud."""
    digits = max(0, 1 - math.floor(math.log10(abs(value))))
    return f"{round(value, digits):,.{digits}f}"


def claims(stored: Records) -> list[Claim]:
    """All claims, in the order of the pages."""
    return [
        *_sample(),
        *_tables(stored),
        *_films(stored),
        *_corpus(stored),
        *_smaller(stored),
        *_service(stored),
        *_reach(stored),
        *_search(stored),
        *_computed(),
    ]


def _sample() -> Iterator[Claim]:
    from gpu_kmeans.data import sample

    with sample.paths()[0].open(encoding="utf-8", newline="") as file:
        many = len(list(csv.DictReader(file)))
    yield Claim(f"clusters {many} invented films", "gpu_kmeans/sample", "readme")


COLLECTIONS = {
    "20 Newsgroups": "newsgroups",
    "Reuters R8": "reuters-r8",
    "Reuters R52": "reuters-r52",
    "reports": "reports",
}
"""Collections of texts whose labels are known, and their names in the records."""


def agreement_table(stored: Records) -> str:
    """V-measures of a fit's defaults and of scikit-learn's way, with as many clusters as labels."""
    lines = [
        "| collection | items | labels | scikit-learn | `gpu_kmeans` |",
        "|---|---|---|---|---|",
    ]
    for title, name in COLLECTIONS.items():
        ours, theirs = (
            next(
                record
                for record in stored.agreement["records"]
                if record["dataset"] == name
                and record["k"] == record["n_labels"]
                and (record["representation"], record["algorithm"]) == way
            )
            for way in (
                ("the file", "gpu_kmeans.fit, defaults"),
                ("TF-IDF", "scikit-learn KMeans, n_init=10"),
            )
        )
        one, other = (sorted(record["v_measure"])[1] for record in (ours, theirs))
        assert all(len(record["v_measure"]) == 3 for record in (ours, theirs))
        lines.append(
            f"| {title} | {ours['rows']:,} | {ours['n_labels']} | {other:.3f} | {one:.3f} |"
        )
    return "\n".join(lines)


def corpus_table(stored: Records) -> str:
    """Lowest inertia and median seconds of fits of the large corpus, ours and scikit-learn's."""
    lines = ["| clusters | scikit-learn | `gpu_kmeans` |", "|---|---|---|"]
    for k in (100, 1000):
        theirs, ours = (
            f"{inertia} in {seconds}"
            for seconds, inertia in (_fit(stored, k, name) for name in (THEIRS, OURS))
        )
        lines.append(f"| {k:,} | {theirs} | {ours} |")
    return "\n".join(lines)


def _tables(stored: Records) -> Iterator[Claim]:
    for row in agreement_table(stored).splitlines()[2:]:
        for page in ("readme", "benchmarks"):
            yield Claim(row, "agreement.json", page)
    for row in corpus_table(stored).splitlines()[2:]:
        yield Claim(row, "large.jsonl", "readme")
    about = stored.record("iteration", "zipf-63k-100")["corpus"]
    yield Claim(
        f"A synthetic corpus of {about['rows']:,} documents and {about['features']:,} terms, the "
        "lowest of ten fits each",
        "large.jsonl",
        "readme",
    )


def _films(stored: Records) -> Iterator[Claim]:
    article = stored.article
    first, cores = article["clustering"][0], article["machine"]["cores"]
    source = "article.json"
    yield Claim(
        f"The {first['rows']:,} TMDB films, TF-IDF of {first['terms']:,} terms, "
        f"seed {article['seed']}, {cores} cores.",
        source,
    )
    yield Claim(f"in {article['pairs']} pairs after a warm-up", source)
    yield Claim(f"python -m bench.article MOVIES CREDITS --pairs {article['pairs']}", source)
    for case in article["clustering"]:
        ratio, inertia = case["ratio"], case["inertia"]
        yield Claim(
            f"| {case['k']} | {inertia['theirs']:,.1f} | {inertia['ours']:,.1f} | "
            f"{ratio['median']:.2f} ({ratio['min']:.2f} to {ratio['max']:.2f}) |",
            source,
        )
    ratio = article["whole_process"]["ratio"]
    yield Claim(
        f"takes {ratio['median']:.2f} ({ratio['min']:.2f} to {ratio['max']:.2f}) of the time",
        source,
    )
    spreads, sooner = [], []
    for case in (f"tmdb-{k}" for k in FILMS):
        fits = stored.record("convergence", case)["inertia"]
        spreads.append(100 * (fits["max"] / fits["min"] - 1))
        theirs = stored.to_best_of_theirs(case, THEIRS)
        sooner.append(f"1/{theirs / stored.to_best_of_theirs(case):.0f}")
    most = math.ceil(100 * max(spreads)) / 100
    yield Claim(f"by {most:.2f} % or less at 10, 50 and 100 clusters", "standard.jsonl")
    one, two, three = sooner
    yield Claim(f"is reached here in {one}, {two} and {three} of its time", "standard.jsonl")


CORPUS_ROWS = {
    "`gpu_kmeans`, CPU": OURS,
    "faiss.contrib, sparse": "faiss-sparse",
    "scikit-learn-intelex": "scikit-learn-intelex",
    "sparsekmeans": "sparsekmeans-lloyd",
    "scikit-learn, Lloyd": THEIRS,
    "FAISS on dense rows": "faiss-dense",
}
NEEDS = re.compile(r"would need ([\d.]+) GiB|allows ([\d.]+) GiB")


def _corpus(stored: Records) -> Iterator[Claim]:
    about = stored.record("iteration", "zipf-63k-100")["corpus"]
    source = "standard.jsonl, large.jsonl"
    yield Claim(
        f"A synthetic corpus of {about['rows']:,} documents and {about['features']:,} terms, "
        f"{about['nonzeros'] / 1e6:.1f} million non-zeros",
        source,
    )
    yield Claim("fresh processes on the same 2 cores", source)
    for title, name in CORPUS_ROWS.items():
        iterations = [_iteration(stored, k, name) for k in (100, 1000)]
        fits = [_fit(stored, k, name) for k in (100, 1000)]
        cells = [*iterations, *(cell for fit in fits for cell in fit)]
        yield Claim(" ".join(f"| {title} | {' | '.join(cells)} |".split()), source)
    for k in (100, 1000):
        case = f"zipf-63k-{k}-long"
        highest = stored.record("convergence", case)["inertia"]["max"]
        start = "The highest of our ten inertias is " if k == 100 else "and "
        yield Claim(f"{start}{highest:,.0f} at k = {k}", source)
        ours, theirs = (stored.to_best_of_theirs(case, name) for name in (OURS, THEIRS))
        yield Claim(f"in {short(ours)} s instead of {theirs:.0f} at k = {k}", source)
    million = stored.record("convergence", "zipf-1m-100")
    yield Claim(
        f"A million documents ({million['corpus']['features']:,} terms, {million['k']} clusters) "
        f"take {million['seconds']['median']:.0f} s and {million['peak_bytes'] / 2**30:.1f} GiB",
        source,
    )


def _iteration(stored: Records, k: int, name: str) -> str:
    record = stored.record("iteration", f"zipf-63k-{k}", name)
    if record["status"] != "done":
        return _obstacle(record)
    value = 1000 * record["seconds"]["median"]
    return f"{value:.1f}" if value < 20 else f"{float(f'{value:.3g}'):,.0f}"


def _fit(stored: Records, k: int, name: str) -> tuple[str, str]:
    try:
        record = stored.record("convergence", f"zipf-63k-{k}-long", name)
    except KeyError:  # said once, beside the smaller number of clusters
        return "", ""
    if name == "faiss-dense":  # said once, beside its iterations
        return "", ""
    if record["status"] != "done":
        return _obstacle(record), ""
    return f"{short(record['seconds']['median'])} s", f"{record['inertia']['min']:,.0f}"


def _obstacle(record: dict[str, Any]) -> str:
    match = NEEDS.search(record["reason"])
    assert match, record["reason"]
    would, allowed = match.groups()
    return f"needs {would} GiB" if would else f"needs over {allowed} GiB"


def _smaller(stored: Records) -> Iterator[Claim]:
    def ms(case: str, name: str = OURS) -> str:
        value = 1000 * stored.seconds("iteration", case, name)
        return f"{value:.0f}" if value >= 10 else short(value)

    source = "standard.jsonl"
    about = stored.record("iteration", "blobs-63k-100")["corpus"]
    one, two = "blobs-63k-100", "blobs-63k-1000"
    yield Claim(
        f"Dense rows ({about['rows']:,} x {about['features']}): {ms(one)} ms an iteration at "
        f"k = 100, where scikit-learn takes {ms(one, THEIRS)} and FAISS {ms(one, 'faiss-dense')}; "
        f"{ms(two)} at k = 1000, where FAISS takes {ms(two, 'faiss-dense')} and scikit-learn "
        f"{ms(two, THEIRS)}.",
        source,
    )
    texts = {
        case: [stored.seconds("text", case, name) for name in (OURS, THEIRS)]
        for case in ("zipf-63k-100", "zipf-5k-10")
    }
    (ours, theirs), (ours_small, theirs_small) = texts.values()
    yield Claim(
        f"`TfidfVectorizer`: {about['rows']:,} texts in {ours:.2f} s, where scikit-learn takes "
        f"{theirs:.1f}; 5,000 in {ours_small:.3f} s and {theirs_small:.3f}.",
        source,
    )
    few, pair, large = "tmdb-10", "tmdb-2", "zipf-63k-2"
    intelex = "scikit-learn-intelex"
    yield Claim(
        f"takes {ms(few)} ms with ten clusters, where scikit-learn takes {ms(few, THEIRS)}. With "
        f"two clusters nobody is far ahead: {ms(pair)} ms on the films, where scikit-learn takes "
        f"{ms(pair, THEIRS)} and scikit-learn-intelex {ms(pair, intelex)}; on {about['rows']:,} "
        f"documents {ms(large)}, {ms(large, THEIRS)} and {ms(large, intelex)}.",
        source,
    )
    ratios: dict[int, list[float]] = {}
    for loop in stored.pruning["loops"]:
        assert loop["same_labels"], loop
        ratios.setdefault(loop["k"], []).append(loop["ratio"]["median"])
    *parts, last = (f"{sorted(values)[len(values) // 2]:.2f}" for values in ratios.values())
    *ks, most = (f"{k:,}" for k in ratios)
    yield Claim(
        f"takes {', '.join(parts)} and {last} of the time of looking at everything at "
        f"{', '.join(ks)} and {most} clusters, with the same labels",
        "pruning.json",
    )


def _service(stored: Records) -> Iterator[Claim]:
    about = stored.service
    burst, steady, fit = about["burst"], about["steady"], about["fit"]["steady"]
    assert not burst["errors"] + steady["errors"] + fit["errors"]
    yield Claim(
        f"answers {round(burst['answers_a_second'], -1):.0f} recommendations of the nearest "
        f"cluster a second on these two cores, shared with {burst['connections']} connections "
        f"that ask ({about['items']:,} items, 99 % within {burst['p99_ms']:.0f} ms), and "
        f"{steady['asked_a_second']:.0f} a second within {steady['p99_ms']:.0f} ms, "
        f"{fit['p99_ms']:.0f} while a fit runs",
        "service.json",
    )


def _reach(stored: Records) -> Iterator[Claim]:
    about, (first, *_) = stored.reach, stored.reach["draws"]
    blend = [draw["nearest_cluster"]["blend"] for draw in about["draws"]]
    source = "reach.json"
    yield Claim(f"short texts in {about['terms']:,} dimensions", source)
    yield Claim(
        f"ten clusters explain {100 * about['explained']:.1f} % of the inertia of the films, and "
        f"the mean silhouette is {first['silhouette']:.3f}",
        source,
    )
    yield Claim(
        f"{first['n_queries']:,} queries ever see only "
        f"{first['nearest_cluster']['popularity']} of the {about['items']:,} films; blending "
        f"relevance with popularity there reaches {blend[0]:,} ({min(blend):,} to {max(blend):,} "
        "over ten draws of queries), and plain cosine over all films "
        f"{first['whole_catalogue']['relevance']:,}",
        source,
    )


def _search(stored: Records) -> Iterator[Claim]:
    about, source = stored.search, "search.json"
    tags, words = about["tags"], about["words"]
    figures = {name: own["precision_at_10"] for name, own in tags["rankings"].items()}
    yield Claim(
        f"Of {tags['queries']} tags as queries (taken out of what is searched), "
        f"{100 * figures['best']:.1f} % of the first ten films have the tag; plain cosine over all "
        f"films has {100 * figures['cosine']:.1f} %, the blend within the nearest of 25 clusters "
        f"{100 * figures['blend_in_nearest_cluster_25']:.1f} %, the article's rule "
        f"{100 * figures['article_25']:.1f} %",
        source,
    )
    missed = words["best_match_not_in_first_ten"]
    if any(missed.values()) or words["queries_with_an_unmatched_film_before_a_match"]:
        raise ValueError("README says that no word misses its best match")
    yield Claim(
        f"Asked for its title, a film comes first in {100 * about['titles']['first']:.0f} % of all "
        f"cases, with a typing error in {100 * about['typing_errors']['first']:.0f} %",
        source,
    )
    films, made = (own["milliseconds"]["three words"] for own in (about, about["synthetic"]))
    yield Claim(
        f"Three words take {short(films['median'])} ms of one core there, and "
        f"{short(made['median'])} on {about['synthetic']['items']:,} synthetic items",
        source,
    )


def _computed() -> Iterator[Claim]:
    rows, terms, width = 63_000, 79_000, 4
    size = rows * terms * width / 1e9
    yield Claim(
        f"{size:.0f} GB for {rows:,} texts of {terms:,} terms", "rows x terms x 4 bytes", "backends"
    )


# -- the pages against them ---------------------------------------------------------------------


def problems(text: str, stored: Records, page: str) -> list[str]:
    """Claims that a page does not have as they should be, and figures that no claim covers."""
    prose = prose_of(text)
    covered = bytearray(len(prose))
    amiss = []
    here = {claim.text for claim in claims(stored) if claim.page == page}
    for phrase in [claim.text for claim in claims(stored)] + list(NAMES):
        places = [match.span() for match in re.finditer(re.escape(phrase), prose)]
        if not places and phrase in here:
            amiss.append(f"not in {PAGES[page].name}: {phrase}")
        for start, end in places:
            covered[start:end] = b"\x01" * (end - start)
    for match in NUMBER.finditer(prose):
        if not all(covered[match.start() : match.end()]):
            around = prose[max(0, match.start() - 40) : match.end() + 40]
            amiss.append(f"{match.group()} has no record: ...{around}...")
    for case in BETTER:
        ours, theirs = (stored.record("convergence", case, name) for name in (OURS, THEIRS))
        if ours["inertia"]["max"] >= theirs["inertia"]["min"] or len(ours["fits"]) < 2:
            amiss.append(f"a fit of {case} does not end below the best of theirs")
    return amiss


def prose_of(page: str) -> str:
    """A page without its blocks, options of commands and targets of its links, on one line."""
    text = re.sub(r"^```.*?^```", "", page, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"`(?!python)[^`]*(?:--[a-z]|MODEL)[^`]*`", "", text)
    return " ".join(re.sub(r"\]\([^)]*\)", "]", text).split())


def main() -> int:
    """Print every claim with its record; 1 where a page and the records differ."""
    parser = argparse.ArgumentParser(prog="bench.readme", description=__doc__.split("\n")[0])
    parser.add_argument("--tmdb", type=Path, metavar="FOLDER", help="measure the reach again")
    options = parser.parse_args()
    stored = Records()
    for claim in claims(stored):
        print(f"{claim.source}: {claim.text}")
    amiss = [
        problem
        for page, path in PAGES.items()
        for problem in problems(path.read_text("utf-8"), stored, page)
    ]
    if options.tmdb:
        amiss += _measured_again(options.tmdb, stored)
    for problem in amiss:
        print(f"AMISS: {problem}", file=sys.stderr)
    return 1 if amiss else 0


def _measured_again(folder: Path, stored: Records) -> list[str]:
    from bench.reach import measure

    files = (folder / f"tmdb_5000_{part}.csv" for part in ("movies", "credits"))
    now, before = measure(*files, range(1)), stored.reach
    same = now["draws"] == before["draws"][:1] and math.isclose(now["inertia"], before["inertia"])
    return [] if same else [f"reach.json has {before['draws'][0]}, and now it is {now['draws'][0]}"]


if __name__ == "__main__":
    sys.exit(main())
