"""A service in memory whose table changes while it is read, and destinations that apply what a task writes."""

from __future__ import annotations

import csv
import json
import re
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from airflow_provider_dynamics.dataverse import Column, Deleted, Page, Query, Table, errors
from airflow_provider_dynamics.dataverse.following.feed import Feed
from airflow_provider_dynamics.formats import file_fields
from airflow_provider_dynamics.formats.storage import Place
from airflow_provider_dynamics.state import CursorKey, CursorStore
from airflow_provider_dynamics.transfers.following import Followed, Following, keys_folder

ENVIRONMENT = "https://contoso.crm.dynamics.com"
ROOT = f"{ENVIRONMENT}/api/data/v9.2/"
OVERLAP = 100.0
START = datetime(2026, 1, 1, tzinfo=timezone.utc)
TYPES = {"thingid": "Uniqueidentifier", "name": "String", "versionnumber": "BigInt", "modifiedon": "DateTime"}


class Killed(BaseException):
    """The worker is gone: nothing may catch this."""


def table_of(*columns: str, tracked: bool) -> Table:
    made = {
        name: Column(name, TYPES[name], name, date_behavior="UserLocal")
        for name in ("thingid", "name", *columns)
    }
    return Table("thing", "things", "thingid", "name", made, change_tracking=tracked)


@dataclass
class Service:
    """One table; `between` is called between two pages, and may change the rows.

    `loose` pages of changes look at the table as it is by then, not as it was when the reading began.
    """

    table: Table
    page_size: int = 2
    loose: bool = False
    between: Callable[[], None] = lambda: None
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    deletions: list[tuple[int, str]] = field(default_factory=list)
    version: int = 1000
    oldest: int = 0
    seconds: float = 0.0
    pending: dict[str, dict[str, Any]] = field(default_factory=dict)
    began: dict[str, float] = field(default_factory=dict)
    environment: str = ENVIRONMENT

    # -- what people do

    def now(self) -> float:
        return START.timestamp() + self.seconds

    def write(self, row_id: str, name: str) -> None:
        if row_id not in self.pending:
            self.rows[row_id] = self._row(row_id, name)

    def begin(self, row_id: str, name: str) -> None:
        """Write in a transaction that ends later: numbered now, seen then."""
        if row_id not in self.pending:
            self.pending[row_id], self.began[row_id] = self._row(row_id, name), self.seconds

    def commit(self) -> None:
        self.rows |= self.pending
        self.pending.clear()
        self.began.clear()

    def delete(self, row_id: str) -> None:
        if row_id in self.rows and row_id not in self.pending:
            del self.rows[row_id]
            self.version += 1
            self.deletions.append((self.version, row_id))

    def expire(self) -> None:
        self.version += 1
        self.oldest = self.version

    def passes(self, seconds: float) -> None:
        """Let time pass; no transaction lasts longer than it may."""
        self.seconds += seconds
        if any(self.seconds - began > OVERLAP for began in self.began.values()):
            self.commit()

    def _row(self, row_id: str, name: str) -> dict[str, Any]:
        self.version += 1
        modified = (START + timedelta(seconds=int(self.seconds))).strftime("%Y-%m-%dT%H:%M:%SZ")
        return {"thingid": row_id, "name": name, "versionnumber": self.version, "modifiedon": modified}

    # -- what a client asks

    def pages(self, query: Query) -> Iterator[Page]:
        if query.top:
            column = str(query.order_by).split()[0]
            found = sorted(self.rows.values(), key=lambda row: row[column], reverse=True)[: query.top]
            yield Page([self._seen(row, query.select) for row in found])
            return
        yield from self._walk(_condition(query.filter), query.select)

    def _walk(self, wanted: Callable[[dict[str, Any]], bool], select: Iterable[str]) -> Iterator[Page]:
        last = ""
        while True:
            found = [row for row_id, row in sorted(self.rows.items()) if row_id > last and wanted(row)]
            page, more = found[: self.page_size], len(found) > self.page_size
            yield Page([self._seen(row, select) for row in page], next_link="more" if more else None)
            if not more:
                return
            last = page[-1]["thingid"]
            self.between()

    def changes(
        self,
        table: str,
        select: Iterable[str] = (),
        since: str | None = None,
        page_size: int | None = None,
        *,
        labels: bool = False,
    ) -> Iterator[Page]:
        del table, page_size, labels
        until = self.version
        link = f"{ROOT}things?$select={','.join(select)}&$deltatoken={until}%2101%2f01%2f2026"
        if since is None:
            for page in self._walk(lambda row: row["versionnumber"] <= until or self.loose, select):
                page.delta_link = None if page.next_link else link
                yield page
            return
        start = int(re.findall(r"deltatoken=(\d+)", since)[0])
        if start < self.oldest:
            raise errors.DeltaLinkExpired("Version stamp has expired", code="0x80044352")
        yield from self._since(start, until, select, link)

    def _since(self, start: int, until: int, select: Iterable[str], link: str) -> Iterator[Page]:
        changed, gone = start, start
        while True:
            end = self.version if self.loose else until
            rows = sorted(
                (r for r in self.rows.values() if changed < r["versionnumber"] <= end), key=_version
            )
            page = rows[: self.page_size]
            room = self.page_size - len(page)
            deletions = [one for one in self.deletions if gone < one[0] <= end]
            told = deletions[:room] if len(rows) <= self.page_size else []
            more = len(rows) > self.page_size or len(deletions) > len(told)
            yield Page(
                [self._seen(row, select) for row in page],
                "more" if more else None,
                None if more else link,
                deleted=[Deleted(row_id, "deleted") for _, row_id in told],
            )
            if not more:
                return
            changed = page[-1]["versionnumber"] if page else changed
            gone = told[-1][0] if told else gone
            self.between()

    def _seen(self, row: dict[str, Any], select: Iterable[str]) -> dict[str, Any]:
        names = {"thingid", *select} if tuple(select) else set(self.table.columns)
        return {name: value for name, value in row.items() if name in names}


