"""Writes of single rows whose answer is lost, against the emulator: done once, and said to be done."""

from __future__ import annotations

import logging
from decimal import Decimal

import pytest

from airflow_provider_dynamics.auth import Authority, ClientSecret
from airflow_provider_dynamics.dataverse import ChangeSet, Client, Request, WriteOptions, errors

LOST = pytest.mark.parametrize("when", ["before", "after"])
SENSORS = "contoso_sensordata"


@pytest.fixture
def client(emulator, clock):
    credential = ClientSecret(
        *(emulator.tenant_id, emulator.client_id, emulator.client_secret),
        authority=Authority(url=emulator.url),
    )
    with Client(emulator.url, credential, ca_bundle=emulator.ca_bundle, clock=clock) as made:
        yield made


@pytest.fixture
def accounts(emulator):
    """Return the ids of accounts."""
    return [row["accountid"] for row in emulator.rows("account")]


@pytest.fixture
def contacts(emulator):
    return [row["contactid"] for row in emulator.rows("contact")]


@pytest.fixture
def lose(emulator, client):
    """Return a function that loses the answer of the next request to a path."""
    client.function("WhoAmI")  # the sign-in and `$metadata` are behind us

    def lost(path, when="after"):
        emulator.fault("reset", when=when, count=1, path=path)

    return lost


def names(emulator, text, table="account", column="name"):
    return sorted(row[column] for row in emulator.rows(table) if str(row[column]).startswith(text))


def batches(emulator):
    return len([found for found in emulator.requests if found.path.endswith("$batch")])


@LOST
@pytest.mark.parametrize("changeset", [True, False], ids=["change set", "each alone"])
def test_rows_of_a_batch_are_made_once_and_none_is_called_a_duplicate(
    client, emulator, lose, when, changeset
):
    requests = [client.request("create", "account", {"name": f"Once {i}"}) for i in range(3)]
    lose(r"\$batch", when)
    outcomes = client.batch(requests, changeset=changeset)
    assert [outcome.error for outcome in outcomes] == [None] * 3
    assert names(emulator, "Once") == ["Once 0", "Once 1", "Once 2"]


@LOST
def test_a_family_in_a_change_set_is_made_once_whatever_else_is_in_it(client, emulator, accounts, lose, when):
    etag = client.get("account", accounts[1], ["name"])["@odata.etag"]
    family = [
        client.request("delete", "account", row_id_or_key=accounts[-1]),
        client.request("update", "account", {"name": "Guarded"}, accounts[1], if_match=etag),
        client.request("create", "account", {"name": "Mother"}, content_id="mother"),
        client.request(
            "create", "contact", {"lastname": "C", "parentcustomerid_account@odata.bind": "$mother"}
        ),
        Request("PUT", "$mother/telephone1", body=b'{"value": "555"}'),
    ]
    lose(r"\$batch", when)
    outcomes = client.batch(family, changeset=True)
    assert [outcome.error for outcome in outcomes] == [None] * 5
    assert names(emulator, "Mother") == ["Mother"]
    assert names(emulator, "Guarded") == ["Guarded"]


def test_a_refused_change_set_stays_refused_although_an_answer_was_lost(client, emulator, lose):
    requests = [client.request("create", "account", {"name": name}) for name in ("Whole", "Long" * 100)]
    lose(r"\$batch")
    outcomes = client.batch(requests, changeset=True)
    assert [outcome.error.code for outcome in outcomes] == ["0x80044331"] * 2
    assert names(emulator, "Whole") == []


def test_a_change_set_that_could_not_be_told_from_a_refused_one_is_sent_once(
    client, emulator, accounts, lose
):
    lose(r"\$batch")
    with pytest.raises(errors.Unreachable):
        client.batch([client.request("delete", "account", row_id_or_key=accounts[-1])], changeset=True)
    assert batches(emulator) == 1


def test_a_batch_that_ends_at_an_error_is_not_sent_again_where_it_would_find_one(client, emulator, lose):
    requests = [client.request("create", "account", {"name": f"End {i}"}) for i in range(2)]
    lose(r"\$batch")
    with pytest.raises(errors.Unreachable):
        client.batch(requests, continue_on_error=False)
    assert batches(emulator) == 1


