"""What the service takes, holds and answers has a bound, counted once it is unpacked."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import json
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from serving import CSV, PARQUET, Server, films, refused

import gpu_kmeans
from gpu_kmeans import Model
from gpu_kmeans.data import sample
from gpu_kmeans.service import archive, schemas, unpacked_parquet
from gpu_kmeans.service.fit_checks import check_parameters
from gpu_kmeans.service.limits import TableLimits
from gpu_kmeans.service.model_size import check_model, memory_of
from gpu_kmeans.service.models import Loaded
from gpu_kmeans.service.problems import Problem
from gpu_kmeans.service.routes import inference as use
from gpu_kmeans.service.routes import search
from gpu_kmeans.service.settings import Settings
from gpu_kmeans.service.shown import MAX_NAMES, beginning, cut, marked, names
from gpu_kmeans.service.unpacked import check_upload
from gpu_kmeans.service.unpacked_parquet import cell_bytes, unpacked_bytes
from gpu_kmeans.service.work import WorkLimits, run_worker

MIB = 1 << 20


@pytest.fixture(scope="module")
def films_model() -> Model:
    return gpu_kmeans.fit(
        sample.paths()[0],
        n_clusters=5,
        weighting="tfidf",
        reduce=0,
        backend="cpu",
        max_iter=5,
    )


LIMITS = TableLimits(
    max_rows=1_000,
    max_columns=10,
    max_cell_bytes=1_000,
    max_row_bytes=1_500,
    max_table_bytes=200_000,
    max_expansion=100,
    max_distinct=50,
    max_matrix_columns=100,
)


def parquet(file: Path, table: pa.Table, **options: Any) -> Path:
    pq.write_table(table, file, **options)
    return file


def repeated(text: str, count: int) -> pa.Table:
    """A text on many rows: a few hundred bytes of Parquet, whatever it is."""
    texts = pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), pa.array([text]))
    return pa.table({"id": np.arange(count), "overview": texts})


# -- tables: what they hold before they are read -----------------------------------------------


OPTIONS = {
    "dictionary": {},
    "plain": {"use_dictionary": False, "compression": "zstd"},
    "prefixes": {
        "use_dictionary": False,
        "column_encoding": {"overview": "DELTA_BYTE_ARRAY", "id": "PLAIN"},
    },
    "lengths": {
        "use_dictionary": False,
        "column_encoding": {"overview": "DELTA_LENGTH_BYTE_ARRAY", "id": "PLAIN"},
        "compression": "zstd",
    },
}


@pytest.mark.parametrize("name", OPTIONS)
def test_cells_are_counted_as_they_will_be(tmp_path: Path, name: str) -> None:
    texts = [f"{'y' * 2_000}{row % 7}" for row in range(3_000)]
    table = pa.table({"overview": texts, "id": range(3_000)})
    file = parquet(tmp_path / "items.parquet", table, **OPTIONS[name])
    expected = sum(map(len, texts)) + 8 * 3_000
    assert file.stat().st_size < expected / 50
    assert unpacked_bytes(file, 1 << 60) == expected
    assert 100_000 < unpacked_bytes(file, 100_000) < expected  # and no further than it must


@given(st.lists(st.none() | st.lists(st.none() | st.text(max_size=9), max_size=4), max_size=20))
def test_lists_are_as_large_as_their_texts(cells: list[Any]) -> None:
    expected = [sum(4 + len((text or "").encode()) for text in cell or ()) for cell in cells]
    column = pa.array(cells, pa.list_(pa.string()))
    assert cell_bytes(column).tolist() == expected
    assert cell_bytes(column.slice(len(cells) // 2)).tolist() == expected[len(cells) // 2 :]
    encoded = pa.array([cell[0] if cell else None for cell in cells], pa.string())
    assert cell_bytes(encoded.dictionary_encode()).tolist() == cell_bytes(encoded).tolist()


def csv_of(rows: list[str]) -> bytes:
    return ("id,overview\n" + "".join(f"{at},{row}\n" for at, row in enumerate(rows))).encode()


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        (csv_of(["x"] * 2 + ["y" * 1_001]), "too_large", ("row 4", "1001 bytes", "max_cell_bytes")),
        (csv_of(["é" * 600]), "too_large", ("row 2", "1200 bytes")),
        (csv_of([f'"{"x," * 400}\n{"y" * 900}"']), "too_large", ("row 2", "1701 bytes")),
        (b"id,a,b\n1," + b"x" * 900 + b"," + b"y" * 900 + b"\n", "too_large", ("max_row_bytes",)),
        (csv_of(["x"] * 1_001), "too_many_rows", ("1001 rows", "max_rows")),
        (csv_of(["x" * 900] * 300), "too_large", ("200000 bytes", "max_table_bytes")),
        (b",".join(b"c%d" % at for at in range(11)) + b"\n", "too_many_columns", ("11 columns",)),
        (repeated("x" * 1_001, 5), "too_large", ("row 2", "'overview'", "1001 bytes")),
        (repeated("x", 1_001), "too_many_rows", ("1001 rows",)),
        (repeated("x" * 900, 300), "too_large", ("200000 bytes", "max_table_bytes")),
        (
            pa.table({"id": [1, 2], "overview": ["x", "y" * 900], "title": ["x", "y" * 900]}),
            *("too_large", ("row 3", "1808 bytes", "max_row_bytes")),
        ),
        (pa.table({f"c{at}": [1] for at in range(11)}), "too_many_columns", ("11 columns",)),
        (
            pa.table({"id": [1], "overview": ["x"], "other": ["z" * 5_000]}),  # it is kept, too
            *("too_large", ("'other'", "5000 bytes")),
        ),
        (
            pa.table({"id": [1], "overview": ["x"], "genres": [["y" * 9] * 100]}),
            *("too_large", ("'genres'", "1300 bytes")),
        ),
    ],
)
def test_a_table_beyond_a_limit_is_refused_unread(
    tmp_path: Path, content: Any, code: str, said: tuple[str, ...]
) -> None:
    if isinstance(content, bytes):
        file = tmp_path / "items.csv"
        file.write_bytes(content)
    else:
        file = parquet(tmp_path / "items.parquet", content)
    with pytest.raises(Problem) as caught:
        check_upload(file, LIMITS)
    assert (caught.value.status, caught.value.code) == (
        422 if code == "too_many_columns" else 413,
        code,
    )
    for words in said:
        assert words in caught.value.detail


@pytest.mark.parametrize(
    "content",
    [
        csv_of(["x" * 1_000] * 150),
        csv_of(['"a\n\n\nb"'] * 1_000),  # line breaks are no rows
        b"id,overview\n1,x\n" + b"\n" * 2_000,
        b"\xff\xfe\x00",
        b"",
        repeated("x" * 900, 200),
        pa.table({"id": [1], "overview": ["x"], "other": ["z" * 900]}),
    ],
)
def test_a_table_within_them_is_left_to_its_reader(tmp_path: Path, content: Any) -> None:
    file = tmp_path / "items"
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        parquet(file, content)
    check_upload(file, LIMITS)


def test_few_bytes_do_not_stand_for_many(tmp_path: Path) -> None:
    limits = TableLimits(10**6, 10, 64 * MIB, 96 * MIB, 1 << 30, 100, 10**6, 10**6)
    small = parquet(tmp_path / "small.parquet", repeated("x" * 60_000, 1_000))
    check_upload(small, limits)  # 60 MB may come of anything
    large = parquet(tmp_path / "large.parquet", repeated("x" * 70_000, 1_000))
    with pytest.raises(Problem, match="max_expansion") as caught:
        check_upload(large, limits)
    assert (caught.value.status, caught.value.code) == (413, "too_large")


def test_a_file_that_lies_about_its_rows_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = parquet(tmp_path / "items.parquet", repeated("x", 30))
    sizes = np.ones(30, np.int64)
    monkeypatch.setattr(unpacked_parquet, "_cells", lambda *_: [sizes, sizes])
    with pytest.raises(Problem, match="more rows than it says"):
        check_upload(file, LIMITS)


# -- texts: their beginnings -------------------------------------------------------------------


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@given(st.lists(st.none() | TEXTS, min_size=1, max_size=5), st.integers(2, 12))
def test_a_beginning_is_that_of_the_text(cells: list[str | None], most: int) -> None:
    column = pa.chunked_array([pa.array(cells, pa.string())])
    for row, cell in enumerate(cells):
        text = cell or ""
        assert beginning(column, row, most) == (cut(text, most), len(text) > most)
        assert len(cut(text, most)) <= most
        assert cut(text, len(text)) == text


def test_names_are_shown_as_far_as_there_is_room() -> None:
    column = pa.chunked_array([pa.array([["a", None, "b" * 500], None, ["c"] * 500])])
    assert names(column, 0) == ["a", "b" * 199 + "…"]
    assert names(column, 1) == []
    assert names(column, 2) == ["c"] * MAX_NAMES


@given(TEXTS, st.lists(st.sampled_from(["ab", "cd ef", "straße", "i̇", "zz"]), max_size=3))
def test_marked_pieces_are_the_text_and_its_words(text: str, terms: list[str]) -> None:
    pieces = marked(f"Ab {text} CD-zz", terms)
    assert "".join(piece for piece, _ in pieces) == f"Ab {text} CD-zz"
    words = {word for term in terms for word in term.split()}
    assert all(piece.lower() in words for piece, is_marked in pieces if is_marked)
    assert (("Ab", True) in pieces) == ("ab" in words)
    assert (pieces[-1] == ("zz", True)) == ("zz" in words)


# -- parameters: held to each other and to the data --------------------------------------------


FEW: dict[str, Any] = {"missing": {}, "values": 0, "width": 0}
NUMBERS = {"text": [], "numbers": ["age"], "categories": [], "matrix": []}
ABOUT = {"rows": 100, "words": {"different": 50_000, "texts": 90, "longest": 40}}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"n_clusters": 101}, "100 rows"),
        ({"n_clusters": 91}, "90 rows"),
        ({"min_df": 51, "max_df": 0.5}, "at least 51 of 100"),
        ({"min_df": 0.5, "max_df": 40}, "at most 40"),
        ({"min_df": 101}, "at least 101 of 100"),
        ({"max_df": 0.0, "min_df": 0.0}, "every term"),
        ({"max_df": 0.009, "min_df": 0.0}, "every term"),
        ({"sublinear_tf": True, "weighting": "bm25"}, "sublinear_tf=true belongs to"),
        ({"sublinear_tf": True, "weighting": "log-entropy"}, "log-entropy has its own way"),
        ({"ngram_range": [4, 4], "n_clusters": 2}, None),
    ],
)
def test_parameters_are_held_to_the_data(given: dict[str, Any], said: str | None) -> None:
    asked = schemas.Parameters.model_validate(given)
    about = ABOUT if said else ABOUT | {"words": {"different": 9, "texts": 90, "longest": 3}}
    with pytest.raises(Problem, match=said or "no text has more than 3") as caught:
        check_parameters(asked, about, Settings())
    assert (caught.value.status, caught.value.code) == (422, "invalid_param")


@pytest.mark.parametrize(
    ("given", "setting", "needed"),
    [
        # The centroids twice, or once in a model that answers; English stop words may be absent.
        ({}, "fit_memory_bytes", 2 * 4 * 10 * (50_000 - 318)),
        ({"stop_words": None}, "max_model_bytes", 4 * 10 * 50_000),
        ({"max_features": 1_000}, "max_model_bytes", 4 * 10 * 1_000),
        ({"ngram_range": [1, 3]}, "max_model_bytes", 4 * 10 * (50_000 - 318)),
    ],
)
def test_centroids_that_cannot_be_held_are_refused_before_the_fit(
    given: dict[str, Any], setting: str, needed: int
) -> None:
    asked = schemas.Parameters.model_validate({"reduce": 0} | given)
    check_parameters(asked, ABOUT, Settings(**{setting: needed}))
    with pytest.raises(Problem, match=f"need {needed} bytes.*{setting}"):
        check_parameters(asked, ABOUT, Settings(**{setting: needed - 1}))


@pytest.mark.parametrize(
    ("given", "changed", "said"),
    [
        ({"algorithm": "mixture"}, {}, r"mixture needs dense rows.*reduce=50"),
        ({"algorithm": "mixture-full", "reduce": 0}, {}, "mixture-full needs dense rows"),
        ({"algorithm": "mixture", "reduce": 50}, {}, ""),
        ({"algorithm": "mixture"}, {"words": None, "clustered": NUMBERS, "features": FEW}, ""),
        ({"algorithm": "hdbscan"}, {}, ""),
        ({"algorithm": "hdbscan"}, {"rows": 9}, "at least 10 rows, and there are 9"),
        (
            {"algorithm": "hdbscan"},
            {"words": {"different": 9, "texts": 7, "longest": 3}},
            "at least 10 rows, and there are 7",
        ),
    ],
)
def test_rows_that_an_algorithm_cannot_take_are_refused_before_the_fit(
    given: dict[str, Any], changed: dict[str, Any], said: str
) -> None:
    asked = schemas.Parameters.model_validate(given)
    about = {name: value for name, value in (ABOUT | changed).items() if value is not None}
    if "rows" in changed:
        about["words"] = about["words"] | {"texts": changed["rows"]}
    if not said:
        check_parameters(asked, about, Settings())
        return
    with pytest.raises(Problem, match=said) as caught:
        check_parameters(asked, about, Settings())
    assert (caught.value.status, caught.value.code) == (422, "invalid_param")


@pytest.mark.parametrize("given", [{"min_df": 2}, {"max_df": 0.9}, {"ngram_range": [2, 2]}])
def test_what_only_the_fit_can_count_is_left_to_it(given: dict[str, Any]) -> None:
    asked = schemas.Parameters.model_validate({"reduce": 0} | given)
    check_parameters(asked, ABOUT, Settings(fit_memory_bytes=1, max_model_bytes=1))


def test_a_dataset_of_an_earlier_release_has_no_counts() -> None:
    check_parameters(
        schemas.Parameters.model_validate({"n_clusters": 100}), {"rows": 100}, Settings()
    )


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"ngram_range": [1, 1_000_000]}, "ngram_range.1"),
        ({"ngram_range": [3, 2]}, "ngram_range"),
        ({"ngram_range": [0, 1]}, "ngram_range.0"),
        ({"ngram_range": [1] * 1_000}, "ngram_range"),
        ({"min_df": 300}, "min_df=300"),
        ({"min_df": 0.9, "max_df": 0.1}, "min_df=0.9"),
        ({"max_features": 0}, "max_features"),
        ({"seed": -1}, "seed"),
        ({"max_iter": 10**9}, "max_iter"),
        ({"n_clusters": 244}, "n_clusters=244"),
        ({"n_clusters": True}, "n_clusters"),
        ({f"p{at}": 1 for at in range(5_000)}, "p0"),
    ],
)
def test_a_fit_that_cannot_be_made_does_not_wait_for_its_turn(
    service: Server, parameters: dict[str, Any], said: str
) -> None:
    before = service.get("/v1/jobs")
    reply = service.http.post("/v1/jobs", json={"dataset": "films", "parameters": parameters})
    assert said in refused(reply, 422, "invalid_param")
    assert service.get("/v1/jobs") == before


# -- work: what it may take --------------------------------------------------------------------


@pytest.mark.parametrize("is_small", [True, False])
@pytest.mark.parametrize("question", ["recommend", "similar"])
def test_the_questions_of_a_large_model_are_answered_beside_the_others(
    films_model: Model, question: str, is_small: bool
) -> None:
    loaded = Loaded("films", 1, films_model, Settings())
    assert loaded.is_small
    loaded.is_small = is_small
    threads = []
    item = loaded.item

    def noted(row: int) -> Any:
        threads.append(threading.current_thread())
        return item(row)

    loaded.item = noted  # type: ignore[method-assign]
    asked = (
        search.recommend(loaded, "love") if question == "recommend" else use.similar(loaded, "1001")
    )
    reply = asyncio.run(asked)
    assert json.loads(bytes(reply.body))["items"]
    assert (set(threads) == {threading.main_thread()}) == is_small


def with_ids(model: Model, ids: list[str]) -> Model:
    items = model.items.set_column(model.items.column_names.index("id"), "id", pa.array(ids))
    return dataclasses.replace(model, items=items)


def test_a_model_that_says_too_much_of_itself_is_refused(films_model: Model) -> None:
    n = films_model.items.num_rows
    check_model(with_ids(films_model, [f"{row:0500}" for row in range(n)]), 1 << 30)
    runs = gpu_kmeans.fit(sample.paths()[0], n_clusters=2, ngram_range=(1, 11), max_iter=1)
    talkative = dataclasses.replace(films_model.info, parameters={"columns": "x" * 300_000})
    for model, said in (
        (with_ids(films_model, [f"{row:0501}" for row in range(n)]), "501 characters"),
        (runs, "runs of up to 11 words"),
        (dataclasses.replace(films_model, info=talkative), "parameters"),
    ):
        with pytest.raises(Problem, match=said) as caught:
            check_model(model, 1 << 30)
        assert (caught.value.status, caught.value.code) == (413, "too_large")
    memory = memory_of(films_model)
    check_model(films_model, memory)
    with pytest.raises(Problem, match=f"takes {memory} bytes"):
        check_model(films_model, memory - 1)


def test_a_model_takes_about_the_memory_that_is_said_of_it(films_model: Model) -> None:
    arrays = (films_model.centroids, films_model.postings.rows, films_model.postings.values)
    least = sum(array.nbytes for array in arrays) + films_model.items.nbytes
    assert least < memory_of(films_model) < 12 * least


@pytest.mark.parametrize(
    ("task", "limits", "status", "code", "said"),
    [
        ("fit", (60, 1), 507, "out_of_memory", "1 bytes that it may take (memory)"),
        ("check", (60, 1), 413, "too_large", "1 bytes that it may take (memory)"),
        ("fit", (0.01, 1 << 40), 422, "too_slow", "0.01 s that are allowed (seconds)"),
        ("verify", (0.01, 1 << 40), 422, "too_slow", "0.01 s that are allowed (seconds)"),
        # What cannot be foreseen: there is no such archive, and no such table.
        ("verify", (60, 1 << 40), 422, "model_corrupt", "KeyError"),
        ("check", (60, 1 << 40), 422, "unreadable", "KeyError"),
    ],
)
def test_work_ends_where_it_takes_too_much_or_goes_wrong(
    tmp_path: Path, task: str, limits: tuple[float, int], status: int, code: str, said: str
) -> None:
    spec = {"task": task, "folder": str(tmp_path)}
    bounds = WorkLimits(limits[0], "seconds", limits[1], "memory")
    with pytest.raises(Problem) as caught:
        asyncio.run(run_worker(spec, bounds))
    assert (caught.value.status, caught.value.code) == (status, code)
    assert said in caught.value.detail


def test_every_limit_is_stated(service: Server) -> None:
    stated = service.get("/v1/info")["limits"]
    document = service.get("/v1/openapi.json")["info"]["description"]
    for name in Settings.model_fields:
        bounds = name.startswith("max_") or name.startswith(("fit_", "check_"))
        if bounds and name != "max_header_bytes":
            default = Settings.model_fields[name].default
            assert stated[name] == default
            assert f"| `{name}` | {default} |" in document


# -- a service with little room ----------------------------------------------------------------


TITLE = "A long one"
LONG = "Ein großer Kran — " + "hebt 🏗 lasten " * 3_000
FEW = 9_000


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service of small answers, with a model of 60 films and one long text."""
    with Server(
        tmp_path_factory.mktemp("bounds"),
        **{"max_answer_bytes": FEW, "max_text_characters": 100, "max_distinct": 40},
        # Room for one of its models, and not for two.
        **{"max_model_bytes": 2 * MIB, "max_loaded_bytes": 1_200_000},
    ) as server:
        server.put("films", films(60) + f'9999,{TITLE},"{LONG}",1\n')
        server.fit("films", n_clusters=4, max_iter=5)
        yield server
        assert not [line for line in server.log() if line["level"] == "error"]
        assert server.stop() == 0


