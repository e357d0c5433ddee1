"""Files that hold a matrix: each format read back equal, and every fault named."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import io as scipy_io
from scipy import sparse

from gpu_kmeans import KMeans
from gpu_kmeans.errors import (
    EmptyDataset,
    FileProblem,
    GpuKMeansError,
    InputError,
    InvalidEncoding,
    NonFinite,
    NotNumeric,
    OutOfRange,
    UncertainFormat,
    UnsupportedFileType,
)
from gpu_kmeans.tables import h5ad
from gpu_kmeans.tables.list_column import read_list_column
from gpu_kmeans.tables.matrices import is_matrix, read_matrix

GOLDEN = Path(__file__).parent / "golden_h5ad"
"""Files that AnnData 0.12.19 wrote, of 6 cells and 4 genes; ``X[i, j] = i * j % 3``."""
SPARSE = ("csr", "csc", "coo", "bsr", "dia")
COORDINATES = "%%MatrixMarket matrix coordinate real general\n"
REAL = np.array([[1.5, 0, -2], [0, 0, 3], [0, 4, 0], [7, 0, 0.25]])


def dense(values: Any) -> Any:
    return values.toarray() if sparse.issparse(values) else values


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def npy(values: Any, **options: Any) -> bytes:
    out = io.BytesIO()
    np.save(out, values, **options)
    return out.getvalue()


def sparse_npz(path: Path, **parts: Any) -> Path:
    """An archive as SciPy writes one, of the parts that are given."""
    usual = {
        "format": b"csr",
        "shape": np.array([2, 3]),
        "data": np.array([1.0, 2.0]),
        "indices": np.array([0, 2]),
        "indptr": np.array([0, 1, 2]),
    }
    np.savez(path, **{name: part for name, part in (usual | parts).items() if part is not None})
    return path


def refused(path: Path, error: type[GpuKMeansError], *words: str) -> None:
    with pytest.raises(error) as caught:
        read_matrix(path)
    message = str(caught.value)
    for word in words:
        assert word in message, message
    assert str(path.parent) not in message or not path.exists()


# -- NumPy -----------------------------------------------------------------------------------


@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_numpy_arrays_of_every_dtype_and_order_are_read_as_they_are(
    data: st.DataObject, tmp_path: Path
) -> None:
    kinds = ["?", *"bBhHiIlLqQ", *"efd"]
    dtype = np.dtype(data.draw(st.sampled_from(kinds))).newbyteorder(
        data.draw(st.sampled_from("<>"))
    )
    shape = data.draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    values = data.draw(
        st.lists(st.integers(0, 100), min_size=shape[0] * shape[1], max_size=shape[0] * shape[1])
    )
    array = np.array(values).reshape(shape).astype(dtype, order=data.draw(st.sampled_from("CF")))
    path = tmp_path / "x"
    if data.draw(st.booleans()):
        path.write_bytes(npy(array))
    else:
        with path.open("wb") as file:
            save = np.savez_compressed if data.draw(st.booleans()) else np.savez
            save(file, x=array)
    assert is_matrix(path)
    read = read_matrix(path)
    assert read.values.dtype == (np.float64 if dtype.char == "d" else np.float32)
    assert read.values.dtype.isnative
    np.testing.assert_array_equal(read.values, array.astype(np.float64))
    assert (read.row_names, read.feature_names, read.columns) == (None, None, None)


@pytest.mark.parametrize(
    ("value", "dtype"),
    [(2**24, np.float32), (2**24 + 1, np.float64), (-(2**24) - 1, np.float64)],
)
@pytest.mark.parametrize("format", ["npy", "csr", "mtx"])
def test_integers_are_float32_where_that_is_exact(
    value: int, dtype: type, format: str, tmp_path: Path
) -> None:
    array = np.array([[value, 0], [0, 1]], np.int64)
    path = tmp_path / "x"
    if format == "npy":
        path.write_bytes(npy(array))
    elif format == "csr":
        with path.open("wb") as file:
            sparse.save_npz(file, sparse.csr_array(array))
    else:
        with path.open("wb") as file:
            scipy_io.mmwrite(file, sparse.coo_array(array))
    read = read_matrix(path)
    assert read.values.dtype == dtype
    np.testing.assert_array_equal(dense(read.values), array)


@pytest.mark.parametrize("kind", [np.longdouble, np.float64])
def test_numbers_beyond_float32_are_kept(kind: type, tmp_path: Path) -> None:
    path = written(tmp_path / "x.npy", npy(np.array([[1e300, 1.0]], kind)))
    assert read_matrix(path).values.tolist() == [[1e300, 1.0]]


@pytest.mark.skipif(np.finfo(np.longdouble).max == np.finfo(np.float64).max, reason="no wider type")
def test_numbers_beyond_float64_are_refused(tmp_path: Path) -> None:
    array = np.array([[1.0, 2.0], [3.0, 1.0]], np.longdouble)
    array[1, 0] = np.finfo(np.longdouble).max
    refused(
        written(tmp_path / "x.npy", npy(array)), OutOfRange, "x.npy, row 2, column 1", "float64"
    )


def test_the_only_array_of_two_dimensions_is_taken(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", y=np.arange(4), x=REAL, scale=np.array(2.0))
    np.testing.assert_array_equal(read_matrix(tmp_path / "x.npz").values, REAL)
    np.savez(tmp_path / "two.npz", train=REAL, test=REAL)
    refused(tmp_path / "two.npz", UncertainFormat, "'train'", "'test'", "in a file of its own")
    np.savez(tmp_path / "flat.npz", y=np.arange(4))
    refused(tmp_path / "flat.npz", InputError, "array 'y'", "reshape(-1, 1)")


@pytest.mark.parametrize(
    ("array", "error", "words"),
    [
        (np.arange(3.0), InputError, ("1 dimensions", "reshape(-1, 1)", "reshape(1, -1)")),
        (np.float64(3), InputError, ("0 dimensions",)),
        (np.zeros((2, 2, 2)), InputError, ("3 dimensions", "reshape(len(x), -1)")),
        (np.zeros((0, 3)), EmptyDataset, ("0 rows and 3 columns",)),
        (np.zeros((3, 0)), EmptyDataset, ("3 rows and 0 columns",)),
        (np.array([["a"]]), NotNumeric, ("texts",)),
        (np.array([[b"a"]]), NotNumeric, ("texts",)),
        (np.array([[1j]]), InputError, ("complex", "real features")),
        (np.zeros((2, 2), "f4,i4"), NotNumeric, ("structures", "structured_to_unstructured")),
        (np.zeros((2, 2), "V8"), NotNumeric, ("structures",)),
        (np.zeros((2, 2), "M8[s]"), NotNumeric, ("dates", "numbers first")),
        (np.zeros((2, 2), "m8[s]"), NotNumeric, ("dates or durations",)),
    ],
    ids=repr,
)
@pytest.mark.parametrize("archive", [False, True], ids=["npy", "npz"])
def test_what_is_no_matrix_of_real_numbers_is_refused_in_words(
    array: Any, error: type[GpuKMeansError], words: tuple[str, ...], archive: bool, tmp_path: Path
) -> None:
    path = tmp_path / "x.bin"
    with path.open("wb") as file:
        np.savez(file, x=array) if archive else np.save(file, array)
    refused(path, error, "x.bin", *words)


class Trap:
    """Unpickled, it would make a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("archive", [False, True], ids=["npy", "npz"])
