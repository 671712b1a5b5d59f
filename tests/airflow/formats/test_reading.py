"""A file's rows come out ready for Dataverse, and what is wrong with one is said."""

from __future__ import annotations

import datetime
import math
import pathlib
from decimal import Decimal

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_provider_dynamics.formats import FormatError
from airflow_provider_dynamics.transfers.loads.sources import open_source
from tests.airflow.formats.rows import EVERY, FORMATS, ROW, FileRow, page_of, read, wall, write


def one(path: pathlib.Path, text: str) -> FileRow:
    path.write_text(text, encoding="utf-8")
    (row,) = read(path)
    return row


@pytest.mark.parametrize("suffix", FORMATS)
def test_the_columns_are_known_before_the_first_row(tmp_path, suffix):
    write(tmp_path / f"a.{suffix}", page_of(ROW))
    assert open_source(tmp_path / f"a.{suffix}", table="account").columns == EVERY


def test_ndjson_columns_include_those_that_come_late(tmp_path):
    (tmp_path / "a.ndjson").write_text('{"name":"a"}\n\n{"name":"b","revenue":1.50}\n')
    assert open_source(tmp_path / "a.ndjson", table="account").columns == ("name", "revenue")
    rows = [row.row for row in read(tmp_path / "a.ndjson")]
    assert rows == [{"name": "a"}, {"name": "b", "revenue": Decimal("1.50")}]


def test_columns_are_renamed_and_typed_by_the_table(tmp_path):
    (tmp_path / "a.csv").write_text("Umsatz,x@odata.bind,notes\n007.10,/contacts(1),mine\n")
    (row,) = read(tmp_path / "a.csv", columns={"Umsatz": "revenue", "notes": None})
    assert row.row == {"revenue": Decimal("7.10"), "x@odata.bind": "/contacts(1)"}


@pytest.mark.parametrize(
    ("column", "text", "value"),
    [
        pytest.param("name", "", None, id="an empty field is null"),
        pytest.param("name", "007", "007", id="digits in a text column stay text"),
        pytest.param("revenue", "12.3400", Decimal("12.3400"), id="a decimal"),
        pytest.param("address1_latitude", "1e-3", 0.001, id="a double"),
        pytest.param("numberofemployees", "-5", -5, id="an integer"),
        pytest.param("numberofemployees", "5.0", 5, id="an integer as pandas writes it"),
        pytest.param("versionnumber", "9223372036854775807", 9223372036854775807, id="a big integer"),
        pytest.param("creditonhold", "TRUE", True, id="a truth in capitals"),
        pytest.param("creditonhold", "0", False, id="zero for false"),
        pytest.param(
            "createdon", "2024-01-31T10:00:00+02:00", "2024-01-31T08:00:00Z", id="an offset becomes UTC"
        ),
        pytest.param(
            "createdon", "2024-01-31T10:00-0130", "2024-01-31T11:30:00Z", id="an offset without colon"
        ),
        pytest.param("createdon", "2024-01-31 10:00:00", "2024-01-31T10:00:00Z", id="no zone means UTC"),
        pytest.param("createdon", "2024-01-31", "2024-01-31T00:00:00Z", id="a date is its first moment"),
        pytest.param("new_opensat", "2024-01-31T10:00:00", "2024-01-31T10:00:00Z", id="wall-clock time"),
        pytest.param("new_founded", "2024-01-31T00:00:00", "2024-01-31", id="a date with midnight"),
    ],
)
def test_text_is_read_as_its_column_wants_it(tmp_path, column, text, value):
    row = one(tmp_path / "a.csv", f'description,{column}\nx,"{text}"\n')
    assert row.error is None
    assert row.row == {"description": "x", column: value}


