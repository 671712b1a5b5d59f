"""What Dataverse posts to a webhook, read down to what an event may say: which rows of which table, and nothing they hold.

The body is a RemoteExecutionContext as .NET writes it as JSON.
https://learn.microsoft.com/power-apps/developer/data-platform/use-webhooks#data-passed-to-the-service
https://learn.microsoft.com/dotnet/api/microsoft.xrm.sdk.remoteexecutioncontext
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import msgspec

from airflow_provider_dynamics.triggers.payloads import Change, Operation, change

__all__ = ["NotAPost", "Post", "read_post"]


class NotAPost(ValueError):
    """What came is not what Dataverse posts; the text says what is wrong and repeats nothing of it."""


class _Parameter(msgspec.Struct):
    key: str
    value: msgspec.Raw


class _Context(msgspec.Struct, rename="pascal"):
    """What is read of the context; its parents, images and shared variables are passed over."""

    message_name: str
    primary_entity_name: str | None = None
    primary_entity_id: str | None = None
    correlation_id: str | None = None
    operation_id: str | None = None
    organization_id: str | None = None
    mode: int | None = None
    input_parameters: list[_Parameter] | None = None
    output_parameters: list[_Parameter] | None = None


class _Row(msgspec.Struct, rename="pascal"):
    """An Entity or an EntityReference."""

    id: str | None = None
    logical_name: str | None = None


class _Rows(msgspec.Struct, rename="pascal"):
    """An EntityCollection or an EntityReferenceCollection, of which one has the rows themselves."""

    entities: list[_Row] | None = None


@dataclass(frozen=True)
class Post:
    """One post: `key` is the same for the same post sent again.

    `complete` is False where the post does not say which rows it is about, as one over 256 KB may not.
    """

    table: str
    message: str
    changes: tuple[Change, ...]
    key: str
    complete: bool = True


_TABLE = re.compile(r"[a-z][a-z0-9_]{0,127}")
_GUID = re.compile(r"\{?([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\}?", re.IGNORECASE)
_SYNCHRONOUS = 0  # Mode
_NOBODY = "00000000-0000-0000-0000-000000000000"
_NAMELESS = {"", "none"}  # how messages without a table say so
_DELETES = {"delete", "deletemultiple", "bulkdelete"}
_ONE_ROW = ("Target", "EntityMoniker")  # where messages of one row name it
_MANY_ROWS = ("Targets", "EntityReferences")

_decoder = msgspec.json.Decoder(_Context)


def read_post(body: bytes) -> Post:
    """Return what a body says; raises NotAPost.

    The platform leaves input parameters and images out of a post over 256 KB; the row's own name, and the ids that
    a create has made, stay.
    """
    try:
        context = _decoder.decode(body)
        table, rows = _rows(context)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise NotAPost("The body is not the JSON of a RemoteExecutionContext") from None
    if not _TABLE.fullmatch(table):
        raise NotAPost("The body names no table: register steps on messages of tables only")
    operation: Operation = "delete" if context.message_name.lower() in _DELETES else "upsert"
    return Post(
        table=table,
        message=context.message_name,
        changes=tuple(change(row_id, operation) for row_id in rows),
        key=_key(context, body),
        complete=bool(rows),
    )


def _rows(context: _Context) -> tuple[str, list[str]]:
    """Return the table and the ids of its rows; the primary row where there is one, else what the parameters name."""
    table, row_id = _name(context.primary_entity_name), _guid(context.primary_entity_id)
    if row_id and table:
        return table, [row_id]
    given = _parameters(context.input_parameters)
    named = [msgspec.json.decode(given[name], type=_Row) for name in _ONE_ROW if name in given]
    for name in _MANY_ROWS:
        named += _listed(given[name]) if name in given else ()
    made = _parameters(context.output_parameters)
    ids = [_guid(one.id) for one in named] + _made(made)
    table = table or next((_name(one.logical_name) for one in named if _name(one.logical_name)), "")
    strangers = {_name(one.logical_name) for one in named} - {"", table}
    if strangers:
        raise NotAPost("The body names rows of several tables")
    return table, list(dict.fromkeys(filter(None, ids)))


def _listed(value: msgspec.Raw) -> list[_Row]:
    """Return the rows of a collection, which stands as an object that holds them or as a plain list."""
    if bytes(value).lstrip().startswith(b"["):
        return msgspec.json.decode(value, type=list[_Row])
    return msgspec.json.decode(value, type=_Rows).entities or []


def _made(parameters: Mapping[str, msgspec.Raw]) -> list[str]:
    """Return the ids that a create answered: `id` of one row, `Ids` of many."""
    found: list[Any] = []
    if "id" in parameters:
        found.append(msgspec.json.decode(parameters["id"]))
    if "Ids" in parameters:
        several = msgspec.json.decode(parameters["Ids"])
        found += several if isinstance(several, list) else []
    return [_guid(one) for one in found if isinstance(one, str)]


def _parameters(parameters: Iterable[_Parameter] | None) -> dict[str, msgspec.Raw]:
    return {one.key: one.value for one in parameters or () if bytes(one.value) != b"null"}


def _name(value: str | None) -> str:
    name = (value or "").strip().lower()
    return "" if name in _NAMELESS else name


def _guid(value: str | None) -> str:
    found = _GUID.fullmatch((value or "").strip())
    return "" if not found or found[1] == _NOBODY else found[1].lower()


def _key(context: _Context, body: bytes) -> str:
    """Return what tells this post from every other: correlation and operation, message, table and row.

    A synchronous step has no job, and so no operation of its own; one request may change a row twice in it, and only
    the same body is the same post.
    """
    operation = "" if context.mode == _SYNCHRONOUS else _guid(context.operation_id)
    parts = (
        _guid(context.organization_id),
        _guid(context.correlation_id),
        operation or sha256(body).hexdigest(),
        context.message_name.lower(),
        _name(context.primary_entity_name),
        _guid(context.primary_entity_id),
    )
    return sha256("\n".join(parts).encode("utf-8", "surrogatepass")).hexdigest()