def test_python_objects_are_never_unpickled(archive: bool, tmp_path: Path) -> None:
    trap = tmp_path / "sprung"
    array = np.empty((1, 1), object)
    array[0, 0] = Trap(trap)
    path = tmp_path / "x"
    with path.open("wb") as file:
        np.savez(file, x=array) if archive else np.save(file, array)
    refused(path, NotNumeric, "Python objects", "astype(float)")
    refused(sparse_npz(tmp_path / "s.npz", data=array.ravel()), NotNumeric, "Python objects")
    assert not trap.exists()


def test_lengths_that_headers_claim_are_held_to_the_file(tmp_path: Path) -> None:
    whole = npy(REAL)
    refused(written(tmp_path / "x.npy", whole[:-1]), FileProblem, "96 bytes", "95 follow")
    refused(written(tmp_path / "x.npy", whole + b"\0"), FileProblem, "96 bytes", "97 follow")
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (10000000000000, 3), }"
    claim = b"\x93NUMPY\x01\x00\x76\x00" + header.ljust(117) + b"\n" + bytes(96)
    refused(written(tmp_path / "x.npy", claim), FileProblem, "240,000,000,000,000 bytes")
    negative = claim.replace(b"(10000000000000, 3)", b"(-4, -3)           ")
    refused(written(tmp_path / "x.npy", negative), FileProblem, "its shape is (-4, -3)")
    with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", claim)
    refused(tmp_path / "x.npz", FileProblem, "x.npy says 240,000,000,000,000 bytes")


@pytest.mark.parametrize("flip", range(10))
def test_damage_of_an_archive_is_named(flip: int, tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "x.npz", x=np.random.default_rng(0).normal(size=(50, 4)))
    content = bytearray((tmp_path / "x.npz").read_bytes())
    content[200 + 100 * flip] ^= 0xFF
    refused(written(tmp_path / "x.npz", bytes(content)), FileProblem, "x.npz is not a whole")


# -- SciPy -----------------------------------------------------------------------------------


