"""How an answer goes back to the app: in the query, in the fragment, or posted by the browser.

https://learn.microsoft.com/entra/identity-platform/v2-oauth2-auth-code-flow#request-an-authorization-code
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from urllib.parse import urlencode

from airflow_provider_dynamics.emulator.entra import html
from airflow_provider_dynamics.emulator.entra.errors import EntraError, described, timestamp
from airflow_provider_dynamics.emulator.entra.flows import Flow
from airflow_provider_dynamics.emulator.messages import Response


def answered(flow: Flow, answer: Mapping[str, str]) -> Response:
    """Send an answer to the redirect URI, with the state that was given."""
    content = {**answer, **({"state": flow.asked["state"]} if "state" in flow.asked else {})}
    uri, mode = flow.asked["redirect_uri"], flow.asked.get("response_mode", "query")
    if mode == "form_post":
        return html.posted(uri, content)
    separator = "#" if mode == "fragment" else "&" if "?" in uri else "?"
    headers = (("Location", f"{uri}{separator}{urlencode(content)}"), ("Cache-Control", "no-store, no-cache"))
    return Response(302, headers, b"")


def refused(flow: Flow, error: EntraError) -> Response:
    """Send a refusal to the redirect URI."""
    text = described(error, str(uuid.uuid4()), str(uuid.uuid4()), timestamp())
    return answered(flow, {"error": error.error, "error_description": text})
