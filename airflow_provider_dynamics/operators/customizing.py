"""Tables and columns as tasks, each made once however often the task runs.

What is there already and the same is left alone; what is there and different fails the task with the difference. All of
them need *Allow metadata changes* in the connection.
https://learn.microsoft.com/power-apps/developer/data-platform/webapi/create-update-entity-definitions-using-web-api
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_dynamics.links import DynamicsTableLink
from airflow_provider_dynamics.operators.base import DynamicsOperator, true

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_dynamics.dataverse import Client, WriteOptions
    from airflow_provider_dynamics.dataverse.administration.definitions import NewColumn

__all__ = [
    "DefinitionOperator",
    "DynamicsCreateColumnOperator",
    "DynamicsCreateTableOperator",
    "DynamicsUpdateTableOperator",
    "said_plainly",
    "solution_options",
]


class DefinitionOperator(DynamicsOperator):
    """What changes definitions at once: into which solution, and whether it is published.

    :param solution: the unique name of a solution that new components are added to
    :param publish: publish what was changed, so that forms and views show it
    """

    template_fields: Sequence[str] = (*DynamicsOperator.template_fields, "solution", "publish")
    operator_extra_links = (DynamicsTableLink(),)

    def __init__(self, *, solution: str | None = None, publish: bool | str = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.solution = solution
        self.publish = publish

    @abstractmethod
    def change(self, client: Client, options: WriteOptions) -> dict[str, Any]:
        """Change what is to be changed, and return what became of it, its ``status`` among it."""

    def execute(self, context: Context) -> dict[str, Any]:
        """Change the definition.

        :raises AirflowFailException: the connection does not allow it, or what is there is different
        """
        with self.client() as client, said_plainly():
            result = self.change(client, solution_options(self.solution))
            if true("publish", self.publish) and result["status"] != "unchanged":
                client.solutions.publish(*self.published())
        self.log.info("%s", ", ".join(f"{name}: {value}" for name, value in result.items()))
        return result

    def published(self) -> tuple[Sequence[str], Sequence[str]]:
        """Return the tables and the choices that have been changed."""
        return (str(getattr(self, "table", "")).lower(),), ()


class DynamicsCreateTableOperator(DefinitionOperator):
    """Create a table with its primary column, and more columns after it.

    Returns ``{"table", "status", "columns": {name: status}}``; a status is ``created`` or ``unchanged``, the table's
    ``changed`` where it was there and only columns are new.

    :param table: the table's name with its prefix, such as ``new_Order``; its logical name is the same in small letters
    :param display_name: what one row is called
    :param plural_name: what many are called
    :param primary_column: the column that names a row: a dict with ``name``, and what else ``NewColumn`` takes; a text
    :param columns: more columns, each a dict with ``name`` and ``type``, and what else ``NewColumn`` takes
    :param description: what the table is for
    :param ownership: ``user`` or ``organization``; it cannot be changed later. Default: ``user``
    :param change_tracking: keep track of changes, for those who follow them
    :param notes: let notes and files be attached to rows
    :param activities: let activities belong to rows
    :param solution: the unique name of a solution that new components are added to
    :param publish: publish what was changed, so that forms and views show it
    :param dynamics_conn_id: the connection of type ``dynamics``
    :param environment: the URL of another environment than the connection's to work in, of the same cloud
    """

    template_fields: Sequence[str] = (
        *DefinitionOperator.template_fields,
        *("table", "display_name", "plural_name", "primary_column", "columns", "description", "ownership"),
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"primary_column": "json", "columns": "json"}

    def __init__(
        self,
        *,
        table: str,
        display_name: str,
        plural_name: str,
        primary_column: Mapping[str, Any],
        columns: Sequence[Mapping[str, Any] | NewColumn] = (),
        description: str | None = None,
        ownership: str | None = None,
        change_tracking: bool | None = True,
        notes: bool | None = None,
        activities: bool | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.table = table
        self.display_name = display_name
        self.plural_name = plural_name
        self.primary_column = primary_column
        self.columns = columns
        self.description = description
        self.ownership = ownership
        self.change_tracking = change_tracking
        self.notes = notes
        self.activities = activities

    def change(self, client: Client, options: WriteOptions) -> dict[str, Any]:
        from airflow_provider_dynamics.dataverse.administration.definitions import NewColumn, NewTable

        wanted = NewTable(
            self.table,
            self.display_name,
            self.plural_name,
            NewColumn.of({"type": "String", **self.primary_column}),
            description=self.description,
            ownership=self.ownership or None,
            change_tracking=self.change_tracking,
            notes=self.notes,
            activities=self.activities,
        )
        columns = [NewColumn.of(one) for one in self.columns or ()]
        name = wanted.logical_name
        status: str = client.schema.create_table(wanted, options=options)
        done = {one.logical_name: client.schema.create_column(name, one, options=options) for one in columns}
        if status == "unchanged" and "created" in done.values():
            status = "changed"
        self.note_table(name)
        return {"table": name, "status": status, "columns": done}


class DynamicsUpdateTableOperator(DefinitionOperator):
    """Change a table's definition: switch on that it tracks changes, give it other labels. What is None stays as it is.

    Returns ``{"table", "status"}``; the status is ``changed`` or ``unchanged``.

    :param table: the table's logical name
    :param change_tracking: keep track of changes, for those who follow them; it cannot be switched off again everywhere
    :param display_name: what one row is called
    :param plural_name: what many are called
    :param description: what the table is for
    :param solution: the unique name of a solution that the table is added to
    :param publish: publish what was changed, so that forms and views show it
    :param dynamics_conn_id: the connection of type ``dynamics``
    :param environment: the URL of another environment than the connection's to work in, of the same cloud
    """

    template_fields: Sequence[str] = (
        *DefinitionOperator.template_fields,
        *("table", "display_name", "plural_name", "description"),
    )

    def __init__(
        self,
        *,
        table: str,
        change_tracking: bool | None = None,
        display_name: str | None = None,
        plural_name: str | None = None,
        description: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.table = table
        self.change_tracking = change_tracking
        self.display_name = display_name
        self.plural_name = plural_name
        self.description = description

    def change(self, client: Client, options: WriteOptions) -> dict[str, Any]:
        status = client.schema.update_table(
            self.table,
            change_tracking=self.change_tracking,
            display_name=self.display_name,
            plural_name=self.plural_name,
            description=self.description,
            options=options,
        )
        self.note_table(self.table)
        return {"table": self.table, "status": status}


class DynamicsCreateColumnOperator(DefinitionOperator):
    """Create columns in a table that is there; a lookup comes with its relationship.

    Returns ``{"table", "status", "columns": {name: status}}``.

    :param table: the table's logical name
    :param columns: the columns, each a dict with ``name`` and ``type``, and what else ``NewColumn`` takes
    :param solution: the unique name of a solution that new components are added to
    :param publish: publish what was changed, so that forms and views show it
    :param dynamics_conn_id: the connection of type ``dynamics``
    :param environment: the URL of another environment than the connection's to work in, of the same cloud
    """

    template_fields: Sequence[str] = (*DefinitionOperator.template_fields, "table", "columns")
    template_fields_renderers: ClassVar[dict[str, str]] = {"columns": "json"}

    def __init__(
        self,
        *,
        table: str,
        columns: Sequence[Mapping[str, Any] | NewColumn] | Mapping[str, Any] | NewColumn,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.table = table
        self.columns = columns

    def change(self, client: Client, options: WriteOptions) -> dict[str, Any]:
        from airflow_provider_dynamics.dataverse.administration.definitions import NewColumn

        given = [self.columns] if isinstance(self.columns, (Mapping, NewColumn)) else self.columns
        wanted: list[NewColumn] = [NewColumn.of(one) for one in given]
        done = {
            one.logical_name: client.schema.create_column(self.table, one, options=options) for one in wanted
        }
        self.note_table(self.table)
        status = "created" if "created" in done.values() else "unchanged"
        return {"table": self.table, "status": status, "columns": done}


def solution_options(solution: str | None) -> WriteOptions:
    """Return the options of a change that belongs to a solution.

    :raises AirflowFailException: what is given is no solution's unique name
    """
    from airflow_provider_dynamics.dataverse import WriteOptions

    with said_plainly():
        return WriteOptions(solution=solution or None)


@contextmanager
def said_plainly() -> Iterator[None]:
    """Raise what is wrong with a definition as Airflow's error that no retry helps against."""
    try:
        yield
    except ValueError as error:
        raise AirflowFailException(f"{error}.") from error
