"""From a task in Airflow's pages to its table, or its row, in Dynamics.

Airflow calls a link on the worker, at the end of a task, and keeps the address it returns.
https://learn.microsoft.com/power-apps/developer/model-driven-apps/open-forms-views-dialogs-reports-url
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk.types import TaskInstanceKey

__all__ = ["DynamicsRowLink", "DynamicsTableLink", "Linked", "row_url", "table_url"]

_GUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_SYSTEM_VIEW, _PERSONAL_VIEW = "1039", "4230"


def table_url(environment: str, table: str, view: str | None = None, *, personal: bool = False) -> str:
    """Return where a person sees a table's rows.

    :param environment: the environment's URL
    :param table: the table's logical name
    :param view: the id of the view to open; any other text opens the table's own view
    :param personal: whether it is a view that a user has saved
    """
    asked = {"pagetype": "entitylist", "etn": table}
    if view and _GUID.fullmatch(view.strip("{}")):
        asked |= {
            "viewid": f"{{{view.strip('{}')}}}",
            "viewtype": _PERSONAL_VIEW if personal else _SYSTEM_VIEW,
        }
    return _url(environment, asked)


def row_url(environment: str, table: str, row_id: str) -> str:
    """Return where a person sees one row."""
    return _url(environment, {"pagetype": "entityrecord", "etn": table, "id": f"{{{row_id.strip('{}')}}}"})


class Linked:
    """What the links ask of an operator; it notes the environment, and the row, when it knows them."""

    noted_environment: str | None = None
    noted_table: str | None = None
    linked_row: str | None = None

    def note_table(self, table: str, rows: Sequence[Mapping[str, Any]] = ()) -> None:
        """Note the table that a task uses, and its row if it found just one."""
        self.noted_table = table
        if len(rows) == 1:  # the id of an activity is called so whatever its table
            row_id = rows[0].get(f"{table}id") or rows[0].get("activityid")
            self.linked_row = (
                row_id if _GUID.fullmatch(str(row_id)) else None
            )  # an aggregate's alias may be called so

    @property
    def linked_environment(self) -> str | None:
        """The environment's URL, from the connection where the task has not opened a client; None where that fails too."""
        if self.noted_environment is None:
            with suppress(Exception):  # the task says what is wrong with its connection, a link need not
                self.noted_environment = self.hook.settings.environment  # type: ignore[attr-defined]  # operators have one
        return self.noted_environment

    @property
    def linked_table(self) -> str | None:
        """The table's logical name, None where the task has none."""
        return self.noted_table or getattr(self, "table", None)


class DynamicsTableLink(BaseOperatorLink):
    """Opens the table that a task reads or writes; the view, where it reads one by its id."""

    name = "Table in Dynamics"

    def get_link(self, operator: Any, *, ti_key: TaskInstanceKey) -> str:
        """Return the address, "" where the task does not know its table."""
        table, environment = operator.linked_table, operator.linked_environment
        if not table or not environment:
            return ""
        view, personal = getattr(operator, "saved_query", None), False
        if not view:
            view, personal = getattr(operator, "user_query", None), True
        return table_url(environment, table, view, personal=personal)


class DynamicsRowLink(BaseOperatorLink):
    """Opens the row that a task has found."""

    name = "Row in Dynamics"

    def get_link(self, operator: Any, *, ti_key: TaskInstanceKey) -> str:
        """Return the address, "" where the task has found no row."""
        table, row_id = operator.linked_table, operator.linked_row
        environment = operator.linked_environment if table and row_id else None
        return row_url(environment, table, row_id) if environment else ""


def _url(environment: str, asked: dict[str, str]) -> str:
    return f"{environment.rstrip('/')}/main.aspx?{urlencode(asked, quote_via=quote)}"
