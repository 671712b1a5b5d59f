"""`airflow dynamics …`: which commands there are and what they take; what they do is in `commands`.

Every airflow command imports this module, so it imports nothing but the definitions' own types.
https://airflow.apache.org/docs/apache-airflow/stable/howto/create-custom-providers.html
"""

from __future__ import annotations

from typing import Any

from airflow.cli.cli_config import ARG_VERBOSE, ActionCommand, Arg, GroupCommand, lazy_load_command

__all__ = ["get_dynamics_cli_commands"]

_COMMANDS = "airflow_provider_dynamics.commands"


def _arg(*flags: str, **options: Any) -> Arg:
    return Arg(flags, **options)  # type: ignore[no-untyped-call]  # Airflow's own


_CONN_ID = _arg(
    "conn_id", nargs="?", default="dynamics_default", help="the connection's id (dynamics_default)"
)
_JSON = _arg("--json", action="store_true", help="print one JSON document instead of text")
_BROWSER = _arg(
    "--browser",
    action="store_true",
    help="sign in with a browser on this machine instead of entering a code on another one",
)
_PORT = _arg(
    "--port",
    type=int,
    metavar="PORT",
    help="with --browser: the port to listen on (a free one); the redirect URI is then http://localhost:PORT",
)
_TABLE = _arg(
    "--table",
    action="append",
    metavar="TABLE",
    help="a table to check, by its logical name; may be given several times (account and contact)",
)
_WATCHED = _arg(
    "--table",
    action="append",
    metavar="TABLE",
    required=True,
    help="a table whose changes are posted, by its logical name; may be given several times",
)
_UNWATCHED = _arg(
    "--table",
    action="append",
    metavar="TABLE",
    help="a table whose changes are no longer posted; may be given several times (all)",
)
_MESSAGE = _arg(
    "--message",
    action="append",
    metavar="MESSAGE",
    help="what to be told of; may be given several times (Create, Update and Delete)",
)
_COLUMN = _arg(
    "--column",
    action="append",
    metavar="COLUMN",
    help="post an update only where one of these columns was sent; may be given several times (any column)",
)
_URL = _arg(
    "--url", metavar="URL", help="where to post to (the connection's door below Airflow's own base_url)"
)
_ENVIRONMENT = _arg(
    "--environment",
    metavar="URL",
    help="another environment of the same cloud to work in (the connection's own)",
)
_CODE = _arg("code", metavar="CODE", help="such as AADSTS7000222, 7000222, MSIS9605 or 0x80072560")


def get_dynamics_cli_commands() -> list[GroupCommand]:
    """Return what Airflow's command line shows; the provider's description names this function."""
    return [
        GroupCommand(
            name="dynamics",
            help="Sign in to Microsoft Dynamics 365 and find out what is wrong",
            subcommands=_ALL,
        )
    ]


_WEBHOOK = (
    ActionCommand(
        name="list",
        help="List what the connection's environment posts, and where to",
        func=lazy_load_command(f"{_COMMANDS}.webhooks.list_webhooks"),
        args=(_CONN_ID, _ENVIRONMENT, _JSON, ARG_VERBOSE),
    ),
    ActionCommand(
        name="register",
        help="Have Dynamics post tables' changes to this Airflow",
        description=(
            "Have Dynamics post the changes of tables to this Airflow, where they become events of the tables' assets. The "
            "connection's Webhook secret is what Dynamics proves itself with; run this again after you changed it."
        ),
        func=lazy_load_command(f"{_COMMANDS}.webhooks.register"),
        args=(_CONN_ID, _ENVIRONMENT, _WATCHED, _MESSAGE, _COLUMN, _URL, _JSON, ARG_VERBOSE),
    ),
    ActionCommand(
        name="remove",
        help="Have Dynamics post no more to this Airflow",
        func=lazy_load_command(f"{_COMMANDS}.webhooks.remove"),
        args=(_CONN_ID, _ENVIRONMENT, _UNWATCHED, _URL, _JSON, ARG_VERBOSE),
    ),
)
_ALL: tuple[ActionCommand | GroupCommand, ...] = (
    ActionCommand(
        name="login",
        help="Sign a person in and keep the sign-in in the connection",
        description=(
            "Sign a person in and keep the sign-in in the connection, whose Auth type becomes Signed-in user. "
            "Without --browser a code is shown, to be entered in a browser on any machine."
        ),
        func=lazy_load_command(f"{_COMMANDS}.login.login"),
        args=(_CONN_ID, _BROWSER, _PORT, ARG_VERBOSE),
    ),
    ActionCommand(
        name="doctor",
        help="Check a connection step by step and name the cure for what is wrong",
        description=(
            "Check a connection step by step, from its fields to the tables it may read. "
            "Nothing is changed. The exit code is 1 when a check fails."
        ),
        func=lazy_load_command(f"{_COMMANDS}.doctor.doctor"),
        args=(_CONN_ID, _TABLE, _JSON, ARG_VERBOSE),
    ),
    ActionCommand(
        name="environments",
        help="List the environments that the person signed in to a connection may enter",
        description=(
            "List the environments of the connection's cloud that the person who is signed in to it may enter, as Microsoft's "
            "Global Discovery service knows them. The connection's own has a star; its Environment URL may be empty."
        ),
        func=lazy_load_command(f"{_COMMANDS}.environments.environments"),
        args=(_CONN_ID, _JSON, ARG_VERBOSE),
    ),
    ActionCommand(
        name="errors",
        help="Explain a code that Entra ID, AD FS or Dataverse has answered with",
        func=lazy_load_command(f"{_COMMANDS}.errors.explain_error"),
        args=(_CODE, _JSON),
    ),
    GroupCommand(
        name="webhook",
        help="Have Dynamics post its changes to this Airflow",
        subcommands=_WEBHOOK,
    ),
)
