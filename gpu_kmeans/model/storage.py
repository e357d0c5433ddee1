"""The directory that a model is kept in.

::

    DIR/
      manifest.json         schema version, parameters, backend, versions, metrics, checksums
      arrays.safetensors    labels, centroids, rows, what the encoders learned (idf, terms, ...)
      items.parquet         the catalogue's rows, with all their columns

Nothing in it can run code: JSON, flat arrays and a table, no pickle. The manifest carries
size and SHA-256 of both other files and of itself, so that a truncated file or a flipped
bit is found before anything is used. That guards against damage, not against forgery:
whoever can write the directory can also write matching checksums, and then the values'
own checks (shapes, ranges, finite numbers; :mod:`gpu_kmeans.model.checks`) are what remains.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from numpy.typing import NDArray

from gpu_kmeans import files
from gpu_kmeans.errors import (
    FileProblem,
    GpuKMeansError,
    InvalidParam,
    ModelCorrupt,
    UnsupportedSchema,
)
from gpu_kmeans.features.combine import Features
from gpu_kmeans.model import SCHEMA_VERSION, Model, ModelInfo
from gpu_kmeans.model.checks import (
    FEATURES,
    arrays_of,
    centroids_of,
    describe,
    flaw_in_arrays,
    flaw_in_items,
    from_schema_1,
    items_of,
    names_of,
    reduction_of,
    rows_of,
    table_of,
)
from gpu_kmeans.tables.paths import check_path

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["ARRAYS", "FILES", "ITEMS", "MANIFEST", "load_model", "save_model"]

_FORMAT = "gpu-kmeans model"
MANIFEST, ARRAYS, ITEMS = "manifest.json", "arrays.safetensors", "items.parquet"
FILES = (MANIFEST, ARRAYS, ITEMS)
"""Names of the files of a model directory, in the order that archives have them."""
_MAX_MANIFEST_BYTES = 16 * 2**20
_UNSEALED = "0" * 64

_AModel = TypeVar("_AModel", bound=Model)


# -- writing ----------------------------------------------------------------------------


def save_model(model: Model, path: str | PathLike[str], overwrite: bool) -> None:
    """Write a model directory; the promises and the errors are those of :meth:`Model.save`."""
    target = check_path("path", path)
    try:
        _check_target(target, overwrite)
        contents = _encode(model)
        with _written_aside(target, contents) as aside:
            _put_in_place(aside, target, overwrite)
            files.flush(target.parent)
    except OSError as error:
        raise FileProblem(
            f"cannot write the model {path}: {error.strerror or error}; "
            "choose another place, or free this one"
        ) from error


def _check_target(target: Path, overwrite: bool) -> None:
    """Refuse what cannot be written, or must not be replaced, before any work is done."""
    if "\0" in str(target) or target.name in ("", ".."):
        raise FileProblem(f"{str(target)!r} is not a name for a model directory: choose another")
    if not target.parent.is_dir():
        raise FileProblem(f"the folder {target.parent} does not exist: create it first")
    if not os.path.lexists(target):
        return
    if not overwrite:
        raise FileProblem(
            f"{target} exists already: choose another name, or allow it to be overwritten"
        )
    if target.is_symlink() or not target.is_dir() or not set(os.listdir(target)) <= set(FILES):
        raise FileProblem(
            f"{target} is not a model directory and is left as it is: choose another name"
        )


def _encode(model: Model) -> dict[str, bytes]:
    """Return the bytes of each file of the directory."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from safetensors.numpy import save

    features, of_features = model.features.state()
    arrays = arrays_of(model, of_features)
    n_items, has_text = model.items.num_rows, model.features.text is not None
    flaw = "its rows are not as many as its items" if model.rows.shape[0] != n_items else None
    flaw = flaw or flaw_in_arrays(arrays, n_items)
    if flaw is None and len(model.features.names) != model.n_features:
        flaw = f"its encoders have {len(model.features.names)} features"
    if flaw is None and model.others is not None and len(model.others) not in (0, n_items):
        flaw = "its other columns are not as long as its items"
    table = None if flaw else table_of(model)
    flaw = flaw or flaw_in_items(table, has_text)
    if flaw or table is None:
        raise InvalidParam(f"this model cannot be saved: {flaw}")

    out = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata(None), out)
    contents = {ARRAYS: save(arrays), ITEMS: out.getvalue().to_pybytes()}
    contents[MANIFEST] = _seal(
        {
            "format": _FORMAT,
            "schema_version": SCHEMA_VERSION,
            "metrics": model.metrics(),
            "features": features,
            "names": {str(label): name for label, name in model.names.items()},
            "reduction": model.reduction and {"normalize": model.reduction.normalize},
            "info": model.info.to_dict(),
            "arrays": describe(arrays),
            "files": {
                name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
                for name, data in contents.items()
            },
        }
    )
    return contents


