"""Global choices and the options of choices as tasks: what is there already and the same is left alone.

https://learn.microsoft.com/power-apps/developer/data-platform/webapi/create-update-optionsets
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_dynamics.operators.customizing import DefinitionOperator

if TYPE_CHECKING:
    from airflow_provider_dynamics.dataverse import Client, WriteOptions

__all__ = ["DynamicsAddOptionsOperator", "DynamicsCreateChoiceOperator"]


class DynamicsCreateChoiceOperator(DefinitionOperator):
    """Create a global choice, which columns of several tables can share.

    Returns ``{"choice", "status"}``. Options that somebody has added to it are no difference.

    :param choice: its name with its prefix, such as ``new_colors``
    :param options: ``{value: label}``
    :param display_name: what it is called
    :param description: what it is for
    :param solution: the unique name of a solution that it is added to
    :param publish: publish it, so that forms show it
    :param dynamics_conn_id: the connection of type ``dynamics``
    :param environment: the URL of another environment than the connection's to work in, of the same cloud
    """

    template_fields: Sequence[str] = (
        *DefinitionOperator.template_fields,
        *("choice", "options", "display_name", "description"),
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"options": "json"}

    def __init__(
        self,
        *,
        choice: str,
        options: Mapping[Any, str],
        display_name: str | None = None,
        description: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.choice = choice
        self.options = options
        self.display_name = display_name
        self.description = description

    def change(self, client: Client, options: WriteOptions) -> dict[str, Any]:
        from airflow_provider_dynamics.dataverse.administration.definitions import NewChoice

        wanted = NewChoice(self.choice, self.options, self.display_name, self.description)
        return {"choice": self.choice, "status": client.schema.create_choice(wanted, options=options)}

    def published(self) -> tuple[Sequence[str], Sequence[str]]:
        return (), (self.choice,)


class DynamicsAddOptionsOperator(DefinitionOperator):
    """Add options to a choice: to a global one by its name, or to a column that has its own.

    Returns ``{"status"}`` with what it was added to. An option that is there by another label fails the task.

    :param options: ``{value: label}``; what is there already is left alone
    :param choice: the name of a global choice
    :param table: instead, the logical name of a table
    :param column: and that of its column
    :param solution: the unique name of a solution that the change belongs to
    :param publish: publish what was changed, so that forms show it
    :param dynamics_conn_id: the connection of type ``dynamics``
    :param environment: the URL of another environment than the connection's to work in, of the same cloud
    """

    template_fields: Sequence[str] = (
        *DefinitionOperator.template_fields,
        *("options", "choice", "table", "column"),
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"options": "json"}

    def __init__(
        self,
        *,
        options: Mapping[Any, str],
        choice: str = "",
        table: str = "",
        column: str = "",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.options = options
        self.choice = choice
        self.table = table
        self.column = column

    def change(self, client: Client, options: WriteOptions) -> dict[str, Any]:
        from airflow_provider_dynamics.dataverse.administration.definitions import options_of

        place = {"choice": self.choice, "table": self.table, "column": self.column}
        added = options_of(self.options)
        status = client.schema.add_options(added, **place, options=options)
        return {**{name: value for name, value in place.items() if value}, "status": status}

    def published(self) -> tuple[Sequence[str], Sequence[str]]:
        return ((), (self.choice,)) if self.choice else ((self.table,), ())
