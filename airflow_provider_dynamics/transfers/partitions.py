"""A table divided for several tasks, so that one larger than a machine is read on Airflow's own workers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from airflow.sdk.exceptions import AirflowFailException

from airflow_provider_dynamics.links import DynamicsTableLink
from airflow_provider_dynamics.operators.base import DynamicsOperator, whole_number
from airflow_provider_dynamics.operators.query import source_of

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_dynamics.dataverse import Condition, Query, Window

__all__ = ["DynamicsPartitionsOperator", "check_own_file", "part_name", "part_window"]

_OF_THE_INSTANCE = re.compile(r"\b(ti|task|task_instance|map_index)\b")
"""What a template must name to give each mapped task another text."""


class DynamicsPartitionsOperator(DynamicsOperator):
    """Divide a table into partitions of about the same number of rows, for a mapped task to read one each.

    Map ``DynamicsToObjectStorageOperator`` over the result: ``.expand(partition=partitions.output)``. Together the
    partitions hold every row that exists now, once: each begins where the one before ends, and rows without a
    value in the column belong to the last; what is created later belongs to none. A table that cannot be divided,
    because it has no column that can be compared, is one partition.
    https://airflow.apache.org/docs/apache-airflow/stable/authoring-and-scheduling/dynamic-task-mapping.html

    Returns a list of ``{"index", "of", "table", "filter", "column", "start", "end", "nulls", "rows"}``.

    :param table: the table's logical name, such as ``account``
    :param filter: OData ``$filter`` text, or a condition: the rows that will be read; give the mapped task the same
    :param partitions: at most so many
    :param window_column: the column to divide by; default: chosen from metadata
    :param dynamics_conn_id: the connection of type ``dynamics``
    """

    template_fields: Sequence[str] = (
        *DynamicsOperator.template_fields,
        "table",
        "filter",
        "partitions",
        "window_column",
    )
    operator_extra_links = (DynamicsTableLink(),)

    def __init__(
        self,
        *,
        table: str,
        filter: str | Condition | None = None,
        partitions: int | str = 8,
        window_column: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.table = table
        self.filter = filter
        self.partitions = partitions
        self.window_column = window_column

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Divide the table.

        :raises AirflowFailException: the table or a column does not exist, the column cannot be compared, or this user may
            not read the table
        """
        pieces = whole_number("partitions", self.partitions)
        if pieces is None:
            raise AirflowFailException("partitions is not set: give a whole number from 1 up.")
        query = cast("Query", source_of(self.table, filter=self.filter))
        with self.client() as client:
            for _ in client.rows(
                replace(query, top=1)
            ):  # what is wrong with it is told here, not by every mapped task
                break
            try:
                windows = client.windows(query, pieces, column=self.window_column or None)
            except ValueError as error:
                raise AirflowFailException(f"{error}.") from error
        made = [self._partition(index, len(windows), window) for index, window in enumerate(windows)]
        for one in made:
            self.log.info("Partition %d of %d: %s.", one["index"] + 1, one["of"], _told(one))
        return made

    def _partition(self, index: int, of: int, window: Window) -> dict[str, Any]:
        asked = {"table": self.table, "filter": _text(self.filter)}
        return {"index": index, "of": of, **asked, **window.to_json()}


def _told(partition: Mapping[str, Any]) -> str:
    rows = "" if partition["rows"] is None else f", {partition['rows']:,} rows"
    if partition["column"] is None:
        return f"every row, as the table is not divided{rows}"
    more = f" and no {partition['column']}" if partition["nulls"] else ""
    return "{column} from {start} to {end}".format_map(partition) + more + rows


def _text(filter: str | Condition | None) -> str | None:
    return None if filter is None else str(filter) or None


def part_window(
    partition: Mapping[str, Any], table: str | None, filter: str | Condition | None, others: Sequence[str]
) -> Window:
    """Return the window of a partition for reading `table` with `filter`; `others` are the names of what else was asked for.

    :raises AirflowFailException: it is none, or was made for another table or filter, so that rows would belong to no
        partition, or `others` has no parts
    """
    from airflow_provider_dynamics.dataverse.lanes.windows import Window

    if others:
        raise AirflowFailException(
            f"{' and '.join(others)} cannot be read in partitions: a partition is a part of a table's rows. Leave out "
            f"partition, or {' and '.join(others)}."
        )
    try:
        window = Window.from_json(partition)
    except (ValueError, TypeError, KeyError) as error:
        raise AirflowFailException(
            f"partition is none of DynamicsPartitionsOperator's: {error}. Map this task over its output: "
            ".expand(partition=partitions.output)."
        ) from error
    for name, value in (("table", table), ("filter", _text(filter))):
        if partition.get(name, value) != value:
            raise AirflowFailException(
                f"The partition was made with {name}={partition[name]!r}, but this task has {name}={value!r}, some of whose "
                f"rows may lie in no partition. Give both tasks the same {name}."
            )
    return window


def part_name(partition: Mapping[str, Any], suffix: str, index: int | None = None) -> str:
    """Return the name of a partition's file in a folder; that of another one with `index`.

    :raises AirflowFailException: the partition does not know its place
    """
    number = partition.get("index") if index is None else index
    if not isinstance(number, int) or isinstance(number, bool) or number < 0:
        raise AirflowFailException(
            f"The partition's index is {number!r}, which names no file: give each a number of its own, or a destination_path "
            "that does not end in /."
        )
    return f"part-{number:05}.{suffix}"


def check_own_file(context: Context, task_id: str, path: str, partition: Mapping[str, Any]) -> None:
    """Refuse one file for several mapped tasks, each of which would replace what the others have written.

    :raises AirflowFailException: they all have this path
    """
    dag = context.get("dag")
    mapped = None if dag is None else dag.task_dict.get(task_id)
    shared = getattr(mapped, "partial_kwargs", {}).get("destination_path")
    if shared is None or partition.get("of") == 1 or _OF_THE_INSTANCE.search(str(shared)):
        return
    raise AirflowFailException(
        f"Every mapped task would write its partition to {path}, in place of what the others wrote. End destination_path, as "
        "text, with / for a folder of parts, or put {{ ti.map_index }} into it."
    )