@pytest.mark.parametrize("matrix", [True, False], ids=["matrix", "array"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int8, bool])
@pytest.mark.parametrize("format", SPARSE)
def test_sparse_matrices_of_scipy_stay_sparse(
    format: str, dtype: type, matrix: bool, tmp_path: Path
) -> None:
    array = REAL.astype(dtype)
    made = (sparse.csr_matrix if matrix else sparse.csr_array)(array).asformat(format)
    sparse.save_npz(tmp_path / "x.npz", made)
    read = read_matrix(tmp_path / "x.npz")
    assert sparse.issparse(read.values)
    assert read.values.format == "csr"
    assert read.values.dtype == (np.float64 if dtype == np.float64 else np.float32)
    np.testing.assert_array_equal(read.values.toarray(), array.astype(np.float64))
    assert len(KMeans(2, random_state=0).fit(read.values).labels_) == 4


@pytest.mark.parametrize(
    ("pair", "dtype", "total"),
    [((2**24, 1), np.int64, 2**24 + 1), ((100, 100), np.int8, 200), ((True, True), bool, 2)],
)
def test_repeated_entries_are_summed_before_they_are_rounded(
    pair: tuple[int, int], dtype: type, total: int, tmp_path: Path
) -> None:
    made = sparse.coo_array((np.array(pair, dtype), ([0, 0], [1, 1])), shape=(2, 2))
    sparse.save_npz(tmp_path / "x.npz", made)
    assert read_matrix(tmp_path / "x.npz").values[0, 1] == total


def test_half_precision_and_early_names_of_formats_are_read(tmp_path: Path) -> None:
    path = sparse_npz(tmp_path / "x.npz", format="csr", data=np.array([1, 2], np.float16))
    assert read_matrix(path).values.toarray().tolist() == [[1, 0, 0], [0, 0, 2]]


@pytest.mark.parametrize(
    ("parts", "error", "words"),
    [
        ({"indices": np.array([0, 3])}, FileProblem, ("index 3 in row 1 is not in [0, 3)",)),
        ({"indices": np.array([0, -1])}, FileProblem, ("index -1",)),
        ({"indptr": np.array([0, 2, 1])}, FileProblem, ("not a whole",)),
        ({"indptr": np.array([0, 1, 9])}, FileProblem, ("not a whole",)),
        ({"indptr": np.array([0, 2])}, FileProblem, ("not a whole",)),
        ({"indptr": None}, FileProblem, ("a csr matrix without indptr",)),
        ({"indices": np.array([0.0, 1.0])}, FileProblem, ("indices is no list of integers",)),
        ({"shape": np.array([2.0, 3.0])}, FileProblem, ("shape is no list of integers",)),
        ({"shape": np.array([2])}, InputError, ("1 dimensions",)),
        ({"shape": np.array([2, 3, 4])}, InputError, ("3 dimensions",)),
        ({"shape": np.array([0, 3]), "indptr": np.array([0])}, EmptyDataset, ("0 rows",)),
        ({"shape": np.array([-2, 3])}, EmptyDataset, ("0 rows",)),
        ({"data": np.array([1j, 2])}, InputError, ("complex",)),
        ({"data": np.array(["a", "b"])}, NotNumeric, ("texts",)),
        ({"data": np.array([1.0, np.nan])}, NonFinite, ("row 2, column 3: NaN",)),
        ({"data": np.array([-np.inf, 1])}, NonFinite, ("row 1, column 1: infinity",)),
        ({"data": np.ones((2, 1))}, FileProblem, ("data has 2 dimensions",)),
        ({"format": b"lil"}, UnsupportedFileType, ("format 'lil'", "tocsr")),
        ({"format": np.arange(3)}, UnsupportedFileType, ("format ''",)),
    ],
    ids=str,
)
def test_sparse_archives_are_held_to_what_a_matrix_is(
    parts: dict[str, Any], error: type[GpuKMeansError], words: tuple[str, ...], tmp_path: Path
) -> None:
    refused(sparse_npz(tmp_path / "x.npz", **parts), error, "x.npz", *words)


def test_rows_that_nothing_is_stored_of_are_bounded(tmp_path: Path) -> None:
    path = sparse_npz(
        tmp_path / "x.npz",
        format=b"coo",
        shape=np.array([10**12, 3]),
        row=np.array([0, 1]),
        col=np.array([0, 1]),
    )
    refused(path, FileProblem, "claims 1,000,000,000,000 rows for 2 stored values")


