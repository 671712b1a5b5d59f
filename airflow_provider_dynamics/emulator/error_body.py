"""A fault as the body Dataverse sends: code and message, and with annotations asked for the details it adds.

https://learn.microsoft.com/power-apps/developer/data-platform/webapi/compose-http-requests-handle-errors
"""

from __future__ import annotations

from airflow_provider_dynamics.emulator.call import Prefer, reply
from airflow_provider_dynamics.emulator.messages import Fault, Response

_PLUGIN = "0x80040265"


def refusal(fault: Fault, prefer: Prefer) -> Response:
    """The response that stands for a fault."""
    error = {"code": fault.code, "message": fault.message}
    number = fault.code.removeprefix("0x")
    details = {
        "ErrorDetails.OperationStatus": "0" if fault.code == _PLUGIN else None,
        "ErrorDetails.SubErrorCode": "-2146233088" if fault.code == _PLUGIN else None,
        "HelpLink": "http://go.microsoft.com/fwlink/?LinkID=398563&error=Microsoft.Crm.CrmException%3a"
        f"{number}&client=platform",
        "TraceText": "",
        "InnerError.Message": fault.message,
        **fault.details,
    }
    for name, value in details.items():
        if value is not None and prefer.wants(f"Microsoft.PowerApps.CDS.{name}"):
            error[f"@Microsoft.PowerApps.CDS.{name}"] = value
    return reply(fault.status, {"error": error})
