"""A task for each way to sign in, for what is refused, and for what waits: what they leave behind is searched for secrets."""

from __future__ import annotations

from airflow.sdk import DAG, Param, task

from airflow_provider_dynamics.hooks import DynamicsHook
from airflow_provider_dynamics.operators import DynamicsQueryOperator
from airflow_provider_dynamics.sensors import DynamicsRowSensor

WORKS = (
    "client_secret",
    "certificate",
    "locked_certificate",
    "refresh_token",
    "username_password",
    "workload_identity",
    "adfs",
)
REFUSED = ("wrong_secret", "dead_token", "wrong_password")


def query(task_id: str, mode: str) -> DynamicsQueryOperator:
    connection = f"secrecy_{mode}"
    return DynamicsQueryOperator(
        task_id=task_id, dynamics_conn_id=connection, table="account", select=["name"], top=1
    )


with DAG("secrecy_works", schedule=None) as works:
    for name in WORKS:
        first = query(name, name)
        if name == "refresh_token":
            first >> query("refresh_token_again", name)  # another process, so the token is rotated again

    @task
    def show() -> list[str]:
        """Print what a curious author of a DAG may print, and return it to XCom."""
        settings = [DynamicsHook(f"secrecy_{name}").settings for name in (*WORKS, *REFUSED)]
        shown = [f"{s!r} {s.credential()!r} {s.sign_in()!r} {s.network!r} {s.client()!r}" for s in settings]
        print(shown)  # noqa: T201 - that is the point
        return shown

    show()

with DAG("secrecy_refused", schedule=None, default_args={"retries": 3, "retry_delay": 1}) as refused:
    for name in REFUSED:
        query(name, name)

with DAG("secrecy_waits", schedule=None, params={"number": Param("", type="string")}) as waits:
    DynamicsRowSensor(
        task_id="wait",
        dynamics_conn_id="secrecy_refresh_token",
        table="contoso_shipment",
        filter="contoso_number eq '{{ params.number }}'",
        poke_interval=5,
        timeout=300,
        deferrable=True,
    )
