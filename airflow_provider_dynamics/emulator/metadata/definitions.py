"""Reading EntityDefinitions and what hangs below them, never paged; `customizing` changes them.

https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query-metadata-web-api
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from airflow_provider_dynamics.emulator.address import Segment, split_outside
from airflow_provider_dynamics.emulator.call import Call, reply
from airflow_provider_dynamics.emulator.messages import Fault, Response
from airflow_provider_dynamics.emulator.metadata.filters import matches
from airflow_provider_dynamics.emulator.metadata.shapes import (
    NAMESPACE,
    Shape,
    attributes,
    entity,
    global_choice,
    key,
    many_to_one,
    metadata_type,
    one_to_many,
    option_set,
    through_pairs,
)
from airflow_provider_dynamics.emulator.options import odata_fault
from airflow_provider_dynamics.emulator.querying.query import no_segment
from airflow_provider_dynamics.emulator.schema import BY_SET, TABLES, Key, Table
from airflow_provider_dynamics.emulator.schema.current import current
from airflow_provider_dynamics.emulator.writing.rows import method_not_allowed

ROOTS = frozenset({"EntityDefinitions", "RelationshipDefinitions", "GlobalOptionSetDefinitions"})
_CAST = re.compile(rf"{re.escape(NAMESPACE)}\.(\w+)")
_EXPAND = re.compile(r"\s*(\w+)\s*(?:\((.*)\))?\s*", re.DOTALL)
_KNOWN = {"$select", "$filter", "$expand", "$count", "$top", "LabelLanguages"}


def service_document(call: Call) -> Response:
    """The list of entity sets."""
    sets = [{"name": name, "kind": "EntitySet", "url": name} for name in sorted(BY_SET)]
    return reply(200, {"@odata.context": f"{call.root}/$metadata", "value": sets})


def metadata(call: Call, segments: Sequence[Segment]) -> Response:
    """Anything below one of ``ROOTS``."""
    if call.method != "GET":
        raise method_not_allowed(call.method)
    for name in call.options:
        if name.startswith("$") and name not in _KNOWN:
            raise odata_fault(f"The query parameter {name} is not supported.")
    root, *rest = segments
    if root.name == "GlobalOptionSetDefinitions":
        return _choices(call, root, rest)
    if root.name == "RelationshipDefinitions":
        return _relationships(call, root, rest)
    if root.inside is None:
        return _collection(call, "EntityDefinitions", [entity(name) for name in TABLES], _entity_parts)
    table = _table(root.inside)
    return (
        _below_entity(call, table, rest)
        if rest
        else _one(call, "EntityDefinitions", entity(table.name), _entity_parts)
    )


def _relationships(call: Call, root: Segment, rest: Sequence[Segment]) -> Response:
    if rest and rest[0].name != f"{NAMESPACE}.OneToManyRelationshipMetadata":
        if rest[0].name == f"{NAMESPACE}.ManyToManyRelationshipMetadata":
            pairs = {shape["SchemaName"]: shape for name in TABLES for shape in through_pairs(name)}
            return _collection(call, "RelationshipDefinitions", pairs.values(), _no_parts)
        raise no_segment(rest[0].name)
    shapes = [shape for name in TABLES for shape in many_to_one(name)]
    if not rest:  # both kinds
        pairs = {shape["SchemaName"]: shape for name in TABLES for shape in through_pairs(name)}
        shapes = [
            {"@odata.type": f"#{NAMESPACE}.{shape['RelationshipType']}Metadata", **shape}
            for shape in (*shapes, *pairs.values())
        ]
    if root.inside is None:
        return _collection(call, "RelationshipDefinitions", shapes, _no_parts)
    return _one(
        call, "RelationshipDefinitions", _pick(shapes, root.inside, "SchemaName", "Relationship"), _no_parts
    )


def _choices(call: Call, root: Segment, rest: Sequence[Segment]) -> Response:
    if "$filter" in call.options:
        # The service answers so: its choices are read by name or all at once.
        raise Fault(
            405, "0x80060888", "The query parameter $filter is not supported on GlobalOptionSetDefinitions."
        )
    if rest and rest[0].name != f"{NAMESPACE}.OptionSetMetadata":
        raise no_segment(rest[0].name)
    shapes = [global_choice(choice) for choice in current().choices.values()]
    if root.inside is None:
        return _collection(call, "GlobalOptionSetDefinitions", shapes, _no_parts)
    wanted = identity_of(root.inside, "Name").lower()
    for shape in shapes:
        if wanted in {shape["Name"], shape["MetadataId"]}:
            return _one(call, "GlobalOptionSetDefinitions", shape, _no_parts)
    raise Fault(404, "0x80040217", f"Could not find an optionset with the specified name or id: {wanted}.")


def key_of(table: Table, inside: str) -> Key:
    """The alternate key that a path names, by logical name or MetadataId."""
    wanted = identity_of(inside, "LogicalName")
    for one in table.keys:
        if wanted in {one.name, key(table, one)["MetadataId"]}:
            return one
    raise Fault(404, "0x80041103", f"Key With Id = {wanted} Does Not Exist")


def _table(inside: str) -> Table:
    wanted = identity_of(inside, "LogicalName")
    for table in TABLES.values():
        if wanted in {table.name, table.metadata_id}:
            return table
    raise Fault(
        404,
        "0x80040217",
        f"Could not find an entity with specified entity name: {wanted} in the metadata cache.",
    )


def identity_of(inside: str, name: str) -> str:
    """What the brackets of a path name: by the alternate key of that name, or by MetadataId."""
    key_name, _, value = inside.partition("=")
    if value and key_name.strip() not in {name, "MetadataId"}:
        raise odata_fault(f"The key in the request URI is not valid: '{key_name}'.")
    return (value or key_name).strip().strip("'").replace("''", "'")


def _pick(shapes: Iterable[Shape], inside: str, name: str, what: str) -> Shape:
    wanted = identity_of(inside, name)
    for shape in shapes:
        if wanted in {shape[name], shape["MetadataId"]}:
            return shape
    raise Fault(404, "0x80041103", f"{what} With Id = {wanted} Does Not Exist")


def _below_entity(call: Call, table: Table, rest: Sequence[Segment]) -> Response:
    first, *further = rest
    path = f"EntityDefinitions({table.metadata_id})/{first.name}"
    collections: Mapping[str, tuple[Sequence[Shape], str]] = {
        "Attributes": (attributes(table.name), "LogicalName"),
        "Keys": ([key(table, one) for one in table.keys], "LogicalName"),
        "ManyToOneRelationships": (many_to_one(table.name), "SchemaName"),
        "OneToManyRelationships": (one_to_many(table.name), "SchemaName"),
        "ManyToManyRelationships": (through_pairs(table.name), "SchemaName"),
    }
    if first.name not in collections:
        if further or first.name not in entity(table.name):
            raise no_segment(first.name)
        value = entity(table.name)[first.name]
        return reply(200, {"@odata.context": call.context(path), "value": value})
    shapes, name = collections[first.name]
    cast = _CAST.fullmatch(further[0].name) if further else None
    parts = _attribute_parts(table, cast[1] if cast else None) if first.name == "Attributes" else _no_parts
    if cast and further[0].inside is None and first.inside is None:
        shapes = _cast(shapes, cast[1])
    if cast:
        path, further = f"{path}/{further[0].name}", further[1:]
    if first.inside is None:
        if further:
            raise no_segment(further[0].name)
        return _collection(call, path, shapes, parts)
    shape = _pick(shapes, first.inside, name, "Attribute" if first.name == "Attributes" else "Key")
    if cast and not _is_of(shape, cast[1]):
        raise Fault(404, "0x80060888", f"{shape['LogicalName']} is no {cast[1]}.")
    return _member(call, path, shape, parts, further)


def _member(call: Call, path: str, shape: Shape, parts: _Parts, further: Sequence[Segment]) -> Response:
    if not further:
        return _one(call, path, shape, parts)
    inner = parts(shape, further[0].name)
    if inner is None or len(further) > 1:
        raise no_segment(further[0].name)
    return reply(
        200,
        {"@odata.context": call.context(f"{path}/{further[0].name}/$entity"), **_chosen(inner, call.options)},
    )


def _is_of(shape: Shape, kind: str) -> bool:
    return bool(shape.get("@odata.type", "").endswith(f".{kind}"))


def _cast(shapes: Sequence[Shape], kind: str) -> list[Shape]:
    known = {metadata_type(column) for table in TABLES.values() for column in table.columns}
    others = {
        "FileAttributeMetadata",
        "ImageAttributeMetadata",
        "EntityNameAttributeMetadata",
        "ManagedPropertyAttributeMetadata",
    }
    if kind not in known | others:
        raise no_segment(f"{NAMESPACE}.{kind}")
    return [
        {name: value for name, value in shape.items() if name != "@odata.type"}
        for shape in shapes
        if _is_of(shape, kind)
    ]


# -- $select, $filter, $expand --------------------------------------------------------------------------

_Parts = Callable[[Shape, str], "Any"]


def _no_parts(_shape: Shape, _name: str) -> Any:
    return None


def _entity_parts(shape: Shape, name: str) -> Any:
    table = TABLES[shape["LogicalName"]]
    found: Mapping[str, Any] = {
        "Attributes": attributes(table.name),
        "Keys": tuple(key(table, one) for one in table.keys),
        "ManyToOneRelationships": many_to_one(table.name),
        "OneToManyRelationships": one_to_many(table.name),
        "ManyToManyRelationships": through_pairs(table.name),
    }
    return found.get(name)


def _attribute_parts(table: Table, cast: str | None) -> _Parts:
    def part(shape: Shape, name: str) -> Any:
        column = table.by_name[shape["LogicalName"]]
        if cast is None or name not in {"OptionSet", "GlobalOptionSet"}:
            return None
        options = option_set(table, column)
        if options and name == "GlobalOptionSet":
            # A local choice has no global one: the service leaves null.
            found = current().choices.get(column.global_choice or "")
            return global_choice(found) if found else False
        return options or None

    return part


def _collection(call: Call, path: str, shapes: Iterable[Shape], parts: _Parts) -> Response:
    text = call.options.get("$filter")
    chosen = [shape for shape in shapes if text is None or matches(shape, text, call.aliases)]
    top = call.options.get("$top", "")
    value = [
        _shown(shape, call.options, parts) for shape in (chosen[: int(top)] if top.isdigit() else chosen)
    ]
    body: dict[str, Any] = {"@odata.context": call.context(_context(call, path))}
    if call.options.get("$count") == "true":
        body["@odata.count"] = len(chosen)
    return reply(200, {**body, "value": value}, *call.applied())


def _one(call: Call, path: str, shape: Shape, parts: _Parts) -> Response:
    shown = {"@odata.context": call.context(f"{_context(call, path)}/$entity")}
    for name, value in _shown(shape, call.options, parts).items():
        if name in {"OptionSet", "GlobalOptionSet"}:
            at = path.replace("/Attributes/", f"/Attributes({shape['MetadataId']})/")
            shown[f"{name}@odata.context"] = call.context(f"{at}/{name}/$entity")
        shown[name] = value
    return reply(200, shown, *call.applied())


def _context(call: Call, path: str) -> str:
    parts = [part.strip() for part in call.options.get("$select", "").split(",") if part.strip()]
    for name, inner in _expands(call.options.get("$expand")):
        parts.append(f"{name}({inner['$select']})" if "$select" in inner else name)
    return f"{path}({','.join(parts)})" if parts else path


def _shown(shape: Shape, options: Mapping[str, str], parts: _Parts) -> Shape:
    shown = _chosen(shape, options)
    for name, inner in _expands(options.get("$expand")):
        part = parts(shape, name)
        if part is None:
            raise odata_fault(
                f"Could not find a property named '{name}' on type '{NAMESPACE}.{_type(shape)}'."
            )
        shown[name] = _expanded(part, inner)
    return shown


def _expanded(part: Any, options: Mapping[str, str]) -> Any:
    if part is False:
        return None
    if isinstance(part, dict):
        return _chosen(part, options)
    text = options.get("$filter")
    return [_shown(shape, options, _no_parts) for shape in part if text is None or matches(shape, text, {})]


def _chosen(shape: Shape, options: Mapping[str, str]) -> Shape:
    text = options.get("$select")
    if not text:
        return dict(shape)
    shown = {"@odata.type": shape["@odata.type"]} if "@odata.type" in shape else {}
    for name in (part.strip() for part in text.split(",")):
        if name not in shape:
            raise odata_fault(
                f"Could not find a property named '{name}' on type '{NAMESPACE}.{_type(shape)}'."
            )
        shown[name] = shape[name]
    if "MetadataId" in shape:
        shown["MetadataId"] = shape["MetadataId"]
    return shown


def _type(shape: Shape) -> str:
    if "@odata.type" in shape:
        return "AttributeMetadata"
    return "EntityMetadata" if "EntitySetName" in shape else "MetadataBase"


def _expands(text: str | None) -> list[tuple[str, dict[str, str]]]:
    found = []
    for part in filter(None, split_outside(text or "", ",")):
        match = _EXPAND.fullmatch(part)
        if match is None:
            raise odata_fault(f"Syntax error in '$expand={text}'.")
        inner = (
            piece.strip().partition("=") for piece in split_outside(match[2] or "", ";") if piece.strip()
        )
        found.append((match[1], {name: value for name, _, value in inner}))
    return found
