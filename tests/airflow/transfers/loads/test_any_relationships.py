"""Any rows of two tables that point to themselves and each other: what lands is what a model of the passes says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_dynamics.auth import Authority, ClientSecret
from airflow_provider_dynamics.dataverse import Client
from airflow_provider_dynamics.state.progress import Checkpoints
from airflow_provider_dynamics.transfers.loads.job import TableLoad
from airflow_provider_dynamics.transfers.loads.journal import Journal
from airflow_provider_dynamics.transfers.loads.preparing import prepared_load
from airflow_provider_dynamics.transfers.loads.row import LoadRow
from airflow_provider_dynamics.transfers.loads.run import LoadRun, Sending
from airflow_provider_dynamics.transfers.loads.several import in_order
from tests.airflow.transfers.loads.frame import Died, Memory, Store

KEYS = {"account": "accountnumber", "contact": "emailaddress1"}
LOADS = {
    "account": TableLoad(
        "account",
        key=("accountnumber",),
        lookups={"parentaccountid": "account.accountnumber", "primarycontactid": "contact.emailaddress1"},
    ),
    "contact": TableLoad(
        "contact",
        key=("emailaddress1",),
        lookups={"parentcustomerid": ["account.accountnumber", "contact.emailaddress1"]},
    ),
}
COMPANIES = st.sampled_from(["A1", "A2", "A3", "A4", "gone"])
PEOPLE = st.sampled_from(["p1@x", "p2@x", "p3@x", "gone@x"])


def written(value: st.SearchStrategy[str]) -> st.SearchStrategy[str | None]:
    """How files write what they point to."""
    return st.none() | st.just("") | value | value.map(str.lower) | value.map(lambda text: f"{text} ")


ACCOUNTS = st.lists(
    st.fixed_dictionaries(
        {
            "accountnumber": st.sampled_from(["A1", "A2", "A3", "A4"]),
            "name": st.just("x"),
            "parentaccountid": written(COMPANIES),
            "primarycontactid": written(PEOPLE),
        }
    ),
    unique_by=lambda row: row["accountnumber"],
    max_size=4,
)
CONTACTS = st.lists(
    st.fixed_dictionaries(
        {
            "emailaddress1": st.sampled_from(["p1@x", "p2@x", "p3@x"]),
            "lastname": st.just("x"),
            "parentcustomerid": written(COMPANIES | PEOPLE),
        }
    ),
    unique_by=lambda row: row["emailaddress1"],
    max_size=3,
)


class Source:
    """Rows out of memory, two at a time."""

    label = "memory"

    def __init__(self, table: str, rows: list[dict[str, Any]]) -> None:
        self.columns = {
            "account": ("accountnumber", "name", "parentaccountid", "primarycontactid"),
            "contact": ("emailaddress1", "lastname", "parentcustomerid"),
        }[table]
        self.rows, self.fingerprint = rows, str(rows)

    def batches(self, _size: int = 2) -> Iterator[list[LoadRow]]:
        numbered = [LoadRow(number, None, row, {}) for number, row in enumerate(self.rows, 1)]
        for start in range(0, len(numbered), 2):
            yield numbered[start : start + 2]


@pytest.fixture(scope="module")
def client(emulator_server):
    credential = ClientSecret(
        emulator_server.tenant_id,
        emulator_server.client_id,
        emulator_server.client_secret,
        authority=Authority(url=emulator_server.url),
    )
    with Client(emulator_server.url, credential, ca_bundle=emulator_server.ca_bundle) as made:
        yield made


def plain(text: str | None) -> str:
    return (text or "").strip().lower()


class Model:
    """What there is after each pass, and which rows are refused."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, str]] = {}
        self.refused: set[str] = set()

    def carry_out(self, table: str, one: Any, rows: list[dict[str, Any]]) -> None:
        created: dict[str, dict[str, str]] = {}
        for row in rows:
            name = plain(row[KEYS[table]])
            given = {column: plain(row[column]) for column in LOADS[table].lookups if plain(row[column])}
            first = one.columns is None
            sent = {
                column: value
                for column, value in given.items()
                if (column not in one.waits if first else column in one.columns)
            }
            if name in self.refused or (not first and not sent):
                continue
            if any(value not in self.rows for value in sent.values()):
                self.refused.add(name)
            elif first:
                created[name] = sent
            else:
                self.rows[name].update(sent)
        self.rows.update(created)


class Mortal:
    """A client whose worker dies after so many outcomes; None for never."""

    def __init__(self, client: Client, dies_after: int | None) -> None:
        self._client = client
        self.left = dies_after

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def bulk(self, *what: Any, **how: Any) -> Any:
        return MortalOutcomes(self, self._client.bulk(*what, **how))


