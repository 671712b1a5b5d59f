"""A server that costs next to nothing: every page is built before the first request, and sent in one write.

It answers what a read of `account` asks, by our client and by Microsoft's SDK, and nothing else. TCP_NODELAY
is set: without it the kernel holds back small answers for 40 ms, and a benchmark measures that instead.
"""

from __future__ import annotations

import re
import socket
import sys
import threading
from typing import Any

import msgspec

from benchmarks.pages import DISTINCT_PAGES, PAGE_ROWS, page_value

API = "/api/data/v9.2"
TYPES = {
    "accountid": "Uniqueidentifier",
    "name": "String",
    "accountnumber": "String",
    "emailaddress1": "String",
    "telephone1": "String",
    "address1_city": "String",
    "revenue": "Money",
    "numberofemployees": "Integer",
    "creditonhold": "Boolean",
    "statecode": "State",
    "statuscode": "Status",
    "createdon": "DateTime",
    "modifiedon": "DateTime",
    "primarycontactid": "Lookup",
}
DETAILS: dict[str, dict[str, Any]] = {
    "String": {"MaxLength": 160},
    "Money": {"Precision": 4, "PrecisionSource": 2},
    "DateTime": {"Format": "DateAndTime", "DateTimeBehavior": {"Value": "UserLocal"}},
    "Lookup": {"Targets": ["contact"]},
}


def attribute(name: str, type_name: str) -> dict[str, Any]:
    """Return one column's metadata."""
    return {
        "@odata.type": f"#Microsoft.Dynamics.CRM.{type_name}AttributeMetadata",
        "MetadataId": "00000000-0000-0000-0000-000000000001",
        "LogicalName": name,
        "SchemaName": name.title(),
        "AttributeType": type_name,
        "AttributeTypeName": {"Value": f"{type_name}Type"},
        "AttributeOf": None,
        "IsValidForRead": True,
        "IsValidForCreate": True,
        "IsValidForUpdate": name != "accountid",
        **DETAILS.get(type_name, {}),
    }


COLUMNS = [attribute(name, type_name) for name, type_name in TYPES.items()]
RELATIONSHIPS = [
    {
        "SchemaName": "account_primary_contact",
        "ReferencingAttribute": "primarycontactid",
        "ReferencedEntity": "contact",
        "ReferencedAttribute": "contactid",
        "ReferencingEntityNavigationPropertyName": "primarycontactid",
    }
]
DEFINITION = {
    "MetadataId": "70816501-edb9-4740-a16c-6a5efbc05d84",
    "LogicalName": "account",
    "SchemaName": "Account",
    "EntitySetName": "accounts",
    "LogicalCollectionName": "accounts",
    "PrimaryIdAttribute": "accountid",
    "PrimaryNameAttribute": "name",
    "ChangeTrackingEnabled": True,
    "TableType": "Standard",
    "Attributes": COLUMNS,
    "Keys": [],
    "ManyToOneRelationships": RELATIONSHIPS,
}


class Stub:
    """Listens on a loopback port until the process ends; `/_rows/N` sets how many rows the table has."""

    def __init__(self) -> None:
        self._values = [page_value(number) for number in range(DISTINCT_PAGES)]
        self._pages = DISTINCT_PAGES
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def serve(self) -> None:
        """Answer connections, each on its own thread."""
        while True:
            connection, _ = self._listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._answer_all, args=(connection,), daemon=True).start()

    def _answer_all(self, connection: socket.socket) -> None:
        with connection:
            received = b""
            while data := connection.recv(65536):
                received += data
                while b"\r\n\r\n" in received:
                    head, received = received.split(b"\r\n\r\n", 1)
                    connection.sendall(self._answer(head.split(b" ", 2)[1].decode()))

    def _answer(self, target: str) -> bytes:
        if target.startswith("/_rows/"):
            self._pages = int(target.rpartition("/")[2]) // PAGE_ROWS
            return _response(b"{}")
        if target.startswith(f"{API}/EntityDefinitions"):
            return _response(msgspec.json.encode(_metadata(target)))
        if target.startswith(f"{API}/accounts"):
            return _response(self._page(target))
        return _response(b'{"error":{"code":"0x0","message":"the stub has no such thing"}}', b"404 Not Found")

    def _page(self, target: str) -> bytes:
        found = re.search(r"skiptoken=(\d+)", target)
        number = int(found[1]) if found else 0
        base = f"{self.url}{API}"
        parts = [
            f'{{"@odata.context":"{base}/$metadata#accounts","value":'.encode(),
            self._values[number % DISTINCT_PAGES],
        ]
        if number + 1 < self._pages:
            parts.append(
                f',"@odata.nextLink":"{base}/accounts?$select=name&$skiptoken={number + 1}"'.encode()
            )
        parts.append(b"}")
        return b"".join(parts)


def _metadata(target: str) -> dict[str, Any]:
    path = target.partition("?")[0]
    if not path.startswith(f"{API}/EntityDefinitions("):
        return {"value": [DEFINITION]}
    tail = path.partition(")")[2].strip("/").split("/")
    if tail[0] == "Attributes":
        cast = tail[1].rpartition(".")[2] if len(tail) > 1 else "AttributeMetadata"
        return {"value": [column for column in COLUMNS if str(column["@odata.type"]).endswith(cast)]}
    if tail[0] in DEFINITION:
        return {"value": DEFINITION[tail[0]]}
    return DEFINITION


def _response(body: bytes, status: bytes = b"200 OK") -> bytes:
    head = (
        b"HTTP/1.1 %s\r\nContent-Type: application/json; odata.metadata=minimal\r\n"
        b"OData-Version: 4.0\r\nContent-Length: %d\r\n\r\n" % (status, len(body))
    )
    return head + body


if __name__ == "__main__":
    stub = Stub()
    sys.stdout.write(f"ready {stub.url}\n")
    sys.stdout.flush()
    stub.serve()
