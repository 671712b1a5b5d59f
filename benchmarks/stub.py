"""A server that costs next to nothing: every page is built before the first request, and sent in one write.

It answers what reading `account` and CreateMultiple ask, by our client and by Microsoft's SDK, and nothing else;
rows to create are counted, not read. TCP_NODELAY
is set: without it the kernel holds back small answers for 40 ms, and a benchmark measures that instead.

Read in windows of createdon, row number n of N counts as created n/N of the way through five years, whatever its
bytes say: so every reader gets the same bytes, and a window exactly the rows that lie in it.
"""

from __future__ import annotations

import re
import socket
import sys
import threading
import time
import uuid
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import unquote

import msgspec

from benchmarks.pages import DISTINCT_PAGES, PAGE_ROWS, page_value

API = "/api/data/v9.2"
AT_ONCE = 16  # requests, recommended to clients
COUNTABLE = 50_000  # rows
MOST_CREATED = 5_000  # rows by one request
FIRST_DAY = datetime(2019, 1, 1, tzinfo=timezone.utc)
FIVE_YEARS = 5 * 365 * 86_400  # seconds
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
    """Listens on a loopback port until the process ends.

    `/_rows/N` sets how many rows the table has, `/_latency/S` how many seconds every answer is late;
    `/_wanted/0` gives the number of rows, for who creates as many, `/_created/0` how many were created, and starts anew.
    """

    def __init__(self, pages: int = DISTINCT_PAGES) -> None:
        self._values = [page_value(number) for number in range(pages)]
        rows = msgspec.json.Decoder(list[msgspec.Raw])
        self._cells = [bytes(row) for value in self._values for row in rows.decode(value)]
        self._rows = pages * PAGE_ROWS
        self._latency = 0.0
        self._created_rows = 0
        self._counting = threading.Lock()
        self._ids = b",".join(b'"%s"' % str(uuid.UUID(int=number)).encode() for number in range(MOST_CREATED))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def serve(self) -> None:
        """Answer connections, each on its own thread."""
        while True:
            connection, _ = self._listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._answer_all, args=(connection,), daemon=True).start()

    def _answer_all(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as received:
            while line := received.readline():
                lines = list(iter(received.readline, b"\r\n"))
                length = next(
                    (int(one[15:]) for one in lines if one.lower().startswith(b"content-length:")), 0
                )
                target = line.split(b" ", 2)[1].decode()
                answer = self._answer(target, received.read(length))
                if not target.startswith("/_"):
                    time.sleep(self._latency)
                connection.sendall(answer)

    def _answer(self, target: str, body: bytes) -> bytes:
        if target.startswith("/_"):
            return _response(b"%d" % self._set(*target[2:].split("/")))
        if target.endswith("CreateMultiple"):
            return self._create(body.count(b'"@odata.type"'))
        if target == f"{API}/$batch":
            return self._batch(body)
        return _response(self._json(unquote(target)))

    def _set(self, name: str, value: str) -> int:
        if name == "rows":
            self._rows = int(value)
        elif name == "latency":
            self._latency = float(value)
        elif name == "created":
            created, self._created_rows = self._created_rows, 0
            return created
        return self._rows

    def _create(self, rows: int) -> bytes:
        with self._counting:
            self._created_rows += rows
        return _response(b'{"Ids":[' + self._ids[: rows * 39 - 1] + b"]}")

    def _json(self, target: str) -> bytes:
        if target.startswith(f"{API}/EntityDefinitions"):
            return msgspec.json.encode(_metadata(target))
        if target.startswith(f"{API}/sdkmessagefilters"):
            return b'{"value":[{"sdkmessagefilterid":"1"}]}'
        if target.startswith(f"{API}/RetrieveTotalRecordCount"):
            counted = {"Keys": ["account"], "Values": [self._rows]}
            return msgspec.json.encode({"EntityRecordCountCollection": counted})
        first, end = self._range(target)
        if "$apply" in target:
            return msgspec.json.encode({"value": [{"rows_counted": end - first}]})
        if "$top=1" in target:
            place = 0 if " asc" in target else self._rows - 1
            return msgspec.json.encode({"value": [{"createdon": self._created(place)}]})
        return self._page(target, first, end)

    def _batch(self, body: bytes) -> bytes:
        parts = []
        for found in re.finditer(rb"GET (\S+) HTTP/1.1", body):
            target = unquote(found[1].decode())
            first, end = self._range(target)
            full = b'{"error":{"code":"0x8004e023","message":"too many"}}'
            status, answer = (
                (b"400 Bad Request", full) if end - first > COUNTABLE else (b"200 OK", self._json(target))
            )
            parts.append(
                b"--b\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\nHTTP/1.1 "
                + status
                + b"\r\nContent-Type: application/json\r\n\r\n"
                + answer
                + b"\r\n"
            )
        return _response(b"".join(parts) + b"--b--", kind=b"multipart/mixed; boundary=b")

    def _created(self, place: int) -> str:
        moment = FIRST_DAY + timedelta(seconds=place * FIVE_YEARS // self._rows)
        return f"{moment:%Y-%m-%dT%H:%M:%SZ}"

    def _range(self, target: str) -> tuple[int, int]:
        """Return the first row that the window of a filter holds, and the first behind it."""
        first, end = 0, self._rows
        for operator, text in re.findall(r"createdon (ge|lt) (\S+?Z)", target):
            passed = datetime.fromisoformat(text.replace("Z", "+00:00")) - FIRST_DAY
            place = -(-int(passed.total_seconds()) * self._rows // FIVE_YEARS)
            first, end = (place, end) if operator == "ge" else (first, min(end, place))
        return first, end

    def _page(self, target: str, first: int, end: int) -> bytes:
        found = re.search(r"skiptoken=(\d+)", target)
        start = int(found[1]) if found else first
        stop = min(end, start + PAGE_ROWS)
        base = f"{self.url}{API}"
        parts = [
            f'{{"@odata.context":"{base}/$metadata#accounts","value":'.encode(),
            self._value(start, stop),
        ]
        if stop < end:
            window = re.search(r"&\$filter=[^&]*", target)
            kept = window[0].replace(" ", "%20") if window else ""
            parts.append(
                f',"@odata.nextLink":"{base}/accounts?$select=name{kept}&$skiptoken={stop}"'.encode()
            )
        parts.append(b"}")
        return b"".join(parts)

    def _value(self, start: int, stop: int) -> bytes:
        if start % PAGE_ROWS == 0 and stop - start == PAGE_ROWS:
            return self._values[start // PAGE_ROWS % len(self._values)]
        count, start = stop - start, start % len(self._cells)
        cells = self._cells[start : start + count]
        return b"[" + b",".join(cells + self._cells[: count - len(cells)]) + b"]"


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


def _response(body: bytes, kind: bytes = b"application/json; odata.metadata=minimal") -> bytes:
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nOData-Version: 4.0\r\nx-ms-dop-hint: %d\r\nContent-Length: %d\r\n\r\n"
        % (kind, AT_ONCE, len(body))
    )
    return head + body


if __name__ == "__main__":
    stub = Stub()
    sys.stdout.write(f"ready {stub.url}\n")
    sys.stdout.flush()
    stub.serve()
