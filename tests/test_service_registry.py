"""What the service does not know it does not delete; and what was lost can be recovered."""

from __future__ import annotations

import json
import logging
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serving import Server, films, refused, run

from gpu_kmeans.cli import main
from gpu_kmeans.data.sample import paths
from gpu_kmeans.errors import FileProblem
from gpu_kmeans.service.recover import recover
from gpu_kmeans.service.registry import SCHEMA_VERSION
from gpu_kmeans.service.store import Store

REGISTRY = "registry.sqlite"
CREDITS = paths()[1].read_bytes()


class Folder:
    """A folder that was served and that no service holds any more.

    Parameters
    ----------
    data : Path
    answers : dict
        What the service said of datasets and models, and their archives.
    """

    def __init__(self, data: Path, answers: dict[str, Any]) -> None:
        self.data = data
        self.answers = answers


def answers(server: Server) -> dict[str, Any]:
    """All that a service knows but for its jobs."""
    models = {
        row["name"]: server.get(f"/v1/models/{row['name']}")
        for row in server.get("/v1/models")["models"]
    }
    return {
        "datasets": server.get("/v1/datasets")["datasets"],
        "models": models,
        "archives": {
            (name, row["version"]): server.archive(name, version=row["version"])
            for name, model in models.items()
            for row in model["versions"]
        },
    }


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """Two datasets, one with credits, and two models, one of two versions."""
    data = tmp_path_factory.mktemp("registry") / "data"
    with Server(data) as server:
        server.put("films", films(30))
        server.put("films", CREDITS, part="credits")
        server.put("few", films(8), title="")
        server.fit("films", n_clusters=2)
        server.fit("films", n_clusters=3)
        server.fit("few", "other", n_clusters=2)
        known = answers(server)
        assert server.stop() == 0
    return Folder(data, known)