def _seal(body: dict[str, Any]) -> bytes:
    """Return the manifest with its own checksum, taken with zeros in the checksum's place."""
    import orjson

    try:
        text = orjson.dumps(
            {"sha256": _UNSEALED, **body},
            option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE,
        )
        ModelInfo.from_dict(orjson.loads(text)["info"])  # NaN, for one, is null in JSON
    except (TypeError, ValueError) as error:
        raise InvalidParam(
            f"this model cannot be saved: its info or parameters are not JSON ({error})"
        ) from error
    return text.replace(_UNSEALED.encode(), hashlib.sha256(text).hexdigest().encode(), 1)


@contextmanager
def _written_aside(target: Path, contents: Mapping[str, bytes]) -> Iterator[Path]:
    """Write the files into a hidden sibling of ``target``; nothing of that name stays after."""
    aside = files.hidden_sibling(target)
    try:
        aside.mkdir()
        for name, data in contents.items():
            files.write_flushed(aside / name, data)
        files.flush(aside)
        yield aside
    finally:
        files.remove_folder(aside, FILES)


def _put_in_place(aside: Path, target: Path, overwrite: bool) -> None:
    """Rename ``aside`` to ``target``; an older model there ends up under ``aside``, or removed."""
    if not overwrite:
        os.rename(aside, target)
        return
    old = aside.with_name(aside.name + "-old")
    try:
        files.put_in_place(aside, target, old)
    finally:
        if old.exists():
            files.remove_folder(old, FILES)


# -- reading ----------------------------------------------------------------------------


def load_model(kind: type[_AModel], path: str | PathLike[str]) -> _AModel:
    """Read a model directory as a ``kind``; the errors are those of :meth:`Model.load`."""
    folder = check_path("path", path)
    names = _list_folder(folder)
    if MANIFEST not in names:
        _corrupt(folder, f"{MANIFEST} is missing")
    manifest = _read_manifest(folder)
    if names != set(FILES):
        odd = ", ".join(sorted(names.symmetric_difference(FILES)))
        _corrupt(folder, f"a file is missing or does not belong there ({odd})")
    contents = {name: _read_checked(folder, name, manifest) for name in (ARRAYS, ITEMS)}
    return _decode(kind, folder, manifest, contents)


def _corrupt(folder: Path, what: str) -> NoReturn:
    raise ModelCorrupt(
        f"{folder} is not a model as it was saved: {what}; restore a copy of the directory, "
        "or fit the model again"
    )


def _list_folder(folder: Path) -> set[str]:
    try:
        return set(os.listdir(folder))
    except FileNotFoundError:
        raise FileProblem(f"there is no model at {folder}: check the path, or fit one") from None
    except NotADirectoryError:
        raise FileProblem(f"{folder} is a file: give the model's directory") from None
    except (OSError, ValueError) as error:
        raise FileProblem(f"cannot open the model {str(folder)!r}: {error}") from error


def _read_regular(folder: Path, name: str, limit: int) -> bytes:
    """Read a file that is no link, pipe or device, and no longer than ``limit`` bytes."""
    # O_NONBLOCK: opening a pipe must not wait for someone to write into it.
    extra = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        with open(folder / name, "rb", opener=lambda at, flags: os.open(at, flags | extra)) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                _corrupt(folder, f"{name} is not a regular file")
            if status.st_size > limit:
                _corrupt(folder, f"{name} has {status.st_size} bytes where {limit} are allowed")
            return file.read(limit)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK):
            _corrupt(folder, f"{name} is a symbolic link")
        _corrupt(folder, f"{name} cannot be read ({error.strerror or error})")


