"""`airflow dynamics webhook …`: what Dynamics posts to Airflow, shown, registered and removed."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from airflow.configuration import conf
from airflow.utils.cli import suppress_logs_and_warning
from airflow.utils.providers_configuration_loader import providers_configuration_loaded

from airflow_provider_dynamics.auth import AuthenticationError
from airflow_provider_dynamics.commands.connections import find
from airflow_provider_dynamics.commands.terminal import AFTER_CTRL_C, Terminal
from airflow_provider_dynamics.connection import Settings, SettingsError
from airflow_provider_dynamics.connection.webhook_address import webhook_name, webhook_url
from airflow_provider_dynamics.dataverse import Client, RetryPolicy, Step, Webhook
from airflow_provider_dynamics.dataverse.administration.endpoints import MESSAGES, Registration
from airflow_provider_dynamics.dataverse.errors import DataverseError
from airflow_provider_dynamics.hooks import sign_in_options

__all__ = ["as_text", "list_webhooks", "register", "remove", "told"]


@suppress_logs_and_warning
@providers_configuration_loaded
def list_webhooks(args: Namespace) -> None:
    """Print every webhook of the environment and its steps; exit with 1 where they cannot be had."""
    terminal = Terminal()
    with _said_on(terminal), _client(_settings(args)) as client:
        found = client.webhooks.all()
        if args.json:
            terminal.say_json([_as_json(one) for one in found])
        else:
            terminal.say(as_text(found, _own_url(args), client.environment))


@suppress_logs_and_warning
@providers_configuration_loaded
def register(args: Namespace) -> None:
    """Have the tables' changes posted to this Airflow; exit with 1 where that cannot be."""
    terminal = Terminal()
    with _said_on(terminal):
        settings = _settings(args)
        if not settings.webhook_keys:
            raise SettingsError(
                "The connection has no Webhook secret, with which Dynamics proves itself. Make one with `openssl rand -hex 32`, "
                "and enter it in the connection."
            )
        url = args.url or _url(args)
        columns = frozenset(args.column or ())
        steps = [
            Step(table, message, columns if message.lower() == "update" else frozenset())
            for table in args.table or ()
            for message in args.message or MESSAGES
        ]
        with _client(settings) as client:
            done = client.webhooks.register(webhook_name(url), url, settings.webhook_keys[0], steps)
        _say(terminal, done, json=args.json)


@suppress_logs_and_warning
@providers_configuration_loaded
def remove(args: Namespace) -> None:
    """Have nothing posted any more, for some tables or for all; exit with 1 where that cannot be."""
    terminal = Terminal()
    with _said_on(terminal), _client(_settings(args)) as client:
        done = client.webhooks.remove(webhook_name(args.url or _url(args)), args.table or ())
        _say(terminal, done, json=args.json)


def as_text(found: Sequence[Webhook], own_url: str, environment: str) -> str:
    """Return webhooks for people; the one that posts to this connection's door has a star before it."""
    if not found:
        return f"{environment} posts to no webhook. `airflow dynamics webhook register CONN_ID --table account` makes one."
    lines = []
    for one in found:
        lines.append(f"{'*' if one.url == own_url else ' '} {one.name}")
        lines.append(f"    {one.url}{'' if one.key_is_set else '  (no key is set)'}")
        lines += [f"    {_step(step)}" for step in sorted(one.steps, key=lambda step: step.of)] or [
            "    no steps"
        ]
    return "\n".join(lines)


def told(done: Registration) -> str:
    """Return what was done, a line for each kind of thing."""
    lines = [f"{done.name}: {done.endpoint}"]
    for what in ("created", "updated", "removed", "unchanged"):
        steps = getattr(done, what)
        lines += [f"  {what:<9}  {', '.join(steps)}"] if steps else []
    return "\n".join(lines)


def _step(step: Step) -> str:
    notes = [
        f"of {', '.join(sorted(step.columns))}" if step.columns else "",
        "" if step.mode == "asynchronous" else step.mode,
        "" if step.enabled else "off",
    ]
    said = ", ".join(filter(None, notes))
    return f"{step}{f' ({said})' if said else ''}"


def _as_json(one: Webhook) -> dict[str, Any]:
    return {**asdict(one), "steps": [{**asdict(step), "columns": sorted(step.columns)} for step in one.steps]}


def _say(terminal: Terminal, done: Registration, *, json: bool) -> None:
    if json:
        terminal.say_json(asdict(done))
    else:
        terminal.say(told(done))


def _settings(args: Namespace) -> Settings:
    return find(args.conn_id, environment=args.environment)()


def _url(args: Namespace) -> str:
    return webhook_url(conf.get("api", "base_url", fallback="") or "", args.conn_id, args.environment)


def _own_url(args: Namespace) -> str:
    """Return the URL of the connection's door, "" where this Airflow knows none: what is there can be shown all the same."""
    try:
        return _url(args)
    except SettingsError:
        return ""


def _client(settings: Settings) -> Client:
    return settings.client(**sign_in_options(), retry=RetryPolicy.never())


@contextmanager
def _said_on(terminal: Terminal) -> Iterator[None]:
    """Say an error in its own words, and end the command."""
    try:
        yield
    except (SettingsError, AuthenticationError, DataverseError) as error:
        terminal.say(str(error))
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        raise SystemExit(AFTER_CTRL_C) from None
