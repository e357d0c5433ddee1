"""The benchmark works from end to end, and neither invents a figure nor loses one."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from bench import pruning, targets
from bench.cases import CASES, QUESTIONS, TIERS, corpora, select
from bench.compare import compare
from bench.contestants import CONTESTANTS, Contestant
from bench.contestants.base import CannotRun
from bench.growth import Line, fitted
from bench.measure import enough, judge, often, sizes, spread, summary
from bench.process import apart
from bench.records import read
from bench.report import write_report

ROOT = Path(__file__).resolve().parents[1]

RUNNING = ("gpu_kmeans-cpu", "faiss-sparse")
ABSENT = ("superkmeans", "flash-kmeans")  # one takes dense rows only, the other needs a GPU


def bench(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records of the tiny tier: the bundled sample, and a handful of contestants."""
    out = tmp_path_factory.mktemp("bench") / "tiny.jsonl"
    arguments = ["--tier", "tiny", "--case", "sample-10", "--repeats", "1", "--out", out]
    done = bench("run", *arguments, "--contestant", *RUNNING, *ABSENT)
    assert done.returncode == 0, done.stderr
    assert f"records are in {out}" in done.stderr  # and before that, the progress
    return out


@pytest.fixture(scope="module")
def records(ran: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ran.read_text().splitlines()]


def of(records: list[dict[str, Any]], question: str) -> dict[str, dict[str, Any]]:
    return {each["contestant"]: each for each in records if each["question"] == question}