def _version(row: dict[str, Any]) -> int:
    return int(row["versionnumber"])


def _condition(text: str | Any | None) -> Callable[[dict[str, Any]], bool]:
    """Understand the filters that a feed makes: comparisons joined by `or`."""
    if text is None:
        return lambda _: True
    tests = [re.fullmatch(r"(\w+) (eq|gt|ge) (\S+)", part) for part in str(text).split(" or ")]
    assert all(tests), text

    def holds(row: dict[str, Any]) -> bool:
        for found in tests:
            name, how, wanted = found.groups()  # type: ignore[union-attr]  # asserted
            value: Any
            than: Any
            value, than = (row[name], int(wanted)) if name == "versionnumber" else (str(row[name]), wanted)
            if (
                (how == "eq" and value == than)
                or (how == "gt" and value > than)
                or (how == "ge" and value >= than)
            ):
                return True
        return False

    return holds


class DictStore:
    """An asset's state store, kept as the text that a database would have."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    def get(self, key: str, default: Any = None) -> Any:
        return json.loads(self.texts[key]) if key in self.texts else default

    def set(self, key: str, value: Any) -> None:
        self.texts[key] = json.dumps(value)


@dataclass
class Task:
    """A task that follows the table, run by run; `files` are what its runs have left, in their order."""

    service: Service
    folder: Path
    output: str = "changes"
    file_format: str = "ndjson"
    mode: str = "auto"
    max_runs: int = 40
    overlap: float = OVERLAP
    store: DictStore = field(default_factory=DictStore)
    new_columns: tuple[str, ...] = ()

    def path(self, number: int) -> Path:
        name = f"{number:04}" if self.output == "changes" else "snapshot"
        return self.folder / f"{name}.{self.file_format}"

    def run(self, number: int, reached: Callable[[object], None] = lambda _: None) -> Followed:
        """Run, or run again, the DAG run of this number."""
        path = self.path(number)
        key = CursorKey("dag", "task", -1, ENVIRONMENT, "thing", ("name",), self.output)
        return Following(
            feed=self._feed,
            primary_id="thingid",
            fields=file_fields(self.service.table, ["thingid", "name"]),
            new_columns=self.new_columns,
            cursors=CursorStore(self.store, key, self.max_runs),
            run_id=f"run {number}",
            order=(START + timedelta(hours=number)).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            path=path,
            place=Place(None, str(path), str(path)),
            file_format=self.file_format,
            if_exists="replace",
            output=self.output,
            keys=keys_folder(str(path), "thing", "dag", "task") if self.output == "changes" else None,
            keys_fixed=False,
            keys_at=lambda text: Place(None, text, text),
            reached=reached,
        ).run()

    def _feed(self, since: str | None) -> Feed:
        mode: Any = self.mode
        return Feed(
            *(self.service, self.service.table, ["name"], since),
            mode=mode,
            overlap=self.overlap,
            now=self.service.now,
        )

    # -- what a consumer makes of it

    def destination(self, *, by_version: bool = False) -> dict[str, str]:
        """Return what merging all files in the order of their runs makes, or what the snapshot holds: {row id: name}."""
        if self.output == "snapshot":
            rows = read_file(self.path(0))
            assert len({row["thingid"] for row in rows}) == len(rows), "a row is in the snapshot twice"
            return {row["thingid"]: row["name"] for row in rows}
        merged: dict[str, tuple[str, int]] = {}
        for file in sorted(self.folder.glob(f"*.{self.file_format}")):
            merge(merged, read_file(file), by_version=by_version)
        return {row_id: name for row_id, (name, _) in merged.items()}


def merge(target: dict[str, tuple[str, int]], rows: list[dict[str, Any]], *, by_version: bool) -> None:
    """Apply a change file as a MERGE does, which takes no row twice."""
    assert len({row["thingid"] for row in rows}) == len(rows), "a MERGE refuses a row that comes twice"
    for row in rows:
        row_id, version = row["thingid"], int(row["version"] or 0)
        if by_version and row_id in target and target[row_id][1] > version:
            continue
        if row["operation"] == "delete":
            target.pop(row_id, None)
        else:
            target[row_id] = row["name"], version


def read_file(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
        return rows
    with path.open(newline="") as file:
        if path.suffix == ".csv":
            return list(csv.DictReader(file))
        return [json.loads(line) for line in file]


def row_id(number: int) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, str(number)))
