"""Whatever rows there are, they come back from every format as they were."""

from __future__ import annotations

import datetime
from decimal import Decimal

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_dynamics.dataverse.protocol.pages import Page
from airflow_provider_dynamics.formats import Field, FormatError, frame
from tests.airflow.formats.rows import ACCOUNT, BOTH_WAYS, EVERY, FORMATS, read, wall, write

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20)
MOMENTS = st.datetimes(wall(1753, 1, 1), wall(9999, 12, 31))


def decimals(whole: int, places: int) -> st.SearchStrategy[Decimal]:
    most = 10 ** (whole + places)
    return st.integers(-most, most).map(lambda digits: Decimal(digits).scaleb(-places))


def wire_time(moment: datetime.datetime) -> str:
    return moment.replace(microsecond=0).isoformat() + "Z"


ROWS = st.fixed_dictionaries(
    {
        "accountid": st.uuids().map(str),
        "statecode": st.integers(0, 5),  # every row has one, and an owner
        "statuscode": st.integers(0, 5),
        "_ownerid_value": st.uuids().map(str),
        **{
            name: st.none() | values
            for name, values in {
                "name": TEXT,
                "description": TEXT,
                "revenue": decimals(15, 4),
                "exchangerate": decimals(12, 10),
                "address1_latitude": st.floats(allow_nan=False, allow_infinity=False).map(
                    lambda x: Decimal(repr(x))
                ),
                "numberofemployees": st.integers(-(2**31), 2**31 - 1),
                "versionnumber": st.integers(-(2**63), 2**63 - 1),
                "creditonhold": st.booleans(),
                "industrycode": st.integers(0, 2**31 - 1),
                "new_interests": st.lists(st.integers(0, 99), min_size=1, max_size=3, unique=True).map(
                    lambda choices: ",".join(map(str, choices))
                ),
                "createdon": MOMENTS.map(wire_time),
                "new_opensat": MOMENTS.map(wire_time),
                "new_founded": MOMENTS.map(lambda moment: moment.date().isoformat()),
                "_primarycontactid_value": st.uuids().map(str),
            }.items()
        },
    }
)


@BOTH_WAYS
@pytest.mark.parametrize("suffix", FORMATS)
@given(rows=st.lists(ROWS, max_size=5))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_rows_come_back_equal(tmp_path, page, suffix, rows):
    path = write(tmp_path / f"a.{suffix}", page(*rows))
    back = read(path)
    assert [row.error for row in back] == [None] * len(rows)
    for wire, row in zip(rows, back, strict=True):
        expected = {name: wire[ACCOUNT.columns[name].wire_name] for name in EVERY}
        latitude = expected["address1_latitude"]
        expected["address1_latitude"] = None if latitude is None else float(latitude)
        assert row.row == expected
        assert type(row.row["revenue"]) in (Decimal, type(None))


NUMBERS = """
0 -0 1 -1.0 1.50 1e2 1E+2 1e-2 1.5e3 100000e-5 0e5 0.0000000000000 1e-10 1e-11 0.00001
2147483647 2147483648 -2147483648 9007199254740993 9223372036854775807 9223372036854775808
922337203685477.5807 -922337203685477.5808 123456789.123456789123456789 1e37 1e38 1e400
9999999999999999999999999999.9999999999 99999999999999999999999999999.9999999999
99999999999999999999999999999999999999 999999999999999999999999999999999999999
"""
TIMES = (
    *('"2024-02-29T23:59:59Z"', '"2024-02-29T23:59:59.1234567Z"', '"2024-07-01T08:30:00+02:00"'),
    *('"2024-07-01T08:30:00"', '"2024-07-01T08:30"', '"2024-07-01T08Z"', '"2024-07-01 08:30:00"'),
    *('"1753-01-01T00:00:00Z"', '"9999-12-31T23:59:59Z"', '"2024-07-01T24:00:00Z"', '"2024-07-01T00:00:00Z"'),
    *('"1753-01-01"', '"9999-12-31"', '"2024-02-30"', '"2024-7-1"', '"20240701"', '""', "20240701"),
)
ANYTHING = (
    *("true", "false", "null", '"true"', '"5"', '"5.5"', "[]", "{}", "[1]", '{"a":1}', '"NaN"', '"INF"'),
    *(r'"\u0000"', r'"\ud83e\udd86"', '"\u6f22"', '"not a number"'),
)
EVERY_KIND = (
    *(Field("x", kind) for kind in ("string", "int32", "int64", "float64", "bool")),
    *(Field("x", "decimal", scale) for scale in (0, 4, 10)),
    *(Field("x", kind) for kind in ("instant", "timestamp", "date")),
)


@pytest.mark.parametrize("field", EVERY_KIND, ids=lambda field: f"{field.kind}{field.scale or ''}")
@given(texts=st.lists(st.sampled_from((*NUMBERS.split(), *TIMES, *ANYTHING)), min_size=1, max_size=2))
@settings(max_examples=60)
def test_arrow_and_python_read_the_same_or_refuse_the_same(field, texts):
    listed = ",".join('{"x":' + text + "}" for text in texts)
    body = ('{"value":[' + listed + "]}").encode()
    rows = msgspec.json.Decoder(float_hook=Decimal).decode(body)["value"]

    def made(page):
        try:
            return frame([page], [field], "arrow")
        except FormatError as error:
            return str(error)

    assert made(Page(rows, body=body)) == made(rows)
