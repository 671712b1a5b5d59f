"""Rows to files and back: Parquet, NDJSON and CSV on any ObjectStoragePath, typed by metadata.

One room, so that an export, a change file, a load, a data frame and a database agree about every type. pyarrow,
pandas and polars are imported only by the calls that need them.
"""

from __future__ import annotations

from airflow_provider_dynamics.formats.arrow import BatchBuilder, arrow_schema
from airflow_provider_dynamics.formats.drift import Change, Differences, schema_differences, settle
from airflow_provider_dynamics.formats.fields import (
    Field,
    FormatError,
    fields_from_json,
    fields_to_json,
    file_fields,
    result_fields,
)
from airflow_provider_dynamics.formats.frames import frame
from airflow_provider_dynamics.formats.incoming import Incoming
from airflow_provider_dynamics.formats.readers import RawFile, raw_file
from airflow_provider_dynamics.formats.storage import file_format_of
from airflow_provider_dynamics.formats.writers import Prepared, Writer, writer

__all__ = [
    "BatchBuilder",
    "Change",
    "Differences",
    "Field",
    "FormatError",
    "Incoming",
    "Prepared",
    "RawFile",
    "Writer",
    "arrow_schema",
    "fields_from_json",
    "fields_to_json",
    "file_fields",
    "file_format_of",
    "frame",
    "raw_file",
    "result_fields",
    "schema_differences",
    "settle",
    "writer",
]
