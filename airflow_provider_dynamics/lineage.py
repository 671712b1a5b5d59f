"""What a task has moved, from where to where and column by column, as OpenLineage and Airflow's own lineage want it told.

Operators note it as a value while they work; OpenLineage's classes are imported only when its provider asks.
https://airflow.apache.org/docs/apache-airflow-providers-openlineage/stable/guides/developer.html
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_dynamics.assets import SCHEME

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage
    from airflow.sdk import BaseHook

    from airflow_provider_dynamics.formats import Field

__all__ = [
    "Moved",
    "Place",
    "Side",
    "file_place",
    "loaded",
    "read",
    "sql_place",
    "table_place",
    "told",
    "used",
]

log = logging.getLogger(__name__)

Origin = tuple[str, str]
"""A table, by logical name, and one of its columns."""
_SCHEMES = {"s3a": "s3", "s3n": "s3", "gcs": "gs", "local": "file"}
_AZURE = re.compile(r"@[^.]+\.(?:dfs|blob)\.")  # the same in every national cloud
_DATABASES = {"postgresql": "postgres", "mariadb": "mysql"}
_PORTS = {"postgres": 5432, "mysql": 3306, "mssql": 1433}


@dataclass(frozen=True)
class Place:
    """Where rows are, as OpenLineage names it: https://openlineage.io/docs/spec/naming."""

    namespace: str
    name: str


@dataclass(frozen=True)
class Side:
    """One end of a move: its place, its columns (name and type, "" where that is not known), its rows where counted."""

    place: Place
    columns: tuple[tuple[str, str], ...] = ()
    rows: int | None = None


@dataclass(frozen=True)
class Moved:
    """What a task has moved; `columns` says of each column of the output which columns of the inputs it comes from."""

    inputs: tuple[Side, ...]
    output: Side
    columns: Mapping[str, tuple[tuple[Place, str], ...]]


# --- places ---


def table_place(environment: str, table: str) -> Place:
    """Return the place of a table: the environment's host is the namespace, as for its asset."""
    return Place(f"{SCHEME}://{urlsplit(environment).netloc.lower()}", table)


def file_place(path: Any) -> Place:
    """Return the place of a file; the id of an Airflow connection in its path is no part of it.

    :param path: text, with or without a scheme, or an ObjectStoragePath
    """
    scheme, separator, rest = str(path).partition("://")
    if not separator:
        return Place("file", scheme)
    scheme = _SCHEMES.get(scheme.lower(), scheme.lower())
    where, slash, name = rest.partition("/")
    if scheme == "file":
        return Place("file", slash + name)
    # Azure's own addresses have the container where others have a connection's id
    storage = where if _AZURE.search(where) else where.rpartition("@")[2]
    return Place(f"{scheme}://{storage}", name.lstrip("/"))


def sql_place(url: Any, schema: str | None, table: str) -> Place:
    """Return the place of a database's table.

    :param url: SQLAlchemy's URL of the database; user and password are no part of the place
    :param schema: the schema, None where the database has none
    """
    kind = url.get_backend_name()
    scheme = _DATABASES.get(kind, kind)
    if kind == "sqlite":
        return Place(scheme, f"{re.sub('^/+', '/', url.database or ':memory:')}.{table}")
    port = url.port or _PORTS.get(scheme)
    within = schema if scheme != "mysql" else None
    return Place(
        f"{scheme}://{url.host or 'localhost'}{f':{port}' if port else ''}",
        ".".join(filter(None, (url.database, within, table))),
    )


# --- moves ---


def read(
    environment: str,
    table: str,
    fields: Sequence[Field],
    target: Place,
    *,
    rows: int | None = None,
    extra: Mapping[str, str] | None = None,
) -> Moved:
    """Return that `fields` were read out of Dynamics into `target`.

    :param table: the table the source names; expanded rows and links bring in others
    :param extra: columns of the target that no table has, name to kind, such as a change file's `operation`
    """
    origins = {field.name: _origins(field) for field in fields}
    columns = (*((field.name, _kind(field)) for field in fields), *(extra or {}).items())
    return Moved(
        inputs=tuple(_inputs(environment, table, fields, origins)),
        output=Side(target, columns, rows),
        columns={
            name: tuple((table_place(environment, owner), column) for owner, column in found)
            for name, found in origins.items()
            if found
        },
    )


