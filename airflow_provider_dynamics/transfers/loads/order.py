"""In which order several tables are loaded, so that what rows point to is there, and as little as possible has to wait."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_dynamics.transfers.loads.passes import KINDS

if TYPE_CHECKING:
    from airflow_provider_dynamics.transfers.loads.passes import Pass

__all__ = ["Node", "Placed", "in_turn", "ordered"]


@dataclass(frozen=True, slots=True)
class Node:
    """One load, as far as order matters.

    :param table: the table it writes
    :param operation: what it does
    :param points_to: tables that the values it sends may point to
    """

    table: str
    operation: str
    points_to: frozenset[str] = frozenset()

    @property
    def creates(self) -> bool:
        return self.operation in {"create", "upsert"}


@dataclass(frozen=True, slots=True)
class Placed:
    """A load's place: which of the given ones it is, and the tables whose rows may be created with it or after it."""

    index: int
    later: frozenset[str]


def ordered(nodes: Sequence[Node]) -> tuple[Placed, ...]:
    """Return the loads in the order of their first passes.

    A load comes after those that create rows of tables it points to. Where loads point to each other in a circle,
    the one goes first that needs the fewest of the rest, and of equals the one that was named first; what it
    has to say of the others waits. Deletions come last, what points before what is pointed to.
    """
    writing = [index for index, node in enumerate(nodes) if node.operation != "delete"]
    deleting = [index for index, node in enumerate(nodes) if node.operation == "delete"]
    needs = {index: _needs(nodes, writing, index) for index in writing}
    order = list(_from_the_ground(needs))
    held = {index: _needs(nodes, deleting, index, always=True) for index in deleting}
    last = reversed(list(_from_the_ground(held)))
    placed = [
        Placed(index, frozenset(nodes[other].table for other in order[place:] if nodes[other].creates))
        for place, index in enumerate(order)
    ]
    return (*placed, *(Placed(index, frozenset()) for index in last))


def in_turn(passes: Sequence[Sequence[Pass]], deletes: Sequence[bool]) -> list[tuple[int, Pass]]:
    """Return the passes of all loads, given in the order of `ordered`, in the order they are carried out.

    First every table's rows, then what points to rows of other tables, then owners; states come when all rows are
    there and complete, since nothing can be added to what is closed. Deletions are last of all.
    """
    numbered = [(place, one) for place, some in enumerate(passes) for one in some]
    return sorted(numbered, key=lambda each: (deletes[each[0]], KINDS.index(each[1].kind), each[0]))


def _needs(nodes: Sequence[Node], among: Sequence[int], index: int, *, always: bool = False) -> set[int]:
    return {
        other
        for other in among
        if other != index
        and nodes[other].table in nodes[index].points_to
        and (always or nodes[other].creates)
    }


def _from_the_ground(needs: Mapping[int, set[int]]) -> Iterator[int]:
    """Yield every number after those it needs, as far as they do not need each other."""
    left = {index: set(some) for index, some in needs.items()}
    while left:
        circle = _ground(left)
        first = min(circle, key=lambda index: (len(left[index] & circle), index))
        yield first
        del left[first]
        for some in left.values():
            some.discard(first)


def _ground(left: Mapping[int, set[int]]) -> set[int]:
    """Return numbers that need each other and nothing else; the one that is named first where there are several such groups."""
    reached = {index: _reached(left, index) for index in left}
    groups = [some for index, some in reached.items() if all(reached[other] == some for other in some)]
    return min(groups, key=min)


def _reached(left: Mapping[int, set[int]], start: int) -> set[int]:
    found, open_ = {start}, [start]
    while open_:
        for other in left[open_.pop()] - found:
            found.add(other)
            open_.append(other)
    return found
