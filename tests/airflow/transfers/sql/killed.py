"""A worker that is killed: runs the operator and sends itself SIGKILL before the statement whose number it is given.

Statements are counted from the first that writes: `python killed.py <number> <table>`.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import sqlalchemy as sa

from airflow_provider_dynamics.transfers import DynamicsToSqlOperator

WRITES = ("INSERT", "UPDATE", "DELETE", "ALTER")


def main(number: int) -> None:
    seen = 0

    @sa.event.listens_for(sa.Engine, "before_cursor_execute")
    def executing(_connection: Any, _cursor: Any, statement: str, *_ignored: Any) -> None:
        nonlocal seen
        if statement.lstrip().startswith(WRITES) and "stage" not in statement.partition("(")[0]:
            seen += 1
            if seen == number:
                os.kill(os.getpid(), signal.SIGKILL)

    @sa.event.listens_for(sa.Engine, "commit")
    def committing(_connection: Any) -> None:
        if seen and seen == number - 1:
            os.kill(os.getpid(), signal.SIGKILL)

    operator = DynamicsToSqlOperator(
        task_id="follow", table="account", select=["name"], sql_conn_id="warehouse", retry_policy=None
    )
    summary = operator.execute({})
    sys.stdout.write(f"{seen} {summary['mode']}")


if __name__ == "__main__":
    main(int(sys.argv[1]))