def test_deletions_of_a_batch_that_were_done_are_done(client, accounts, lose):
    lose(r"\$batch")
    outcomes = client.batch([client.request("delete", "account", row_id_or_key=one) for one in accounts[-2:]])
    assert [outcome.error for outcome in outcomes] == [None, None]


@pytest.mark.parametrize("batched", [True, False], ids=["in a batch", "alone"])
def test_another_row_with_the_id_that_a_row_brings_is_not_taken_for_it(client, accounts, lose, batched):
    row = {"accountid": accounts[0], "name": "Not yours"}
    lose(r"\$batch" if batched else r"/accounts\Z", "before")
    if batched:
        two = [client.request("create", "account", one) for one in (row, {"name": "Beside"})]
        assert [type(outcome.error) for outcome in client.batch(two)] == [errors.DuplicateKey, type(None)]
        return
    with pytest.raises(errors.DuplicateKey):
        client.create("account", row)


@pytest.mark.parametrize("batched", [True, False], ids=["in a batch", "alone"])
def test_a_row_that_brings_its_id_is_found_by_its_values(client, emulator, contacts, lose, batched):
    given = "00000000-0000-4000-8000-0000000000a1"
    row = {
        "accountid": given,
        "name": "Mine",
        "revenue": Decimal("12.50"),
        "primarycontactid": contacts[0],
        "fax": None,
    }
    lose(r"\$batch" if batched else r"/accounts\Z")
    if batched:
        two = [client.request("create", "account", one) for one in (row, {"name": "Beside"})]
        assert [outcome.error for outcome in client.batch(two)] == [None, None]
    else:
        assert client.create("account", row) == given
    assert names(emulator, "Mine") == ["Mine"]


@LOST
def test_a_closed_row_that_brings_its_id_is_closed_or_not_there(client, emulator, lose, when):
    row = {
        "accountid": "00000000-0000-4000-8000-0000000000a1",
        "name": "Shut",
        "statecode": 1,
        "statuscode": 2,
    }
    lose(r"\$batch", when)
    if when == "after":
        assert client.create("account", row) == row["accountid"]
    else:
        with pytest.raises(errors.Unreachable):  # it may be sent again: a row of this id would be refused
            client.create("account", row)
    assert [row["statecode"] for row in emulator.rows("account") if row["name"] == "Shut"] == (
        [1] if when == "after" else []
    )


def test_a_row_of_an_elastic_table_is_found_in_its_partition(client, emulator, lose):
    lose("contoso_sensordatas")
    client.create(SENSORS, {"contoso_deviceid": "d", "partitionid": "O'Neil/1"})
    assert names(emulator, "d", SENSORS, "contoso_deviceid") == ["d"]


def test_a_change_set_on_an_elastic_table_is_said_to_be_no_transaction_and_sent_once(
    client, emulator, lose, caplog
):
    requests = [client.request("create", SENSORS, {"contoso_deviceid": "d"})]
    lose(r"\$batch")
    with caplog.at_level(logging.WARNING), pytest.raises(errors.Unreachable):
        client.batch([ChangeSet(requests)])
    assert "contoso_sensordata, elastic and without transactions" in caplog.text
    assert batches(emulator) == 1


def test_a_new_tie_whose_answer_was_lost_is_not_called_an_old_one(client, accounts, lose):
    lead = client.create("lead", {"lastname": "New", "subject": "Belts"})
    lose("accountleads")
    assert client.associate("lead", lead, "accountleads_association", accounts[0]) is True


def test_a_merge_whose_answer_was_lost_is_looked_for(client, accounts, lose):
    lose("/Merge")
    assert client.merge("account", accounts[0], accounts[1]) is True


def test_a_row_that_rules_would_call_its_own_duplicate_is_made_once(client, emulator, lose):
    lose(r"/accounts\Z")
    client.create("account", {"name": "Careful"}, options=WriteOptions(detect_duplicates=True))
    assert names(emulator, "Careful") == ["Careful"]
