"""A load before its first row: the table, the source and the columns fit together, and the stages are known."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_dynamics.dataverse.protocol.options import NO_OPTIONS, WriteOptions
from airflow_provider_dynamics.transfers.loads.columns import check_columns, file_to_table
from airflow_provider_dynamics.transfers.loads.job import Step, TableLoad
from airflow_provider_dynamics.transfers.loads.lookup_keys import (
    Lookup,
    check_lookups,
    column_of,
    may_choose_ids,
    parts_of,
)
from airflow_provider_dynamics.transfers.loads.passes import Pass, passes_of
from airflow_provider_dynamics.transfers.loads.row import LoadSource, Stage, Stages

if TYPE_CHECKING:
    from airflow_provider_dynamics.dataverse import Client
    from airflow_provider_dynamics.dataverse.metadata.table import Table
    from airflow_provider_dynamics.transfers.loads.coming import Coming

__all__ = ["Prepared", "prepared_load"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prepared:
    """One table's load, checked against the table and the source; nothing has been written yet.

    :param name: its name in the run
    :param load: what was asked for
    :param client: the environment
    :param table: the table, with what values are checked by
    :param source: the rows
    :param columns: names of the values that are sent, in the order of the source
    :param lookups: lookups that are looked up
    :param passes: the trips through the source
    :param run: what tells this run of the task from every other
    """

    name: str
    load: TableLoad
    client: Client
    table: Table
    source: LoadSource
    columns: tuple[str, ...]
    lookups: tuple[Lookup, ...]
    passes: tuple[Pass, ...]
    run: str

    @property
    def made_from(self) -> tuple[str, ...]:
        """The columns that row ids are made from; none where rows bring theirs, have a key, or a create has neither."""
        load = self.load
        return load.row_id_from or (load.key if load.operation == "create" else ())

    @property
    def by_content(self) -> bool:
        """Whether ids are made from whole rows: a create that has nothing better."""
        if self.load.operation != "create" or self.made_from or self.table.primary_id in self.columns:
            return False
        return may_choose_ids(self.table)

    @property
    def makes_ids(self) -> bool:
        """Whether rows get their ids here."""
        return bool(self.made_from) or self.by_content

    @property
    def key(self) -> tuple[str, ...]:
        """The alternate key that finds rows; empty where their id does."""
        load = self.load
        if self.makes_ids or load.operation == "create" or load.key == (self.table.primary_id,):
            return ()
        return load.key

    @property
    def identity(self) -> frozenset[str]:
        """Names of the values that find a row, the parts of lookups among them."""
        key = self.key or (self.table.primary_id,)
        return frozenset(key).union(*(lookup.names for lookup in self.lookups if lookup.column in key))

    def step(
        self,
        one: Pass,
        added: Callable[[], Sequence[Stage]] = tuple,
        *,
        writes: bool = True,
        options: WriteOptions = NO_OPTIONS,
        coming: Coming | None = None,
    ) -> Step:
        """Return a pass of it for a run.

        :param added: makes the stages behind the usual ones
        :param writes: False for a dry run
        :param options: what goes with rows that lookups have created
        :param coming: the rows that a dry run would make
        """
        return Step(
            load=self.name,
            table=self.load.table,
            source=self.source,
            operation=one.operation,
            key=self.key,
            stages=lambda: Stages(
                self._reading(),
                (*self._sending(one, writes=writes, options=options, coming=coming), *added()),
            ),
            number=one.number,
            identity=self.identity,
            columns=one.columns,
            waits=one.waits,
            derived_ids=self.makes_ids and self.load.operation == "create",
            blank=self.load.blank,
        )

    def described(self) -> dict[str, Any]:
        """Return what decides what this load does, for the fingerprint of its journal."""
        return {**self.load.described(), "name": self.name, "source": self.source.fingerprint}

    def sent_columns(self) -> dict[str, tuple[str, str]]:
        """Return of each column of the source that is sent the table's column and its type."""
        targets = file_to_table(self.load.columns)
        found = {
            name: column_of(self.table, target, self.lookups)
            for name in self.source.columns
            if (target := targets.get(name, name)) in self.columns
        }
        return {name: (column.name, column.type) for name, column in found.items() if column is not None}

    def _reading(self) -> tuple[Stage, ...]:
        """Return the stages that make of each row of the source what may be sent of it."""
        from airflow_provider_dynamics.transfers.loads.converting import Converting
        from airflow_provider_dynamics.transfers.loads.duplicates import Duplicates
        from airflow_provider_dynamics.transfers.loads.row_ids import ContentIds, KeyIds

        load, table = self.load, self.table
        converting = Converting(
            table,
            self.columns,
            columns=load.columns,
            lookups=parts_of(load.lookups),
            choices_by_label=load.choices_by_label,
        )
        if self.by_content:
            return converting, ContentIds(table, f"{self.name} {self.run}")
        if self.made_from:
            only = load.operation == "delete"
            return (
                converting,
                Duplicates(table, self.made_from, made_ids=True),
                KeyIds(table, self.made_from, only=only),
            )
        if load.operation == "create" and table.primary_id not in self.columns:
            return (converting,)
        return converting, Duplicates(table, load.key or (table.primary_id,))

    def _sending(
        self, one: Pass, *, writes: bool, options: WriteOptions, coming: Coming | None
    ) -> tuple[Stage, ...]:
        """Return the stages that only rows go through that are going to be sent."""
        from airflow_provider_dynamics.transfers.loads.lookups import Lookups

        if not self.lookups:
            return ()
        return (
            Lookups(
                *(self.client, self.table, self.lookups),
                on_missing=self.load.on_missing_lookup,
                key=self.key,
                writes=writes,
                coming=coming,
                options=options,
                written=one.number > 1,
            ),
        )