@pytest.fixture
def folder(served: Folder, tmp_path: Path) -> Path:
    """A copy that may be damaged."""
    return shutil.copytree(served.data, tmp_path / "data")


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder but its lock and what SQLite has while it is open."""
    passing = {"lock", f"{REGISTRY}-wal", f"{REGISTRY}-shm"}
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in passing
    }


def stored(folder: Path) -> dict[str, bytes]:
    """Every file of datasets and models."""
    return {
        name: content
        for name, content in contents(folder).items()
        if name.startswith(("datasets/", "models/"))
    }


def change(folder: Path, *statements: str) -> None:
    """Change a registry with SQL."""
    with closing(sqlite3.connect(folder / REGISTRY, isolation_level=None)) as registry:
        for statement in statements:
            registry.execute(statement)
        registry.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def write(content: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        file = folder / REGISTRY
        file.write_bytes(content(file.read_bytes()))

    return damage


def of_another_folder(folder: Path) -> None:
    other = folder.parent / "other"
    with closing(Store(other)) as store:
        store.registry.add_job("0" * 22, {}, None, "")
    change(other, "DELETE FROM jobs")
    shutil.copy(other / REGISTRY, folder / REGISTRY)


DAMAGES: dict[str, Callable[[Path], None]] = {
    "missing": lambda folder: (folder / REGISTRY).unlink(),
    "emptied": write(lambda content: b""),
    "a header alone": write(lambda content: content[:100]),
    "one page": write(lambda content: content[:4096]),
    "half": write(lambda content: content[: len(content) // 2]),
    "a page less": write(lambda content: content[:-4096]),
    "a few bytes less": write(lambda content: content[:-7]),
    "no database": write(lambda content: b"this is no database" * 300),
    "zeros": write(lambda content: bytes(len(content))),
    "no table": lambda folder: change(
        folder,
        *(f"DROP TABLE {name}" for name in ("datasets", "jobs", "models", "versions", "keys")),
        "DROP TABLE pending",
        "PRAGMA user_version = 0",
    ),
    "a table less": lambda folder: change(folder, "DROP TABLE versions"),
    "a column more": lambda folder: change(folder, "ALTER TABLE models ADD COLUMN more TEXT"),
    "no rows": lambda folder: change(folder, "DELETE FROM datasets", "DELETE FROM versions"),
    "of another folder": of_another_folder,
    "a newer schema": lambda folder: change(folder, f"PRAGMA user_version = {SCHEMA_VERSION + 1}"),
    "a negative schema": lambda folder: change(folder, "PRAGMA user_version = -3"),
    "no JSON": lambda folder: change(folder, "UPDATE versions SET about = '{' WHERE version = 2"),
    "a path": lambda folder: change(folder, "UPDATE versions SET folder = '../' || folder"),
    "no state": lambda folder: change(folder, "UPDATE versions SET state = 'raedy'"),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=list(DAMAGES))
def test_a_registry_that_cannot_be_right_ends_the_start_and_changes_nothing(
    folder: Path, damage: Callable[[Path], None]
) -> None:
    damage(folder)
    before = contents(folder)
    with pytest.raises(FileProblem) as refusal:
        Store(folder)
    assert REGISTRY in str(refusal.value)
    assert f"gpu-kmeans recover --data {folder}" in str(refusal.value)
    assert contents(folder) == before


@pytest.mark.parametrize("name", ["missing", "emptied", "half"])
def test_the_commands_refuse_it_in_one_line(
    folder: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    DAMAGES[name](folder)
    before = contents(folder)
    for command in (["key", "list"], ["key", "add", "mine"]):
        assert main([*command, "--data", str(folder)]) == 2
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert f"gpu-kmeans recover --data {folder}" in err
    code, out, err = run("serve", "--data", folder, "--port", 0, "--backend", "cpu")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert f"gpu-kmeans recover --data {folder}" in err
    assert contents(folder) == before


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    yield tmp_path_factory.mktemp("scratch") / "data"


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(-1, 7))
def test_whatever_happens_to_a_registry_no_file_is_lost(
    served: Folder, scratch: Path, where: float, bit: int
) -> None:
    shutil.rmtree(scratch, ignore_errors=True)
    shutil.copytree(served.data, scratch)
    content = bytearray((scratch / REGISTRY).read_bytes())
    at = int(where * len(content))
    if bit < 0:
        del content[at:]
    else:
        content[at] ^= 1 << bit
    (scratch / REGISTRY).write_bytes(content)
    before = stored(scratch)
    for _ in range(2):  # what a first start does is seen by the second
        try:
            Store(scratch).close()
        except FileProblem as refusal:
            assert "gpu-kmeans recover" in str(refusal)
        assert stored(scratch) == before


# -- what is not the service's -----------------------------------------------------------------


def test_files_of_others_are_left_as_they_are(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    unknown = "0123456789abcdef01234567"
    for name in (
        *("datasets/notes.txt", "datasets/.hidden", "datasets/0123.csv", "models/mine/notes.txt"),
        *("incoming/notes.txt", "incoming/mine/notes.txt", "labels/notes.txt", "notes.txt"),
        *(f"datasets/{unknown}.csv", f"models/{unknown}/manifest.json"),
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(name)
    elsewhere = folder.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "notes.txt").write_text("mine")
    (folder / "models" / "linked").symlink_to(elsewhere)
    before = contents(folder)
    with caplog.at_level(logging.WARNING):
        Store(folder).close()
    after = contents(folder)
    assert after == before | {REGISTRY: after[REGISTRY]}
    (warning,) = caplog.records
    assert unknown in str(vars(warning)["files"])
    assert vars(warning)["way_out"] == f"gpu-kmeans recover --data {folder}"


def test_what_a_crash_leaves_on_its_way_goes_at_the_next_start(folder: Path) -> None:
    before = stored(folder)
    file, model = "0123456789abcdef01234567.csv", "76543210fedcba9876543210"
    with closing(Store(folder)) as store:
        for name in (file, model):
            store.registry.expect(name)
        scratch = store.scratch()
    (folder / "datasets" / file).touch()
    (folder / "models" / model).mkdir()
    (folder / "labels" / f"{model}.json").touch()
    (scratch / "items.csv").touch()
    with closing(Store(folder)) as store:
        assert store.registry.pending() == set()
    assert stored(folder) == before
    assert not any((folder / "incoming").iterdir())
    assert not (folder / "labels" / f"{model}.json").exists()


def test_what_is_deleted_leaves_nothing_behind_even_over_a_crash(folder: Path) -> None:
    with closing(Store(folder)) as store:
        gone = store.registry.delete_dataset("films")  # and a crash before the files go
        assert len(gone) == 2
        assert store.registry.delete_version("films", 1)
    with closing(Store(folder)) as store:
        assert store.registry.files() == {
            path.name for place in ("datasets", "models") for path in (folder / place).iterdir()
        }
    labels = {path.stem for path in (folder / "labels").iterdir()}
    assert labels == store_files(folder)


def store_files(folder: Path) -> set[str]:
    return {path.name for place in ("datasets", "models") for path in (folder / place).iterdir()}


def test_a_missing_model_folder_is_said_and_waited_for(folder: Path, served: Folder) -> None:
    with closing(Store(folder)) as store:
        row = store.registry.version("films", 2)
    assert row is not None
    there, away = folder / "models" / row["folder"], folder.parent / "away"
    there.rename(away)
    with Server(folder) as server:
        assert any("missing" in line["message"] for line in server.log())
        for _ in range(2):
            refused(server.http.get("/readyz"), 503, "version_missing")
            said = refused(server.http.get("/v1/models/films/clusters"), 409, "version_missing")
            assert "version 2" in said
        assert server.get("/v1/models/films/clusters", version=1)["version"] == 1
        away.rename(there)
        assert server.get("/v1/models/films/clusters")["version"] == 2
        assert server.get("/readyz") == {"status": "ok", "models": 2}
        # A file that was cut short is missing as much.
        assert answers(server) == served.answers
        assert server.stop() == 0


def test_a_dataset_without_its_file_is_said_and_can_be_replaced(folder: Path) -> None:
    with closing(Store(folder)) as store:
        row = store.registry.dataset("few")
    assert row is not None
    (folder / "datasets" / row["items"]["file"]).unlink()
    with Server(folder) as server:
        job = server.ended(server.ask("few", n_clusters=2))
        assert job["error"]["code"] == "file_missing"
        assert "replace=true" in job["error"]["detail"]
        assert server.put("few", films(9), replace=True)["rows"] == 9
        assert server.stop() == 0


FIRST = "DROP TABLE pending"
SECOND = "ALTER TABLE jobs DROP COLUMN result"


@pytest.mark.parametrize(("version", "undo"), [(1, (SECOND, FIRST)), (2, (SECOND,))])
def test_a_folder_of_a_schema_before_is_taken_over(
    folder: Path, served: Folder, version: int, undo: tuple[str, ...]
) -> None:
    change(folder, *undo, f"PRAGMA user_version = {version}")
    shutil.rmtree(folder / "labels")
    before = stored(folder)
    with closing(Store(folder)) as store:
        assert store.registry.row("PRAGMA user_version") == {"user_version": SCHEMA_VERSION}
        assert {row["result"] for row in store.registry.rows("SELECT * FROM jobs")} == {None}
    assert stored(folder) == before
    (folder / REGISTRY).unlink()
    assert sorted(recover(folder).datasets) == ["few", "films"]


# -- recovering --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["missing", "emptied", "half", "no JSON", "no rows"])
def test_a_registry_is_made_anew_of_what_lies_in_the_folder(
    folder: Path, served: Folder, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    DAMAGES[name](folder)
    before = contents(folder)
    assert main(["recover", "--json", "--data", str(folder)]) == 0
    said = json.loads(capsys.readouterr().out)
    assert sorted(said["datasets"]) == ["few", "films"]
    versions = {(each["model"], each["version"]) for each in said["versions"]}
    assert versions == {("films", 1), ("films", 2), ("other", 1)}
    assert said["left"] == said["missing"] == []
    assert said["rebuilt"] == (name != "no rows")
    # Nothing is gone: not what was stored, nor the old registry.
    after = contents(folder)
    if said["rebuilt"] and before.get(REGISTRY):
        assert before[REGISTRY] in [after[file] for file in said["set_aside"]]
    changed = {REGISTRY, "audit.jsonl"}
    assert {file: after[file] for file in set(before) - changed} == {
        file: before[file] for file in set(before) - changed
    }
    with closing(Store(folder)) as store:
        active = {row["name"]: row["active"] for row in store.registry.models()}
        assert active == {"films": 2, "other": 1}
    assert main(["recover", "--data", str(folder)]) == 0
    assert capsys.readouterr().out == "the registry is sound\nnothing to recover\n"


def test_what_was_recovered_answers_as_before(folder: Path, served: Folder) -> None:
    (folder / REGISTRY).unlink()
    recover(folder)
    with Server(folder) as server:
        found = answers(server)
        assert found["archives"] == served.answers["archives"]
        for name, model in served.answers["models"].items():
            again = found["models"][name]
            assert again["versions"] == model["versions"]
            assert again["active"] == model["active"]
        assert found["datasets"] == served.answers["datasets"]
        assert server.fit("films", n_clusters=4) == 3
        assert server.stop() == 0


def test_without_labels_what_can_be_read_gets_a_name_of_its_own(folder: Path) -> None:
    (folder / REGISTRY).unlink()
    shutil.rmtree(folder / "labels")
    done = recover(folder)
    assert len(done.versions) == 3
    assert all(name.startswith("recovered-") for name, _ in done.versions)
    assert len(done.datasets) == 2
    ((file, reason),) = done.left  # the credits are no table of items
    assert (folder / file).read_bytes() == CREDITS
    assert "no label" in reason
    with closing(Store(folder)) as store:
        rows = sorted(row["about"]["rows"] for row in store.registry.datasets())
    assert rows == [8, 30]


def test_what_is_damaged_is_left_with_a_reason_and_the_rest_recovered(folder: Path) -> None:
    with closing(Store(folder)) as store:
        films_row, model = store.registry.dataset("films"), store.registry.version("films", 2)
    assert films_row is not None
    assert model is not None
    for path in (
        folder / "datasets" / films_row["credits"]["file"],
        folder / "models" / model["folder"] / "arrays.safetensors",
    ):
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    (folder / REGISTRY).unlink()
    before = stored(folder)
    done = recover(folder)
    assert done.versions == [("films", 1), ("other", 1)]
    assert sorted(done.datasets) == ["few", "films"]
    assert {file for file, _ in done.left} == {
        f"models/{model['folder']}",
        f"datasets/{films_row['credits']['file']}",
    }
    assert stored(folder) == before
    with closing(Store(folder)) as store:
        again = store.registry.dataset("films")
        assert again is not None
        assert (again["credits"], again["items"]) == (None, films_row["items"])
        assert {row["name"]: row["active"] for row in store.registry.models()} == {
            **{"films": 1, "other": 1}
        }


def test_a_sound_registry_gets_what_it_lacks_and_keeps_what_it_has(folder: Path) -> None:
    change(folder, "DELETE FROM versions WHERE model = 'films' AND version = 2")
    change(folder, "UPDATE models SET active = 1 WHERE name = 'films'")
    change(folder, "DELETE FROM datasets WHERE name = 'few'")
    done = recover(folder)
    assert (done.rebuilt, done.datasets, done.versions) == (False, ["few"], [("films", 2)])
    with closing(Store(folder)) as store:
        model = store.registry.model("films")
        assert model is not None
        assert (model["active"], model["next"]) == (1, 3)
        assert store.registry.row("SELECT COUNT(*) AS jobs FROM jobs") == {"jobs": 3}


def test_recovering_refuses_what_it_should_not_touch(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(data: Path) -> str:
        before = contents(data) if data.is_dir() else {}
        assert main(["recover", "--data", str(data)]) == 2
        assert (contents(data) if data.is_dir() else {}) == before
        return capsys.readouterr().err

    assert "there is no folder" in said(folder / "none")
    (folder.parent / "empty").mkdir()
    assert "holds no dataset and no model" in said(folder.parent / "empty")
    with closing(Store(folder)):
        assert "another process serves" in said(folder)
    DAMAGES["a newer schema"](folder)
    assert "newer gpu-kmeans" in said(folder)