def _read_manifest(folder: Path) -> dict[str, Any]:
    """Read the manifest; the schema comes first, since a newer one may differ in all else."""
    import orjson

    text = _read_regular(folder, MANIFEST, _MAX_MANIFEST_BYTES)
    try:
        manifest = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        _corrupt(folder, f"{MANIFEST} is not JSON ({error})")
    if not isinstance(manifest, dict) or manifest.get("format") != _FORMAT:
        _corrupt(folder, f"{MANIFEST} is not the manifest of a model")
    version = manifest.get("schema_version")
    if type(version) is not int or version < 1:
        _corrupt(folder, f"{MANIFEST} has no schema version")
    if version > SCHEMA_VERSION:
        raise UnsupportedSchema(
            f"{folder} has schema version {version}, and this version of gpu-kmeans reads up to "
            f"{SCHEMA_VERSION}: upgrade gpu-kmeans, or fit the model again"
        )
    seal = manifest.get("sha256")
    if not isinstance(seal, str) or len(seal) != len(_UNSEALED) or not seal.isascii():
        _corrupt(folder, f"{MANIFEST} has no checksum of itself")
    if hashlib.sha256(text.replace(seal.encode(), _UNSEALED.encode(), 1)).hexdigest() != seal:
        _corrupt(folder, f"{MANIFEST} does not have the checksum that it states")
    return manifest


def _read_checked(folder: Path, name: str, manifest: Mapping[str, Any]) -> bytes:
    """Read one file and hold it to the size and checksum of the manifest."""
    try:
        size, checksum = manifest["files"][name]["bytes"], manifest["files"][name]["sha256"]
        extra = set(manifest["files"]).difference(FILES)
    except (KeyError, TypeError):
        _corrupt(folder, f"{MANIFEST} does not describe {name}")
    if extra or type(size) is not int or size < 0:
        _corrupt(folder, f"{MANIFEST} describes other files than a model has")
    data = _read_regular(folder, name, size)
    if len(data) != size:
        _corrupt(folder, f"{name} has {len(data)} bytes instead of {size}")
    if hashlib.sha256(data).hexdigest() != checksum:
        _corrupt(folder, f"{name} does not have the checksum that {MANIFEST} states")
    return data


def _decode_arrays(folder: Path, data: bytes) -> dict[str, NDArray[Any]]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return load(data)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        _corrupt(folder, f"{ARRAYS} cannot be read ({error})")


def _decode_items(folder: Path, data: bytes) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(pa.BufferReader(data)).read()
    except (pa.ArrowException, OSError, ValueError) as error:
        _corrupt(folder, f"{ITEMS} cannot be read ({error})")


def _decode(
    kind: type[_AModel],
    folder: Path,
    manifest: Mapping[str, Any],
    contents: Mapping[str, bytes],
) -> _AModel:
    """Build the model from files that are those of the manifest, checking each value."""
    arrays = _decode_arrays(folder, contents[ARRAYS])
    table = _decode_items(folder, contents[ITEMS])
    stored = describe(arrays)
    version = manifest["schema_version"]
    if version == 1:
        manifest, arrays = from_schema_1(manifest, arrays)
    n_items = table.num_rows
    flaw = flaw_in_arrays(arrays, n_items)
    if flaw:
        _corrupt(folder, flaw)
    try:
        own = {
            name.removeprefix(FEATURES): array
            for name, array in arrays.items()
            if name.startswith(FEATURES)
        }
        features = Features.from_state(manifest["features"], own)
        if flaw := flaw_in_items(table, features.text is not None):
            _corrupt(folder, flaw)
        items, others = items_of(table)
        model = kind(
            items=items,
            features=features,
            rows=rows_of(arrays, n_items),
            labels=arrays["labels"],
            centroids=centroids_of(arrays),
            info=ModelInfo.from_dict(manifest["info"]),
            others=others,
            reduction=reduction_of(arrays, manifest["reduction"]),
            names=names_of(manifest.get("names", {})),
        )
        if len(features.names) != model.n_features:
            _corrupt(folder, f"its encoders have {len(features.names)} features, not as its rows")
    except (KeyError, TypeError, ValueError, AttributeError, GpuKMeansError) as error:
        if isinstance(error, ModelCorrupt):
            raise
        _corrupt(folder, f"{MANIFEST} or the vocabulary cannot be used ({error})")
    metrics = model.metrics()
    if version == 1:
        del metrics["n_features"]
    if (manifest.get("metrics"), manifest.get("arrays")) != (metrics, stored):
        _corrupt(folder, f"{MANIFEST} describes other arrays than it stands with")
    return model
