"""The emulator judged by a client that knows Dataverse and not us: npm `dynamics-web-api`, unmodified, over TLS.

What it reads must be what is stored; it was written against the real service.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from decimal import Decimal
from typing import Any

import pytest

from airflow_provider_dynamics.emulator import Emulator
from tests.peers.dynamics import DynamicsWebApi, Refused, call

FETCH = (
    '<fetch count="{count}"><entity name="contact"><attribute name="fullname"/>'
    '<link-entity name="account" from="accountid" to="parentcustomerid" link-type="outer" alias="employer">'
    '<attribute name="name"/></link-entity><order attribute="fullname"/></entity></fetch>'
)

# The client leaves it to its user to ask for the cookie, without which there is one page only.
COOKIE = {"includeAnnotations": "Microsoft.Dynamics.CRM.fetchxmlpagingcookie"}


@pytest.fixture
def client(dynamics_web_api: DynamicsWebApi, emulator: Emulator) -> DynamicsWebApi:
    assert emulator.rows("account"), "reset to the sample"
    return dynamics_web_api


def ids(rows: list[dict[str, Any]], table: str = "account") -> list[str]:
    return sorted(row[f"{table}id"] for row in rows)


def test_it_reads_every_page_of_a_table(client: DynamicsWebApi, emulator: Emulator) -> None:
    found = client.ask(
        "retrieveAll", {"collection": "accounts", "select": ["name"], "maxPageSize": 4, "orderBy": ["name"]}
    )
    assert ids(found["value"]) == ids(emulator.rows("account"))


def test_it_filters_sorts_counts_and_shows_labels(client: DynamicsWebApi, emulator: Emulator) -> None:
    found = client.ask(
        "retrieveMultiple",
        {
            "collection": "accounts",
            "select": ["name", "statecode"],
            "filter": "statecode eq 0",
            "orderBy": ["name desc"],
            "count": True,
            "includeAnnotations": "*",
        },
    )
    active = [row["name"] for row in emulator.rows("account") if row["statecode"] == 0]
    assert found["oDataCount"] == len(active)
    assert [row["name"] for row in found["value"]] == sorted(active, key=str.casefold, reverse=True)
    assert {row["statecode_Formatted"] for row in found["value"]} == {"Active"}


def test_it_reads_fetchxml_page_by_page_with_the_paging_cookie(
    client: DynamicsWebApi, emulator: Emulator
) -> None:
    document = FETCH.format(count=5)
    pages, cookies, page = [], [], {"PagingInfo": {"nextPage": 1, "cookie": None}}
    while "PagingInfo" in page:
        following = page["PagingInfo"]
        request = {
            "collection": "contacts",
            "fetchXml": document,
            **COOKIE,
            "pageNumber": following["nextPage"],
        }
        if following["cookie"]:
            request["pagingCookie"] = following["cookie"]
        page = client.ask("fetch", request)
        pages.append(page["value"])
        cookies.append(page.get("PagingInfo", {}).get("cookie"))
    rows = [row for page in pages for row in page]
    assert ids(rows, "contact") == ids(emulator.rows("contact"), "contact")
    assert all(len(page) == 5 for page in pages[:-1])
    assert len(set(cookies)) == len(pages), "each page has a cookie of its own, the last none"
    assert {row["employer.name"] for row in rows if "employer.name" in row} <= {
        row["name"] for row in emulator.rows("account")
    }


def test_it_reads_all_of_fetchxml_by_itself(client: DynamicsWebApi, emulator: Emulator) -> None:
    found = client.ask("fetchAll", {"collection": "contacts", "fetchXml": FETCH.format(count=7), **COOKIE})
    assert ids(found["value"], "contact") == ids(emulator.rows("contact"), "contact")


def test_it_aggregates_with_fetchxml(client: DynamicsWebApi, emulator: Emulator) -> None:
    document = (
        '<fetch aggregate="true"><entity name="account"><attribute name="accountid" alias="n" aggregate="count"/>'
        '<attribute name="statecode" alias="state" groupby="true"/></entity></fetch>'
    )
    found = client.ask("fetch", {"collection": "accounts", "fetchXml": document})
    counted = {row["state"]: row["n"] for row in found["value"]}
    assert counted == Counter(row["statecode"] for row in emulator.rows("account"))


def test_a_bad_document_is_refused_with_the_service_s_code(client: DynamicsWebApi) -> None:
    document = '<fetch><entity name="account"><attribute name="nonsense"/></entity></fetch>'
    with pytest.raises(Refused, match="nonsense") as refused:
        client.ask("fetch", {"collection": "accounts", "fetchXml": document})
    assert (refused.value.code, refused.value.status) == ("0x80041103", 400)


def test_it_aggregates_and_groups_with_apply(client: DynamicsWebApi, emulator: Emulator) -> None:
    found = client.ask(
        "retrieveMultiple",
        {
            "collection": "accounts",
            "apply": "groupby((statecode),aggregate($count as n,revenue with sum as total))",
        },
    )
    expected: dict[int, list[Decimal]] = defaultdict(list)
    for row in emulator.rows("account"):
        expected[row["statecode"]].append(Decimal(str(row["revenue"] or 0)))
    groups = {row["statecode"]: (row["n"], round(row.get("total") or 0, 2)) for row in found["value"]}
    assert groups == {state: (len(all_), round(float(sum(all_)), 2)) for state, all_ in expected.items()}


def test_it_expands_lookups_and_collections(client: DynamicsWebApi, emulator: Emulator) -> None:
    found = client.ask(
        "retrieveAll",
        {
            "collection": "accounts",
            "select": ["name"],
            "maxPageSize": 4,
            "expand": [
                {"property": "primarycontactid", "select": ["fullname"]},
                {"property": "Account_Tasks", "select": ["subject"], "orderBy": ["subject desc"], "top": 2},
            ],
        },
    )
    names = {row["contactid"]: row["fullname"] for row in emulator.rows("contact")}
    primary = {row["accountid"]: row["_primarycontactid_value"] for row in emulator.rows("account")}
    assert len(found["value"]) == len(primary)
    for row in found["value"]:
        contact = primary[row["accountid"]]
        assert (row["primarycontactid"] or {}).get("fullname") == (names[contact] if contact else None)
        subjects = [task["subject"] for task in row["Account_Tasks"]]
        assert subjects == sorted(subjects, reverse=True)
        assert len(subjects) <= 2


def test_it_follows_the_inner_links_of_a_nested_expand(client: DynamicsWebApi, emulator: Emulator) -> None:
    request = {
        "collection": "accounts",
        "select": ["name"],
        "maxPageSize": 2,
        "expand": [
            {
                "property": "contact_customer_accounts",
                "select": ["fullname"],
                "expand": [{"property": "owninguser", "select": ["fullname"]}],
            }
        ],
    }
    found: list[str] = []
    for account in client.ask("retrieveAll", request)["value"]:
        inner = account["contact_customer_accounts"]
        link = account.get("contact_customer_accounts@odata.nextLink")
        assert len(inner) <= 2
        assert all(contact["owninguser"] is None or contact["owninguser"]["fullname"] for contact in inner)
        while link:
            page = client.ask("retrieveMultiple", {"collection": "contacts", "maxPageSize": 2}, link)
            inner += page["value"]
            link = page.get("oDataNextLink")
        found += [contact["contactid"] for contact in inner]
    employed = [
        row["contactid"]
        for row in emulator.rows("contact")
        if row["_parentcustomerid_value"] in {one["accountid"] for one in emulator.rows("account")}
    ]
    assert sorted(found) == sorted(employed)


def test_it_follows_changes_by_the_delta_link(client: DynamicsWebApi, emulator: Emulator) -> None:
    doomed, renamed = (
        client.ask("create", {"collection": "accounts", "data": {"name": name}})
        for name in ("Doomed", "Kept")
    )
    request = {"collection": "accounts", "select": ["name"], "trackChanges": True, "maxPageSize": 4}
    first = client.ask("retrieveAll", request)
    assert ids(first["value"]) == ids(emulator.rows("account"))
    client.ask("deleteRecord", {"collection": "accounts", "key": doomed})
    client.ask("update", {"collection": "accounts", "key": renamed, "data": {"name": "Renamed"}})
    made = client.ask("create", {"collection": "accounts", "data": {"name": "New"}})
    changes = client.ask("retrieveMultiple", {"collection": "accounts"}, first["oDataDeltaLink"])
    assert [(row.get("name"), row.get("reason")) for row in changes["value"]] == [
        ("Renamed", None),
        ("New", None),
        (None, "deleted"),
    ]
    assert [row.get("accountid") or row["id"] for row in changes["value"]] == [renamed, made, doomed]
    again = client.ask("retrieveMultiple", {"collection": "accounts"}, changes["oDataDeltaLink"])
    assert again["value"] == []


def test_an_expired_delta_link_is_refused_with_its_code(client: DynamicsWebApi, emulator: Emulator) -> None:
    first = client.ask(
        "retrieveMultiple", {"collection": "accounts", "select": ["name"], "trackChanges": True}
    )
    emulator.expire_delta_tokens()
    with pytest.raises(Refused) as refused:
        client.ask("retrieveMultiple", {"collection": "accounts"}, first["oDataDeltaLink"])
    assert refused.value.code == "0x80044352"


def test_it_reads_in_batches(client: DynamicsWebApi, emulator: Emulator) -> None:
    account = emulator.rows("account")[0]
    answers = client.batch(
        call("retrieveMultiple", {"collection": "accounts", "select": ["name"], "top": 3}),
        call("retrieve", {"collection": "accounts", "key": account["accountid"], "select": ["name"]}),
        call("count", {"collection": "contacts"}),
        call("fetch", {"collection": "contacts", "fetchXml": FETCH.format(count=3)}),
    )
    assert len(answers[0]["value"]) == len(answers[3]["value"]) == 3
    assert answers[1]["name"] == account["name"]
    assert answers[2] == len(emulator.rows("contact"))


def test_a_batch_goes_on_behind_an_error_when_asked_to(client: DynamicsWebApi) -> None:
    answers = client.batch(
        call("retrieveMultiple", {"collection": "accounts", "select": ["nonsense"]}),
        call("retrieveMultiple", {"collection": "accounts", "select": ["name"], "top": 1}),
        continueOnError=True,
    )
    assert answers[0]["error"]["code"] == "0x80060888"
    assert len(answers[1]["value"]) == 1


def test_it_reads_a_saved_query(client: DynamicsWebApi, emulator: Emulator) -> None:
    view = next(row for row in emulator.rows("savedquery") if row["returnedtypecode"] == "account")
    found = client.ask("retrieve", {"collection": "accounts", "key": "", "savedQuery": view["savedqueryid"]})
    assert found["value"]


def test_its_errors_carry_the_service_s_code_and_status(client: DynamicsWebApi) -> None:
    with pytest.raises(Refused, match="Could not find a property named 'nonsense'") as refused:
        client.ask("retrieveMultiple", {"collection": "accounts", "select": ["nonsense"]})
    assert (refused.value.code, refused.value.status) == ("0x80060888", 400)
