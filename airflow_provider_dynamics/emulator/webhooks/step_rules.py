"""What a webhook and its steps must be like to be registered.

https://learn.microsoft.com/power-apps/developer/data-platform/register-web-hook and
https://learn.microsoft.com/power-apps/developer/data-platform/register-plug-in#register-plug-in-step
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_dynamics.emulator.messages import Fault, NotEmulated
from airflow_provider_dynamics.emulator.schema import TABLES
from airflow_provider_dynamics.emulator.store import Store
from airflow_provider_dynamics.emulator.webhooks.address import HEADERS, KEY, QUERY, WEBHOOK, check_place
from airflow_provider_dynamics.emulator.webhooks.posting import Webhooks
from airflow_provider_dynamics.emulator.writing.happenings import MULTIPLE

RUN_AT = frozenset({"Create", "Update", "Delete", *MULTIPLE.values()})
_STAGES = (10, 20, 40)
_POST_OPERATION = 40
_ASYNCHRONOUS = 1
_SERVER, _CLIENT = 0, 1  # supporteddeployment
_ACS = 1
_NO_ACS = Fault(
    400,
    "0x80050209",
    "Service Endpoint with ACS authentication type is no longer supported. Please change your endpoint configuration "
    "to use a supported authentication type",
)
_NOT_ALLOWED = Fault(
    400,
    "0x80044187",
    "Custom SdkMessageProcessingStep is not allowed on the specified message and entity.",
)


class StepRules:
    """Completes and checks rows of serviceendpoint and sdkmessageprocessingstep."""

    def __init__(self, store: Store, webhooks: Webhooks) -> None:
        self._store = store
        self._webhooks = webhooks

    def endpoint(self, row: Mapping[str, Any], _: Mapping[str, Any]) -> dict[str, Any]:
        """Complete a service endpoint; ``Fault`` when it is no webhook that can be posted to."""
        if row["contract"] != WEBHOOK:
            raise NotEmulated(f"service endpoints with the contract {row['contract']}: only webhooks (8) are")
        if row["authtype"] == _ACS:
            raise _NO_ACS
        if row["authtype"] not in (KEY, HEADERS, QUERY):
            raise NotEmulated(
                f"webhooks with the authtype {row['authtype']}: only {KEY}, {HEADERS}, {QUERY} are"
            )
        check_place(row["url"], anywhere=self._webhooks.anywhere)
        return {"isauthvalueset": int(bool(row["authvalue"]))}

    def step(self, row: Mapping[str, Any], _: Mapping[str, Any]) -> dict[str, Any]:
        """Complete a step; ``Fault`` when it cannot be registered."""
        for name in ("eventhandler", "sdkmessageid"):
            if row[name] is None:
                raise Fault(400, "0x80040203", f"Required field '{name}' is missing")
        message = (self._store.row(TABLES["sdkmessage"], row["sdkmessageid"]) or {}).get("name", "")
        self._check_filter(row, message)
        _check_stage(row, message)
        if message not in RUN_AT:
            raise NotEmulated(f"steps at the message {message}")
        if row["supporteddeployment"] == _CLIENT:
            raise NotEmulated("steps that run in a client")
        return {}

    def _check_filter(self, row: Mapping[str, Any], message: str) -> None:
        if row["sdkmessagefilterid"] is None:
            return
        found = self._store.row(TABLES["sdkmessagefilter"], row["sdkmessagefilterid"])
        if found is None or found["sdkmessageid"] != row["sdkmessageid"]:
            raise Fault(400, "0x80040203", f"The SdkMessageFilter is none of the message {message}.")
        if not found["iscustomprocessingstepallowed"]:
            raise _NOT_ALLOWED
        table = TABLES.get(found["primaryobjecttypecode"])
        names = filter(None, (name.strip() for name in (row["filteringattributes"] or "").split(",")))
        unknown = [name for name in names if table is None or name not in table.by_name]
        if unknown:
            raise NotEmulated(f"a step filtered by {', '.join(unknown)}, which the table lacks")


def _check_stage(row: Mapping[str, Any], message: str) -> None:
    """Refuse stages that are not for others; Microsoft documents the rules, but a code for the first alone."""
    if row["stage"] not in _STAGES:
        raise Fault(
            400,
            "0x80044184",
            "Invalid plug-in registration stage. Steps can only be modified in stages "
            "BeforeMainOperationOutsideTransaction, BeforeMainOperationInsideTransaction, "
            "AfterMainOperationInsideTransaction and AfterMainOperationOutsideTransaction.",
        )
    if row["mode"] == _ASYNCHRONOUS and row["stage"] != _POST_OPERATION:
        raise Fault(
            400, "0x80040203", "Asynchronous steps can only be registered for the PostOperation stage."
        )
    if message in MULTIPLE.values() and row["stage"] != _POST_OPERATION:
        raise NotEmulated(f"steps at {message} before the main operation")
