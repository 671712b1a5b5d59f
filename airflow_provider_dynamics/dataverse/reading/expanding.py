"""`$expand` between text and values, and the rest of collections that came in part.

https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/join-tables
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from airflow_provider_dynamics.dataverse.errors import BadRequest
from airflow_provider_dynamics.dataverse.metadata.table import Table
from airflow_provider_dynamics.dataverse.metadata.tables import Tables
from airflow_provider_dynamics.dataverse.queries.conditions import Condition
from airflow_provider_dynamics.dataverse.queries.query import Expand

__all__ = ["parsed", "split", "text"]

_MOST = 15  # expands of one query, nested ones included


def parsed(text: str) -> tuple[Expand, ...]:
    """Return the expands that OData's text means; raises BadRequest where it cannot be read."""
    found = tuple(_expand(part) for part in split(text, ","))
    _check(found)
    return found


def split(text: str, by: str) -> list[str]:
    """Return the parts of a text between separators that stand outside of brackets and of quotes."""
    return [part for part in (found.strip() for found in _parts(text, by)) if part]


def _parts(text: str, by: str) -> Iterator[str]:
    depth, quoted, start = 0, False, 0
    for place, character in enumerate(text):
        if character == "'":
            quoted = not quoted
        elif not quoted:
            depth += (character in "([") - (character in ")]")
            if character == by and depth == 0:
                yield text[start:place]
                start = place + 1
    yield text[start:]


def _expand(text: str) -> Expand:
    found = re.fullmatch(r"([A-Za-z_][\w.]*)(/\$ref)?\s*(?:\((.*)\))?", text, re.DOTALL)
    if found is None:
        raise _unreadable(text)
    options = dict(_option(part) for part in split(found[3] or "", ";"))
    top = options.get("$top")
    if top is not None and not top.isdecimal():
        raise _unreadable(text)
    return Expand(
        found[1] + (found[2] or ""),
        select=split(options.get("$select", ""), ","),
        filter=options.get("$filter"),
        order_by=options.get("$orderby"),
        top=int(top) if top else None,
        expand=parsed(options.get("$expand", "")),
    )


def _option(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.startswith("$"):
        raise _unreadable(text)
    return name.strip(), value.strip()


def _unreadable(text: str) -> BadRequest:
    return BadRequest(
        f"expand cannot be read at {text[:80]!r}",
        remedy="It looks like primarycontactid($select=fullname),Account_Tasks($select=subject;$top=5).",
    )


def text(expands: Sequence[Expand], table: Table, tables: Tables) -> str:
    """Return expands as OData's text, their conditions spelled as the tables' columns want it.

    Raises UnknownColumn, and BadRequest for what Dataverse would not take.
    """
    _check(expands)
    return _texts(expands, table, tables, nested=any(one.expand for one in expands))


def _check(expands: Sequence[Expand]) -> None:
    count = sum(1 for _ in _all(expands))
    if count > _MOST:
        raise BadRequest(
            f"The query has {count} expands; Dataverse takes {_MOST}",
            remedy="Read the rest in a second query, or with FetchXML.",
        )
    for beside in (expands, *(one.expand for one in _all(expands))):
        names = [one.navigation for one in beside]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise BadRequest(f"expand names {twice!r} twice", remedy="Select all its columns in one.")


def _all(expands: Sequence[Expand]) -> Iterator[Expand]:
    for one in expands:
        yield one
        yield from _all(one.expand)


def _texts(expands: Sequence[Expand], table: Table, tables: Tables, *, nested: bool) -> str:
    return ",".join(_text(one, table, tables, nested=nested) for one in expands)


def _text(expand: Expand, table: Table, tables: Tables, *, nested: bool) -> str:
    navigation = expand.navigation.removesuffix("/$ref")
    name, collection = tables.follow(table, navigation)
    if (expand.top or expand.order_by) and (nested or not collection):
        why = "there is an expand inside of another one" if nested else "it leads to one row"
        raise BadRequest(
            f"The expand of {expand.navigation!r} has a top or an order_by, and {why}",
            remedy="Take them out, or the inner expands.",
        )
    target = tables.outline(name)
    options = {
        "$select": ",".join(target.wire_names(expand.select)),
        "$filter": expand.filter if isinstance(expand.filter, str) else None,
        "$orderby": expand.order_by,
        "$top": str(expand.top) if expand.top else None,
        "$expand": _texts(expand.expand, target, tables, nested=nested),
    }
    if isinstance(expand.filter, Condition):
        options["$filter"] = expand.filter.render(target, tables)
    inside = ";".join(f"{name}={value}" for name, value in options.items() if value)
    return f"{expand.navigation}({inside})" if inside else expand.navigation
