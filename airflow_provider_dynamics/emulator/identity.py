"""What a client of the emulator needs to sign in: ids, secrets, certificates, people, tokens without a request.

The half of `Emulator` that is about identity; the other half serves.
"""

from __future__ import annotations

import datetime
import os
import time
from pathlib import Path
from typing import Any

from airflow_provider_dynamics.emulator.connections import connection
from airflow_provider_dynamics.emulator.directory import (
    APPLICATIONS,
    CAREFUL_USER,
    CLIENT_ID,
    FEDERATED_AUDIENCE,
    FEDERATED_ISSUER,
    FEDERATED_SUBJECT,
    OTHER_USER,
    OUTSIDER,
    PUBLIC_CLIENT_ID,
    TENANT_ID,
    USER,
    USER_IDENTITY,
    Person,
    person_named,
)
from airflow_provider_dynamics.emulator.entra import Entra, jwt
from airflow_provider_dynamics.emulator.entra.keys import application_key, federated_key, make_key_pair


class Identity:
    """Names and proofs of a running emulator; all of them are public and open nothing but it."""

    _entra: Entra

    tenant_id = TENANT_ID
    client_id = CLIENT_ID  # the Web app: confidential, and the application user
    public_client_id = PUBLIC_CLIENT_ID  # the native app: no secret, signs people in
    managed_identity_client_id = (
        USER_IDENTITY  # the user-assigned one; leave it out for the system-assigned one
    )
    user_name, user_password = (
        USER.user_name,
        USER.password,
    )  # a user of the environment, and an administrator
    other_user_name, other_user_password = OTHER_USER.user_name, OTHER_USER.password  # another user of it
    outsider_name, outsider_password = OUTSIDER.user_name, OUTSIDER.password  # no user of the environment
    mfa_user_name, mfa_user_password = (
        CAREFUL_USER.user_name,
        CAREFUL_USER.password,
    )  # must give a second factor
    federated_subject = FEDERATED_SUBJECT

    @property
    def url(self) -> str:
        """The environment's URL, without a slash at its end."""
        raise NotImplementedError

    @property
    def ca_bundle(self) -> str:
        """Path of the PEM file a client must trust."""
        raise NotImplementedError

    @property
    def authority(self) -> str:
        """The tenant's sign-in address, as MSAL takes it."""
        return f"{self.url}/{self.tenant_id}"

    @property
    def adfs_authority(self) -> str:
        """The address of AD FS, as MSAL takes it."""
        return f"{self.url}/adfs"

    @property
    def adfs_resource(self) -> str:
        """The environment's identifier in AD FS: its URL with a slash."""
        return f"{self.url}/"

    @property
    def client_secret(self) -> str:
        """The Web app's secret."""
        return self._entra.client_secret

    @property
    def certificate_pem(self) -> str:
        """The certificate that is registered on the Web app, as PEM."""
        return application_key().certificate_pem

    @property
    def private_key_pem(self) -> str:
        """The certificate's private key, as PEM."""
        return application_key().private_key_pem()

    def encrypted_private_key_pem(self, passphrase: str) -> str:
        """Return the certificate's private key as PEM that needs a passphrase."""
        return application_key().private_key_pem(passphrase)

    def pfx(self, passphrase: str | None = None) -> str:
        """Return certificate and private key as PFX, base64."""
        return application_key().pfx(passphrase)

    def new_certificate(self, *, days: float = 365, registered: bool = True) -> tuple[str, str]:
        """Make another certificate; returns it and its private key, both PEM.

        ``days`` from now it ends: a negative number makes one that has expired.
        """
        pair = make_key_pair("Contoso Airflow", lifetime=datetime.timedelta(days=days))
        if registered:
            self._entra.clients.certificates.append(pair)
        return pair.certificate_pem, pair.private_key_pem()

    def federated_token(
        self,
        subject: str = FEDERATED_SUBJECT,
        *,
        issuer: str = FEDERATED_ISSUER,
        audience: str = FEDERATED_AUDIENCE,
        lifetime: float = 3600,
    ) -> str:
        """Sign a token of the workload platform that the Web app trusts; lifetime in seconds."""
        now = int(time.time())
        claims = {"iss": issuer, "sub": subject, "aud": audience, "iat": now, "exp": now + lifetime}
        return jwt.sign(claims, federated_key(), kid=federated_key().thumbprint("x5t"))

    def federated_token_file(self, **claims: Any) -> str:
        """Write a federated token beside the certificates, as Kubernetes does; returns the path."""
        path = Path(self.ca_bundle).with_name("federated-token")
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(self.federated_token(**claims))
        return str(path)

    @property
    def redirect_uris(self) -> set[str]:
        """The Web app's registered redirect URIs; may be changed. The native app's is http://localhost, any port."""
        return self._entra.redirects.web

    def access_token(
        self, lifetime: float = 3600, user: str | None = None, resource: str | None = None
    ) -> str:
        """Return a good access token without asking the token endpoint; lifetime in seconds.

        It is the application's, or a person's when a user name is given, and for this environment, or for ``resource``.
        """
        if user is None:
            return self._entra.issue(resource or self.url, lifetime)
        return self._entra.issue_for(_person(user), APPLICATIONS[CLIENT_ID], resource or self.url, lifetime)

    def refresh_token(
        self, user: str | None = None, client_id: str | None = None, authority_type: str = "entra"
    ) -> str:
        """Return a refresh token, as if ``user`` had signed in to the application; ``authority_type`` entra or adfs."""
        person, client = _person(user or self.user_name), (client_id or self.client_id).lower()
        if authority_type == "adfs":
            return self._entra.on_premises.refresh_token(person, client, self.adfs_resource)
        scopes = (f"{self.url}/.default", "openid", "profile", "offline_access")
        return self._entra.refresh.issue(person, client, scopes)

    def sign_in(self, authorize_url: str, user: str | None = None, *, accept: bool = True) -> str:
        """Sign in at an authorize address as a person in a browser does, without one; returns the redirect's URL.

        ``accept`` false declines consent. ValueError when the page is an error page.
        """
        return self._entra.sign_in(authorize_url, _person(user or self.user_name), accept=accept)

    def managed_identity_environment(self, kind: str = "imds") -> dict[str, str]:
        """Return the environment variables a program finds on a machine with a managed identity.

        ``kind`` is "imds" (a virtual machine) or "app_service".
        """
        return self._entra.managed.environment(kind, self.url)

    def airflow_connection(
        self,
        conn_id: str = "dynamics_default",
        auth_type: str = "client_secret",
        authority_type: str = "entra",
        *,
        public: bool = False,
        **extra: Any,
    ) -> dict[str, str]:
        """Return the environment variables that define an Airflow connection to this emulator.

        ``public`` takes the native app in place of the Web app. ``host``, ``login`` and ``password`` among
        ``extra`` replace those, the rest is added to the connection's extra. ValueError when there is no such
        way to sign in.
        """
        return connection(self, conn_id, auth_type, authority_type, public=public, extra=extra)


def _person(user_name: str) -> Person:
    person = person_named(user_name)
    if person is None:
        raise ValueError(f"there is nobody named {user_name!r}")
    return person
