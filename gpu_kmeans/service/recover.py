"""A registry made of what lies in a folder: for one that was lost, damaged or left behind.

Each stored file has a label that says what the registry said of it. What has a sound label and is
whole gets its row back; what has none is looked into, and gets a name of its own. Nothing is
deleted: an old registry is set aside, and what cannot be used stays where it lies.

Not recovered, as only the registry had them: keys, jobs, numbers of versions that were deleted,
and which version was active (the newest one is, then).
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from gpu_kmeans.errors import FileProblem, GpuKMeansError
from gpu_kmeans.service.formats import MEDIA_TYPES
from gpu_kmeans.service.registry import Registry, Row, now
from gpu_kmeans.service.registry_check import (
    FOLDER,
    RegistryDamaged,
    check_registry,
    is_dataset,
    is_version,
)
from gpu_kmeans.service.store import (
    FOLDERS,
    REGISTRY,
    held,
    label_names,
    stored_files,
    write_label,
)

__all__ = ["Recovered", "recover"]

AT_ONCE = 1 << 20


@dataclass
class Recovered:
    """What became of a folder.

    Attributes
    ----------
    rebuilt : bool
        Whether the registry is a new one; else it was sound, and only lacked rows.
    set_aside : list of str
        Files of the old registry, relative to the folder.
    datasets : list of str
        Names of the datasets that got a row.
    versions : list of (str, int)
        Models and numbers of the versions that got a row.
    left : list of (str, str)
        Files that got none, and why.
    missing : list of str
        Files that the registry names and that are not there.
    """

    rebuilt: bool
    set_aside: list[str] = field(default_factory=list)
    datasets: list[str] = field(default_factory=list)
    versions: list[tuple[str, int]] = field(default_factory=list)
    left: list[tuple[str, str]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def recover(folder: Path) -> Recovered:
    """Give every whole dataset and version of a folder a row in its registry.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    Recovered

    Raises
    ------
    FileProblem
        There is no such folder or nothing of a service in it, a service uses it, it cannot be
        written, or its registry is of a newer release.
    """
    if not folder.is_dir():
        raise FileProblem(f"there is no folder {folder}: check --data")
    if not (folder / REGISTRY).exists() and not stored_files(folder):
        raise FileProblem(f"{folder} holds no dataset and no model of a service: check --data")
    try:
        with held(folder):
            for name in FOLDERS:
                (folder / name).mkdir(exist_ok=True)
            return _recover(folder)
    except OSError as error:
        raise FileProblem(
            f"cannot recover {folder}: {error.strerror or error}; make it writable, and free some "
            "space"
        ) from error


def _recover(folder: Path) -> Recovered:
    done = Recovered(rebuilt=not _is_sound(folder))
    if done.rebuilt:
        done.set_aside = _set_aside(folder)
    registry = Registry(folder / REGISTRY)
    try:
        stored, named = stored_files(folder), registry.files()
        aside = {path.name for path in (folder / "set-aside").iterdir()}
        done.missing = sorted(named - stored - aside)
        unknown = stored - named - registry.pending()
        labels = _labels(folder, unknown)
        folders = {name for name in unknown if FOLDER.fullmatch(name)}
        versions = [_version(folder, name, labels.get(name), done) for name in sorted(folders)]
        datasets = _datasets(folder, unknown - folders, labels, stored, done)
        with registry.writing() as to:
            for row in datasets:
                _add_dataset(to, row, done)
            # In the order of their numbers: the newest one is active in the end.
            for row in sorted(
                filter(None, versions), key=lambda row: (row["model"], row["version"])
            ):
                _add_version(to, row, done)
        for table, names in (("datasets", "name"), ("versions", "folder")):
            for row in registry.rows(f"SELECT * FROM {table} ORDER BY {names}"):
                write_label(folder, table, row)
    finally:
        registry.close()
    return done


def _is_sound(folder: Path) -> bool:
    try:
        return check_registry(folder / REGISTRY) == "sound"
    except RegistryDamaged:
        return False


def _set_aside(folder: Path) -> list[str]:
    """Move a registry away that cannot be used, with its log; return where to."""
    moved = []
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    for suffix in ("", "-wal", "-shm"):
        path = folder / f"{REGISTRY}{suffix}"
        if path.exists():
            target = folder / "set-aside" / f"registry-{stamp}.sqlite{suffix}"
            path.rename(target)
            moved.append(str(target.relative_to(folder)))
    return moved


def _labels(folder: Path, names: set[str]) -> dict[str, Row]:
    by_folder = {}
    checks = {"datasets": is_dataset, "versions": is_version}
    for name in names:
        try:
            label = orjson.loads((folder / "labels" / f"{name}.json").read_bytes())
            row = label["row"]
            packed = {key: _packed(value) for key, value in row.items()}
            if checks[label["table"]](packed) and name in label_names(label["table"], row):
                by_folder[name] = label
        except (OSError, KeyError, TypeError, ValueError, AttributeError):
            continue  # as if it had none
    return by_folder


# -- versions ----------------------------------------------------------------------------------


def _version(folder: Path, name: str, label: Row | None, done: Recovered) -> Row | None:
    """The row of a model's folder; None for one that cannot be read."""
    from gpu_kmeans.model import Model
    from gpu_kmeans.service.version_report import describe, judge

    path = folder / "models" / name
    try:
        model = Model.load(path)
        if label is not None:
            return {**label["row"], "state": "ready"}
        report = judge(model)
    except GpuKMeansError as error:
        done.left.append((f"models/{name}", str(error)))
        return None
    about = {
        **describe(model),
        "bytes": sum(file.stat().st_size for file in path.iterdir()),
        "dataset": None,
        "job": None,
        "source": "upload",
    }
    return {
        "model": f"recovered-{name[:8]}",
        "version": 1,
        "folder": name,
        "created": model.info.created,
        "state": "ready",
        "about": about,
        "report": report,
    }


