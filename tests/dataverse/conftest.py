"""A clock that only tests move, a Dataverse of one table in memory, and clients that never leave this process."""

from __future__ import annotations

import gc
import json
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from urllib.parse import unquote

import pytest

from airflow_provider_dynamics.auth import StaticToken
from airflow_provider_dynamics.dataverse import Client, Clock, errors
from airflow_provider_dynamics.dataverse.metadata.table import Table
from airflow_provider_dynamics.dataverse.metadata.tables import Tables
from airflow_provider_dynamics.dataverse.protocol.exchange import Request, Response
from airflow_provider_dynamics.dataverse.rows.rows import Rows
from airflow_provider_dynamics.dataverse.throttle import Stop
from airflow_provider_dynamics.dataverse.transport.batch import BatchOutcome

ENVIRONMENT = "https://contoso.crm.dynamics.com"


class FakeClock(Clock):
    """Time passes only while something sleeps."""

    def __init__(self) -> None:
        self.time = 1_800_000_000.0
        self.slept: list[float] = []

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float, stop: Stop) -> None:
        stop.check()
        self.slept.append(seconds)
        self.time += seconds


def attribute(name: str, kind: str, *, of: str | None = None, type_name: str = "") -> dict[str, Any]:
    return {
        "LogicalName": name,
        "AttributeType": kind,
        "AttributeTypeName": {"Value": type_name or f"{kind}Type"},
        "AttributeOf": of,
        "IsValidForCreate": name != "createdon",
        "IsValidForUpdate": name not in {"createdon", "accountid"},
        "IsValidForRead": True,
    }


def relationship(column: str, table: str, navigation: str) -> dict[str, str]:
    return {
        "ReferencingAttribute": column,
        "ReferencedEntity": table,
        "ReferencingEntityNavigationPropertyName": navigation,
    }


def alternate_key(name: str, columns: list[str], status: str) -> dict[str, Any]:
    return {"LogicalName": name, "KeyAttributes": columns, "EntityKeyIndexStatus": status}


DEFINITION: dict[str, Any] = {
    "LogicalName": "account",
    "EntitySetName": "accounts",
    "PrimaryIdAttribute": "accountid",
    "PrimaryNameAttribute": "name",
    "ChangeTrackingEnabled": True,
    "TableType": "Standard",
    "Attributes": [
        attribute("accountid", "Uniqueidentifier"),
        attribute("name", "String"),
        attribute("accountnumber", "String"),
        attribute("description", "Memo"),
        attribute("revenue", "Money"),
        attribute("numberofemployees", "Integer"),
        attribute("createdon", "DateTime"),
        attribute("new_start", "DateTime"),
        attribute("statecode", "State"),
        attribute("donotemail", "Boolean"),
        attribute("statecodename", "Virtual", of="statecode"),
        attribute("new_topics", "Virtual", type_name="MultiSelectPicklistType"),
        attribute("primarycontactid", "Lookup"),
        attribute("primarycontactidname", "String", of="primarycontactid"),
        attribute("new_region", "Lookup"),
        attribute("new_parentid", "Customer"),
        attribute("ownerid", "Owner"),
    ],
    "Keys": [
        alternate_key("new_number", ["accountnumber"], "Active"),
        alternate_key("new_region_name", ["new_region", "name"], "Active"),
        alternate_key("new_employees", ["numberofemployees"], "Pending"),
    ],
    "ManyToOneRelationships": [
        relationship("primarycontactid", "contact", "primarycontactid"),
        relationship("new_region", "new_region", "new_Region"),
        relationship("new_parentid", "account", "new_ParentId_account"),
        relationship("new_parentid", "contact", "new_ParentId_contact"),
        relationship("ownerid", "owner", "ownerid"),
    ],
}


def option(value: int, *labels: str) -> dict[str, Any]:
    """Return an option as metadata has it, the first label in the user's language."""
    texts = [{"Label": label, "LanguageCode": 1031 + place} for place, label in enumerate(labels)]
    return {"Value": value, "Label": {"LocalizedLabels": texts, "UserLocalizedLabel": texts[0]}}


