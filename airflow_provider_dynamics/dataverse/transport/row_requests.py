"""A write of one row as a request that says what it makes, so that it can be looked for when an answer is lost."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.dataverse.metadata.table import Table
from airflow_provider_dynamics.dataverse.protocol import odata
from airflow_provider_dynamics.dataverse.protocol.exchange import Request
from airflow_provider_dynamics.dataverse.protocol.odata import Row

__all__ = ["NewRow", "RowOperation", "RowRequest", "checked"]

RowOperation = Literal["create", "update", "upsert", "delete"]

_ETAG = re.compile(r'\*|(?:W/)?"[\x21\x23-\x7e]*"')
_PARTITION = "partitionid"


@dataclass(frozen=True)
class NewRow:
    """A row to be created. `made_here`: its id was chosen here, so that no other row can have it."""

    table: Table
    row_id: str
    body: Row
    made_here: bool

    @property
    def address(self) -> str:
        return f"{self.table.entity_set}({self.row_id})"

    def read(self, select: Sequence[str]) -> Request:
        """Return the request that reads columns of the row; of an elastic table's, in its partition.

        https://learn.microsoft.com/power-apps/developer/data-platform/use-elastic-tables#specify-partitionid
        """
        partition = self.body.get(_PARTITION) if self.table.elastic else None
        given = {"$select": ",".join(select), "partitionId": None if partition is None else str(partition)}
        return Request("GET", f"{self.address}{odata.options(given)}")


@dataclass(frozen=True)
class RowRequest(Request):
    """A write of one row; `new` is what a create makes, None where nobody could find it by its id."""

    table: Table | None = field(default=None, repr=False)
    new: NewRow | None = field(default=None, repr=False)

    @property
    def tells(self) -> bool:
        """A row with an id chosen here is there only if this request was carried out, and with it its change set."""
        return self.new is not None and self.new.made_here


def checked(operation: RowOperation, row: Row | None, key: Any, if_match: str | None) -> Row:
    """Return the row of a request; raises BadRequest for what would not be done, or not as it was meant."""
    if operation not in get_args(RowOperation):
        raise errors.BadRequest(
            f"{operation!r} is no operation on a row",
            remedy=f"Use one of {', '.join(get_args(RowOperation))}.",
        )
    if row is not None and not isinstance(row, Mapping):
        raise errors.BadRequest(
            f"The row is a {type(row).__name__}",
            remedy="Give a dict of columns; the row's id or key is the argument row_id_or_key.",
        )
    if operation == "create" and key is not None:
        raise errors.BadRequest(
            "A new row is not named by an id or a key",
            remedy="Put its id or key columns into the row, or upsert it.",
        )
    if operation in {"create", "upsert"} and if_match:
        raise errors.BadRequest(
            f"if_match does not go with {operation}",
            remedy="Only a row that exists has an etag: update or delete it.",
        )
    if if_match and not _ETAG.fullmatch(if_match):
        raise errors.BadRequest(
            f"if_match is {if_match!r}, which is no etag",
            remedy="Give the row's '@odata.etag' as it was read.",
        )
    return dict(row or {})
