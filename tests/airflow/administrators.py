"""What a task that administers is told about its run, where nothing else is asked of it."""

from __future__ import annotations

from types import SimpleNamespace


def context(store=None, try_number=1, run_id="once"):
    """Return what a task is told about its run."""
    task = SimpleNamespace(
        dag_id="dag", task_id="task", run_id=run_id, map_index=-1, try_number=try_number, max_tries=0
    )
    return {"ti": task} if store is None else {"ti": task, "task_state_store": store}
