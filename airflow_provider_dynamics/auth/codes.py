"""What sign-in services answer with, as tables: Entra's and AD FS's codes, OAuth's errors, and what breaks before an answer.

Each row says who has to act, what is wrong and what to do. The texts name facts in braces, which `causes` fills
in for the way of signing in and the kind of authority, so that nobody is sent to a page they do not have.
https://learn.microsoft.com/entra/identity-platform/reference-error-codes
https://learn.microsoft.com/windows-server/identity/ad-fs/troubleshooting/ad-fs-tshoot-overview
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = ["ADFS", "BREAKS", "ELSEWHERE", "ENTRA", "ERRORS", "SUBERRORS", "Cause", "Kind"]

Kind = Literal["transient", "permanent", "needs-interaction", "needs-admin"]


@dataclass(frozen=True)
class Cause:
    """One row of a table; both texts may name the facts that `causes` knows, the last of them without a full stop.

    `spares` marks a refusal that leaves what was signed in with good: a policy, a second factor, consent.
    `quotes` passes the service's own line on, where it names a value that the remedy needs. `wait` is how many
    seconds to leave the service alone where it names no time, `patience` how many a client should go on asking
    (None: as long as it likes).
    """

    kind: Kind
    cause: str
    remedy: str
    spares: bool = False
    quotes: bool = False
    wait: float | None = None
    patience: float | None = None


_TENANT_PAGE = "Entra admin center > Overview"
_WAIT = "It is tried again; if it lasts for more than an hour, check Azure's status page and open a support ticket"
_LOOK_UP = "Give {admin} the correlation ID: the sign-in logs name the policy"

_BUSY = Cause("transient", "The sign-in service has a passing problem.", _WAIT)
_AGENT_BUSY = Cause(
    "transient",
    "The company's own directory did not confirm the password in time.",
    "It is tried again; if it lasts, ask {admin} to look at the pass-through authentication agents",
)

# --- the app -------------------------------------------------------------------------------------------------

_WRONG_PROOF = Cause(
    "permanent",
    "The app could not prove who it is.",
    "Check Client ID and {proof} against {secrets_page}",
)
_WRONG_APP = Cause(
    "permanent",
    "Tenant {tenant} knows no app {client_id}: one of the two is wrong, or the app was never admitted to this tenant.",
    "Compare Client ID and Tenant ID with the app registration; for another tenant's app {consent}",
)
_DISABLED_APP = Cause(
    "needs-admin",
    "App {client_id} is switched off in tenant {tenant}.",
    "Ask {admin} to enable it: Enterprise applications > {client_id} > Properties > Enabled for users to sign in",
)
_WRONG_CERTIFICATE = Cause(
    "permanent",
    "The app registration does not know this certificate, or the private key belongs to another one.",
    "Upload the public certificate under {secrets_page}, and check that Private key and Certificate are a pair that has not expired",
)
_NO_FEDERATION = Cause(
    "permanent",
    "No federated credential of app {client_id} fits the token that was presented.",
    "Set issuer, subject and audience under {secrets_page} > Federated credentials exactly as the token has them; "
    "a new one works after a few minutes",
    quotes=True,
)
_UNLISTED_PERMISSION = Cause(
    "permanent",
    "The registration of app {client_id} does not list Dynamics among its permissions.",
    "Add API permission Dynamics CRM > user_impersonation under {app_page} > API permissions, and have it granted there",
    spares=True,
)

# --- the address ---------------------------------------------------------------------------------------------

_NOT_ONE_TENANT = Cause(
    "permanent",
    "The Tenant ID is not one tenant: an app signs in to exactly one.",
    f"Set Tenant ID to the directory's GUID or one of its domains ({_TENANT_PAGE})",
)
_WRONG_CLOUD = Cause(
    "permanent",
    "Tenant and sign-in address belong to different national clouds.",
    "Set Cloud to the one that hosts tenant {tenant}, and register the app there",
)
_WRONG_SCOPE = Cause(
    "permanent",
    "The scope '{scope}' is not one that {environment} offers.",
    "Leave Scope empty, so that the environment's own is asked for, and check the Environment URL",
)
_TWO_RESOURCES = Cause(
    "permanent",
    "The scope '{scope}' mixes permissions of several services, and a token is for one.",
    "Leave Scope empty; User.Read and other Microsoft Graph permissions do not belong there",
)
_WRONG_ENVIRONMENT = Cause(
    "permanent",
    "Tenant {tenant} has no environment {environment}.",
    "Check the Environment URL for typing errors, and that Tenant ID is the tenant that owns this environment",
)
_WRONG_REDIRECT = Cause(
    "permanent",
    "The address to come back to after signing in is not registered for app {client_id}.",
    "Add it, letter for letter, under {app_page} > Authentication: platform Web for the sign-in page, "
    "Mobile and desktop applications for http://localhost",
    quotes=True,
)

# --- consent and policies ------------------------------------------------------------------------------------

_NO_CONSENT = Cause(
    "needs-admin", "Nobody has admitted app {client_id} to {place}.", "{consent}", spares=True
)
_NOT_ASSIGNED = Cause(
    "needs-admin",
    "Whoever signs in is not assigned to app {client_id}.",
    "Ask {admin} to assign them (Enterprise applications > {client_id} > Users and groups), or to turn off 'Assignment required'",
    spares=True,
)
_BLOCKED = Cause(
    "needs-admin",
    "A Conditional Access policy of tenant {tenant} stopped the sign-in.",
    f"{_LOOK_UP}; have this worker's address or app {{client_id}} excluded from it",
    spares=True,
)
_NO_DEVICE = Cause(
    "needs-admin",
    "A policy of tenant {tenant} asks for a managed device, which no worker is.",
    f"{_LOOK_UP}; have it exclude this account, or {{unattended}}",
    spares=True,
)
_OTHER_TENANTS = Cause(
    "needs-admin",
    "The tenants' settings for access across tenants do not allow this sign-in.",
    "Ask the administrators of both tenants to allow it (External Identities > Cross-tenant access settings)",
    spares=True,
)
_SECOND_FACTOR = Cause(
    "needs-interaction",
    "A second factor is asked for, which only a person can give.",
    "{again}; for runs without a person, {unattended}",
    spares=True,
)
_REGISTER_FACTOR = Cause(
    "needs-interaction",
    "The account has to register a second factor first.",
    "Sign in once at https://mysignins.microsoft.com/security-info and register; then {again}",
    spares=True,
)

# --- the person ----------------------------------------------------------------------------------------------

_REVOKED = Cause(
    "needs-interaction",
    "The sign-in was ended: the password was changed or reset, or an administrator revoked the sessions.",
    "{again}; for runs without a person, {unattended}",
)
_WRONG_PASSWORD = Cause(
    "permanent",
    "User name or password is wrong.",
    "Correct User name and User password; further attempts may lock the account",
)
_OLD_PASSWORD = Cause(
    "needs-interaction",
    "The password has expired.",
    "Change it, then put the new one into User password; better, {unattended}",
)
_CODE_FAILED = Cause(
    "needs-interaction",
    "This attempt to sign in was not finished in one go, or was used already.",
    "Start it again: Admin > Microsoft Dynamics 365 > Sign in, or `airflow dynamics login CONN_ID`",
)
_DEVICE_CODE_FAILED = Cause(
    "needs-interaction",
    "The code that was shown is used up, too old, or was typed differently.",
    "Run `airflow dynamics login CONN_ID` again and enter the code it shows within its minutes",
)

ENTRA: Mapping[int, Cause] = {
    7000215: Cause(
        "permanent",
        "The client secret is wrong; often it is the secret's ID that was pasted.",
        "Paste the secret's Value into Client secret ({secrets_page}); the page shows it once, so create a new one if it is lost",
    ),
    7000222: Cause(
        "permanent",
        "The client secret has expired.",
        "Create a new secret ({secrets_page}) and put its Value into the connection's Client secret",
    ),
    70002: _WRONG_PROOF,
    7000218: Cause(
        "permanent",
        "The app registration asks for a secret or a certificate, and the sign-in carried none.",
        "Fill in Client secret in the connection; for an app without one turn on Allow public client flows ({app_page} > Authentication)",
    ),
    700025: Cause(
        "permanent",
        "App {client_id} is registered as a public client, which has no secret.",
        "Leave Client secret empty for a signed-in user; otherwise use an app registration of platform Web",
    ),
    700027: _WRONG_CERTIFICATE,
    50012: _WRONG_CERTIFICATE,
    700030: Cause(
        "permanent",
        "The app registration does not trust the certificate's subject name.",
        "Have {admin} add subject and issuer, or upload this very certificate under {secrets_page}",
    ),
    700024: Cause(
        "permanent",
        "What the app signed is too old or not valid yet: this worker's clock is wrong, or the federated token file is stale.",
        "Set the worker's clock by NTP; with workload identity see that the platform renews the file",
    ),
    50013: Cause(
        "permanent",
        "The token that was presented as proof is not acceptable.",
        "Check who issues the Federated token file, for which audience and until when",
        quotes=True,
    ),
    50048: Cause(
        "permanent",
        "Subject and issuer of the proof do not name the same app.",
        "Check that Client ID is the app that the federated token was issued to",
    ),
    70021: _NO_FEDERATION,
    700213: _NO_FEDERATION,
    700211: _NO_FEDERATION,
    700212: _NO_FEDERATION,
    700229: Cause(
        "permanent",
        "Entra takes a token of its own as proof only where an app or a managed identity got it, not a person.",
        "Let the Federated token file hold a managed identity's token",
    ),
    700016: _WRONG_APP,
    700011: _WRONG_APP,
    7000229: _WRONG_APP,
    70001: _DISABLED_APP,
    7000112: _DISABLED_APP,
    900144: Cause(
        "permanent",
        "The sign-in lacked a value that Entra needs.",
        "Check that Client ID, Tenant ID and {proof} are all filled in",
        quotes=True,
    ),
    9002313: Cause(
        "permanent",
        "The request is damaged; usually a refresh token was pasted with quotes, with a line break or not to its end.",
        "Paste the whole Refresh token again, or better {again}",
    ),
    90002: Cause(
        "permanent",
        "There is no tenant '{tenant}' at {authority_host}: a typing error, or another national cloud's tenant.",
        f"Check Tenant ID ({_TENANT_PAGE}), and that Cloud and Environment URL belong together",
    ),
    900023: Cause(
        "permanent",
        "'{tenant}' is neither a tenant's GUID nor a domain name.",
        f"Copy the Tenant ID from {_TENANT_PAGE}, or use a domain such as contoso.onmicrosoft.com",
    ),
    50059: _NOT_ONE_TENANT,
    50128: _NOT_ONE_TENANT,
    50194: _NOT_ONE_TENANT,
    9001023: _NOT_ONE_TENANT,
    90038: _WRONG_CLOUD,
    900382: _WRONG_CLOUD,
    50049: Cause(
        "permanent",
        "{authority_host} is not a sign-in address that Entra knows.",
        "Leave Authority empty and set Cloud",
    ),
    500011: _WRONG_ENVIRONMENT,
    50001: _WRONG_ENVIRONMENT,
    650052: Cause(
        "needs-admin",
        "Tenant {tenant} has no subscription to Dynamics 365, or it is switched off.",
        "Ask an administrator whether Dataverse is set up in this tenant",
        spares=True,
    ),
    650057: _UNLISTED_PERMISSION,
    65005: _UNLISTED_PERMISSION,
    70011: _WRONG_SCOPE,
    28002: _WRONG_SCOPE,
    1002012: _WRONG_SCOPE,
    28000: _TWO_RESOURCES,
    700022: _TWO_RESOURCES,
    901002: Cause(
        "permanent",
        "Entra does not take a resource here; that field is for AD FS.",
        "Leave AD FS resource empty",
    ),
    50011: _WRONG_REDIRECT,
    70004: _WRONG_REDIRECT,
    70003: Cause(
        "permanent",
        "{authority_host} does not offer this way of signing in.",
        "Choose another Auth type",
    ),
    65001: _NO_CONSENT,
    650056: _NO_CONSENT,
    90094: _NO_CONSENT,
    90095: _NO_CONSENT,
    90008: _NO_CONSENT,
    65004: Cause(
        "needs-interaction",
        "Whoever signed in did not agree to what app {client_id} asks for.",
        "Sign in again and choose Accept (Admin > Microsoft Dynamics 365 > Sign in), or {consent}",
        spares=True,
    ),
    50105: _NOT_ASSIGNED,
    501051: _NOT_ASSIGNED,
    700082: Cause(
        "needs-interaction",
        "The refresh token was not used for 90 days and has expired.",
        "{again}; then keep it alive with DynamicsRefreshTokenOperator once a week",
    ),
    70008: Cause(
        "needs-interaction", "The refresh token, or the code it comes from, has expired.", "{again}"
    ),
    70000: Cause(
        "needs-interaction",
        "The refresh token is damaged, or was issued to another app than {client_id}.",
        "Check Client ID; then {again}",
    ),
    700084: Cause(
        "needs-interaction",
        "The refresh token is of a single-page application: those live for 24 hours, whatever is done.",
        "Register the redirect URI under platform Web ({app_page} > Authentication); then {again}",
    ),
    50173: _REVOKED,
    50132: _REVOKED,
    50133: _REVOKED,
    70043: Cause(
        "needs-interaction",
        "A Conditional Access policy asks for a fresh sign-in every so often, and that time is over.",
        "{again}; have {admin} exclude this account from the sign-in frequency, or {unattended}",
        spares=True,
    ),
    700020: Cause("needs-interaction", "A person must take part in this sign-in.", "{again}", spares=True),
    9002341: Cause(
        "needs-interaction", "The person has to allow single sign-on in a browser.", "{again}", spares=True
    ),
    50089: _CODE_FAILED,
    54005: _CODE_FAILED,
    501481: _CODE_FAILED,
    700005: Cause(
        "permanent",
        "The sign-in was begun in one tenant and ended in another.",
        "Set Tenant ID to the tenant that owns {environment}, and start again: Admin > Microsoft Dynamics 365 > Sign in",
    ),
    50076: _SECOND_FACTOR,
    50074: _SECOND_FACTOR,
    50078: _SECOND_FACTOR,
    50158: _SECOND_FACTOR,
    50072: _REGISTER_FACTOR,
    50079: _REGISTER_FACTOR,
    53003: _BLOCKED,
    530032: _BLOCKED,
    530035: Cause(
        "needs-admin",
        "The tenant's security defaults do not allow a sign-in by user name and password.",
        "Choose Auth type Signed-in user, or {unattended}",
        spares=True,
    ),
    53000: _NO_DEVICE,
    53001: _NO_DEVICE,
    53002: _BLOCKED,
    53004: _REGISTER_FACTOR,
    53011: Cause(
        "needs-admin",
        "Entra holds the account back because something about it looks risky.",
        "Ask {admin} to look at it in Identity Protection and clear the risk",
        spares=True,
    ),
    500021: Cause(
        "needs-admin",
        "The network's tenant restrictions do not let this worker sign in to tenant {tenant}.",
        "Ask the network's administrator to allow the tenant on the proxy (Restrict-Access-To-Tenants)",
        spares=True,
    ),
    500212: _OTHER_TENANTS,
    500213: _OTHER_TENANTS,
    50126: _WRONG_PASSWORD,
    50034: Cause(
        "permanent",
        "Tenant {tenant} has no such user.",
        "Check User name and Tenant ID",
    ),
    50053: Cause(
        "needs-admin",
        "The account is locked after too many attempts, or this worker's address is held to be malicious.",
        "Pause the DAGs that use this connection, correct User password, and ask {admin} to look at the sign-in logs",
    ),
    50055: _OLD_PASSWORD,
    50144: _OLD_PASSWORD,
    50056: Cause(
        "permanent",
        "This user has no password in Entra: the account is federated or signs in without one.",
        "Choose Auth type Signed-in user, or {unattended}",
    ),
    50057: Cause(
        "needs-admin",
        "The user's account is switched off.",
        "Ask {admin} to enable it, or sign in as somebody else: Admin > Microsoft Dynamics 365 > Sign in",
    ),
    50020: Cause(
        "needs-admin",
        "The user belongs to another tenant and is no guest in {tenant}.",
        "Sign in as a user of tenant {tenant}, or have them invited",
    ),
    500208: Cause(
        "permanent", "A personal Microsoft account cannot be used.", "Sign in with a work or school account"
    ),
    70016: Cause("transient", "The person has not finished signing in yet.", "Go on waiting"),
    70018: _DEVICE_CODE_FAILED,
    70019: _DEVICE_CODE_FAILED,
    90120: _DEVICE_CODE_FAILED,
    50000: _BUSY,
    50033: _BUSY,
    50087: _BUSY,
    90006: _BUSY,
    90012: _BUSY,
    90024: _BUSY,
    90033: _BUSY,
    90090: _BUSY,
    80001: _AGENT_BUSY,
    80002: _AGENT_BUSY,
    80005: _AGENT_BUSY,
    90055: Cause(
        "transient",
        "Tenant {tenant} asks for more tokens than Entra allows at once.",
        "It is tried again; if it keeps happening, run fewer tasks at the same time, since each process signs in once",
    ),
    50196: Cause(
        "transient",
        "The same sign-in was repeated too often in a short time.",
        "Wait a few minutes; run fewer tasks at the same time",
        wait=300,
    ),
}

# --- AD FS: MSIS… in the description -------------------------------------------------------------------------

_UNREGISTERED = Cause(
    "permanent",
    "AD FS has no client {client_id}.",
    "Correct Client ID, or have {admin} register it (Application Groups, or Add-AdfsClient)",
)
_NO_PERMISSION = Cause(
    "needs-admin",
    "AD FS does not let client {client_id} ask for {environment}.",
    "{consent}",
    spares=True,
)

ADFS: Mapping[int, Cause] = {
    9602: Cause(
        "permanent",
        "AD FS knows no relying party by the resource that was asked for.",
        "Set AD FS resource to the relying party's identifier (Get-AdfsRelyingPartyTrust shows it); a slash at its end counts",
        quotes=True,
    ),
    9605: _NO_PERMISSION,
    9321: _NO_PERMISSION,
    9607: _UNREGISTERED,
    9223: _UNREGISTERED,
    9622: _WRONG_PROOF,
    9659: Cause(
        "permanent",
        "User name or password is wrong.",
        "Correct User name (user@domain or DOMAIN\\user) and User password",
    ),
    9611: Cause(
        "permanent",
        "This AD FS only signs in people in a browser (Windows Server 2012 R2).",
        "Choose Auth type Signed-in user and sign in, or have AD FS upgraded",
    ),
    9612: _CODE_FAILED,
    9614: Cause(
        "needs-interaction",
        "The refresh token is not one of this client and resource.",
        "Check Client ID and AD FS resource; then {again}",
    ),
    9615: Cause(
        "needs-interaction",
        "The refresh token has expired: AD FS lets it live for 8 hours unless it is told otherwise.",
        "{again}; an administrator can let it live longer (Set-AdfsProperties -SsoLifetime or -EnableKmsi)",
    ),
    9224: Cause(
        "permanent",
        "The address to come back to after signing in is not registered for client {client_id}.",
        "Have {admin} add it, letter for letter (Set-AdfsNativeClientApplication or Set-AdfsClient, -RedirectUri)",
        quotes=True,
    ),
}

# --- OAuth: https://www.rfc-editor.org/rfc/rfc6749#section-5.2 and what Entra and OpenID Connect add --------------

ERRORS: Mapping[str, Cause] = {
    "invalid_client": _WRONG_PROOF,
    "unauthorized_client": Cause(
        "permanent",
        "Client {client_id} may not sign in this way.",
        "Compare Client ID and Auth type with {app_page}",
    ),
    "invalid_request": Cause(
        "permanent",
        "The sign-in service could not make sense of the request.",
        "Check Client ID, {proof}, {address} and the Environment URL",
    ),
    "invalid_scope": _WRONG_SCOPE,
    "invalid_resource": _WRONG_ENVIRONMENT,
    "invalid_target": _WRONG_ENVIRONMENT,
    "invalid_tenant": _NOT_ONE_TENANT,
    "invalid_instance": Cause(
        "permanent",
        "{authority_host} is not a sign-in address that Entra knows.",
        "Leave Authority empty and set Cloud",
    ),
    "unsupported_grant_type": Cause(
        "permanent",
        "The sign-in service does not offer this way of signing in.",
        "Choose another Auth type",
    ),
    "invalid_grant": Cause(
        "needs-interaction", "What the connection signs in with is not valid any more.", "{again}"
    ),
    "interaction_required": Cause(
        "needs-interaction",
        "A person must take part in this sign-in.",
        "{again}; for runs without a person, {unattended}",
        spares=True,
    ),
    "login_required": Cause("needs-interaction", "A person must sign in.", "{again}", spares=True),
    "consent_required": _NO_CONSENT,
    "access_denied": Cause(
        "needs-admin",
        "The sign-in was not allowed, by a policy or by whoever was asked.",
        "Sign in again and choose Accept; if it repeats, ask {admin} to look at the sign-in logs",
        spares=True,
    ),
    "authorization_declined": Cause(
        "needs-interaction",
        "Whoever was asked to sign in declined.",
        "Start again: Admin > Microsoft Dynamics 365 > Sign in, or `airflow dynamics login CONN_ID`",
        spares=True,
    ),
    "authorization_pending": Cause(
        "transient", "The person has not finished signing in yet.", "Go on waiting"
    ),
    "slow_down": Cause("transient", "The service was asked too often.", "Go on waiting"),
    "expired_token": _DEVICE_CODE_FAILED,
    "bad_verification_code": _DEVICE_CODE_FAILED,
    "temporarily_unavailable": _BUSY,
    "server_error": _BUSY,
}

ELSEWHERE: Mapping[str, Cause] = {
    name: Cause(
        "permanent",
        "{authority_host} issues no tokens for {environment}.",
        "Check the Environment URL, and AD FS resource where it is filled in: the relying party's identifier, letter for letter",
        quotes=True,
    )
    for name in ("invalid_resource", "invalid_target")
}
"""What is said in place of ERRORS' row where the authority is not Entra."""

