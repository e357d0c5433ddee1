"""The command line, as people and programs meet it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gpu_kmeans
from gpu_kmeans.backends.select import choose
from gpu_kmeans.cli import layout, main, signals
from gpu_kmeans.data import sample

ROOT = Path(__file__).resolve().parents[1]
MOVIES, CREDITS = (str(path) for path in sample.paths())
COMMAND = [sys.executable, "-W", "error", "-m", "gpu_kmeans"]

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the bundled sample, made by the command itself."""
    place = tmp_path_factory.mktemp("fitted") / "model"
    assert main(["fit", MOVIES, CREDITS, "--model", str(place), "--json"]) == 0
    return place


def said(capture: Capture, *arguments: object) -> tuple[int, str, str]:
    """Run a command in this process: exit code, standard output, standard error."""
    code = main([str(argument) for argument in arguments])
    return code, *capture.readouterr()


def result(capture: Capture, *arguments: object) -> dict[str, Any]:
    """Run a command with ``--json`` and return its one object."""
    code, out, err = said(capture, *arguments, "--json")
    assert (code, err, out.count("\n")) == (0, "", 1)
    found = json.loads(out)
    assert isinstance(found, dict)
    return found


def refused(capture: Capture, *arguments: object) -> str:
    """Run a command that is refused in one line, with nothing on standard output."""
    code, out, err = said(capture, *arguments)
    assert (code, out) == (2, "")
    return one_line(err)


