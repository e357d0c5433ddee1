"""A fitted model, and the directory that it is kept in.

::

    DIR/
      manifest.json         schema version, parameters, backend, versions, metrics, checksums
      arrays.safetensors    labels, centroids, idf, TF-IDF by term, vocabulary
      items.parquet         the catalogue's rows

Nothing in it can run code: JSON, flat arrays and a table, no pickle. The manifest carries
size and SHA-256 of both other files and of itself, so that a truncated file or a flipped
bit is found before anything is used. That guards against damage, not against forgery:
whoever can write the directory can also write matching checksums, and then the values'
own checks (shapes, ranges, finite numbers) are what remains.

The arrays are host arrays, whichever backend fitted them, so a model loads anywhere.
Loading imports pyarrow and safetensors, but no pandas, SciPy or FAISS.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from itertools import pairwise
from math import isfinite
from os import PathLike
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, NoReturn, Self

import numpy as np
from numpy.typing import NDArray

from gpu_kmeans.errors import (
    FileProblem,
    GpuKMeansError,
    InvalidParam,
    ModelCorrupt,
    UnsupportedSchema,
)

if TYPE_CHECKING:
    import pyarrow as pa

    from gpu_kmeans.text import TfidfVectorizer

__all__ = ["SCHEMA_VERSION", "Model", "ModelInfo", "Postings"]

SCHEMA_VERSION = 1
"""Raised by one when a model directory changes so that older versions cannot read it."""

_FORMAT = "gpu-kmeans model"
_MANIFEST, _ARRAYS, _ITEMS = "manifest.json", "arrays.safetensors", "items.parquet"
_FILES = frozenset({_MANIFEST, _ARRAYS, _ITEMS})
_MAX_MANIFEST_BYTES = 16 * 2**20
_UNSEALED = "0" * 64


@dataclass(frozen=True, eq=False)
class Postings:
    """The TF-IDF matrix by term (CSC), so that a query touches only the terms it has.

    Attributes
    ----------
    indptr : ndarray of shape (n_terms + 1,), int64
        The postings of term ``j`` stand at ``indptr[j]:indptr[j + 1]``.
    rows : ndarray of shape (nnz,), int32
        Rows that contain the term, rising within a term.
    values : ndarray of shape (nnz,), float32
    n_rows : int
    """

    indptr: NDArray[np.int64]
    rows: NDArray[np.int32]
    values: NDArray[np.float32]
    n_rows: int

    @classmethod
    def from_csr(cls, csr: Any) -> Self:
        """Reorder SciPy CSR rows of shape (n_rows, n_terms)."""
        csc = csr.tocsc()
        csc.sum_duplicates()
        return cls(
            indptr=csc.indptr.astype(np.int64, copy=False),
            rows=csc.indices.astype(np.int32, copy=False),
            values=csc.data.astype(np.float32, copy=False),
            n_rows=int(csr.shape[0]),
        )

    def to_csr(self) -> Any:
        """Return the rows as a SciPy ``csr_matrix`` of float32."""
        from scipy.sparse import csc_matrix

        shape = (self.n_rows, len(self.indptr) - 1)
        return csc_matrix((self.values, self.rows, self.indptr), shape=shape).tocsr()


@dataclass(frozen=True)
class ModelInfo:
    """How a model came about. Every value is what JSON can hold; dictionaries have text keys.

    Attributes
    ----------
    backend, backend_reason : str
        Which backend fitted it, and why that one.
    seed : int or None
    parameters, versions, catalogue : dict
        Arguments of the fit, versions of the libraries, the catalogue's report.
    seconds : dict of str to float
        Wall-clock seconds of each stage.
    warnings : list of str
    inertia : float
        As the fit reported it; :func:`gpu_kmeans.evaluate.evaluate` recomputes it.
    n_iter : int
    history : list of (stage, iteration, inertia)
    created : str
        UTC time in ISO 8601.
    """

    backend: str
    backend_reason: str
    seed: int | None
    parameters: dict[str, Any]
    versions: dict[str, Any]
    catalogue: dict[str, Any]
    seconds: dict[str, float]
    warnings: list[str]
    inertia: float
    n_iter: int
    history: list[tuple[str, int, float]]
    created: str

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a dictionary."""
        return asdict(self)

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Self:
        """Build from what :meth:`to_dict` gave, after a way through JSON.

        Raises
        ------
        ValueError
            A field is missing, unknown or of another type.
        """
        if set(raw) != {field.name for field in fields(cls)}:
            raise ValueError("the fields of its info are not those of this schema")
        for name, kind in _INFO_TYPES.items():
            if not isinstance(raw[name], kind) or isinstance(raw[name], bool):
                raise ValueError(f"its info has a {name} that is {type(raw[name]).__name__}")
        history = [(str(stage), int(at), float(value)) for stage, at, value in raw["history"]]
        return cls(**{**raw, "history": history, "inertia": float(raw["inertia"])})


