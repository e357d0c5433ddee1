"""Keeping a model: what is written is what is read, and nothing else is ever read."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pickle
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save
from toy import ITEMS, TERMS, text_features, toy_info, toy_model, toy_rows

import gpu_kmeans.files
import gpu_kmeans.model.storage
from gpu_kmeans.errors import FileProblem, InvalidParam, ModelCorrupt, UnsupportedSchema
from gpu_kmeans.model import SCHEMA_VERSION, Model, Postings

FILES = ("arrays.safetensors", "items.parquet", "manifest.json")


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    toy_model().save(folder)
    return folder


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("intact") / "model"
    toy_model().save(folder)
    return contents(folder)


def contents(folder: Path) -> dict[str, bytes]:
    return {entry.name: entry.read_bytes() for entry in folder.iterdir()}


def write(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def assert_same(one: Model, other: Model) -> None:
    assert one.items.equals(other.items)
    assert one.info == other.info
    for name in ("labels", "centroids"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), strict=True)
    for name in ("indptr", "rows", "values"):
        np.testing.assert_array_equal(
            getattr(one.postings, name), getattr(other.postings, name), strict=True
        )
    np.testing.assert_array_equal(one.vectorizer.idf_, other.vectorizer.idf_, strict=True)
    assert one.vectorizer.vocabulary_ == other.vectorizer.vocabulary_


# -- what is written --------------------------------------------------------------------


def test_a_model_comes_back_as_it_was(saved: Path) -> None:
    assert_same(Model.load(saved), toy_model())


def test_a_loaded_model_reads_a_query_as_the_fitted_one(saved: Path) -> None:
    query = "Alien chefs: SOLDIER, rescue alien!"
    for got, expected in zip(
        Model.load(saved).vectorizer.transform_query(query),
        toy_model().vectorizer.transform_query(query),
        strict=True,
    ):
        np.testing.assert_array_equal(got, expected, strict=True)


def test_parameters_of_the_text_come_back(tmp_path: Path) -> None:
    params = {
        "stop_words": frozenset({"planet", "army"}),
        "ngram_range": (1, 2),
        "min_df": 1,
        "max_df": 1.0,
        "sublinear_tf": True,
        "norm": None,
        "smooth_idf": False,
    }
    kind = type(toy_model().vectorizer)
    vectorizer = kind.from_fitted(TERMS, toy_model().vectorizer.idf_, params)
    model = toy_model(features=text_features(vectorizer))
    model.save(tmp_path / "model")
    found = Model.load(tmp_path / "model").vectorizer.get_params()
    assert {name: found[name] for name in params} == {**params, "stop_words": ["army", "planet"]}
    assert [type(found[name]) for name in ("min_df", "max_df")] == [int, float]


def test_a_directory_holds_three_files_of_stated_size_and_checksum(saved: Path) -> None:
    files = contents(saved)
    manifest = json.loads(files["manifest.json"])
    assert sorted(files) == list(FILES)
    assert manifest["schema_version"] == SCHEMA_VERSION
    assert manifest["metrics"] == {
        "n_items": 13,
        "n_clustered": 12,
        "n_features": len(TERMS),
        "n_terms": len(TERMS),
        "nnz": int(np.count_nonzero(toy_rows())),
        "n_clusters": 3,
        "inertia": 5.25,
        "n_iter": 2,
    }
    assert manifest["arrays"]["centroids"] == {"dtype": "float32", "shape": [3, len(TERMS)]}
    for name in FILES[:2]:
        data = files[name]
        digest = hashlib.sha256(data).hexdigest()
        assert manifest["files"][name] == {"bytes": len(data), "sha256": digest}


def test_the_same_model_is_written_as_the_same_bytes(saved: Path, tmp_path: Path) -> None:
    toy_model().save(tmp_path / "again")
    assert contents(tmp_path / "again") == contents(saved)


def test_postings_are_the_rows_by_term() -> None:
    postings = toy_model().postings
    np.testing.assert_array_equal(postings.to_csr().toarray(), toy_rows().astype(np.float32))
    assert Postings.from_csr(postings.to_csr()).n_rows == len(ITEMS)


@pytest.mark.skipif(os.name == "nt", reason="permissions of POSIX")
def test_a_model_gets_the_permissions_of_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        toy_model().save(tmp_path / "model")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "model").stat().st_mode) == 0o750
    assert stat.S_IMODE((tmp_path / "model" / "manifest.json").stat().st_mode) == 0o640


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"info": toy_info(parameters={"f": print})}, "not JSON"),
        ({"info": toy_info(inertia=float("nan"))}, "inertia"),
        ({"labels": np.zeros(len(ITEMS), dtype=np.int64)}, "labels"),
        ({"labels": np.full(len(ITEMS), 3, dtype=np.int32)}, "label"),
        ({"labels": np.full(len(ITEMS), -1, dtype=np.int32)}, "no item"),
        ({"centroids": np.full((3, len(TERMS)), np.nan, dtype=np.float32)}, "finite"),
        ({"items": toy_model().items.slice(1)}, "not as many as its items"),
        ({"items": toy_model().items.drop_columns(["text"])}, "columns"),
    ],
)
def test_what_is_not_a_model_is_not_saved(
    tmp_path: Path, changes: dict[str, Any], what: str
) -> None:
    with pytest.raises(InvalidParam, match=what):
        toy_model(**changes).save(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


# -- where it is written ----------------------------------------------------------------


@pytest.mark.parametrize("occupant", ["file", "folder", "model", "link"])
def test_what_exists_is_refused_and_left_alone(tmp_path: Path, occupant: str) -> None:
    target = tmp_path / "model"
    match occupant:
        case "file":
            target.write_text("kept")
        case "folder":
            write(target, {"photo.jpg": b"kept"})
        case "model":
            toy_model().save(target)
        case "link":
            target.symlink_to(tmp_path / "nowhere")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(FileProblem, match="exists already"):
        toy_model().save(target)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("occupant", ["file", "folder", "link"])
def test_only_a_model_is_ever_overwritten(tmp_path: Path, occupant: str) -> None:
    target = tmp_path / "model"
    match occupant:
        case "file":
            target.write_text("kept")
        case "folder":
            toy_model().save(target)
            (target / "photo.jpg").write_text("kept")
        case "link":
            toy_model().save(tmp_path / "real")
            target.symlink_to(tmp_path / "real")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(FileProblem, match="not a model directory"):
        toy_model().save(target, overwrite=True)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["missing/model", "file/model", "", "..", "nul\0"])
def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FileProblem):
        toy_model().save(f"{tmp_path}/{name}" if name else ".")
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


@pytest.fixture(params=["exchange", "two steps"])
def replacing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways of replacing a model: names exchanged in one step, and where that is not had."""
    if request.param == "two steps":
        monkeypatch.setattr(gpu_kmeans.files, "exchange", lambda one, other: False)
    elif sys.platform != "linux":
        pytest.skip("renameat2 is Linux's")
    return str(request.param)


