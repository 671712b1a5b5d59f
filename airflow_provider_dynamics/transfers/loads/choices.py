"""Choices by their labels: what people call an option becomes the number that Dataverse stores."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from airflow_provider_dynamics.dataverse.metadata.table import did_you_mean
from airflow_provider_dynamics.formats.values import TRUTHS

if TYPE_CHECKING:
    from airflow_provider_dynamics.dataverse.metadata.columns import Column, Option

__all__ = ["CHOICES", "choice_reader"]

CHOICES = frozenset({"Picklist", "State", "Status", "MultiSelectPicklist", "Boolean"})
"""The column types whose values have labels."""
MOST_DIGITS = 20  # of a number that may be a choice's
NAMED = 12
"""Options that a message lists when none is near."""


def choice_reader(column: Column, *, by_label: bool = True) -> Callable[[Any], Any]:
    """Return what turns a file's value into the number of a choice, the numbers of several, or a truth.

    Numbers are taken as they are, labels in whatever language the environment has, without regard to case and
    blanks around them. Several are a list, or a text with ``;`` between labels, ``,`` between numbers. What
    it returns raises ValueError for what is none of the column's options.
    """
    options = _Options(column, by_label=by_label)
    if column.type == "Boolean":
        return options.truth
    return options.several if column.type == "MultiSelectPicklist" else options.one


class _Options:
    def __init__(self, column: Column, *, by_label: bool) -> None:
        self._column = column
        self._by_label = by_label
        self._values = {option.value for option in column.options}
        self._labels = _by_label(column.options) if by_label else {}

    def one(self, value: Any) -> int:
        """Return the number of one option."""
        number = _whole(value)
        if number is None:
            return self._labelled(value)
        called = self._labels.get(value.strip().casefold()) if isinstance(value, str) else None  # by digits
        if number in self._values or not self._values:
            self._check_clear(value, number, called)
            return number
        if called is not None or str(value) in self._labels:
            return self._labelled(value)
        raise ValueError(f"{number} is none of its choices{self._advice('')}")

    def several(self, value: Any) -> str | None:
        """Return the numbers of several options as Dataverse writes them, each once; None for none."""
        parts = value if isinstance(value, (list, tuple, set, frozenset)) else self._parts(value)
        return ",".join(map(str, dict.fromkeys(self.one(part) for part in parts))) or None

    def truth(self, value: Any) -> bool:
        """Return the truth that a label, a number or a word means."""
        if isinstance(value, bool):
            return value
        known = TRUTHS.get(str(value).strip().lower())
        if known is not None:
            return known
        if self._by_label and isinstance(value, str):
            return bool(self._labelled(value))
        number = _whole(value)
        if number in {0, 1}:
            return bool(number)
        raise ValueError(f"{value!r} is not true or false")

    def _check_clear(self, value: Any, number: int, called: set[int] | None) -> None:
        """Refuse digits that are one option's number and another's label."""
        if called is None or called == {number}:
            return
        others = " and ".join(map(str, sorted(called - {number})))
        raise ValueError(
            f"{value!r} is the number of one of its choices and the label of another, {others}: set choices_by_label=False "
            "and give numbers"
        )

    def _parts(self, value: Any) -> Iterable[Any]:
        if not isinstance(value, str):
            return (value,)
        text = value.strip().strip("[]")
        if re.fullmatch(r"[-\d\s,;]+", text):
            parts = re.split(r"[,;]", text)
        elif ";" in text or text.casefold() in self._labels:
            parts = text.split(";")
        else:
            parts = text.split(",")
        return [part.strip() for part in parts if part.strip()]

    def _labelled(self, value: Any) -> int:
        text = str(value)
        found = self._labels.get(text.strip().casefold())
        if found is None:
            raise ValueError(self._unknown(text))
        if len(found) > 1:
            numbers = " and ".join(map(str, sorted(found)))
            raise ValueError(
                f"{text!r} is the label of more than one of its choices, {numbers}: give the number"
            )
        return next(iter(found))

    def _unknown(self, text: str) -> str:
        if self._column.type == "Boolean":
            words = ", ".join(repr(option.label) for option in self._column.options)
            return f"{text[:80]!r} is not true or false{f', and not one of {words}' if words else ''}"
        if not self._by_label:
            return f"{text[:80]!r} is not a number (labels are taken with choices_by_label)"
        return f"{text[:80]!r} is none of its choices{self._advice(text)}"

    def _advice(self, text: str) -> str:
        labels = {option.label: option.value for option in self._column.options if option.label}
        if near := did_you_mean(text, labels) if text else "":
            return f". {near}"
        listed = ", ".join(f"{value} ({label})" for label, value in list(labels.items())[:NAMED])
        more = ", …" if len(labels) > NAMED else ""
        return f": {listed}{more}" if listed else ""


def _by_label(options: Iterable[Option]) -> Mapping[str, set[int]]:
    """Return the numbers of each label; those in the user's language win over other languages'."""
    options = tuple(options)
    found: dict[str, set[int]] = {}
    for option in options:
        if option.label:
            found.setdefault(option.label.strip().casefold(), set()).add(option.value)
    own = set(found)
    for option in options:
        for label in option.labels[1:]:
            if (text := label.strip().casefold()) not in own:
                found.setdefault(text, set()).add(option.value)
    return found


def _whole(value: Any) -> int | None:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int):
        return value
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        return None
    if not number.is_finite() or number.adjusted() > MOST_DIGITS or number != number.to_integral_value():
        return None
    return int(number)
