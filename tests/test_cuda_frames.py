"""Who reads what on the GPU: cuDF or the host. With a stand-in for cuDF, for control flow alone."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import gpu_kmeans
from gpu_kmeans import errors

SOURCE = Path(gpu_kmeans.__file__).parent / "cuda" / "frames.py"
CSV = b'id,title\n1,A\n2,"B ""b"""\n'


class Frame:
    """What the stand-in gives out: names, a count of rows, and where it came from."""

    def __init__(self, names, rows, source, nulls=0):
        self.names, self.rows, self.source, self.nulls = list(names), rows, source, nulls

    def __iter__(self):
        return iter(self.names)

    def __len__(self):
        return self.rows

    def __getitem__(self, name):
        if isinstance(name, list):
            return Frame(name, self.rows, self.source, self.nulls)
        return SimpleNamespace(null_count=self.nulls)

    def reset_index(self, drop):
        assert drop
        return self


@pytest.fixture
def gpu(monkeypatch):
    """The module over a stand-in: ``calls`` lists what it was asked, the rest decides its answers.

    ``rows``, ``nulls``: what is wrong with what ``read_csv`` read; ``loses``: a column that
    ``read_parquet`` does; ``fails``: what either raises; ``refuses``: what ``from_arrow`` does.
    """
    cudf = ModuleType("cudf")
    stand = SimpleNamespace(calls=[], rows=0, nulls=0, loses=None, fails=None, refuses=None)

    def called(name, options):
        stand.calls.append((name, options))
        if stand.fails is not None:
            raise stand.fails

    def read_csv(source, **options):
        content = source.getvalue()
        called("read_csv", {"content": content, **options})
        rows = content.count(b"\n") + stand.rows
        return Frame(sorted(options["usecols"]), rows, "cuDF", stand.nulls)

    def read_parquet(source, **options):
        content = source.getvalue()
        called("read_parquet", options)
        table = pq.read_table(pa.BufferReader(content))
        return Frame(sorted({*options["columns"]} - {stand.loses}), table.num_rows, "cuDF")

    def from_arrow(table):
        stand.table = table
        if stand.refuses is not None:
            raise stand.refuses
        return Frame(table.column_names, table.num_rows, "host")

    def concat(parts, ignore_index):
        assert ignore_index
        return Frame(parts[0].names, sum(map(len, parts)), "cuDF")

    cudf.read_csv, cudf.read_parquet, cudf.concat = read_csv, read_parquet, concat
    cudf.DataFrame = SimpleNamespace(from_arrow=from_arrow)
    monkeypatch.setitem(sys.modules, "cudf", cudf)
    monkeypatch.setitem(sys.modules, "cupy", np)  # what the check needs, NumPy has too
    # Under a name of its own, so that no other test meets it.
    spec = spec_from_file_location("frames_over_a_stand_in", SOURCE)
    stand.module = module_from_spec(spec)
    spec.loader.exec_module(stand.module)
    return stand


def written(folder: Path, content: bytes, name: str = "films.csv") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def test_a_csv_of_another_encoding_comes_to_cudf_as_utf8(gpu, tmp_path):
    content = "id,title\n1,Amélie\n".encode("utf-16")
    frame = gpu.module.read_table(written(tmp_path, content), ["title"], [], "utf-16")
    assert (frame.names, len(frame), frame.source) == (["title"], 1, "cuDF")
    [(_, options)] = gpu.calls
    assert options["content"] == "1,Amélie\n".encode()


def test_columns_that_nobody_wants_need_no_name_for_cudf(gpu, tmp_path):
    content = b",title,x,x,0\n0,A,1,2,3\n"
    gpu.module.read_table(written(tmp_path, content), ["title", "0"], ["x"])
    [(_, options)] = gpu.calls
    assert len(set(options["names"])) == 5
    assert (options["names"][1], options["names"][4]) == ("title", "0")
    assert options["usecols"] == ["title", "0"]


def test_a_regular_csv_is_read_by_cudf_as_text_and_nothing_else(gpu, tmp_path):
    frame = gpu.module.read_table(written(tmp_path, CSV), ["title"], ["id", "date"])
    assert (frame.names, len(frame), frame.source) == (["title", "id"], 2, "cuDF")
    [(name, options)] = gpu.calls
    assert name == "read_csv"
    assert options == {
        "content": b'1,A\n2,"B ""b"""\n',
        "header": None,
        "names": ["id", "title"],
        "usecols": ["title", "id"],
        "dtype": str,
        "na_filter": False,
        "compression": None,
        "sep": ",",
    }