class MortalOutcomes:
    """Outcomes, the last of which nobody hears."""

    def __init__(self, mortal: Mortal, outcomes: Any) -> None:
        self._mortal = mortal
        self._outcomes = outcomes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._outcomes, name)

    def __iter__(self) -> Iterator[Any]:
        for outcome in self._outcomes:
            if self._mortal.left == 0:
                self._mortal.left = None
                raise Died
            if self._mortal.left is not None:
                self._mortal.left -= 1
            yield outcome


def load_all(client, prepared, rejects, *, store=None, dies_after=None, first_try=True):
    _, passes = in_order(prepared)
    steps = [each.step(one) for each, one in passes]
    journal = Journal(Checkpoints(store), "this load", every=0.0)
    run = LoadRun(Mortal(client, dies_after), steps, rejects, journal, Sending(), first_try=first_try)  # type: ignore[arg-type]  # it stands for one
    return passes, run.run()


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(ACCOUNTS, CONTACTS, st.booleans())
def test_what_lands_is_what_the_passes_say(client, emulator_server, accounts, contacts, contacts_first):
    emulator_server.reset()
    given = {"account": accounts, "contact": contacts}
    order = ["contact", "account"] if contacts_first else ["account", "contact"]
    prepared = [prepared_load(client, LOADS[table], Source(table, given[table]), "run") for table in order]
    rejects = Memory()

    passes, tallies = load_all(client, prepared, rejects)

    model = Model()
    for each, one in passes:
        model.carry_out(each.load.table, one, given[each.load.table])
    assert stored(emulator_server) == model.rows
    assert rejects.count == len(model.refused)
    assert sum(tally.rows for tally in tallies.values()) == len(accounts) + len(contacts)
    assert all(tally.adds_up for tally in tallies.values())


@st.composite
def closed(draw: st.DrawFn) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows that point to nothing but each other."""
    accounts, contacts = draw(ACCOUNTS), draw(CONTACTS)
    companies = st.sampled_from([None, *(row["accountnumber"] for row in accounts)])
    people = st.sampled_from([None, *(row["emailaddress1"] for row in contacts)])
    return (
        [{**row, "parentaccountid": draw(companies), "primarycontactid": draw(people)} for row in accounts],
        [{**row, "parentcustomerid": draw(companies | people)} for row in contacts],
    )


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(closed(), st.booleans())
def test_rows_that_point_to_each_other_all_land_and_point_where_they_should(
    client, emulator_server, both, contacts_first
):
    emulator_server.reset()
    given = dict(zip(("account", "contact"), both, strict=True))
    order = ["contact", "account"] if contacts_first else ["account", "contact"]
    prepared = [prepared_load(client, LOADS[table], Source(table, given[table]), "run") for table in order]
    rejects = Memory()

    load_all(client, prepared, rejects)

    assert rejects.count == 0
    assert stored(emulator_server) == pointing(given)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(closed(), st.lists(st.integers(0, 12), max_size=4), st.booleans())
def test_wherever_workers_die_the_next_try_completes_all_tables(
    client, emulator_server, both, deaths, journal
):
    emulator_server.reset()
    given = dict(zip(("account", "contact"), both, strict=True))
    prepared = [prepared_load(client, LOADS[table], Source(table, given[table]), "run") for table in given]
    storage: dict[str, list[int]] = {}
    store = Store() if journal else None

    for number, dies_after in enumerate([*deaths, None]):
        rejects = Memory(storage)
        with suppress(Died):
            _, tallies = load_all(
                client, prepared, rejects, store=store, dies_after=dies_after, first_try=number == 0
            )
            break

    assert rejects.count == 0
    assert {load: (tally.rows, tally.written) for load, tally in tallies.items()} == {
        table: (len(rows), len(rows)) for table, rows in given.items()
    }
    assert stored(emulator_server) == pointing(given)


def pointing(given: dict[str, list[dict[str, Any]]]) -> dict[str, dict[str, str]]:
    """What rows that all land point to."""
    return {
        plain(row[KEYS[table]]): {
            column: plain(row[column]) for column in LOADS[table].lookups if row[column]
        }
        for table in given
        for row in given[table]
    }


def stored(emulator) -> dict[str, dict[str, str]]:
    """What the tables hold of the loaded rows, with the keys of what they point to instead of ids."""
    rows = {table: emulator.rows(table) for table in KEYS}
    named = {
        row[f"{table}id"]: plain(row[KEYS[table]])
        for table in KEYS
        for row in rows[table]
        if plain(row[KEYS[table]]) in {"a1", "a2", "a3", "a4", "p1@x", "p2@x", "p3@x"}
    }
    return {
        named[row[f"{table}id"]]: {
            column: named[row[f"_{column}_value"]]
            for column in LOADS[table].lookups
            if row.get(f"_{column}_value")
        }
        for table in KEYS
        for row in rows[table]
        if row[f"{table}id"] in named
    }
