"""An elastic table, the one of Microsoft's own samples: rows live in partitions, and nothing is transactional.

https://learn.microsoft.com/power-apps/developer/data-platform/use-elastic-tables
"""

from __future__ import annotations

from airflow_provider_dynamics.emulator.schema.columns import ident, memo, moment, state, text, whole
from airflow_provider_dynamics.emulator.schema.common import audit, owner
from airflow_provider_dynamics.emulator.schema.model import Key, Table

SENSORDATA = Table(
    name="contoso_sensordata",
    schema_name="contoso_SensorData",
    set_name="contoso_sensordatas",
    label="Sensor Data",
    plural="Sensor Data",
    primary_id="contoso_sensordataid",
    primary_name="contoso_sensortype",
    type_code=10321,
    custom=True,
    elastic=True,
    change_tracking=False,
    keys=(
        Key(
            "KeyForNoSqlEntityWithPKPartitionId",
            "KeyForNoSqlEntityWithPKPartitionId",
            ("contoso_sensordataid", "partitionid"),
        ),
    ),
    columns=(
        ident("contoso_SensorDataId", "Sensor Data"),
        text("contoso_SensorType", "Sensor Type", 100, custom=True),
        text("contoso_DeviceId", "Device Id", 1000, custom=True),
        whole("contoso_Value", "Value", custom=True),
        moment("contoso_TimeStamp", "Time Stamp", custom=True),
        memo("contoso_EnergyConsumption", "Energy Consumption", 1_048_576, format="Json", custom=True),
        text("PartitionId", "Partition Id", 1024),
        whole("TTLInSeconds", "Time to live", 1),
        *state([(0, "Active", {1: "Active"}), (1, "Inactive", {2: "Inactive"})]),
        *owner(
            "owner_contoso_sensordata",
            "user_contoso_sensordata",
            "team_contoso_sensordata",
            "business_unit_contoso_sensordata",
        ),
        *audit(
            "lk_contoso_sensordata_createdby", "lk_contoso_sensordata_modifiedby", "lk_contoso_sensordata"
        ),
    ),
)