_INFO_TYPES: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("backend", "backend_reason", "created"), str),
    **dict.fromkeys(("parameters", "versions", "catalogue", "seconds"), dict),
    **dict.fromkeys(("warnings", "history"), list),
    "seed": (int, NoneType),
    "inertia": (int, float),
    "n_iter": int,
}


@dataclass(frozen=True, eq=False)
class Model:
    """Everything that recommending, judging and showing needs, on the host.

    Attributes
    ----------
    items : pyarrow.Table of n rows
        Columns of the catalogue: ``id`` and ``text``, and those present of ``title``,
        ``popularity``, ``rating``, ``votes``, ``keywords``, ``genres``, ``date``, ...
    vectorizer : TfidfVectorizer
        Fitted; its terms are the columns of the arrays below.
    postings : Postings
        TF-IDF rows of the items.
    labels : ndarray of shape (n,), int32
        Cluster of each item; -1 for an item without a known term.
    centroids : ndarray of shape (k, n_terms), float32
    info : ModelInfo
    """

    items: pa.Table
    vectorizer: TfidfVectorizer
    postings: Postings
    labels: NDArray[np.int32]
    centroids: NDArray[np.float32]
    info: ModelInfo

    @property
    def n_clusters(self) -> int:
        """Number of centroids."""
        return int(self.centroids.shape[0])

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """Items of each cluster, shape (k,)."""
        return np.bincount(self.labels[self.labels >= 0], minlength=self.n_clusters)

    def metrics(self) -> dict[str, int | float]:
        """Return the numbers that describe the fit at a glance."""
        return {
            "n_items": len(self.labels),
            "n_clustered": int((self.labels >= 0).sum()),
            "n_terms": int(self.centroids.shape[1]),
            "nnz": len(self.postings.rows),
            "n_clusters": self.n_clusters,
            "inertia": float(self.info.inertia),
            "n_iter": self.info.n_iter,
        }

    def save(self, path: str | PathLike[str], overwrite: bool = False) -> None:
        """Write the model directory ``path``: the whole of it, or nothing.

        It is written beside ``path`` under a hidden name (``.gpu-kmeans-*``), flushed to
        the disk and renamed. With ``overwrite``, an older model of that name is replaced:
        on Linux both names are exchanged in one step (``renameat2``), so that there is
        always a whole model under ``path``; where the system or the file system cannot do
        that, the old one is renamed away first, and put back if the new one cannot take
        its place. A failure or an interrupt leaves under ``path`` what was there before or,
        in the last moment, the new model, either of them whole. The hidden directory goes in
        every case but a crash, ``kill -9``, or files that the system refuses to delete.

        Raises
        ------
        FileProblem
            ``path`` exists and ``overwrite`` is false, or what exists is not a model
            directory (which is never deleted); its parent is missing; it cannot be written.
        InvalidParam
            The arrays do not fit together.
        """
        target = Path(path)
        try:
            _check_target(target, overwrite)
            contents = _encode(self)
            with _written_aside(target, contents) as aside:
                _put_in_place(aside, target, overwrite)
                _flush_folder(target.parent)
        except OSError as error:
            raise FileProblem(
                f"cannot write the model {path}: {error.strerror or error}; "
                "choose another place, or free this one"
            ) from error

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """Read a model directory, checking every byte of it.

        Raises
        ------
        FileProblem
            ``path`` is missing, not a directory, or cannot be opened.
        ModelCorrupt
            The directory is not what :meth:`save` wrote.
        UnsupportedSchema
            It was written by a newer version of this package.
        """
        folder = Path(path)
        names = _list_folder(folder)
        if _MANIFEST not in names:
            _corrupt(folder, f"{_MANIFEST} is missing")
        manifest = _read_manifest(folder)
        if names != _FILES:
            odd = ", ".join(sorted(names ^ _FILES))
            _corrupt(folder, f"a file is missing or does not belong there ({odd})")
        contents = {name: _read_checked(folder, name, manifest) for name in (_ARRAYS, _ITEMS)}
        return cls._decode(folder, manifest, contents)

    @classmethod
    def _decode(
        cls, folder: Path, manifest: Mapping[str, Any], contents: Mapping[str, bytes]
    ) -> Self:
        """Build the model from files that are those of the manifest, checking each value."""
        arrays = _decode_arrays(folder, contents[_ARRAYS])
        items = _decode_items(folder, contents[_ITEMS])
        flaw = _flaw_in_arrays(arrays, items.num_rows) or _flaw_in_items(items)
        if flaw:
            _corrupt(folder, flaw)
        try:
            model = cls(
                items=items,
                vectorizer=_decode_vectorizer(manifest, arrays),
                postings=Postings(
                    indptr=arrays["postings_indptr"],
                    rows=arrays["postings_rows"],
                    values=arrays["postings_values"],
                    n_rows=items.num_rows,
                ),
                labels=arrays["labels"],
                centroids=arrays["centroids"],
                info=ModelInfo.from_dict(manifest["info"]),
            )
        except (KeyError, TypeError, ValueError, GpuKMeansError) as error:
            _corrupt(folder, f"{_MANIFEST} or the vocabulary cannot be used ({error})")
        described = (manifest.get("metrics"), manifest.get("arrays"))
        if described != (model.metrics(), _describe(arrays)):
            _corrupt(folder, f"{_MANIFEST} describes other arrays than it stands with")
        return model


