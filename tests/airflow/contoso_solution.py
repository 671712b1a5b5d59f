"""A solution to move about: made in one environment of the emulator, as somebody would make it by hand."""

from __future__ import annotations

from typing import Any

from airflow_provider_dynamics.dataverse import Query, WriteOptions
from airflow_provider_dynamics.dataverse.administration.definitions import NewColumn, NewTable

NAME = "ctx_sales"
_PUBLISHER = {
    "uniquename": "contosox",
    "friendlyname": "Contoso",
    "customizationprefix": "ctx",
    "customizationoptionvalueprefix": 12345,
}


def publisher(client: Any) -> str:
    """Return the id of the publisher, made where it is not there."""
    known = Query("publisher", select=["publisherid"], filter="uniquename eq 'contosox'")
    row = next(client.rows(known), None)
    return str(row["publisherid"]) if row else client.create("publisher", _PUBLISHER)


def make(
    client: Any, name: str = NAME, version: str = "1.0.0.0", tables: tuple[str, ...] = ("Order",)
) -> None:
    """Make an unmanaged solution with some tables."""
    client.create(
        "solution",
        {"uniquename": name, "friendlyname": name, "version": version, "publisherid": publisher(client)},
    )
    for table in tables:
        new = NewTable(f"ctx_{table}", table, f"{table}s", NewColumn("ctx_Name", "String"))
        client.schema.create_table(new, options=WriteOptions(solution=name))


def grow(client: Any, version: str, *columns: NewColumn, name: str = NAME, table: str = "ctx_order") -> None:
    """Add columns to the solution, and give it another version."""
    for column in columns:
        client.schema.create_column(table, column, options=WriteOptions(solution=name))
    client.update("solution", client.solutions.get(name).id, {"version": version})


def exported(client: Any, emulator: Any, name: str = NAME, *, managed: bool = True) -> bytes:
    """Return the solution's zip."""
    started = client.solutions.start_export(name, managed=managed)
    emulator.jobs.advance(60)
    client.jobs.get(started.job_id).check()
    found: bytes = client.solutions.download(started.answer["ExportJobId"])
    return found