def test_long_texts_are_cut_wherever_they_are_among_others(narrow: Server) -> None:
    path = "/v1/models/films"
    item = narrow.get(f"{path}/items/9999")
    assert (item["text"], item["text_is_cut"]) == (LONG[:99] + "…", True)
    found = narrow.get(f"{path}/recommend", q="kran hebt", limit=1)["items"][0]
    assert found["id"] == 9999
    assert "".join(piece for piece, _ in found["marked"]) == found["text"] == LONG[:99] + "…"
    assert ["Kran", True] in found["marked"]
    assert narrow.get(f"{path}/items/9999/similar", limit=1)["item"]["text"] == item["text"]


def test_the_whole_text_is_to_be_had_part_by_part(narrow: Server) -> None:
    path, start, text = "/v1/models/films/items/9999/text", 0, ""
    while start is not None:
        part = narrow.get(path, start=start, limit=20_000)
        assert (part["id"], part["start"], part["characters"]) == (9999, start, len(LONG))
        text, start = text + part["text"], part["next"]
    assert text == LONG
    assert narrow.get(path, start=10**6)["text"] == ""
    assert narrow.get(path)["next"] is None
    refused(narrow.http.get("/v1/models/films/items/7/text"), 404, "unknown_item")
    refused(narrow.http.get(path, params={"limit": 10**7}), 422, "invalid_query")


