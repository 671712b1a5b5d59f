"""What the service keeps up to date by itself: names, addresses, owners, base amounts, states.

https://learn.microsoft.com/power-apps/developer/data-platform/transaction-currency-currency-entity
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from airflow_provider_dynamics.emulator.literals import scaled
from airflow_provider_dynamics.emulator.messages import Fault
from airflow_provider_dynamics.emulator.schema import TABLES, Column, Table
from airflow_provider_dynamics.emulator.schema.current import per_schema
from airflow_provider_dynamics.emulator.storage import SQL
from airflow_provider_dynamics.emulator.store import Store
from airflow_provider_dynamics.emulator.writing.body import point

Rule = Callable[[Mapping[str, Any], Mapping[str, Any]], dict[str, Any]]
_RATE_SCALE = 10
_ADDRESS = frozenset(
    f"address1_{part}" for part in ("line1", "line2", "city", "stateorprovince", "postalcode", "country")
)


@dataclass(frozen=True)
class Currency:
    """A currency row, as far as amounts need it; ``rate`` is units of it for one unit of the base currency."""

    row_id: str
    rate: Decimal
    precision: int


class Derivation:
    """Completes stored rows before they are written. Holds the currencies; ``forget`` after they changed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._currencies: dict[str, Currency] | None = None
        self._base: str | None = None
        self._units: dict[str, str | None] = {}
        # By table: completes and checks a row before it is written, given what changed in it.
        self.rules: dict[str, Rule] = {}

    def forget(self) -> None:
        """Currencies, users or teams may have changed."""
        self._currencies = None
        self._units.clear()

    def complete(self, table: Table, row: dict[str, Any], changed: Mapping[str, Any]) -> dict[str, Any]:
        """Fill in what follows from ``changed`` in ``row``; returns the stored values filled in."""
        names = changed.keys()
        filled: dict[str, Any] = {}
        if "fullname" in table.by_name and names & {"firstname", "lastname"}:
            filled["fullname"] = " ".join(filter(None, (row["firstname"], row["lastname"]))) or None
        if names & _ADDRESS and "address1_composite" in table.by_name:
            filled["address1_composite"] = _composite(row)
        if names & {"statecode", "statuscode"} and "statecode" in table.by_name:
            filled.update(_states(table, row, changed))
        if "ownerid" in names:
            filled.update(self._owner(row))
        if names & _money_names(table.name):
            filled.update(self._amounts(table, row, changed))
        if table.name in self.rules:
            filled.update(self.rules[table.name](row, changed))
        row.update(filled)
        return filled

    # -- owners -------------------------------------------------------------------------------------

    def _owner(self, row: Mapping[str, Any]) -> dict[str, Any]:
        kind, owner = row["ownerid__type"], row["ownerid"]
        if owner is None:
            raise Fault(400, "0x80040203", "The owner of a row cannot be empty.")
        return {
            "owninguser": owner if kind == "systemuser" else None,
            "owningteam": owner if kind == "team" else None,
            "owningbusinessunit": self._unit(TABLES[kind], owner),
        }

    def _unit(self, table: Table, row_id: str) -> str | None:
        if row_id not in self._units:
            sql = SQL[table.name]
            found = self._store.one(sa.select(sql.c.businessunitid).where(sql.c[table.primary_id] == row_id))
            self._units[row_id] = found[0] if found else None
        return self._units[row_id]

    # -- money --------------------------------------------------------------------------------------

    def _amounts(self, table: Table, row: Mapping[str, Any], changed: Mapping[str, Any]) -> dict[str, Any]:
        names = _money_names(table.name)
        filled: dict[str, Any] = {}
        currency_id = row["transactioncurrencyid"]
        if currency_id is None and any(changed[name] is not None for name in changed.keys() & names):
            filled["transactioncurrencyid"] = currency_id = self._base_currency()
        currency = self._all().get(currency_id) if currency_id else None
        if currency is None:
            return filled
        filled["exchangerate"] = int(currency.rate.scaleb(_RATE_SCALE))
        everything = "transactioncurrencyid" in changed
        for base in _base_columns(table.name):
            if everything or base.base_of in changed:
                filled.update(_converted(table, base, row, currency))
        return filled

    def _all(self) -> dict[str, Currency]:
        if self._currencies is None:
            sql = SQL["transactioncurrency"]
            rows = self._store.fetch(
                sa.select(sql.c.transactioncurrencyid, sql.c.exchangerate, sql.c.currencyprecision)
            )
            self._currencies = {
                row_id: Currency(
                    row_id, Decimal(rate or 10**_RATE_SCALE).scaleb(-_RATE_SCALE), precision or 2
                )
                for row_id, rate, precision in rows
            }
            found = self._store.one(sa.select(SQL["organization"].c.basecurrencyid))
            self._base = found[0] if found else None
        return self._currencies

    def _base_currency(self) -> str | None:
        self._all()
        return self._base


@per_schema
def _money_names(name: str) -> frozenset[str]:
    table = TABLES[name]
    if name == "transactioncurrency" or not table.has("transactioncurrencyid"):
        return frozenset()
    return frozenset(
        {"transactioncurrencyid", *(column.name for column in table.columns if column.kind == "Money")}
    )


@per_schema
def _base_columns(name: str) -> tuple[Column, ...]:
    return tuple(column for column in TABLES[name].columns if column.base_of is not None)


def _converted(table: Table, base: Column, row: Mapping[str, Any], currency: Currency) -> dict[str, Any]:
    column = table.by_name[base.base_of or ""]
    amount = row[column.name]
    if amount is None:
        return {base.name: None}
    # PrecisionSource 2 takes the currency's own number of digits.
    digits = currency.precision if column.precision_source == 2 else column.precision or 0
    rounded = scaled(Decimal(amount).scaleb(-column.scale), digits, column.scale)
    exact = Decimal(rounded).scaleb(-column.scale)
    return {column.name: rounded, base.name: scaled(exact / currency.rate, 4, 4)}


def _composite(row: Mapping[str, Any]) -> str | None:
    town = " ".join(
        filter(
            None,
            (
                ", ".join(filter(None, (row["address1_city"], row["address1_stateorprovince"]))),
                row["address1_postalcode"],
            ),
        )
    )
    lines = (row["address1_line1"], row["address1_line2"], town, row["address1_country"])
    return "\r\n".join(filter(None, lines)) or None


def _states(table: Table, row: Mapping[str, Any], changed: Mapping[str, Any]) -> dict[str, Any]:
    """Complete a state by its default status; a status of another state is refused, the state does not follow it."""
    if row["statecode"] is None:
        # The code and its words are Microsoft's; that an emptied state is answered with them is a guess.
        raise Fault(
            400,
            "0x80048408",
            "State code is invalid or state code is valid but status code is invalid for a specified state code.",
        )
    state = next(option for option in table.by_name["statecode"].options if option.value == row["statecode"])
    if "statuscode" not in changed or row["statuscode"] is None:
        return {"statuscode": state.status}
    status = next(
        option for option in table.by_name["statuscode"].options if option.value == row["statuscode"]
    )
    if status.state == state.value:
        return {}
    raise Fault(
        400,
        "0x80048408",
        f"{status.value} is not a valid status code for state code {table.schema_name}State."
        f"{state.label.replace(' ', '')} on {table.name} with Id {row[table.primary_id]}.",
    )


def own(row: dict[str, Any], table: Table, user_id: str) -> None:
    """Make a user the owner of a new row whose body named none."""
    column = table.by_name.get("ownerid")
    if column is not None and row.get("ownerid") is None:
        point(row, column, TABLES["systemuser"], user_id)