# -- writing ----------------------------------------------------------------------------


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
    if target.is_symlink() or not target.is_dir() or not set(os.listdir(target)) <= _FILES:
        raise FileProblem(
            f"{target} is not a model directory and is left as it is: choose another name"
        )


def _encode(model: Model) -> dict[str, bytes]:
    """Return the bytes of each file of the directory."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from safetensors.numpy import save

    arrays = _arrays_of(model)
    flaw = _flaw_in_arrays(arrays, model.items.num_rows) or _flaw_in_items(model.items)
    if flaw or model.postings.n_rows != model.items.num_rows:
        raise InvalidParam(f"this model cannot be saved: {flaw or 'its postings have other rows'}")

    table = pa.BufferOutputStream()
    pq.write_table(model.items.replace_schema_metadata(None), table)
    contents = {_ARRAYS: save(arrays), _ITEMS: table.getvalue().to_pybytes()}
    contents[_MANIFEST] = _seal(
        {
            "format": _FORMAT,
            "schema_version": SCHEMA_VERSION,
            "metrics": model.metrics(),
            "vectorizer": _vectorizer_params(model.vectorizer),
            "info": model.info.to_dict(),
            "arrays": _describe(arrays),
            "files": {
                name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
                for name, data in contents.items()
            },
        }
    )
    return contents


def _arrays_of(model: Model) -> dict[str, NDArray[Any]]:
    try:
        terms = [str(term).encode() for term in model.vectorizer.get_feature_names_out()]
    except UnicodeEncodeError as error:
        raise InvalidParam(f"this model cannot be saved: a term is not text ({error})") from error
    arrays: dict[str, NDArray[Any]] = {
        "labels": model.labels,
        "centroids": model.centroids,
        "idf": model.vectorizer.idf_,
        "postings_indptr": model.postings.indptr,
        "postings_rows": model.postings.rows,
        "postings_values": model.postings.values,
        "vocabulary": np.frombuffer(b"".join(terms), dtype=np.uint8),
        "vocabulary_offsets": np.cumsum([0, *map(len, terms)], dtype=np.int64),
    }
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}


def _vectorizer_params(vectorizer: TfidfVectorizer) -> dict[str, Any]:
    """Return what a query needs to be read as the texts were.

    The backend is the loading machine's own affair, and the vocabulary is in the arrays.
    """
    params = {
        name: value
        for name, value in vectorizer.get_params().items()
        if name not in ("backend", "vocabulary")
    }
    if params["stop_words"] is not None and not isinstance(params["stop_words"], str):
        params["stop_words"] = sorted(params["stop_words"])
    return params


def _describe(arrays: Mapping[str, NDArray[Any]]) -> dict[str, dict[str, Any]]:
    return {
        name: {"dtype": array.dtype.name, "shape": list(array.shape)}
        for name, array in arrays.items()
    }


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
    """Write the files into a hidden sibling of ``target``; nothing of that name stays after.

    The random name is drawn here and not by :mod:`tempfile`, whose directories are
    private: a model gets the permissions that the user's umask gives.
    """
    aside = target.parent / f".gpu-kmeans-{os.urandom(8).hex()}"
    try:
        aside.mkdir()
        for name, data in contents.items():
            with open(aside / name, "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        _flush_folder(aside)
        yield aside
    finally:
        _remove(aside)


def _put_in_place(aside: Path, target: Path, overwrite: bool) -> None:
    """Rename ``aside`` to ``target``; an older model there ends up under ``aside``."""
    if not (overwrite and target.exists()):
        os.rename(aside, target)
    elif not _exchange(aside, target):
        _replace_in_two_steps(aside, target)


def _replace_in_two_steps(aside: Path, target: Path) -> None:
    old = aside.with_name(aside.name + "-old")
    try:
        os.rename(target, old)
        os.rename(aside, target)
    finally:
        if old.exists() and not target.exists():
            os.rename(old, target)
        _remove(old)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two names in one step; false where that cannot be done."""
    if sys.platform != "linux":
        return False
    import ctypes

    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    if renameat2(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.ENOSYS, errno.EINVAL):
        return False
    raise OSError(code, os.strerror(code))