def test_an_answer_that_is_too_large_is_refused(narrow: Server) -> None:
    path = "/v1/models/films/recommend"
    reply = narrow.http.get(path, params={"q": "kran love war", "limit": 60, "clusters": 4})
    assert f"{FEW} allowed" in refused(reply, 422, "answer_too_large")
    assert narrow.get(path, q="kran love war", limit=5)["items"]
    batch = narrow.http.post(path, json={"queries": [{"q": "love", "limit": 4}] * 9})
    assert f"{FEW} allowed" in refused(batch, 422, "answer_too_large")
    members = narrow.http.get("/v1/models/films/clusters/0/items", params={"limit": 200})
    assert members.status_code == 200 or refused(members, 422, "answer_too_large")


def test_a_map_shows_as_many_items_as_there_is_room_for(narrow: Server) -> None:
    drawn = narrow.get("/v1/models/films/map")
    assert drawn["n"] == 61
    assert len(narrow.http.get("/v1/models/films/map").content) <= FEW
    assert len(drawn["x"]) == len(drawn["id"]) == len(set(drawn["id"])) == drawn["shown"]


def test_different_names_are_counted(narrow: Server) -> None:
    genres = "".join(f'{at},text,"[""g{at}""]"\n' for at in range(41))
    reply = narrow.http.put(
        "/v1/datasets/named/items",
        content="id,overview,genres\n" + genres,
        headers={"content-type": CSV},
    )
    assert "41 different names" in refused(reply, 422, "too_many_values")


