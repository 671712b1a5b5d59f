"""An independent judge: Microsoft's own Python SDK, unmodified, over TLS, against the emulator.

The SDK finds the emulator's certificate authority through REQUESTS_CA_BUNDLE, as a user would arrange it.
"""

from __future__ import annotations

import uuid
from collections import Counter

import pytest

from tests.emulator.microsoft_sdk import connected

sdk = pytest.importorskip(
    "PowerPlatform.Dataverse.client", reason="PowerPlatform-Dataverse-Client is not installed"
)
errors = pytest.importorskip("PowerPlatform.Dataverse.core.errors")
builder = pytest.importorskip("PowerPlatform.Dataverse.models.query_builder")


@pytest.fixture
def client(emulator, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", emulator.ca_bundle)
    with connected(emulator) as client:
        yield client


def by_name(emulator, name, table="account"):
    return [row for row in emulator.rows(table) if row["name"] == name]


def test_pages_of_a_table_hold_every_row_once(emulator, client):
    pages = list(client.records.list_pages("account", select=["name"], page_size=5))
    ids = [record["accountid"] for page in pages for record in page]
    assert len(pages) > 1
    assert all(len(list(page)) <= 5 for page in pages)
    assert sorted(ids) == sorted(row["accountid"] for row in emulator.rows("account"))


def test_a_list_is_filtered_ordered_and_cut(emulator, client):
    wanted = sorted((row["name"] for row in emulator.rows("account") if row["statecode"] == 0), reverse=True)
    found = client.records.list(
        "account", select=["name"], filter="statecode eq 0", orderby=["name desc"], top=3
    )
    assert [record["name"] for record in found] == wanted[:3]


def test_one_row_is_got_by_its_id(emulator, client):
    row = emulator.rows("account")[0]
    record = client.records.retrieve("account", row["accountid"], select=["name", "revenue"])
    assert record["name"] == row["name"]


def test_a_missing_row_is_not_there(client):
    assert client.records.retrieve("account", str(uuid.uuid4())) is None


def test_one_row_is_created_updated_and_deleted(emulator, client):
    row_id = client.records.create("account", {"name": "By the SDK", "telephone1": "555-0100"})
    assert by_name(emulator, "By the SDK")[0]["accountid"] == row_id
    client.records.update("account", row_id, {"telephone1": "555-0199"})
    assert by_name(emulator, "By the SDK")[0]["telephone1"] == "555-0199"
    client.records.delete("account", row_id)
    assert by_name(emulator, "By the SDK") == []


def test_a_thousand_rows_are_created_in_one_request(emulator, client):
    emulator.reset()
    rows = [{"name": f"Bulk {number:04}"} for number in range(1000)]
    ids = client.records.create("account", rows)
    posted = [one.path for one in emulator.requests if one.method == "POST" and "CreateMultiple" in one.path]
    assert posted == ["/api/data/v9.2/accounts/Microsoft.Dynamics.CRM.CreateMultiple"]
    stored = {row["accountid"]: row["name"] for row in emulator.rows("account")}
    assert [stored[row_id] for row_id in ids] == [row["name"] for row in rows]


def test_many_rows_are_updated_in_one_request(emulator, client):
    ids = client.records.create("account", [{"name": "Before"} for _ in range(10)])
    client.records.update("account", ids, {"name": "After"})
    assert {row["accountid"] for row in by_name(emulator, "After")} == set(ids)


def shipment(emulator, number):
    return [row for row in emulator.rows("contoso_shipment") if row["contoso_number"] == number]


def test_a_row_is_created_then_updated_by_its_alternate_key(emulator, client):
    for name in ("First", "Second"):
        client.records.upsert(
            "contoso_Shipment",
            [{"alternate_key": {"contoso_number": "SDK-1"}, "record": {"contoso_name": name}}],
        )
    (row,) = shipment(emulator, "SDK-1")
    assert row["contoso_name"] == "Second"


def test_several_rows_are_upserted_by_alternate_key_at_once(emulator, client):
    for name in ("First", "Second"):
        items = [
            {"alternate_key": {"contoso_number": f"SDK-{n}"}, "record": {"contoso_name": name}}
            for n in range(5)
        ]
        client.records.upsert("contoso_Shipment", items)
    assert [shipment(emulator, f"SDK-{n}")[0]["contoso_name"] for n in range(5)] == ["Second"] * 5


def test_a_batch_with_a_change_set_writes_and_reads(emulator, client):
    batch = client.batch.new()
    with batch.changeset() as changes:
        reference = changes.records.create("account", {"name": "In a change set"})
        changes.records.update("account", reference, {"telephone1": "555-0123"})
    batch.records.list("account", select=["name"], filter="name eq 'In a change set'")
    result = batch.execute()
    assert not result.has_errors
    (row,) = by_name(emulator, "In a change set")
    assert row["telephone1"] == "555-0123"
    assert row["accountid"] in result.entity_ids
    assert [found["name"] for found in result.responses[-1].data["value"]] == ["In a change set"]


def test_a_batch_reports_its_failing_part(client):
    batch = client.batch.new()
    batch.records.create("account", {"name": "Good"})
    batch.records.create("account", {"name": "x" * 5000})
    result = batch.execute(continue_on_error=True)
    assert [item.is_success for item in result.responses] == [True, False]
    assert result.failed[0].error_code == "0x80044331"


def test_table_metadata_is_read(client):
    info = client.tables.get("account")
    assert (info.logical_name, info.entity_set_name) == ("account", "accounts")
    assert client.tables.get("nonsense") is None


def test_the_tables_are_listed(client):
    names = {table["LogicalName"] for table in client.tables.list(select=["LogicalName"])}
    assert {"account", "contact", "contoso_shipment"} <= names


def test_columns_and_alternate_keys_are_listed(client):
    columns = {column["LogicalName"] for column in client.tables.list_columns("account")}
    assert {"name", "revenue", "primarycontactid"} <= columns
    keys = {key.key_attributes[0] for key in client.tables.get_alternate_keys("contoso_Shipment")}
    assert "contoso_number" in keys


def test_fetchxml_is_read_page_by_page(emulator, client):
    xml = '<fetch count="7"><entity name="account"><attribute name="name"/><order attribute="name"/></entity></fetch>'
    pages = list(client.query.fetchxml(xml).execute_pages())
    names = [record["name"] for page in pages for record in page]
    assert len(pages) > 2
    assert len(names) == len(emulator.rows("account"))
    assert sorted(names) == sorted(row["name"] for row in emulator.rows("account"))


def test_fetchxml_sorted_by_a_linked_table_is_read_without_a_cookie(emulator, client):
    xml = (
        '<fetch count="9"><entity name="contact"><attribute name="fullname"/>'
        '<link-entity name="account" from="accountid" to="parentcustomerid" link-type="outer" alias="a">'
        '<order attribute="name"/></link-entity></entity></fetch>'
    )
    with pytest.warns(UserWarning, match="simple paging"):
        records = [record for page in client.query.fetchxml(xml).execute_pages() for record in page]
    assert len({record["contactid"] for record in records}) == len(emulator.rows("contact"))


def test_lookups_and_collections_are_expanded(emulator, client):
    tasks = (
        builder.ExpandOption("Account_Tasks").select("subject").order_by("subject", descending=True).top(2)
    )
    records = client.records.list(
        "account",
        select=["name"],
        expand=["primarycontactid($select=fullname)", tasks.to_odata()],
        page_size=4,
    )
    names = {row["contactid"]: row["fullname"] for row in emulator.rows("contact")}
    primary = {row["accountid"]: row["_primarycontactid_value"] for row in emulator.rows("account")}
    assert len(list(records)) == len(primary)
    for record in records:
        contact = primary[record["accountid"]]
        assert (record["primarycontactid"] or {}).get("fullname") == (names[contact] if contact else None)
        subjects = [task["subject"] for task in record["Account_Tasks"]]
        assert subjects == sorted(subjects, reverse=True)[:2]


def test_nested_collections_are_cut_by_the_page_size(emulator, client):
    expand = ["contact_customer_accounts($select=fullname;$expand=owninguser($select=fullname))"]
    found = []
    for page in client.records.list_pages("account", select=["name"], expand=expand, page_size=2):
        for record in page:
            inner = record["contact_customer_accounts"]
            assert len(inner) <= 2
            link = record.get("contact_customer_accounts@odata.nextLink")
            found += [*inner, *(row for one in through(client, link, 2) for row in one["value"])]
    accounts = {row["accountid"] for row in emulator.rows("account")}
    contacts = emulator.rows("contact")
    employed = [row["contactid"] for row in contacts if row["_parentcustomerid_value"] in accounts]
    assert sorted(row["contactid"] for row in found) == sorted(employed)


def through(client, link, page_size=None, **prefer):
    """Pages by the SDK's own HTTP layer: it has no call for aggregates, changes and inner links."""
    headers = {"Prefer": ",".join([f"odata.maxpagesize={page_size}"] * bool(page_size) + list(prefer))}
    while link:
        with client._scoped_odata() as odata:
            page = odata._request("get", link, headers=headers).json()
        yield page
        link = page.get("@odata.nextLink")


def test_rows_are_grouped_with_apply(emulator, client):
    link = f"{emulator.url}/api/data/v9.2/accounts?$apply=groupby((statecode),aggregate($count as n))"
    (page,) = through(client, link)
    counted = {row["statecode"]: row["n"] for row in page["value"]}
    assert counted == Counter(row["statecode"] for row in emulator.rows("account"))


def test_changes_are_followed_by_the_delta_link(emulator, client):
    doomed, renamed = client.records.create("account", [{"name": "Doomed"}, {"name": "Kept"}])
    link = f"{emulator.url}/api/data/v9.2/accounts?$select=name"
    *_, last = through(client, link, 4, **{"odata.track-changes": True})
    client.records.delete("account", doomed)
    client.records.update("account", renamed, {"name": "Renamed by the SDK"})
    (changes,) = through(client, last["@odata.deltaLink"])
    assert [(row.get("name"), row.get("reason")) for row in changes["value"]] == [
        ("Renamed by the SDK", None),
        (None, "deleted"),
    ]
    emulator.expire_delta_tokens()
    with pytest.raises(errors.HttpError, match="full sync"):
        list(through(client, changes["@odata.deltaLink"]))


def test_a_batch_reads_rows_lists_and_expands(emulator, client):
    account = emulator.rows("account")[0]
    batch = client.batch.new()
    batch.records.retrieve("account", account["accountid"], select=["name"])
    batch.records.list("contact", select=["fullname"], orderby=["fullname"], top=4)
    batch.records.list("account", select=["name"], expand=["Account_Tasks($select=subject)"])
    batch.records.list("account", select=["nonsense"])
    result = batch.execute(continue_on_error=True)
    one, contacts, accounts, refused = result.responses
    assert one.data["name"] == account["name"]
    assert len(contacts.data["value"]) == 4
    assert len(accounts.data["value"]) == len(emulator.rows("account"))
    assert any(row["Account_Tasks"] for row in accounts.data["value"])
    assert refused.error_code == "0x80060888"


def test_the_token_is_asked_for_this_environment(emulator, client):
    client.records.list("account", select=["name"], top=1)
    assert client.auth.credential.asked[0] == (f"{emulator.url}/.default",)


def test_azure_identity_signs_in_unmodified(emulator, monkeypatch):
    identity = pytest.importorskip("azure.identity", reason="azure-identity is not installed")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", emulator.ca_bundle)
    credential = identity.ClientSecretCredential(
        emulator.tenant_id,
        emulator.client_id,
        emulator.client_secret,
        authority=emulator.url,
        disable_instance_discovery=True,
    )
    with credential, sdk.DataverseClient(emulator.url, credential) as client:
        assert len(list(client.records.list("account", select=["name"], top=3))) == 3
