"""`$filter`: operators, text, paths, lambdas, aliases and Dataverse's own query functions."""

from __future__ import annotations

import pytest

from airflow_provider_dynamics.emulator.querying.filter_text import parse


@pytest.fixture(scope="module")
def firms(module_service):
    """Four accounts that differ in everything filters ask for."""
    service = module_service
    contact = service.make("contacts", firstname="Nancy", lastname="Anderson", jobtitle="Owner")
    primary = {"primarycontactid@odata.bind": f"/contacts({contact})"}
    service.wait(days=-40)
    service.make("accounts", name="Old Ltd.", numberofemployees=3, contoso_foundedon="1890-05-01")
    service.wait(days=39)
    service.make("accounts", name="Yesterday", revenue=-5.25, contoso_services="100000000,100000002")
    service.wait(days=1)
    service.make(
        "accounts", name="Müller & Söhne", numberofemployees=50, revenue=100, creditonhold=True, **primary
    )
    account = service.make("accounts", name="100% [pure] O'Brien", numberofemployees=2000, revenue=1000.5)
    about = {"regardingobjectid_account_task@odata.bind": f"/accounts({account})"}
    service.make("tasks", subject="Call back", **about)
    service.make("tasks", subject="Write", statecode=1, **about)
    return service


OLD, YESTERDAY, MUELLER, PURE = "Old Ltd.", "Yesterday", "Müller & Söhne", "100% [pure] O'Brien"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name eq 'old LTD.'", {OLD}),
        ("name eq 'MÜLLER %26 SÖHNE'", {MUELLER}),
        ("name eq '100%25 [pure] O''Brien'", {PURE}),
        ("name ne 'Yesterday'", {OLD, MUELLER, PURE}),
        ("numberofemployees ne 3", {YESTERDAY, MUELLER, PURE}),
        ("revenue eq null", {OLD}),
        ("revenue ne null", {YESTERDAY, MUELLER, PURE}),
        ("revenue lt 0", {YESTERDAY}),
        ("revenue ge 100 and revenue le 1000.50", {MUELLER, PURE}),
        ("100 lt revenue", {PURE}),
        ("creditonhold eq true", {MUELLER}),
        ("not (creditonhold eq true)", {OLD, YESTERDAY, PURE}),
        ("not contains(name,'e')", {OLD}),
        ("numberofemployees eq 3 or revenue eq 100", {OLD, MUELLER}),
        ("contoso_foundedon lt 1900-01-01", {OLD}),
        ("createdon ge 2025-06-15T00:00:00Z", {MUELLER, PURE}),
        ("createdon lt 2025-06-15T14:00:00%2B02:00", {OLD, YESTERDAY}),
        ("startswith(name,'yes')", {YESTERDAY}),
        ("endswith(name,'ltd.')", {OLD}),
        ("contains(name,'söhne')", {MUELLER}),
        ("contains(name,'%25terd')", {YESTERDAY}),
        ("contains(name,'_ld')", {OLD}),
        ("contains(name,'[xyz]esterday')", {YESTERDAY}),
        ("contains(name,'[[]pure]')", {PURE}),
        ("statecode eq 0 and statuscode eq 1", {OLD, YESTERDAY, MUELLER, PURE}),
        ("primarycontactid/fullname eq 'nancy anderson'", {MUELLER}),
        ("primarycontactid/createdby/fullname eq 'System Administrator'", {MUELLER}),
        ("_primarycontactid_value ne null", {MUELLER}),
        ("Account_Tasks/any()", {PURE}),
        ("Account_Tasks/any(t:t/subject eq 'call back' and t/statecode eq 0)", {PURE}),
        ("Account_Tasks/all(t:t/statecode eq 0)", {OLD, YESTERDAY, MUELLER}),
        ("Account_Tasks/any(t:t/statecode eq 5)", set()),
        ("createdon eq modifiedon", {OLD, YESTERDAY, MUELLER, PURE}),
    ],
)
def test_filters_select_the_rows_they_say(firms, text, expected):
    answer = firms.get(f"accounts?$select=name&$filter={text}")
    assert answer.status == 200, answer.content
    assert {row["name"] for row in answer.rows} == expected