# -- Matrix Market -----------------------------------------------------------------------------


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("field", ["real", "integer", "pattern"])
@pytest.mark.parametrize("symmetry", ["general", "symmetric", "skew-symmetric"])
def test_matrix_market_is_read_as_scipy_reads_it(
    symmetry: str, field: str, packed: bool, tmp_path: Path
) -> None:
    array = np.array([[0.0, 1, -2], [-1, 0, 3], [2, -3, 0]])
    if symmetry == "symmetric":
        array = np.abs(array)
    out = io.BytesIO()
    scipy_io.mmwrite(out, sparse.coo_array(array), field=field, symmetry=symmetry)
    expected = scipy_io.mmread(io.BytesIO(out.getvalue())).toarray()
    path = tmp_path / "counts"
    written(path, gzip.compress(out.getvalue()) if packed else out.getvalue())
    assert is_matrix(path)
    read = read_matrix(path)
    assert read.format == "mtx"
    assert read.values.dtype == (np.float64 if field == "real" else np.float32)
    np.testing.assert_array_equal(read.values.toarray(), expected)


def test_matrix_market_arrays_are_dense(tmp_path: Path) -> None:
    scipy_io.mmwrite(tmp_path / "x.mtx", REAL)
    read = read_matrix(tmp_path / "x.mtx")
    assert isinstance(read.values, np.ndarray)
    np.testing.assert_array_equal(read.values, REAL)


@pytest.mark.parametrize("symmetry", ["symmetric", "skew-symmetric"])
def test_arrays_listed_in_half_are_whole(symmetry: str, tmp_path: Path) -> None:
    array = np.array([[0.0, 1, -2], [1, 0, 3], [-2, 3, 0]])
    if symmetry != "symmetric":
        array = np.tril(array) - np.triu(array)
    scipy_io.mmwrite(tmp_path / "x.mtx", array, symmetry=symmetry)
    np.testing.assert_array_equal(read_matrix(tmp_path / "x.mtx").values, array)


def test_blank_lines_are_passed_over(tmp_path: Path) -> None:
    lines = "".join(f"\n \n{i} 1 {i}\n\n" for i in range(1, 200_001))
    path = written(tmp_path / "x.mtx", f"{COORDINATES}200000 1 200000\n{lines}")
    assert read_matrix(path).values.shape == (200_000, 1)


def test_what_a_small_file_unpacks_to_is_bounded_by_its_header(tmp_path: Path) -> None:
    content = gzip.compress(f"{COORDINATES}2 2 1\n".encode() + b"1 1 5\n" * 5_000_000)
    refused(written(tmp_path / "x.mtx.gz", content), FileProblem, "more lines than its header")


@pytest.mark.parametrize("value", ["5-5", "1.2.3", "1e5e5", "5e", "5a", "0x1p3", "1_0", "1 1"])
def test_no_part_of_a_line_is_passed_over(value: str, tmp_path: Path) -> None:
    refused(
        written(tmp_path / "x.mtx", f"{COORDINATES}2 2 1\n1 1 {value}\n"),
        FileProblem,
        "not a whole",
    )


@pytest.mark.parametrize("space", [" ", "\t", "   "], ids=repr)
def test_words_may_be_any_space_apart(space: str, tmp_path: Path) -> None:
    rows = 200_000  # several blocks
    lines = "".join(f"{space}{i}{space}{i % 2 + 1}{space}{i}{space}\n" for i in range(1, rows + 1))
    path = written(tmp_path / "x.mtx", f"{COORDINATES}{rows} 2 {rows}\n{lines}")
    read = read_matrix(path)
    assert read.values.sum() == rows * (rows + 1) / 2
    assert read.values[rows - 1, 1 if rows % 2 else 0] == rows


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n"], ids=repr)
def test_ends_of_lines_do_not_matter(end: str, tmp_path: Path) -> None:
    text = f"%%MatrixMarket MATRIX Coordinate Real General\r\n% by hand\r\n2 2 1\r\n2 1 5.5{end}"
    read = read_matrix(written(tmp_path / "x.mtx", text))
    assert read.values.toarray().tolist() == [[0, 0], [5.5, 0]]


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        (f"{COORDINATES}2 2 1\n3 1 5\n", FileProblem, ("value 1 lies in row 3, of 2",)),
        (f"{COORDINATES}2 2 1\n0 1 5\n", FileProblem, ("value 1 lies in row 0, of 2",)),
        (f"{COORDINATES}2 2 2\n1 1 5\n2 2 \n", FileProblem, ("not a whole",)),
        (f"{COORDINATES}2 2 2\n1 1 5\n", FileProblem, ("not a whole",)),
        (f"{COORDINATES}2 2 1\n1 1 5\n2 2 4\n", FileProblem, ("not a whole",)),
        (f"{COORDINATES}2 2 1\n1 1 5 7\n", FileProblem, ("Expected 3 columns, got 4",)),
        (f"{COORDINATES}2 2 1\n1 1 5,5\n", FileProblem, ("invalid value '5,5'",)),
        (f"{COORDINATES}2 2 1\n1 1 x\n", FileProblem, ("invalid value 'x'",)),
        (f"{COORDINATES}2 2 1\n1 1 nan\n", NonFinite, ("row 1, column 1: NaN",)),
        (f"{COORDINATES}2 2 1\n2 1 1e999\n", NonFinite, ("row 2, column 1: infinity",)),
        (f"{COORDINATES}2 2 900000000000\n1 1 5\n", FileProblem, ("more values than it can",)),
        (f"{COORDINATES}2 2 -1\n1 1 5\n", FileProblem, ("is no shape",)),
        (f"{COORDINATES}2 2\n1 1 5\n", FileProblem, ("is no shape",)),
        (f"{COORDINATES}", FileProblem, ("is no shape",)),
        (f"{COORDINATES}0 2 0\n", EmptyDataset, ("0 rows",)),
        (f"{COORDINATES}90000000000 2 1\n1 1 5\n", FileProblem, ("claims 90,000,000,000 rows",)),
        (
            f"{COORDINATES.replace('real', 'integer')}2 2 1\n1 1 5.5\n",
            FileProblem,
            ("invalid value '5.5'",),
        ),
        (f"{COORDINATES.replace('real', 'complex')}2 2 1\n1 1 5 6\n", InputError, ("complex",)),
        (f"{COORDINATES.replace('general', 'symmetric')}2 3 0\n", FileProblem, ("symmetric",)),
        ("%%MatrixMarket vector coordinate real general\n2 1\n", FileProblem, ("first line",)),
        ("%%MatrixMarket matrix array real general\n9999999 9999999\n1\n", FileProblem, ("more",)),
        ("%%MatrixMarket matrix array real general\n2 2\n1\n2\n3\n", FileProblem, ("not a whole",)),
    ],
    ids=repr,
)
def test_matrix_market_is_held_to_its_header(
    text: str, error: type[GpuKMeansError], words: tuple[str, ...], tmp_path: Path
) -> None:
    refused(written(tmp_path / "x.mtx", text), error, "x.mtx", *words)


