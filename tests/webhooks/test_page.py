"""What docs/reacting.md has an administrator of the database do by hand is what the ledger would have done itself."""

from __future__ import annotations

import re
from pathlib import Path

from sqlalchemy import MetaData, Table, create_engine, text

from airflow_provider_dynamics.webhooks.ledger import seen_posts

PAGE = (Path(__file__).parents[2] / "docs" / "reacting.md").read_text(encoding="utf-8")


def made(statements: str) -> Table:
    """Return the ledger's table as a database has it after these statements."""
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        for statement in filter(str.strip, statements.split(";")):
            connection.execute(text(statement))
        found = Table(seen_posts.name, MetaData(), autoload_with=connection)
    engine.dispose()
    return found


def test_the_table_of_the_page_is_the_ledgers_own():
    [statements] = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)

    table = made(statements)

    def described(one: Table) -> list[tuple[str, bool | None, int | None]]:
        return [
            (column.name, column.primary_key or column.nullable, getattr(column.type, "length", None))
            for column in one.columns
        ]

    assert described(table) == described(seen_posts)
    assert {one.name for one in table.indexes} == {one.name for one in seen_posts.indexes}
