"""Airflow's own database, as the door needs it: which assets there are, making an event of one, and who has taken it.

Every import of Airflow's models is here, since none of them is a promise.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_dynamics.webhooks.waking import Told, Waiting, by_asset

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

__all__ = ["assets", "look", "register", "session"]


def session() -> AbstractContextManager[Session]:
    """Open a session whose end commits."""
    from airflow.utils.session import create_session

    return create_session(scoped=False)


def assets(session: Session, uris: Sequence[str]) -> dict[str, int]:
    """Return which of some URIs are assets that a DAG uses, with their ids."""
    from airflow.models.asset import AssetModel
    from sqlalchemy import select

    active = select(AssetModel.uri, AssetModel.id).where(AssetModel.uri.in_(uris), AssetModel.active.has())
    return {row.uri: row.id for row in session.execute(active)}


def register(session: Session, asset_id: int, team: str | None, payload: dict[str, Any]) -> Told:
    """Make an event of an asset, as Airflow's own API does; its DAGs run when the scheduler next looks.

    https://airflow.apache.org/docs/apache-airflow/stable/authoring-and-scheduling/asset-scheduling.html
    """
    from airflow.assets.manager import asset_manager
    from airflow.models.asset import AssetModel

    teams: dict[str, Any] = {"api_user_teams": {team}} if team else {}
    asset = session.get_one(AssetModel, asset_id)
    made = asset_manager.register_asset_change(
        asset=asset, extra={"payload": payload}, session=session, **teams
    )
    if made is None:
        raise LookupError  # the asset went away just now
    return Told(made.id, asset_id, made.timestamp, payload, team)


def look(session: Session, asset_ids: Iterable[int], event_ids: Iterable[int]) -> Waiting:
    """Return how the DAGs of some assets are.

    The queue is read first: a run takes events and empties the queue at once, so what is in neither then is in neither.
    """
    from airflow.models.asset import AssetDagRunQueue as Queue
    from sqlalchemy import select

    ids = list(asset_ids)
    queued = session.execute(select(Queue.asset_id, Queue.target_dag_id).where(Queue.asset_id.in_(ids))).all()
    awake = _awake(session, ids)
    return Waiting(
        by_asset(awake),
        {(asset_id, dag_id) for asset_id, dag_id in queued},
        _taken(session, list(event_ids)),
        _last_runs(session, {dag_id for _, dag_id in awake}),
    )


def _awake(session: Session, asset_ids: list[int]) -> list[tuple[int, str]]:
    """Return the assets' DAGs that an event sets off: one by partitions is not, because a post names none."""
    from airflow.models.asset import DagScheduleAssetReference as Scheduled
    from airflow.models.dag import DagModel
    from sqlalchemy import select

    found = session.execute(
        select(Scheduled.asset_id, Scheduled.dag_id)
        .join(DagModel, DagModel.dag_id == Scheduled.dag_id)
        .where(Scheduled.asset_id.in_(asset_ids), DagModel.is_paused.is_(False), DagModel.is_stale.is_(False))
        .where(DagModel.timetable_partitioned.is_(False))
    )
    return [(asset_id, dag_id) for asset_id, dag_id in found]


def _taken(session: Session, event_ids: list[int]) -> set[tuple[int, str]]:
    """Return which DAGs have taken which events into a run."""
    from airflow.models.asset import association_table as taken
    from airflow.models.dagrun import DagRun
    from sqlalchemy import select

    found = session.execute(
        select(taken.c.event_id, DagRun.dag_id)
        .join(DagRun, DagRun.id == taken.c.dag_run_id)
        .where(taken.c.event_id.in_(event_ids))
    )
    return {(event_id, dag_id) for event_id, dag_id in found}


def _last_runs(session: Session, dag_ids: set[str]) -> dict[str, datetime]:
    """Return up to when each DAG's last run that events set off has taken events."""
    from airflow.models.dagrun import DagRun
    from airflow.utils.types import DagRunType
    from sqlalchemy import func, select

    found = session.execute(
        select(DagRun.dag_id, func.max(DagRun.run_after))
        .where(DagRun.run_type == DagRunType.ASSET_TRIGGERED, DagRun.dag_id.in_(dag_ids))
        .group_by(DagRun.dag_id)
    )
    return {dag_id: run_after for dag_id, run_after in found if run_after is not None}
