"""An independent judge: Microsoft's own Python SDK, unmodified, over TLS, against the emulator.

The SDK finds the emulator's certificate authority through REQUESTS_CA_BUNDLE, as a user would arrange it.
"""

from __future__ import annotations

import time
import uuid

import pytest
import requests

sdk = pytest.importorskip(
    "PowerPlatform.Dataverse.client", reason="PowerPlatform-Dataverse-Client is not installed"
)
azure = pytest.importorskip("azure.core.credentials", reason="azure-core comes with Microsoft's SDK")
errors = pytest.importorskip("PowerPlatform.Dataverse.core.errors")


class EmulatorCredential:
    """Shaped as azure-identity's credentials are; asks the emulator's token endpoint."""

    def __init__(self, emulator):
        self.emulator = emulator
        self.asked = []

    def get_token(self, *scopes, **_):
        self.asked.append(scopes)
        form = {
            "grant_type": "client_credentials",
            "client_id": self.emulator.client_id,
            "client_secret": self.emulator.client_secret,
            "scope": " ".join(scopes),
        }
        url = f"{self.emulator.authority}/oauth2/v2.0/token"
        answer = requests.post(url, data=form, verify=self.emulator.ca_bundle, timeout=20)
        answer.raise_for_status()
        body = answer.json()
        return azure.AccessToken(body["access_token"], int(time.time()) + body["expires_in"])


@pytest.fixture
def client(emulator, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", emulator.ca_bundle)
    with sdk.DataverseClient(emulator.url, EmulatorCredential(emulator)) as client:
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


def test_fetchxml_is_refused_in_clear_words(client):
    query = client.query.fetchxml('<fetch><entity name="account"><attribute name="name"/></entity></fetch>')
    with pytest.raises(errors.HttpError, match="not emulated: ") as caught:
        query.execute()
    assert caught.value.status_code == 501


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
