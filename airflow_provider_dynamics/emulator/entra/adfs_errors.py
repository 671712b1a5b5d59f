"""AD FS's refusals: an OAuth error and a sentence that begins with an MSIS number, nothing else.

The sentences are those public code and Microsoft's pages quote.
"""

from __future__ import annotations

from collections.abc import Mapping

from airflow_provider_dynamics.emulator.entra.errors import json_response
from airflow_provider_dynamics.emulator.messages import Response


class AdFsError(Exception):
    """A refusal of AD FS."""

    def __init__(self, status: int, error: str, text: str) -> None:
        super().__init__(text)
        self.status, self.error, self.text = status, error, text

    def response(self) -> Response:
        """Return the body AD FS sends."""
        return json_response(self.status, {"error": self.error, "error_description": self.text})


_REFUSALS: Mapping[str, tuple[int, str, str]] = {
    "client_id": (
        400,
        "invalid_client",
        (
            "MSIS9607: The 'client_id' parameter in the request is invalid. No registered client is found with this "
            "identifier."
        ),
    ),
    "client": (
        400,
        "invalid_client",
        (
            "MSIS9622: Client authentication failed. Please verify the credential provided for client authentication is "
            "valid."
        ),
    ),
    "no resource": (
        400,
        "invalid_resource",
        (
            "MSIS9601: The 'resource' parameter is missing in the authorization request. Send the 'resource' parameter "
            "that contains the resource identifier's value."
        ),
    ),
    "resource": (
        400,
        "invalid_resource",
        (
            "MSIS9602: The received 'resource' parameter is invalid. The authorization server can not find a registered "
            "resource with the specified identifier."
        ),
    ),
    "code": (
        400,
        "invalid_grant",
        "MSIS9612: The authorization code received in 'code' parameter is invalid.",
    ),
    "refresh_token": (
        400,
        "invalid_grant",
        "MSIS9614: The refresh token received in 'refresh_token' parameter is invalid.",
    ),
    "expired": (
        401,
        "invalid_grant",
        "MSIS9615: The refresh token received in 'refresh_token' parameter has expired.",
    ),
    "person": (400, "invalid_grant", "MSIS9659: Invalid 'username' or 'password'."),
}


def invalid(what: str) -> AdFsError:
    """Return the refusal for what is wrong."""
    return AdFsError(*_REFUSALS[what])
