"""A row's values take the form that the Web API wants, whatever the row holds; plain rows cost nothing."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.dataverse.rows.payloads import Payloads
from tests.dataverse.writing import row_id


@pytest.fixture
def payloads(tables):
    return Payloads(tables)


@pytest.fixture
def wire(payloads, account):
    def made(row, **options):
        return payloads.wire(account, row, **options)

    return made


def test_a_row_of_plain_columns_goes_as_it_is(wire):
    row = {"name": "A", "numberofemployees": 5, "revenue": None}
    assert wire(row) is row


def test_what_a_set_of_columns_needs_is_found_out_once(wire, payloads, dataverse):
    wire({"name": "A", "primarycontactid": row_id(1)})
    asked = len(dataverse.requests)
    again = wire({"name": "B", "primarycontactid": row_id(2)})
    assert again == {"name": "B", "primarycontactid@odata.bind": f"/contacts({row_id(2)})"}
    assert len(dataverse.requests) == asked
    assert len(payloads._steps) == 1


def test_creates_and_changes_of_the_same_columns_are_told_apart(wire):
    row = {"name": "A", "primarycontactid": None}
    assert wire(row) == {"name": "A", "primarycontactid": None}
    assert wire(row, creates=True) == {"name": "A"}
    assert wire(row) == {"name": "A", "primarycontactid": None}


@pytest.mark.parametrize("blank", [None, ""])
def test_blanks_are_left_out_or_clear_the_column(wire, blank):
    row = {"name": "A", "description": blank, "numberofemployees": 0, "donotemail": False}
    assert wire(row) == row
    assert wire(row, blank="skip") == {"name": "A", "numberofemployees": 0, "donotemail": False}


def test_an_empty_lookup_is_skipped_too(wire):
    assert wire({"name": "A", "primarycontactid": None}, blank="skip") == {"name": "A"}


def test_times_have_a_zone_and_dates_have_none(wire):
    moment = datetime(2024, 1, 31, 8, tzinfo=timezone.utc)
    assert wire({"createdon": moment, "new_start": moment}) == {
        "createdon": "2024-01-31T08:00:00Z",
        "new_start": "2024-01-31",
    }


def test_a_column_by_its_wire_name_is_understood(wire):
    assert wire({"_primarycontactid_value": row_id(1)}) == {
        "primarycontactid@odata.bind": f"/contacts({row_id(1)})"
    }


def test_a_row_in_a_lookup_is_created_with_this_one(wire):
    row = {"name": "A", "new_ParentId_account": {"name": "B", "primarycontactid": row_id(1)}}
    assert wire(row, creates=True) == {
        "name": "A",
        "new_ParentId_account": {"name": "B", "primarycontactid@odata.bind": f"/contacts({row_id(1)})"},
    }


def test_rows_in_a_collection_are_created_with_this_one(wire, dataverse):
    dataverse.definition["OneToManyRelationships"] = [
        {"ReferencedEntityNavigationPropertyName": "new_children", "ReferencingEntity": "account"}
    ]
    row = {"name": "A", "new_children": [{"name": "B", "new_region": row_id(1)}, {"name": "C"}]}
    assert wire(row, creates=True) == {
        "name": "A",
        "new_children": [{"name": "B", "new_Region@odata.bind": f"/new_regions({row_id(1)})"}, {"name": "C"}],
    }


def test_rows_under_a_name_that_leads_nowhere_are_refused_with_the_nearest(wire):
    with pytest.raises(errors.UnknownColumn, match="new_ParentId_account"):
        wire({"new_ParentId_acount": {"name": "B"}}, creates=True)


def test_annotations_and_unknown_names_are_the_services_to_judge(wire):
    row = {"@odata.type": "x", "unheard_of": 1, "new_parentid_contact@odata.bind": "/contacts(1)"}
    assert wire(row) == row


def test_the_columns_of_a_key_are_not_part_of_the_body(payloads, account):
    row = {"accountnumber": "A1", "name": "A", "accountid": row_id(1)}
    assert payloads.body_of(account, row, {"accountnumber": "A1"}) == {"name": "A", "accountid": row_id(1)}
    assert payloads.body_of(account, row, row_id(1)) == {"name": "A", "accountnumber": "A1"}