@pytest.mark.parametrize(
    ("column", "text", "words"),
    [
        pytest.param("revenue", "12,50", "'12,50' is not a number", id="a decimal comma"),
        pytest.param("revenue", "NaN", "'NaN' is not a number", id="NaN as text"),
        pytest.param("numberofemployees", "1.5", "'1.5' is not a whole number", id="a fraction"),
        pytest.param("numberofemployees", "2147483648", "outside the range of 32 bits", id="too large"),
        pytest.param("statecode", "Active", "'Active' is not a number", id="a label for a choice"),
        pytest.param("creditonhold", "yes", "'yes' is not true or false", id="yes for true"),
        pytest.param("createdon", "31.01.2024", "is not a date and time", id="a local date"),
        pytest.param("createdon", "2024-02-30", "", id="a day that is none"),
        pytest.param("createdon", "1752-12-31T00:00:00Z", "before 1753-01-01", id="before Dataverse's time"),
        pytest.param(
            "new_opensat", "2024-01-31T10:00:00+02:00", "no time zone", id="an offset where none belongs"
        ),
        pytest.param("new_founded", "2024-01-31T10:00:00", "time of day", id="a time in a date"),
    ],
)
def test_a_wrong_value_spoils_its_row_and_names_the_place(tmp_path, column, text, words):
    (tmp_path / "a.csv").write_text(f'description,{column}\nx,\ny,"{text}"\nz,\n')
    good, bad, also_good = read(tmp_path / "a.csv")
    assert (good.error, also_good.error) == (None, None)
    assert (bad.number, bad.column) == (2, column)
    assert bad.row == {"description": "y", column: text}
    assert bad.error is not None
    assert bad.error.startswith(f"column {column}: ")
    assert words in bad.error


