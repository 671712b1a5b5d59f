"""`$apply`: what it counts, adds up and groups, and where it stops."""

from __future__ import annotations

import pytest

FORMATTED = "OData.Community.Display.V1.FormattedValue"
ANNOTATED = {"prefer": f'odata.include-annotations="{FORMATTED}"'}


@pytest.fixture(scope="module")
def firms(module_service):
    """Five accounts: two cities, two states, amounts and dates that are easily added up."""
    service = module_service
    nancy = service.make("contacts", firstname="Nancy", lastname="Anderson")
    primary = {"primarycontactid@odata.bind": f"/contacts({nancy})"}
    service.make("accounts", name="A", revenue=10.25, numberofemployees=2, address1_city="Bonn", **primary)
    service.make("accounts", name="B", revenue=20, numberofemployees=3, address1_city="bonn", **primary)
    service.make("accounts", name="C", revenue=30, numberofemployees=6, address1_city="Ulm")
    service.wait(days=1)
    service.make("accounts", name="D", address1_city="Ulm", address1_latitude=1.5)
    last = service.make("accounts", name="E", statecode=1, statuscode=2)
    for subject in ("One", "Two"):
        about = {"regardingobjectid_account_task@odata.bind": f"/accounts({last})"}
        service.make("tasks", subject=subject, **about)
    service.last = last
    return service


def applied(service, text, entity_set="accounts", **headers):
    answer = service.get(f"{entity_set}?$apply={text}", **headers)
    assert answer.status == 200, answer.content
    return answer.rows


def test_rows_are_counted(firms):
    assert applied(firms, "aggregate($count as n)") == [{"n": 5}]


def test_only_the_rows_of_a_filter_are_counted(firms):
    assert applied(firms, "filter(address1_city eq 'Bonn')/aggregate($count as n)") == [{"n": 2}]
    assert applied(firms, "filter(revenue gt 15)/filter(revenue lt 25)/aggregate($count as n)") == [{"n": 1}]


def test_a_filter_may_use_query_functions_and_quoted_slashes(firms):
    inside = 'Microsoft.Dynamics.CRM.In(PropertyName=\'name\',PropertyValues=["A","B"])'
    assert applied(firms, f"filter({inside})/aggregate($count as n)") == [{"n": 2}]
    assert applied(firms, "filter(name eq 'a/b (c')/aggregate($count as n)") == [{"n": 0}]


def test_amounts_are_added_up_exactly_with_nine_digits(firms):
    answer = firms.get("accounts?$apply=aggregate(revenue with sum as s,revenue with average as a)")
    assert b'"s":60.250000000,"a":20.083333333' in answer.content


def test_the_average_of_whole_numbers_is_whole(firms):
    assert applied(firms, "aggregate(numberofemployees with average as a)") == [{"a": 3}]


def test_extremes_keep_the_type_of_their_column(firms):
    text = "aggregate(createdon with min as first,createdon with max as last,address1_latitude with max as x)"
    assert applied(firms, text) == [
        {"first": "2025-06-15T12:00:00Z", "last": "2025-06-16T12:00:00Z", "x": 1.5}
    ]


def test_groups_are_of_equal_text_without_case_and_leave_null_out(firms):
    rows = applied(firms, "groupby((address1_city),aggregate($count as n,revenue with sum as s))")
    assert [(row.get("address1_city", "").lower(), row["n"], row["s"]) for row in rows] == [
        ("", 1, 0),
        ("bonn", 2, 30.25),
        ("ulm", 2, 30),
    ]
    assert "address1_city" not in rows[0]


def test_groups_without_aggregates_are_distinct_values(firms):
    assert applied(firms, "groupby((statecode,statuscode))") == [
        {"statecode": 0, "statuscode": 1},
        {"statecode": 1, "statuscode": 2},
    ]


def test_a_group_by_a_lookups_column_is_named_by_its_table(firms):
    rows = applied(firms, "groupby((primarycontactid/fullname),aggregate($count as n))")
    assert rows == [{"n": 3}, {"contact_fullname": "Nancy Anderson", "n": 2}]


def test_values_are_formatted_on_request(firms):
    rows = applied(firms, "groupby((statecode),aggregate(revenue with sum as s,$count as n))", **ANNOTATED)
    assert rows[0] == {
        f"statecode@{FORMATTED}": "Active",
        "statecode": 0,
        f"s@{FORMATTED}": "$60.25",
        "s": 60.25,
        f"n@{FORMATTED}": "4",
        "n": 4,
    }