def test_a_damaged_gzip_is_named(tmp_path: Path) -> None:
    rows = "".join(f"{i} 1 {i * i}\n" for i in range(1, 20_001))
    content = gzip.compress(f"{COORDINATES}20000 1 20000\n{rows}".encode())
    for path in (written(tmp_path / "x.mtx.gz", content[:-9]), tmp_path / "x.mtx.gz"):
        refused(path, FileProblem, "x.mtx.gz is not a whole gzip file")


# -- 10x Genomics ------------------------------------------------------------------------------


@pytest.fixture
def tenx(tmp_path: Path) -> Path:
    """A folder of 3 genes by 4 cells; two of the genes share a symbol."""
    scipy_io.mmwrite(
        tmp_path / "matrix.mtx", sparse.coo_array(REAL.T.astype(np.int64)), field="integer"
    )
    written(tmp_path / "barcodes.tsv", "AAA-1\nCCC-1\nGGG-1\nAAA-1\n")
    written(
        tmp_path / "features.tsv",
        "E1\tTBCE\tGene Expression\nE2\tActB\tGene Expression\nE3\tTBCE\tGene Expression\n",
    )
    return tmp_path


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("by", ["folder", "file"])
def test_cells_of_10x_are_the_rows(tenx: Path, packed: bool, by: str) -> None:
    if packed:
        for path in list(tenx.iterdir()):
            path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
            path.unlink()
    path = tenx if by == "folder" else next(tenx.glob("matrix.mtx*"))
    assert is_matrix(path)
    read = read_matrix(path)
    assert read.format == "10x"
    assert read.values.format == "csr"
    assert read.values.dtype == np.float32
    np.testing.assert_array_equal(read.values.toarray(), REAL.astype(np.int64))
    assert read.row_names == ["AAA-1", "CCC-1", "GGG-1", "AAA-1"]
    assert read.feature_names == ["TBCE (E1)", "ActB", "TBCE (E3)"]


def test_genes_without_symbols_are_called_by_their_ids(tenx: Path) -> None:
    (tenx / "features.tsv").unlink()
    written(tenx / "genes.tsv", "\ufeffE1\r\nE2\r\nE3")
    assert read_matrix(tenx).feature_names == ["E1", "E2", "E3"]


def test_a_matrix_without_names_beside_it_lies_as_it_lies(tenx: Path) -> None:
    (tenx / "features.tsv").unlink()
    refused(tenx / "matrix.mtx", FileProblem, "without features.tsv or genes.tsv")
    (tenx / "barcodes.tsv").unlink()
    assert read_matrix(tenx / "matrix.mtx").values.shape == (3, 4)
    refused(tenx, FileProblem, "without barcodes.tsv")


