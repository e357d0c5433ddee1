"""What holds rows is read as the same rows; what does not is refused at once and in words."""

from __future__ import annotations

import array
import collections
import datetime
import decimal
import io
import itertools
import pathlib
import time
import tracemalloc
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import sparse
from shapes import values

from cpu_fallback import CpuBackend
from gpu_kmeans.clustering.kmeans import KMeans
from gpu_kmeans.errors import (
    FeatureMismatch,
    GpuKMeansError,
    InputError,
    InvalidParam,
    NonFinite,
    NotNumeric,
    OutOfRange,
)
from gpu_kmeans.features.weighting import Weighting
from gpu_kmeans.validation import check_named_rows, check_rows

NUMBERS = np.array([[1.0, 0.0, 2.0], [0.0, 3.0, 0.0], [4.0, 0.0, 5.0], [0.0, 0.0, 6.0]])


def kmeans(k: int = 2, **arguments: Any) -> KMeans:
    return KMeans(k, random_state=0, backend="cpu", **arguments)


# -- what holds rows --------------------------------------------------------------------


class FrameOfAnotherLibrary:
    """What polars, DuckDB and others offer: their tables as a stream of Arrow's."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self._table.__arrow_c_stream__(requested_schema)


class ArrayOfAnotherLibrary:
    """What Torch, xarray, JAX and others offer."""

    def __init__(self, values: Any) -> None:
        self._values = values

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.asarray(self._values, dtype)


class LabelledArray(ArrayOfAnotherLibrary):
    """What xarray offers: an array that is also a table, with a line for each of its entries."""

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        row, column = np.indices(self._values.shape)
        lines = {"row": row.ravel(), "column": column.ravel(), "value": self._values.ravel()}
        return pa.table(lines).__arrow_c_stream__(requested_schema)


class SparseOfAnotherLibrary:
    def tocsr(self) -> Any:
        return sparse.csr_matrix(NUMBERS)


def frame(**dtypes: Any) -> pd.DataFrame:
    return pd.DataFrame(NUMBERS, columns=list("abc")).astype(dtypes)


def table() -> pa.Table:
    return pa.table({name: NUMBERS[:, at] for at, name in enumerate("abc")})


DENSE = {
    "array": NUMBERS,
    "Fortran order": np.asfortranarray(NUMBERS),
    "big-endian": NUMBERS.astype(">f8"),
    "objects": NUMBERS.astype(object),
    "decimals": [[decimal.Decimal(int(value)) for value in row] for row in NUMBERS],
    "lists": NUMBERS.tolist(),
    "tuples of arrays": tuple(NUMBERS),
    "deque of ranges": collections.deque([range(i, i + 3) for i in range(4)]),
    "matrix": np.asmatrix(NUMBERS),
    "nothing masked": np.ma.masked_array(NUMBERS, mask=False),
    "memoryview": memoryview(NUMBERS),
    "another library": ArrayOfAnotherLibrary(NUMBERS),
    "labelled array": LabelledArray(NUMBERS),
    "frame": frame(),
    "frame of many dtypes": frame(a="Int64", b=bool, c="float32"),
    "frame of Arrow's": frame(a="int64[pyarrow]", b="float[pyarrow]"),
    "frame of categories": frame(a="category"),
    "frame of objects": frame(a=object),
    "frame of decimals": frame(a=pd.ArrowDtype(pa.decimal128(5, 2))),
    "table": table(),
    "record batch": table().to_batches()[0],
    "table in chunks": pa.concat_tables([table()[:1], table()[1:]]),
    "table of decimals": table().cast(pa.schema([(c, pa.decimal128(20, 10)) for c in "abc"])),
    "table of categories": pa.table({c: table()[c].dictionary_encode() for c in "abc"}),
    "table of runs": pa.table(
        {"a": pa.RunEndEncodedArray.from_arrays([1, 2, 3, 4], NUMBERS[:, 0])}
    ),
    "table of another library": FrameOfAnotherLibrary(table()),
    "tensor": pa.Tensor.from_numpy(NUMBERS),
}
EXPECTED = {
    "deque of ranges": np.arange(4)[:, None] + np.arange(3),
    "frame of many dtypes": np.where([False, True, False], NUMBERS > 0, NUMBERS),
    "table of runs": NUMBERS[:, :1],
}


@pytest.mark.parametrize("name", DENSE)
def test_rows_of_any_container_are_the_same_rows(name: str) -> None:
    rows = check_rows(DENSE[name])
    assert isinstance(rows, np.ndarray)
    assert rows.dtype == np.float64
    assert rows.dtype.isnative
    np.testing.assert_array_equal(rows, EXPECTED.get(name, NUMBERS))
    fitted = kmeans().fit(DENSE[name])
    assert fitted.predict(DENSE[name]).tolist() == kmeans().fit(rows).labels_.tolist()


@pytest.mark.parametrize(
    "container",
    [
        NUMBERS.astype(np.float32),
        NUMBERS.astype(">f4"),
        frame().astype("float32"),
        frame(a="float32", b="Float32", c="float[pyarrow]"),
        pa.table({c: NUMBERS[:, 0].astype(np.float32) for c in "abc"}),
        frame().astype(pd.SparseDtype(np.float32, 0)),
    ],
    ids=lambda container: type(container).__name__,
)
def test_single_precision_stays_what_it_is(container: Any) -> None:
    assert check_rows(container).dtype == np.float32


def sparse_containers() -> dict[str, Any]:
    csr = sparse.csr_matrix(NUMBERS)
    long = sparse.csr_array(NUMBERS)
    long.indices, long.indptr = long.indices.astype(np.int64), long.indptr.astype(np.int64)
    repeated = sparse.csr_array(
        ([1.0, 2.0, 3.0, 3.0, 1.0, 5.0, 6.0], [0, 2, 1, 0, 0, 2, 2], [0, 2, 3, 6, 7]), shape=(4, 3)
    )
    unsorted = sparse.csr_array(
        ([2.0, 1.0, 3.0, 5.0, 4.0, 6.0], [2, 0, 1, 2, 0, 2], [0, 2, 3, 5, 6]), shape=(4, 3)
    )
    unsorted.has_sorted_indices = True  # which is not so
    unsorted.has_canonical_format = True
    roomy = sparse.csr_array(NUMBERS)
    roomy.data = np.append(roomy.data, [np.nan, np.inf])
    roomy.indices = np.append(roomy.indices, [99, -1]).astype(np.int32)
    return {
        **{form: csr.asformat(form) for form in ("csr", "csc", "coo", "bsr", "dia", "dok", "lil")},
        "64-bit indices": long,
        "repeated": repeated,
        "unsorted": unsorted,
        "with room at the end": roomy,
        "another library": SparseOfAnotherLibrary(),
        "frame": pd.DataFrame.sparse.from_spmatrix(csr, columns=list("abc")),
        "frame, some of it": frame(b=pd.SparseDtype(float, 0), c=pd.SparseDtype("int", 0)),
        "frame around NaN": frame(a=pd.SparseDtype(float, np.nan), c=pd.SparseDtype(float, 0)),
        "Arrow's CSR": pa.SparseCSRMatrix.from_scipy(csr),
        "Arrow's CSC": pa.SparseCSCMatrix.from_scipy(csr.tocsc()),
        "Arrow's COO": pa.SparseCOOTensor.from_scipy(csr.tocoo()),
    }


@pytest.mark.parametrize("name", sparse_containers())
def test_sparse_rows_of_any_container_are_csr(name: str) -> None:
    container = sparse_containers()[name]
    rows = check_rows(container)
    assert isinstance(rows, sparse.csr_array)
    assert rows.indices.dtype == rows.indptr.dtype == np.int32
    np.testing.assert_array_equal(rows.toarray(), NUMBERS)
    in_order = sparse.csr_array((rows.data, rows.indices, rows.indptr), shape=rows.shape)
    assert in_order.has_canonical_format
    fitted = kmeans().fit(container)
    expected = kmeans().fit(sparse.csr_array(NUMBERS))
    assert fitted.labels_.tolist() == expected.labels_.tolist()
    assert fitted.predict(container).tolist() == expected.labels_.tolist()
    np.testing.assert_array_equal(fitted.transform(container), expected.transform(NUMBERS))
    assert fitted.score(container) == pytest.approx(-expected.inertia_)
    start = KMeans(4, init=container, backend="cpu").fit(NUMBERS)
    np.testing.assert_array_equal(start.cluster_centers_, NUMBERS)


def test_a_frame_of_sparse_columns_is_never_dense() -> None:
    rows = sparse.random(3000, 2000, density=0.002, random_state=0, format="csr")
    columns = pd.DataFrame.sparse.from_spmatrix(rows)
    kmeans(max_iter=1).fit(rows)  # imports what it needs
    tracemalloc.start()
    fitted = kmeans(max_iter=3).fit(columns)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3000 * 2000 * 8 / 4
    assert fitted.labels_.tolist() == kmeans(max_iter=3).fit(rows).labels_.tolist()
    assert fitted.predict(columns).tolist() == fitted.labels_.tolist()


@settings(max_examples=60, deadline=None)
@given(
    numbers=arrays.arrays(
        np.float64, st.tuples(st.integers(1, 6), st.integers(1, 5)), elements=st.integers(-2, 2)
    ),
    dtypes=st.lists(
        st.sampled_from(
            [float, np.float32, int, pd.SparseDtype(float, 0), pd.SparseDtype(np.int8, 0), "Int8"]
        ),
        min_size=5,
        max_size=5,
    ),
)
def test_frames_of_any_dtypes_hold_the_same_numbers(numbers: Any, dtypes: list[Any]) -> None:
    columns = pd.DataFrame(numbers)
    columns = columns.astype(dict(zip(columns.columns, dtypes, strict=False)))
    rows = check_rows(columns)
    assert sparse.issparse(rows) == any(isinstance(d, pd.SparseDtype) for d in columns.dtypes)
    dense = rows.toarray() if sparse.issparse(rows) else rows
    np.testing.assert_array_equal(dense, numbers)


# -- names --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda columns: columns,
        pa.Table.from_pandas,
        lambda columns: pa.Table.from_pandas(columns).to_batches()[0],
        lambda columns: FrameOfAnotherLibrary(pa.Table.from_pandas(columns)),
        lambda columns: columns.astype(pd.SparseDtype(float, 0)),
    ],
    ids=["pandas", "table", "record batch", "another library", "sparse"],
)
def test_columns_in_another_order_are_refused(make: Any) -> None:
    columns = pd.DataFrame(values(60, 3, 0), columns=["height", "weight", "age"])
    fitted = kmeans().fit(make(columns))
    assert fitted.feature_names_in_.tolist() == ["height", "weight", "age"]
    assert fitted.predict(make(columns)).tolist() == fitted.labels_.tolist()
    for use in (fitted.predict, fitted.transform, fitted.score):
        with pytest.raises(FeatureMismatch, match="must be in the same order"):
            use(make(columns[["age", "weight", "height"]]))
    with pytest.raises(FeatureMismatch, match="unseen at fit time"):
        fitted.predict(make(columns.rename(columns={"age": "years"})))


# -- what holds none ----------------------------------------------------------------------


class AnnData:
    """An annotated matrix, as far as it is asked: NumPy would walk it."""

    def __init__(self) -> None:
        self.X = NUMBERS

    obs = property(lambda self: None)
    var = property(lambda self: None)

    def __len__(self) -> int:
        return 10**6

    def __getitem__(self, index: Any) -> AnnData:
        raise AssertionError("it is walked")


class Walkable:
    def __len__(self) -> int:
        return 10**6

    def __getitem__(self, index: Any) -> Any:
        raise AssertionError("it is walked")


class Lazy:
    def compute(self) -> Any: ...


class Unreadable:
    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise RuntimeError("Can't call numpy() on a tensor that requires grad")


class Image:
    """What Pillow offers."""

    def __init__(self) -> None:
        self.__array_interface__ = np.zeros((4, 5, 3)).__array_interface__


def archive() -> Any:
    """An open archive of arrays."""
    file = io.BytesIO()
    np.savez(file, X=NUMBERS)
    file.seek(0)
    return np.load(file)


def views(texts: pa.Array) -> pa.Table:
    """Categories whose texts are views, as polars has them."""
    codes = pa.array(range(len(texts)), pa.uint32())
    return pa.table({"c": pa.DictionaryArray.from_arrays(codes, texts)})


class Hostile:
    def __repr__(self) -> str:
        raise RuntimeError("no")

    def __float__(self) -> float:
        raise RuntimeError("no")


DATES = pd.date_range("2020-01-01", periods=3)
NONE = {
    "None": (None, InputError, "X is None"),
    "text": ("movies.csv", NotNumeric, "read a file first"),
    "path": (pathlib.Path("movies.csv"), NotNumeric, "read a file first"),
    "bytes": (b"1,2", NotNumeric, "read a file first"),
    "file": (io.StringIO("1,2"), InputError, "open file is read first"),
    "number": (5, InputError, r"\[\[x\]\] is one row"),
    "class": (pd.DataFrame, InputError, "the class DataFrame.*not its class"),
    "estimator": (KMeans(), InputError, "an estimator is fitted to rows"),
    "annotated": (AnnData(), InputError, "pass adata.X"),
    "list of annotated": ([AnnData()], InputError, "a list with an object .*AnnData at 0"),
    "unknown": (Walkable(), InputError, "pass a NumPy array"),
    "list of unknown": ([[1], [Walkable()]], InputError, "a list with an object .*Walkable at 0"),
    "lazy": (Lazy(), InputError, r"X.compute\(\)"),
    "unreadable": (Unreadable(), InputError, "requires grad"),
    "dictionary": ({"a": [1]}, InputError, r"pandas.DataFrame\(X\)"),
    "dictionaries": ([{"a": 1}], InputError, r"pandas.DataFrame\(X\)"),
    "archive": (archive(), InputError, r"one of the arrays in it, as X\[name\]"),
    "Pillow's image": (Image(), InputError, r"numpy.asarray\(X\)"),
    "set": ({1, 2}, InputError, r"list\(X\)"),
    "generator": ((i for i in range(3)), InputError, r"list\(X\)"),
    "function": (len, InputError, "not rows of numbers"),
    "0-d": (np.array(1.0), InputError, r"X.reshape\(1, 1\)"),
    "1-d": (np.arange(3), InputError, r"X.reshape\(-1, 1\)"),
    "array.array": (array.array("d", [1, 2]), InputError, r"X.reshape\(-1, 1\)"),
    "image": (np.zeros((4, 5, 3)), InputError, r"X.reshape\(-1, 3\) makes each pixel"),
    "image with alpha": (np.zeros((4, 5, 4)), InputError, r"X.reshape\(-1, 4\) makes each pixel"),
    "3-d": (np.zeros((4, 5, 6)), InputError, r"X.reshape\(len\(X\), -1\)"),
    "ragged": ([[1, 2], [3]], InputError, "same number of features"),
    "series": (pd.Series([1, 2]), InputError, r"X.to_frame\(\)"),
    "Arrow array": (pa.array([1, 2]), InputError, "pyarrow.table"),
    "Arrow chunks": (pa.chunked_array([[1.0]]), InputError, "pyarrow.table"),
    "records": (np.zeros(3, [("a", float)]), NotNumeric, "structured_to_unstructured"),
    "rows of records": (np.zeros((3, 1), [("a", float)]), NotNumeric, "structured_to_unstruct"),
    "sparse rows": ([sparse.csr_matrix([[1.0]])], InputError, "scipy.sparse.vstack"),
    "sparse object": (np.array([sparse.csr_matrix([[1.0]])]), InputError, "scipy.sparse.vstack"),
    "1-d sparse": (sparse.coo_array([1.0, 2.0]), InputError, "2 dimensions"),
    "empty": (pd.DataFrame(), InputError, "0 sample"),
    "no rows": (pa.table({"a": pa.array([], pa.int64())}), InputError, "0 sample"),
    "no features": (np.zeros((3, 0)), InputError, "0 feature"),
    "complex": ([[1j]], InputError, "Complex data not supported"),
    "complex objects": (np.array([[1, 1j]], object), InputError, "Complex data not supported"),
    # Cells, which are named.
    "text cell": ([[1, "b"]], NotNumeric, "not text: 'b' stands at row 0, column 1"),
    "text column": (
        pd.DataFrame({"age": [1, 2], "income": ["10", "20"]}),
        NotNumeric,
        "not text: '10' stands at row 0, column 'income'",
    ),
    "Arrow text": (pa.table({"a": [1], "b": ["x"]}), NotNumeric, "'x' stands at row 0, column 'b'"),
    "StringDType": (np.array([["a"]], np.dtypes.StringDType()), NotNumeric, "not text: 'a'"),
    "text categories": (pd.DataFrame({"c": pd.Categorical(["a"])}), NotNumeric, "column 'c'"),
    "views": (views(pa.array(["a"], pa.string_view())), NotNumeric, "'a' stands .* column 'c'"),
    "list categories": (views(pa.array([[1]])), NotNumeric, "not lists: .* column 'c'"),
    "dates": (pd.DataFrame({"d": DATES}), NotNumeric, "not dates .* column 'd'"),
    "zoned dates": (pd.DataFrame({"d": DATES.tz_localize("UTC")}), NotNumeric, "not dates"),
    "date objects": ([[datetime.date(2020, 1, 1)]], NotNumeric, "not dates"),
    "durations": (np.array([[1]], "m8[s]"), NotNumeric, "not dates or durations"),
    "periods": (pd.DataFrame({"p": DATES.to_period("D")}), NotNumeric, "not dates .*'p'"),
    "Arrow dates": (pa.table({"d": pa.array([1], pa.date32())}), NotNumeric, "not dates.*'d'"),
    "Arrow times": (pa.table({"d": pa.array([1], pa.time32("s"))}), NotNumeric, "not dates.*'d'"),
    "lists": (pd.DataFrame({"l": [[1], [2]]}), NotNumeric, r"not lists: \[1\] stands .*'l'"),
    "Arrow lists": (pa.table({"l": [[1], [2]]}), NotNumeric, r"not lists: \[1\] stands .*'l'"),
    "Arrow structs": (pa.table({"s": [{"a": 1}]}), NotNumeric, "not objects .*column 's'"),
    "Arrow bytes": (pa.table({"b": [b"1"]}), NotNumeric, "not text.*column 'b'"),
    "objects": (np.array([[1.0, {}]], object), NotNumeric, "not objects .dict.*row 0, column 1"),
    "hostile objects": (np.array([[Hostile()]], object), NotNumeric, "Hostile.*row 0, column 0"),
    "huge": ([[1], [10**400]], OutOfRange, "row 1, column 0"),
    "missing": (
        pd.DataFrame({"age": pd.array([1, None], "Int64"), "b": [1.0, 2.0]}),
        NonFinite,
        "missing value .<NA>. at row 1, column 'age'",
    ),
    "missing object": (np.array([[1.0], [None]], object), NonFinite, "None. at row 1, column 0"),
    "masked": (np.ma.masked_equal([[1, 2], [3, 4]], 3), NonFinite, "masked. at row 1, column 0"),
    "Arrow null": (pa.table({"a": [1, None]}), NonFinite, "null. at row 1, column 'a'"),
    "Arrow nulls": (pa.table({"a": pa.nulls(2)}), NonFinite, "null. at row 0, column 'a'"),
    "NaN": (pd.DataFrame({"a": [1, 2], "b": [1, np.nan]}), NonFinite, "NaN at row 1, column 'b'"),
    "NaN, sparse": (
        frame().replace({"b": {3.0: np.nan}}).astype(pd.SparseDtype(float, 0)),
        NonFinite,
        "NaN at row 1, column 'b'",
    ),
    "sparse around NaN": (
        pd.DataFrame({"a": pd.arrays.SparseArray([1.0, np.nan])}),
        NonFinite,
        "missing value .* at row 1, column 'a'",
    ),
    "sparse around 1": (
        pd.DataFrame({"a": pd.arrays.SparseArray([2.0, 1.0], fill_value=1.0)}),
        InputError,
        "sparse around 0, and the value 1.0 at row 1, column 'a'",
    ),
}


@pytest.mark.parametrize("name", NONE)
def test_what_holds_no_rows_of_numbers_is_refused_in_words(name: str) -> None:
    container, error, said = NONE[name]
    before = time.process_time()
    with pytest.raises(error, match=said):
        kmeans(1).fit(container)
    assert time.process_time() - before < 10
    if isinstance(container, np.ndarray | sparse.sparray | pd.DataFrame) and 0 in container.shape:
        return
    fitted = kmeans(1).fit(NUMBERS)
    for use in (fitted.predict, fitted.transform, fitted.score):
        if name not in ("generator",):
            with pytest.raises(error):
                use(container)
    if name not in ("None", "number"):
        with pytest.raises(InvalidParam, match=r"(?i)sample.weight"):
            kmeans(1).fit(NUMBERS, sample_weight=container)


# -- anything -----------------------------------------------------------------------------

CELLS = st.one_of(
    st.integers(),
    st.floats(),
    st.booleans(),
    st.none(),
    st.just(pd.NA),
    st.just(pd.NaT),
    st.text(max_size=3),
    st.binary(max_size=3),
    st.dates(),
    st.times(),
    st.timedeltas(),
    st.complex_numbers(),
    st.decimals(),
    st.fractions(),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=1), st.integers(), max_size=1),
    st.builds(Hostile),
    st.builds(Walkable),
    st.builds(Unreadable),
)
ARROW_TYPES = [
    *(pa.int8(), pa.uint64(), pa.float16(), pa.float32(), pa.bool_(), pa.null(), pa.string()),
    *(pa.large_binary(), pa.date32(), pa.date64(), pa.timestamp("ns", "UTC"), pa.time64("us")),
    *(pa.duration("ms"), pa.decimal128(30, 10), pa.decimal256(60, 20), pa.list_(pa.float32())),
    *(pa.list_(pa.int8(), 2), pa.struct([("a", pa.int8())]), pa.map_(pa.string(), pa.int8())),
    *(pa.dictionary(pa.int8(), pa.string()), pa.dictionary(pa.int8(), pa.float64())),
    *(pa.month_day_nano_interval(), pa.string_view(), pa.uuid(), pa.bool8()),
    pa.run_end_encoded(pa.int32(), pa.int8()),
]


@st.composite
def arrow_tables(draw: st.DrawFn) -> Any:
    """Tables of any types, with nothing, zeros and nulls in them."""
    columns = {}
    n = draw(st.integers(0, 3))
    for at, kind in enumerate(draw(st.lists(st.sampled_from(ARROW_TYPES), max_size=3))):
        content = draw(st.sampled_from(["null", "default"]))
        column = pa.nulls(n, kind)
        if content == "default" and (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
            column = pa.array(np.arange(n), kind)
        elif content == "default" and n:
            try:
                column = pa.scalar(draw(CELLS), kind)
                column = pa.array([column.as_py()] * n, kind)
            except Exception:
                column = pa.nulls(n, kind)
        columns[f"c{at}"] = column
    return draw(st.sampled_from([pa.table, pa.record_batch]))(columns)


FRAME_DTYPES = [
    *("int8", "uint64", "float16", "float64", "bool", "complex64", "object", "category", "str"),
    *("Int8", "Float32", "boolean", "string", "datetime64[ns]", "timedelta64[s]", "Sparse[float]"),
    *("Sparse[int]", "int64[pyarrow]", "string[pyarrow]", "period[D]", "datetime64[ns, UTC]"),
]


@st.composite
def frames(draw: st.DrawFn) -> Any:
    n = draw(st.integers(0, 3))
    columns = {}
    for at, dtype in enumerate(draw(st.lists(st.sampled_from(FRAME_DTYPES), max_size=3))):
        cells = draw(st.lists(CELLS, min_size=n, max_size=n))
        try:
            columns[draw(st.sampled_from([at, str(at), (at, "x"), None]))] = pd.array(cells, dtype)
        except Exception:
            columns[at] = pd.Series([0] * n, dtype=object)
    return pd.DataFrame(columns)


ANYTHING = st.one_of(
    CELLS,
    st.lists(CELLS, max_size=3),
    st.lists(st.lists(CELLS, max_size=3), max_size=3),
    st.lists(st.lists(CELLS, min_size=2, max_size=2), min_size=1, max_size=3),
    arrays.arrays(arrays.array_dtypes() | arrays.scalar_dtypes(), arrays.array_shapes(min_side=0)),
    arrays.arrays(arrays.scalar_dtypes(), st.tuples(st.integers(1, 3), st.integers(1, 3))),
    arrays.arrays(object, st.tuples(st.integers(1, 3), st.integers(1, 3)), elements=CELLS),
    arrow_tables(),
    frames(),
)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(container=ANYTHING)
def test_only_errors_of_this_package_leave_the_estimator(container: Any) -> None:
    fitted = FITTED
    uses = [
        kmeans(1).fit,
        fitted.predict,
        fitted.transform,
        fitted.score,
        lambda weight: kmeans(1).fit(NUMBERS, sample_weight=weight),
        lambda start: KMeans(2, init=start, backend="cpu").fit(NUMBERS),
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for use in uses:
            try:
                use(container)
            except GpuKMeansError as error:
                assert str(error)


FITTED = kmeans().fit(NUMBERS[:, :2])


@settings(max_examples=80, deadline=None)
@given(
    name=st.sampled_from(sorted(KMeans().get_params())),
    value=st.one_of(CELLS, st.just(np.arange(3)), st.just(frame()), st.just(10**400)),
)
def test_only_errors_of_this_package_leave_its_parameters(name: str, value: Any) -> None:
    if name == "n_init" and isinstance(value, int) and value > 10:
        return  # as many starts as are asked for
    try:
        KMeans(**{"n_clusters": 2, "backend": "cpu", name: value}).fit(NUMBERS)
    except GpuKMeansError as error:
        assert name in str(error) or "n_clusters" in str(error) or "centers" in str(error)


# -- what crosses into C --------------------------------------------------------------------


def csr(indptr: Any = (0, 1, 2), indices: Any = (0, 1), data: Any = (1.0, 2.0)) -> Any:
    """CSR of shape (2, 2) of any arrays, as can be made by changing them by hand."""
    out = sparse.csr_array(np.eye(2))
    out.indptr = np.asarray(indptr)
    out.indices = np.asarray(indices)
    out.data = np.asarray(data)
    return out


MALFORMED = {
    "index too large": (csr(indices=[0, 2]), r"index 2 in row 1 is not in \[0, 2\)"),
    "index far too large": (csr(indices=[2**31 - 1, 0]), "index 2147483647 in row 0"),
    "index beyond 32 bits": (csr(indices=[2**40, 0]), "in row 0 is not in"),
    "negative index": (csr(indices=[0, -1]), "index -1 in row 1"),
    "indptr that decreases": (csr(indptr=[0, 2, 1]), "indptr decreases at row 1"),
    "indptr too short": (csr(indptr=[0, 2]), "indptr has 2 entries for 2 rows, not 3"),
    "indptr too long": (csr(indptr=[0, 1, 2, 2]), "indptr has 4 entries"),
    "indptr beyond the values": (csr(indptr=[0, 1, 9]), "indptr ends at 9"),
    "indptr that begins late": (csr(indptr=[1, 1, 2]), "indptr begins at 1"),
    "negative indptr": (csr(indptr=[0, -5, 2]), "decreases"),
    "too few values": (csr(data=[1.0]), "1 values"),
    "indices of floats": (csr(indices=[0.0, 1.0]), "indices is no 1-d array of integers"),
    "no array": (csr(indptr=5), "indptr is no 1-d array"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_csr_is_refused(name: str) -> None:
    rows, said = MALFORMED[name]
    fitted = kmeans().fit(np.eye(2))
    uses = (
        kmeans().fit,
        fitted.predict,
        fitted.transform,
        fitted.score,
        CpuBackend().matrix,
        lambda rows: KMeans(2, init=rows, backend="cpu").fit(np.eye(2)),
    )
    for use in uses:
        rows.has_sorted_indices = rows.has_canonical_format = True  # which is not believed
        with pytest.raises(InputError, match=said):
            use(rows)


@pytest.mark.parametrize("form", ["csc", "bsr", "coo", "dia", "lil"])
def test_malformed_rows_of_other_formats_are_refused(form: str) -> None:
    rows = sparse.csr_array(NUMBERS).asformat(form)
    if form in ("csc", "bsr"):
        rows.indices = rows.indices + 1000
    elif form == "coo":
        rows.coords = (rows.coords[0] + 1000, rows.coords[1])
    elif form == "dia":
        rows.offsets = np.arange(100)
    else:
        rows.rows[0] = [5000, 6000]
    with pytest.raises(InputError, match="sparse rows are malformed"):
        kmeans().fit(rows)


@settings(max_examples=150, deadline=None)
@given(
    indptr=st.lists(st.integers(-2, 8), min_size=3, max_size=5),
    indices=st.lists(st.integers(-2, 6), max_size=6),
    dtype=st.sampled_from([np.int32, np.int64]),
)
def test_csr_of_any_indices_is_refused_or_read_rightly(
    indptr: list[int], indices: list[int], dtype: Any
) -> None:
    rows = sparse.csr_array((len(indptr) - 1, 4))
    rows.indptr, rows.indices = np.array(indptr, dtype), np.array(indices, dtype)
    rows.data = np.arange(1.0, len(indices) + 1)
    fits = (indptr[0] == 0 and indptr == sorted(indptr) and indptr[-1] <= len(indices)) and all(
        0 <= index < 4 for index in indices[: indptr[-1]]
    )
    if not fits:
        with pytest.raises(InputError, match="malformed"):
            check_rows(rows)
        return
    expected = np.zeros(rows.shape)
    for row, (first, last) in enumerate(itertools.pairwise(indptr)):
        for at in range(first, last):
            expected[row, indices[at]] += at + 1
    np.testing.assert_array_equal(check_rows(rows).toarray(), expected)


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
def test_centers_that_were_changed_are_refused(kind: Any) -> None:
    rows = kind(values(60, 6, 0))
    fitted = kmeans(5).fit(rows)
    right, labels = fitted.cluster_centers_, fitted.labels_.tolist()
    changed = [
        right[:, :3],
        right[:3],
        right[0],
        right.T,
        np.vstack([right, right]),
        right.astype(np.float16),
        right.astype(int),
        right.astype(object),
        right.tolist(),
        None,
        np.where(right == right.max(), np.nan, right),
        np.where(right == right.max(), np.inf, right),
    ]
    for centers in changed:
        fitted.cluster_centers_ = centers
        for use in (fitted.predict, fitted.transform, fitted.score):
            with pytest.raises(InvalidParam, match=r"cluster_centers_ .*fit again"):
                use(rows)
    for centers in (
        np.asfortranarray(right),
        np.repeat(right, 2, axis=0)[::2],
        right[:, ::-1][:, ::-1],
    ):
        fitted.cluster_centers_ = centers
        assert fitted.predict(rows).tolist() == labels


def verbs(kind: Any) -> tuple[CpuBackend, Any, Any, np.ndarray]:
    backend = CpuBackend()
    rows = backend.matrix(kind(values(20, 6, 0)))
    labels = (np.arange(20) % 3).astype(np.int32)
    return backend, rows, backend.cluster_sums(rows, labels, 3), labels


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize(
    "wrong", [[3] * 20, [-1] * 20, [2**32] * 20, [0] * 19, [0.0] * 20, [[0] * 20]], ids=str
)
def test_labels_outside_their_range_are_refused(kind: Any, wrong: Any) -> None:
    backend, rows, clusters, labels = verbs(kind)
    wrong, norms = np.array(wrong), backend.squared_norms(rows)
    which = np.arange(20)
    for use in (
        lambda: backend.cluster_sums(rows, wrong, 3),
        lambda: backend.assign(rows, clusters, wrong, None, norms),
        lambda: backend.distances(rows, np.zeros((3, 6)), wrong),
        lambda: backend.move(clusters, rows, which, wrong, labels),
        lambda: backend.move(clusters, rows, which, labels, wrong),
    ):
        with pytest.raises(InvalidParam, match="labels must be"):
            use()


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
def test_arguments_of_verbs_that_do_not_fit_each_other_are_refused(kind: Any) -> None:
    backend, rows, clusters, labels = verbs(kind)
    other = backend.matrix(kind(values(20, 9, 0)))
    one, norms = np.zeros(1, np.int32), backend.squared_norms(rows)
    short = np.ones(19)
    for use in (
        lambda: backend.assign(other, clusters),
        lambda: backend.assign(rows, clusters, labels, None, short),
        lambda: backend.assign(rows, clusters, labels, short, norms),
        lambda: backend.assign(rows, clusters, which=np.array([20])),
        lambda: backend.assign(rows, clusters, which=np.array([-1])),
        lambda: backend.cluster_sums(rows, labels, 3, short),
        lambda: backend.distances(other, np.zeros((3, 6)), labels),
        lambda: backend.move(clusters, other, one, one, one),
        lambda: backend.move(clusters, rows, np.array([20]), one, one),
        lambda: backend.move(clusters, rows, one, one, one, short),
        lambda: backend.project(rows, np.zeros((9, 2))),
        lambda: backend.matrix(kind(np.ones((2, 2), int))),
        lambda: backend.centroid_shift(clusters, backend.cluster_sums(other, labels, 3)),
    ):
        with pytest.raises(InputError):
            use()


def test_weights_of_words_fit_their_counts() -> None:
    backend = CpuBackend()
    counts = sparse.csr_matrix(np.array([[1, 2, 0], [0, 1, 1]], np.int32))
    for idf in (np.ones(2), np.ones(4), np.ones((3, 1))):
        with pytest.raises(InvalidParam):
            backend.tfidf_transform(counts, idf, Weighting())


def test_rows_that_are_checked_are_not_checked_again() -> None:
    """Nor copied: what the backend made of rows it knows again, and slices of it, too."""
    backend = CpuBackend()
    given = sparse.csr_array(values(50, 6, 0))
    rows = backend.matrix(given)
    assert backend.matrix(rows) is rows
    part = rows[5:9]
    assert backend.matrix(part) is part
    assert np.shares_memory(rows.data, given.data)
    assert np.shares_memory(check_named_rows(given)[0].data, given.data)
