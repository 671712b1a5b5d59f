"""Ids are sorted on the disk, looked up there, and merged so that one record an id remains."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_dynamics.dataverse.following.sorting import Sorter, merged, pack, unpack

records = st.lists(st.binary(min_size=16, max_size=16), max_size=60)


@given(records, st.integers(1, 7))
def test_records_come_back_in_order_however_many_runs_there_are(given_records, most):
    with Sorter(16, most=most) as sorter:
        sorter.update(given_records)
        assert sorted(set(sorter)) == sorted(set(given_records))
        assert list(sorter) == sorted(sorter)
        assert list(sorter) == list(sorter), "it can be read again"
        assert bool(sorter) is bool(given_records)


@given(records, records, st.integers(1, 7))
def test_a_record_is_found_if_it_was_added_and_only_then(added, asked, most):
    with Sorter(16, most=most) as sorter:
        sorter.update(added)
        assert [record in sorter for record in added + asked] == [
            record in set(added) for record in added + asked
        ]


@given(st.uuids())
def test_an_id_is_packed_and_unpacked(value):
    assert unpack(pack(str(value))) == str(value)
    assert pack("{" + str(value).upper() + "}") == value.bytes
    assert len(pack(str(value))) == 16


def test_what_is_no_id_is_refused():
    with pytest.raises(ValueError, match="badly formed"):
        pack("nothing")


def test_of_several_records_of_an_id_the_largest_remains():
    one, two = uuid.uuid4().bytes, uuid.uuid4().bytes
    sources = [sorted([one + b"1", two + b"5"]), sorted([one + b"3", one + b"2"]), [two + b"4"]]
    assert sorted(merged(*sources)) == sorted([one + b"3", two + b"5"])
    assert list(merged()) == []