def prepared_load(
    client: Client, load: TableLoad, source: LoadSource, run: str, *, name: str | None = None
) -> Prepared:
    """Return a load that fits its table and its source.

    :param run: what tells this run of the task from every other, the same in each of its tries
    :param name: its name in the run; default: the table's
    :raises AirflowFailException: a column, the key or a lookup does not fit; nothing has been written then
    :raises UnknownTable, UnknownKey: there is no such table, or no usable key of these columns
    """
    mapped = file_to_table(load.columns)
    named = [mapped.get(name, name) for name in source.columns]
    table = client.table_for_writing(load.table, named)  # the limits of most are asked for with the rest
    columns = _checked_columns(table, load, source)
    lookups = check_lookups(client, table, load.lookups, columns, load.on_missing_lookup)
    sent = [column.name for name in columns if (column := column_of(table, name, lookups)) is not None]
    table = client.table_for_writing(load.table, sent)
    passes = passes_of(table, load, columns)
    made = Prepared(name or load.table, load, client, table, source, columns, lookups, passes, run)
    _say_what_is_unsafe(made)
    return made


def _checked_columns(table: Table, load: TableLoad, source: LoadSource) -> tuple[str, ...]:
    return check_columns(
        table,
        source.columns,
        load.columns,
        load.operation,
        load.key,
        lookups=parts_of(load.lookups),
        row_id_from=load.row_id_from,
    )


def _say_what_is_unsafe(prepared: Prepared) -> None:
    """Warn of a create whose rows are not known again by anything in them."""
    if prepared.by_content:
        log.warning(
            "Rows of %s are created without a key: their ids are made from this run and their content. A retry, or clearing "
            "the task, writes no row twice; another run of the DAG would. Give key or row_id_from where rows have something "
            "of their own.",
            prepared.load.table,
        )
    elif prepared.load.operation == "create" and not may_choose_ids(prepared.table):
        log.warning(
            "Dynamics makes the ids of %s itself, so nothing tells whether a row is there already: a retry may create rows "
            "twice. Use operation='upsert' with an alternate key.",
            prepared.load.table,
        )
