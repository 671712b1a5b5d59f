"""Many rows against the emulator: standard tables, elastic ones, and those that take no chunks."""

from __future__ import annotations

import uuid

import pytest

from airflow_provider_dynamics.auth import Authority, ClientSecret
from airflow_provider_dynamics.dataverse import Client, errors
from airflow_provider_dynamics.dataverse.protocol.options import WriteOptions


@pytest.fixture
def client(emulator, clock):
    credential = ClientSecret(
        emulator.tenant_id,
        emulator.client_id,
        emulator.client_secret,
        authority=Authority(url=emulator.url),
    )
    with Client(emulator.url, credential, ca_bundle=emulator.ca_bundle, clock=clock) as made:
        yield made


def identity(number):
    return str(uuid.uuid5(uuid.NAMESPACE_URL, str(number)))


def accounts(count, **values):
    return [{"accountid": identity(n), "name": f"bulk {n}", **values} for n in range(count)]


def written(emulator, table="account", start="bulk"):
    return [row for row in emulator.rows(table) if str(row.get("name", row.get("subject"))).startswith(start)]


def test_one_bad_row_in_three_thousand_stands_alone(client, emulator):
    rows = accounts(3_000)
    rows[1_234]["name"] = "x" * 200
    before = client.requests_sent
    outcomes = list(client.bulk("account", rows, "create"))
    assert [outcome.index for outcome in outcomes if outcome.error] == [1_234]
    assert len(written(emulator)) == 2_999
    usual = client.requests_sent - before
    assert usual <= 3 + 3_000 / 250 + 12


def test_a_load_that_is_repeated_finds_its_rows(client, emulator):
    list(client.bulk("account", accounts(700), "create", derived_ids=True))
    before = client.requests_sent
    outcomes = list(client.bulk("account", accounts(1_000), "create", derived_ids=True))
    assert [outcome.existed for outcome in outcomes] == [True] * 700 + [False] * 300
    assert all(outcome.error is None for outcome in outcomes)
    assert len(written(emulator)) == 1_000
    assert client.requests_sent - before <= 4 * 3 + 3


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_lost_answer_of_a_chunk_makes_no_row_twice(client, emulator, when):
    emulator.fault("reset", when=when, path="Multiple$", count=2)
    outcomes = list(client.bulk("account", [{"name": f"bulk {n}"} for n in range(600)], "create"))
    assert all(outcome.error is None for outcome in outcomes)
    assert len(written(emulator)) == 600


@pytest.mark.parametrize("length", ["full", "cut"])
def test_a_batch_whose_answer_breaks_off_is_sent_again_and_makes_no_row_twice(client, emulator, length):
    emulator.fault("truncate", path="batch", length=length, count=2)
    outcomes = list(client.bulk("task", [{"subject": f"bulk {n}"} for n in range(60)], "create"))
    assert all(outcome.error is None for outcome in outcomes)
    assert len(written(emulator, "task")) == 60


def test_what_the_sandbox_does_not_take_goes_in_smaller_chunks(client, emulator):
    emulator.fault("too_large", who="sandbox", bytes=8_000)
    outcomes = list(client.bulk("account", accounts(300), "create"))
    assert all(outcome.error is None for outcome in outcomes)
    assert len(written(emulator)) == 300


def test_updates_by_an_alternate_key_go_in_chunks(client, emulator):
    rows = accounts(300)
    list(client.bulk("account", [{**row, "accountnumber": f"K{n}"} for n, row in enumerate(rows)], "create"))
    before = len(emulator.requests)
    changed = [{"accountnumber": f"k{n} ", "name": f"other {n}"} for n in range(301)]
    outcomes = list(client.bulk("account", changed, "update", key=["accountnumber"]))
    assert [outcome.index for outcome in outcomes if outcome.error] == [300]
    assert isinstance(outcomes[300].error, errors.RowNotFound)
    assert len(written(emulator, start="other")) == 300
    sent = [one.path for one in list(emulator.requests)[before:]]
    assert len([one for one in sent if one.endswith("UpdateMultiple")]) == 2


@pytest.mark.parametrize("operation", ["update", "upsert", "delete"])
def test_rows_are_changed_and_deleted(client, emulator, operation):
    list(client.bulk("account", accounts(300), "create"))
    rows = [{"accountid": identity(n), "name": "other"} for n in range(300)]
    outcomes = list(client.bulk("account", rows, operation))
    assert all(outcome.error is None for outcome in outcomes)
    assert written(emulator) == []
    assert len(written(emulator, start="other")) == (0 if operation == "delete" else 300)


def test_deletes_of_rows_that_are_not_there_are_refused_row_by_row(client, emulator):
    list(client.bulk("account", accounts(30), "create"))
    outcomes = list(client.bulk("account", [identity(n) for n in range(60)], "delete"))
    assert [isinstance(outcome.error, errors.RowNotFound) for outcome in outcomes] == [False] * 30 + [
        True
    ] * 30
    assert written(emulator) == []


def test_a_table_that_takes_no_chunks_is_written_in_batches(client, emulator):
    before = client.requests_sent
    rows = [{"subject": f"bulk {n}" if n != 40 else "x" * 1_000} for n in range(120)]
    outcomes = list(client.bulk("task", rows, "create"))
    assert [outcome.index for outcome in outcomes if outcome.error] == [40]
    assert len(written(emulator, "task")) == 119
    assert client.requests_sent - before <= 2 + 12


def sensors(count, **values):
    return [
        {
            "contoso_sensordataid": identity(n),
            "contoso_sensortype": f"kind {n}",
            "partitionid": f"device {n % 3}",
            **values,
        }
        for n in range(count)
    ]


def test_an_elastic_table_keeps_what_it_could_take_of_a_chunk(client, emulator):
    rows = sensors(150)
    rows[70]["contoso_sensortype"] = "x" * 200
    outcomes = list(client.bulk("contoso_sensordata", rows, "create"))
    assert [outcome.index for outcome in outcomes if outcome.error] == [70]
    assert outcomes[70].error.code == "0x80044331"
    assert len(emulator.rows("contoso_sensordata")) == 149
    assert len([one for one in emulator.requests if one.path.endswith("CreateMultiple")]) == 2


@pytest.mark.parametrize("operation", ["update", "upsert", "delete"])
def test_an_elastic_tables_rows_are_known_by_id_and_partition(client, emulator, operation):
    list(client.bulk("contoso_sensordata", sensors(20), "create"))
    rows = sensors(21 if operation != "upsert" else 20, contoso_value=7)
    outcomes = list(client.bulk("contoso_sensordata", rows, operation))
    assert [outcome.index for outcome in outcomes if outcome.error] == ([] if operation == "upsert" else [20])
    left = emulator.rows("contoso_sensordata")
    assert len(left) == (0 if operation == "delete" else 20)
    assert all(row["contoso_value"] == 7 for row in left)


def test_options_reach_the_service_with_each_row(client, emulator):
    options = WriteOptions(bypass_flows=True)
    list(client.bulk("account", accounts(3), "create", options=options))
    sent = [one for one in emulator.requests if one.path.endswith("CreateMultiple")]
    assert [one.headers.get("mscrm.suppresscallbackregistrationexpanderjob") for one in sent] == ["true"]
