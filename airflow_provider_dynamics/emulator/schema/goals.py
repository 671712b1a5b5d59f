"""Goals and what they are measured in.

https://learn.microsoft.com/dynamics365/customer-engagement/web-api/goal and …/metric
"""

from __future__ import annotations

from airflow_provider_dynamics.emulator.schema.columns import (
    READ_ONLY,
    choice,
    day,
    decimal,
    flag,
    ident,
    lookup,
    moment,
    state,
    text,
    to,
    whole,
)
from airflow_provider_dynamics.emulator.schema.common import audit, owner
from airflow_provider_dynamics.emulator.schema.model import Table

METRIC = Table(
    name="metric",
    schema_name="Metric",
    set_name="metrics",
    label="Goal Metric",
    plural="Goal Metrics",
    primary_id="metricid",
    primary_name="name",
    type_code=9603,
    bulk=False,
    change_tracking=False,
    ownership="OrganizationOwned",
    columns=(
        ident("MetricId", "Goal Metric"),
        text("Name", "Name", 100, required="ApplicationRequired"),
        flag("IsAmount", "Metric Type", labels=("Count", "Amount")),
        choice("AmountDataType", "Amount Data Type", {0: "Money", 1: "Decimal", 2: "Integer"}),
        *state([(0, "Open", {0: "Open"}), (1, "Closed", {1: "Closed"})]),
        *audit("lk_metric_createdby", "lk_metric_modifiedby", "lk_metric"),
    ),
)

GOAL = Table(
    name="goal",
    schema_name="Goal",
    set_name="goals",
    label="Goal",
    plural="Goals",
    primary_id="goalid",
    primary_name="title",
    type_code=9600,
    bulk=False,
    change_tracking=False,
    columns=(
        ident("GoalId", "Goal"),
        text("Title", "Name", 100, required="ApplicationRequired"),
        lookup("MetricId", "Goal Metric", to("metric", "metricid", "metric_goal", "Restrict")),
        lookup("ParentGoalId", "Parent Goal", to("goal", "parentgoalid", "goal_parent_goal")),
        flag("RollupOnlyFromChildGoals", "Roll Up Only from Child Goals"),
        flag("IsOverride", "Override"),
        day("GoalStartDate", "From"),
        day("GoalEndDate", "To"),
        whole("TargetInteger", "Target (Integer)"),
        whole("ActualInteger", "Actual (Integer)"),
        whole("InProgressInteger", "In-progress (Integer)"),
        decimal("Percentage", "Percentage Achieved", 2, **READ_ONLY),
        moment("LastRolledupDate", "Last Rolled Up Date", **READ_ONLY),
        *state([(0, "Open", {0: "Open"}), (1, "Closed", {1: "Closed", 2: "Discarded"})]),
        *owner("owner_goals", "user_goal", "team_goal", "business_unit_goal"),
        *audit("lk_goal_createdby", "lk_goal_modifiedby", "lk_goal"),
    ),
)
GOALS = (GOAL, METRIC)
