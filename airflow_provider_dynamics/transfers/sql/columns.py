"""The SQL type of every column, from its metadata, and the way of a value into it.

One table for all databases; where one has no type of its own that keeps a value whole, such as SQLite for
decimals, the value is kept as text. docs/types.md and docs/sql.md tell it to users.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from datetime import timezone
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mssql, mysql, postgresql
from sqlalchemy.types import TypeEngine, UserDefinedType

from airflow_provider_dynamics.formats import Field
from airflow_provider_dynamics.formats.values import python_converter, text_of

__all__ = ["column_name", "copy_text", "driver_value", "is_row_id", "sql_column", "sql_type"]

ROW_IDS = frozenset({"Uniqueidentifier", "Lookup", "Customer", "Owner"})
DIGITS = 38
_MYSQL = ("mysql", "mariadb")
Convert = Callable[[Any], Any]


class Declared(UserDefinedType[Any]):
    """A type by its name alone: what is bound is stored as it is."""

    cache_ok = True

    def __init__(self, name: str) -> None:
        self.name = name

    def get_col_spec(self, **kwargs: Any) -> str:
        return self.name


def is_row_id(field: Field) -> bool:
    return field.kind == "string" and field.type_name in ROW_IDS


def sql_type(field: Field) -> TypeEngine[Any]:
    """Return the type of a column that holds the field, with each database's own spelling.

    https://docs.sqlalchemy.org/en/20/core/type_basics.html
    """
    if is_row_id(field):
        row_id = sa.CHAR(36).with_variant(postgresql.UUID(as_uuid=False), "postgresql")
        return row_id.with_variant(mssql.UNIQUEIDENTIFIER(as_uuid=False), "mssql")
    if field.kind == "decimal":
        return sa.Numeric(DIGITS, field.scale).with_variant(sa.Text(), "sqlite")
    return _TYPES.get(field.kind, _TYPES["string"])


_TYPES: Mapping[str, TypeEngine[Any]] = {
    "string": sa.Text().with_variant(mysql.LONGTEXT(), *_MYSQL).with_variant(mssql.NVARCHAR(None), "mssql"),
    "int32": sa.Integer(),
    "int64": sa.BigInteger(),
    "float64": sa.Double(),
    "bool": sa.Boolean().with_variant(Declared("BOOLEAN"), "sqlite"),
    "instant": sa.DateTime(timezone=True)
    .with_variant(Declared("DATETIME"), "sqlite")
    .with_variant(mysql.DATETIME(fsp=6), *_MYSQL),
    "timestamp": sa.DateTime()
    .with_variant(Declared("DATETIME"), "sqlite")
    .with_variant(mysql.DATETIME(fsp=6), *_MYSQL)
    .with_variant(Declared("DATETIME2"), "mssql"),
    "date": sa.Date().with_variant(Declared("DATE"), "sqlite"),
}


def sql_column(field: Field, longest: int, *, key: bool = False) -> sa.Column[Any]:
    return sa.Column(
        column_name(field.name, longest),
        sql_type(field),
        primary_key=key,
        nullable=not key,
        autoincrement=False,
    )


def column_name(name: str, longest: int) -> str:
    """Return the column's name in a database whose names have at most `longest` bytes.

    A longer one is cut and ends in a hash of the whole, so that two that start alike stay two, in every run.
    """
    if len(name.encode()) <= longest:
        return name
    mark = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name.encode()[: longest - 9].decode(errors='ignore')}_{mark}"


# --- values as drivers take them ---


def driver_value(field: Field, dialect: str) -> Convert | None:
    """Return what turns a wire value other than None into what a column of the field takes; None where nothing is to do.

    The converter raises ValueError for a value that the type cannot hold exactly.
    """
    if is_row_id(field):
        return _row_id
    if dialect == "sqlite" and field.kind in _FOR_SQLITE:
        return _FOR_SQLITE[field.kind](field)
    convert = python_converter(field)
    if field.kind == "list":
        return lambda value: text_of(convert(value))
    if field.kind == "instant" and dialect not in {"postgresql", "mssql", "oracle"}:
        return lambda value: convert(value).astimezone(timezone.utc).replace(tzinfo=None)
    return convert


def _row_id(value: Any) -> str:
    text = str(value).strip("{}").lower()
    if not _ROW_ID.fullmatch(text):
        raise ValueError("not a row id")
    return text


_ROW_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def _decimal_text(field: Field) -> Convert:
    exact = python_converter(field)

    def text(value: Any) -> str:
        if type(value) is not int:
            value = exact(value)
            return format(value, "f") if isinstance(value, Decimal) else str(value)
        return str(value)

    return text


def _moment_text(field: Field) -> Convert:
    exact = python_converter(field)

    def text(value: Any) -> str:
        if isinstance(value, str) and len(value) == 20 and value[19] == "Z":
            return f"{value[:10]} {value[11:19]}.000000"
        moment = exact(value)
        if moment.tzinfo is not None:
            moment = moment.astimezone(timezone.utc).replace(tzinfo=None)
        return str(moment.isoformat(" ", "microseconds"))

    return text


def _date_text(field: Field) -> Convert:
    exact = python_converter(field)
    return lambda value: exact(value).isoformat()


_FOR_SQLITE: Mapping[str, Callable[[Field], Convert]] = {
    "decimal": _decimal_text,
    "instant": _moment_text,
    "timestamp": _moment_text,
    "date": _date_text,
}


# --- values as PostgreSQL's COPY takes them ---

_SPECIAL = re.compile(r"[\\\n\r\t\0]")
_ESCAPED = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def copy_text(field: Field) -> Convert:
    """Return what turns a wire value other than None into a value of COPY's text format.

    https://www.postgresql.org/docs/current/sql-copy.html
    """
    return _row_id if is_row_id(field) else _COPY[field.kind](field)


def _plain(field: Field) -> Convert:
    exact = python_converter(field)
    return lambda value: str(value) if type(value) is int else str(exact(value))


def _escaped(_field: Field) -> Convert:
    def text(value: Any) -> str:
        if not isinstance(value, str):
            value = text_of(value)
        return _SPECIAL.sub(_escape, value) if _SPECIAL.search(value) else value

    return text


def _escape(found: re.Match[str]) -> str:
    if found[0] == "\0":
        raise ValueError("PostgreSQL's text has no NUL characters")
    return _ESCAPED[found[0]]


def _truth(field: Field) -> Convert:
    exact = python_converter(field)
    return lambda value: "t" if exact(value) else "f"


def _moment(field: Field) -> Convert:
    exact = python_converter(field)

    def text(value: Any) -> str:
        if isinstance(value, str) and len(value) == 20 and value[19] == "Z":
            return value if field.kind == "instant" else value[:19]
        return str(exact(value).isoformat())

    return text


def _day(field: Field) -> Convert:
    exact = python_converter(field)
    return lambda value: value if type(value) is str and len(value) == 10 else exact(value).isoformat()


def _rows_text(field: Field) -> Convert:
    exact, escaped = python_converter(field), _escaped(field)
    return lambda value: escaped(text_of(exact(value)))


_COPY: Mapping[str, Callable[[Field], Convert]] = {
    "string": _escaped,
    "int32": _plain,
    "int64": _plain,
    "float64": _plain,
    "decimal": _decimal_text,
    "bool": _truth,
    "instant": _moment,
    "timestamp": _moment,
    "date": _day,
    "list": _rows_text,
}
