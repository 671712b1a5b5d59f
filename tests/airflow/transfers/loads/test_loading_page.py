"""docs/loading.md says what a load makes of values, in every row of its table."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from airflow_provider_dynamics.dataverse.metadata.columns import Column, Option
from airflow_provider_dynamics.dataverse.metadata.table import Table
from tests.airflow.formats.rows import read

PAGE = (Path(__file__).parents[4] / "docs" / "loading.md").read_text(encoding="utf-8")
OPTIONS = (Option(1, ("Accounting",)), Option(2, ("Mining",)))


def told():
    """Yield the column types, what is taken, what is sent and what is refused of each line of the table."""
    table = PAGE.split("| column | taken | sent | refused |\n|---|---|---|---|\n")[1].split("\n\n")[0]
    for line in table.splitlines():
        kinds, taken, sent, refused = (re.findall(r"`([^`]+)`", cell) for cell in line.strip("|").split("|"))
        for kind in kinds:
            yield pytest.param(kind, taken[0], sent[0], refused[:1], id=kind)


FACTS: dict[str, dict[str, Any]] = {
    "String": {"max_length": 5},
    "Memo": {"max_length": 5},
    "Decimal": {"places": 2},
    "Money": {"places": 2},
    "Picklist": {"options": OPTIONS},
    "MultiSelectPicklist": {"options": OPTIONS},
}


def column(kind):
    name, _, behavior = kind.partition(":")
    return Column("x", name, "x", date_behavior=behavior or None, **FACTS.get(name, {}))


@pytest.mark.parametrize(("kind", "taken", "sent", "refused"), list(told()))
def test_the_page_says_what_becomes_of_a_value(tmp_path, kind, taken, sent, refused):
    table = Table("account", "accounts", "accountid", "name", {"x": column(kind)})
    path = tmp_path / "a.csv"
    wrong = refused[0] if refused else "longer"
    path.write_text(f'x\n"{taken}"\n"{wrong}"\n')

    good, bad = read(path, table=table, by_label=True)

    assert good.error is None
    assert good.row["x"] == msgspec.json.Decoder(float_hook=Decimal).decode(sent.encode()) or good.row[
        "x"
    ] == float(sent)
    assert bad.error is not None
    assert bad.column == "x"


def test_the_page_shows_every_member_of_a_refused_row():
    from airflow_provider_dynamics.transfers.loads.row import Reject

    shown = next(line for line in PAGE.splitlines() if line.startswith('{"row"'))
    assert list(msgspec.json.decode(shown)) == list(Reject(1, None, "account", "").line())
