"""A table to load into, and rows on their way to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from airflow_provider_dynamics.dataverse.metadata.columns import Column, Option
from airflow_provider_dynamics.dataverse.metadata.table import Key, Table
from airflow_provider_dynamics.transfers.loads.row import LoadRow, Reject

__all__ = ["ACCOUNT", "row", "rows", "why"]

ACCOUNT = Table(
    "account",
    "accounts",
    "accountid",
    "name",
    {
        column.name: column
        for column in (
            Column("accountid", "Uniqueidentifier", "accountid", valid_for_update=False),
            Column("accountnumber", "String", "accountnumber", max_length=20),
            Column("name", "String", "name", max_length=160),
            Column("revenue", "Money", "revenue", precision=2, places=2),
            Column("numberofemployees", "Integer", "numberofemployees", maximum=Decimal(1000)),
            Column("opened", "DateTime", "opened", date_behavior="DateOnly"),
            Column(
                "industrycode",
                "Picklist",
                "industrycode",
                options=(Option(1, ("Accounting",)), Option(2, ("Mining",))),
            ),
            Column(
                "donotemail", "Boolean", "donotemail", options=(Option(0, ("Allow",)), Option(1, ("Forbid",)))
            ),
            Column(
                "primarycontactid",
                "Lookup",
                "_primarycontactid_value",
                navigation={"contact": "primarycontactid"},
            ),
        )
    },
    keys=(Key("by_number", ("accountnumber",), "Active"),),
)


def row(number: int, raw: Mapping[str, Any], values: Mapping[str, Any] | None = None) -> LoadRow:
    """Return a row as its source gives it; `values` if it has been converted."""
    return LoadRow(number, "a.csv", raw, dict(raw if values is None else values))


def rows(raws: Iterable[Mapping[str, Any]], first: int = 1) -> list[LoadRow]:
    return [row(number, raw) for number, raw in enumerate(raws, first)]


def why(refused: LoadRow) -> Reject:
    """Return why a row was refused, which it has to be."""
    assert refused.reject is not None
    return refused.reject
