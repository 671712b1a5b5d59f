"""A file is there whole or not at all, wherever it stands."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from airflow.sdk import ObjectStoragePath
from airflow.sdk.io import attach

from airflow_provider_dynamics.dataverse.protocol.pages import Page
from airflow_provider_dynamics.formats import FormatError, file_fields, file_format_of, writer
from tests.airflow.formats.rows import ACCOUNT, EVERY, FORMATS, ROW, page_of, read, write
from tests.airflow.transfers.reading import Buckets

FIELDS = file_fields(ACCOUNT, EVERY)


@pytest.fixture(autouse=True)
def _a_store_in_memory() -> None:
    attach("memory", fs=Buckets())  # Airflow keeps the first one for all tests


class Boom(Exception):
    pass


def failing() -> Iterator[Page]:
    yield page_of(ROW)
    raise Boom


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_failing_export_leaves_no_file(tmp_path, suffix):
    with pytest.raises(Boom):
        write(tmp_path / f"a.{suffix}", *failing())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_failing_export_leaves_the_old_file_as_it_was(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    path.write_text("old")
    with pytest.raises(Boom):
        write(path, *failing())
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", FORMATS)
def test_nothing_stands_under_the_name_before_the_end(tmp_path, suffix):
    path = tmp_path / "deep" / "er" / f"a.{suffix}"
    with writer(path, None, FIELDS) as file:
        file.write(page_of(ROW))
        assert not path.exists()
        (unfinished,) = path.parent.iterdir()
        assert unfinished.name.startswith(".")
    assert list(path.parent.iterdir()) == [path]


def test_a_value_that_does_not_fit_leaves_no_file(tmp_path):
    with pytest.raises(FormatError, match=r"statecode, row 1 .*'open' is not a number"):
        write(tmp_path / "a.parquet", page_of(ROW | {"statecode": "open"}))
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way_is_said_before_anything_is_read(tmp_path):
    (tmp_path / "a.csv").write_text("old")
    with (
        pytest.raises(FormatError, match=r'a\.csv exists already: .* if_exists="replace"'),
        writer(tmp_path / "a.csv", None, FIELDS, if_exists="fail"),
    ):
        pytest.fail("the block ran")
    assert (tmp_path / "a.csv").read_text() == "old"


def test_a_file_that_appears_meanwhile_is_not_replaced_under_fail(tmp_path):
    path = tmp_path / "a.csv"
    with (
        pytest.raises(FormatError, match="exists already"),
        writer(path, None, FIELDS, if_exists="fail"),
    ):
        path.write_text("somebody else's")
    assert path.read_text() == "somebody else's"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "path_of",
    [
        pytest.param(str, id="text"),
        pytest.param(lambda path: f"file://{path}", id="a file URL"),
        pytest.param(lambda path: ObjectStoragePath(f"file://{path}"), id="an ObjectStoragePath on disk"),
        pytest.param(lambda path: f"memory://{path}", id="an object store's URL"),
        pytest.param(
            lambda path: ObjectStoragePath(f"memory://{path}"), id="an ObjectStoragePath in a store"
        ),
    ],
)
def test_every_kind_of_path_is_written_and_read(tmp_path, path_of):
    path = path_of(tmp_path / "a.parquet")
    write(path, page_of(ROW))
    write(path, page_of(ROW, ROW))
    assert [row.row["accountid"] for row in read(path)] == [ROW["accountid"]] * 2


def test_an_object_store_keeps_no_unfinished_file():
    folder = ObjectStoragePath(f"memory://bucket/{uuid.uuid4()}")
    with pytest.raises(Boom):
        write(folder / "a.parquet", *failing())
    write(folder / "b.parquet", page_of(ROW))
    assert [path.name for path in folder.iterdir()] == ["b.parquet"]


def test_a_storage_without_its_provider_is_said():
    with pytest.raises(FormatError, match=r"nowhere.*; install the Airflow provider of that storage"):
        write("nowhere://lake/a.parquet", page_of(ROW))


@pytest.mark.parametrize(
    ("path", "named", "expected"),
    [
        pytest.param("s3://lake/a.PARQUET", None, "parquet", id="by suffix"),
        pytest.param("a.jsonl", None, "ndjson", id="jsonl is ndjson"),
        pytest.param("a.parquet", "csv", "csv", id="the argument wins"),
    ],
)
def test_the_format_is_told_by_argument_or_suffix(path, named, expected):
    assert file_format_of(path, named) == expected


@pytest.mark.parametrize(
    ("path", "named", "words"),
    [
        pytest.param("a.xlsx", None, "set file_format to parquet, ndjson, csv", id="an unknown suffix"),
        pytest.param("a.csv", "excel", "file_format is 'excel'", id="an unknown format"),
    ],
)
def test_a_format_nobody_knows_is_refused(path, named, words):
    with pytest.raises(FormatError, match=words):
        file_format_of(path, named)


def test_another_word_for_if_exists_is_refused(tmp_path):
    with pytest.raises(FormatError, match="if_exists is 'append': use one of replace, fail"):
        write(tmp_path / "a.csv", if_exists="append")
