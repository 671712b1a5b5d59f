"""Which tables there are where a request runs: every environment has its own, and changed metadata replaces them.

`Schema` is one state of them, a value. `Schemas` is what an environment has, and is entered while work is done for it,
so that ``TABLES`` and its like mean that environment's; outside of any environment they are the standard ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar, overload

from airflow_provider_dynamics.emulator.schema.model import Choice, Intersect, Table

Made = TypeVar("Made")
Value = TypeVar("Value")


class Schema:
    """Tables by logical name, many-to-many relationships and global choices at one moment; never changed."""

    def __init__(
        self,
        tables: Mapping[str, Table],
        intersects: Sequence[Intersect] = (),
        choices: Mapping[str, Choice] | None = None,
    ) -> None:
        self.tables = tables
        self.intersects = tuple(intersects)
        self.choices: Mapping[str, Choice] = choices or {}
        self.pairs = {one.name: one for one in self.intersects}
        self.by_set = {table.set_name: table for table in tables.values()}
        self.made: dict[Callable[[str], Any], dict[str, Any]] = {}  # what follows from it, see `per_schema`

    def with_tables(self, *tables: Table) -> Schema:
        """The same with these tables added, or in place of those of their names."""
        changed = {**self.tables, **{table.name: table for table in tables}}
        return Schema(changed, self.intersects, self.choices)

    def without_table(self, name: str) -> Schema:
        """The same without a table and its many-to-many relationships."""
        tables = {key: table for key, table in self.tables.items() if key != name}
        pairs = tuple(one for one in self.intersects if name not in one.tables)
        return Schema(tables, pairs, self.choices)

    def with_intersects(self, intersects: Sequence[Intersect]) -> Schema:
        """The same with these many-to-many relationships."""
        return Schema(self.tables, intersects, self.choices)

    def with_choices(self, choices: Mapping[str, Choice]) -> Schema:
        """The same with these global choices."""
        return Schema(self.tables, self.intersects, choices)


class Schemas:
    """What an environment has: ``published``, which requests see, and ``working``, which is to be published."""

    def __init__(self, published: Schema) -> None:
        self.published = self.working = published
        self.version = 0  # rises with everything that is published

    def set(self, published: Schema, working: Schema | None = None) -> None:
        """Replace what is published, and what is worked on; the same for both when one is given."""
        self.published, self.working = published, working or published
        self.version += 1

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Everything inside works on this environment's tables."""
        token = _CURRENT.set(self)
        try:
            yield
        finally:
            _CURRENT.reset(token)


_CURRENT: ContextVar[Schemas | None] = ContextVar("schemas", default=None)
_STANDARD: list[Schema] = []


def standard_is(schema: Schema) -> None:
    """Say which tables there are in a new environment, and outside of any."""
    _STANDARD[:] = [schema]


def standard() -> Schema:
    """The tables of a new environment."""
    return _STANDARD[0]


def current() -> Schema:
    """What is published in the environment that is worked for."""
    entered = _CURRENT.get()
    return _STANDARD[0] if entered is None else entered.published


def per_schema(make: Callable[[str], Made]) -> Callable[[str], Made]:
    """Keep what is made of a table's name for as long as the tables are the same."""

    def of(name: str) -> Made:
        made = current().made.setdefault(make, {})
        if name not in made:
            made[name] = make(name)
        found: Made = made[name]
        return found

    return of


class View(Mapping[str, Value]):
    """A mapping of the environment that is worked for; ``make`` makes what a name stands for, else it is as read."""

    def __init__(
        self, read: Callable[[], Mapping[str, Any]], make: Callable[[str], Value] | None = None
    ) -> None:
        self._read = read
        self._make = make

    def __getitem__(self, name: str) -> Value:
        found: Value = self._read()[name]
        return found if self._make is None else self._make(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())

    def __contains__(self, name: object) -> bool:
        return name in self._read()


class Intersects(Sequence[Intersect]):
    """The many-to-many relationships of the environment that is worked for."""

    @overload
    def __getitem__(self, place: int) -> Intersect: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Intersect]: ...
    def __getitem__(self, place: int | slice) -> Intersect | Sequence[Intersect]:
        return current().intersects[place]

    def __len__(self) -> int:
        return len(current().intersects)
