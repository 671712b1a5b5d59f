"""Whatever is asked, the answer is an answer: documented errors, or 501 for what is beyond the emulator."""

from __future__ import annotations

import logging
import time
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

import pytest

from airflow_provider_dynamics.emulator.fetch_xml.conditions import OPERATORS
from tests.emulator.data.fetching import ask

NUMBERS = ["²", "1_000", "NaN", "1e999999", "-1e999999", "9" * 5000, "99999999999999999999"]
VALUES = [
    "",
    *NUMBERS,
    "5000000",
    "-5000000",
    "2024-13-45",
    "9999-12-31T23:59:59-14:00",
    "[",
    "[^]",
    "[z-a]%",
    "%" * 40,
    "'--",
]
OPTIONS = [
    *(f"$top={number}" for number in NUMBERS),
    *(f"$expand=contact_customer_accounts($top={number})" for number in ("²", "9" * 5000)),
    *(f"$deltatoken={token}" for token in ("9" * 5000 + "!01/01/2026 00:00:00", "1!99/99/9999 99:99:99")),
    "$deltatoken=1!02/30/2026 00:00:00",
    "$orderby=" + ",".join(["name"] * 3000),
    "$orderby=" + "primarycontactid/" + "createdby/" * 150 + "fullname",
    "$apply=groupby((" + ",".join(["name"] * 3000) + "))",
    "$apply=aggregate($count as 0n)",
    "$filter=" + "not (" * 60 + "statecode eq 0" + ")" * 60,
    "$filter=" + "not (" * 900 + "statecode eq 0" + ")" * 900,
    "$filter=" + "primarycontactid/" + "createdby/" * 150 + "fullname eq 'x'",
    "$filter=" + " or ".join(["statecode eq 0"] * 3000),
    "$filter=Microsoft.Dynamics.CRM.In('name')",
    "$filter=contact_customer_accounts/any(c:Microsoft.Dynamics.CRM.Today(PropertyName='c'))",
    "$filter=Microsoft.Dynamics.CRM.In(name)",
    "$filter=Microsoft.Dynamics.CRM.In(PropertyName='createdon',PropertyValues=[\"x\"])",
    "$filter=Microsoft.Dynamics.CRM.In(PropertyName='donotemail',PropertyValues=[\"x\"])",
    "$filter=Microsoft.Dynamics.CRM.In(PropertyName='accountid',PropertyValues=[\"x\"])",
    "$filter=Microsoft.Dynamics.CRM.In(PropertyName='name',PropertyValues=[{\"a\":1}])",
    "$filter=Microsoft.Dynamics.CRM.In(PropertyName='name',PropertyValues=[])",
    '$filter=Microsoft.Dynamics.CRM.Between(PropertyName=\'createdon\',PropertyValues=["a","b"])',
    "$filter=Microsoft.Dynamics.CRM.LastXMonths(PropertyName='createdon',PropertyValue=999999)",
]


@pytest.fixture(autouse=True)
def never_breaks(caplog):
    """No request of any test here ends in the emulator's own failure."""
    with caplog.at_level(logging.ERROR):
        yield
    assert [record.getMessage()[:200] for record in caplog.records] == []


def fetched(service, inner="", **attributes):
    given = "".join(f" {name.replace('_', '-')}={quoteattr(text)}" for name, text in attributes.items())
    return ask(
        service, f"<fetch{given}><entity name='account'><attribute name='name' />{inner}</entity></fetch>"
    )


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option[:60])
def test_odata_options_that_make_no_sense_are_refused(sample, option):
    assert sample.get(f"accounts?{option}").status in {400, 501}


@pytest.mark.parametrize("number", ["²", "9" * 5000])
def test_a_page_size_that_is_no_number_is_not_applied(sample, number):
    answer = sample.get("accounts?$select=name", prefer=f"odata.maxpagesize={number}")

    assert (answer.status, "Preference-Applied" in answer.headers) == (200, False)


@pytest.mark.parametrize("name", ["accountid", "revenue", "version", "address1_latitude"])
def test_skip_tokens_nobody_was_given_are_malformed(sample, name):
    order = "" if name in {"accountid", "version"} else f"&$orderby={name}"
    for value in ["x", *NUMBERS[:-1]]:
        for tracking in ("False", "True"):
            key = f'<{name} last="{value}" first="a" />'
            key += '<accountid last="a" first="a" />' if order else ""
            inner = quote(f'<cookie page="1">{key}</cookie>', safe="")
            token = f'<cookie pagenumber="2" pagingcookie="{inner}" istracking="{tracking}" />'

            answer = sample.get(f"accounts?$select=name{order}&$skiptoken={quote(token, safe='')}")

            assert answer.status == 400 or (name, tracking) == ("accountid", "False")


@pytest.mark.parametrize("operator", sorted(OPERATORS))
def test_conditions_with_any_value_are_answered(sample, operator):
    for column in ("name", "revenue", "createdon", "primarycontactid", "statecode"):
        for value in VALUES:
            condition = f"<condition attribute='{column}' operator='{operator}' value={quoteattr(value)} />"
            assert fetched(sample, f"<filter>{condition}</filter>").status in {200, 400, 501}


@pytest.mark.parametrize("name", ["count", "page", "top", "aggregatelimit"])
@pytest.mark.parametrize("number", ["0", "-1", *NUMBERS], ids=lambda number: number[:10])
def test_numbers_of_fetch_are_whole_numbers_above_zero(sample, name, number):
    answer = fetched(sample, **{name: number})

    assert (answer.status, answer.error) == (400, "0x8004110c")


@pytest.mark.parametrize("key", ["x", *NUMBERS], ids=lambda number: number[:10])
def test_paging_cookies_nobody_was_given_are_malformed(sample, key):
    cookie = f'<cookie page="1"><revenue last="{key}" /><accountid last="x" /></cookie>'

    answer = fetched(sample, "<order attribute='revenue' />", page="2", paging_cookie=cookie)

    assert (answer.status, answer.error) == (400, "0x8004112a")


@pytest.mark.parametrize(
    "inner",
    [
        "<filter>" * 1700 + "</filter>" * 1700,
        "<order attribute='name' />" * 3000,
        "".join(f"<attribute name='name' alias='a{number}' />" for number in range(3000)),
    ],
    ids=["filters", "orders", "columns"],
)
def test_documents_beyond_what_can_be_done_say_so(sample, inner):
    assert fetched(sample, inner).status == 501


@pytest.mark.parametrize("alias", ["a b", 'a"b', "1a", "x@odata.etag", ""])
def test_aliases_of_columns_are_plain_names(sample, alias):
    answer = fetched(sample, f"<attribute name='accountnumber' alias={quoteattr(alias)} />")

    assert (answer.status, answer.error) == (400, "0x80041109")


def test_a_long_list_of_alternatives_is_no_deep_tree(sample):
    text = " or ".join(f"numberofemployees eq {number}" for number in range(900))

    assert sample.get(f"accounts?$select=name&$filter={text}").status == 200


@pytest.mark.parametrize(
    "text",
    [
        "name eq '" + "a" * 60_000 + "'",
        "contains(name,'" + "a" * 60_000 + "')",
        "contains(name,'[x]" + "%a" * 300 + "')",
    ],
    ids=["long", "long pattern", "many wildcards"],
)
def test_no_text_takes_long_to_compare(empty, text):
    empty.make("accounts", name="a" * 160)
    started = time.perf_counter()

    assert empty.get(f"accounts?$filter={text}").status == 200

    assert time.perf_counter() - started < 2
