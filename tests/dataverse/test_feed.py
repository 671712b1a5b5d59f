"""A feed reads what changed by whichever means a table offers, and says when it had to read everything."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_dynamics.auth import Authority, ClientSecret
from airflow_provider_dynamics.dataverse import Client, errors
from airflow_provider_dynamics.dataverse.following.window_place import WindowPlace

UNTRACKED = "transactioncurrency"


@pytest.fixture
def client(emulator, clock):
    credential = ClientSecret(
        *(emulator.tenant_id, emulator.client_id, emulator.client_secret),
        authority=Authority(url=emulator.url),
    )
    with Client(emulator.url, credential, ca_bundle=emulator.ca_bundle, clock=clock) as opened:
        yield opened


def read(feed):
    """Read a feed to its end: {row id: row}, {deleted ids}."""
    primary = feed.table.primary_id
    listed = feed.present()
    held = None if listed is None else set(listed)
    rows: dict[str, dict[str, Any]] = {}
    gone: set[str] = set()
    for page in feed.pages():
        rows |= {row[primary]: row for row in page.rows}
        gone |= {one.row_id for one in page.deleted}
    return rows, gone if held is None else held


def ids(emulator, table):
    return {row[f"{table}id"] for row in emulator.rows(table)}


def test_without_a_place_every_row_is_read_and_afterwards_what_changed(client, emulator):
    first = client.feed("account", ["name"])
    rows, gone = read(first)
    assert (first.mode, first.complete, first.reason, gone) == ("full", True, "", set())
    assert set(rows) == ids(emulator, "account")

    renamed, deleted, *_ = rows
    client.update("account", renamed, {"name": "Renamed"})
    client.delete("account", deleted)
    second = client.feed("account", ["name"], first.until)
    rows, gone = read(second)
    assert (second.mode, second.complete) == ("delta", False)
    assert ({row_id: row["name"] for row_id, row in rows.items()}, gone) == ({renamed: "Renamed"}, {deleted})
    assert second.version >= max(row["versionnumber"] for row in rows.values())


def test_a_place_that_expired_leads_to_every_row_and_is_said(client, emulator):
    first = client.feed("account", ["name"])
    read(first)
    emulator.fault("expired_delta")
    second = client.feed("account", ["name"], first.until)
    rows, gone = read(second)
    assert (second.mode, second.complete, gone) == ("reconcile", True, set())
    assert "0x80044352" in second.reason
    assert set(rows) == ids(emulator, "account")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda link: link.replace("127.0.0.1", "fabrikam.crm.dynamics.com"), "another environment"),
        (lambda link: link.replace("/api/data/", "/service/api/data/"), "another environment"),
        (lambda link: link.replace("/accounts?", "/contacts?"), "another table"),
        (lambda link: link.replace("name", "fax"), "other columns"),
        (lambda link: link.split("deltatoken")[0] + "deltatoken=garbage", "does not go on"),
        (lambda _: str(WindowPlace("", "versionnumber", 1)), "tracks changes now"),
    ],
)
def test_a_place_of_something_else_is_not_gone_on_from(client, change, reason):
    first = client.feed("account", ["name"])
    read(first)
    second = client.feed("account", ["name"], change(first.until))
    assert second.mode == "reconcile"
    assert reason in second.reason


def test_a_row_that_was_deleted_and_made_again_is_not_deleted(client):
    first = client.feed("account", ["name"])
    rows, _ = read(first)
    again = next(iter(rows))
    client.delete("account", again)
    client.create("account", {"accountid": again, "name": "Again"})
    rows, gone = read(client.feed("account", ["name"], first.until))
    assert ({row_id: row["name"] for row_id, row in rows.items()}, gone) == ({again: "Again"}, set())


def test_a_filter_is_refused_where_the_table_tracks_changes(client):
    with pytest.raises(errors.BadRequest, match=r"cannot be filtered.*mode=\"window\""):
        client.feed("account", filter="statecode eq 0")


def test_delta_is_refused_where_the_table_does_not_track_changes(client):
    with pytest.raises(errors.ChangeTrackingOff, match="Track changes"):
        client.feed(UNTRACKED, mode="delta")


def test_another_mode_is_refused(client):
    with pytest.raises(ValueError, match="auto, delta, window"):
        client.feed("account", mode="poll")


def test_a_window_has_what_changed_and_every_id_that_is_there(client, emulator, clock):
    clock.time = 4e9  # long after anything here was modified
    first = client.feed("account", ["name"], mode="window", overlap=0)
    rows, _ = read(first)
    assert (first.mode, set(rows)) == ("full", ids(emulator, "account"))
    renamed, deleted, *_ = rows
    client.update("account", renamed, {"name": "Renamed"})
    client.delete("account", deleted)
    second = client.feed("account", ["name"], first.until, mode="window", overlap=0)
    rows, present = read(second)
    assert (second.mode, second.complete) == ("window", False)
    assert rows[renamed]["name"] == "Renamed"
    assert present == ids(emulator, "account")
    assert second.version >= rows[renamed]["versionnumber"]


def test_a_window_wants_the_ids_read_first(client):
    first = client.feed("account", ["name"], mode="window")
    read(first)
    second = client.feed("account", ["name"], first.until, mode="window")
    with pytest.raises(RuntimeError, match="present"):
        list(second.pages())


def test_a_window_without_deletions_lists_no_ids(client):
    first = client.feed("account", ["name"], mode="window", detect_deletes=False)
    read(first)
    second = client.feed("account", ["name"], first.until, mode="window", detect_deletes=False)
    assert second.present() is None
    read(second)
    assert second.until.startswith("window:")


def test_a_window_of_other_columns_reads_every_row(client):
    first = client.feed("account", ["name"], mode="window")
    read(first)
    second = client.feed("account", ["fax"], first.until, mode="window")
    assert (second.mode, second.complete) == ("reconcile", True)
    assert "other columns" in second.reason


def test_a_window_can_be_filtered(client, emulator):
    wanted = {row["accountid"] for row in emulator.rows("account") if row["statecode"] == 0}
    feed = client.feed("account", ["name"], mode="window", filter="statecode eq 0")
    assert set(read(feed)[0]) == wanted


def test_rows_are_fetched_by_their_ids(client, emulator):
    wanted = sorted(ids(emulator, "account"))[:3]
    feed = client.feed("account", ["name"])
    found = feed.fetch([*wanted, "00000000-0000-0000-0000-00000000dead"])
    assert sorted(row["accountid"] for page in found for row in page.rows) == wanted


def test_a_feed_does_not_know_its_end_before_it(client):
    with pytest.raises(RuntimeError, match="last page"):
        _ = client.feed("account").until
