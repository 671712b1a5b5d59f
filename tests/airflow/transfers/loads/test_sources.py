"""A load's input: whichever files it is in, every row has its place, and what is wrong with a file is said."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from airflow.sdk import ObjectStoragePath
from airflow.sdk.io import attach
from fsspec.implementations.memory import MemoryFileSystem

from airflow_provider_dynamics.formats import FormatError
from airflow_provider_dynamics.transfers.loads.sources import MemorySource, apart, open_source
from tests.airflow.transfers.files import write_csv, write_ndjson, write_parquet
from tests.airflow.transfers.loads.tables import why


def read(source, size=500):
    return [(row.number, dict(row.raw)) for batch in source.batches(size) for row in batch]


def opened(path, *arguments, **how):
    return open_source(str(path), *arguments, **{"table": "account", **how})


def people(*names):
    return [{"name": name} for name in names]


@pytest.mark.parametrize("write", [write_csv, write_parquet, write_ndjson], ids=["csv", "parquet", "ndjson"])
def test_rows_are_numbered_from_one_and_can_be_read_again(tmp_path, write):
    path = write(tmp_path / f"in.{write.__name__.removeprefix('write_')}", people("a", "b", "c"))
    source = opened(path)

    assert source.columns == ("name",)
    assert source.label == str(path)
    assert read(source) == read(source, 2) == [(1, {"name": "a"}), (2, {"name": "b"}), (3, {"name": "c"})]
    assert {row.file for batch in source.batches() for row in batch} == {str(path)}


def test_batches_are_as_large_as_they_are_asked_for(tmp_path):
    path = write_parquet(tmp_path / "in.parquet", people(*map(str, range(12_001))))

    sizes = [len(batch) for batch in opened(path).batches(500)]
    assert sizes[:-1] == [500] * 24
    assert sizes[-1] == 1


def folder(tmp_path):
    write_csv(tmp_path / "part-2.csv", [{"name": "c", "city": "Brno"}])
    write_parquet(tmp_path / "part-1.parquet", people("a", "b"))
    (tmp_path / "sub").mkdir()
    write_ndjson(tmp_path / "sub" / "part-0.ndjson", [{"name": "d", "phone": "1"}])
    (tmp_path / "_SUCCESS").write_text("")
    (tmp_path / ".part-9.csv.x.part").write_text("name\nunfinished\n")
    (tmp_path / "_log").mkdir()
    write_csv(tmp_path / "_log" / "more.csv", people("z"))
    (tmp_path / "README.txt").write_text("not rows")
    return tmp_path


def test_the_files_of_a_folder_are_read_in_the_order_of_their_names(tmp_path):
    source = opened(folder(tmp_path))

    assert [row["name"] for _, row in read(source)] == ["a", "b", "c", "d"]
    assert [number for number, _ in read(source)] == [1, 2, 3, 4]
    assert source.columns == ("name", "city", "phone")
    assert [row.file for batch in source.batches() for row in batch] == [
        str(tmp_path / "part-1.parquet"),
        str(tmp_path / "part-1.parquet"),
        str(tmp_path / "part-2.csv"),
        str(tmp_path / "sub" / "part-0.ndjson"),
    ]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [("*.csv", ["c"]), ("**/*.ndjson", ["d"]), ("part-[12].*", ["a", "b", "c"])],
    ids=repr,
)
def test_a_pattern_reads_the_files_it_fits(tmp_path, pattern, names):
    source = opened(folder(tmp_path) / pattern)

    assert [row["name"] for _, row in read(source)] == names


def test_a_folder_may_be_named_in_a_roundabout_way(tmp_path, monkeypatch):
    monkeypatch.chdir(folder(tmp_path).parent)

    for path in (f"./{tmp_path.name}/", f"{tmp_path.name}/sub/.."):
        assert [row["name"] for _, row in read(open_source(path, table="account"))] == ["a", "b", "c", "d"]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path):
    path = write_csv(tmp_path / "in[1].csv", people("a"))

    assert [row["name"] for _, row in read(opened(path))] == ["a"]


def test_a_format_that_is_given_holds_for_all_files(tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("b.txt", "a.dat"):
        write_csv(tmp_path / "in" / name, people(name))

    assert [row["name"] for _, row in read(opened(tmp_path / "in", "csv"))] == ["a.dat", "b.txt"]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        pytest.param(lambda path: path / "nothing.csv", "nothing.csv does not exist", id="no such file"),
        pytest.param(lambda path: path, "there is no file to load", id="a folder without files"),
        pytest.param(
            lambda path: path / "*.csv", "there is no file to load", id="a pattern that fits nothing"
        ),
        pytest.param(lambda path: _file(path / "a.csv", b""), "a.csv is empty", id="an empty CSV"),
        pytest.param(
            lambda path: _file(path / "a.ndjson", b""), "is empty: it has not a byte", id="an empty NDJSON"
        ),
        pytest.param(
            lambda path: _file(path / "a.parquet", b""), "set allow_empty=True", id="an empty Parquet file"
        ),
        pytest.param(
            lambda path: _file(path / "a.xlsx", b"PK"), "set file_format", id="a format nobody knows"
        ),
        pytest.param(
            lambda path: _file(path / "a.txt", b"x").parent,
            r"none of its 1 files ends in \.parquet",
            id="a folder of files nobody knows",
        ),
    ],
)
def test_a_path_without_rows_is_refused_with_the_reason(tmp_path, make, said):
    with pytest.raises(FormatError, match=said):
        opened(make(tmp_path))


def _file(path, content):
    path.write_bytes(content)
    return path


def test_an_unknown_format_is_answered_with_those_there_are(tmp_path):
    path = _file(tmp_path / "a.csv", b"name\n")
    with pytest.raises(FormatError, match="use one of parquet, ndjson, csv, rejects"):
        opened(path, "excel")


def test_a_file_without_a_byte_can_be_allowed(tmp_path):
    assert read(opened(_file(tmp_path / "a.csv", b""), allow_empty=True)) == []


def test_empty_files_beside_others_are_no_rows(tmp_path):
    _file(tmp_path / "a.csv", b"")
    write_csv(tmp_path / "b.csv", people("b"))

    assert [row["name"] for _, row in read(opened(tmp_path))] == ["b"]


@pytest.mark.parametrize("content", [b"name\n"], ids=["a header"])
def test_a_file_with_columns_and_without_rows_is_a_load_of_nothing(tmp_path, content):
    source = opened(_file(tmp_path / "a.csv", content))

    assert source.columns == ("name",)
    assert read(source) == []


def test_a_line_that_is_no_row_is_refused_in_its_place(tmp_path):
    path = _file(tmp_path / "a.ndjson", b'{"name": "a"}\n{"name"\n{"name": "c"}\n')
    (batch,) = opened(path).batches()

    assert [row.reject is None for row in batch] == [True, False, True]
    assert (batch[1].reject.row, batch[1].reject.file, batch[1].reject.table) == (2, str(path), "account")
    assert batch[1].reject.message.startswith("not JSON")


# -- the same input, or another one


def touched(path, seconds):
    stat = path.stat()
    os.utime(path, (stat.st_atime, stat.st_mtime + seconds))


def test_a_fingerprint_is_of_names_and_contents(tmp_path):
    path = write_csv(tmp_path / "a.csv", people("a"))
    first = opened(tmp_path).fingerprint
    assert opened(tmp_path).fingerprint == first

    touched(path, 1)
    second = opened(tmp_path).fingerprint
    write_csv(tmp_path / "b.csv", people("b"))
    third = opened(tmp_path).fingerprint

    assert len({first, second, third}) == 3


def test_a_file_that_grows_while_it_is_read_is_refused(tmp_path):
    path = write_csv(tmp_path / "a.csv", people(*map(str, range(2000))))
    source = opened(path)
    batches = source.batches(500)
    next(batches)
    with path.open("a") as file:
        file.write("one more\n")

    with pytest.raises(FormatError, match=r"a\.csv changed while it was loaded \(from .* bytes\)"):
        list(batches)


def test_a_file_that_is_rewritten_says_so_rather_than_that_it_is_damaged(tmp_path):
    path = write_parquet(tmp_path / "a.parquet", people(*map(str, range(20_000))))
    source = opened(path)
    path.write_bytes(b"PAR1 and nothing more")

    with pytest.raises(FormatError, match="changed while it was loaded"):
        list(source.batches())


def test_a_file_that_changed_between_two_passes_is_refused(tmp_path):
    path = write_csv(tmp_path / "a.csv", people("a"))
    source = opened(path)
    list(source.batches())
    touched(path, 5)

    with pytest.raises(FormatError, match="changed while it was loaded"):
        list(source.batches())


def test_a_file_that_is_removed_is_named(tmp_path):
    path = write_csv(tmp_path / "a.csv", people("a"))
    source = opened(path)
    path.unlink()

    with pytest.raises(FormatError, match="is gone"):
        list(source.batches())


def opened_in_store(path):
    return open_source(ObjectStoragePath(path, conn_id="lake"), table="account")


def test_a_store_of_objects_is_read_and_watched_like_a_disk():
    store = MemoryFileSystem()
    attach("memory", "lake", fs=store)
    store.store.clear()
    store.pipe("/lake/2026/b.csv", b"name\nb\n")
    store.pipe("/lake/2026/a.csv", b"name\na\n")

    source = opened_in_store("memory://lake/2026")
    assert [row["name"] for _, row in read(source)] == ["a", "b"]
    assert [row["name"] for _, row in read(opened_in_store("memory://lake/*/b.csv"))] == ["b"]

    store.pipe("/lake/2026/b.csv", b"name\nb\nc\n")
    with pytest.raises(FormatError, match=r"b\.csv changed while it was loaded"):
        list(source.batches())


# -- rows that an earlier load refused


def refused(row, data, table="account"):
    return {"row": row, "file": "a.csv", "table": table, "code": None, "message": "no", "data": data}


def test_refused_rows_are_read_as_their_file_had_them(tmp_path):
    path = write_ndjson(
        tmp_path / "rejects.ndjson",
        [
            refused(7, {"number": "A", "revenue": 1.50}),
            refused(8, {"x": 1}, table="contact"),
            refused(9, {"number": "B", "city": None}, table=None),
        ],
    )
    source = opened(path, "rejects")

    assert source.columns == ("number", "revenue", "city")
    assert [row["number"] for _, row in read(source)] == ["A", "B"]
    assert [number for number, _ in read(source)] == [1, 2]


def test_a_line_that_no_load_wrote_is_refused(tmp_path):
    path = write_ndjson(tmp_path / "rejects.ndjson", [refused(1, {"name": "a"}), {"name": "b"}])
    (batch,) = opened(path, "rejects").batches()

    assert batch[0].reject is None
    assert "it has no data" in batch[1].reject.message


# -- rows in memory


def test_rows_in_memory_are_a_source_too():
    rows: list[Any] = [{"name": "a"}, "b", {"name": "c", "city": "Brno"}]
    source = MemorySource(rows, "account")
    batches = list(source.batches(2))

    assert source.columns == ("name", "city")
    assert [[row.number for row in batch] for batch in batches] == [[1, 2], [3]]
    assert why(batches[0][1]).message == "not a dict of columns and values"
    assert MemorySource(rows[:1], "account").fingerprint != source.fingerprint
    assert MemorySource(json.loads(json.dumps(rows)), "account").fingerprint == source.fingerprint


def test_files_of_a_folder_that_are_passed_over_are_named(tmp_path, caplog):
    write_csv(tmp_path / "a.csv", people("a"))
    (tmp_path / "b.csv.gz").write_bytes(b"")
    opened(tmp_path)

    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "b.csv.gz" in caplog.text
    assert "a.csv," not in caplog.text


@pytest.mark.parametrize(
    ("source", "written"),
    [
        pytest.param("/data/in.csv", "/data/./in.csv", id="the source itself"),
        pytest.param("/data", "/data/refused.ndjson", id="in the folder"),
        pytest.param("file:///data/", "/data/more/refused.ndjson", id="below it"),
        pytest.param("s3://lake/in/", "s3://lake/in/refused.ndjson", id="on a store"),
        pytest.param("s3://lake/*/a-*.ndjson", "s3://lake/x/a-refused.ndjson", id="a name that fits"),
        pytest.param("/data/**/*.ndjson", "/data/x/y/refused.ndjson", id="deep down"),
    ],
)
def test_refused_rows_do_not_go_where_the_next_load_reads(source, written):
    with pytest.raises(FormatError, match="rejects_path"):
        apart(source, written)


@pytest.mark.parametrize(
    ("source", "written"),
    [
        ("/data/in", "/data/in-refused.ndjson"),
        ("/data/in", "/data/in/_refused/a.ndjson"),
        ("/data/*.csv", "/data/refused.ndjson"),
        ("/data/*.ndjson", "/data/refused/a.ndjson"),
        ("s3://lake/in", "s3://other/in/a.ndjson"),
        ("/data", "s3://data/a.ndjson"),
    ],
)
def test_refused_rows_may_go_anywhere_else(source, written):
    apart(source, written)


def test_a_refused_line_that_was_no_row_is_not_read_as_an_empty_one(tmp_path):
    known = {"row": 1, "file": "a.csv", "table": "account", "message": "3 values", "data": None}
    source = opened(write_ndjson(tmp_path / "rejects.ndjson", [known]), "rejects")
    ((row,),) = source.batches()

    assert why(row).message == "it was no row in its file, a.csv: mend it there (3 values)"


def test_half_a_character_in_memory_spoils_its_row_only():
    first, second = (MemorySource(people("\ud83d", name), "account") for name in "ab")

    assert first.fingerprint != second.fingerprint
