"""What Airflow is told about this provider, as data: connection form, asset scheme, configuration, modules.

Every airflow command imports this module, so it imports nothing itself.
"""

from __future__ import annotations

from typing import Any

__all__ = ["get_provider_info"]

_PRODUCT = "Microsoft Dynamics 365"
_PACKAGE = "airflow_provider_dynamics"
_TEXT = ["string", "null"]

_AUTHENTICATION = "Authentication"
_CERTIFICATE = "Certificate"
_PERSON = "Signed-in user"
_FEDERATION = "Managed and workload identity"
_ON_PREMISES = "Sign-in service"
_NETWORK = "Network"
_ADVANCED = "Advanced"


def _text(label: str, description: str, section: str, **schema: Any) -> dict[str, Any]:
    return {
        "label": label,
        "description": description,
        "schema": {"type": _TEXT, "section": section, **schema},
    }


def _secret(label: str, description: str, section: str) -> dict[str, Any]:
    return _text(label, description, section, format="password")


def _choice(label: str, description: str, section: str, labels: dict[str, str]) -> dict[str, Any]:
    """Return a drop-down whose first value is the default."""
    schema = {"type": "string", "section": section, "default": next(iter(labels)), "enum": list(labels)}
    return {"label": label, "description": description, "schema": {**schema, "values_display": labels}}


_FIELDS: dict[str, dict[str, Any]] = {
    "auth_type": _choice(
        "Auth type",
        "How to sign in. An application user (the first four) needs nobody to sign in again and is the better choice.",
        _AUTHENTICATION,
        {
            "client_secret": "Client secret (application user)",
            "certificate": "Certificate (application user)",
            "managed_identity": "Managed identity (application user)",
            "workload_identity": "Workload identity (application user)",
            "refresh_token": "Signed-in user",
            "username_password": "User name and password (discouraged)",
        },
    ),
    "tenant_id": _text(
        "Tenant ID",
        "The directory's GUID or one of its domains, such as contoso.onmicrosoft.com. Empty: the environment is asked for it.",
        _AUTHENTICATION,
    ),
    "cloud": _choice(
        "Cloud",
        "Where the environment lives. Automatic reads it from the Environment URL.",
        _AUTHENTICATION,
        {
            "auto": "Automatic",
            "public": "Public",
            "gcc": "US Government GCC",
            "gcc_high": "US Government GCC High",
            "dod": "US Government DoD",
            "china": "China (21Vianet)",
        },
    ),
    "scope": _text(
        "Scope",
        "What the access token is for. Empty: the environment's own, <Environment URL>/.default.",
        _AUTHENTICATION,
    ),
    "credential_end_date": _text(
        "Client secret's end date",
        "The day the client secret expires, as the Entra admin center shows it; then DynamicsCredentialExpirySensor can warn.",
        _AUTHENTICATION,
        format="date",
    ),
    "certificate": _text(
        "Certificate",
        "The public certificate in PEM, or its path. Airflow shows this field: never paste a private key here.",
        _CERTIFICATE,
    ),
    "private_key": _secret(
        "Private key", "The certificate's key in PEM, or a PFX in base64, or a path to either.", _CERTIFICATE
    ),
    "private_key_passphrase": _secret(
        "Private key passphrase", "The passphrase of the key or the PFX, if it has one.", _CERTIFICATE
    ),
    "send_x5c": {
        "label": "Send certificate chain",
        "description": "Needed where the app registration trusts a certificate's subject and issuer.",
        "schema": {"type": "boolean", "default": False, "section": _CERTIFICATE},
    },
    "refresh_token": _secret(
        "Refresh token",
        "Filled in by signing in: Admin > Microsoft Dynamics 365, or `airflow dynamics login`. Renewed copies are kept in the "
        "credential store.",
        _PERSON,
    ),
    "username": _text(
        "User name",
        "Who is signed in, such as ann@contoso.com. Needed for a password, and where several people share an app.",
        _PERSON,
    ),
    "user_password": _secret(
        "User password", "Fails where a second factor is asked for: prefer an application user.", _PERSON
    ),
    "managed_identity_client_id": _text(
        "Managed identity client ID", "Empty: the identity that the machine itself has.", _FEDERATION
    ),
    "assertion_file": _text(
        "Federated token file", "Empty: the path that AZURE_FEDERATED_TOKEN_FILE names.", _FEDERATION
    ),
    "authority_type": _choice(
        "Authority type",
        "Which kind of service signs in.",
        _ON_PREMISES,
        {"entra": "Microsoft Entra ID", "adfs": "AD FS, for Dynamics 365 on-premises"},
    ),
    "authority": _text(
        "Authority",
        "The sign-in service's address. Empty: the cloud's own. Another one must be listed in [dynamics] allowed_authorities.",
        _ON_PREMISES,
    ),
    "resource": _text(
        "AD FS resource",
        "The relying party's identifier, such as https://auth.contoso.com/. Empty: the Environment URL.",
        _ON_PREMISES,
    ),
    "ca_bundle": _text(
        "CA bundle",
        "Path of a PEM file with the certificate authorities to trust, on every worker and triggerer.",
        _NETWORK,
    ),
    "proxy": _secret(
        "Proxy", "http://user:password@proxy.contoso.com:8080. Empty: the worker's own setting.", _NETWORK
    ),
    "request_timeout": {
        "label": "Request timeout",
        "description": "Seconds without a word from the service until a request counts as failed. Empty: 120.",
        "schema": {"type": ["number", "null"], "minimum": 1, "maximum": 3600, "section": _NETWORK},
    },
    "max_concurrency": {
        "label": "Max concurrency",
        "description": "The most requests at one time. Empty: what the service recommends.",
        "schema": {"type": ["integer", "null"], "minimum": 1, "maximum": 52, "section": _NETWORK},
    },
    "api_version": _text("Web API version", "Empty: v9.2, on premises v9.1.", _ADVANCED),
    "caller_object_id": _text(
        "Caller object ID", "Entra object ID of the user on whose behalf everything is done.", _ADVANCED
    ),
    "allow_metadata_changes": {
        "label": "Allow metadata changes",
        "description": "Let tasks create tables, columns, keys and choices, and import, upgrade and uninstall solutions.",
        "schema": {"type": "boolean", "default": False, "section": _ADVANCED},
    },
    "webhook_secret": _secret(
        "Webhook secret",
        "What Dynamics shows when it posts events to Airflow, 16 characters or more. While you change it: the new key, a space, the old one.",
        _ADVANCED,
    ),
}