def numbers(value: Any) -> Iterator[float]:
    """All numbers within a record."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from numbers(each)
    elif isinstance(value, int | float):
        yield value


# -- a run ----------------------------------------------------------------------------------


def test_every_record_says_what_ran_where_and_how_it_ended(records: list[dict[str, Any]]) -> None:
    for record in records:
        assert record["status"] in ("done", "skipped", "failed")
        assert record["machine"]["processor"]
        assert record["machine"]["versions"]["numpy"] == np.__version__
        assert record["machine"]["threads"] == record["threads"] >= 1
        assert all(map(math.isfinite, numbers(record)))


def test_nobody_fails_and_who_is_skipped_has_a_reason_and_no_time(
    records: list[dict[str, Any]],
) -> None:
    for record in records:
        if record["contestant"] in RUNNING:
            assert record["status"] == "done", record["reason"]
            assert record["reason"] is None
        else:
            assert record["status"] == "skipped"
            assert record["reason"]
            assert not {"seconds", "inertia", "fits", "targets", "peak_bytes"} & set(record)


def test_the_judge_finds_the_same_inertia_for_one_start_and_one_count(
    records: list[dict[str, Any]],
) -> None:
    found = of(records, "iteration")
    ours, theirs = found["gpu_kmeans-cpu"], found["faiss-sparse"]
    assert ours["inertia"] == pytest.approx(theirs["inertia"], rel=1e-5)
    assert ours["seconds"]["median"] > 0
    assert ours["sizes"]["min"] >= 1
    assert 2**20 < ours["peak_bytes"] < 2**33
    assert ours["warm_up"] == 1 and ours["repeats"] >= 2


def test_convergence_has_a_fit_for_each_seed_and_their_spread(
    records: list[dict[str, Any]],
) -> None:
    for record in of(records, "convergence").values():
        if record["status"] == "done":
            inertia = [fit["inertia"] for fit in record["fits"]]
            assert [fit["seed"] for fit in record["fits"]] == list(range(len(inertia)))
            assert record["inertia"]["min"] == min(inertia)
            assert record["inertia"]["max"] == max(inertia)
            assert len(inertia) == 2 or record["fewer_because"]


def test_the_best_inertia_of_the_run_is_reached_by_who_found_it(
    records: list[dict[str, Any]],
) -> None:
    fits = of(records, "convergence")
    best = min(each["inertia"]["min"] for each in fits.values() if each["status"] == "done")
    aims = [each["targets"] for each in of(records, "target").values() if "targets" in each]
    assert all(each["1.0"]["target"] == best for each in aims)
    assert any(each["1.0"]["reached"] for each in aims)
    for each in aims:
        for aim in each.values():
            assert ("seconds" in aim) == aim["reached"]
            if aim["reached"]:
                assert aim["inertia"] <= aim["target"] * (1 + 2e-6)


def test_text_articles_and_queries_are_measured(records: list[dict[str, Any]]) -> None:
    text = of(records, "text")["gpu_kmeans-cpu"]
    assert text["texts"] == 243
    assert text["same_as_scikit_learn"]["pattern"]
    assert text["same_as_scikit_learn"]["largest_difference"] < 1e-6
    article = of(records, "article")["gpu_kmeans-cpu"]
    assert article["seconds"]["median"] > 0.1  # a whole process
    assert 0 < article["inertia"] < 243
    assert of(records, "queries")["gpu_kmeans-cpu"]["queries_per_second"] > 1


def test_a_file_of_records_is_never_written_over(ran: Path) -> None:
    before = ran.read_bytes()
    done = bench("run", "--tier", "tiny", "--out", ran)
    assert done.returncode == 1
    assert "exists" in done.stderr
    assert ran.read_bytes() == before


@pytest.mark.skipif(os.name == "nt", reason="signals are sent otherwise on Windows")
def test_a_stopped_run_keeps_what_it_has(tmp_path: Path) -> None:
    out = tmp_path / "stopped.jsonl"
    command = ["-m", "bench", "run", "--tier", "tiny", "--out", str(out)]
    with subprocess.Popen(
        [sys.executable, *command],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        # A shell has the commands of its background ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as run:
        deadline = time.monotonic() + 60
        while not (out.exists() and out.stat().st_size) and time.monotonic() < deadline:
            time.sleep(0.05)
        run.send_signal(signal.SIGINT)
        said = run.communicate()[1]
    assert run.returncode == 130
    kept = read([out])
    assert len(kept) >= 1
    assert re.search(rf"stopped; {len(kept)} of \d+ records are in", said)


# -- a report -------------------------------------------------------------------------------


def test_a_report_has_a_table_for_each_question_and_figures_in_both_formats(
    ran: Path, tmp_path: Path
) -> None:
    done = bench("report", ran, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    page = tmp_path / "report.md"
    assert done.stdout.strip() == str(page)
    text = page.read_text()
    assert text.count("### sample-10") == len(QUESTIONS)
    assert "superkmeans | skipped | " in text
    drawn = re.findall(r"!\[[^]]*\]\((.*?)\)", text)
    assert drawn == ["iteration-sample.png", "convergence-sample.png"]
    for name in drawn:
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
        assert "<svg" in (tmp_path / name).with_suffix(".svg").read_text()


def test_a_report_names_who_subsamples_and_who_stops_early(
    records: list[dict[str, Any]], tmp_path: Path
) -> None:
    measured = of(records, "convergence")["gpu_kmeans-cpu"]
    sampled = [measured | {"contestant": name} for name in ("faiss-default", "superkmeans")]
    text = write_report([measured, *sampled], tmp_path).read_text()
    assert "**FAISS, as it comes**: trains on at most 256 rows a cluster" in text
    assert "**superkmeans**: stops when its centroids rest" in text


def test_growth_is_reported_with_its_slope(records: list[dict[str, Any]], tmp_path: Path) -> None:
    about = of(records, "iteration")["gpu_kmeans-cpu"]
    grown = [
        about
        | {
            "case": f"growth-documents-{size}",
            "series": "documents",
            "size": size,
            "seconds": dict.fromkeys(("median", "min", "max"), size * 1e-6),
        }
        for size in (1000, 2000, 4000)
    ]
    text = write_report(grown, tmp_path).read_text()
    assert "gpu_kmeans (cpu), seconds an iteration | 0.001 | 0.002 | 0.004 | 1.00 |" in text
    assert (tmp_path / "growth-documents.svg").exists()
    assert (tmp_path / "growth-documents.png").exists()


def test_the_slope_is_the_power_of_the_size() -> None:
    assert fitted(Line([1, 10, 100], [5, 50, 500])) == pytest.approx(1)
    assert fitted(Line([1, 4, 16], [8, 4, 2])) == pytest.approx(-0.5)
    assert fitted(Line([1], [5])) is None


def test_a_report_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no records"):
        write_report([], tmp_path)


def test_a_file_of_something_else_is_refused_with_the_line(tmp_path: Path) -> None:
    file = tmp_path / "other.jsonl"
    file.write_text('{"schema": 0}\n')
    done = bench("report", file)
    assert done.returncode == 1
    assert "other.jsonl, line 1" in done.stderr


# -- a comparison ------------------------------------------------------------------------------


def test_a_file_compared_with_itself_is_neither_faster_nor_slower(ran: Path) -> None:
    done = bench("compare", ran, ran)
    assert done.returncode == 0, done.stderr
    assert "1.00" in done.stdout
    assert "faster" not in done.stdout and "slower" not in done.stdout
    assert "Not the same machine" not in done.stdout


def test_a_comparison_says_faster_only_where_the_spreads_are_apart(
    records: list[dict[str, Any]],
) -> None:
    old = of(records, "iteration")["gpu_kmeans-cpu"] | {
        "seconds": {"median": 2.0, "min": 1.5, "max": 3.0}
    }
    apart = old | {"seconds": {"median": 1.0, "min": 0.9, "max": 1.4}}
    touching = old | {"seconds": {"median": 1.0, "min": 0.9, "max": 1.6}}
    assert "| 0.50 | faster |" in compare([old], [apart])
    assert "| 2.00 | slower |" in compare([apart], [old])
    assert "| 0.50 |  |" in compare([old], [touching])
    elsewhere = apart | {"machine": apart["machine"] | {"processor": "another"}}
    assert "Not the same machine" in compare([old], [elsewhere])
    lost = old | {"status": "failed", "reason": "it broke"}
    assert "| done | failed | it broke |" in compare([old], [lost])


# -- the judge -------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix, sparse.csr_array])
def test_the_judge_is_the_definition(form: Any) -> None:
    rng = np.random.default_rng(0)
    rows = rng.random((40, 6)) * (rng.random((40, 6)) < 0.5)
    labels = rng.integers(0, 4, 40)
    expected = sum(
        float(((rows[labels == each] - rows[labels == each].mean(axis=0)) ** 2).sum())
        for each in range(4)
    )
    assert judge(form(rows), labels, 4) == pytest.approx(expected)
    assert judge(form(rows), labels, 9) == pytest.approx(expected)  # five empty clusters


def test_sizes_count_empty_clusters() -> None:
    assert sizes(np.array([0, 0, 0, 2]), 4) == {"min": 0, "median": 0, "max": 3, "empty": 2}


def test_long_runs_are_repeated_less_and_say_why() -> None:
    assert enough(2.0, 5) == (5, None)
    assert enough(0.1, 5) == (20, None)  # two seconds' worth
    few, because = enough(5.0, 5)
    assert few == 3 and because is not None and "5.0 s" in because
    one, because = enough(60.0, 5)
    assert one == 1 and because is not None and "60 s" in because


def test_iterations_are_repeated_as_asked_however_long_and_short_ones_more_often() -> None:
    assert often(100.0, 5) == 5
    assert often(0.1, 5) == 20
    assert often(1e-6, 5) == 101


@pytest.mark.parametrize("name", ["faiss-dense", "scikit-learn"])
def test_processes_have_the_kernels_that_users_have(name: str, tmp_path: Path, monkeypatch) -> None:
    """Whatever is set here; FAISS has those of this processor, which it would not find."""
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Prescott")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    (tmp_path / "python").write_text('#!/bin/sh\necho "of $OPENBLAS_CORETYPE" >&2; exit 3\n')
    (tmp_path / "python").chmod(0o755)
    environment = CONTESTANTS[name].environment
    spec = {"threads": 1}
    answer = apart(spec, tmp_path / "task", timeout=20, memory=4, environment=environment)
    said = f"of {environment.get('OPENBLAS_CORETYPE', '')}".strip()
    assert said != "of Prescott"
    assert answer["failed"].endswith(f": {said}")


def test_loops_are_compared_with_and_without_what_saves_work() -> None:
    found = pruning.loops("zipf-2k", k=70, seed=0, pairs=1)
    assert found["iterations"] > 3
    assert set(found["seconds"]) == set(pruning.WAYS)
    assert found["same_labels"]
    assert found["ratio"]["median"] > 0


def test_of_many_values_the_middle_half_is_told() -> None:
    few = summary([1.0, 2.0, 9.0])
    assert few == {"median": 2.0, "min": 1.0, "max": 9.0}
    assert spread(few) == (1.0, 9.0)
    many = summary([float(value) for value in range(1, 10)])
    assert (many["median"], spread(many)) == (5.0, (3.0, 7.0))


# -- targets -----------------------------------------------------------------------------------


def fit(seed: int, seconds: float, inertia: float, n_iter: int | None = 10) -> dict[str, Any]:
    return {"seed": seed, "seconds": seconds, "inertia": inertia, "n_iter": n_iter}


def test_targets_are_multiples_of_the_lowest_inertia_of_anyone() -> None:
    found = targets.targets(
        {
            "gpu_kmeans-cpu": {"fits": [fit(0, 1, 100.0), fit(1, 1, 102.0)]},
            "scikit-learn": {"fits": [fit(0, 1, 105.0), fit(1, 1, 104.0)]},
        }
    )
    expected = {"1.01": 101.0, "1.001": 100.1, "1.0": 100.0, "scikit-learn": 104.0}
    assert found == pytest.approx(expected)


def test_missed_seeds_count_in_full_and_the_first_that_reaches_by_its_shortest_fit() -> None:
    record = {
        "contestant": "faiss-sparse",
        "fits": [fit(0, 3.0, 120.0), fit(1, 5.0, 100.0), fit(2, 1.0, 99.0)],
    }
    wanted = {"1.01": 101.0, "1.0": 98.0}
    attempts = targets.plan(record, wanted)
    assert [(each["seed"], each["limit"]) for each in attempts] == [(1, 1), (1, 2), (1, 4), (1, 8)]
    seconds = {"median": 2.0, "min": 1.9, "max": 2.1}
    judged = [
        attempts[2] | {"seconds": seconds, "inertia": 101.5, "repeats": 5},
        attempts[3] | {"seconds": seconds, "inertia": 100.5, "repeats": 5},
    ]
    found = targets.reached(record, wanted, judged)
    assert found["1.01"]["seconds"] == pytest.approx({"median": 5.0, "min": 4.9, "max": 5.1})
    assert found["1.01"]["how"] == "ended by 8 iterations"
    assert found["1.0"] == {
        "target": 98.0,
        "reached": False,
        "seeds_tried": 3,
        "seconds_spent": 9.0,
    }


def test_only_the_attempts_that_count_are_repeated() -> None:
    def attempt(seed: int, goals: list[float], inertia: float, seconds: float) -> dict[str, Any]:
        return {"seed": seed, "goals": goals, "inertia": inertia, "each": [seconds]}

    attempts = [
        attempt(0, [101.0], 105.0, 1.0),
        attempt(0, [101.0], 100.5, 2.0),
        attempt(3, [99.0], 100.0, 0.5),  # of another seed, which came later
        attempt(3, [99.0], 99.0, 1.5),
    ]
    assert targets.quickest(attempts) == [1, 3]


# -- cases and contestants ----------------------------------------------------------------------


def test_cases_have_names_of_their_own_and_name_what_exists() -> None:
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names)
    known = corpora(None)
    for case in CASES:
        assert case.tier in TIERS
        assert case.corpus in known
        assert set(case.questions) <= set(QUESTIONS)
        assert set(case.only) <= set(CONTESTANTS)
    assert {case.tier for case in CASES} == set(TIERS)


def test_cases_are_chosen_by_tier_name_or_corpus() -> None:
    assert {case.tier for case in select("standard", [])} == {"standard"}
    assert [case.name for case in select(None, ["zipf-63k-100"])] == ["zipf-63k-100"]
    assert [case.k for case in select(None, ["tmdb"])] == [10, 50, 100, 2, 3, 5]
    with pytest.raises(ValueError, match="no case is named nonsense"):
        select(None, ["nonsense"])


@pytest.mark.parametrize("contestant", CONTESTANTS.values(), ids=CONTESTANTS)
def test_a_contestant_that_cannot_run_says_why_before_it_costs_anything(
    contestant: Contestant,
) -> None:
    reason = contestant.obstacle()
    assert reason is None or reason
    needed = contestant.too_much(True, (63_000, 79_000), memory=8)
    if contestant.rows == "densified":
        assert needed is not None and "18.5 GiB" in needed
    assert set(contestant.questions) <= set(QUESTIONS)


def test_absent_films_are_a_reason_and_no_failure(tmp_path: Path) -> None:
    with pytest.raises(CannotRun, match="GPU_KMEANS_TMDB"):
        corpora(tmp_path)["tmdb"].rows()


# -- limits ----------------------------------------------------------------------------------------


def spec(**more: Any) -> dict[str, Any]:
    case = {"k": 3, "iterations": 2, "seeds": 1, "patience": 1.0}
    about = {"question": "text", "contestant": "gpu_kmeans-cpu", "repeats": 1, "threads": 1}
    return about | {"case": case} | more


def test_a_contestant_is_stopped_at_its_time(tmp_path: Path) -> None:
    found = apart(spec(texts="none"), tmp_path / "task", timeout=0.01, memory=8)
    assert found == {"failed": "stopped after 0.01 s, the limit of the case"}


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is told by Linux alone")
def test_a_contestant_is_stopped_at_its_memory(tmp_path: Path) -> None:
    found = apart(spec(texts="none"), tmp_path / "task", timeout=60, memory=1e-4)
    assert re.fullmatch(r"stopped at .* GiB; the case allows 0.0001 GiB", found["failed"])


def test_what_a_contestant_raises_is_its_answer(tmp_path: Path) -> None:
    found = apart(spec(texts="absent.json"), tmp_path / "task", timeout=60, memory=8)
    assert found["failed"].startswith("FileNotFoundError")
    assert "seconds" not in found
