"""Microsoft's own Python SDK, unmodified: what it writes, deletes, uploads and calls is done by the emulator."""

from __future__ import annotations

import base64

import pytest

from tests.emulator.microsoft_sdk import connected

sdk = pytest.importorskip(
    "PowerPlatform.Dataverse.client", reason="PowerPlatform-Dataverse-Client is not installed"
)
errors = pytest.importorskip("PowerPlatform.Dataverse.core.errors")

MISSING = "11111111-1111-1111-1111-111111111111"


@pytest.fixture
def client(emulator, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", emulator.ca_bundle)
    with connected(emulator) as client:
        yield client
    emulator.clear_faults()
    emulator.jobs.restore()


def stored(emulator, table, key, row_id):
    return next((row for row in emulator.rows(table) if row[key] == row_id), None)


def asked(client, method, path, **options):
    """One request by the SDK's own HTTP layer: it has no call for operations."""
    with client._scoped_odata() as odata:
        return odata._request(method, f"{odata.api}/{path}", **options)


# --- rows ---------------------------------------------------------------------------------------------------------


def test_a_row_is_made_with_lookups_and_rows_within(emulator, client):
    parent = client.records.create("account", {"name": "Parent"})
    row = {
        "name": "Deep",
        "parentaccountid@odata.bind": f"/accounts({parent})",
        "primarycontactid": {"lastname": "Nested"},
    }
    made = stored(emulator, "account", "accountid", client.records.create("account", row))
    assert made["_parentaccountid_value"] == parent
    assert stored(emulator, "contact", "contactid", made["_primarycontactid_value"])["lastname"] == "Nested"


def test_many_rows_are_updated_each_in_its_own_way(emulator, client):
    ids = client.records.create("account", [{"name": f"Before {n}"} for n in range(3)])
    client.records.update("account", ids, [{"name": f"After {n}"} for n in range(3)])
    assert [stored(emulator, "account", "accountid", row_id)["name"] for row_id in ids] == [
        "After 0",
        "After 1",
        "After 2",
    ]


def test_one_bad_row_takes_its_whole_request_with_it(emulator, client):
    with pytest.raises(errors.HttpError) as refused:
        client.records.create("account", [{"name": "Bulk refused"}, {"name": "x" * 5000}])
    assert "0x80044331" in str(refused.value.details)
    assert "Bulk refused" not in {row["name"] for row in emulator.rows("account")}


def test_a_row_that_is_not_there_is_neither_updated_nor_deleted(emulator, client):
    for call in (
        lambda: client.records.update("account", MISSING, {"name": "X"}),
        lambda: client.records.delete("account", MISSING),
    ):
        with pytest.raises(errors.HttpError) as refused:
            call()
        assert refused.value.status_code == 404
    assert stored(emulator, "account", "accountid", MISSING) is None


def test_many_rows_are_deleted_by_a_system_job(emulator, client):
    emulator.jobs.waiting = emulator.jobs.running = 1.0
    ids = client.records.create("account", [{"name": "Doomed"} for _ in range(5)])
    job = client.records.delete("account", ids)
    assert client.records.retrieve("asyncoperation", job)["statecode"] != 3
    emulator.jobs.advance(5)
    assert client.records.retrieve("asyncoperation", job)["statuscode"] == 30
    assert not {row["accountid"] for row in emulator.rows("account")} & set(ids)


def test_a_plug_in_refuses_a_row_in_its_own_words(emulator, client):
    emulator.fault("plugin", table="account", message="Create", text="Come back tomorrow.")
    with pytest.raises(errors.HttpError, match=r"Come back tomorrow\."):
        client.records.create("account", {"name": "Refused"})


# --- batches ------------------------------------------------------------------------------------------------------


def test_a_change_set_creates_updates_and_deletes(emulator, client):
    old = client.records.create("account", {"name": "Old"})
    batch = client.batch.new()
    with batch.changeset() as changes:
        account = changes.records.create("account", {"name": "Mother"})
        contact = changes.records.create(
            "contact", {"lastname": "Child", "parentcustomerid_account@odata.bind": account}
        )
        changes.records.update("contact", contact, {"jobtitle": "Boss"})
        changes.records.delete("account", old)
    result = batch.execute()
    assert not result.has_errors
    (mother,) = [row for row in emulator.rows("account") if row["name"] == "Mother"]
    (child,) = [row for row in emulator.rows("contact") if row["lastname"] == "Child"]
    assert (child["_parentcustomerid_value"], child["jobtitle"]) == (mother["accountid"], "Boss")
    assert stored(emulator, "account", "accountid", old) is None


def test_a_change_set_that_fails_is_undone_and_reported_once(emulator, client):
    batch = client.batch.new()
    with batch.changeset() as changes:
        changes.records.create("account", {"name": "Undone"})
        changes.records.create("account", {"name": "x" * 5000})
    batch.records.create("account", {"name": "Done"})
    result = batch.execute(continue_on_error=True)
    assert [one.is_success for one in result.responses] == [False, True]
    names = {row["name"] for row in emulator.rows("account")}
    assert "Done" in names
    assert "Undone" not in names


def test_a_batch_carries_bulk_messages_and_upserts(emulator, client):
    upsert = {"alternate_key": {"contoso_number": "SDK-B"}, "record": {"contoso_name": "By batch"}}
    batch = client.batch.new()
    batch.records.create("account", [{"name": "Many in a batch"} for _ in range(3)])
    batch.records.upsert("contoso_Shipment", [upsert])
    result = batch.execute()
    assert not result.has_errors
    assert [row["name"] for row in emulator.rows("account")].count("Many in a batch") == 3
    assert [
        row["contoso_name"] for row in emulator.rows("contoso_shipment") if row["contoso_number"] == "SDK-B"
    ] == ["By batch"]


# --- files --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "size"), [("small", 11), ("chunk", 11), ("chunk", 5_000_000), ("chunk", 8_388_608)]
)
def test_a_file_is_uploaded_and_read_back(client, tmp_path, mode, size):
    path = tmp_path / "report.pdf"
    path.write_bytes(bytes(number % 251 for number in range(size)))
    row_id = client.records.create("account", {"name": "With a file"})
    client.files.upload("account", row_id, "sample_FileColumn", str(path), mode=mode)
    answer = asked(client, "get", f"accounts({row_id})/sample_filecolumn/$value")
    assert answer.content == path.read_bytes()
    assert answer.headers["x-ms-file-name"] == "report.pdf"