@pytest.mark.usefixtures("replacing")
def test_an_older_model_is_replaced(saved: Path) -> None:
    toy_model(info=toy_info(seed=43)).save(saved, overwrite=True)
    assert Model.load(saved).info.seed == 43
    assert [entry.name for entry in saved.parent.iterdir()] == ["model"]


def test_a_damaged_or_empty_model_directory_can_be_overwritten(saved: Path) -> None:
    (saved / "manifest.json").write_text("")
    toy_model().save(saved, overwrite=True)
    assert_same(Model.load(saved), toy_model())


@pytest.mark.skipif(sys.platform != "linux", reason="renameat2 is Linux's")
def test_while_it_is_overwritten_there_is_always_a_model(saved: Path) -> None:
    done = threading.Event()
    missing = 0

    def watch() -> None:
        nonlocal missing
        while not done.is_set():
            missing += not saved.is_dir()

    watcher = threading.Thread(target=watch)
    watcher.start()
    for seed in range(20):
        toy_model(info=toy_info(seed=seed)).save(saved, overwrite=True)
    done.set()
    watcher.join()
    assert missing == 0


STEPS = [
    *(("fsync", at) for at in range(5)),
    *(("rename", at) for at in range(3)),
    *(("unlink", at) for at in range(2)),
    ("mkdir", 0),
]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
@pytest.mark.parametrize("step", STEPS, ids=lambda step: f"{step[0]}-{step[1]}")
@pytest.mark.parametrize("existing", [False, True], ids=["new", "replaced"])
@pytest.mark.usefixtures("replacing")
def test_a_failure_leaves_the_old_model_or_the_new_one_and_no_remains(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    existing: bool,
    step: tuple[str, int],
    error: type[BaseException] | OSError,
) -> None:
    target = tmp_path / "model"
    if existing:
        toy_model(info=toy_info(seed=1)).save(target)
    name, fails_at = step
    real, calls = getattr(os, name), iter(range(1000))

    def failing(*args: Any, **kwargs: Any) -> Any:
        if next(calls) == fails_at:
            raise error
        return real(*args, **kwargs)

    failed = True
    with monkeypatch.context() as patch:
        patch.setattr(os, name, failing)
        try:
            toy_model(info=toy_info(seed=2)).save(target, overwrite=True)
            failed = False
        except (KeyboardInterrupt, FileProblem):
            pass
    remains = [entry.name for entry in tmp_path.iterdir() if entry != target]
    if name != "unlink":  # who cannot delete leaves something behind, but only hidden
        assert remains == []
    assert all(remain.startswith(".gpu-kmeans-") for remain in remains)
    if existing or target.exists():
        assert Model.load(target).info.seed in ((1, 2) if failed else (2,))


