"""Names, levels, changes by hand, outliers, comparisons, drift, and how many clusters."""

from __future__ import annotations

import csv
import dataclasses
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.ensemble import IsolationForest
from sklearn.metrics import adjusted_rand_score, roc_auc_score, silhouette_samples, v_measure_score
from toy import toy_model

import gpu_kmeans
from gpu_kmeans.backends.select import resolve
from gpu_kmeans.cli import main
from gpu_kmeans.clustering.choose import candidate_counts, choose_clusters
from gpu_kmeans.clustering.indices import adjusted_rand, matched, silhouettes, v_measure
from gpu_kmeans.data import sample
from gpu_kmeans.errors import FeatureMismatch, InvalidParam, UnknownItem
from gpu_kmeans.model import Model
from gpu_kmeans.model.edit import merge, move, rename, split
from gpu_kmeans.model.hierarchy import levels
from gpu_kmeans.model.naming import _unlike, cluster_names, distinctive_terms
from gpu_kmeans.model.outliers import junk_clusters, outliers
from gpu_kmeans.questions.choose_k import choose_k
from gpu_kmeans.questions.compare import carry_names, compare, drift
from gpu_kmeans.questions.update import update

CPU = resolve("cpu")


def blobs(k: int, d: int, n: int = 500, seed: int = 0) -> tuple[NDArray[np.float32], Any]:
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, k, n)
    rows = draw.normal(0, 7, (k, d))[labels] + draw.normal(0, 1, (n, d))
    return rows.astype(np.float32), labels


def fitted(tmp_path: Path, rows: NDArray[Any], **options: Any) -> Model:
    np.save(tmp_path / "rows.npy", rows)
    return gpu_kmeans.fit(tmp_path / "rows.npy", backend="cpu", **options)


@pytest.fixture(scope="module")
def films() -> Model:
    options: dict[str, Any] = {"weighting": "bm25", "reduce": 12}
    return gpu_kmeans.fit(*sample.paths(), n_clusters=8, backend="cpu", **options)


def run(capsys: Any, *arguments: object) -> Any:
    assert main([str(argument) for argument in (*arguments, "--json")]) == 0
    return json.loads(capsys.readouterr().out)


# -- indices ---------------------------------------------------------------------------------

LABELS = st.lists(st.integers(0, 4), min_size=2, max_size=40)


@settings(deadline=None, max_examples=200)
@given(LABELS, st.randoms(use_true_random=False))
def test_indices_are_scikit_learns(one: list[int], draw: Any) -> None:
    other = [draw.choice([label, draw.randrange(4)]) for label in one]
    first, second = np.array(one), np.array(other)
    assert adjusted_rand(first, second) == pytest.approx(adjusted_rand_score(one, other), abs=1e-9)
    assert v_measure(first, second) == pytest.approx(v_measure_score(one, other), abs=1e-9)
    assert adjusted_rand(first, first) == v_measure(first, first) == 1


def test_rows_in_no_cluster_count_for_nothing() -> None:
    one, other = np.array([0, 0, 1, 1, -1, 2]), np.array([1, 1, 0, 0, 0, -1])
    assert adjusted_rand(one, other) == v_measure(one, other) == 1
    assert matched(one, other) == {0: 1, 1: 0}


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_silhouettes_are_scikit_learns(metric: str) -> None:
    rows, labels = blobs(3, 4, 80)
    rows = rows.astype(np.float64)
    theirs = silhouette_samples(
        rows, labels, metric="cosine" if metric == "cosine" else "sqeuclidean"
    )
    sample_of = np.arange(0, 80, 3)
    own = silhouettes(rows, labels.astype(np.int32), np.bincount(labels), sample_of, metric)
    np.testing.assert_allclose(own, theirs[sample_of], atol=1e-9)


# -- names -----------------------------------------------------------------------------------


def test_names_are_of_terms_that_no_other_cluster_has_more_of() -> None:
    model = toy_model()
    names = cluster_names(model)
    assert len(set(names)) == 3
    space, kitchen, war = distinctive_terms(model)
    assert {"alien", "planet", "spaceship"} <= set(space)
    assert {"chef", "recipe", "restaurant"} <= set(kitchen)
    assert {"army", "battle", "soldier"} <= set(war)
    assert not set(space) & set(kitchen) | set(kitchen) & set(war)