def _add_version(to: Any, row: Row, done: Recovered) -> None:
    model, number = row["model"], row["version"]
    to.execute("INSERT OR IGNORE INTO models (name, updated) VALUES (?, ?)", (model, now()))
    (following,) = to.execute("SELECT next FROM models WHERE name = ?", (model,)).fetchone()
    taken = to.execute(
        "SELECT 1 FROM versions WHERE model = ? AND version = ?", (model, number)
    ).fetchone()
    number = following if taken else number
    to.execute(
        "INSERT INTO versions (model, version, folder, created, state, about, report) "
        "VALUES (?, ?, ?, ?, 'ready', ?, ?)",
        (
            model,
            number,
            row["folder"],
            row["created"],
            _packed(row["about"]),
            _packed(row["report"]),
        ),
    )
    to.execute(
        "UPDATE models SET active = iif(? OR active IS NULL, ?, active), next = ?, updated = ? "
        "WHERE name = ?",
        (done.rebuilt, number, max(following, number + 1), now(), model),
    )
    done.versions.append((model, number))


# -- datasets ----------------------------------------------------------------------------------


def _datasets(
    folder: Path, names: set[str], labels: dict[str, Row], stored: set[str], done: Recovered
) -> list[Row]:
    """Rows of the datasets whose files are whole: by name, the last that was written down."""
    rows: dict[str, Row] = {}
    newest = sorted(names, key=lambda name: labels.get(name, {}).get("written", 0), reverse=True)
    used: set[str] = set()
    for name in newest:
        if name not in labels:
            continue
        row = labels[name]["row"]
        parts = [part for part in (row["items"], row["credits"]) if part is not None]
        if row["name"] not in rows and all(
            part["file"] in stored and _is_whole(folder / "datasets" / part["file"], part)
            for part in parts
        ):
            rows[row["name"]] = row
            used |= {part["file"] for part in parts}
    for name in sorted(names - used):
        if name in labels:
            what = labels[name]["row"]["name"]
            reason = (
                f"a newer upload of the dataset {what!r} counts"
                if what in rows
                else f"it, or what belongs to it in the dataset {what!r}, is missing or damaged"
            )
            done.left.append((f"datasets/{name}", reason))
        elif (row := _read(folder, name, done)) is not None:
            rows[row["name"]] = row
    return [rows[name] for name in sorted(rows)]


def _is_whole(path: Path, part: Row) -> bool:
    return path.stat().st_size == part.get("bytes") and _digest(path) == part.get("sha256")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(folder: Path, name: str, done: Recovered) -> Row | None:
    """The row of a table without a label, if it can be read without being told its columns."""
    from gpu_kmeans.service.reading import describe_dataset, read_dataset

    path = folder / "datasets" / name
    try:
        about = describe_dataset(read_dataset([path], {}), {})
    except GpuKMeansError as error:
        reason = f"it has no label, and is no table of items as it stands: {error}"
        done.left.append((f"datasets/{name}", reason))
        return None
    about |= {"given": {}, "reading": {"encoding": None, "delimiter": None}}
    kinds = {suffix: kind for kind, suffix in reversed(MEDIA_TYPES.items())}
    kind = kinds.get(path.suffix, "application/octet-stream")
    items = {
        "file": name,
        "bytes": path.stat().st_size,
        "sha256": _digest(path),
        "media_type": kind,
        "uploaded": now(),
    }
    return {
        "name": f"recovered-{name[:8]}",
        "created": now(),
        "updated": now(),
        "about": about,
        "items": items,
        "credits": None,
    }


def _add_dataset(to: Any, row: Row, done: Recovered) -> None:
    if to.execute("SELECT 1 FROM datasets WHERE name = ?", (row["name"],)).fetchone():
        reason = f"the registry has another dataset {row['name']!r}"
        done.left += [(f"datasets/{name}", reason) for name in label_names("datasets", row)]
        return
    columns = ("name", "created", "updated", "about", "items", "credits")
    to.execute(
        f"INSERT INTO datasets ({', '.join(columns)}) VALUES (?, ?, ?, ?, ?, ?)",
        [_packed(row[column]) for column in columns],
    )
    done.datasets.append(row["name"])


def _packed(value: Any) -> Any:
    return (
        orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY).decode()
        if isinstance(value, dict)
        else value
    )