def loaded(
    environment: str, table: str, source: Place, columns: Mapping[str, Origin], *, rows: int | None = None
) -> Moved:
    """Return that a file was loaded into `table`.

    :param columns: of each column of the file that was sent, the table's column and its type
    """
    return Moved(
        inputs=(Side(source, tuple((name, "") for name in columns)),),
        output=Side(table_place(environment, table), tuple(columns.values()), rows),
        columns={column: ((source, name),) for name, (column, _) in columns.items()},
    )


def used(hook: BaseHook, environment: str, what: str, table: str) -> None:
    """Note in Airflow's lineage of hooks that a table was read (`what` is "read") or written.

    It is what a plain ``@task`` that uses the hook has. Nothing comes of it where nobody collects lineage.
    """
    try:
        from airflow.sdk.lineage import get_hook_lineage_collector

        collector = get_hook_lineage_collector()
        add = collector.add_input_asset if what == "read" else collector.add_output_asset
        add(context=hook, scheme=SCHEME, asset_kwargs={"host": urlsplit(environment).netloc, "table": table})
    except Exception:  # whatever is wrong with lineage, the rows are what counts
        log.debug("The use of %s was not noted.", table, exc_info=True)


def _origins(field: Field) -> tuple[Origin, ...]:
    if field.inner:
        return tuple(dict.fromkeys(origin for one in field.inner for origin in _origins(one)))
    return () if field.origin is None else (field.origin,)


def _inputs(
    environment: str, table: str, fields: Sequence[Field], origins: Mapping[str, tuple[Origin, ...]]
) -> Iterable[Side]:
    types = dict(_types(fields))
    tables: dict[str, dict[str, str]] = {table: {}}
    for found in origins.values():
        for owner, column in found:
            tables.setdefault(owner, {})[column] = types.get((owner, column), "")
    for owner, columns in tables.items():
        yield Side(table_place(environment, owner), tuple(columns.items()))


def _types(fields: Iterable[Field]) -> Iterable[tuple[Origin, str]]:
    """Yield the type of each column that was read as it is; a label is of another type than its column."""
    for field in fields:
        if field.inner:
            yield from _types(field.inner)
        elif field.origin is not None and "@" not in field.wire_path[-1]:
            yield field.origin, field.type_name


def _kind(field: Field) -> str:
    return f"decimal(38,{field.scale})" if field.kind == "decimal" else field.kind


# --- OpenLineage ---


def told(moved: Moved | None) -> OperatorLineage[Any, Any]:
    """Return what OpenLineage is told of a task: what it moved; where that is nothing, what the hook noted goes by itself."""
    from airflow.providers.common.compat.openlineage.facet import (
        Dataset,
        OutputDataset,
        OutputStatisticsOutputDatasetFacet,
    )
    from airflow.providers.openlineage.extractors import OperatorLineage

    if moved is None:
        return OperatorLineage()
    output, facets = moved.output, _schema(moved.output)
    if moved.columns:
        facets["columnLineage"] = _column_lineage(moved)
    counted: dict[str, Any] = {}
    if output.rows is not None:
        counted["outputStatistics"] = OutputStatisticsOutputDatasetFacet(rowCount=output.rows)
    return OperatorLineage(
        inputs=[
            Dataset(side.place.namespace, side.place.name, facets=_schema(side)) for side in moved.inputs
        ],
        outputs=[
            OutputDataset(output.place.namespace, output.place.name, facets=facets, outputFacets=counted)
        ],
    )


def _schema(side: Side) -> dict[str, Any]:
    from airflow.providers.common.compat.openlineage.facet import SchemaDatasetFacet, SchemaDatasetFacetFields

    if not side.columns:
        return {}
    fields = [SchemaDatasetFacetFields(name=name, type=kind or None) for name, kind in side.columns]
    return {"schema": SchemaDatasetFacet(fields=fields)}


def _column_lineage(moved: Moved) -> Any:
    from airflow.providers.common.compat.openlineage.facet import (
        ColumnLineageDatasetFacet,
        Fields,
        InputField,
    )

    return ColumnLineageDatasetFacet(
        fields={
            name: Fields(
                inputFields=[InputField(place.namespace, place.name, column) for place, column in found]
            )
            for name, found in moved.columns.items()
        }
    )
