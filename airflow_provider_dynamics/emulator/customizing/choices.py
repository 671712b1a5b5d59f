"""Global choices: made from a definition, renamed by a whole one, deleted when no column has them.

https://learn.microsoft.com/power-apps/developer/data-platform/webapi/create-update-optionsets
"""

from __future__ import annotations

from dataclasses import replace

from airflow_provider_dynamics.emulator.call import Call
from airflow_provider_dynamics.emulator.customizing.dependencies import in_use
from airflow_provider_dynamics.emulator.customizing.options import choice_named, listed
from airflow_provider_dynamics.emulator.customizing.reading import Body, label_of, not_unique, schema_name_of
from airflow_provider_dynamics.emulator.customizing.workshop import OPTION_SET, Workshop, with_choice
from airflow_provider_dynamics.emulator.messages import NotEmulated
from airflow_provider_dynamics.emulator.schema.model import Choice


class Choices:
    """Makes, changes and deletes global choices."""

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop

    def create(self, call: Call, body: Body) -> str:
        """A new global choice. Returns its MetadataId."""
        self._workshop.start(call, "prvCreateOptionSet")
        self._workshop.check_solution(call)
        if body.get("OptionSetType") not in {None, "Picklist"}:
            raise NotEmulated(f"a global choice of the type {body['OptionSetType']}")
        name = schema_name_of(body, "Name").lower()
        if name in self._workshop.working.choices:
            raise not_unique(name)
        label = label_of(body, "DisplayName", needed=True) or ""
        choice = Choice(name, label, listed(body), label_of(body, "Description"))
        self._workshop.change(lambda schema: with_choice(schema, choice))
        self._workshop.belongs(call, OPTION_SET, choice.metadata_id)
        return choice.metadata_id

    def update(self, call: Call, wanted: str, body: Body) -> str:
        """Change its label and description; its options have actions of their own."""
        self._workshop.start(call, "prvWriteOptionSet")
        choice = choice_named(self._workshop.working, wanted)
        label = label_of(body, "DisplayName") or choice.label
        after = replace(choice, label=label, description=label_of(body, "Description") or choice.description)
        self._workshop.change(lambda schema: with_choice(schema, after), at_once=False)
        return choice.metadata_id

    def delete(self, call: Call, wanted: str) -> None:
        """Delete one that no column has."""
        self._workshop.start(call, "prvDeleteOptionSet")
        choice = choice_named(self._workshop.working, wanted)
        self._workshop.refuse_managed(OPTION_SET, choice.metadata_id)
        tables = self._workshop.working.tables.values()
        users = sum(column.global_choice == choice.name for table in tables for column in table.columns)
        if users:
            raise in_use("OptionSet", choice.metadata_id, users)
        self.drop(choice)

    def drop(self, choice: Choice) -> None:
        """Take one out, whoever has it."""
        self._workshop.change(
            lambda schema: schema.with_choices(
                {name: one for name, one in schema.choices.items() if name != choice.name}
            )
        )
        self._workshop.gone(OPTION_SET, choice.metadata_id)