def test_a_large_csv_is_read_in_blocks_of_whole_rows(gpu, tmp_path, monkeypatch):
    monkeypatch.setattr(gpu.module, "BLOCK_BYTES", 100)
    rows = b"".join(b'%d,"x"\n' % n for n in range(100))
    path = written(tmp_path, b"id,title\n" + rows)
    assert len(gpu.module.read_table(path, ["id"], [])) == 100
    contents = [options["content"] for _, options in gpu.calls]
    assert b"".join(contents) == rows
    assert len(contents) > 5
    assert all(content.endswith(b"\n") and len(content) <= 200 for content in contents)


def test_a_last_row_without_a_line_feed_is_given_one(gpu, tmp_path):
    gpu.module.read_table(written(tmp_path, b"id,title\n1,"), ["title"], [])
    assert gpu.calls[0][1]["content"] == b"1,\n"


@pytest.mark.parametrize(
    "flaw",
    [{"rows": -1}, {"rows": 1}, {"nulls": 1}, {"fails": RuntimeError("libcudf")}],
    ids=["a row less", "a row more", "a null", "an exception"],
)
def test_where_cudf_read_something_else_the_strict_reader_decides(gpu, tmp_path, flaw):
    vars(gpu).update(flaw)
    frame = gpu.module.read_table(written(tmp_path, CSV), ["id", "title"], [])
    assert (len(gpu.calls), frame.source, len(frame)) == (1, "host", 2)


@pytest.mark.parametrize(
    "rows",
    [b'1,"a\n""b"""\n', b"1,a\n\n", b'1,a "b"\n'],
    ids=["quotes after a line feed", "blank line at the end", "quotes inside a cell"],
)
def test_what_cudf_might_read_otherwise_it_is_not_given(gpu, tmp_path, rows):
    frame = gpu.module.read_table(written(tmp_path, b"id,title\n" + rows), ["title"], [])
    assert (gpu.calls, frame.source, len(frame)) == ([], "host", 1)


def test_a_malformed_csv_is_refused_before_cudf_sees_it(gpu, tmp_path):
    with pytest.raises(errors.CsvMalformed, match=r"films\.csv, row 3 has 1 cells"):
        gpu.module.read_table(written(tmp_path, b"id,title\n1,A\n2\n"), ["id"], [])
    assert gpu.calls == []


def test_no_room_on_the_device_is_an_error_of_its_own(gpu, tmp_path):
    gpu.fails = MemoryError("std::bad_alloc")
    with pytest.raises(errors.OutOfDeviceMemory, match=r"films\.csv: .*backend='cpu'") as caught:
        gpu.module.read_table(written(tmp_path, CSV), ["id"], [])
    assert str(tmp_path) not in str(caught.value)


# -- Parquet ------------------------------------------------------------------------------------


def parquet(folder: Path, **columns) -> Path:
    path = folder / "films.parquet"
    pq.write_table(pa.table(columns), path)
    return path


def test_parquet_of_texts_and_numbers_is_read_by_cudf(gpu, tmp_path):
    names = pa.array([["x"], None], pa.large_list(pa.large_string()))
    kinds = pa.array(["a", "b"]).dictionary_encode()
    path = parquet(tmp_path, id=[1, 2], names=names, kind=kinds, made=pa.array([0, 1], pa.date32()))
    frame = gpu.module.read_table(path, ["names", "id"], ["kind", "absent"])
    assert (frame.source, frame.names, len(frame)) == ("cuDF", ["names", "id", "kind"], 2)
    options = {"columns": ["names", "id", "kind"], "use_pandas_metadata": False}
    assert gpu.calls == [("read_parquet", options)]


def test_parquet_of_other_types_is_read_on_the_host(gpu, tmp_path):
    path = parquet(tmp_path, id=[1], made=pa.array([0], pa.date32()))
    frame = gpu.module.read_table(path, ["id", "made"], [])
    assert (gpu.calls, frame.source, frame.names) == ([], "host", ["id", "made"])
    gpu.refuses = TypeError("Unsupported type: date32")
    with pytest.raises(errors.UnsupportedOnBackend, match=r"'made' date32.*backend='cpu'"):
        gpu.module.read_table(path, ["id", "made"], [])


