"""Every condition operator of FetchXML that is emulated, and which rows it finds."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from airflow_provider_dynamics.emulator.querying.spans import SPANS, arity
from tests.emulator.data.fetching import ask, rows


@pytest.fixture(scope="module")
def firms(module_service):
    """Four accounts that differ in everything conditions ask for; one of them belongs to the default team."""
    service = module_service
    team = service.get("teams?$select=name").rows[0]["teamid"]
    nancy = service.make("contacts", firstname="Nancy", lastname="Anderson")
    old = service.make("accounts", name="Old Ltd.", numberofemployees=3, contoso_foundedon="1890-05-01")
    yesterday = service.make(
        "accounts", name="Yesterday", revenue=-5.25, contoso_services="100000000,100000002"
    )
    mueller = service.make(
        "accounts",
        name="Müller & Söhne",
        numberofemployees=50,
        revenue=100,
        creditonhold=True,
        contoso_services="100000001",
        **{
            "primarycontactid@odata.bind": f"/contacts({nancy})",
            "parentaccountid@odata.bind": f"/accounts({old})",
            "ownerid@odata.bind": f"/teams({team})",
        },
    )
    pure = service.make(
        "accounts",
        name="100% [pure] O'Brien",
        numberofemployees=2000,
        revenue=1000.5,
        statecode=1,
        statuscode=2,
        **{"parentaccountid@odata.bind": f"/accounts({mueller})"},
    )
    service.ids = {"nancy": nancy, "old": old, "yesterday": yesterday, "mueller": mueller, "pure": pure}
    return service


OLD, YESTERDAY, MUELLER, PURE = "Old Ltd.", "Yesterday", "Müller & Söhne", "100% [pure] O'Brien"
ALL = {OLD, YESTERDAY, MUELLER, PURE}


def document(attribute, operator, *values):
    inside = "".join(f"<value>{value}</value>" for value in values)
    one = f'<condition attribute="{attribute}" operator="{operator}">{inside}</condition>'
    if len(values) == 1:
        one = f'<condition attribute="{attribute}" operator="{operator}" value="{values[0]}"/>'
    return f"<fetch><entity name='account'><attribute name='name'/><filter>{one}</filter></entity></fetch>"


@pytest.mark.parametrize(
    ("attribute", "operator", "values", "expected"),
    [
        ("name", "eq", ["old LTD."], {OLD}),
        ("name", "eq", ["MÜLLER &amp; SÖHNE"], {MUELLER}),
        ("name", "ne", ["Yesterday"], {OLD, MUELLER, PURE}),
        ("name", "neq", ["Yesterday"], {OLD, MUELLER, PURE}),
        ("name", "gt", ["old"], {OLD, YESTERDAY}),
        ("name", "like", ["%TERD%"], {YESTERDAY}),
        ("name", "like", ["_ld%"], {OLD}),
        ("name", "like", ["[xyz]esterday"], {YESTERDAY}),
        ("name", "like", ["%[[]pure]%"], {PURE}),
        ("name", "like", ["%söhne"], {MUELLER}),
        ("name", "not-like", ["%e%"], {OLD}),
        ("accountnumber", "not-like", ["%e%"], ALL),
        ("name", "begins-with", ["yes"], {YESTERDAY}),
        ("name", "not-begin-with", ["yes"], {OLD, MUELLER, PURE}),
        ("name", "ends-with", ["ltd."], {OLD}),
        ("name", "not-end-with", ["ltd."], {YESTERDAY, MUELLER, PURE}),
        ("name", "in", ["Yesterday", "old ltd."], {OLD, YESTERDAY}),
        ("name", "not-in", ["Yesterday", "old ltd."], {MUELLER, PURE}),
        ("name", "in", ["MÜLLER &amp; SÖHNE", "x"], {MUELLER}),
        ("name", "not-in", ["MÜLLER &amp; SÖHNE", "x"], {OLD, YESTERDAY, PURE}),
        ("name", "eq", [" Yesterday "], set()),
        ("numberofemployees", "eq", [" 50 "], {MUELLER}),
        ("numberofemployees", "eq", ["50"], {MUELLER}),
        ("numberofemployees", "ne", ["3"], {YESTERDAY, MUELLER, PURE}),
        ("numberofemployees", "in", ["3", "50"], {OLD, MUELLER}),
        ("numberofemployees", "not-in", ["3", "50"], {YESTERDAY, PURE}),
        ("numberofemployees", "between", ["3", "50"], {OLD, MUELLER}),
        ("numberofemployees", "not-between", ["3", "50"], {PURE}),
        ("numberofemployees", "null", [], {YESTERDAY}),
        ("numberofemployees", "not-null", [], {OLD, MUELLER, PURE}),
        ("revenue", "lt", ["0"], {YESTERDAY}),
        ("revenue", "ge", ["100.0"], {MUELLER, PURE}),
        ("revenue", "le", ["1000.50"], {YESTERDAY, MUELLER, PURE}),
        ("creditonhold", "eq", ["1"], {MUELLER}),
        ("creditonhold", "eq", ["true"], {MUELLER}),
        ("creditonhold", "eq", ["0"], {OLD, YESTERDAY, PURE}),
        ("statecode", "eq", ["1"], {PURE}),
        ("contoso_foundedon", "lt", ["1900-01-01"], {OLD}),
        ("contoso_foundedon", "on", ["1890-05-01"], {OLD}),
        ("createdon", "ge", ["2025-06-15"], ALL),
        ("createdon", "lt", ["2025-06-15 12:00:00"], set()),
        ("createdon", "le", ["2025-06-15T12:00:00Z"], ALL),
        ("contoso_services", "contain-values", ["100000000"], {YESTERDAY}),
        ("contoso_services", "contain-values", ["100000001", "100000002"], {YESTERDAY, MUELLER}),
        ("contoso_services", "not-contain-values", ["100000000"], {OLD, MUELLER, PURE}),
        ("ownerid", "eq-userid", [], {OLD, YESTERDAY, PURE}),
        ("ownerid", "ne-userid", [], {MUELLER}),
        ("ownerid", "eq-userteams", [], {MUELLER}),
        ("ownerid", "eq-useroruserteams", [], ALL),
        ("owningbusinessunit", "eq-businessid", [], ALL),
        ("owningbusinessunit", "ne-businessid", [], set()),
        ("numberofemployees", "eq-userlanguage", [], set()),
    ],
)
def test_operators_find_their_rows(firms, attribute, operator, values, expected):
    assert {row["name"] for row in rows(firms, document(attribute, operator, *values))} == expected


@pytest.mark.parametrize(
    ("operator", "start", "expected"),
    [
        ("under", "old", {MUELLER, PURE}),
        ("eq-or-under", "old", {OLD, MUELLER, PURE}),
        ("not-under", "old", {OLD, YESTERDAY}),
        ("above", "pure", {OLD, MUELLER}),
        ("eq-or-above", "pure", {OLD, MUELLER, PURE}),
        ("above", "old", set()),
    ],
)
def test_hierarchies_are_followed(firms, operator, start, expected):
    found = rows(firms, document("accountid", operator, f"{{{firms.ids[start].upper()}}}"))
    assert {row["name"] for row in found} == expected


def test_a_lookup_is_compared_by_id_with_or_without_braces(firms):
    nancy = firms.ids["nancy"]
    for text in (nancy, f"{{{nancy.upper()}}}"):
        assert [row["name"] for row in rows(firms, document("primarycontactid", "eq", text))] == [MUELLER]


def test_filters_are_nested(firms):
    xml = (
        "<fetch><entity name='account'><attribute name='name'/><filter type='and'>"
        "<condition attribute='statecode' operator='eq' value='0'/>"
        "<filter type='or'><condition attribute='revenue' operator='lt' value='0'/>"
        "<condition attribute='numberofemployees' operator='eq' value='3'/></filter></filter></entity></fetch>"
    )
    assert {row["name"] for row in rows(firms, xml)} == {OLD, YESTERDAY}


def test_columns_of_a_row_are_compared(firms):
    firms.make("contacts", firstname="Same", lastname="same")
    xml = (
        "<fetch><entity name='contact'><attribute name='fullname'/><filter>"
        "<condition attribute='firstname' operator='eq' valueof='lastname'/></filter></entity></fetch>"
    )
    assert [row["fullname"] for row in rows(firms, xml, "contacts")] == ["Same same"]


# The clock stands at Sunday 15 June 2025, 12:00; rows lie at these moments.
MOMENTS = {
    "1999": "1999-03-01T00:00:00Z",
    "year ago": "2024-06-01T00:00:00Z",
    "January": "2025-01-10T00:00:00Z",
    "May": "2025-05-20T00:00:00Z",
    "Tuesday": "2025-06-10T09:00:00Z",
    "yesterday": "2025-06-14T23:59:00Z",
    "morning": "2025-06-15T11:30:00Z",
    "evening": "2025-06-15T18:00:00Z",
    "tomorrow": "2025-06-16T08:00:00Z",
    "Saturday": "2025-06-21T23:00:00Z",
    "next week": "2025-06-24T00:00:00Z",
    "July": "2025-07-30T00:00:00Z",
    "next year": "2026-02-02T00:00:00Z",
}


@pytest.fixture(scope="module")
def moments(shared_sample):
    service = type(shared_sample)("empty")
    for subject, moment in MOMENTS.items():
        service.make("tasks", subject=subject, scheduledstart=moment)
    return service


@pytest.mark.parametrize(
    ("operator", "values", "expected"),
    [
        ("today", [], {"morning", "evening"}),
        ("yesterday", [], {"yesterday"}),
        ("tomorrow", [], {"tomorrow"}),
        ("last-seven-days", [], {"Tuesday", "yesterday", "morning", "evening"}),
        ("next-seven-days", [], {"tomorrow", "Saturday"}),
        ("last-week", [], {"Tuesday", "yesterday"}),
        ("this-week", [], {"morning", "evening", "tomorrow", "Saturday"}),
        ("next-week", [], {"next week"}),
        ("last-month", [], {"May"}),
        (
            "this-month",
            [],
            {"Tuesday", "yesterday", "morning", "evening", "tomorrow", "Saturday", "next week"},
        ),
        ("next-month", [], {"July"}),
        ("last-year", [], {"year ago"}),
        ("this-year", [], set(MOMENTS) - {"1999", "year ago", "next year"}),
        ("next-year", [], {"next year"}),
        ("on", ["2025-06-15"], {"morning", "evening"}),
        ("on-or-after", ["2025-07-30"], {"July", "next year"}),
        ("on-or-before", ["2024-06-01"], {"1999", "year ago"}),
        ("last-x-hours", ["2"], {"morning"}),
        ("next-x-hours", ["24"], {"evening", "tomorrow"}),
        ("last-x-days", ["1"], {"yesterday", "morning", "evening"}),
        ("next-x-days", ["1"], {"morning", "evening", "tomorrow"}),
        ("last-x-weeks", ["4"], {"May", "Tuesday", "yesterday", "morning", "evening"}),
        ("next-x-weeks", ["1"], {"morning", "evening", "tomorrow", "Saturday"}),
        ("last-x-months", ["1"], {"May", "Tuesday", "yesterday", "morning", "evening"}),
        ("next-x-months", ["1"], {"morning", "evening", "tomorrow", "Saturday", "next week"}),
        ("last-x-years", ["1"], {"January", "May", "Tuesday", "yesterday", "morning", "evening"}),
        (
            "next-x-years",
            ["1"],
            {"morning", "evening", "tomorrow", "Saturday", "next week", "July", "next year"},
        ),
        ("olderthan-x-minutes", ["60"], {"1999", "year ago", "January", "May", "Tuesday", "yesterday"}),
        ("olderthan-x-hours", ["24"], {"1999", "year ago", "January", "May", "Tuesday"}),
        ("olderthan-x-days", ["3"], {"1999", "year ago", "January", "May", "Tuesday"}),
        ("olderthan-x-weeks", ["10"], {"1999", "year ago", "January"}),
        ("olderthan-x-months", ["2"], {"1999", "year ago", "January"}),
        ("olderthan-x-years", ["2"], {"1999"}),
        ("this-fiscal-year", [], set(MOMENTS) - {"1999", "year ago", "next year"}),
        ("last-fiscal-year", [], {"year ago"}),
        ("next-fiscal-year", [], {"next year"}),
        ("last-x-fiscal-years", ["1"], {"year ago"}),
        ("next-x-fiscal-years", ["2"], {"next year"}),
        ("in-fiscal-year", ["1999"], {"1999"}),
        ("last-fiscal-period", [], {"January"}),
        ("next-fiscal-period", [], {"July"}),
        ("last-x-fiscal-periods", ["1"], {"January"}),
        ("next-x-fiscal-periods", ["3"], {"July", "next year"}),
        ("in-fiscal-period", ["1"], {"1999", "January", "next year"}),
        ("in-fiscal-period-and-year", ["1", "2025"], {"January"}),
        ("in-or-before-fiscal-period-and-year", ["1", "2024"], {"1999"}),
        ("in-or-after-fiscal-period-and-year", ["3", "2025"], {"July", "next year"}),
    ],
)
def test_dates_are_found_round_today(moments, operator, values, expected):
    inside = "".join(f"<value>{value}</value>" for value in values)
    xml = (
        "<fetch><entity name='task'><attribute name='subject'/><filter>"
        f"<condition attribute='scheduledstart' operator='{operator}'>{inside}</condition>"
        "</filter></entity></fetch>"
    )
    assert {row["subject"] for row in rows(moments, xml, "tasks")} == expected


def test_the_same_spans_serve_query_functions(moments):
    inside = "Microsoft.Dynamics.CRM.ThisWeek(PropertyName='scheduledstart')"
    found = {row["subject"] for row in moments.get(f"tasks?$select=subject&$filter={inside}").rows}
    assert found == {"morning", "evening", "tomorrow", "Saturday"}


@pytest.mark.parametrize("name", SPANS)
def test_every_span_is_a_span_on_every_day_of_a_leap_year(name):
    for month in range(1, 13):
        for day in (1, 28, 29, 30, 31):
            try:
                today = datetime(2024, month, day, tzinfo=timezone.utc)
            except ValueError:
                continue
            numbers = [2024] if name == "InFiscalYear" else {0: [], 1: [3], 2: [4, 2024]}[arity(name)]
            first, last = SPANS[name](today, numbers)
            assert first is None or last is None or first < last


@pytest.mark.parametrize(
    ("attribute", "operator", "values"),
    [
        ("numberofemployees", "like", ["1%"]),
        ("ownerid", "eq-useroruserhierarchy", []),
        ("ownerid", "eq-useroruserhierarchyandteams", []),
        ("primarycontactid", "under", ["00000000-0000-0000-0000-000000000001"]),
        ("name", "sounds-like", ["x"]),
    ],
)
def test_other_operators_are_not_emulated(firms, attribute, operator, values):
    answer = ask(firms, document(attribute, operator, *values))
    assert (answer.status, answer.message[:14]) == (501, "not emulated: ")


@pytest.mark.parametrize(
    ("attribute", "operator", "values"),
    [
        ("name", "eq", ["a", "b"]),
        ("name", "in", []),
        ("numberofemployees", "between", ["1"]),
        ("createdon", "eq", ["soon"]),
        ("createdon", "last-x-days", ["many"]),
        ("createdon", "last-x-weeks", []),
        ("createdon", "in-fiscal-period-and-year", ["5", "2025"]),
        ("createdon", "in-fiscal-period", ["7"]),
        ("name", "today", []),
        ("contoso_foundedon", "last-x-hours", ["3"]),
        ("creditonhold", "eq", ["perhaps"]),
        ("statecode", "eq", ["1.5"]),
    ],
)
def test_values_that_do_not_fit_are_refused(firms, attribute, operator, values):
    assert ask(firms, document(attribute, operator, *values)).status == 400
