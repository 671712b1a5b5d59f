"""What the page says where something is refused or fails, each kind with its status; no text of an unforeseen error is shown."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Mapping
from typing import TYPE_CHECKING

from airflow_provider_dynamics.auth.causes import AuthenticationError
from airflow_provider_dynamics.auth.store import StoreError
from airflow_provider_dynamics.connection import SettingsError
from airflow_provider_dynamics.dataverse.errors import DataverseError
from airflow_provider_dynamics.sign_in import pages
from airflow_provider_dynamics.sign_in.state import Refused
from airflow_provider_dynamics.stored import NotStored

if TYPE_CHECKING:
    from starlette.responses import Response

    from airflow_provider_dynamics.sign_in.pages import Site

__all__ = ["Forbidden", "NoForm", "Unseen", "refusal"]

log = logging.getLogger(__name__)

_BROKEN = "An unforeseen error; the API server's log says where. Whether anything was changed is on the list: look there, then try again."


class Forbidden(Exception):
    """Somebody may not do what they asked for."""


class Unseen(Forbidden):
    """Somebody may not even see the list, so there is no way back to it."""


class NoForm(Exception):
    """What was sent is no form of this page's; the text says what it is instead."""


def refusal(site: Site, error: Exception) -> Response:
    """Return a page that says what stood in the way; of an error without words of its own only where it arose is logged."""
    for kind, (status, title) in _TITLES.items():
        if isinstance(error, kind):
            listed = not isinstance(error, Unseen)
            return pages.page("refusal", site, status, title=title, text=str(error), listed=listed)
    frames = "".join(traceback.format_tb(error.__traceback__))  # its text may hold a secret
    log.error("The sign-in page failed with %s:\n%s", type(error).__name__, frames)
    return pages.page("refusal", site, 500, title="Something went wrong", text=_BROKEN)


_TITLES: Mapping[type[Exception], tuple[int, str]] = {
    Forbidden: (403, "You may not do this"),
    NotStored: (409, "This connection cannot be changed here"),
    StoreError: (503, "The credential store did not answer"),
    SettingsError: (409, "The connection is not complete"),
    AuthenticationError: (502, "The sign-in did not work"),
    Refused: (400, "The sign-in was not accepted"),
    DataverseError: (502, "The environments could not be listed"),
    NoForm: (400, "The request was not understood"),
}