# -- damage -----------------------------------------------------------------------------


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data(), name=st.sampled_from(FILES))
def test_a_file_truncated_at_any_byte_is_refused(
    tmp_path: Path, intact: dict[str, bytes], data: st.DataObject, name: str
) -> None:
    at = data.draw(st.integers(0, len(intact[name]) - 1))
    folder = write(tmp_path / "cut", {**intact, name: intact[name][:at]})
    with pytest.raises(ModelCorrupt):
        Model.load(folder)


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_anywhere_is_found(
    tmp_path: Path, intact: dict[str, bytes], name: str
) -> None:
    folder = write(tmp_path / "model", intact)
    original = intact[name]
    for at in range(len(original)):
        damaged = bytearray(original)
        damaged[at] ^= 1 << (at % 8)
        (folder / name).write_bytes(damaged)
        with pytest.raises((ModelCorrupt, UnsupportedSchema)):
            Model.load(folder)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(junk=st.binary(max_size=200), name=st.sampled_from(FILES))
def test_any_other_bytes_are_refused(
    tmp_path: Path, intact: dict[str, bytes], junk: bytes, name: str
) -> None:
    with pytest.raises(ModelCorrupt):
        Model.load(write(tmp_path / "junk", {**intact, name: junk}))


def test_bytes_appended_to_a_file_are_found(saved: Path) -> None:
    for name in FILES:
        with open(saved / name, "ab") as file:
            file.write(b" ")
        with pytest.raises(ModelCorrupt, match=name):
            Model.load(saved)
        toy_model().save(saved, overwrite=True)


def test_an_empty_directory_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelCorrupt, match=r"manifest\.json is missing.*fit the model again"):
        Model.load(tmp_path)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(saved: Path, name: str) -> None:
    (saved / name).unlink()
    with pytest.raises(ModelCorrupt, match=name):
        Model.load(saved)


