"""`airflow dynamics doctor`: a connection checked step by step, each step named ok or with its cure."""

from __future__ import annotations

import logging
import platform
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version

from airflow.utils.cli import suppress_logs_and_warning
from airflow.utils.providers_configuration_loader import providers_configuration_loaded

from airflow_provider_dynamics.auth import AccessToken
from airflow_provider_dynamics.auth.discovery import find_tenant
from airflow_provider_dynamics.auth.store import Record
from airflow_provider_dynamics.commands.connections import find
from airflow_provider_dynamics.commands.examination import Tools, examine
from airflow_provider_dynamics.commands.findings import as_json, as_text, summary, verdict
from airflow_provider_dynamics.commands.terminal import AFTER_CTRL_C, Terminal
from airflow_provider_dynamics.compat import mask_secret
from airflow_provider_dynamics.connection import Settings
from airflow_provider_dynamics.dataverse import Client, RetryPolicy
from airflow_provider_dynamics.hooks import sign_in_options
from airflow_provider_dynamics.state import credential_store

__all__ = ["REAL", "doctor"]

_PACKAGES = ("airflow-provider-dynamics", "apache-airflow", "msal", "requests")


@suppress_logs_and_warning
@providers_configuration_loaded
def doctor(args: Namespace) -> None:
    """Check the connection, print what was found, and exit with 1 where a check failed."""
    terminal = Terminal()
    found = []
    try:
        for finding in examine(lambda: _read(args.conn_id), REAL, args.table or ()):
            found.append(finding)
            if not args.json:
                text = as_text(finding, width=terminal.width, coloured=terminal.coloured)
                terminal.say(text, styled=True)
    except KeyboardInterrupt:
        raise SystemExit(AFTER_CTRL_C) from None
    if args.json:
        terminal.say_json(as_json(args.conn_id, found, _versions()))
    else:
        terminal.say(f"\n{summary(found)}")
    if verdict(found) == "fail":
        raise SystemExit(1)


def _read(conn_id: str) -> tuple[Settings, list[str]]:
    """Return the settings, and what reading them had to complain about, which would else be in the log only."""
    settings = find(conn_id)
    credential_store()  # where that is set wrongly, nothing can sign in
    with _told() as told:
        return settings(), told


@contextmanager
def _told() -> Iterator[list[str]]:
    """Collect this provider's own warnings, whether or not Airflow's logs are shown."""
    told: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: told.append(record.getMessage())  # type: ignore[method-assign]
    logger, disabled = logging.getLogger("airflow_provider_dynamics"), logging.root.manager.disable
    propagates = logger.propagate
    logger.addHandler(handler)
    logger.propagate = False  # Airflow's silenced handlers raise where something still reaches them
    logging.disable(logging.NOTSET)
    try:
        yield told
    finally:
        logging.disable(disabled)
        logger.propagate = propagates
        logger.removeHandler(handler)


def _tenant(settings: Settings) -> str | None:
    if settings.tenant_id or settings.authority.kind != "entra":
        return settings.tenant_id
    return find_tenant(settings.environment, settings.authority, settings.network)


def _sign_in(settings: Settings) -> AccessToken:
    token = settings.credential(**sign_in_options()).get_token(settings.environment, network=settings.network)
    mask_secret(token.secret)
    return token


def _client(settings: Settings) -> Client:
    return settings.client(**sign_in_options(), retry=RetryPolicy.never())


def _record(settings: Settings) -> Record | None:
    return credential_store().load(settings.store_key)


REAL = Tools(tenant=_tenant, sign_in=_sign_in, client=_client, record=_record)


def _versions() -> dict[str, str]:
    return {"python": platform.python_version(), **{package: _version(package) for package in _PACKAGES}}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
