"""Microsoft's own Python SDK, unmodified, connected to the emulator with a credential shaped as azure-identity's are."""

from __future__ import annotations

import time

import requests


class EmulatorCredential:
    """Asks the emulator's token endpoint."""

    def __init__(self, emulator):
        self.emulator = emulator
        self.asked = []

    def get_token(self, *scopes, **_):
        # Not at the top: the tests that use it are skipped where Microsoft's SDK is not installed.
        from azure.core.credentials import AccessToken

        self.asked.append(scopes)
        form = {
            "grant_type": "client_credentials",
            "client_id": self.emulator.client_id,
            "client_secret": self.emulator.client_secret,
            "scope": " ".join(scopes),
        }
        url = f"{self.emulator.authority}/oauth2/v2.0/token"
        answer = requests.post(url, data=form, verify=self.emulator.ca_bundle, timeout=20)
        answer.raise_for_status()
        body = answer.json()
        return AccessToken(body["access_token"], int(time.time()) + body["expires_in"])


def connected(emulator):
    """The SDK's client; it finds the emulator's certificate authority through REQUESTS_CA_BUNDLE."""
    from PowerPlatform.Dataverse.client import DataverseClient

    return DataverseClient(emulator.url, EmulatorCredential(emulator))
