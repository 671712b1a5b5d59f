"""Rows to files and back: Parquet, NDJSON and CSV on any ObjectStoragePath, typed by the table's metadata.

One room, so that an export, a change file, a load and a data frame agree about every type. pyarrow, pandas
and polars are imported only by the calls that need them.
"""

from __future__ import annotations

from airflow_provider_dynamics.formats.arrow import arrow_schema
from airflow_provider_dynamics.formats.fields import Field, FormatError, file_fields
from airflow_provider_dynamics.formats.frames import frame
from airflow_provider_dynamics.formats.readers import FileRow, Reader, reader
from airflow_provider_dynamics.formats.storage import file_format_of
from airflow_provider_dynamics.formats.writers import Writer, writer

__all__ = [
    "Field",
    "FileRow",
    "FormatError",
    "Reader",
    "Writer",
    "arrow_schema",
    "file_fields",
    "file_format_of",
    "frame",
    "reader",
    "writer",
]
