"""Pages to Arrow: the schema that metadata gives, and a page's JSON parsed straight into columns.

Arrow's own JSON reader takes the bytes of a page as they came, so no Python object is made for any value and
a decimal is read from its digits, never through a float. A page it refuses is converted value by value, which
is slower, takes more spellings, and names the value that does not fit.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_dynamics.formats.fields import Field, FormatError, file_fields
from airflow_provider_dynamics.formats.values import python_converter

if TYPE_CHECKING:  # pyarrow is an extra
    import pyarrow

    from airflow_provider_dynamics.dataverse.tables import Table

DECIMAL_DIGITS = 38
BLOCK_LIMIT = 2**31 - 1  # Arrow counts a block's bytes in 32 bits


def need(module: str, extra: str, purpose: str) -> Any:
    """Import an optional module.

    :raises AirflowOptionalProviderFeatureException: if it is not installed, naming the extra
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        from airflow.sdk.exceptions import AirflowOptionalProviderFeatureException

        raise AirflowOptionalProviderFeatureException(
            f"{purpose} needs {module}: pip install 'airflow-provider-dynamics[{extra}]'"
        ) from error


def arrow_schema(
    table: Table, select: Sequence[str] = (), extra: Mapping[str, str] | None = None
) -> pyarrow.Schema:
    """Return the Arrow schema of a file with `select` of `table`, and the `extra` columns (name to kind) after."""
    return schema_of((*file_fields(table, select), *extra_fields(extra)))


def extra_fields(extra: Mapping[str, str] | None) -> tuple[Field, ...]:
    """Return columns that no table has (name to kind), such as a change file's `operation`."""
    return tuple(Field(name, name, kind) for name, kind in (extra or {}).items())


def schema_of(fields: Iterable[Field]) -> pyarrow.Schema:
    """Return the Arrow schema of `fields`, under the file's names."""
    pa = need("pyarrow", "parquet", "Parquet")
    return pa.schema([(field.name, _arrow_type(pa, field)) for field in fields])


def _arrow_type(pa: Any, field: Field) -> Any:
    types: Mapping[str, Callable[[], Any]] = {
        "int32": pa.int32,
        "int64": pa.int64,
        "float64": pa.float64,
        "bool": pa.bool_,
        "decimal": lambda: pa.decimal128(DECIMAL_DIGITS, field.scale),
        "instant": lambda: pa.timestamp("us", "UTC"),
        "timestamp": lambda: pa.timestamp("us"),
        "date": pa.date32,
        "string": pa.string,
    }
    return types[field.kind]()


class BatchBuilder:
    """Turns pages into Arrow record batches of one schema: the table's `fields`, then the `extra` ones."""

    def __init__(self, fields: Sequence[Field], extra: Sequence[Field] = ()) -> None:
        self._pa = need("pyarrow", "parquet", "Parquet")
        self._json = need("pyarrow.json", "parquet", "Parquet")
        self._fields = tuple(fields)
        self._extra = tuple(extra)
        self._table_schema = schema_of(self._fields)
        self.schema = schema_of((*self._fields, *self._extra))
        self._parse_options = self._json.ParseOptions(
            explicit_schema=self._page_schema(), unexpected_field_behavior="ignore"
        )

    def _page_schema(self) -> Any:
        """A page as one JSON object: its `value` is a list of rows under their wire names."""
        pa = self._pa
        # Arrow's JSON reader knows no ISO date: a date is read as text and cast
        row = [
            (field.wire_name, pa.string() if field.kind == "date" else _arrow_type(pa, field))
            for field in self._fields
        ]
        return pa.schema([("value", pa.list_(pa.struct(row)))])

    def batch(self, page: Any, extra: Mapping[str, Any] | None = None) -> pyarrow.RecordBatch:
        """Return a page, or plain rows, as one record batch; `extra` fills the extra columns of all its rows.

        :raises FormatError: for a value that its column's type cannot hold exactly
        """
        body = getattr(page, "body", None)
        columns = self._parsed(body) if body and len(body) < BLOCK_LIMIT else None
        if columns is None:
            columns = self._converted(list(getattr(page, "rows", page)))
        count = len(columns[0])
        for field in self._extra:
            value = (extra or {}).get(field.name)
            columns.append(self._pa.array([value] * count, self.schema.field(field.name).type))
        return self._pa.RecordBatch.from_arrays(columns, schema=self.schema)

    def _parsed(self, body: bytes) -> list[Any] | None:
        """Parse a page's bytes into columns; None when Arrow's reader refuses them."""
        options = self._json.ReadOptions(use_threads=False, block_size=len(body) + 1)
        try:
            read = self._json.read_json(
                self._pa.BufferReader(body), read_options=options, parse_options=self._parse_options
            )
            value = read.column("value")
            if value.num_chunks != 1 or value.null_count:
                return None
            arrays = value.chunk(0).flatten().flatten()
            for array in arrays:
                array.validate(full=True)  # the reader lets text through that is not UTF-8
            return [
                array.cast(column.type) if field.kind == "date" else array
                for array, column, field in zip(arrays, self._table_schema, self._fields, strict=True)
            ]
        except self._pa.ArrowInvalid:
            return None

    def _converted(self, rows: list[Mapping[str, Any]]) -> list[Any]:
        return [
            self._pa.array(_column(rows, field), column.type)
            for column, field in zip(self._table_schema, self._fields, strict=True)
        ]


def _column(rows: list[Mapping[str, Any]], field: Field) -> list[Any]:
    """Return one column of `rows`, each value of Python's type for the field."""
    convert = python_converter(field)
    values: list[Any] = []
    for row in rows:
        value = row.get(field.wire_name)
        if value is None and field.wire_name != field.name:
            value = row.get(field.name)
        try:
            values.append(None if value is None else convert(value))
        except ValueError as error:
            raise FormatError(
                f"column {field.name}, row {len(values) + 1} of a page: {error}; leave the column out of select, "
                f"or export to NDJSON or CSV, which keep every value as it comes"
            ) from error
    return values