DETAILS = {
    "StringAttributeMetadata": [{"LogicalName": "name", "MaxLength": 160}],
    "MemoAttributeMetadata": [{"LogicalName": "description", "MaxLength": 2000}],
    "MoneyAttributeMetadata": [
        {"LogicalName": "revenue", "Precision": 2, "MinValue": 0.0, "MaxValue": 922337203685477.0}
    ],
    "IntegerAttributeMetadata": [
        {"LogicalName": "numberofemployees", "MinValue": 0, "MaxValue": 1_000_000_000}
    ],
    "StateAttributeMetadata": [
        {
            "LogicalName": "statecode",
            "OptionSet": {"Options": [option(0, "Aktiv", "Active"), option(1, "Inactive")]},
            "GlobalOptionSet": None,
        }
    ],
    "BooleanAttributeMetadata": [
        {
            "LogicalName": "donotemail",
            "OptionSet": {"TrueOption": option(1, "Do Not Allow"), "FalseOption": option(0, "Allow")},
        }
    ],
    "MultiSelectPicklistAttributeMetadata": [
        {
            "LogicalName": "new_topics",
            "OptionSet": None,
            "GlobalOptionSet": {"Options": [option(1, "Swimming"), option(9, "Camping")]},
        }
    ],
    "DateTimeAttributeMetadata": [
        {"LogicalName": "createdon", "DateTimeBehavior": {"Value": "UserLocal"}},
        {"LogicalName": "new_start", "DateTimeBehavior": {"Value": "DateOnly"}},
    ],
    "LookupAttributeMetadata": [{"LogicalName": "ownerid", "Targets": ["systemuser", "team"]}],
}


def ok(body: Any, status: int = 200, **headers: str) -> Response:
    return Response(status, {"Content-Type": "application/json", **headers}, json.dumps(body).encode())


