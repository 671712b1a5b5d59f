"""The Global Discovery service: which environments a person may enter, as an OData service of its own.

https://learn.microsoft.com/power-apps/developer/data-platform/discovery-service
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import unquote

from airflow_provider_dynamics.emulator.address import Text, row_key
from airflow_provider_dynamics.emulator.call import parse_query
from airflow_provider_dynamics.emulator.entra import Entra
from airflow_provider_dynamics.emulator.messages import Fault, NotEmulated, Principal, Request, Response
from airflow_provider_dynamics.emulator.metadata.filters import matches
from airflow_provider_dynamics.emulator.options import odata_fault
from airflow_provider_dynamics.emulator.wire import refusals
from airflow_provider_dynamics.emulator.wire.front import Outcome

T = TypeVar("T")
Instance = Mapping[str, Any]
ROOT = "/api/discovery/v2.0"
INTERNAL = "https://10.0.1.76:20193"  # the context names a host that nobody outside can reach
_PATH = re.compile(rf"{re.escape(ROOT)}(?:/(?P<what>[^/(]*)(?:\((?P<key>.*)\))?)?/?", re.DOTALL)
_KEYS = ("Region", "State", "UniqueName", "Version")
_HEADERS = (("Content-Type", "application/json; odata.metadata=minimal"), ("odata-version", "4.0"))
PROPERTIES: Mapping[str, str] = {
    "ApiUrl": "String",
    "DatacenterId": "String",
    "DatacenterName": "String",
    "EnvironmentId": "String",
    "FriendlyName": "String",
    "Id": "Guid",
    "IsUserSysAdmin": "Boolean",
    "LastUpdated": "DateTimeOffset",
    "OrganizationType": "Int32",
    "Purpose": "String",
    "Region": "String",
    "SchemaType": "String",
    "State": "Int32",
    "StatusMessage": "Int32",
    "TenantId": "Guid",
    "TrialExpirationDate": "DateTimeOffset",
    "UniqueName": "String",
    "UrlName": "String",
    "Version": "String",
    "Url": "String",
}


class Discovery:
    """Answers what comes to the service; ``listed`` says which instances a person is shown."""

    def __init__(self, entra: Entra, listed: Callable[[Principal], Sequence[Instance]]) -> None:
        self._entra = entra
        self._listed = listed

    async def answer(self, request: Request, threaded: Callable[[Callable[[], T]], Awaitable[T]]) -> Outcome:
        """Answer one request."""
        try:
            return Outcome(self._answer(request))
        except Fault as fault:
            return Outcome(refusals.error(fault.status, fault.code, fault.message))

    def _answer(self, request: Request) -> Response:
        match = _PATH.fullmatch(unquote(request.path))
        if match is None:
            raise Fault(404, "0x8006088a", f"Resource not found for the segment '{request.path}'.")
        if request.method != "GET":
            raise Fault(
                405,
                "0x80060888",
                f"The requested resource does not support http method '{request.method}'.",
            )
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        who = self._entra.check(token.strip(), request.origin) if scheme.lower() == "bearer" else None
        # An app's own token is refused: that it takes a user's is Microsoft's word, the status is a guess.
        if who is None or who.user_name is None:
            return refusals.unauthorized(request.origin, self._entra.tenant_id)
        return self._of(match["what"] or "", match["key"], request, who)

    def _of(self, what: str, key: str | None, request: Request, who: Principal) -> Response:
        if what == "":
            sets = [{"name": "Instances", "kind": "EntitySet", "url": "Instances"}]
            return _reply({"@odata.context": f"{INTERNAL}{ROOT}/$metadata", "value": sets})
        if what == "$metadata":
            return Response(200, (("Content-Type", "application/xml"), ("odata-version", "4.0")), _metadata())
        if what != "Instances":
            raise Fault(404, "0x8006088a", f"Resource not found for the segment '{what}'.")
        return self._instances(key, request, who)

    def _instances(self, key: str | None, request: Request, who: Principal) -> Response:
        options, _ = parse_query(request.query)
        for name in options.keys() - {"$select", "$filter"}:
            raise NotEmulated(f"the query option {name} of the discovery service")
        found = list(self._listed(who))
        if key is not None:
            wanted = _key(key)
            found = [one for one in found if all(_same(one[name], value) for name, value in wanted.items())]
        if text := options.get("$filter"):
            found = [one for one in found if matches(one, text, {}, fold=False)]
        names = _selected(options.get("$select"))
        context = f"{INTERNAL}{ROOT}/$metadata#Instances" + (f"({','.join(names)})" if names else "")
        value = [{name: one[name] for name in names or PROPERTIES} for one in found]
        return _reply({"@odata.context": context, "value": value})


def _key(inside: str) -> dict[str, str]:
    """The value of each named key; a GUID alone is the Id."""
    read = row_key(inside, {})
    if isinstance(read, str):
        return {"Id": read}
    unknown = read.keys() - {"Id", *_KEYS}
    if unknown:
        raise NotEmulated(f"the key {', '.join(sorted(unknown))} of an instance")
    return {name: value.value if isinstance(value, Text) else value for name, value in read.items()}


def _same(shown: Any, wanted: str) -> bool:
    return str(shown) == wanted


def _selected(text: str | None) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",")) if text else ()
    for name in names:
        if name not in PROPERTIES:
            raise odata_fault(f"Could not find a property named '{name}' on type 'Instance'.")
    return names


def _reply(content: Mapping[str, Any]) -> Response:
    return Response(200, _HEADERS, json.dumps(content).encode())


def _metadata() -> bytes:
    """The service's CSDL, with what the page says of an instance."""
    properties = "".join(f'<Property Name="{name}" Type="Edm.{kind}" />' for name, kind in PROPERTIES.items())
    return (
        '<?xml version="1.0" encoding="utf-8"?><edmx:Edmx Version="4.0" xmlns:edmx="http://docs.oasis-open.org/odata/ns/'
        'edmx"><edmx:DataServices><Schema Namespace="Microsoft.Dynamics.CRM" xmlns="http://docs.oasis-open.org/odata/ns/'
        f'edm"><EntityType Name="Instance"><Key><PropertyRef Name="Id" /></Key>{properties}</EntityType>'
        '<EntityContainer Name="System"><EntitySet Name="Instances" EntityType="Microsoft.Dynamics.CRM.Instance" />'
        "</EntityContainer></Schema></edmx:DataServices></edmx:Edmx>"
    ).encode()
