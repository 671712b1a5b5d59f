"""The quick start's own DAG, run as the page says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pyarrow.parquet as pq

PAGE = (Path(__file__).parents[2] / "docs" / "quick_start.md").read_text(encoding="utf-8")
DAG_FILE, CHANGE = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_the_quick_start_ends_with_the_one_row_that_was_changed(run_dag, emulator, tmp_path, monkeypatch):
    for name, value in emulator.airflow_connection("dynamics_default").items():
        monkeypatch.setenv(name, value)
    names: dict[str, object] = {}
    exec(compile(DAG_FILE, "first_steps.py", "exec"), names)  # noqa: S102 - it is our own page
    lake = {"lake": tmp_path.as_uri()}

    first = run_dag(names["dag"], conf=lake)
    assert set(first.states.values()) == {"success"}, first.errors
    active = [row for row in emulator.rows("account") if row["statecode"] == 0]
    assert pq.read_table(tmp_path / "accounts.parquet").num_rows == len(active)
    assert run_dag(names["dag"], conf=lake).xcoms["what_changed"]["rows"] == 0

    exec(compile(CHANGE, "change.py", "exec"), {})  # noqa: S102 - it is our own page
    changed = run_dag(names["dag"], conf=lake).xcoms["what_changed"]
    (line,) = Path(changed["path"].removeprefix("file://")).read_text().splitlines()
    assert json.loads(line)["name"] == "Signed this morning"