def _remove(folder: Path) -> None:
    """Delete a model directory: the files that are ours, and never a tree."""
    with suppress(FileNotFoundError):
        for name in _FILES:
            (folder / name).unlink(missing_ok=True)
        folder.rmdir()


def _flush_folder(folder: Path) -> None:
    """Make the names in ``folder`` survive a power cut (directories cannot be opened on nt)."""
    if os.name == "nt":  # pragma: no cover
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


# -- reading ----------------------------------------------------------------------------


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
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                _corrupt(folder, f"{name} is not a regular file")
            if found.st_size > limit:
                _corrupt(folder, f"{name} has {found.st_size} bytes where {limit} are allowed")
            return file.read(limit)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK):
            _corrupt(folder, f"{name} is a symbolic link")
        _corrupt(folder, f"{name} cannot be read ({error.strerror or error})")


def _read_manifest(folder: Path) -> dict[str, Any]:
    """Read the manifest; the schema comes first, since a newer one may differ in all else."""
    import orjson

    text = _read_regular(folder, _MANIFEST, _MAX_MANIFEST_BYTES)
    try:
        manifest = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        _corrupt(folder, f"{_MANIFEST} is not JSON ({error})")
    if not isinstance(manifest, dict) or manifest.get("format") != _FORMAT:
        _corrupt(folder, f"{_MANIFEST} is not the manifest of a model")
    version = manifest.get("schema_version")
    if type(version) is not int or version < 1:
        _corrupt(folder, f"{_MANIFEST} has no schema version")
    if version > SCHEMA_VERSION:
        raise UnsupportedSchema(
            f"{folder} has schema version {version}, and this version of gpu-kmeans reads up to "
            f"{SCHEMA_VERSION}: upgrade gpu-kmeans, or fit the model again"
        )
    seal = manifest.get("sha256")
    if not isinstance(seal, str) or len(seal) != len(_UNSEALED) or not seal.isascii():
        _corrupt(folder, f"{_MANIFEST} has no checksum of itself")
    if hashlib.sha256(text.replace(seal.encode(), _UNSEALED.encode(), 1)).hexdigest() != seal:
        _corrupt(folder, f"{_MANIFEST} does not have the checksum that it states")
    return manifest


def _read_checked(folder: Path, name: str, manifest: Mapping[str, Any]) -> bytes:
    """Read one file and hold it to the size and checksum of the manifest."""
    try:
        size, checksum = manifest["files"][name]["bytes"], manifest["files"][name]["sha256"]
        extra = set(manifest["files"]) - _FILES
    except (KeyError, TypeError):
        _corrupt(folder, f"{_MANIFEST} does not describe {name}")
    if extra or type(size) is not int or size < 0:
        _corrupt(folder, f"{_MANIFEST} describes other files than a model has")
    data = _read_regular(folder, name, size)
    if len(data) != size:
        _corrupt(folder, f"{name} has {len(data)} bytes instead of {size}")
    if hashlib.sha256(data).hexdigest() != checksum:
        _corrupt(folder, f"{name} does not have the checksum that {_MANIFEST} states")
    return data


def _decode_arrays(folder: Path, data: bytes) -> dict[str, NDArray[Any]]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return load(data)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        _corrupt(folder, f"{_ARRAYS} cannot be read ({error})")


def _decode_items(folder: Path, data: bytes) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(pa.BufferReader(data)).read()
    except (pa.ArrowException, OSError, ValueError) as error:
        _corrupt(folder, f"{_ITEMS} cannot be read ({error})")


