"""Aggregates in FetchXML, on the ten accounts of Microsoft's own page about them."""

from __future__ import annotations

from urllib.parse import quote

import pytest

CRM = "Microsoft.Dynamics.CRM"
EVERYTHING = {"prefer": 'odata.include-annotations="*"'}
# https://learn.microsoft.com/power-apps/developer/data-platform/fetchxml/aggregate-data
FIRMS = [
    (None, "Example Account", None),
    (1500, "Contoso Pharmaceuticals (sample)", "Redmond"),
    (2700, "Fabrikam, Inc. (sample)", "Lynnwood"),
    (2900, "Blue Yonder Airlines (sample)", "Los Angeles"),
    (2900, "City Power & Light (sample)", "Redmond"),
    (3900, "Coho Winery (sample)", "Phoenix"),
    (4300, "Adventure Works (sample)", "Santa Cruz"),
    (4800, "Alpine Ski House (sample)", "Missoula"),
    (6000, "Litware, Inc. (sample)", "Dallas"),
    (6200, "A. Datum Corporation (sample)", "Redmond"),
]


@pytest.fixture(scope="module")
def firms(module_service):
    service = module_service
    service.now = service.now.replace(year=2023, month=3, day=25)
    for employees, name, city in FIRMS:
        if employees is None:
            continue
        service.make("accounts", name=name, numberofemployees=employees, address1_city=city)
    service.now = service.now.replace(month=8, day=27)
    service.make("accounts", name=FIRMS[0][1])
    return service


def fetched(service, attributes, *, entity="account", fetch="", inside="", **headers):
    entity_set = {"account": "accounts", "contact": "contacts", "task": "tasks"}[entity]
    xml = f"<fetch aggregate='true' {fetch}><entity name='{entity}'>{attributes}{inside}</entity></fetch>"
    return service.get(f"{entity_set}?fetchXml={quote(xml, safe='')}", **headers)


def attribute(name, alias, **more):
    given = "".join(f" {key}='{value}'" for key, value in more.items())
    return f"<attribute name='{name}' alias='{alias}'{given}/>"


def total(alias="Total"):
    return attribute("numberofemployees", alias, aggregate="sum")


def test_every_function_gives_what_the_page_says(firms):
    functions = {
        "Average": "avg",
        "Count": "count",
        "ColumnCount": "countcolumn",
        "Maximum": "max",
        "Minimum": "min",
        "Sum": "sum",
    }
    text = "".join(attribute("numberofemployees", alias, aggregate=name) for alias, name in functions.items())
    text += attribute("numberofemployees", "Different", aggregate="countcolumn", distinct="true")
    assert fetched(firms, text).rows == [
        {
            "Average": 3911,
            "Count": 10,
            "ColumnCount": 9,
            "Maximum": 6200,
            "Minimum": 1500,
            "Sum": 35200,
            "Different": 8,
        }
    ]


def test_groups_come_in_the_order_of_an_alias_and_a_sum_of_nothing_is_0(firms):
    text = total() + attribute("address1_city", "Count", aggregate="count")
    text += attribute("address1_city", "City", groupby="true")
    rows = fetched(firms, text, inside="<order alias='City'/>").rows
    assert [(row["Total"], row["Count"], row.get("City")) for row in rows] == [
        (0, 1, None),
        (6000, 1, "Dallas"),
        (2900, 1, "Los Angeles"),
        (2700, 1, "Lynnwood"),
        (4800, 1, "Missoula"),
        (3900, 1, "Phoenix"),
        (10600, 3, "Redmond"),
        (4300, 1, "Santa Cruz"),
    ]


def test_groups_may_be_ordered_by_what_was_added_up(firms):
    text = total() + attribute("address1_city", "City", groupby="true")
    rows = fetched(firms, text, inside="<order alias='Total' descending='true'/>", fetch="top='2'").rows
    assert [row["Total"] for row in rows] == [10600, 6000]


def test_dates_are_grouped_by_their_parts(firms):
    parts = ("day", "week", "month", "quarter", "year")
    text = total() + "".join(
        attribute("createdon", part, groupby="true", dategrouping=part) for part in parts
    )
    assert fetched(firms, text, inside="<order alias='month'/>").rows == [
        {"Total": 35200, "day": 25, "week": 12, "month": 3, "quarter": 1, "year": 2023},
        {"Total": 0, "day": 27, "week": 35, "month": 8, "quarter": 3, "year": 2023},
    ]


def test_weeks_begin_on_sundays_in_every_year(empty):
    for day in ("2024-01-01", "2024-01-06", "2024-01-07", "2024-12-31"):
        empty.make("tasks", subject=day, scheduledstart=f"{day}T00:00:00Z")
    text = attribute("scheduledstart", "week", groupby="true", dategrouping="week")
    text += attribute("activityid", "n", aggregate="count")
    assert fetched(empty, text, entity="task", inside="<order alias='week'/>").rows == [
        {"week": 1, "n": 2},
        {"week": 2, "n": 1},
        {"week": 53, "n": 1},
    ]