def one_line(err: str) -> str:
    assert err.startswith("gpu-kmeans: error: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    return err.removeprefix("gpu-kmeans: error: ").rstrip()


def process(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own."""
    command = [*COMMAND, *map(str, arguments)]
    options = {"capture_output": True, "text": True, "timeout": 60, "cwd": ROOT, **options}
    return subprocess.run(command, check=False, **options)


def remains(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# -- fit ----------------------------------------------------------------------------------


def test_fit_prints_one_object_with_what_programs_need(capsys: Capture, tmp_path: Path) -> None:
    found = result(capsys, "fit", MOVIES, CREDITS, "--model", tmp_path / "m", "--clusters", 7)
    chosen, reason = choose("auto")
    assert (found["backend"], found["n_items"], found["n_clustered"]) == (chosen.name, 243, 240)
    assert found["backend_reason"] == reason
    assert found["n_clusters"] == 7
    assert found["n_terms"] > 1000
    assert found["nnz"] > found["n_items"]
    assert found["inertia"] < found["inertia_one_cluster"] < 240
    assert found["explained"] == pytest.approx(1 - found["inertia"] / found["inertia_one_cluster"])
    assert found["n_iter"] >= 1
    assert set(found["seconds"]) == {"read", "vectorise", "reduce", "cluster", "total"}
    assert len(found["warnings"]) == 3
    assert found["model"] == str(tmp_path / "m")
    assert sum(cluster["size"] for cluster in found["clusters"]) == 240
    assert remains(tmp_path) == ["m"]


def test_the_inertia_of_one_cluster_is_that_of_a_fit_with_one(
    capsys: Capture, tmp_path: Path
) -> None:
    found = result(capsys, "fit", MOVIES, "--model", tmp_path / "m", "-k", 1)
    assert found["inertia_one_cluster"] == pytest.approx(found["inertia"], rel=1e-6)


def test_fit_tells_people_what_it_did(capsys: Capture, tmp_path: Path) -> None:
    code, out, err = said(capsys, "fit", MOVIES, CREDITS, "--model", tmp_path / "m")
    assert (code, err) == (0, "")
    for expected in (
        "240 items in 10 clusters",
        "243 items, 3 in none",
        f"{choose('auto')[0].name} (",
        "non-zeros",
        "one single cluster has",
        "Warning",
        "top terms",
        "vectorise",
        f"gpu-kmeans recommend {tmp_path / 'm'}",
    ):
        assert expected in out
    assert "\x1b" not in out


def test_every_option_of_fit_reaches_the_model(capsys: Capture, tmp_path: Path) -> None:
    options = "--seed 3 --max-iter 9 --algorithm lloyd --backend cpu --stop-words none --ngrams 1 2"
    options += " --min-df 2 --max-df 0.5 --max-features 100 --sublinear-tf"
    options += " --text tagline --title original_title --rating vote_count"
    place = tmp_path / "m"
    found = result(capsys, "fit", MOVIES, "--model", place, *options.split(), "--popularity", "")
    fitted = gpu_kmeans.Model.load(place)
    parameters = fitted.info.parameters
    assert found["n_terms"] == 100
    assert found["seed"] == 3
    assert (parameters["max_iter"], parameters["algorithm"]) == (9, "lloyd")
    assert fitted.info.backend_reason == "asked for"
    assert parameters["columns"] == {
        **{"text": "tagline", "title": "original_title", "rating": "vote_count"},
        "popularity": None,
    }
    assert "popularity" not in fitted.items.column_names
    vectorizer = fitted.vectorizer.get_params()
    assert vectorizer["stop_words"] is None
    assert tuple(vectorizer["ngram_range"]) == (1, 2)
    assert (vectorizer["min_df"], vectorizer["max_df"]) == (2, 0.5)
    assert vectorizer["sublinear_tf"] is True


@pytest.mark.parametrize("weighting", ["tfidf", "bm25", "log-entropy"])
def test_a_fit_weighs_terms_as_it_is_told(capsys: Capture, tmp_path: Path, weighting: str) -> None:
    place = tmp_path / "m"
    result(capsys, "fit", MOVIES, "--model", place, "--weighting", weighting)
    fitted = gpu_kmeans.Model.load(place)
    texts = [text or "" for text in gpu_kmeans.load_catalogue(MOVIES, backend="cpu").texts]
    alone = gpu_kmeans.TfidfVectorizer(weighting=weighting, backend="cpu").fit(texts)
    assert fitted.vectorizer.weighting == weighting
    np.testing.assert_array_equal(fitted.vectorizer.idf_, alone.idf_)


# -- the other commands ---------------------------------------------------------------------


def test_recommend_searches_all_items_and_prints_the_reasons(capsys: Capture, model: Path) -> None:
    found = result(capsys, "recommend", model, "space alien invasion", "--limit", 4)
    assert (
        found
        == gpu_kmeans.Searcher(gpu_kmeans.Model.load(model))
        .search("space alien invasion", limit=4)
        .to_dict()
    )
    assert len(found["items"]) == 4 < found["total"]
    assert "alien" in found["items"][0]["reasons"]["text"]


def test_recommend_in_clusters_prints_the_ranked_items_and_the_parts_of_their_scores(
    capsys: Capture, model: Path
) -> None:
    query = "space alien invasion"
    found = result(capsys, "recommend", model, query, "--limit", 4, "--clusters", 1)
    assert found["query"] == query
    assert "alien" in found["terms"]
    assert set(found["cluster"]) == {"label", "size", "top_terms"}
    assert len(found["items"]) == 4
    item = found["items"][0]
    assert set(item) >= {"id", "title", "popularity", "vote_average", "score", "parts"}
    parts = item["parts"]
    assert item["score"] == pytest.approx(
        parts["relevance_weight"] * parts["relevance"] + parts["fame_weight"] * parts["fame"]
    )


def test_the_rule_of_the_article_is_the_nearest_cluster_by_popularity(
    capsys: Capture, model: Path
) -> None:
    recommender = gpu_kmeans.Recommender(gpu_kmeans.Model.load(model))
    for options, clusters in (((), 1), (("--clusters", 2), 2)):
        found = result(capsys, "recommend", model, "dragon", "--rank", "article", *options)
        expected = recommender.recommend("dragon", rank="popularity", clusters=clusters)
        assert found == expected.to_dict()


@pytest.mark.parametrize("rank", ["best", "blend", "relevance", "popularity"])
def test_recommend_shows_a_table_that_fits_80_columns(
    capsys: Capture, model: Path, rank: str
) -> None:
    code, out, err = said(capsys, "recommend", model, "dragon", "castle", "--rank", rank)
    assert (code, err) == (0, "")
    assert out.startswith("For: dragon castle\n")
    assert max(map(layout.cells, out.splitlines())) <= 80
    if rank != "best":
        options = ("--rank", rank, "--clusters", 2)
        code, out, err = said(capsys, "recommend", model, "dragon", *options)
        assert (code, err) == (0, "")
        assert max(map(layout.cells, out.splitlines())) <= 80
        assert ("1.00 x relevance" in out) == (rank == "relevance")


def test_a_query_without_a_known_word_says_so_and_offers_near_ones(
    capsys: Capture, model: Path
) -> None:
    code, out, _ = said(capsys, "recommend", model, "drgoans")
    assert code == 0
    assert "nothing matches drgoans; near to it: dragons" in out
    assert result(capsys, "recommend", model, "qqqq")["items"] == []
    code, out, _ = said(capsys, "recommend", model, "qqqq", "--clusters", 1)
    assert code == 0
    assert "no term of the query is known" in out


def test_conditions_leave_out_items(capsys: Capture, model: Path) -> None:
    fitted = gpu_kmeans.Model.load(model)
    rows = zip(
        *(fitted.items[n].to_pylist() for n in ("id", "rating", "date", "genres")), strict=True
    )
    expected = {i for i, rating, date, g in rows if rating >= 6 and date >= "1990" and "Drama" in g}
    conditions = ("--where", "rating>=6", "--where", "year>=1990", "--where", "genres=drama")
    found = result(capsys, "recommend", model, *conditions, "--limit", 300)
    assert {item["id"] for item in found["items"]} == expected != set()
    assert said(capsys, "recommend", model, *conditions)[1].startswith("Items that pass\n")
    found = result(capsys, "recommend", model, "love", *conditions, "--limit", 300)
    assert {item["id"] for item in found["items"]} < expected
    both = ("--where", "rating>=5", "--where", "rating<=6")
    found = result(capsys, "recommend", model, *both, "--limit", 300)
    assert all(5 <= item["vote_average"] <= 6 for item in found["items"])
    _, out, _ = said(capsys, "recommend", model, "--where", "rating>=11")
    assert out.startswith("Nothing passes\n")


def test_items_are_liked_and_disliked(capsys: Capture, model: Path) -> None:
    fitted = gpu_kmeans.Model.load(model)
    one, two, three = (item for item in fitted.items["id"].to_pylist()[:3])
    found = result(capsys, "recommend", model, "--like", one, two, "--dislike", three)
    expected = gpu_kmeans.Searcher(fitted).like([one, two], [three])
    assert found == {"like": [one, two], "dislike": [three], **expected.to_dict()}
    code, out, err = said(capsys, "recommend", model, "--like", one, two, "--dislike", three)
    assert (code, err) == (0, "")
    assert out.startswith(f"Like {one}, {two}, unlike {three}\n")
    assert max(map(layout.cells, out.splitlines())) <= 80


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ("", "recommend needs keywords"),
        ("ghost --like 1", "recommend needs keywords"),
        ("ghost --dislike 1", "--dislike goes with --like"),
        ("--like 1 --rank best", "--rank goes with keywords"),
        ("ghost --rank best --clusters 2", "--rank best searches all items"),
        ("ghost --where id=1 --clusters 2", "--where searches all items"),
        ("ghost --diversity 1 --rank article", "--diversity searches all items"),
        ("ghost --where year", "'year' is no condition"),
        ("ghost --where plot=x", "filters names the column 'plot'"),
        ("ghost --where id=1 --where id=2", "two conditions on 'id'"),
    ],
)
def test_options_of_recommend_that_do_not_go_together_are_refused(
    capsys: Capture, model: Path, options: str, named: str
) -> None:
    assert named in refused(capsys, "recommend", model, *options.split())


def test_clusters_without_items_are_counted_and_have_no_terms(
    capsys: Capture, tmp_path: Path
) -> None:
    films, place = tmp_path / "films.csv", tmp_path / "m"
    films.write_text("id,overview\n1,an alien\n2,an alien\n3,an alien\n")
    found = result(capsys, "fit", films, "--model", place, "-k", 3)
    assert (found["n_clusters"], found["n_empty"]) == (3, 2)
    code, out, _ = said(capsys, "fit", films, "--model", place, "-k", 3, "--overwrite")
    assert code == 0
    assert out.startswith("3 items in 1 cluster\n")
    assert "1 of 3 clusters has items" in out
    judged = result(capsys, "evaluate", place, "--queries", 5)
    assert (judged["n_clusters"], judged["n_empty"]) == (3, 2)
    for shown in (found, judged):
        terms = {cluster["size"]: cluster["top_terms"] for cluster in shown["clusters"]}
        assert terms == {3: ["alien"], 0: []}
    code, out, _ = said(capsys, "evaluate", place, "--queries", 5)
    assert code == 0
    assert "1 of 3 clusters has items; the largest holds 100.0%" in out
    assert out.count("alien") == 1


def test_evaluate_prints_the_same_as_object_and_as_text(capsys: Capture, model: Path) -> None:
    found = result(capsys, "evaluate", model, "--queries", 300)
    assert 0 < found["explained"] < 1
    assert found["reach"]["n_queries"] == 300
    code, out, _ = said(capsys, "evaluate", model, "--queries", 300)
    assert code == 0
    assert f"{found['inertia']:,.2f}" in out
    assert f"{found['stability']['value']:.2f}: agreement of fits" in out
    assert all(f"({found['names'][label]})" in out for label in found["junk_clusters"])
    assert max(map(len, out.splitlines())) <= 80


def test_evaluate_compares_with_a_column_of_labels(capsys: Capture, model: Path) -> None:
    few = ("--queries", 1)
    assert result(capsys, "evaluate", model, *few)["agreement"] is None
    found = result(capsys, "evaluate", model, *few, "--labels", "id")["agreement"]
    assert found["n_labels"] == found["n_compared"]
    assert 0 < found["v_measure"] < 1
    code, out, _ = said(capsys, "evaluate", model, *few, "--labels", "id")
    assert code == 0
    assert f"purity {found['purity']:.1%}" in out
    assert "no column 'kind'" in refused(capsys, "evaluate", model, "--labels", "kind")


def test_plot_draws_png_and_svg_and_keeps_what_else_is_in_the_folder(
    capsys: Capture, model: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine.txt").write_text("kept")
    found = result(capsys, "plot", model, "--query", "alien", "--out", tmp_path)
    names = [Path(file).name for file in found["files"]]
    assert remains(tmp_path) == sorted([*names, "mine.txt"])
    assert {Path(name).suffix for name in names} == {".png", ".svg"}
    stems = ["clusters", "inertia", "levels", "outliers", "popularity", "ratings"]
    assert sorted({Path(name).stem for name in names}) == stems and len(names) == 12
    assert (tmp_path / "clusters.png").read_bytes().startswith(b"\x89PNG")
    assert "clusters.png exists" in refused(capsys, "plot", model, "--out", tmp_path)
    assert main(["plot", str(model), "--out", str(tmp_path), "--overwrite"]) == 0


def test_plot_of_nothing_leaves_nothing(capsys: Capture, model: Path, tmp_path: Path) -> None:
    place = tmp_path / "figures"
    assert "nothing to draw" in refused(capsys, "plot", model, "--query", "qqqq", "--out", place)
    assert remains(tmp_path) == []


def test_demo_does_the_whole_job_again_and_again(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = said(capsys, "demo")
    assert (code, err) == (0, "")
    assert max(map(layout.cells, out.splitlines())) <= 80
    for expected in ("243 invented films", "For: space alien invasion", "random queries", "Try"):
        assert expected in out
    assert remains(tmp_path) == ["gpu-kmeans-demo"]
    found = result(capsys, "demo")
    assert remains(tmp_path / "gpu-kmeans-demo") == ["figures", "model"]
    assert all(Path(file).is_file() for file in found["figures"])
    assert len(found["recommendations"]) == 2


def test_demo_leaves_a_folder_alone_that_it_did_not_make(capsys: Capture, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    assert "no demo made" in refused(capsys, "demo", "--out", tmp_path)
    assert remains(tmp_path) == ["thesis.tex"]


def test_doctor_says_what_can_run_and_why_the_rest_cannot(capsys: Capture) -> None:
    found = result(capsys, "doctor")
    backends = {backend["name"]: backend for backend in found["backends"]}
    assert backends["cpu"]["can_run"] is True
    assert backends["gpu"]["can_run"] is (gpu_kmeans.why_not_gpu() is None)
    assert backends["gpu"]["can_run"] or backends["gpu"]["reason"] == gpu_kmeans.why_not_gpu()
    assert found["usable_cores"] >= 1
    assert found["versions"]["gpu-kmeans"] == gpu_kmeans.__version__
    code, out, _ = said(capsys, "doctor")
    assert code == 0
    assert "cpu" in out
    assert "can run" in out


def test_doctor_names_the_library_that_is_missing(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    found = result(capsys, "doctor")
    (cpu,) = (backend for backend in found["backends"] if backend["name"] == "cpu")
    assert not cpu["can_run"]
    assert found["auto"] == ("" if gpu_kmeans.why_not_gpu() else "gpu")
    assert "faiss" in cpu["reason"]


def test_fetch_reports_where_the_files_are(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch_tmdb(destination: Path) -> Path:
        print("a download library that talks")
        return destination

    monkeypatch.setattr("gpu_kmeans.data.fetch.fetch_tmdb", fetch_tmdb)
    code, out, err = said(capsys, "fetch", "tmdb", "--out", tmp_path, "--json")
    assert (code, err) == (0, "a download library that talks\n")
    assert json.loads(out)["files"][0] == str(tmp_path / "tmdb_5000_movies.csv")
    assert "gpu-kmeans fit" in said(capsys, "fetch", "tmdb", "--out", tmp_path)[1]


def test_the_help_names_every_exit_code(capsys: Capture) -> None:
    listed = said(capsys, "--help")[1].partition("exit codes:")[2].split("\n\n")[0]
    codes = [line.split()[0] for line in listed.splitlines() if line.strip()]
    assert codes == ["0", "1", "2", "130", "141", "143"]


def test_the_version_is_that_of_the_project(capsys: Capture) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert said(capsys, "--version") == (0, f"gpu-kmeans {version}\n", "")


@pytest.mark.parametrize(
    "command",
    [
        "",
        "demo",
        "look",
        "fit",
        "choose-k",
        "profile",
        "labels",
        "assign",
        "neighbors",
        "levels",
        "outliers",
        "compare",
        "drift",
        "edit",
        "recommend",
        "evaluate",
        "plot",
        "fetch",
        "image",
    ],
)
def test_every_command_explains_itself_within_80_columns(capsys: Capture, command: str) -> None:
    code, out, err = said(capsys, *command.split(), "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"usage: gpu-kmeans {command}".rstrip())
    assert max(map(len, out.splitlines())) <= 80


# -- what cannot be used --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ("", "COMMAND"),
        ("cluster", "cluster"),
        ("fit", "FILE"),
        ("fit a.csv", "--model"),
        ("fit a.csv --model m --clusters 0", "at least 1, got 0"),
        ("fit a.csv --model m --clusters 1.5", "'1.5' is not a whole number"),
        ("fit a.csv --model m --seed -1", "--seed"),
        ("fit a.csv --model m --max-df many", "'many' is not a number"),
        ("fit a.csv --model m --backend tpu", "tpu"),
        ("fit a.csv --model m --cluster 3", "--cluster"),
        ("fit a.csv --model m -k 1_0", "'1_0' is not a whole number"),
        ("fit a.csv --model m -k \u0661", "'\u0661' is not a whole number"),  # Arabic 1
        pytest.param(
            f"fit a.csv --model m -k {'9' * 5000}", "is not a whole number", id="5000 digits"
        ),
        ("fit a.csv --model m --max-df 1_0", "'1_0' is not a number"),
        ("fit a.csv --model m --min-df 0.1_0", "'0.1_0' is not a number"),
        ("fit a.csv --model m --max-df nan", "'nan' is not a number"),
        ("recommend m -war", "a query that starts with '-' goes after '--'"),
        ("recommend m alien -war", "a query that starts with '-' goes after '--'"),
        ("recommend m query --limit 0", "at least 1, got 0"),
        ("recommend m query --rank first", "first"),
        ("fetch imdb", "imdb"),
    ],
)
def test_wrong_usage_is_one_line_that_names_it(capsys: Capture, arguments: str, named: str) -> None:
    assert named in refused(capsys, *arguments.split())


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (["fit", "a.csv", "--model", ""], "--model: is empty: give the name of a folder"),
        (["fit", "", "--model", "m"], "FILE: is empty: give the name of a file"),
        (["fit", "a.csv", "", "--model", "m"], "SECOND: is empty: give the name of a file"),
        (["recommend", "", "alien"], "DIR: is empty: give the name of a folder"),
        (["evaluate", ""], "DIR: is empty"),
        (["plot", "m", "--out", ""], "--out: is empty"),
        (["demo", "--out", ""], "--out: is empty"),
        (["fetch", "tmdb", "--out", ""], "--out: is empty"),
    ],
    ids=" ".join,
)
def test_an_empty_path_is_not_the_current_folder(
    capsys: Capture, arguments: list[str], option: str
) -> None:
    assert f"argument {option}" in refused(capsys, *arguments)


@pytest.mark.parametrize("option", ["--id", "--text", "--credits-id"])
def test_a_column_that_cannot_be_left_out_is_named(capsys: Capture, option: str) -> None:
    message = refused(capsys, "fit", "a.csv", "--model", "m", option, "")
    assert f"argument {option}: cannot be left out: give the name of a column" in message


def test_a_query_may_start_with_a_dash(capsys: Capture, model: Path) -> None:
    code, out, _ = said(capsys, "recommend", "--limit", 1, "--json", model, "--", "-alien")
    assert code == 0
    assert "alien" in json.loads(out)["items"][0]["reasons"]["text"]


def test_texts_without_a_word_are_refused_with_their_file_and_column(
    capsys: Capture, tmp_path: Path
) -> None:
    films = tmp_path / "films.csv"
    films.write_text("id,plot\n1,the\n2,\n")
    message = refused(capsys, "fit", films, "--model", tmp_path / "m", "--text", "plot")
    assert message.startswith("films.csv, column 'plot': ")
    assert remains(tmp_path) == ["films.csv"]


def test_a_missing_file_is_named(capsys: Capture, tmp_path: Path) -> None:
    message = refused(capsys, "fit", tmp_path / "films.csv", "--model", tmp_path / "m")
    assert "films.csv" in message
    assert remains(tmp_path) == []


def test_a_directory_is_no_catalogue(capsys: Capture, tmp_path: Path) -> None:
    assert "directory" in refused(capsys, "fit", tmp_path, "--model", tmp_path / "m")
    assert remains(tmp_path) == []


def test_input_errors_keep_their_place(capsys: Capture, tmp_path: Path) -> None:
    films = tmp_path / "films.csv"
    films.write_text("id,overview,popularity\n1,an alien,3\n2,a chef,three\n")
    options = ("--popularity", "popularity", "--model", tmp_path / "m")
    message = refused(capsys, "fit", films, *options)
    assert all(part in message for part in ("films.csv", "row 3", "popularity", "three"))


def test_more_clusters_than_films_says_both_numbers(capsys: Capture, tmp_path: Path) -> None:
    message = refused(capsys, "fit", MOVIES, "--model", tmp_path / "m", "-k", 241)
    assert "241" in message
    assert "240" in message
    assert remains(tmp_path) == []


def test_the_gpu_without_one_says_which_step_is_missing(capsys: Capture, tmp_path: Path) -> None:
    missing = gpu_kmeans.why_not_gpu()
    if missing is None:
        pytest.skip("a GPU can run here")
    place = tmp_path / "m"
    assert missing in refused(capsys, "fit", MOVIES, "--model", place, "--backend", "gpu")
    assert remains(tmp_path) == []


def test_an_existing_model_is_kept_unless_it_may_be_replaced(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "m"
    result(capsys, "fit", MOVIES, "--model", place, "--seed", 1)
    with monkeypatch.context() as patch:
        patch.setattr("gpu_kmeans.pipeline.fit", None)  # refused before the long work
        assert "--overwrite" in refused(capsys, "fit", MOVIES, "--model", place)
    assert gpu_kmeans.Model.load(place).info.seed == 1
    result(capsys, "fit", MOVIES, "--model", place, "--seed", 2, "--overwrite")
    assert gpu_kmeans.Model.load(place).info.seed == 2


@pytest.mark.parametrize("kind", ["file", "link", "folder with other things"])
def test_overwrite_replaces_models_and_nothing_else(
    capsys: Capture, tmp_path: Path, kind: str
) -> None:
    place = tmp_path / "m"
    if kind == "file":
        place.write_text("mine")
    elif kind == "link":
        place.symlink_to(tmp_path)
    else:
        place.mkdir()
        (place / "mine").write_text("mine")
    refused(capsys, "fit", MOVIES, "--model", place, "--overwrite")
    assert remains(tmp_path) == ["m"]
    assert place.is_symlink() or place.is_file() or remains(place) == ["mine"]


@pytest.mark.parametrize("where", ["no/such/parent/m", "a-file/m"])
def test_output_that_cannot_be_written_is_refused_before_the_work(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setattr("gpu_kmeans.pipeline.fit", None)
    (tmp_path / "a-file").write_text("")
    assert "cannot write in" in refused(capsys, "fit", MOVIES, "--model", tmp_path / where)
    assert "cannot write in" in refused(capsys, "demo", "--out", tmp_path / where)
    assert remains(tmp_path) == ["a-file"]


@pytest.mark.parametrize("command", ["recommend {} alien", "evaluate {}", "plot {} --out {}-out"])
def test_what_is_not_a_model_is_refused(capsys: Capture, tmp_path: Path, command: str) -> None:
    for place in (tmp_path / "missing", tmp_path / "empty"):
        if place.name == "empty":
            place.mkdir()
        assert str(place) in refused(capsys, *command.replace("{}", str(place)).split())
    assert remains(tmp_path) == ["empty"]


def test_a_query_outside_the_bounds_is_refused(capsys: Capture, model: Path) -> None:
    assert "100000" in refused(capsys, "recommend", model, "x" * 100_000).replace(",", "")
    assert "limit" in refused(capsys, "recommend", model, "alien", "--limit", 10**9)


@pytest.mark.parametrize(
    "query", ["<script>", "[bold]alien", "a.*(b", "שלום", "👽 alien", "\x1b[2J"]
)
def test_any_query_is_just_text(capsys: Capture, model: Path, query: str) -> None:
    code, out, err = said(capsys, "recommend", model, query)
    assert (code, err) == (0, "")
    assert "\x1b" not in out
    assert result(capsys, "recommend", model, query)["query"] == query


def test_with_json_an_error_is_one_object_too(capsys: Capture, tmp_path: Path) -> None:
    for arguments, code in (
        (["fit", "x.csv", "--model", "m"], "file_problem"),
        (["fit"], "invalid_param"),
    ):
        status, out, err = said(capsys, *arguments, "--json")
        assert status == 2
        error = json.loads(out)["error"]
        assert error == {"code": code, "message": one_line(err)}


# -- what goes wrong --------------------------------------------------------------------------


def failing(problem: BaseException) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise problem

    return fail


@pytest.mark.parametrize(
    ("problem", "code", "message"),
    [
        (RuntimeError("two\nlines \x1b[2J"), 1, "unexpected RuntimeError: two lines"),
        (MemoryError(), 1, "not enough memory"),
        (OSError(28, "No space left on device", "a-file"), 1, "a-file: No space left on device"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_a_failure_is_one_line_and_never_a_traceback(
    capsys: Capture,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    problem: BaseException,
    code: int,
    message: str,
) -> None:
    monkeypatch.setattr("gpu_kmeans.pipeline.fit", failing(problem))
    status, out, err = said(capsys, "fit", MOVIES, "--model", tmp_path / "m")
    assert (status, out) == (code, "")
    assert message in " ".join(one_line(err).split())
    assert "\x1b" not in err
    assert remains(tmp_path) == []


def test_the_traceback_is_there_for_those_who_ask(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GPU_KMEANS_TRACEBACK", "1")
    monkeypatch.setattr("gpu_kmeans.pipeline.fit", failing(RuntimeError("a bug")))
    status, _, err = said(capsys, "fit", MOVIES, "--model", tmp_path / "m")
    assert status == 1
    assert "Traceback" in err
    assert "in fail" in err


def test_a_demo_that_fails_leaves_what_was_there(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tmp_path / "d" / "model"
    before.mkdir(parents=True)
    monkeypatch.setattr("gpu_kmeans.cli.figures.draw", failing(RuntimeError("a bug")))
    assert main(["demo", "--out", str(tmp_path / "d")]) == 1
    assert remains(tmp_path) == ["d"]
    assert remains(before) == []


# -- the small parts --------------------------------------------------------------------------


def test_an_interrupt_waits_while_names_are_exchanged() -> None:
    done = []
    with signals.handled(until_exit=False):
        with pytest.raises(KeyboardInterrupt), signals.held():
            os.kill(os.getpid(), signal.SIGINT)
            done.append("renamed")
        with pytest.raises(KeyboardInterrupt):  # also when a library has swallowed it
            signals.check()
    assert done == ["renamed"]


def test_a_table_is_aligned_and_no_wider_than_the_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    rows = [("7", "種村 清"), ("1,234", "a title of very many words, cut between two of them")]
    lines = layout.table(("n", "title"), rows).splitlines()
    assert lines == [
        "      n  title",
        "      7  種村 清",
        "  1,234  a title of very many words,…".replace(",…", "…"),
    ]


@pytest.mark.parametrize(
    ("text", "size"), [("", 0), ("abc", 3), ("種村", 4), ("e\u0301", 1), ("👽", 2)]
)
def test_the_width_of_a_text_is_that_on_a_terminal(text: str, size: int) -> None:
    assert layout.cells(text) == size


def test_nothing_in_a_text_steers_the_terminal() -> None:
    assert layout.printable("a\x1b[2Jb\nc\u202ed\x9be") == "a [2Jb c d e"


# -- what only a process shows ----------------------------------------------------------------


def test_a_closed_pipe_is_quiet(model: Path) -> None:
    for arguments in (["--help"], ["recommend", str(model), "alien"]):
        reader, writer = os.pipe()
        os.close(reader)
        done = process(*arguments, capture_output=False, stdout=writer, stderr=subprocess.PIPE)
        os.close(writer)
        assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("options", [[], ["--json"]], ids=["text", "json"])
def test_a_full_device_is_one_line(model: Path, options: list[str]) -> None:
    with open("/dev/full", "w") as full:
        done = process(
            *["recommend", model, "alien", *options],
            **{"capture_output": False, "stdout": full, "stderr": subprocess.PIPE},
        )
    assert done.returncode == 1
    assert "No space left" in one_line(done.stderr)


def test_closed_streams_do_no_harm(model: Path) -> None:
    shell = 'exec "$@" >&- 2>&-'
    command = ["sh", "-c", shell, "sh", *COMMAND, "recommend", str(model), "alien"]
    assert subprocess.run(command, check=False, timeout=60, cwd=ROOT).returncode == 1


def test_json_is_utf_8_and_text_is_readable_on_an_ascii_terminal(tmp_path: Path) -> None:
    films = tmp_path / "films.csv"
    films.write_text("id,title,overview\n1,Amélie 種,an alien\n2,b,a chef\n", encoding="utf-8")
    ascii_only = {**os.environ, "PYTHONIOENCODING": "ascii"}
    place = tmp_path / "m"
    assert process("fit", films, "--model", place, "-k", 2, env=ascii_only).returncode == 0
    done = process("recommend", place, "alien", "--json", env=ascii_only, encoding="utf-8")
    assert json.loads(done.stdout)["items"][0]["title"] == "Amélie 種"
    done = process("recommend", place, "alien", env=ascii_only)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Am\\xe9lie" in done.stdout


def loaded_by(*arguments: str) -> set[str]:
    """Return the libraries that a command has loaded when it ends."""
    program = (
        "import sys\ntry:\n from gpu_kmeans.cli import main; code = main(sys.argv[1:])\n"
        "finally:\n print(*sorted({name.partition('.')[0] for name in sys.modules}))\n"
        "sys.exit(code)"
    )
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stdout.splitlines()[-1].split())


def test_recommend_loads_no_library_that_it_does_not_need(model: Path) -> None:
    loaded = loaded_by("recommend", str(model), "alien")
    assert {"numpy", "pyarrow", "safetensors", "orjson"} <= loaded
    assert not loaded & {"pandas", "polars", "faiss", "scipy", "matplotlib", "rich", "kagglehub"}


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["fit", "--help"]])
def test_help_loads_no_library(arguments: list[str]) -> None:
    loaded = loaded_by(*arguments)
    assert "gpu_kmeans" in loaded
    assert not loaded & {"numpy", "scipy", "pandas", "polars", "pyarrow", "sklearn"}


INTERRUPT = """
import os, signal, sys
from gpu_kmeans.cli import main
moment = sys.argv[1]

def interrupt():
    os.kill(os.getpid(), signal.{signal})

class Finder:  # interrupts while a library is imported
    def find_spec(self, name, path=None, target=None):
        if name == moment:
            interrupt()

def before(module, name):  # interrupts when a function is called
    import importlib
    after = name.endswith("+")  # or when it is done
    module = importlib.import_module(module)
    real = getattr(module, name.rstrip("+"))
    def called(*args, **options):
        if not after:
            interrupt()
        result = real(*args, **options)
        if after:
            interrupt()
        return result
    setattr(module, name.rstrip("+"), called)

if ":" in moment:
    before(*moment.split(":"))
else:
    sys.meta_path.insert(0, Finder())
del sys.argv[1]
sys.exit(main())
"""


def interrupted(moment: str, *arguments: object, by: str = "SIGINT") -> tuple[int, str, str]:
    program = INTERRUPT.replace("{signal}", by)
    command = [sys.executable, "-c", program, moment, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=ROOT)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    "moment",
    [
        "numpy",
        "pyarrow",
        "gpu_kmeans.pipeline",
        "gpu_kmeans.features.svd:_decompose",
        "gpu_kmeans.clustering.spherical:_directions",
        "os:fsync",
        "gpu_kmeans.cli.staging:_aside+",
        "gpu_kmeans.files:remove_folder+",
    ],
)
def test_an_interrupt_at_any_moment_of_a_fit_leaves_nothing(tmp_path: Path, moment: str) -> None:
    code, out, err = interrupted(moment, "fit", MOVIES, "--model", tmp_path / "m")
    assert (code, out) == (130, "")
    assert one_line(err) == "interrupted"
    assert remains(tmp_path) == []


def test_an_interrupt_while_a_model_is_replaced_leaves_a_whole_one(
    capsys: Capture, tmp_path: Path
) -> None:
    place = tmp_path / "m"
    result(capsys, "fit", MOVIES, "--model", place, "--seed", 1)
    again = ["fit", MOVIES, "--model", place, "--seed", 2, "--overwrite"]
    assert interrupted("os:fsync", *again)[0] == 130
    assert gpu_kmeans.Model.load(place).info.seed == 1
    assert remains(tmp_path) == ["m"]


WRITING = "gpu_kmeans.cli.output:write"


@pytest.mark.parametrize("by", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("moment", ["os:rename", "os:rename+", "shutil:rmtree", WRITING])
def test_an_interrupt_when_the_model_is_in_place_comes_too_late(
    tmp_path: Path, moment: str, by: str
) -> None:
    place = tmp_path / "m"
    code, out, err = interrupted(moment, "fit", MOVIES, "--model", place, "--json", by=by)
    assert (code, err) == (0, "")
    assert json.loads(out)["model"] == str(place)
    assert gpu_kmeans.Model.load(place).metrics()["n_items"] == 243
    assert remains(tmp_path) == ["m"]


@pytest.mark.parametrize("moment", ["shutil:rmtree", WRITING])
def test_an_interrupt_when_the_model_is_replaced_comes_too_late(
    capsys: Capture, tmp_path: Path, moment: str
) -> None:
    place = tmp_path / "m"
    result(capsys, "fit", MOVIES, "--model", place, "--seed", 1)
    again = ["fit", MOVIES, "--model", place, "--seed", 2, "--overwrite"]
    code, out, err = interrupted(moment, *again)
    assert (code, err) == (0, "")
    assert str(place) in out
    assert gpu_kmeans.Model.load(place).info.seed == 2
    assert remains(tmp_path) == ["m"]


@pytest.mark.parametrize("kind", ["new", "replaced"])
def test_an_interrupt_when_figures_are_in_place_comes_too_late(
    tmp_path: Path, model: Path, kind: str
) -> None:
    place = tmp_path / "figures"
    if kind == "replaced":
        place.mkdir()
    code, out, err = interrupted("shutil:rmtree", "plot", model, "--out", place)
    assert (code, err) == (0, "")
    assert "clusters.png" in out
    assert len(remains(place)) == out.count(".png") + out.count(".svg") + out.count(".json")


def test_a_model_that_appears_during_the_fit_is_not_replaced(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "m"
    real = gpu_kmeans.fit

    def slow(*args: Any, **options: Any) -> gpu_kmeans.Model:
        place.mkdir()
        (place / "mine").write_text("kept")
        return real(*args, **options)

    monkeypatch.setattr("gpu_kmeans.pipeline.fit", slow)
    assert "--overwrite" in refused(capsys, "fit", MOVIES, "--model", place)
    assert remains(tmp_path) == ["m"]
    assert remains(place) == ["mine"]


@pytest.mark.parametrize("moment", ["matplotlib", "gpu_kmeans.plots:save"])
def test_an_interrupt_of_the_demo_leaves_nothing(tmp_path: Path, moment: str) -> None:
    code, out, err = interrupted(moment, "demo", "--out", tmp_path / "d")
    assert (code, out) == (130, "")
    assert one_line(err) == "interrupted"
    assert remains(tmp_path) == []


def test_an_interrupt_with_json_is_an_object_too(tmp_path: Path) -> None:
    code, out, _ = interrupted("numpy", "fit", MOVIES, "--model", tmp_path / "m", "--json")
    assert code == 130
    assert json.loads(out) == {"error": {"code": "cancelled", "message": "interrupted"}}


def test_a_termination_is_as_clean_as_an_interrupt(tmp_path: Path) -> None:
    arguments = ["fit", MOVIES, "--model", tmp_path / "m"]
    assert interrupted("os:fsync", *arguments, by="SIGTERM")[0] == 143
    assert remains(tmp_path) == []


# -- tables as people have them ---------------------------------------------------------


def test_a_file_in_another_encoding_is_read_when_it_is_named(
    capsys: Capture, tmp_path: Path
) -> None:
    films = tmp_path / "films.csv"
    films.write_bytes(
        "id,overview\n1,It\u2019s a love story\n2,Caf\u00e9 in Paris\n".encode("cp1252")
    )
    model = ("--model", tmp_path / "m", "-k", 2)
    assert "--encoding windows-1252" in refused(capsys, "fit", films, *model)
    assert "encoding" in refused(capsys, "fit", films, "--encoding", "latin-99", *model)
    fitted = result(capsys, "fit", films, "--encoding", "windows-1252", *model)
    assert "café" in {term for view in fitted["clusters"] for term in view["top_terms"]}


def test_what_was_left_out_is_said(capsys: Capture, tmp_path: Path) -> None:
    films = tmp_path / "films.csv"
    films.write_text(',overview,genres\n0,two toys,"Animation, Family"\n1,a driver,Thriller\n')
    code, out, _ = said(capsys, "fit", films, "--model", tmp_path / "m", "-k", 2)
    assert code == 0
    text = " ".join(out.split())
    assert "columns left out: genres; 1 column without a name of their own ignored" in text
    assert "nobody asked for this column, and it is left out" in text
    assert "films.csv has no column 'id': rows are numbered from 1" in text


def test_numbers_that_are_clustered_as_words_get_a_warning(capsys: Capture, tmp_path: Path) -> None:
    table = tmp_path / "customers.csv"
    table.write_text("customer_id,income\n" + "".join(f"{n},{n * 37}.5\n" for n in range(20)))
    options = ("--id", "customer_id", "--text", "income", "--model", tmp_path / "m", "-k", 2)
    warning, few = result(capsys, "fit", table, *options)["warnings"]
    assert "19 directions, not 100" in few
    assert "customers.csv, column 'income' holds numbers" in warning
    assert "--text" in warning


def test_a_file_that_is_no_table_is_named_with_what_to_pass_instead(
    capsys: Capture, tmp_path: Path
) -> None:
    (tmp_path / "rows.csv").write_bytes(b"SQLite format 3\0" + bytes(100))
    message = refused(capsys, "fit", tmp_path / "rows.csv", "--model", tmp_path / "m")
    assert "an SQLite database" in message
    assert "export the table as CSV or Parquet" in message
    with (tmp_path / "rows.csv").open("wb") as file:
        np.savez(file, rows=np.eye(3), columns=np.eye(2))
    message = refused(capsys, "fit", tmp_path / "rows.csv", "--model", tmp_path / "m")
    assert "'rows'" in message
    assert "'columns'" in message


def test_the_parts_of_a_score_have_one_name_in_text_and_in_json(
    capsys: Capture, model: Path
) -> None:
    cluster = ("--clusters", 1)
    [item] = result(capsys, "recommend", model, "ghost", "--limit", 1, *cluster)["items"]
    _, out, _ = said(capsys, "recommend", model, "ghost", "--limit", 1, *cluster)
    header = next(line for line in out.splitlines() if "score" in line).split()
    assert header[:4] == ["score", "relevance", "fame", "popularity"]
    first = next(line for line in out.splitlines() if line.split()[:1] == ["1"]).split()
    assert first[1:4] == [
        f"{item['score']:.3f}",
        f"{item['parts']['relevance']:.3f}",
        f"{item['parts']['fame']:.3f}",
    ]
    assert first[4] == f"{item['popularity']:.1f}"
