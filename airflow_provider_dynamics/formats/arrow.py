"""Pages to Arrow: the schema that metadata gives, and a page's JSON parsed straight into columns.

Arrow's own JSON reader takes the bytes of a page as they came, so no Python object is made for any value and
a decimal is read from its digits, never through a float. A page it refuses is converted value by value, which
is slower, takes more spellings, and names the value that does not fit.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_dynamics.formats.fields import Field, FormatError
from airflow_provider_dynamics.formats.shapes import arrow_type, columns_of, wire_type
from airflow_provider_dynamics.formats.values import python_converter, row_converter

if TYPE_CHECKING:  # pyarrow is an extra
    import pyarrow

CONTEXT = Field("@odata.context")
DELETION = "/$deletedEntity"  # how the context of a row that is gone ends
BLOCK_LIMIT = 2**31 - 1  # Arrow counts a block's bytes in 32 bits

_OFFSET = re.compile(rb"[T ]\d\d(?::\d\d)*(?:\.\d+)?[+-]\d")


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


def arrow_schema(fields: Iterable[Field], extra: Mapping[str, str] | None = None) -> pyarrow.Schema:
    """Return the Arrow schema of a file with `fields`, and the `extra` columns (name to kind) after."""
    return schema_of((*fields, *extra_fields(extra)))


def extra_fields(extra: Mapping[str, str] | None) -> tuple[Field, ...]:
    """Return columns that no table has (name to kind), such as a change file's `operation`."""
    return tuple(Field(name, kind) for name, kind in (extra or {}).items())


def schema_of(fields: Iterable[Field]) -> pyarrow.Schema:
    """Return the Arrow schema of `fields`, under the file's names."""
    pa = need("pyarrow", "parquet", "Parquet")
    return pa.schema([(field.name, arrow_type(pa, field)) for field in fields])


class BatchBuilder:
    """Turns pages into Arrow record batches of one schema: the source's `fields`, then the `extra` ones.

    Safe to use from several threads.
    """

    def __init__(self, fields: Sequence[Field], extra: Sequence[Field] = ()) -> None:
        self._pa = need("pyarrow", "parquet", "Parquet")
        self._json = need("pyarrow.json", "parquet", "Parquet")
        self._fields = tuple(fields)
        self._extra = tuple(extra)
        self.schema = schema_of((*self._fields, *self._extra))
        self._wall_times = any(_holds_wall_times(field) for field in self._fields)
        self._parse_options = self._options(self._fields)
        self._mixed_options = self._options((*self._fields, CONTEXT))

    def _options(self, fields: Sequence[Field]) -> Any:
        """Return how to parse a page with `fields`: it is one JSON object, whose `value` is a list of rows."""
        page = self._pa.schema([("value", self._pa.list_(wire_type(self._pa, fields)))])
        return self._json.ParseOptions(explicit_schema=page, unexpected_field_behavior="ignore")

    def batch(self, page: Any, extra: Mapping[str, Any] | None = None) -> pyarrow.RecordBatch:
        """Return a page, or plain rows, as one record batch; `extra` fills the extra columns of all its rows.

        :raises FormatError: for a value that its column's type cannot hold exactly
        """
        body = getattr(page, "body", None)
        columns = self._parsed(body, mixed=bool(page.deleted)) if body and self._takes(body) else None
        if columns is None:
            columns = self._converted(list(getattr(page, "rows", page)))
        count = len(columns[0])
        for field in self._extra:
            value = (extra or {}).get(field.name)
            columns.append(self._pa.array([value] * count, self.schema.field(field.name).type))
        return self._pa.RecordBatch.from_arrays(columns, schema=self.schema)

    def _takes(self, body: bytes) -> bool:
        """Say whether Arrow's reader reads a page right, which would shift a time on the wall by its offset."""
        return len(body) < BLOCK_LIMIT and not (self._wall_times and _OFFSET.search(body))

    def _parsed(self, body: bytes, *, mixed: bool) -> list[Any] | None:
        """Parse a page's bytes into columns, `mixed` with deletions or not; None when Arrow's reader refuses them."""
        options = self._json.ReadOptions(use_threads=False, block_size=len(body) + 1)
        try:
            read = self._json.read_json(
                self._pa.BufferReader(body),
                read_options=options,
                parse_options=self._mixed_options if mixed else self._parse_options,
            )
            value = read.column("value")
            if value.num_chunks != 1 or value.null_count:
                return None
            rows = value.chunk(0).flatten()
            rows.validate(full=True)  # the reader lets text through that is not UTF-8
            return columns_of(self._pa, self._kept(rows) if mixed else rows, self._fields)
        except (self._pa.ArrowInvalid, self._pa.ArrowNotImplementedError):
            return None

    def _kept(self, rows: Any) -> Any:
        """Return the rows without the deletions among them."""
        compute = need("pyarrow.compute", "parquet", "Parquet")
        gone = compute.ends_with(rows.field(CONTEXT.wire_name), DELETION)
        return rows.filter(compute.invert(compute.fill_null(gone, fill_value=False)))

    def _converted(self, rows: list[Mapping[str, Any]]) -> list[Any]:
        return [
            self._pa.array(_column(rows, field), self.schema.field(place).type)
            for place, field in enumerate(self._fields)
        ]


def _holds_wall_times(field: Field) -> bool:
    return field.kind == "timestamp" or any(_holds_wall_times(one) for one in field.inner)


def _column(rows: list[Mapping[str, Any]], field: Field) -> list[Any]:
    """Return one column of `rows`, each value of Python's type for the field."""
    convert = row_converter((field,), python_converter)
    values: list[Any] = []
    try:
        for row in rows:
            values.append(convert(row)[field.name])  # how far it came tells which row is wrong
    except ValueError as error:
        raise FormatError(
            f"column {field.name}, row {len(values) + 1} of a page: {error}; leave the column out of select, "
            f"or export to NDJSON or CSV, which keep every value as it comes"
        ) from error
    return values