@pytest.mark.parametrize("error", [RuntimeError("libcudf"), KeyError("columns")])
def test_parquet_that_cudf_cannot_read_arrow_reads_or_refuses(gpu, tmp_path, error):
    gpu.fails = error
    path = parquet(tmp_path, id=list(range(1000)))
    assert gpu.module.read_table(path, ["id"], []).source == "host"
    content = bytearray(path.read_bytes())
    content[4:400] = b"\xff" * 396
    path.write_bytes(content)
    with pytest.raises(errors.FileProblem, match="not a whole Parquet file"):
        gpu.module.read_table(path, ["id"], [])


def test_parquet_whose_columns_became_an_index_is_read_on_the_host(gpu, tmp_path):
    path = tmp_path / "films.parquet"
    pd.DataFrame({"id": [1], "title": ["A"]}).set_index("id").to_parquet(path)
    gpu.loses = "id"
    frame = gpu.module.read_table(path, ["id", "title"], [])
    assert (frame.source, frame.names) == ("host", ["id", "title"])


def test_parquet_headers_are_checked_before_cudf_sees_them(gpu, tmp_path):
    with pytest.raises(errors.MissingColumn, match="no column 'title'"):
        gpu.module.read_table(parquet(tmp_path, id=[1]), ["title"], [])
    assert gpu.calls == []
    with pytest.raises(errors.EmptyDataset, match="no rows"):
        gpu.module.read_table(parquet(tmp_path, id=pa.array([], pa.int64())), ["id"], [])


# -- joins --------------------------------------------------------------------------------------


class Shuffled(pd.DataFrame):
    """pandas, but for what cuDF does not promise: the order of a merge."""

    @property
    def _constructor(self):
        return Shuffled

    def merge(self, *args, **kwargs):
        return super().merge(*args, **kwargs).sample(frac=1, random_state=0)


def test_a_join_restores_the_order_of_the_left_table(gpu):
    left = Shuffled({"id": list("badcfe"), "place": range(6)})
    right = Shuffled({"id": list("xfedcb"), "found": range(6)})
    joined, counts = gpu.module.join(left, right, "id")
    assert list(joined.columns) == ["id", "place", "found"]
    assert joined["id"].tolist() == list("badcfe")
    assert joined["place"].tolist() == list(range(6))
    assert (counts.matched, counts.left_only, counts.right_only) == (5, 1, 1)


def test_a_join_with_another_shared_column_is_refused(gpu):
    both = Shuffled({"id": ["1"], "a": [1]})
    with pytest.raises(errors.InvalidParam, match="'a'"):
        gpu.module.join(both, both, "id")


def test_chunks_with_dictionaries_of_their_own_keep_their_texts_on_the_way_to_cudf(gpu, tmp_path):
    """cuDF takes the codes as they stand in each chunk; wide lists it does not know."""
    kind = pa.dictionary(pa.int32(), pa.string())
    schema = pa.schema(
        [("genre", kind), ("day", pa.date32()), ("names", pa.large_list(pa.large_string()))]
    )
    parts = [
        {"genre": ["Drama", "War"], "day": [1, 2], "names": [["a"], []]},
        {"genre": ["War", "Comedy"], "day": [3, 4], "names": [["b", "c"], None]},
    ]
    with pq.ParquetWriter(tmp_path / "films.parquet", schema) as writer:
        for part in parts:
            genre = pa.array(part["genre"]).dictionary_encode()
            columns = [genre, pa.array(part["day"], pa.int32()).cast(pa.date32())]
            names = pa.array(part["names"], pa.large_list(pa.large_string()))
            writer.write_table(pa.Table.from_arrays([*columns, names], schema=schema))
    frame = gpu.module.read_table(tmp_path / "films.parquet", ["genre", "day", "names"], [])
    assert frame.source == "host", "a date takes the whole file there"
    assert gpu.table["genre"].to_pylist() == ["Drama", "War", "War", "Comedy"]
    assert gpu.table["names"].to_pylist() == [["a"], [], ["b", "c"], None]
    assert not any(
        pa.types.is_dictionary(t) or pa.types.is_large_list(t) for t in gpu.table.schema.types
    )
