"""Data frames have the types that files have."""

from __future__ import annotations

import pyarrow as pa
import pytest

from airflow_provider_dynamics.formats import FormatError, arrow_schema, file_fields, frame
from tests.airflow.formats.rows import ACCOUNT, BOTH_WAYS, ROW

NAMED = file_fields(ACCOUNT, ["name"])


@BOTH_WAYS
@pytest.mark.parametrize("df_type", ["pandas", "polars", "arrow"])
def test_a_frame_has_the_types_of_a_file(page, df_type):
    pytest.importorskip(df_type.replace("arrow", "pyarrow"), reason=f"{df_type} is not installed")
    rows = frame(
        [page(ROW), page(ROW | {"numberofemployees": None})],
        file_fields(ACCOUNT, ["revenue", "numberofemployees"]),
        df_type,
    )
    arrow = {"pandas": pa.Table.from_pandas, "polars": lambda f: f.to_arrow(), "arrow": lambda f: f}[df_type](
        rows
    )
    assert arrow.column("revenue").to_pylist() == [ROW["revenue"]] * 2
    assert arrow.column("numberofemployees").to_pylist() == [2_147_483_647, None]
    assert arrow.schema.field("numberofemployees").type == pa.int32()
    assert arrow.schema.field("revenue").type == pa.decimal128(38, 4)


def test_an_empty_frame_has_its_columns():
    assert frame([], NAMED, "arrow").schema == arrow_schema(NAMED)


def test_a_frame_of_an_unknown_library_is_refused():
    with pytest.raises(FormatError, match="df_type is 'dask': use one of pandas, polars, arrow"):
        frame([], NAMED, "dask")