def test_a_name_has_no_two_words_of_one_stem() -> None:
    words = ["ships", "ship", "sea", "seas", "shipping"]
    assert _unlike(words, 9) == ["ships", "sea", "seas"]


def test_every_cluster_of_films_has_a_name_of_its_own(films: Model) -> None:
    names = cluster_names(films)
    assert len(set(names)) == 8
    assert all(name.strip() for name in names)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(-1, 3), min_size=13, max_size=13), st.integers(1, 5))
def test_names_are_never_empty_nor_the_same(labels: list[int], k: int) -> None:
    label = np.minimum(np.array(labels, dtype=np.int32), k - 1)
    if not (label >= 0).any():
        label[0] = 0
    rows = toy_model().postings.to_csr().toarray()
    centroids = np.array(
        [rows[label == c].mean(axis=0) if (label == c).any() else rows[0] for c in range(k)]
    )
    names = cluster_names(toy_model(labels=label, centroids=centroids.astype(np.float32)))
    assert all(names)
    assert len(set(names)) == k


def test_clusters_of_numbers_are_named_by_what_is_high_and_low(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["age", "income"])
        for i in range(60):
            writer.writerow([20 + i % 5 + 40 * (i % 2), 1000 + 10 * i + 5000 * (i // 30)])
    model = gpu_kmeans.fit(path, n_clusters=4, backend="cpu")
    names = cluster_names(model)
    assert {frozenset(name.split(", ")) for name in names} == {
        frozenset({f"{age} age", f"{income} income"})
        for age in ("high", "low")
        for income in ("high", "low")
    }


# -- changes by hand ---------------------------------------------------------------------------


def test_a_persons_name_overrules_and_is_kept(tmp_path: Path) -> None:
    model = rename(toy_model(), 1, "  Food \n and drink ")
    assert cluster_names(model)[1] == "Food and drink"
    model.save(tmp_path / "m")
    assert Model.load(tmp_path / "m").names == {1: "Food and drink"}
    assert cluster_names(rename(model, 1, None)) == cluster_names(toy_model())
    for label, name in [(2, "Food and drink"), (0, " "), (0, "x" * 101), (0, "a\x1bb"), (7, "x")]:
        with pytest.raises(InvalidParam):
            rename(model, label, name)


def test_merging_joins_items_and_closes_the_gap() -> None:
    model = merge(rename(toy_model(), 2, "War"), [0, 1])
    assert model.n_clusters == 2
    assert model.sizes.tolist() == [8, 4]
    assert model.names == {1: "War"}
    rows = model.postings.to_csr().toarray()
    np.testing.assert_allclose(model.centroids[0], rows[model.labels == 0].mean(axis=0), atol=1e-6)
    assert model.info.parameters["edits"][-1] == {"merge": [0, 1]}
    inside = rows[model.clustered]
    means = model.centroids[model.labels[model.clustered]]
    assert model.info.inertia == pytest.approx(float(np.square(inside - means).sum()), rel=1e-4)
    with pytest.raises(InvalidParam, match="two or more different"):
        merge(model, [1, 1])


def test_splitting_parts_a_cluster_and_leaves_the_others(tmp_path: Path) -> None:
    rows, _ = blobs(4, 5)
    model = fitted(tmp_path, rows, n_clusters=2)
    parted = split(split(model, 0), 1)
    assert parted.n_clusters == 4
    untouched = model.labels == 1
    assert set(split(model, 0).labels[untouched].tolist()) == {1}
    again = merge(split(model, 0), [0, 2])
    assert again.labels.tolist() == model.labels.tolist()
    with pytest.raises(InvalidParam, match="cannot be split into 1000"):
        split(model, 0, 1000)


def test_moving_items_moves_the_means() -> None:
    model = move(toy_model(), [10, 11], 2)
    assert model.labels[:2].tolist() == [2, 2]
    assert model.sizes.tolist() == [2, 4, 6]
    rows = model.postings.to_csr().toarray()
    np.testing.assert_allclose(model.centroids[2], rows[model.labels == 2].mean(axis=0), atol=1e-6)
    with pytest.raises(UnknownItem):
        move(model, [999], 0)


# -- levels ------------------------------------------------------------------------------------


def test_levels_part_one_another_and_have_names(films: Model) -> None:
    made = levels(films, [2, 4, 12])
    assert [len(level.names) for level in made] == [2, 4, 12]
    for above, below in pairwise(made):
        assert below.parents is not None
        inside = below.labels >= 0
        expected = below.parents[below.labels[inside]]
        assert expected.tolist() == above.labels[inside].tolist()
        assert len(set(below.names)) == len(below.names)
    own = levels(films, [8])[0]
    assert adjusted_rand_score(own.labels, films.labels) == 1
    for wrong in ([4, 2], [3, 3], [], [0], [10**6]):
        with pytest.raises(InvalidParam):
            levels(films, wrong)


# -- outliers ----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_planted_outliers_are_found(tmp_path: Path, seed: int) -> None:
    draw = np.random.default_rng(seed)
    rows, _ = blobs(5, 8, 1_000, seed)
    planted = draw.choice(1_000, 20, replace=False)
    rows[planted] = draw.uniform(-25, 25, (20, 8))
    truth = np.isin(np.arange(1_000), planted)
    scores = outliers(fitted(tmp_path, rows, n_clusters=6)).scores
    peer = -IsolationForest(random_state=0).fit(rows).score_samples(rows)
    assert roc_auc_score(truth, scores) > 0.95
    assert roc_auc_score(truth, scores) > roc_auc_score(truth, peer) - 0.02


def test_a_far_row_in_a_cluster_of_its_own_is_an_outlier(tmp_path: Path) -> None:
    rows, _ = blobs(3, 2)
    rows[7] = 1e6
    model = fitted(tmp_path, rows, n_clusters=4)
    assert model.sizes.min() == 1
    scored = outliers(model)
    assert scored.first(1).tolist() == [7]
    assert junk_clusters(model) == [int(model.labels[7])]
    assert np.median(scored.scores) == pytest.approx(1, abs=0.1)


def test_texts_without_a_term_have_no_score() -> None:
    scored = outliers(toy_model())
    assert np.isnan(scored.scores[-1])
    assert np.isfinite(scored.scores[:-1]).all()
    assert scored.nearest[-1] == -1


def test_one_value_of_a_billion_bends_no_trimmed_fit(tmp_path: Path) -> None:
    rows, labels = blobs(4, 3, 400)
    path = tmp_path / "c.csv"
    rows = rows.astype(np.float64)
    rows[11, 0] = 1e9
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["x", "y", "z"], *rows.tolist()])
    plain = gpu_kmeans.fit(path, n_clusters=4, backend="cpu")
    assert adjusted_rand_score(labels, plain.labels) < 0.9
    model = gpu_kmeans.fit(path, n_clusters=4, trim=0.005, backend="cpu")
    inside = model.clustered
    assert (~inside).sum() == 2
    assert not inside[11]
    assert adjusted_rand_score(labels[inside], model.labels[inside]) > 0.98
    assert model.unclustered() == {"set_apart": 2}
    for trim in (-0.1, 0.5, float("nan")):
        with pytest.raises(InvalidParam, match="trim"):
            gpu_kmeans.fit(path, trim=trim, backend="cpu")


# -- two models ----------------------------------------------------------------------------------


def test_a_model_agrees_with_itself_under_other_numbers(films: Model) -> None:
    turned = films.labels.copy()
    turned[films.clustered] = 7 - films.labels[films.clustered]
    other = dataclasses.replace(films, labels=turned, centroids=films.centroids[::-1].copy())
    found = compare(films, other)
    assert (found.agreement, found.n_moved, found.n_gone, found.n_new) == (1, 0, 0, 0)
    assert found.verdict == "all items are in the same clusters"
    assert found.terms == {}


def test_what_moved_came_and_went_is_told() -> None:
    before, after = toy_model(), move(toy_model(), [30, 31], 0)
    found = compare(before, after)
    assert found.moved == [30, 31]
    assert found.n_moved == 2
    flows = {(flow.before, flow.after): flow for flow in found.flows}
    assert (flows[2, 0].items, flows[2, 0].matched) == (2, False)
    assert (flows[1, 1].items, flows[1, 1].matched) == (4, True)
    assert "battle" in found.terms[0]["came"]
    assert found.agreement == pytest.approx(
        adjusted_rand_score(before.labels[:-1], after.labels[:-1])
    )
    gone = toy_model(items=toy_model().items.set_column(0, "id", pa.array(range(100, 113))))
    with pytest.raises(InvalidParam, match="share no item"):
        compare(before, gone)


def test_names_survive_a_refit() -> None:
    named = rename(rename(toy_model(), 0, "Space"), 2, "War")
    assert carry_names(named, move(toy_model(), [30], 0)) == {0: "Space", 2: "War"}
    assert carry_names(named, merge(toy_model(), [0, 1])) == {0: "Space", 1: "War"}
    assert carry_names(toy_model(), named) == {}


def test_rows_of_another_kind_are_a_drift(tmp_path: Path) -> None:
    rows, _ = blobs(3, 4)
    model = fitted(tmp_path, rows, n_clusters=3)
    same = drift(model, tmp_path / "rows.npy", backend="cpu")
    assert same.n_far <= 10
    assert same.verdict.endswith("as expected")
    np.save(tmp_path / "new.npy", rows[:100] + 5)
    other = drift(model, tmp_path / "new.npy", backend="cpu")
    assert other.n_far > 90
    assert "fit it anew" in other.verdict
    assert sum(n for n, _ in other.clusters.values()) == 100


# -- how many ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("k", "d", "seed"), [(3, 2, 0), (5, 10, 2), (8, 6, 4)])
def test_planted_numbers_of_clusters_stand_out(k: int, d: int, seed: int) -> None:
    rows, _ = blobs(k, d, 400, seed)
    choice = choose_clusters(rows, CPU, range(2, 12), seed=1)
    assert abs(choice.recommended[0] - k) <= 1
    best = next(c for c in choice.candidates if c.k == choice.recommended[0])
    assert best.stability > 0.95
    assert len(best.cluster_stability) == best.k
    assert str(choice.recommended[0]) in choice.reason


@pytest.mark.parametrize("kind", ["uniform", "normal"])
def test_where_nothing_stands_out_it_is_said(kind: str) -> None:
    draw = np.random.default_rng(3)
    rows = getattr(draw, kind)(size=(400, 6)).astype(np.float32)
    choice = choose_clusters(rows, CPU, range(2, 8))
    assert choice.recommended == ()
    assert "no number of clusters stands out" in choice.reason


def test_many_numbers_are_looked_at_farther_apart() -> None:
    assert candidate_counts(2, 6) == [2, 3, 4, 5, 6]
    counts = candidate_counts(2, 100)
    assert counts[:6] == [2, 3, 4, 5, 6, 7]
    assert (counts[-1], len(counts)) == (100, 12)


def test_a_number_is_chosen_for_a_file(tmp_path: Path) -> None:
    rows, labels = blobs(5, 10, 300, 2)
    model = fitted(tmp_path, rows, n_clusters="auto")
    assert adjusted_rand_score(labels, model.labels) == 1
    assert any("'auto': 5 clusters lie apart" in warning for warning in model.info.warnings)
    choice = choose_k(tmp_path / "rows.npy", high=8, backend="cpu")
    assert choice.recommended == (5,)
    with pytest.raises(InvalidParam, match="no use for n_clusters"):
        choose_k(tmp_path / "rows.npy", n_clusters=3)
    with pytest.raises(InvalidParam, match="high"):
        choose_k(tmp_path / "rows.npy", low=9, high=3, backend="cpu")


# -- the commands --------------------------------------------------------------------------------


def test_the_commands_answer(capsys: Any, tmp_path: Path, films: Model) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    films.save(one)
    shown = run(capsys, "edit", one, "rename", 0, "My", "films", "--out", two)
    assert shown["clusters"][0]["name"] == "My films"
    assert run(capsys, "compare", one, two)["agreement"] == 1
    run(capsys, "edit", two, "merge", 1, 2, "--out", two, "--overwrite")
    assert Model.load(two).n_clusters == 7
    item = films.items["id"][0].as_py()
    run(capsys, "edit", two, "move", 3, item, "--out", two, "--overwrite")
    run(capsys, "edit", two, "split", 0, "--out", two, "--overwrite")
    assert Model.load(two).n_clusters == 8
    tree = run(capsys, "levels", one, 2, 5)["levels"]
    assert [level["n_clusters"] for level in tree] == [2, 5]
    run(capsys, "levels", one, 2, 5, "--out", tmp_path / "levels.csv")
    with (tmp_path / "levels.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(films.labels)
    assert set(rows[0]) == {"id", "level 1", "level 1 name", "level 2", "level 2 name"}
    scored = run(capsys, "outliers", one, "--limit", 3)["items"]
    assert [each["score"] for each in scored] == sorted(
        (each["score"] for each in scored), reverse=True
    )
    assert run(capsys, "drift", one, sample.paths()[0])["n_rows"] == 243
    choice = run(capsys, "choose-k", sample.paths()[0], "--to", 4, "--reduce", 5)
    assert [c["k"] for c in choice["candidates"]] == [2, 3, 4]
    assert choice["candidates"][0]["coherence"] is not None
    for command in (["compare", one, two], ["levels", one, 2, 5], ["outliers", one]):
        assert main([str(part) for part in command]) == 0
        assert capsys.readouterr().out.strip()
    for wrong in (["rename", 0], ["merge", 1], ["split", "x"], ["move", 1], ["merge", 1, 99]):
        assert main(["edit", str(one), *map(str, wrong), "--out", str(tmp_path / "n")]) == 2


# -- more rows -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [np.asarray, csr_matrix])
def test_rows_that_follow_move_the_means_to_those_of_all(kind: Any) -> None:
    rows, _ = blobs(4, 5, 400)
    kmeans = gpu_kmeans.KMeans(4, random_state=0, backend="cpu").partial_fit(kind(rows[:200]))
    labels = [kmeans.labels_]
    for start in (200, 300):
        batch = rows[start : start + 100]
        expected = kmeans.predict(kind(batch))
        kmeans.partial_fit(kind(batch))
        np.testing.assert_array_equal(kmeans.labels_, expected)
        labels.append(expected)
    seen = np.concatenate(labels)
    means = np.array([rows[seen == k].mean(axis=0, dtype=np.float64) for k in range(4)])
    np.testing.assert_allclose(kmeans.cluster_centers_, means, rtol=1e-4, atol=1e-4)
    assert kmeans.inertia_ > 0
    with pytest.raises(FeatureMismatch):
        kmeans.partial_fit(kind(rows[:10, :3]))


def test_weights_of_rows_that_follow_count() -> None:
    first, second = np.float32([[0.0], [10.0]]), np.float32([[1.0], [9.0]])
    kmeans = gpu_kmeans.KMeans(2, random_state=0, backend="cpu").fit(first)
    kmeans.partial_fit(second, sample_weight=[3.0, 1.0])
    np.testing.assert_allclose(np.sort(kmeans.cluster_centers_.ravel()), [0.75, 9.5])


def test_each_answer_can_be_drawn_beside_it(capsys: Any, tmp_path: Path) -> None:
    rows, _ = blobs(3, 4, 120)
    model = fitted(tmp_path, rows, n_clusters=3)
    model.save(tmp_path / "m")
    fitted(tmp_path, rows, n_clusters=5).save(tmp_path / "n")
    m, n, new = tmp_path / "m", tmp_path / "n", tmp_path / "rows.npy"
    drawn: dict[str, list[object]] = {
        "k.svg": ["choose-k", new, "--to", 4],
        "levels.svg": ["levels", m, 2, 3],
        "outliers.svg": ["outliers", m],
        "flows.svg": ["compare", m, n],
        "drift.svg": ["drift", m, new],
    }
    for name, command in drawn.items():
        found = run(capsys, *command, "--plot", tmp_path / name)
        assert found.pop("figure") == str(tmp_path / name)
        assert found == run(capsys, *command)
        light = (tmp_path / name).read_bytes()
        assert b"<svg" in light
        dark = ["--plot", tmp_path / name, "--overwrite", "--dark"]
        assert main([str(part) for part in [*command, *dark]]) == 0
        assert f"Figure\n  {tmp_path / name}" in capsys.readouterr().out
        assert (tmp_path / name).read_bytes() != light


def test_a_figure_that_cannot_be_written_is_refused_before_the_work(
    capsys: Any, tmp_path: Path
) -> None:
    taken = tmp_path / "taken.png"
    taken.write_text("mine")
    for options, message in (
        (["--plot", taken], "exists: give --overwrite"),
        (["--plot", tmp_path / "k.jpg"], "as .png or .svg, not '.jpg'"),
        (["--plot", tmp_path / "none" / "k.png"], "does not exist"),
        (["--dark"], "--dark goes with --plot"),
    ):
        assert main(["choose-k", str(tmp_path / "no.csv"), *map(str, options)]) == 2
        assert message in capsys.readouterr().err
    assert taken.read_text() == "mine"


def test_new_items_join_their_clusters_without_a_refit(capsys: Any, tmp_path: Path) -> None:
    header = ["id", "plot", "year"]
    old = [[i, f"{'ghost castle' if i % 2 else 'ship storm'} {i % 7}", 1990 + i] for i in range(40)]
    new = [[39, "known already", 1], [100, "ghost in a castle", 2001], [101, "zebra", 2002]]
    for name, rows in (("old.csv", old), ("new.csv", new)):
        with (tmp_path / name).open("w", newline="") as file:
            csv.writer(file).writerows([header, *rows])
    plain: dict[str, Any] = {"columns": {"text": "plot"}, "weighting": "tfidf", "reduce": 0}
    model = gpu_kmeans.fit(tmp_path / "old.csv", n_clusters=2, backend="cpu", **plain)
    rename(model, 0, "Mine").save(tmp_path / "m")
    done = run(capsys, "update", tmp_path / "m", tmp_path / "new.csv", "--out", tmp_path / "n")
    assert (done["n_new"], done["n_known"], done["strange"]) == (2, 1, [101])
    updated = Model.load(tmp_path / "n")
    assert updated.items["id"].to_pylist() == [*range(40), 100, 101]
    assert updated.others is not None
    assert updated.others["year"].to_pylist()[-2:] == ["2001", "2002"]
    assert updated.labels.tolist() == [*model.labels.tolist(), int(model.labels[1]), -1]
    assert updated.names == {0: "Mine"}
    rows = updated.postings.to_csr().toarray()
    for label in range(2):
        mean = rows[updated.labels == label].mean(axis=0)
        np.testing.assert_allclose(updated.centroids[label], mean, atol=1e-6)
    again = ["update", tmp_path / "m", tmp_path / "new.csv", "--out", tmp_path / "k"]
    assert main([str(part) for part in again]) == 0
    assert "1 fit nowhere: 101" in capsys.readouterr().out


def test_rows_of_a_matrix_are_added_likewise(tmp_path: Path) -> None:
    rows, _ = blobs(3, 4, 300)
    model = fitted(tmp_path, rows, n_clusters=3, reduce=2)
    np.save(tmp_path / "new.npy", rows)
    done = update(model, tmp_path / "new.npy", backend="cpu")
    assert (done.n_new, done.n_known) == (300, 0)
    assert done.model.items["id"].to_pylist() == list(range(1, 601))
    assert done.model.labels.tolist() == 2 * model.labels.tolist()
    np.testing.assert_allclose(done.model.centroids, model.centroids, atol=1e-3)
    again = update(done.model, tmp_path / "new.npy", backend="cpu").model
    assert len(again.labels) == 900
