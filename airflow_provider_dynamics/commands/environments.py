"""`airflow dynamics environments`: which environments the person who is signed in to a connection may enter."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING

from airflow.utils.cli import suppress_logs_and_warning
from airflow.utils.providers_configuration_loader import providers_configuration_loaded

from airflow_provider_dynamics.auth import AuthenticationError
from airflow_provider_dynamics.commands.connections import find
from airflow_provider_dynamics.commands.terminal import AFTER_CTRL_C, Terminal
from airflow_provider_dynamics.connection import Settings, SettingsError
from airflow_provider_dynamics.dataverse import RetryPolicy
from airflow_provider_dynamics.dataverse.errors import DataverseError
from airflow_provider_dynamics.hooks import sign_in_options

if TYPE_CHECKING:
    from airflow_provider_dynamics.dataverse.administration.discovery import Instance

__all__ = ["as_text", "environments"]


@suppress_logs_and_warning
@providers_configuration_loaded
def environments(args: Namespace) -> None:
    """Print the environments; exit with 1 where they cannot be had."""
    terminal = Terminal()
    try:
        settings = find(args.conn_id, choosing=True)()
        found = settings.environments(**sign_in_options(), retry=RetryPolicy.never())
    except (SettingsError, AuthenticationError, DataverseError) as error:
        terminal.say(str(error))
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        raise SystemExit(AFTER_CTRL_C) from None
    if args.json:
        terminal.say_json([one.to_json() for one in found])
    else:
        terminal.say(as_text(found, settings))


def as_text(found: Sequence[Instance], settings: Settings) -> str:
    """Return the list for people, one environment a line; the connection's own has a star before it."""
    if not found:
        return (
            f"{settings.person or 'Whoever is signed in'} may enter no environment that {settings.directory} lists. "
            "Other clouds have lists of their own: the connection's Cloud says which one is asked."
        )
    rows = [(_mark(one, settings), one.name, one.url, one.region, one.version, _notes(one)) for one in found]
    header = ("", "NAME", "ENVIRONMENT URL", "REGION", "VERSION", "")
    widths = [max(len(row[place]) for row in [header, *rows]) for place in range(len(header))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in [header, *rows]
    ]
    return "\n".join(lines)


def _mark(one: Instance, settings: Settings) -> str:
    return "*" if settings.chosen and settings.environment in {one.url, one.api_url} else ""


def _notes(one: Instance) -> str:
    notes = [
        "" if one.enabled else "disabled",
        "administrator" if one.admin else "",
        f"trial until {one.trial_ends}" if one.trial_ends else "",
    ]
    return ", ".join(filter(None, notes))