class FakeDataverse:
    """Keeps accounts; writes as documented, chunks all or nothing. `refuse` may name an error for a row's body."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self.requests: list[Request] = []
        self.batches: list[list[Request]] = []
        self.messages = {"CreateMultiple", "UpdateMultiple"}
        self.details: dict[str, list[dict[str, Any]]] = json.loads(json.dumps(DETAILS))
        self.listed: dict[str, list[dict[str, Any]]] = {}  # rows of other tables, by entity set
        self.definition = json.loads(json.dumps(DEFINITION))
        self.refuse: Callable[[dict[str, Any]], Exception | None] = lambda _: None
        self.before: Callable[[Request], None] = lambda _: None
        self.after: Callable[[Request], None] = lambda _: None
        self._lock = threading.Lock()

    def send(self, request: Request, stop: Stop | None = None) -> Response:
        if stop is not None:
            stop.check()
        self.before(request)
        with self._lock:
            self.requests.append(request)
            answer = self._answer(request)
        self.after(request)
        return answer

    def send_together(self, requests: Sequence[Any], stop: Stop | None = None) -> list[BatchOutcome]:
        """Answer each as if it came alone; what it was is kept in `batches`."""
        self.batches.append(list(requests))
        return [self._part(request, stop) for request in requests]

    def _part(self, request: Request, stop: Stop | None) -> BatchOutcome:
        try:
            return BatchOutcome(request, self.send(request, stop))
        except errors.DataverseError as error:
            return BatchOutcome(request, error=error)

    def sent(self, method: str, name: str = "") -> list[Request]:
        return [found for found in self.requests if found.method == method and name in found.target]

    def bodies(self, name: str) -> list[list[dict[str, Any]]]:
        return [json.loads(found.body or b"")["Targets"] for found in self.sent("POST", name)]

    def _answer(self, request: Request) -> Response:
        target = unquote(request.target)
        if found := re.search(r"CRM\.(\w+AttributeMetadata)", target):
            return ok({"value": self.details.get(found[1], [])})
        if target.startswith(("organizations?", "transactioncurrencies?")):
            if (name := target.split("?")[0]) not in self.listed:
                raise errors.Forbidden("no", status=403)
            return ok({"value": self.listed[name]})
        if target.startswith("EntityDefinitions("):
            return self._definition(target)
        if target.startswith("EntityDefinitions"):
            return ok({"value": [{"LogicalName": "account", "EntitySetName": "accounts"}]})
        if target.startswith("sdkmessagefilters"):
            listed = any(f"@message='{name}'" in target for name in self.messages)
            return ok({"value": [{"sdkmessagefilterid": "1"}] if listed else []})
        return self._work(request, target)

    def _definition(self, target: str) -> Response:
        name = target.split("'")[1]
        if name == "account":
            return ok(self.definition)
        sets = {"contact": "contacts", "new_region": "new_regions"}
        if name not in sets:
            raise errors.NotFound("no such table", status=404)
        return ok({"LogicalName": name, "EntitySetName": sets[name]})

    def _work(self, request: Request, target: str) -> Response:
        body = json.loads(request.body) if request.body else {}
        if "Multiple" in target:
            return self._many(target, body["Targets"])
        path = target.partition("?")[0]
        if request.method == "GET" and path == "accounts":
            return ok({"value": self._found(target)})
        if request.method == "POST":
            row_id = self._create(body)
            return Response(204, {"OData-EntityId": f"{ENVIRONMENT}/api/data/v9.2/accounts({row_id})"}, b"")
        found = self._named(path.removeprefix("accounts"))
        if request.method == "PATCH":
            return self._patch(request, found, path, body)
        row_id = found or ""
        if row_id not in self.rows:
            raise errors.RowNotFound("account does not exist", status=404)
        if request.method == "DELETE":
            del self.rows[row_id]
            return Response(204, {}, b"")
        return ok(self.rows[row_id])

    def _patch(self, request: Request, row_id: str | None, path: str, body: dict[str, Any]) -> Response:
        self._check(body)
        known = row_id in self.rows
        if not known and request.headers.get("If-Match") == "*":
            raise errors.RowNotFound("account does not exist", status=404)
        if not known:
            row_id = self._create({**({"accountid": row_id} if row_id else {}), **body, **_key_of(path)})
        else:
            self.rows[row_id or ""].update(body)
        if "return=representation" in request.headers.get("Prefer", ""):
            return ok({"accountid": row_id}, 200 if known else 201)
        return Response(204, {}, b"")

    def _found(self, target: str) -> list[dict[str, Any]]:
        """Return the rows that a filter names by their ids or account numbers."""
        named = set(re.findall(r"'([^']*)'|([0-9a-f]{8}-[0-9a-f-]{27})|\"([^\"]*)\"", target))
        values = {one for found in named for one in found if one}
        return [row for row_id, row in self.rows.items() if {row_id, row.get("accountnumber")} & values]

    def _many(self, target: str, targets: list[dict[str, Any]]) -> Response:
        creates = "CreateMultiple" in target  # which changes no row that is there
        before = dict(self.rows) if creates else {row_id: dict(row) for row_id, row in self.rows.items()}
        try:
            ids = [self._one_of_many(target, row) for row in targets]
        except errors.DataverseError:
            self.rows = before
            raise
        return ok({"Ids": ids}) if "CreateMultiple" in target else Response(204, {}, b"")

    def _one_of_many(self, target: str, row: dict[str, Any]) -> str:
        row = dict(row)
        del row["@odata.type"]
        self._check(row)
        if "CreateMultiple" in target:
            return self._create(row)
        reference = row.pop("@odata.id", None)
        row_id = self._named(unquote(reference).removeprefix("accounts")) if reference else row["accountid"]
        if row_id in self.rows:
            self.rows[row_id].update(row)
            return str(row_id)
        if "UpdateMultiple" in target:
            raise errors.RowNotFound("account does not exist", status=404)
        return self._create({**row, **(_key_of(unquote(reference)) if reference else {})})

    def _create(self, row: dict[str, Any]) -> str:
        self._check(row)
        row_id = str(row.get("accountid") or uuid.uuid4())
        number = row.get("accountnumber")
        if row_id in self.rows or (
            number and any(r.get("accountnumber") == number for r in self.rows.values())
        ):
            raise errors.DuplicateKey("a row with this key exists", status=412, code="0x80040237")
        self.rows[row_id] = {**row, "accountid": row_id}
        return row_id

    def _named(self, predicate: str) -> str | None:
        key = _key_of(predicate)
        if not key:
            return predicate.strip("()")
        return next(
            (i for i, row in self.rows.items() if row.get("accountnumber") == key["accountnumber"]), None
        )

    def _check(self, row: dict[str, Any]) -> None:
        if error := self.refuse(row):
            raise error


def _key_of(predicate: str) -> dict[str, str]:
    found = re.search(r"\(accountnumber='(.*)'\)$", predicate, re.DOTALL)
    return {"accountnumber": found[1].replace("''", "'")} if found else {}


@pytest.fixture
def answer_of() -> Callable[..., Response]:
    return ok


@pytest.fixture
def definition() -> dict[str, Any]:
    """Metadata of the table account, as the service sends it."""
    return dict(DEFINITION)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def dataverse() -> FakeDataverse:
    return FakeDataverse()


@pytest.fixture
def tables(dataverse: FakeDataverse) -> Tables:
    return Tables(dataverse)


@pytest.fixture
def account(tables: Tables) -> Table:
    return tables.outline("account")


@pytest.fixture
def rows(dataverse: FakeDataverse, tables: Tables, clock: FakeClock) -> Rows:
    return Rows(dataverse, tables, clock)


@pytest.fixture
def make_client(clock: FakeClock) -> Iterator[Callable[..., Client]]:
    """Return a function that makes a client of the contoso environment, or of `environment`."""
    made: list[Client] = []

    def make(environment: str = ENVIRONMENT, **options: Any) -> Client:
        made.append(Client(environment, StaticToken("the-token"), **{"clock": clock, **options}))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def client(make_client: Callable[..., Client]) -> Client:
    return make_client()


@pytest.fixture
def threads_ended() -> Iterator[None]:
    """Fail when a thread of ours is still alive a moment after the test."""
    yield
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and (running := _ours()):
        gc.collect()  # a collection does nothing while another thread is at one
        running[0].join(0.05)
    assert _ours() == []


def _ours() -> list[threading.Thread]:
    return [
        found
        for found in threading.enumerate()
        if found.name.startswith(("dynamics-next-page", "dynamics-bulk", "dynamics-find", "dynamics-lane"))
    ]