def crm(name, *values, column="createdon"):
    listed = ",".join(f'"{value}"' for value in values)
    given = {0: "", 1: f",PropertyValue={values[0]}" if values else ""}.get(
        len(values), f",PropertyValues=[{listed}]"
    )
    return f"Microsoft.Dynamics.CRM.{name}(PropertyName='{column}'{given})"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (crm("In", "Yesterday", "old ltd.", column="name"), {OLD, YESTERDAY}),
        (crm("In", "MÜLLER %26 SÖHNE", "x", column="name"), {MUELLER}),
        (crm("NotIn", "MÜLLER %26 SÖHNE", "x", column="name"), {OLD, YESTERDAY, PURE}),
        (
            "Microsoft.Dynamics.CRM.InFiscalPeriodAndYear(PropertyName='createdon',PropertyValue1=2,PropertyValue2=2025)",
            {OLD, YESTERDAY, MUELLER, PURE},
        ),
        ("name eq 'PropertyValue1=1,PropertyValue2=2'", set()),
        (crm("In", 3, 50, column="numberofemployees"), {OLD, MUELLER}),
        (crm("NotIn", 3, 50, column="numberofemployees"), {YESTERDAY, PURE}),
        (crm("Between", 5, 2000, column="numberofemployees"), {MUELLER, PURE}),
        (crm("NotBetween", 5, 2000, column="numberofemployees"), {OLD}),
        (crm("ContainValues", 100000002, 100000004, column="contoso_services"), {YESTERDAY}),
        (crm("Today"), {MUELLER, PURE}),
        (crm("Yesterday"), {YESTERDAY}),
        (crm("LastXDays", 3), {YESTERDAY, MUELLER, PURE}),
        (crm("LastXHours", 24), {YESTERDAY, MUELLER, PURE}),
        (crm("LastXHours", 12), {MUELLER, PURE}),
        (crm("OlderThanXDays", 30), {OLD}),
        (crm("On", "2025-06-14"), {YESTERDAY}),
        (crm("OnOrAfter", "2025-06-14"), {YESTERDAY, MUELLER, PURE}),
        (crm("OnOrBefore", "2025-06-14"), {OLD, YESTERDAY}),
        (crm("OnOrBefore", "1890-05-01", column="contoso_foundedon"), {OLD}),
        (crm("EqualUserId", column="ownerid"), {OLD, YESTERDAY, MUELLER, PURE}),
        (crm("NotEqualUserId", column="ownerid"), set()),
        (crm("EqualBusinessId", column="owningbusinessunit"), {OLD, YESTERDAY, MUELLER, PURE}),
        ("primarycontactid/" + crm("OlderThanXHours", 0, column="createdon"), set()),
    ],
)
def test_query_functions_select_the_rows_they_say(firms, text, expected):
    answer = firms.get(f"accounts?$select=name&$filter={text}")
    assert answer.status == 200, answer.content
    assert {row["name"] for row in answer.rows} == expected


def test_aliases_stand_for_values_and_unset_ones_for_null(firms):
    query = (
        "accounts?$select=name&$orderby=@p2 desc&$filter=revenue gt @p1 or revenue eq @unset&@p1=50&@p2=name"
    )
    assert [row["name"] for row in firms.get(query).rows] == [OLD, MUELLER, PURE]


def test_aliases_name_the_column_of_a_query_function(firms):
    query = (
        "accounts?$select=name&$filter=Microsoft.Dynamics.CRM.LastXHours(PropertyName=@p1,PropertyValue=@p2)"
        "&@p1='modifiedon'&@p2=12"
    )
    assert len(firms.get(query).rows) == 2


@pytest.mark.parametrize(
    ("text", "status", "message"),
    [
        (
            "_ownerid_value eq 'abc'",
            400,
            "Found operand types 'Edm.Guid' and 'Edm.String' for operator kind 'Equal'.",
        ),
        ("numberofemployees eq '3'", 400, "'Edm.Int32' and 'Edm.String'"),
        ("name eq 5", 400, "'Edm.String' and 'Edm.Int32'"),
        ("contoso_foundedon eq 2024-01-01T00:00:00Z", 400, "'Edm.Date' and 'Edm.DateTimeOffset'"),
        ("name eq 'open", 400, "There is an unterminated literal at position"),
        ("name eq", 400, "Syntax error"),
        (f"not {crm('Today')}", 400, "Not operator along with the Custom Named Condition operators"),
        (crm("Under", "'x'", column="parentaccountid"), 501, "not emulated: the query function Under"),
        ("year(createdon) eq 2024", 501, "not emulated: the function year"),
        ("nonsense/any(x:x/a eq 1)", 400, "Could not find a property named 'nonsense'"),
        (crm("LastXHours", 3, column="contoso_foundedon"), 400, "cannot be applied"),
        (crm("LastXDays", "'x'"), 400, "needs a whole number"),
        (crm("Today", column="name"), 400, "cannot be applied"),
    ],
)
def test_filters_that_make_no_sense_say_why(firms, text, status, message):
    answer = firms.get(f"accounts?$filter={text}")
    assert answer.status == status
    assert message in answer.message


def test_what_looks_like_an_alias_inside_a_list_is_text():
    tree, lists = parse(
        'Microsoft.Dynamics.CRM.In(PropertyName=\'a\',PropertyValues=["x@y.z","O\'H @b"])', {}
    )
    assert lists == [["x@y.z", "O'H @b"]]
    _, given = parse("Microsoft.Dynamics.CRM.In(PropertyName='a',PropertyValues=@p)", {"@p": '["x@y.z"]'})
    assert given == [["x@y.z"]]
    assert tree is not None


def test_a_value_with_an_apostrophe_needs_double_quotes_in_a_list(firms):
    good = "Microsoft.Dynamics.CRM.In(PropertyName='name',PropertyValues=[\"100%25 [pure] O'Brien\"])"
    assert [row["name"] for row in firms.get(f"accounts?$filter={good}").rows] == [PURE]
    bad = "Microsoft.Dynamics.CRM.In(PropertyName='name',PropertyValues=['O'Brien'])"
    assert "Invalid JSON" in firms.get(f"accounts?$filter={bad}").message


def test_a_date_only_column_never_moves_with_a_time_zone(firms):
    assert len(firms.get("accounts?$filter=contoso_foundedon eq 1890-05-01").rows) == 1


def test_lists_and_enums_are_taken_out_before_parsing():
    tree, lists = parse("a eq Microsoft.Dynamics.CRM.Kind'X' and b eq @p", {"@p": "'y'"})
    assert lists == []
    assert "X" in repr(tree)
    assert "y" in repr(tree)


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("revenue gt 99999999999999999999999999", 200),
        (crm("LastXDays", 99999999), 400),
        (crm("ContainValues", "abc", column="contoso_services"), 400),
        (crm("In", "NaN", "1e999", column="numberofemployees"), 400),
    ],
)
def test_extreme_values_never_break_the_service(firms, text, status):
    assert firms.get(f"accounts?$filter={text}").status == status
