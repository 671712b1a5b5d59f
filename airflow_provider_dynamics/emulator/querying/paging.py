"""The skip token: an XML cookie with the page number and the keys of the page's first and last row.

Pages are cut by key, never by offset, so rows that tie in ``$orderby`` are neither repeated nor lost.
https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/page-results
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import unescape
from typing import Any
from urllib.parse import quote, unquote
from xml.sax.saxutils import escape

import sqlalchemy as sa

from airflow_provider_dynamics.emulator.messages import Fault
from airflow_provider_dynamics.emulator.schema import Column, Table
from airflow_provider_dynamics.emulator.schema.model import EXACT_KINDS, WHOLE_KINDS
from airflow_provider_dynamics.emulator.storage import Condition, key_order, sort_key

_OUTER = re.compile(r'<cookie pagenumber="([0-9]{1,9})" pagingcookie="([^"]*)" istracking="(True|False)" />')
_INNER = re.compile(r'<cookie page="\d+"((?: \w+="[^"]*")*)>(.*)</cookie>', re.DOTALL)
_PART = re.compile(r'<([\w.]+) last(null)?="([^"]*)" first(?:null)?="[^"]*" />')
_EXTRA = re.compile(r' (\w+)="([^"]*)"')
_WHOLE = re.compile("-?[0-9]{1,18}")
_REAL = re.compile(r"-?[0-9]{1,30}(\.[0-9]{1,30})?(e[+-]?[0-9]{1,2})?")
_ESCAPES = {'"': "&quot;", "\n": "&#10;", "\r": "&#13;", "\t": "&#9;"}


@dataclass(frozen=True)
class Sorted:
    """One thing rows are ordered by: its name in the cookie, its column, its SQL value.

    Where that value is made from the column, ``shown`` is what cookies keep and ``convert`` makes the one
    from the other.
    """

    name: str
    column: Column
    value: Any
    descending: bool = False
    shown: Any = None
    convert: Callable[[Any], Any] | None = None

    @property
    def kept(self) -> Any:
        """The SQL value that goes into the cookie."""
        return self.value if self.shown is None else self.shown

    def sorted(self, value: Any) -> Any:
        """A value of the cookie as it compares with ``value``."""
        return self.convert(value) if self.convert and value is not None else value


def primary_order(table: Table, sql: Any) -> Sorted:
    """The order rows have when nobody asks for one: SQL Server's order of their primary keys."""
    column = table.by_name[table.primary_id]
    order: Condition = sa.literal_column(key_order(table.name, table.primary_id))
    return Sorted(column.name, column, order, shown=sql.c[column.name], convert=sort_key)


def points_to(sql: Any, column: Column, target_sql: Any, target: Table) -> Condition:
    """The join condition of a lookup: ``sql.column`` holds the key of ``target``."""
    joined = sql.c[column.name] == target_sql.c[target.primary_id]
    if column.is_polymorphic:
        joined &= sql.c[column.type_column] == target.name
    return joined


@dataclass(frozen=True)
class Token:
    """A skip token read back. ``last`` has one value for each ``Sorted``; ``extra`` what a reader put in."""

    page: int
    last: tuple[Any, ...]
    extra: dict[str, str]
    tracking: bool

    def number(self, name: str) -> int:
        """A number among ``extra``; raises ``Fault`` when the token has none."""
        text = self.extra.get(name, "")
        if _WHOLE.fullmatch(text) is None:
            raise _malformed()
        return int(text)


def write_token(
    page: int,
    order: Sequence[Sorted],
    first: Sequence[Any],
    last: Sequence[Any],
    *,
    tracking: bool = False,
    extra: str = "",
) -> str:
    """The percent-encoded token that asks for ``page``; ``first`` and ``last`` are the keys of the page before."""
    inner = write_cookie(page - 1, order, first, last, extra=extra)
    outer = f'<cookie pagenumber="{page}" pagingcookie="{quoted(inner)}" istracking="{tracking}" />'
    return quote(outer, safe="=/")


def write_cookie(
    page: int, order: Sequence[Sorted], first: Sequence[Any], last: Sequence[Any], *, extra: str = ""
) -> str:
    """The XML that says where a page began and ended: OData's skip tokens and FetchXML's cookies have it alike."""
    parts = "".join(
        f"<{item.name} {_value(item, 'last', end)} {_value(item, 'first', start)} />"
        for item, start, end in zip(order, first, last, strict=True)
    )
    return f'<cookie page="{page}"{extra}>{parts}</cookie>'


def quoted(text: str) -> str:
    """Percent-encoded in the service's spelling: with small letters."""
    return re.sub(r"%[0-9A-F]{2}", lambda match: match[0].lower(), quote(text, safe=""))


def _value(item: Sorted, name: str, value: Any) -> str:
    if value is None:
        return f'{name}null="1"'
    text = f"{{{str(value).upper()}}}" if item.column.edm == "Edm.Guid" else str(value)
    # A parser makes blanks of line ends and tabs that are not escaped.
    return f'{name}="{escape(text, _ESCAPES)}"'


def read_token(text: str, order: Sequence[Sorted]) -> Token:
    """A decoded ``$skiptoken``; raises ``Fault`` when it was not made for this order."""
    outer = _OUTER.fullmatch(text)
    inner = _INNER.fullmatch(unquote(outer[2])) if outer else None
    if outer is None or inner is None:
        raise _malformed()
    found = _PART.findall(inner[2])
    if [name for name, _, _ in found] != [item.name for item in order]:
        raise _malformed()
    try:
        last = tuple(
            None if null else kept_value(item, unescape(value))
            for item, (_, null, value) in zip(order, found, strict=True)
        )
    except ValueError as error:
        raise _malformed() from error
    return Token(int(outer[1]), last, dict(_EXTRA.findall(inner[1])), outer[3] == "True")


def _malformed() -> Fault:
    return Fault(400, "0x80060888", "The skip token is malformed.")


def kept_value(item: Sorted, text: str) -> Any:
    """A sort key as it was written; raises ValueError when it was not."""
    kind = item.column.kind
    is_whole = kind in WHOLE_KINDS or kind in EXACT_KINDS or kind == "Boolean"
    if is_whole or kind == "Double":
        if (_WHOLE if is_whole else _REAL).fullmatch(text) is None:
            raise ValueError(f"{text[:100]!r} is no key of {item.name}")
        return int(text) if is_whole else float(text)
    return text.strip("{}").lower() if item.column.edm == "Edm.Guid" else text


def after(order: Sequence[Sorted], last: Iterable[Any]) -> Condition:
    """The condition that leaves only rows after the one with these keys; nothing sorts before everything."""
    options = []
    same: list[Condition] = []
    for item, kept in zip(order, last, strict=True):
        value = item.sorted(kept)
        later = _later(item, value)
        if later is not None:
            options.append(sa.and_(*same, later))
        same.append(item.value.is_(None) if value is None else item.value == value)
    return sa.or_(*options)


def _later(item: Sorted, value: Any) -> Condition:
    if item.descending:
        return None if value is None else sa.or_(item.value < value, item.value.is_(None))
    return item.value.is_not(None) if value is None else item.value > value