# `suberror`: https://learn.microsoft.com/entra/msal/dotnet/advanced/exceptions/msal-error-handling
SUBERRORS: Mapping[str, Cause] = {
    "consent_required": _NO_CONSENT,
    "user_password_expired": _OLD_PASSWORD,
    **dict.fromkeys(("basic_action", "additional_action", "message_only"), ERRORS["interaction_required"]),
}

# --- what stops a sign-in before any service has answered in OAuth's words ------------------------------------

BREAKS: Mapping[str, Cause] = {
    "unreachable": Cause(
        "transient",
        "{authority_host} could not be reached.",
        "Allow this worker to connect to https://{authority_host}, or fill in Proxy in the connection",
    ),
    "timeout": Cause(
        "transient",
        "{authority_host} did not answer in time.",
        "It is tried again; if it lasts, check the worker's network or proxy, or raise Request timeout",
    ),
    "certificate": Cause(
        "permanent",
        "The certificate that {authority_host} shows is not trusted here.",
        "Where a company proxy or a private authority signs certificates, put its file into CA bundle; a certificate that "
        "misses something, which Python minds since 3.13, has to be issued anew",
    ),
    "ca bundle": Cause(
        "permanent",
        "The CA bundle cannot be read on this worker.",
        "Correct CA bundle, or put the file on every worker and triggerer",
    ),
    "proxy": Cause(
        "transient",
        "The proxy did not let the sign-in through.",
        "Check Proxy in the connection (or HTTPS_PROXY of the worker), its user name and password included",
    ),
    "redirect": Cause(
        "permanent",
        "{authority_host} answered with a redirect, which is not followed, since secrets would go along.",
        "Check {address}; a proxy with a log-in page answers like this too",
    ),
    "other host": Cause(
        "permanent",
        "{authority_host} wants the sign-in sent to another host, which is not done.",
        "Check {address}",
    ),
    "busy": _BUSY,
    "not json": Cause(
        "permanent",
        "What answered in place of {authority_host} is not a sign-in service.",
        "Check the worker's proxy or firewall, which may answer with a page of its own, then {address}",
        patience=15,
    ),
    "discovery": Cause(
        "permanent",
        "{authority_host} has no configuration for {place}.",
        "Check {address}",
    ),
    "library": Cause(
        "permanent",
        "MSAL could not sign in.",
        "Check {address}",
    ),
    "managed identity": Cause(
        "permanent",
        "This worker has no managed identity that would answer.",
        "Assign the identity to the machine or pod and check Managed identity client ID, or choose another Auth type",
    ),
    "tenant unknown": Cause(
        "permanent",
        "{environment} did not name the tenant it belongs to.",
        f"Fill in Tenant ID ({_TENANT_PAGE}), and check the Environment URL",
    ),
    "declined": Cause(
        "needs-interaction",
        "Whoever was asked to sign in declined.",
        "Start again and choose Accept: Admin > Microsoft Dynamics 365 > Sign in, or `airflow dynamics login CONN_ID`",
        spares=True,
    ),
    "state": Cause(
        "permanent",
        "The answer does not belong to the sign-in that was begun here.",
        "Start again: Admin > Microsoft Dynamics 365 > Sign in, or `airflow dynamics login CONN_ID`",
        spares=True,
    ),
}