def test_a_file_is_put_in_place_of_another(client, tmp_path):
    row_id = client.records.create("account", {"name": "With a file"})
    for text in ("one", "another"):
        (tmp_path / "a.txt").write_text(text)
        client.files.upload(
            "account", row_id, "sample_FileColumn", str(tmp_path / "a.txt"), if_none_match=False
        )
    assert asked(client, "get", f"accounts({row_id})/sample_filecolumn/$value").text == "another"


def test_a_picture_is_uploaded_and_its_thumbnail_made(client, tmp_path):
    pixel = base64.b64decode(
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    )
    (tmp_path / "a.png").write_bytes(pixel)
    row_id = client.records.create("account", {"name": "With a picture"})
    client.files.upload("account", row_id, "sample_ImageColumn", str(tmp_path / "a.png"))
    assert asked(client, "get", f"accounts({row_id})/sample_imagecolumn/$value?size=full").content == pixel


# --- operations ---------------------------------------------------------------------------------------------------


def test_operations_are_called_through_its_http_layer(emulator, client):
    account = client.records.create("account", {"name": "Customer"})
    bind = {"customerid_account@odata.bind": f"/accounts({account})"}
    deal = client.records.create("opportunity", {"name": "Deal", **bind})
    closed = {"subject": "Won", "opportunityid@odata.bind": f"/opportunities({deal})"}
    won = asked(client, "post", "WinOpportunity", json={"Status": 3, "OpportunityClose": closed})
    assert won.status_code == 204
    assert stored(emulator, "opportunity", "opportunityid", deal)["statuscode"] == 3
    assert "WinOpportunity" in asked(client, "get", "$metadata", headers={"Accept": "application/xml"}).text
