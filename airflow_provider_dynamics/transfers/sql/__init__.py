"""Straight into a database: a table of Dynamics, kept equal in a table of any database that Airflow's common.sql knows.

Rows are staged beside the table and applied, deletions and the place reached with them, in one transaction.
"""

from __future__ import annotations

from airflow_provider_dynamics.transfers.sql.operator import DynamicsToSqlOperator

__all__ = ["DynamicsToSqlOperator"]
