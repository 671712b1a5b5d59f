"""Pages to a data frame of the reader's library, with the same types as a file would have."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from airflow_provider_dynamics.formats.arrow import BatchBuilder, need
from airflow_provider_dynamics.formats.fields import Field, FormatError


def frame(pages: Iterable[Any], fields: Sequence[Field], df_type: str = "pandas") -> Any:
    """Return all rows of `pages` as one frame: "pandas" (Arrow-backed types), "polars" or "arrow".

    Every row is held in memory. Integers with nulls stay integers and decimals stay exact in all three.

    :raises FormatError: for another `df_type`, or a value that its column's type cannot hold
    """
    if df_type not in _MAKERS:
        raise FormatError(f"df_type is {df_type!r}: use one of {', '.join(_MAKERS)}")
    pa = need("pyarrow", "pandas" if df_type == "pandas" else "polars", f"a {df_type} frame")
    builder = BatchBuilder(fields)
    table_of_rows = pa.Table.from_batches((builder.batch(page) for page in pages), builder.schema)
    return _MAKERS[df_type](table_of_rows)


def _pandas(rows: Any) -> Any:
    pandas = need("pandas", "pandas", "a pandas frame")
    return rows.to_pandas(types_mapper=pandas.ArrowDtype)


def _polars(rows: Any) -> Any:
    return need("polars", "polars", "a polars frame").from_arrow(rows)


_MAKERS: Mapping[str, Callable[[Any], Any]] = {
    "pandas": _pandas,
    "polars": _polars,
    "arrow": lambda rows: rows,
}