@pytest.mark.parametrize(
    ("array", "column", "value"),
    [
        pytest.param(pa.array([math.nan]), "revenue", None, id="NaN is null"),
        pytest.param(pa.array([12.34]), "revenue", Decimal("12.34"), id="a float's shortest digits"),
        pytest.param(pa.array([5.0]), "statecode", 5, id="an integer that pandas made a float"),
        pytest.param(pa.array([7], pa.int64()), "name", "7", id="a number in a text column"),
        pytest.param(pa.array([1]), "creditonhold", True, id="one for true"),
        pytest.param(pa.array([[1, 9]]), "new_interests", "1,9", id="a list of choices"),
        pytest.param(
            pa.array([1_706_695_200_123_456_789], pa.timestamp("ns")),
            "createdon",
            "2024-01-31T10:00:00.123456Z",
            id="nanoseconds without a zone",
        ),
        pytest.param(
            pa.array([wall(2024, 1, 31, 10)]).cast(pa.timestamp("s", "Europe/Prague")),
            "createdon",
            "2024-01-31T10:00:00Z",
            id="another zone is the same moment",
        ),
        pytest.param(pa.array([None], pa.timestamp("ns")), "createdon", None, id="NaT is null"),
        pytest.param(
            pa.array([datetime.date(2024, 1, 31)]), "createdon", "2024-01-31T00:00:00Z", id="a date"
        ),
        pytest.param(pa.array([wall(2024, 1, 31)]), "new_founded", "2024-01-31", id="midnight"),
        pytest.param(pa.array(["a"]).dictionary_encode(), "name", "a", id="a categorical"),
    ],
)
def test_parquet_of_other_makers_is_understood(tmp_path, array, column, value):
    pq.write_table(pa.table({column: array}), tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet") == [FileRow(1, {column: value})]


def test_a_wrong_value_in_parquet_spoils_its_row_in_a_form_json_can_hold(tmp_path):
    table = pa.table({"new_founded": [wall(2024, 1, 31, 10)], "revenue": [math.nan]})
    pq.write_table(table, tmp_path / "a.parquet")
    (row,) = read(tmp_path / "a.parquet")
    assert (row.number, row.column) == (1, "new_founded")
    assert msgspec.json.decode(msgspec.json.encode(row.row)) == {
        "new_founded": "2024-01-31T10:00:00",
        "revenue": None,
    }


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        pytest.param("a.parquet", b"name,revenue\n1,2\n", "is not a Parquet file", id="text called Parquet"),
        pytest.param(
            "a.ndjson", b"PAR1\x15\x04\n", "is not NDJSON: no line of it is a JSON object", id="not JSON"
        ),
        pytest.param("a.csv", b"\n1,2\n", "must name every column", id="CSV without a header"),
        pytest.param("a.csv", b"a,,b\n1,2,3\n", "must name every column", id="a header with a gap"),
        pytest.param("a.csv", b"a,b,a\n1,2,3\n", "names the column 'a' twice", id="a name twice"),
        pytest.param("a.csv", b"pr\xe9nom\nx\n", "is not UTF-8 text", id="another encoding"),
        pytest.param("a.csv", "name\nx\n".encode("utf-16"), "is not UTF-8 text", id="UTF-16"),
        pytest.param("a.csv", b"a;b\n1;2\n", "has ';' between its values", id="semicolons"),
        pytest.param(
            "a.csv", b'"a"b,c\n', "is not CSV with a header: line 1", id="a header with a stray quote"
        ),
        pytest.param(
            "a.csv",
            b'a,b\n0,x\n1,"x\n2,y\n3,z\n',
            "is not CSV from line 3 to line 5",
            id="a quote never closed",
        ),
        pytest.param(
            "a.csv",
            b'a,b\n1,"x\n2,"y",z\n3,z\n',
            "is not CSV from line 2 to line 3",
            id="a quote that swallows one",
        ),
    ],
)
def test_a_file_that_is_not_what_it_should_be_gets_one_sentence(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FormatError) as caught:
        read(tmp_path / name)
    assert words in str(caught.value)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_file_that_is_not_there_is_said(tmp_path, suffix):
    with pytest.raises(FormatError, match=rf"a\.{suffix} does not exist"):
        read(tmp_path / f"a.{suffix}")


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        pytest.param("a.csv", 'name\nok\n"x"y\n', "line 3 is not CSV", id="CSV with a stray quote"),
        pytest.param("a.csv", 'name\nok\n"cut o', "line 3 is not CSV: unexpected end", id="CSV cut off"),
        pytest.param(
            "a.csv", "name\nok\n\udce9\n", "not UTF-8 text: it has the byte 0xE9", id="CSV in Latin-1"
        ),
        pytest.param("a.ndjson", '{"name":"ok"}\n{"name":"\\ud83d"}\n', "not JSON", id="half a character"),
        pytest.param(
            "a.ndjson", '{"name":"ok"}\n{}\n', "it has not a single column", id="NDJSON, an empty object"
        ),
        pytest.param("a.csv", "name\nok\na,b\n", "2 values, and the header names 1 columns", id="CSV"),
        pytest.param("a.ndjson", '{"name":"ok"}\n{"name":\n', "not JSON", id="NDJSON cut off"),
        pytest.param("a.ndjson", '{"name":"ok"}\n[1]\n', "not a JSON object", id="NDJSON, a list"),
    ],
)
def test_a_line_that_is_no_row_spoils_only_itself(tmp_path, name, text, words):
    (tmp_path / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    good, bad = read(tmp_path / name)
    assert good == FileRow(1, {"name": "ok"})
    assert (bad.number, bad.row, bad.column) == (2, None, None)
    assert bad.error is not None
    assert bad.error.startswith(words)


@pytest.mark.parametrize("name", ["a.csv", "a.ndjson"])
def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path, name):
    text = "\ufeffname\nx\n" if name == "a.csv" else '\ufeff{"name":"x"}\n'
    assert one(tmp_path / name, text).row == {"name": "x"}


def test_a_memo_longer_than_csv_readers_like_is_read(tmp_path):
    write(
        tmp_path / "a.csv",
        page_of({"accountid": "1", "description": "é" * 1_000_000}),
        select=("description",),
    )
    assert read(tmp_path / "a.csv")[0].row["description"] == "é" * 1_000_000
