"""How far a task has followed a table's changes.

The rules are in ``Cursor``, a plain value; ``CursorStore`` keeps it in whatever can get and set JSON by key,
so that the rules can be tested without Airflow and the place can be the asset's state store or a Variable.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_dynamics.compat import StateStoreAccessor, asset_state_store

__all__ = [
    "Cursor",
    "CursorKey",
    "CursorStore",
    "RunRange",
    "VariableStore",
    "cursor_store",
    "run_order",
    "table_store",
]

log = logging.getLogger(__name__)

MAX_RUNS = 40
"""Runs whose range is remembered; a retry or a clear of an older one reads the whole table."""

MAX_BYTES = 48 * 1024
"""Size of the stored record; Airflow advises at most 64 KB a value."""

ASSET_SCHEME = "dataverse"
VERSION = 1


@dataclass(frozen=True)
class RunRange:
    """What one DAG run read: the changes after ``since`` (None: the whole table) up to ``until`` (None: not done)."""

    order: str
    since: str | None
    until: str | None = None


@dataclass(frozen=True)
class Cursor:
    """How far one task has followed the changes of one table; every method returns a new value.

    ``link`` is where the next new run starts and ``order`` the place of the run that put it there. ``runs``
    keeps the range of the ``max_runs`` newest runs; ``forgotten`` is the newest place among those dropped
    from it. ``keys`` says where the ids that were handed on are kept, ``{"path": …, "stamp": …}``.
    """

    link: str | None = None
    order: str = ""
    forgotten: str = ""
    runs: Mapping[str, RunRange] = field(default_factory=dict)
    keys: Mapping[str, Any] | None = None
    max_runs: int = MAX_RUNS

    def plan(self, run_id: str, order: str) -> str | None:
        """Return the delta link this run reads from; None means it reads the whole table.

        A run seen before reads again from its own start. A run whose start was dropped cannot know it: whole
        table.
        """
        if known := self.runs.get(run_id):
            return known.since
        return None if self.is_forgotten(run_id, order) else self.link

    def is_forgotten(self, run_id: str, order: str) -> bool:
        """Say whether the run is so old that its own start is not known any more."""
        return run_id not in self.runs and bool(self.forgotten) and order <= self.forgotten

    def is_newest(self, run_id: str, order: str) -> bool:
        """Say whether every other run that has begun comes before this one."""
        others = [run.order for other, run in self.runs.items() if other != run_id]
        return self.order <= order and max([self.forgotten, *others]) < order

    @property
    def keys_stamp(self) -> int:
        """How far the ids must reach that were handed on; a task that kept none so far has handed on some."""
        return int(self.keys["stamp"]) if self.keys else int(self.link is not None)

    def begin(self, run_id: str, order: str, *, keys: str | None = None) -> Cursor:
        """Write down where this run starts, so that its retry starts there even if other runs have moved on.

        ``keys`` is where ids are kept that are handed on, if they are.
        """
        where = self.keys
        if keys is not None and (where is None or where["path"] != keys):
            where = {"path": keys, "stamp": self.keys_stamp}
        if run_id not in self.runs:
            return replace(self._with_run(run_id, RunRange(order, self.plan(run_id, order))), keys=where)
        return self if where == self.keys else replace(self, keys=where)

    def commit(
        self,
        run_id: str,
        order: str,
        *,
        since: str | None,
        until: str,
        keys: Mapping[str, Any] | None = None,
    ) -> Cursor:
        """Write down what this run read; the link moves on unless a newer run has begun.

        Begun is enough: the newer run may have left a file that was read before this one, and what this run
        saw and that file did not would be undone when the files are applied in order. The next run reads it
        once more.
        """
        newest = max(self.order, *(run.order for run in self.runs.values()), order)
        after = replace(self._with_run(run_id, RunRange(order, since, until)), keys=keys)
        return after if order < newest else replace(after, link=until, order=order)

    def to_json(self) -> dict[str, Any]:
        runs = {run_id: [run.order, run.since, run.until] for run_id, run in self.runs.items()}
        kept = {"link": self.link, "order": self.order, "forgotten": self.forgotten, "runs": runs}
        return kept if self.keys is None else {**kept, "keys": dict(self.keys)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Cursor:
        """Read what ``to_json`` wrote.

        :raises ValueError: the value is something else
        """
        try:
            runs = {str(run_id): RunRange(*entry) for run_id, entry in value["runs"].items()}
            return cls(value["link"], value["order"], value["forgotten"], runs, value.get("keys"))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError("not a change cursor") from error

    def _with_run(self, run_id: str, run: RunRange) -> Cursor:
        kept = dict(sorted({**self.runs, run_id: run}.items(), key=lambda item: item[1].order))
        forgotten = self.forgotten
        while len(kept) > self.max_runs or (len(kept) > 1 and _size(kept) > MAX_BYTES):
            oldest = next(iter(kept))
            forgotten = max(forgotten, kept.pop(oldest).order)
        return replace(self, runs=kept, forgotten=forgotten)


def _size(runs: Mapping[str, RunRange]) -> int:
    return sum(len(run_id) + len(run.since or "") + len(run.until or "") + 50 for run_id, run in runs.items())


@dataclass(frozen=True)
class CursorKey:
    """Whose cursor it is and of what: the consumer (dag, task, map index) and the environment, table and columns.

    ``variant`` is any text that differs where else the place of one reading is of no use to another.
    """

    dag_id: str
    task_id: str
    map_index: int
    environment: str
    table: str
    select: tuple[str, ...]
    variant: str = ""

    def __str__(self) -> str:
        """Return the name the record is stored under: readable, and at most a Variable's 250 characters."""
        readable = f"dynamics_changes.{self.table}.{self.dag_id}.{self.task_id}"[:200]
        return f"{readable}.{self.map_index}.{self.fingerprint[:16]}"

    @property
    def fingerprint(self) -> str:
        """Return a hash over every part; the order in which columns are selected does not matter."""
        parts = [
            self.dag_id,
            self.task_id,
            self.map_index,
            _host(self.environment, whole=True),
            self.table,
            sorted(self.select),
            *([self.variant] if self.variant else []),
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


class VariableStore:
    """Airflow Variables, with the shape of an asset's state store: encrypted where a Fernet key is set, and present in every Airflow."""

    description = (
        "How far a DAG has followed the changes of a Dynamics table; delete it to read the table anew"
    )

    def get(self, key: str, default: Any = None) -> Any:
        from airflow.sdk import Variable

        text = Variable.get(key, default=None)
        try:
            return default if text is None else json.loads(text)
        except ValueError:  # somebody wrote into it by hand; whoever asked says what that means
            return text

    def set(self, key: str, value: Any) -> None:
        from airflow.sdk import Variable

        Variable.set(key, value, description=self.description, serialize_json=True)


@dataclass(frozen=True)
class CursorStore:
    """One cursor in its place. Airflow's stores have no compare-and-swap, so read just before you write."""

    store: StateStoreAccessor
    key: CursorKey
    max_runs: int = MAX_RUNS

    def load(self) -> Cursor:
        """Return the stored cursor; an empty one where there is none or it was made for something else."""
        value = self.store.get(str(self.key), None)
        if value is None:
            return Cursor(max_runs=self.max_runs)
        try:
            if value["version"] != VERSION or value["for"] != self.key.fingerprint:
                raise ValueError("another version or another table")  # noqa: TRY301 - one warning for every misfit
            return replace(Cursor.from_json(value), max_runs=self.max_runs)
        except (ValueError, KeyError, TypeError):
            log.warning("The change cursor %s is not one of this task; reading the whole table.", self.key)
            return Cursor(max_runs=self.max_runs)

    def save(self, cursor: Cursor) -> None:
        self.store.set(str(self.key), {"version": VERSION, "for": self.key.fingerprint, **cursor.to_json()})

    def begin(self, run_id: str, order: str, *, keys: str | None = None) -> str | None:
        """Return the place this run reads from, and remember it as this run's own; None: the whole table."""
        before = self.load()
        after = before.begin(run_id, order, keys=keys)
        if after is not before:
            self.save(after)
        return after.plan(run_id, order)

    def commit(
        self,
        run_id: str,
        order: str,
        *,
        since: str | None,
        until: str,
        keys: Mapping[str, Any] | None = None,
    ) -> Cursor:
        """Move the cursor after the file is complete; return what it was moved to."""
        after = self.load().commit(run_id, order, since=since, until=until, keys=keys)
        self.save(after)
        return after


def cursor_store(context: Mapping[str, Any], key: CursorKey, inlets: Iterable[Any]) -> CursorStore:
    """Keep the cursor in the state store of the inlet that is this table, else in a Variable.

    Only an inlet: an outlet would announce that reading changes updates the table, and set off its consumers.
    Airflow before 3.3 has no asset state store.
    """
    store = table_store(context, key.environment, key.table, inlets)
    return CursorStore(VariableStore() if store is None else store, key)


def table_store(
    context: Mapping[str, Any], environment: str, table: str, inlets: Iterable[Any]
) -> StateStoreAccessor | None:
    """Return the state store of the inlet that is this table; None without one, and before Airflow 3.3."""
    tables = [inlet for inlet in inlets if _host_of(inlet, table) is not None]
    # an environment has several names: one that differs still is this table's asset, and keys tell them apart
    for inlet in sorted(tables, key=lambda inlet: _host_of(inlet, table) != _host(environment)):
        store = asset_state_store(context, inlet)
        if store is not None:
            return store
    return None


def run_order(context: Mapping[str, Any]) -> str:
    """Return a run's place in time as text that sorts: when it was due, in UTC.

    ``run_after`` rather than the logical date: it is always set, and a run started by hand between two
    scheduled ones falls between them.
    """
    from airflow.sdk import timezone

    run = context["dag_run"]
    due = timezone.convert_to_utc(run.run_after or run.logical_date)
    return str(due.strftime("%Y-%m-%dT%H:%M:%S.%fZ"))


def _host_of(inlet: Any, table: str) -> str | None:
    """Return the environment's host if the inlet is an asset of this table."""
    uri = urlsplit(getattr(inlet, "uri", None) or "")
    return uri.netloc.lower() if uri.scheme == ASSET_SCHEME and uri.path.strip("/") == table else None


def _host(environment: str, *, whole: bool = False) -> str:
    """Return the environment's host; as a `whole` with the organization's name, which on premises may stand behind it."""
    if "//" not in environment:
        return environment.lower()
    parts = urlsplit(environment.lower())
    return parts.netloc + (parts.path.rstrip("/") if whole else "")