def test_files_of_10x_have_to_agree(tenx: Path) -> None:
    barcodes = tenx / "barcodes.tsv"
    refused(written(barcodes, "A\nB\n").parent, FileProblem, "2 lines", "4 columns (cells)")
    refused(written(barcodes, "A\n" * 9).parent, FileProblem, "more than 4 lines", "4 columns")
    refused(written(barcodes, "A\n\nB\nC\n").parent, FileProblem, "barcodes.tsv, line 2 is blank")
    refused(written(barcodes, b"A\n\xff\nB\nC\n").parent, InvalidEncoding, "line 2 is not UTF-8")
    written(barcodes, "A\nB\nC\nD\n")
    genes = written(tenx / "features.tsv", "E1\tX\nE2\tY\nE1\tX\n")
    refused(tenx, FileProblem, "features.tsv: lines 1 and 3 are the same gene, 'X (E1)'")
    written(tenx / "genes.tsv", genes.read_bytes())
    refused(tenx, UncertainFormat, "features.tsv and genes.tsv", "remove one")


def test_a_folder_without_a_matrix_is_named(tmp_path: Path) -> None:
    assert not is_matrix(tmp_path)
    with pytest.raises(FileProblem, match=r"a folder without a matrix\.mtx"):
        read_matrix(tmp_path)


# -- AnnData -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["dense", "csr", "csc"])
def test_what_anndata_wrote_is_read(kind: str) -> None:
    pytest.importorskip("h5py", reason="what reads HDF5 is not installed")
    assert is_matrix(GOLDEN / f"{kind}.h5ad")
    read = read_matrix(GOLDEN / f"{kind}.h5ad")
    assert read.format == "h5ad"
    assert sparse.issparse(read.values) == (kind != "dense")
    assert read.values.dtype == np.float32
    expected = [[i * j % 3 for j in range(4)] for i in range(6)]
    assert dense(read.values).tolist() == expected
    assert read.row_names == [f"cell {i}" for i in range(6)]
    assert read.feature_names == [f"gene {i}" for i in range(4)]
    assert read.columns is not None
    assert read.columns.to_pydict() == {
        "kind": ["T", "B", None, "T", "NK", "B"],
        "n": [0, 1, 2, 3, 4, 5],
        "share": [0, 0.25, 0.5, 0.75, 1, 1.25],
        "ok": [True, False] * 3,
        "note": list("abcdef"),
        "batch": ["1", "2"] * 3,
        "maybe": [1, None, 3, 4, 5, 6],
    }


@pytest.fixture
def annotated(tmp_path: Path):
    """A function that writes an AnnData by hand, and lets it be changed before it is closed."""
    h5py = pytest.importorskip("h5py", reason="what reads HDF5 is not installed")

    def write(change: Any = None, x: Any = REAL) -> Path:
        path = tmp_path / "x.h5ad"
        with h5py.File(path, "w") as file:
            if sparse.issparse(x):
                group = file.create_group("X")
                group.attrs["encoding-type"] = f"{x.format}_matrix"
                group.attrs["shape"] = x.shape
                for part in ("data", "indices", "indptr"):
                    group[part] = getattr(x, part)
            else:
                file["X"] = x
            for name, length in (("obs", 4), ("var", 3)):
                frame = file.create_group(name)
                frame.attrs["_index"] = "_index"
                frame.attrs["column-order"] = np.array([], dtype=h5py.string_dtype())
                frame["_index"] = [f"{name}{i}" for i in range(length)]
            if change is not None:
                change(file)
        return path

    return write


@pytest.mark.parametrize("dtype", ["f2", ">f4", "f8", "i8", "u1", "?"])
@pytest.mark.parametrize("format", ["dense", "csr", "csc"])
def test_anndata_written_by_hand_is_read(annotated: Any, dtype: str, format: str) -> None:
    array = REAL.astype(dtype)
    x: Any = array if format == "dense" else sparse.csr_array(REAL).asformat(format)
    if format != "dense":
        x.data = x.data.astype(dtype)
    read = read_matrix(annotated(x=x))
    np.testing.assert_array_equal(dense(read.values), array.astype(np.float64))
    assert read.values.dtype == (np.float64 if dtype == "f8" else np.float32)
    assert read.row_names == ["obs0", "obs1", "obs2", "obs3"]
    assert read.columns is not None
    assert read.columns.column_names == []


def test_categories_of_early_versions_are_read(annotated: Any) -> None:
    def change(file: Any) -> None:
        obs = file["obs"]
        obs.attrs["column-order"] = ["kind", "shape", "part/whole"]
        obs["kind"] = np.array([1, 0, -1, 1], np.int8)
        obs["__categories/kind"] = ["B", "T"]
        obs["kind"].attrs["categories"] = obs["__categories/kind"].ref
        obs["shape"] = np.zeros((4, 2))  # no list of cells
        obs["part/whole"] = np.arange(4.0)

    read = read_matrix(annotated(change))
    assert read.columns is not None
    assert read.columns.to_pydict() == {
        "kind": ["T", "B", None, "T"],
        "part/whole": [0.0, 1.0, 2.0, 3.0],
    }