def test_a_lookup_group_is_formatted_with_its_name(firms):
    rows = applied(firms, "groupby((_primarycontactid_value))", **ANNOTATED)
    assert [row.get(f"_primarycontactid_value@{FORMATTED}") for row in rows] == [None, "Nancy Anderson"]


def test_related_rows_are_counted_too(firms):
    path = f"accounts({firms.last})/Account_Tasks"
    assert applied(firms, "aggregate($count as n)", path) == [{"n": 2}]


def test_nothing_is_counted_as_nothing(firms):
    text = "filter(name eq 'Z')/aggregate($count as n,revenue with sum as s,revenue with max as m)"
    assert applied(firms, text) == [{"n": 0, "s": 0}]
    assert applied(firms, "filter(name eq 'Z')/groupby((name),aggregate($count as n))") == []


def test_the_context_names_the_set_alone(firms):
    answer = firms.get("accounts?$apply=aggregate($count as n)")
    assert answer.json["@odata.context"].endswith("/$metadata#accounts")


@pytest.mark.parametrize("text", ["aggregate($count as n)", "groupby((statecode),aggregate($count as n))"])
def test_more_rows_than_the_limit_are_refused(firms, text):
    firms.api.query_limits.aggregate = 4
    try:
        answer = firms.get(f"accounts?$apply={text}")
        below = applied(firms, f"filter(statecode eq 0)/{text}")
    finally:
        firms.api.query_limits.restore()
    assert (answer.status, answer.error) == (400, "0x8004e023")
    assert answer.message == "AggregateQueryRecordLimit exceeded. Cannot perform this operation."
    assert below[0]["n"] == 4


def test_the_limit_is_50_000_rows(firms):
    assert firms.api.query_limits.aggregate == 50_000


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (
            "accounts?$apply=groupby((name),aggregate($count as n))&$orderby=n desc",
            "The query node SingleValueOpenPropertyAccess is not supported",
        ),
        ("accounts?$apply=groupby((createdon))", "groupby with datetime values is not supported"),
        ("accounts?$apply=aggregate(nope with sum as s)", "Could not find a property named 'nope'"),
        ("accounts?$apply=groupby((nope/name))", "Could not find a property named 'nope'"),
        ("accounts?$apply=aggregate(revenue sum s)", "Error in query syntax"),
        (
            "accounts?$apply=filter(nope eq 1)/aggregate($count as n)",
            "Could not find a property named 'nope'",
        ),
        ("accounts?$apply=groupby(name)", "Error in query syntax"),
        ("accounts?$apply=", "Error in query syntax"),
    ],
)
def test_what_the_service_refuses_is_refused(firms, path, message):
    answer = firms.get(path)
    assert (answer.status, answer.error) == (400, "0x80060888")
    assert message in answer.message


@pytest.mark.parametrize(
    "path",
    [
        "accounts?$apply=aggregate(revenue with countdistinct as n)",
        "accounts?$apply=aggregate(name with max as n)",
        "accounts?$apply=groupby((ownerid/name))&$top=1",
        "accounts?$apply=groupby((_ownerid_value))",
        "accounts?$apply=groupby((primarycontactid/createdby/fullname))",
        "accounts?$apply=groupby((name))/filter(name eq 'A')",
        "accounts?$apply=groupby((name),filter(name eq 'A'))",
        "accounts?$apply=filter(name eq 'A')",
        "accounts?$apply=compute(1 as x)",
        "accounts?$apply=aggregate($count as n)&$filter=name eq 'A'",
        "accounts?$apply=groupby((name))&$orderby=name",
        "accounts?$apply=groupby((name,name))",
        "accounts?$apply=groupby((name),aggregate($count as name))",
        "accounts?$apply=aggregate($count as n,revenue with sum as n)",
    ],
)
def test_what_microsoft_does_not_settle_is_not_emulated(firms, path):
    answer = firms.get(path)
    assert (answer.status, answer.message[:14]) == (501, "not emulated: ")


def test_a_joined_table_needs_its_privilege(firms):
    firms.api.faults.privileges_taken.add((None, "prvReadContact"))
    try:
        answer = firms.get("accounts?$apply=groupby((primarycontactid/fullname))")
    finally:
        firms.api.faults.clear()
    assert (answer.status, answer.error) == (403, "0x80040220")
    assert "prvReadContact" in answer.message
