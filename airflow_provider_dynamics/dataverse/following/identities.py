"""The ids and version numbers of a page's rows, found without making a Python object of anything else in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from airflow_provider_dynamics.dataverse.following.window_place import VERSION
from airflow_provider_dynamics.dataverse.metadata.table import Table
from airflow_provider_dynamics.dataverse.protocol.pages import Page

__all__ = ["identifier"]


def identifier(table: Table) -> Callable[[Page], list[tuple[str, int]]]:
    """Return what finds (id, version number) of a page's rows, 0 for none, in the page's bytes where it has them."""
    row = msgspec.defstruct(
        "Identity",
        [
            ("id", str | None, msgspec.field(default=None, name=table.primary_id)),  # a deletion has none
            ("version", int | None, msgspec.field(default=None, name=VERSION)),
        ],
        gc=False,
    )
    body = msgspec.defstruct("Identities", [("value", list[row])])  # type: ignore[valid-type]  # made just above
    decoder = msgspec.json.Decoder(body)

    def identities(page: Page) -> list[tuple[str, int]]:
        if page.body:
            found: Any = decoder.decode(page.body)
            return [(one.id, one.version or 0) for one in found.value if one.id is not None]
        return [(row[table.primary_id], row.get(VERSION) or 0) for row in page.rows]

    return identities
