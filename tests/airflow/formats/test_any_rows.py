"""Whatever rows there are, they come back from every format as they were."""

from __future__ import annotations

import datetime
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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
                "statecode": st.integers(0, 5),
                "statuscode": st.integers(0, 5),
                "new_interests": st.lists(st.integers(0, 99), min_size=1, max_size=3).map(
                    lambda choices: ",".join(map(str, choices))
                ),
                "createdon": MOMENTS.map(wire_time),
                "new_opensat": MOMENTS.map(wire_time),
                "new_founded": MOMENTS.map(lambda moment: moment.date().isoformat()),
                "_primarycontactid_value": st.uuids().map(str),
                "_ownerid_value": st.uuids().map(str),
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