def test_a_file_that_does_not_belong_there_is_named(saved: Path) -> None:
    (saved / "extra.pkl").write_bytes(b"")
    with pytest.raises(ModelCorrupt, match=r"extra\.pkl"):
        Model.load(saved)


def test_swapped_files_are_refused(saved: Path) -> None:
    files = contents(saved)
    write(saved, {FILES[0]: files[FILES[1]], FILES[1]: files[FILES[0]]})
    with pytest.raises(ModelCorrupt):
        Model.load(saved)


def test_a_file_of_another_model_is_refused(saved: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    toy_model(labels=np.roll(toy_model().labels, 1)).save(other)
    write(saved, {"arrays.safetensors": (other / "arrays.safetensors").read_bytes()})
    with pytest.raises(ModelCorrupt, match="checksum"):
        Model.load(saved)


@pytest.mark.parametrize("name", FILES)
def test_a_symbolic_link_is_not_followed(saved: Path, name: str) -> None:
    (saved / name).rename(saved.parent / name)
    (saved / name).symlink_to(saved.parent / name)
    with pytest.raises(ModelCorrupt, match="symbolic link"):
        Model.load(saved)


@pytest.mark.parametrize("name", FILES)
def test_a_folder_or_a_pipe_is_not_a_file(saved: Path, name: str) -> None:
    (saved / name).unlink()
    (saved / name).mkdir()
    with pytest.raises(ModelCorrupt, match=name):
        Model.load(saved)
    (saved / name).rmdir()
    if hasattr(os, "mkfifo"):
        os.mkfifo(saved / name)
        with pytest.raises(ModelCorrupt, match="regular"):
            Model.load(saved)


@pytest.mark.parametrize("path", ["missing", "file", "nul\0"])
def test_a_path_without_a_model_is_a_problem_of_the_path(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FileProblem):
        Model.load(tmp_path / path)


# -- forgery: every checksum fits, and the values must still be a model's ------------------


def forge(
    folder: Path,
    *,
    manifest: Callable[[dict[str, Any]], None] = lambda _: None,
    arrays: dict[str, Any] | None = None,
    items: pa.Table | None = None,
    raw: dict[str, bytes] | None = None,
) -> None:
    """Change a saved model and make all of its checksums and descriptions fit again."""
    files = contents(folder)
    found = {**load(files["arrays.safetensors"]), **(arrays or {})}
    found = {name: array for name, array in found.items() if array is not None}
    if arrays is not None:
        files["arrays.safetensors"] = save(found)
    if items is not None:
        pq.write_table(items, folder / "items.parquet")
        files["items.parquet"] = (folder / "items.parquet").read_bytes()
    files.update(raw or {})
    body = json.loads(files["manifest.json"])
    body["arrays"] = {
        name: {"dtype": array.dtype.name, "shape": list(array.shape)}
        for name, array in found.items()
    }
    for name in FILES[:2]:
        digest = hashlib.sha256(files[name]).hexdigest()
        body["files"][name] = {"bytes": len(files[name]), "sha256": digest}
    body["sha256"] = "0" * 64
    manifest(body)
    text = json.dumps(body).encode()
    seal = hashlib.sha256(text).hexdigest().encode()
    files["manifest.json"] = text.replace(b"0" * 64, seal, 1)
    write(folder, files)


def test_a_forgery_that_changes_nothing_loads(saved: Path) -> None:
    forge(saved, arrays={}, items=toy_model().items)
    assert_same(Model.load(saved), toy_model())


def changed(name: str, at: int, value: float) -> dict[str, Any]:
    array = load(toy_bytes()["arrays.safetensors"])[name].copy()
    array[at] = value
    return {name: array}


def toy_bytes() -> dict[str, bytes]:
    return gpu_kmeans.model.storage._encode(toy_model())


TOY = toy_model()
N, V = len(ITEMS), len(TERMS)
BAD_ARRAYS: dict[str, dict[str, Any]] = {
    "label too high": changed("labels", 0, 3),
    "label too low": changed("labels", 0, -2),
    "labels of another type": {"labels": TOY.labels.astype(np.int64)},
    "labels in two dimensions": {"labels": TOY.labels[:, None]},
    "a label too few": {"labels": TOY.labels[1:]},
    "nothing clustered": {"labels": np.full(N, -1, np.int32)},
    "no cluster": {"centroids": np.zeros((0, V), np.float32), "labels": np.full(N, -1, np.int32)},
    "a centroid's term too few": {"centroids": TOY.centroids[:, 1:]},
    "a centroid that is not finite": changed("centroids", 0, np.nan),
    "an idf too few": {"features/0/idf": TOY.vectorizer.idf_[1:]},
    "an idf that is not finite": changed("features/0/idf", 0, np.inf),
    "a posting's row too high": changed("postings_rows", -1, N),
    "a posting's row below 0": changed("postings_rows", 0, -1),
    "a posting twice": changed("postings_rows", 1, TOY.postings.rows[0]),
    "a posting that is not finite": changed("postings_values", 0, np.nan),
    "a posting too few": {"postings_values": TOY.postings.values[1:]},
    "postings that fall": changed("postings_indptr", 1, 10**6),
    "postings that begin below 0": changed("postings_indptr", 0, -1),
    "postings that end early": changed("postings_indptr", -1, 1),
    "a term that is not UTF-8": changed("features/0/vocabulary", 0, 0xFF),
    "a term twice": {
        "features/0/vocabulary": np.frombuffer(b"a" * V, np.uint8),
        "features/0/vocabulary_offsets": np.arange(V + 1),
    },
    "terms that fall": changed("features/0/vocabulary_offsets", 1, 10**6),
    "an array missing": {"features/0/idf": None},
    "an array too many": {"weights": np.zeros(3)},
}


@pytest.mark.parametrize("arrays", BAD_ARRAYS.values(), ids=BAD_ARRAYS.keys())
def test_arrays_that_are_no_model_are_refused(saved: Path, arrays: dict[str, Any]) -> None:
    forge(saved, arrays=arrays)
    with pytest.raises(ModelCorrupt):
        Model.load(saved)


def column(name: str, values: Any) -> pa.Table:
    return TOY.items.set_column(TOY.items.column_names.index(name), name, values)


BAD_ITEMS: dict[str, pa.Table] = {
    "an item too few": TOY.items.slice(1),
    "no id": TOY.items.drop_columns(["id"]),
    "a column that is unknown": TOY.items.append_column("price", pa.array([1.0] * N)),
    "an id that is a float": column("id", pa.array([1.5] * N)),
    "an id that is null": column("id", pa.array([None] * N, pa.int64())),
    "a title that is a number": column("title", pa.array([1] * N)),
    "popularity as text": column("popularity", pa.array(["1"] * N)),
    "popularity that is not finite": column("popularity", pa.array([float("nan")] * N)),
    "genres that are numbers": column("genres", pa.array([[1]] * N)),
    "a title that is not UTF-8": column("title", pa.array([b"\xff"] * N).view(pa.string())),
    "genres that are not UTF-8": column(
        "genres",
        pa.ListArray.from_arrays(range(N + 1), pa.array([b"\xff"] * N).view(pa.string())),
    ),
}


@pytest.mark.parametrize("items", BAD_ITEMS.values(), ids=BAD_ITEMS.keys())
def test_items_that_are_no_catalogue_are_refused(saved: Path, items: pa.Table) -> None:
    forge(saved, items=items)
    with pytest.raises(ModelCorrupt):
        Model.load(saved)


def set_to(*path: Any, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(body: dict[str, Any]) -> None:
        for name in path[:-1]:
            body = body[name]
        body[path[-1]] = value

    return change


BAD_MANIFESTS: dict[str, Callable[[dict[str, Any]], None]] = {
    "a file outside": lambda body: body["files"].update({"../../passwd": {}}),
    "no files": set_to("files", value=None),
    "a size that is text": set_to("files", "items.parquet", "bytes", value="100"),
    "a size below 0": set_to("files", "items.parquet", "bytes", value=-1),
    "no arrays": set_to("arrays", value={}),
    "another count": set_to("metrics", "n_items", value=14),
    "no info": set_to("info", value=None),
    "an info that lacks a field": lambda body: body["info"].pop("seed"),
    "an info with a field too many": set_to("info", "colour", value="red"),
    "a seed that is text": set_to("info", "seed", value="42"),
    "a history that is not one": set_to("info", "history", value=[1]),
    "no parameters of the text": set_to("features", 0, "params", value=None),
    "an unknown parameter": set_to("features", 0, "params", "colour", value="red"),
    "n-grams that are no pair": set_to("features", 0, "params", "ngram_range", value=3),
    "no encoders": set_to("features", value=[]),
    "an encoder of no kind": set_to("features", 0, "kind", value="smell"),
    "a weight below 0": set_to("features", 0, "weight", value=-1.0),
    "a reduction without arrays": set_to("reduction", value={"normalize": True}),
    "another format": set_to("format", value="a cookbook"),
    "schema version 0": set_to("schema_version", value=0),
    "schema version true": set_to("schema_version", value=True),
    "schema version as text": set_to("schema_version", value="1"),
}


@pytest.mark.parametrize("change", BAD_MANIFESTS.values(), ids=BAD_MANIFESTS.keys())
def test_a_manifest_that_describes_no_model_is_refused(
    saved: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    forge(saved, manifest=change)
    with pytest.raises(ModelCorrupt):
        Model.load(saved)


@pytest.mark.parametrize("text", [b"[]", b"1", b"null", b"[" * 5000, b"{}", b'{"a": NaN}'])
def test_json_that_is_no_manifest_is_refused(saved: Path, text: bytes) -> None:
    (saved / "manifest.json").write_bytes(text)
    with pytest.raises(ModelCorrupt):
        Model.load(saved)


def test_a_newer_schema_says_what_to_do(saved: Path) -> None:
    forge(saved, manifest=set_to("schema_version", value=SCHEMA_VERSION + 1))
    (saved / "another-file").write_bytes(b"")  # a newer schema may hold other files
    with pytest.raises(UnsupportedSchema, match="upgrade"):
        Model.load(saved)


class Trap:
    """Creates a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.mark,))


@pytest.mark.parametrize("name", FILES)
def test_a_pickle_under_a_files_name_is_never_executed(
    saved: Path, tmp_path: Path, name: str
) -> None:
    trap = pickle.dumps(Trap(tmp_path / "executed"))
    (saved / name).write_bytes(trap)
    with pytest.raises(ModelCorrupt):
        Model.load(saved)
    toy_model().save(saved, overwrite=True)
    if name != "manifest.json":
        forge(saved, raw={name: trap})
        with pytest.raises(ModelCorrupt):
            Model.load(saved)
    assert not (tmp_path / "executed").exists()


# -- what loading costs -----------------------------------------------------------------


def test_loading_and_recommending_imports_no_heavy_library(saved: Path) -> None:
    program = (
        "import sys\n"
        "from gpu_kmeans.model import Model\n"
        "from gpu_kmeans.recommend import Recommender\n"
        f"found = Recommender(Model.load({str(saved)!r})).recommend('alien chef')\n"
        "assert found.items\n"
        "heavy = ('pandas', 'polars', 'faiss', 'scipy', 'matplotlib', 'sklearn', 'cpu_fallback')\n"
        "print([name for name in heavy if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        cwd=Path(gpu_kmeans.__file__).parents[1],
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_a_model_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        toy_model().labels = np.zeros(3)  # type: ignore[misc]  # the point of the test
