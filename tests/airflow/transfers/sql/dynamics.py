"""A table of Dynamics in memory, with what its feed promises: latest states, deletions, places that are lost."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from airflow_provider_dynamics.dataverse.protocol.pages import Deleted, Page
from airflow_provider_dynamics.formats import Field
from airflow_provider_dynamics.transfers.sql.following import Job, Source, follow
from airflow_provider_dynamics.transfers.sql.target import Target

KEY = "accountid"
FIELDS = (
    Field(KEY, "string", type_name="Uniqueidentifier"),
    Field("name"),
    Field("revenue", "decimal", 4, "Money"),
)
HOST = "contoso.crm.dynamics.com"


def row_id(number: int) -> str:
    return str(uuid.UUID(int=number))


@dataclass
class Dynamics:
    """Rows by number, each change with a version of its own; `meanwhile` happens between the pages of a reading."""

    mode: str = "delta"
    page_size: int = 2
    expired_before: int = 0
    meanwhile: Callable[[], Any] = lambda: None
    version: int = 0
    rows: dict[int, dict[str, Any]] = field(default_factory=dict)
    versions: dict[int, int] = field(default_factory=dict)
    buried: dict[int, int] = field(default_factory=dict)

    def put(self, number: int, **values: Any) -> None:
        self.version += 1
        self.rows[number] = {**self.rows.get(number, {}), KEY: row_id(number), **values}
        self.versions[number] = self.version
        self.buried.pop(number, None)

    def delete(self, number: int) -> None:
        if self.rows.pop(number, None) is not None:
            self.version += 1
            del self.versions[number]
            self.buried[number] = self.version

    def expire(self) -> None:
        self.version += 1
        self.expired_before = self.version

    def feed(self, since: str | None) -> MemoryFeed:
        return MemoryFeed(self, since)

    @property
    def table(self) -> dict[str, tuple[Any, ...]]:
        """What the database is to hold."""
        return {row[KEY]: (row.get("name"), row.get("revenue")) for row in self.rows.values()}


class MemoryFeed:
    """One reading, with the promises of `client.feed`."""

    def __init__(self, dynamics: Dynamics, since: str | None) -> None:
        self.dynamics = dynamics
        lost = since is not None and int(since) < dynamics.expired_before
        self.mode = "full" if since is None else "reconcile" if lost else dynamics.mode
        self.reason = "the place has expired" if lost else ""
        self.complete = self.mode in {"full", "reconcile"}
        self.until: str | None = None
        self._since = 0 if self.complete else int(since or 0)

    def present(self) -> Iterator[str] | None:
        return iter([row_id(number) for number in self.dynamics.rows]) if self.mode == "window" else None

    def fetch(self, row_ids: Iterable[str]) -> Iterator[Page]:
        rows = self.dynamics.rows.values()
        wanted = set(row_ids)
        yield Page([dict(row) for row in rows if row[KEY] in wanted])

    def pages(self) -> Iterator[Page]:
        source, start = self.dynamics, self.dynamics.version
        changed = [number for number, version in source.versions.items() if version > self._since]
        for begin in range(0, len(changed), source.page_size):
            numbers = changed[begin : begin + source.page_size]
            yield Page([dict(source.rows[number]) for number in numbers if number in source.rows])
            source.meanwhile()
        if self.mode == "delta":
            gone = [number for number, version in source.buried.items() if self._since < version <= start]
            yield Page([], deleted=[Deleted(row_id(number), "deleted") for number in gone])
        self.until = str(start)


def job(dynamics: Dynamics, **changed: Any) -> Job:
    fields = changed.pop("fields", FIELDS)
    source = Source(changed.pop("host", HOST), "account", fields, dynamics.feed)
    target = Target(changed.pop("name", "account"), changed.pop("schema", None), KEY)
    return Job(source, target, changed.pop("policy", "evolve"), **changed)


def run(database: Any, dynamics: Dynamics, **changed: Any) -> Any:
    """Run once, as the operator does."""

    def work() -> Any:
        with database.connection() as connection:
            return follow(connection, job(dynamics, **changed))

    return database.attempt(work)


def ask(database: Any, statement: str) -> Sequence[Any]:
    with database.connection() as connection:
        found: Sequence[Any] = connection.execute(sa.text(statement)).all()
        return found


def held(database: Any) -> Mapping[str, tuple[Any, ...]]:
    """What the database holds."""
    rows = ask(database, "SELECT accountid, name, revenue FROM account")
    return {str(row[0]): (row[1], None if row[2] is None else str(row[2])) for row in rows}


def five_accounts() -> Dynamics:
    made = Dynamics()
    for number in range(5):
        made.put(number, name=f"Account {number}", revenue=f"{number}.5000")
    return made


def by_hand(database: Any, statement: str) -> None:
    with database.connection() as connection, connection.begin():
        connection.execute(sa.text(statement))


def once(dynamics: Dynamics, happens: Callable[[], Any]) -> None:
    """Have something happen once, between two pages."""

    def meanwhile() -> None:
        dynamics.meanwhile = lambda: None
        happens()

    dynamics.meanwhile = meanwhile