def replaced(member: str, value: Any) -> Any:
    def change(file: Any) -> None:
        if member in file:
            del file[member]
        if value is not None:
            file[member] = value

    return change


def category_outside(file: Any) -> None:
    file["obs"].attrs["column-order"] = ["kind"]
    column = file["obs"].create_group("kind")
    column.attrs["encoding-type"] = "categorical"
    column["codes"] = np.array([0, 1, 2, 0], np.int8)
    column["categories"] = ["B", "T"]


def column_too_short(file: Any) -> None:
    file["obs"].attrs["column-order"] = ["n"]
    file["obs/n"] = np.arange(3)


def column_missing(file: Any) -> None:
    file["obs"].attrs["column-order"] = ["n"]


def claimed(file: Any) -> None:
    del file["X"]
    file.create_dataset("X", (10**9, 3), "f8", chunks=(1000, 3))


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (replaced("X", None), UnsupportedFileType, ("without 'X'",)),
        (replaced("obs", None), UnsupportedFileType, ("without 'obs'",)),
        (replaced("obs", np.zeros(4)), UnsupportedFileType, ("AnnData before 0.7",)),
        (replaced("X", np.zeros(4)), InputError, ("1 dimensions",)),
        (replaced("X", np.zeros((4, 3, 2))), InputError, ("3 dimensions",)),
        (replaced("X", np.zeros((0, 3))), EmptyDataset, ("0 rows",)),
        (replaced("X", REAL * 1j), InputError, ("complex",)),
        (replaced("X", [["a"]]), NotNumeric, ("Python objects",)),
        (
            replaced("X", np.where(REAL == 3, np.nan, REAL)),
            NonFinite,
            ("row 2 ('obs1'), column 3 ('var2'): NaN",),
        ),
        (replaced("X", REAL[:3]), FileProblem, ("obs has 4 names, X has 3 rows",)),
        (replaced("X", REAL[:, :2]), FileProblem, ("var has 3 names, X has 2 columns",)),
        (replaced("obs/_index", None), FileProblem, ("'_index' is missing",)),
        (category_outside, FileProblem, ("a category that is not in its list",)),
        (column_too_short, FileProblem, ("'n' in obs has 3 of 4 cells",)),
        (column_missing, FileProblem, ("'n' is missing",)),
        (claimed, FileProblem, ("claims more values than it holds",)),
    ],
    ids=str,
)
def test_anndata_is_held_to_what_it_says(
    annotated: Any, change: Any, error: type[GpuKMeansError], words: tuple[str, ...]
) -> None:
    refused(annotated(change), error, "x.h5ad", *words)


@pytest.mark.parametrize("part", ["indices", "indptr"])
def test_indices_of_anndata_are_held_to_the_matrix(annotated: Any, part: str) -> None:
    x = sparse.csr_array(REAL)
    getattr(x, part)[-1] = 99
    refused(annotated(x=x), FileProblem, "x.h5ad", "is not a whole")


@pytest.mark.parametrize("kind", ["external link", "soft link", "external values", "virtual"])
def test_what_lies_in_other_files_is_not_read(annotated: Any, kind: str, tmp_path: Path) -> None:
    import h5py

    (tmp_path / "secret.bin").write_bytes(REAL.tobytes())
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["X"] = REAL

    def change(file: Any) -> None:
        del file["X"]
        if kind == "external link":
            file["X"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "X")
        elif kind == "soft link":
            file["hidden"] = REAL
            file["X"] = h5py.SoftLink("/hidden")
        elif kind == "external values":
            raw = [(str(tmp_path / "secret.bin"), 0, REAL.nbytes)]
            file.create_dataset("X", REAL.shape, "f8", external=raw)
        else:
            layout = h5py.VirtualLayout(REAL.shape, "f8")
            layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "X", REAL.shape)
            file.create_virtual_dataset("X", layout)

    refused(annotated(change), FileProblem, "lies in another file or place")


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    pytest.importorskip("h5py", reason="what reads HDF5 is not installed")
    content = (GOLDEN / "csr.h5ad").read_bytes()
    path = written(tmp_path / "x.h5ad", content[: len(content) // 2])
    refused(path, FileProblem, "x.h5ad is not a whole AnnData file")


def test_without_its_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(UnsupportedFileType, match=r'pip install "\.\[omics\]"'):
        h5ad.read_h5ad(GOLDEN / "csr.h5ad", "csr.h5ad")


# -- which files ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"id,text\n1,a\n",
        b"%PDF-1.4",
        gzip.compress(b"id,text\n1,a\n"),
        gzip.compress(COORDINATES.encode())[:12],
        b"\x1f\x8b",
        b"PK\x03\x04 and no archive",
        pickle.dumps([1]),
    ],
    ids=repr,
)
def test_other_files_are_no_matrix(content: bytes, tmp_path: Path) -> None:
    path = written(tmp_path / "x.npy", content)
    assert not is_matrix(path)
    refused(path, UnsupportedFileType, "x.npy is no matrix; give a .npy")


