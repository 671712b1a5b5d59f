"""The rows every contender reads, 14 columns of account, and those it creates: the same bytes on every run.

Names, e-mail addresses and cities are of believable length and variety, some values are null, and money has
cents, because a page of equal rows would flatter whoever caches or compresses.
"""

from __future__ import annotations

import datetime
import random
import uuid
from decimal import Decimal
from typing import Any

import msgspec

PAGE_ROWS = 5_000
DISTINCT_PAGES = 40
CITIES = ("Redmond", "Köln", "São Paulo", "Łódź", "Oslo", "Praha", "Lyon", "Ōsaka", "Zürich", "Gdańsk")
TRADES = ("Manufacturing", "Logistics", "Foods", "Consulting", "Optics", "Shipping", "Textiles")
SELECT = (
    "accountid",
    "name",
    "accountnumber",
    "emailaddress1",
    "telephone1",
    "address1_city",
    "revenue",
    "numberofemployees",
    "creditonhold",
    "statecode",
    "statuscode",
    "createdon",
    "modifiedon",
    "primarycontactid",
)


def page_value(number: int) -> bytes:
    """Return the JSON array of page `number`, as the service would put it under "value"."""
    chance = random.Random(number)
    rows = [_row(number * PAGE_ROWS + place, chance) for place in range(PAGE_ROWS)]
    return msgspec.json.Encoder(decimal_format="number").encode(rows)


def new_row(serial: int) -> dict[str, Any]:
    """Return a row of five columns to be created."""
    return {
        "name": f"{CITIES[serial % 10]} {TRADES[serial % 7]} {serial}",
        "accountnumber": f"A{serial:08}",
        "telephone1": f"+49 221 {serial:08}",
        "address1_city": CITIES[serial % 10],
        "numberofemployees": serial % 5_000,
    }


def _row(serial: int, chance: random.Random) -> dict[str, Any]:
    created = datetime.datetime(2019, 1, 1) + datetime.timedelta(seconds=chance.randrange(150_000_000))  # noqa: DTZ001
    modified = created + datetime.timedelta(seconds=chance.randrange(50_000_000))
    closed = chance.random() < 0.1
    return {
        "@odata.etag": f'W/"{1_000_000 + serial}"',
        "accountid": _guid(chance),
        "name": f"{chance.choice(CITIES)} {chance.choice(TRADES)} {serial}",
        "accountnumber": f"A{serial:08}",
        "emailaddress1": f"office{serial}@{chance.choice(TRADES).lower()}{serial % 997}.example",
        "telephone1": f"+49 221 {serial:08}" if chance.random() < 0.8 else None,
        "address1_city": chance.choice(CITIES),
        "revenue": Decimal(chance.randrange(10**9)) / 100 if chance.random() < 0.85 else None,
        "numberofemployees": chance.randrange(5_000),
        "creditonhold": chance.random() < 0.05,
        "statecode": int(closed),
        "statuscode": 1 + int(closed),
        "createdon": f"{created:%Y-%m-%dT%H:%M:%SZ}",
        "modifiedon": f"{modified:%Y-%m-%dT%H:%M:%SZ}",
        "_primarycontactid_value": _guid(chance) if chance.random() < 0.75 else None,
    }


def _guid(chance: random.Random) -> str:
    return str(uuid.UUID(int=chance.getrandbits(128), version=4))