def test_annotations_name_the_column_behind_an_alias(firms):
    text = attribute("statecode", "s", groupby="true") + attribute("accountid", "n", aggregate="count")
    rows = fetched(firms, text, **EVERYTHING).rows
    assert rows == [
        {
            "s@OData.Community.Display.V1.AttributeName": "statecode",
            "s@OData.Community.Display.V1.FormattedValue": "Active",
            "s": 0,
            "n@OData.Community.Display.V1.AttributeName": "accountid",
            "n@OData.Community.Display.V1.FormattedValue": "10",
            "n": 10,
        }
    ]


def test_a_lookup_that_is_grouped_names_its_table(firms):
    text = attribute("ownerid", "o", groupby="true") + attribute("accountid", "n", aggregate="count")
    (row,) = fetched(firms, text, **EVERYTHING).rows
    assert row["o@Microsoft.Dynamics.CRM.lookuplogicalname"] == "systemuser"
    assert row["o@OData.Community.Display.V1.FormattedValue"] == "System Administrator"


def test_linked_tables_are_added_up_too(empty):
    for name, amounts in (("A", (1.5, 2)), ("B", (4,))):
        account = empty.make("accounts", name=name)
        for amount in amounts:
            parent = {"parentcustomerid_account@odata.bind": f"/accounts({account})"}
            empty.make("contacts", lastname="X", annualincome=amount, **parent)
    link = (
        "<link-entity name='contact' from='parentcustomerid' to='accountid' alias='c'>"
        + attribute("annualincome", "income", aggregate="sum")
        + "</link-entity><order alias='who'/>"
    )
    rows = fetched(empty, attribute("name", "who", groupby="true"), inside=link).rows
    assert rows == [{"who": "A", "income": 3.5}, {"who": "B", "income": 4}]


def test_a_count_alone_has_one_page(firms):
    count = attribute("accountid", "n", aggregate="count")
    assert fetched(firms, count, fetch="page='2' count='5'").rows == []


def test_a_count_alone_is_ordered_by_known_aliases_too(firms):
    answer = fetched(firms, attribute("accountid", "n", aggregate="count"), inside="<order alias='m'/>")
    assert (answer.status, answer.error) == (400, "0x8004110a")


def test_groups_are_paged_by_number_without_a_cookie(firms):
    text = attribute("address1_city", "City", groupby="true")
    wants = {"prefer": f'odata.include-annotations="{CRM}.*"'}
    order = "<order alias='City'/>"
    first = fetched(firms, text, inside=order, fetch="count='5' page='1'", **wants).json
    second = fetched(firms, text, inside=order, fetch="count='5' page='2'", **wants).json
    assert first[f"@{CRM}.morerecords"] is True
    assert f"@{CRM}.fetchxmlpagingcookie" not in first
    assert f"@{CRM}.morerecords" not in second
    assert [len(first["value"]), len(second["value"])] == [5, 3]


@pytest.mark.parametrize("fetch", ["", "aggregatelimit='40000'"])
def test_more_rows_than_the_limit_are_refused(firms, fetch):
    firms.api.query_limits.aggregate = 9
    try:
        answer = fetched(firms, attribute("accountid", "n", aggregate="count"), fetch=fetch)
    finally:
        firms.api.query_limits.restore()
    assert (answer.status, answer.error) == (400, "0x8004e023")


def test_a_query_may_lower_the_limit_for_itself(firms):
    text = attribute("accountid", "n", aggregate="count")
    assert fetched(firms, text, fetch="aggregatelimit='9'").error == "0x8004e023"
    assert fetched(firms, text, fetch="aggregatelimit='10'").rows == [{"n": 10}]


@pytest.mark.parametrize(
    ("attributes", "inside", "code"),
    [
        ("<attribute name='name' aggregate='count'/>", "", "0x8004110b"),
        ("<attribute name='name' alias='n'/>", "", "0x80041107"),
        ("<all-attributes/>", "", "0x80041107"),
        (attribute("name", "n", aggregate="count", groupby="true"), "", "0x80041137"),
        (attribute("name", "n", aggregate="median"), "", "0x8004111a"),
        (total("a") + total("a"), "", "0x80041130"),
        (attribute("createdon", "d", groupby="true", dategrouping="decade"), "", "0x80041135"),
        (attribute("name", "d", groupby="true", dategrouping="year"), "", "0x80041135"),
        (total(), "<order attribute='numberofemployees'/>", "0x80041131"),
        (total(), "<order alias='nothing'/>", "0x8004110a"),
        ("", "", "0x8004112f"),
    ],
)
def test_what_cannot_be_added_up_is_refused(firms, attributes, inside, code):
    answer = fetched(firms, attributes, inside=inside)
    assert (answer.status, answer.error) == (400, code)


@pytest.mark.parametrize(
    "attributes",
    [
        attribute("createdon", "d", groupby="true"),
        attribute("createdon", "d", groupby="true", dategrouping="fiscal-period"),
        attribute("name", "n", aggregate="max"),
        attribute("accountid", "n", rowaggregate="CountChildren"),
    ],
)
def test_what_is_not_known_is_not_emulated(firms, attributes):
    answer = fetched(firms, attributes)
    assert (answer.status, answer.message[:14]) == (501, "not emulated: ")