def test_archives_of_other_things_are_no_matrix(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("films.csv", "id\n1\n")
    assert not is_matrix(tmp_path / "x.npz")


def test_a_missing_file_is_no_matrix_and_named_where_it_is_read(tmp_path: Path) -> None:
    assert not is_matrix(tmp_path / "x.npy")
    refused(tmp_path / "x.npy", FileProblem, "no such file")


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_anywhere_is_refused_or_read(data: st.DataObject, tmp_path: Path) -> None:
    """Whatever the bytes, nothing but this package's errors; HDF5's own checks are its own."""
    kind = data.draw(st.sampled_from(["npy", "npz", "mtx", "mtx.gz", *SPARSE]))
    path = tmp_path / "x"
    with path.open("wb") as file:
        if kind == "npy":
            np.save(file, REAL)
        elif kind == "npz":
            np.savez(file, x=REAL)
        elif kind.startswith("mtx"):
            scipy_io.mmwrite(file, sparse.coo_array(REAL))
        else:
            sparse.save_npz(file, sparse.csr_array(REAL).asformat(kind), compressed=False)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
    path.write_bytes(gzip.compress(content) if kind == "mtx.gz" else content)
    is_matrix(path)
    try:
        read = read_matrix(path)
    except GpuKMeansError:
        return
    assert np.isfinite(dense(read.values)).all()


# -- columns of lists ----------------------------------------------------------------------------

PLACE = "films.parquet, column 'embedding'"


@pytest.mark.parametrize("kind", [pa.list_, pa.large_list, lambda value: pa.list_(value, 3)])
@pytest.mark.parametrize(
    "member", [pa.float32(), pa.float64(), pa.float16(), pa.int64(), pa.uint8()]
)
def test_lists_of_numbers_become_rows(kind: Any, member: pa.DataType, tmp_path: Path) -> None:
    rows = np.arange(12).reshape(4, 3)
    column = pa.array(rows.tolist(), kind(member))
    pq.write_table(pa.table({"e": column}), tmp_path / "x.parquet", row_group_size=3)
    chunked = pq.read_table(tmp_path / "x.parquet")["e"]
    for cells in (chunked, pa.chunked_array([column[:1], column[1:]])):
        read = read_list_column(cells, PLACE)
        assert read.dtype == np.float32
        np.testing.assert_array_equal(read, rows)


@pytest.mark.parametrize(
    ("cells", "error", "words"),
    [
        ([[1.0], None], InputError, "row 3 is empty"),
        ([[1.0], []], InputError, "row 3 is a list of 0, and the first has 1"),
        ([[], []], NotNumeric, "holds list<"),
        ([[1.0, 2], [3.0], [4.0, 5]], InputError, "row 3 is a list of 1, and the first has 2"),
        ([[1.0, 2], [3.0, None]], InputError, "row 3 holds a missing value"),
        ([[1.0, 2], [3.0, float("nan")]], NonFinite, "row 3: number 2 of its list is nan"),
        ([[1.0, float("-inf")]], NonFinite, "row 2: number 2 of its list is -inf"),
        ([[1.0], [1e39]], OutOfRange, "row 3: number 1 of its list, 1e+39, is beyond float32"),
        ([["a"]], NotNumeric, "holds list<"),
        ([[[1.0]]], NotNumeric, "it must hold lists of numbers"),
        ([[True]], NotNumeric, "it must hold lists of numbers"),
        ([1.0], NotNumeric, "holds double"),
        (["[1, 2]"], NotNumeric, "holds string"),
        ([], EmptyDataset, "no rows"),
    ],
    ids=str,
)
def test_lists_that_are_no_rows_are_named(
    cells: list[Any], error: type[GpuKMeansError], words: str
) -> None:
    column = pa.chunked_array([pa.array(cells)])
    with pytest.raises(error) as caught:
        read_list_column(column, PLACE)
    assert str(caught.value).startswith(PLACE)
    assert words in str(caught.value)


def test_empty_lists_of_numbers_are_named() -> None:
    column = pa.chunked_array([pa.array([[], []], pa.list_(pa.float32()))])
    with pytest.raises(InputError, match="row 2 is a list without numbers"):
        read_list_column(column, PLACE)


def test_lists_of_which_a_part_is_read_are_told_by_their_own_rows() -> None:
    cells = pa.array([[9.0], [1.0, 2.0], None, [3.0, 4.0]])[1:]
    with pytest.raises(InputError, match="row 3 is empty"):
        read_list_column(pa.chunked_array([cells]), PLACE)
    assert read_list_column(pa.chunked_array([cells[2:]]), PLACE).tolist() == [[3, 4]]
