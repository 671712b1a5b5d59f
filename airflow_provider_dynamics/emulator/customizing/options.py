"""Options of choices: as definitions describe them, and the actions that add, change, order and delete them.

https://learn.microsoft.com/power-apps/developer/data-platform/webapi/create-update-optionsets
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from airflow_provider_dynamics.emulator.customizing.reading import Body, label_of
from airflow_provider_dynamics.emulator.customizing.workshop import Workshop, replaced, with_choice
from airflow_provider_dynamics.emulator.messages import Fault
from airflow_provider_dynamics.emulator.operations.model import (
    Invocation,
    Operation,
    Parameter,
    missing,
    need,
)
from airflow_provider_dynamics.emulator.schema import Column, Option, Table
from airflow_provider_dynamics.emulator.schema.current import Schema
from airflow_provider_dynamics.emulator.schema.model import OPTION_KINDS, Choice

FIRST_VALUE = 100_000_000  # of the default publisher, whose option value prefix is 10000
_BOUND = re.compile(r"/?GlobalOptionSetDefinitions\((?:Name=)?'?([\w-]+)'?\)")
_SOLUTION = Parameter("SolutionUniqueName", "Edm.String")
_WHERE = (
    Parameter("OptionSetName", "Edm.String"),
    Parameter("AttributeLogicalName", "Edm.String"),
    Parameter("EntityLogicalName", "Edm.String"),
)
_LABEL, _DESCRIPTION = Parameter("Label", "mscrm.Label"), Parameter("Description", "mscrm.Label")


def options_of(body: Body, schema: Schema) -> tuple[tuple[Option, ...], str | None]:
    """The options of a choice column, and the name of the global choice they belong to."""
    bound = body.get("GlobalOptionSet@odata.bind")
    own = body.get("OptionSet") or {}
    if bound is not None or own.get("IsGlobal"):
        choice = choice_named(schema, _bound_name(bound) if bound is not None else str(own.get("Name")))
        return choice.options, choice.name
    if not own:
        raise missing("OptionSet")
    return listed(own), None


def listed(body: Body) -> tuple[Option, ...]:
    """The options that an OptionSet lists; one without a value gets the next that is free."""
    found: list[Option] = []
    for one in body.get("Options") or ():
        value = one.get("Value")
        value = next_value(found) if value is None else value
        if not isinstance(value, int) or any(option.value == value for option in found):
            raise _invalid(f"the value {value} is no whole number of its own")
        found.append(Option(value, label_of(one, "Label", needed=True) or ""))
    return tuple(found)


def next_value(options: Sequence[Option]) -> int:
    """The value a new option gets by itself."""
    return max((option.value + 1 for option in options if option.value >= FIRST_VALUE), default=FIRST_VALUE)


def choice_named(schema: Schema, name: str) -> Choice:
    """A global choice by its name or its id; raises ``Fault`` when there is none."""
    for choice in schema.choices.values():
        if name.lower() in {choice.name, choice.metadata_id}:
            return choice
    raise Fault(404, "0x80040217", f"Could not find an optionset with the specified name or id: {name}.")


def _bound_name(link: Any) -> str:
    match = _BOUND.search(link) if isinstance(link, str) else None
    if match is None:
        raise Fault(400, "0x80060888", f"Invalid resource reference '{str(link)[:200]}'.")
    return match[1]


def _invalid(why: str) -> Fault:
    return Fault(400, "0x80048403", f"Invalid OptionSet: {why}.")


# -- where the options of an action are ------------------------------------------------------------------


def _with_columns(table: Table, columns: Sequence[Column]) -> Table:
    return replace(table, columns=tuple(columns))


class Options:
    """The actions on options; what they do is seen once it is published."""

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop

    def operations(self) -> Sequence[Operation]:
        """The actions."""
        value, needed_value = Parameter("Value", "Edm.Int32"), need("Value", "Edm.Int32")
        merge, made = need("MergeLabels", "Edm.Boolean"), (need("NewOptionValue", "Edm.Int32"),)
        new = (value, _LABEL, _DESCRIPTION, _SOLUTION)
        return (
            Operation("InsertOptionValue", (*_WHERE, *new, *_IGNORED), made, run=self._insert),
            Operation(
                "InsertStatusValue",
                (*_WHERE, need("StateCode", "Edm.Int32"), *new),
                made,
                run=self._insert,
            ),
            Operation(
                "UpdateOptionValue",
                (*_WHERE, needed_value, _LABEL, _DESCRIPTION, merge, _SOLUTION, *_IGNORED),
                run=self._update,
            ),
            Operation("DeleteOptionValue", (*_WHERE, needed_value, _SOLUTION), run=self._delete),
            Operation(
                "OrderOption", (*_WHERE, need("Values", "Collection(Edm.Int32)"), _SOLUTION), run=self._order
            ),
        )

    def _insert(self, invocation: Invocation) -> Mapping[str, int]:
        options, given = self._at(invocation), invocation.parameters
        value = given.get("Value")
        value = next_value(options) if value is None else value
        if any(option.value == value for option in options):
            raise _invalid(f"there is an option with the value {value}")
        state = given.get("StateCode")
        if state is not None and all(state != option.state for option in options):
            raise Fault(400, "0x80048408", f"State code is invalid: {state}.")
        text = label_of(given, "Label", needed=True) or ""
        self._put(invocation, (*options, Option(value, text, state)))
        return {"NewOptionValue": value}

    def _update(self, invocation: Invocation) -> None:
        options, text = self._at(invocation), label_of(invocation.parameters, "Label", needed=True)
        found = self._one(options, invocation.parameters["Value"])
        self._put(invocation, replaced(options, found, replace(found, label=text or "")))

    def _delete(self, invocation: Invocation) -> None:
        options = self._at(invocation)
        found = self._one(options, invocation.parameters["Value"])
        column = self._column(invocation)
        if column is not None and column.kind == "Boolean":
            raise _invalid("a yes/no column keeps both options")
        if (
            column is not None
            and column.kind == "Status"
            and _is_default(column, self._table(invocation), found)
        ):
            raise Fault(400, "0x80044341", "The default status option cannot be deleted.")
        self._put(invocation, tuple(option for option in options if option is not found))

    def _order(self, invocation: Invocation) -> None:
        options, wanted = self._at(invocation), list(invocation.parameters["Values"])
        if sorted(wanted) != sorted(option.value for option in options):
            raise _invalid("the values must be those of all options")
        by_value = {option.value: option for option in options}
        self._put(invocation, tuple(by_value[value] for value in wanted))

    @staticmethod
    def _one(options: Sequence[Option], value: int) -> Option:
        found = next((option for option in options if option.value == value), None)
        if found is None:
            raise _invalid(f"there is no option with the value {value}")
        return found

    # -- the options before and after ----------------------------------------------------------------

    def _at(self, invocation: Invocation) -> tuple[Option, ...]:
        self._workshop.start(invocation.call, "prvWriteOptionSet")
        column = self._column(invocation)
        if column is None:
            return choice_named(self._workshop.working, invocation.parameters["OptionSetName"]).options
        if column.kind == "Boolean":
            return tuple(Option(value, text) for value, text in enumerate(column.labels))
        if column.kind not in OPTION_KINDS:
            raise _invalid(f"{column.name} is no choice")
        return column.options

    def _table(self, invocation: Invocation) -> Table:
        name = invocation.parameters.get("EntityLogicalName")
        if not name:
            raise missing("EntityLogicalName")
        return table_named(self._workshop.working, name)

    def _column(self, invocation: Invocation) -> Column | None:
        if invocation.parameters.get("OptionSetName"):
            return None
        table, name = self._table(invocation), invocation.parameters.get("AttributeLogicalName")
        if not name:
            raise missing("AttributeLogicalName")
        if not table.has(name):
            raise Fault(
                404, "0x80041103", f"'{table.name}' entity doesn't contain attribute with Name = '{name}'."
            )
        return table.by_name[name]

    def _put(self, invocation: Invocation, options: tuple[Option, ...]) -> None:
        column, schema = self._column(invocation), self._workshop.working
        if column is None or column.global_choice:
            name = invocation.parameters.get("OptionSetName") or (column.global_choice if column else "")
            choice = choice_named(schema, str(name))
            after = replace(choice, options=options)
            self._workshop.change(lambda one: with_choice(one, after), at_once=False)
            return
        table = self._table(invocation)
        if column.kind == "Boolean":
            new = replace(column, labels=(options[0].label, options[1].label))
        else:
            new = replace(column, options=options)
        changed = _with_columns(table, replaced(table.columns, column, new))
        self._workshop.change(lambda one: one.with_tables(changed), at_once=False)


_IGNORED = (Parameter("ParentValues", "Collection(Edm.Int32)"), Parameter("Color", "Edm.String"))


def _is_default(column: Column, table: Table, option: Option) -> bool:
    states = table.by_name["statecode"].options if table.has("statecode") else ()
    return option.value == column.default or any(state.status == option.value for state in states)


def table_named(schema: Schema, name: str) -> Table:
    """A table by its logical name or its MetadataId; raises ``Fault`` when there is none."""
    for table in schema.tables.values():
        if name.lower() in {table.name, table.metadata_id}:
            return table
    raise Fault(
        404,
        "0x80040217",
        f"Could not find an entity with specified entity name: {name} in the metadata cache.",
    )
