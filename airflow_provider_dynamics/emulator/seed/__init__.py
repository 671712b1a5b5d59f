"""What an environment starts with: "sample" (a small company) or "empty" (the platform's own rows only)."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from airflow_provider_dynamics.emulator.schema import TABLES
from airflow_provider_dynamics.emulator.seed.identities import CONTOSO, Organization
from airflow_provider_dynamics.emulator.storage import SQL
from airflow_provider_dynamics.emulator.store import Store

NAMES = ("sample", "empty")


def fill(
    store: Store,
    name: str | None,
    rows: Mapping[str, int],
    created: str = "evenly",
    organization: Organization = CONTOSO,
) -> None:
    """Fill an empty store; ``rows`` gives tables the total number of rows they shall have.

    ``created`` says when the added ones were created, "evenly" or "skewed". Raises ValueError on an unknown seed
    or way, or a table that cannot be grown.
    """
    from airflow_provider_dynamics.emulator.seed.company import Company
    from airflow_provider_dynamics.emulator.seed.grow import grow, grown_tables
    from airflow_provider_dynamics.emulator.seed.moments import WAYS
    from airflow_provider_dynamics.emulator.seed.platform import fill_platform, give_roles
    from airflow_provider_dynamics.emulator.seed.views import fill_views
    from airflow_provider_dynamics.emulator.switches import DataFaults
    from airflow_provider_dynamics.emulator.writing.writer import Writer

    if name not in {*NAMES, None}:
        raise ValueError(f"There is no seed {name!r}; there are: {', '.join(NAMES)}.")
    if created not in WAYS:
        raise ValueError(f"Rows are created {', '.join(WAYS)}, not {created!r}.")
    writer = Writer(store, DataFaults())
    fill_platform(store, writer, organization)
    fill_views(store)
    if name == "sample":
        Company(writer).fill()
    give_roles(store)
    for table_name, total in rows.items():
        if table_name not in set(grown_tables()):
            raise ValueError(
                f"Rows cannot be made for {table_name!r}; they can for: {', '.join(grown_tables())}."
            )
        found = store.one(sa.select(sa.func.count()).select_from(SQL[table_name]))
        present = found[0] if found else 0
        grow(store, TABLES[table_name], max(0, total - present), present, created)