def get_provider_info() -> dict[str, Any]:
    """Return the provider's description, as `airflow/provider_info.schema.json` asks for it."""
    modules = {kind: [f"{_PACKAGE}.{kind}"] for kind in ("hooks", "operators", "sensors", "triggers")}
    return {
        "package-name": "airflow-provider-dynamics",
        "name": _PRODUCT,
        "description": "Moves rows between Microsoft Dynamics 365 (Dataverse) and files, tables and lakes.",
        "integrations": [
            {
                "integration-name": _PRODUCT,
                "external-doc-url": "https://learn.microsoft.com/power-apps/developer/data-platform/webapi/overview",
                "tags": ["service"],
            }
        ],
        **{
            kind: [{"integration-name": _PRODUCT, "python-modules": names}] for kind, names in modules.items()
        },
        "transfers": [
            {
                "source-integration-name": _PRODUCT,
                "target-integration-name": _PRODUCT,
                "python-module": f"{_PACKAGE}.transfers",
            }
        ],
        "connection-types": [
            {
                "connection-type": "dynamics",
                "hook-class-name": f"{_PACKAGE}.hooks.DynamicsHook",
                "hook-name": _PRODUCT,
                "ui-field-behaviour": {
                    "hidden-fields": ["schema", "port"],
                    "relabeling": {
                        "host": "Environment URL",
                        "login": "Client ID",
                        "password": "Client secret",
                    },
                    "placeholders": {
                        "host": "https://contoso.crm4.dynamics.com",
                        "login": "Application (client) ID of the app registration",
                        "password": "The secret's Value, not its ID",
                    },
                },
                "conn-fields": _FIELDS,
            }
        ],
        "cli": [f"{_PACKAGE}.cli.get_dynamics_cli_commands"],
        "asset-uris": [
            {
                "schemes": ["dataverse"],
                "handler": f"{_PACKAGE}.assets.sanitize_uri",
                "factory": f"{_PACKAGE}.assets.create_asset",
                "to_openlineage_converter": f"{_PACKAGE}.assets.convert_to_openlineage",
            }
        ],
        "extra-links": [f"{_PACKAGE}.links.DynamicsTableLink", f"{_PACKAGE}.links.DynamicsRowLink"],
        "config": {
            "dynamics": {
                "description": f"Options of the {_PRODUCT} provider.",
                "options": {
                    "allowed_authorities": {
                        "description": (
                            "Sign-in services, besides Microsoft's own, that connections may send their secrets to, and "
                            "on-premises environments outside the domain of their AD FS: host names or URLs, separated by "
                            "commas. This machine itself is always allowed."
                        ),
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "adfs.contoso.com, login.contoso.com:8443",
                        "default": "",
                    },
                    "credential_store": {
                        "description": (
                            "Where renewed refresh tokens are kept: variable (an Airflow Variable, encrypted with the Fernet key), "
                            "none, file:///folder on a volume that all workers share, redis://host:6379/0 (needs the extra redis), "
                            "or the dotted path of a class of your own."
                        ),
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "file:///opt/airflow/dynamics",
                        "default": "variable",
                    },
                    "credential_store_key": {
                        "description": (
                            "The Fernet key that encrypts what a file:// or redis:// store keeps; several, separated by commas, "
                            "while it is exchanged. Empty: Airflow's [core] fernet_key. Without any key these stores do not work."
                        ),
                        "version_added": "0.1.0",
                        "type": "string",
                        "sensitive": True,
                        "example": None,
                        "default": "",
                    },
                },
            }
        },
    }
