"""Which request below the metadata's roots changes what, and what is answered.

https://learn.microsoft.com/power-apps/developer/data-platform/webapi/create-update-entity-definitions-using-web-api
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from airflow_provider_dynamics.emulator.address import Segment
from airflow_provider_dynamics.emulator.call import Call, no_content
from airflow_provider_dynamics.emulator.customizing import shapes
from airflow_provider_dynamics.emulator.customizing.choices import Choices
from airflow_provider_dynamics.emulator.customizing.columns import changed, columns_of
from airflow_provider_dynamics.emulator.customizing.dependencies import refuse_column_in_use
from airflow_provider_dynamics.emulator.customizing.keys import Keys
from airflow_provider_dynamics.emulator.customizing.options import Options, table_named
from airflow_provider_dynamics.emulator.customizing.publishing import Publishing
from airflow_provider_dynamics.emulator.customizing.reading import Body
from airflow_provider_dynamics.emulator.customizing.relationships import Relationships
from airflow_provider_dynamics.emulator.customizing.tables import Tables, relationship_ids, with_columns
from airflow_provider_dynamics.emulator.customizing.workshop import (
    ATTRIBUTE,
    RELATIONSHIP,
    Workshop,
    customizable,
    replaced,
)
from airflow_provider_dynamics.emulator.messages import Fault, NotEmulated, Response
from airflow_provider_dynamics.emulator.metadata.definitions import ROOTS, identity_of, key_of
from airflow_provider_dynamics.emulator.operations.model import Invocation, Operation, Parameter, need
from airflow_provider_dynamics.emulator.schema import Column, Table
from airflow_provider_dynamics.emulator.schema.current import Schema
from airflow_provider_dynamics.emulator.writing.rows import method_not_allowed

WRITING = frozenset({"POST", "PUT", "DELETE"})


class Customizing:
    """Answers requests that change metadata."""

    def __init__(self, workshop: Workshop) -> None:
        self.workshop = workshop
        self.tables = Tables(workshop)
        self.relationships = Relationships(workshop)
        self.keys = Keys(workshop)
        self.choices = Choices(workshop)
        self._options = Options(workshop)
        self._publishing = Publishing(workshop)

    def operations(self) -> Sequence[Operation]:
        """The actions on metadata."""
        entities = need("Entities", "Collection(mscrm.ComplexEntityMetadata)")
        solution = Parameter("SolutionUniqueName", "Edm.String")
        return (
            # What it returns is not documented; Microsoft's Python SDK, which makes tables with it, does not look.
            Operation("CreateEntities", (entities, solution), run=self._new_tables),
            *self._options.operations(),
            *self._publishing.operations(),
            *self.keys.operations(),
            *self.relationships.operations(),
        )

    def serves(self, call: Call, segments: Sequence[Segment]) -> bool:
        """Whether a request changes metadata."""
        return segments[0].name in ROOTS and call.method in WRITING

    def answer(self, call: Call, segments: Sequence[Segment]) -> Response:
        """Do what the request says, all of it or nothing."""
        root, *rest = segments
        with self.workshop.rooms.store.transaction():
            if root.name == "GlobalOptionSetDefinitions":
                return self._whole(call, segments, self.choices, shape=shapes.CHOICE, name="Name")
            if root.name == "RelationshipDefinitions":
                return self._whole(
                    call, segments, self.relationships, shape=shapes.RELATIONSHIP, name="SchemaName"
                )
            if root.inside is None:
                return self._new_table(call, rest)
            table = table_named(self.workshop.working, identity_of(root.inside, "LogicalName"))
            if rest:
                return self._below(call, table, root, rest)
            return self._table(call, table)

    # -- tables -------------------------------------------------------------------------------------

    def _new_table(self, call: Call, rest: Sequence[Segment]) -> Response:
        if rest or call.method != "POST":
            raise method_not_allowed(call.method)
        return _made(f"{call.root}/EntityDefinitions({self.tables.create(call, _body(call, shapes.TABLE))})")

    def _new_tables(self, invocation: Invocation) -> None:
        call = invocation.call
        named = invocation.parameters.get("SolutionUniqueName") or call.options.get("SolutionUniqueName")
        if named:
            call = replace(call, headers={**call.headers, "mscrm.solutionuniquename": named})
        for body in invocation.parameters["Entities"]:
            self.tables.create(call, shapes.shaped(body, shapes.TABLE))

    def _table(self, call: Call, table: Table) -> Response:
        if call.method == "PUT":
            self.tables.update(call, table, _body(call, shapes.TABLE))
            return _made(f"{call.root}/EntityDefinitions({table.metadata_id})")
        if call.method != "DELETE":
            raise method_not_allowed(call.method)
        self.tables.delete(call, table)
        return no_content()

    def _below(self, call: Call, table: Table, root: Segment, rest: Sequence[Segment]) -> Response:
        first, *further = rest
        cast = [one for one in further if one.name.startswith("Microsoft.Dynamics.CRM.")]
        if further != cast or len(cast) > 1 or first.name not in {"Attributes", "Keys"}:
            raise NotEmulated(f"changing {'/'.join(one.name for one in rest)}")
        path = f"{call.root}/{root.name}({root.inside})/{first.name}"
        if first.name == "Keys":
            return self._key(call, table, first, path)
        return self._column(call, table, first, path)

    def _key(self, call: Call, table: Table, segment: Segment, path: str) -> Response:
        if call.method == "POST" and segment.inside is None:
            return _made(f"{path}({self.keys.create(call, table, _body(call, shapes.KEY))})")
        if call.method != "DELETE" or segment.inside is None:
            raise method_not_allowed(call.method)
        self.keys.delete(call, table, key_of(table, segment.inside))
        return no_content()

    # -- columns ------------------------------------------------------------------------------------

    def _column(self, call: Call, table: Table, segment: Segment, path: str) -> Response:
        if segment.inside is None:
            if call.method != "POST":
                raise method_not_allowed(call.method)
            return _made(f"{path}({self._new_column(call, table, _body(call, shapes.COLUMN))})")
        column = _column_of(table, identity_of(segment.inside, "LogicalName"))
        if call.method == "PUT":
            self._change_column(call, table, column, _body(call, shapes.COLUMN))
            return _made(f"{path}({table.column_metadata_id(column.name)})")
        if call.method != "DELETE":
            raise method_not_allowed(call.method)
        self.delete_column(call, table, column)
        return no_content()

    def _new_column(self, call: Call, table: Table, body: Any) -> str:
        self.workshop.start(call, "prvCreateAttribute")
        self.workshop.check_solution(call)
        columns = columns_of(body, self.workshop.working)
        with_columns(customizable(table), columns)
        self.workshop.change(lambda schema: _with(schema, table.name, columns))
        column_id = table.column_metadata_id(columns[0].name)
        self.workshop.belongs(call, ATTRIBUTE, column_id)
        return column_id

    def _change_column(self, call: Call, table: Table, column: Column, body: Any) -> None:
        self.workshop.start(call, "prvWriteAttribute")
        after = replace(table, columns=replaced(table.columns, column, changed(column, body)))
        self.workshop.change(lambda schema: schema.with_tables(after), at_once=False)
        self.workshop.belongs(call, ATTRIBUTE, table.column_metadata_id(column.name))

    def delete_column(self, call: Call, table: Table, column: Column) -> None:
        """Delete a custom column that nothing needs."""
        self.workshop.start(call, "prvDeleteAttribute")
        column_id = table.column_metadata_id(column.name)
        self.workshop.refuse_managed(ATTRIBUTE, column_id)
        refuse_column_in_use(table, column)
        self.drop_column(table, column)

    def drop_column(self, table: Table, column: Column) -> None:
        """Take a column and its companions out, whoever uses it."""
        self.workshop.change(lambda schema: _without(schema, table.name, column.name))
        self.workshop.gone(ATTRIBUTE, table.column_metadata_id(column.name))
        if column.is_lookup:
            alone = replace(table, columns=(column,))
            self.workshop.gone(RELATIONSHIP, *relationship_ids(alone))

    # -- relationships and choices --------------------------------------------------------------------

    def _whole(
        self,
        call: Call,
        segments: Sequence[Segment],
        definitions: Choices | Relationships,
        *,
        shape: Mapping[str, Any],
        name: str,
    ) -> Response:
        root, *rest = segments
        path = f"{call.root}/{root.name}"
        if root.inside is None:
            if rest or call.method != "POST":
                raise method_not_allowed(call.method)
            return _made(f"{path}({definitions.create(call, _body(call, shape))})")
        wanted = identity_of(root.inside, name)
        if call.method == "DELETE":
            definitions.delete(call, wanted)
            return no_content()
        if call.method != "PUT":
            raise method_not_allowed(call.method)
        return _made(f"{path}({definitions.update(call, wanted, _body(call, shape))})")


def _body(call: Call, shape: Mapping[str, Any]) -> Body:
    return shapes.shaped(call.json(), shape)


def _made(url: str) -> Response:
    return no_content(("OData-EntityId", url))


def _column_of(table: Table, wanted: str) -> Column:
    for column in table.columns:
        if wanted in {column.name, table.column_metadata_id(column.name)}:
            return column
    raise Fault(404, "0x80041103", f"'{table.name}' entity doesn't contain attribute with Name = '{wanted}'.")


def _with(schema: Schema, name: str, columns: tuple[Column, ...]) -> Schema:
    return schema.with_tables(with_columns(schema.tables[name], columns))


def _without(schema: Schema, name: str, column: str) -> Schema:
    table = schema.tables[name]
    kept = tuple(
        one for one in table.columns if one.name != column and column not in {one.part_of, one.base_of}
    )
    return schema.with_tables(replace(table, columns=kept))