def test_an_id_that_could_not_be_asked_for_is_refused(narrow: Server) -> None:
    reply = narrow.http.put(
        "/v1/datasets/named/items",
        content=f"id,overview\na,x\n{'i' * 501},y\n",
        headers={"content-type": CSV},
    )
    assert "row 3, column 'id'" in refused(reply, 413, "too_large")


def test_a_small_file_of_a_large_table_is_refused(narrow: Server) -> None:
    out = io.BytesIO()
    pq.write_table(repeated("some words " * 7_000, 1_000), out)
    assert len(out.getvalue()) < 100_000
    reply = narrow.http.put(
        "/v1/datasets/packed/items", content=out.getvalue(), headers={"content-type": PARQUET}
    )
    assert "max_expansion" in refused(reply, 413, "too_large")


def restored(content: bytes, folder: Path) -> Model:
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        tar.extractall(folder, filter="data")
    return Model.load(folder)


def test_a_small_archive_of_a_large_model_is_refused(narrow: Server, tmp_path: Path) -> None:
    content = narrow.archive("films")
    assert narrow.upload("again", content).status_code == 201
    model = restored(content, tmp_path / "one")
    place = model.items.column_names.index("text")
    texts = pa.chunked_array([pa.array(["word " * 10_000] * model.items.num_rows)])
    items = model.items.set_column(place, "text", texts)
    dataclasses.replace(model, items=items).save(tmp_path / "two")
    packed = b"".join(archive.pack(tmp_path / "two"))
    assert len(packed) < MIB // 2
    assert "once unpacked" in refused(narrow.upload("large", packed), 413, "model_too_large")
    refused(narrow.http.get("/v1/models/large"), 404, "unknown_model")


def test_memory_decides_how_many_versions_are_kept(narrow: Server) -> None:
    def loaded() -> str:
        lines = narrow.http.get("/metrics").text.splitlines()
        return next(line for line in lines if line.startswith("gpu_kmeans_models_loaded "))

    if narrow.http.get("/v1/models/again").status_code == 404:
        assert narrow.upload("again", narrow.archive("films")).status_code == 201
    for name in ("films", "again", "films"):
        narrow.get(f"/v1/models/{name}/clusters")
        assert float(loaded().split()[1]) == 1