def _decode_vectorizer(
    manifest: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
) -> TfidfVectorizer:
    from gpu_kmeans.text import TfidfVectorizer

    text, ends = arrays["vocabulary"].tobytes(), arrays["vocabulary_offsets"].tolist()
    terms = [text[start:end].decode() for start, end in pairwise(ends)]
    params = dict(manifest["vectorizer"])
    params["ngram_range"] = tuple(params["ngram_range"])
    return TfidfVectorizer.from_fitted(terms, arrays["idf"], params)


# -- what makes the values a model ------------------------------------------------------

_ARRAY_KINDS = {
    "labels": ("int32", 1),
    "centroids": ("float32", 2),
    "idf": ("float64", 1),
    "postings_indptr": ("int64", 1),
    "postings_rows": ("int32", 1),
    "postings_values": ("float32", 1),
    "vocabulary": ("uint8", 1),
    "vocabulary_offsets": ("int64", 1),
}


def _flaw_in_arrays(arrays: Mapping[str, NDArray[Any]], n_items: int) -> str | None:
    """Say what keeps the arrays from being those of a model of ``n_items`` rows."""
    if arrays.keys() != _ARRAY_KINDS.keys():
        return f"its arrays are {', '.join(sorted(arrays))}"
    for name, (dtype, ndim) in _ARRAY_KINDS.items():
        if (arrays[name].dtype.name, arrays[name].ndim) != (dtype, ndim):
            return f"{name} is not {ndim}-d {dtype}"
    n_clusters, n_terms = arrays["centroids"].shape
    labels, rows = arrays["labels"], arrays["postings_rows"]
    for name, size in {
        "labels": n_items,
        "idf": n_terms,
        "postings_indptr": n_terms + 1,
        "postings_values": len(rows),
        "vocabulary_offsets": n_terms + 1,
    }.items():
        if len(arrays[name]) != size:
            return f"{name} has {len(arrays[name])} entries instead of {size}"
    if not (n_items and n_clusters and n_terms):
        return "it has no items, no clusters or no terms"
    if labels.min() < -1 or labels.max() >= n_clusters:
        return f"a label lies outside -1..{n_clusters - 1}"
    if labels.max() < 0:
        return "no item is in a cluster"
    if len(rows) and (rows.min() < 0 or rows.max() >= n_items):
        return f"a posting's row lies outside 0..{n_items - 1}"
    for name, total in {
        "postings_indptr": rows,
        "vocabulary_offsets": arrays["vocabulary"],
    }.items():
        if not _is_partition(arrays[name], len(total)):
            return f"{name} does not rise from 0 to {len(total)}"
    if not _rises_within(rows, arrays["postings_indptr"]):
        return "the rows of a term's postings do not rise"
    for name in ("centroids", "idf", "postings_values"):
        if not np.isfinite(arrays[name]).all():
            return f"{name} has a value that is not finite"
    return None


def _is_partition(bounds: NDArray[Any], total: int) -> bool:
    return bool(bounds[0] == 0 and bounds[-1] == total and np.all(bounds[1:] >= bounds[:-1]))


def _rises_within(values: NDArray[Any], bounds: NDArray[Any]) -> bool:
    """Tell whether ``values`` rise strictly, except where a new part begins."""
    falls = np.flatnonzero(values[1:] <= values[:-1]) + 1
    return bool(np.all(np.isin(falls, bounds)))


_NUMBERS = ("popularity", "rating", "votes")
_ITEM_KINDS = {
    "id": ("int64", "string"),
    **dict.fromkeys(("text", "title", "date"), ("string",)),
    **dict.fromkeys(_NUMBERS, ("double",)),
    # Readers of Parquet differ in what they call a list's elements.
    **dict.fromkeys(
        ("keywords", "genres", "cast", "crew"), ("list<item: string>", "list<element: string>")
    ),
}
"""Arrow types of a catalogue's columns; ``id`` and ``text`` must be there, others may."""


def _flaw_in_items(items: pa.Table) -> str | None:
    """Say what keeps the table from being a catalogue's."""
    names = items.column_names
    if len(set(names)) != len(names) or not {"id", "text"} <= set(names) <= set(_ITEM_KINDS):
        return f"the columns of its items are {', '.join(names)}"
    for name in names:
        column = items[name]
        if str(column.type) not in _ITEM_KINDS[name]:
            return f"its items have {name} as {column.type}"
        if name in ("id", "text", *_NUMBERS) and column.null_count:
            return f"its items lack {name} in {column.null_count} rows"
        if name in _NUMBERS and not all(map(isfinite, column.to_pylist())):
            return f"its items have a {name} that is not a finite number"
    return None
