"""What events about changes say, and how small they stay."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from decimal import Decimal

import pytest

from airflow_provider_dynamics.triggers.payloads import (
    MAX_PAYLOAD_BYTES,
    MAX_ROW_BYTES,
    batched,
    change,
    change_event,
    mark_of,
)

ENVIRONMENT = "https://contoso.crm.dynamics.com"


def event(changes, **more):
    return change_event("account", ENVIRONMENT, "webhook", changes, **more)


def test_an_event_that_names_all_it_stands_for_is_complete():
    told = event([change("a", "upsert"), change("b", "delete")], since="1", until="2")

    assert (told["count"], told["complete"], told["from"], told["to"]) == (2, True, "1", "2")


def test_an_event_that_stands_for_more_than_it_names_says_so():
    told = event([change("a", "upsert")], count=7)

    assert (told["count"], told["complete"]) == (7, False)


def test_an_event_that_asks_for_a_reading_of_the_whole_table_is_never_complete():
    assert event([], mode="full")["complete"] is False


def test_a_row_brings_its_columns_along_as_json_has_them():
    values = {"name": "Contoso", "revenue": Decimal("12.50"), "at": datetime(2026, 1, 1, tzinfo=timezone.utc)}

    named = change("a", "upsert", values)

    assert named["row"] == {"name": "Contoso", "revenue": 12.5, "at": "2026-01-01 00:00:00+00:00"}


def test_a_deleted_row_has_no_columns():
    assert change("a", "delete", {"name": "gone"}) == {"row_id": "a", "operation": "delete"}


def test_a_row_with_very_long_values_is_named_without_them():
    assert change("a", "upsert", {"text": "x" * MAX_ROW_BYTES}) == {"row_id": "a", "operation": "upsert"}


def test_rows_with_much_in_them_are_fewer_to_an_event():
    rows = [change(str(n), "upsert", {"text": "x" * 7_000}) for n in range(30)]

    batches = list(batched(rows, 100))

    assert [one for batch in batches for one in batch] == rows
    assert len(batches) > 1
    assert max(len(json.dumps(batch)) for batch in batches) < MAX_PAYLOAD_BYTES + 1_000


def test_batches_hold_as_many_as_they_may():
    assert [len(batch) for batch in batched([change(str(n), "upsert") for n in range(5)], 2)] == [2, 2, 1]


@pytest.mark.parametrize(
    ("link", "mark"),
    [
        (None, None),
        (
            f"{ENVIRONMENT}/api/data/v9.2/accounts?$select=name&$deltatoken=919042%2108%2f22%2f2017%2008%3a10%3a44",
            "919042!08/22/2017 08:10:44",
        ),
    ],
)
def test_a_place_is_named_by_its_token(link, mark):
    assert mark_of(link) == mark


@pytest.mark.parametrize("link", ["any other text", f"{ENVIRONMENT}/accounts?$deltatoken={'x' * 100}"])
def test_a_place_of_another_form_is_named_by_a_short_hash(link):
    mark = mark_of(link)

    assert mark is not None
    assert len(mark) == 16
    assert mark != mark_of(link + "1")
    assert "contoso" not in mark
