"""The pages' HTML: plain forms that a person, a browser test and `requests` can fill in.

The names of the sign-in page's fields are Entra's own: ``loginfmt``, ``passwd``, ``otc``.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from airflow_provider_dynamics.emulator.messages import Response

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;background:#f2f2f2;margin:0}"
    "main{max-width:26rem;margin:4rem auto;padding:2rem;background:#fff;box-shadow:0 2px 6px #0003}"
    "h1{font-size:1.5rem;margin:0 0 1rem}label,input{display:block;width:100%;box-sizing:border-box}"
    "input{font:inherit;padding:.4rem;margin:0 0 1rem}button{font:inherit;padding:.4rem 1.5rem}"
    "[role=alert]{color:#c50f1f}small{color:#616161;overflow-wrap:anywhere}"
)


def page(title: str, body: str, status: int = 200, *, onload: str = "") -> Response:
    """Return a page; ``body`` is HTML already."""
    script = f"<script>{onload}</script>" if onload else ""
    text = (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head>\n<body><main><h1>{escape(title)}</h1>\n{body}\n"
        f"<small>Dynamics 365 emulator: no real account is asked for here.</small></main>{script}</body></html>\n"
    )
    headers = (
        ("Content-Type", "text/html; charset=utf-8"),
        ("Cache-Control", "no-store, no-cache"),
        ("Referrer-Policy", "no-referrer"),
    )
    return Response(status, headers, text.encode())


def form(action: str, hidden: Mapping[str, str], inside: str) -> str:
    """Return a form that posts; ``inside`` is HTML already."""
    fields = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'
        for name, value in hidden.items()
    )
    return f'<form method="post" action="{escape(action)}">{fields}{inside}</form>'


def sign_in(action: str, hidden: Mapping[str, str], user_name: str, problem: str) -> Response:
    """Ask for user name and password."""
    inside = (
        '<label for="loginfmt">Email, phone, or Skype</label>'
        f'<input id="loginfmt" name="loginfmt" type="text" autocomplete="username" value="{escape(user_name)}">'
        '<label for="passwd">Password</label>'
        '<input id="passwd" name="passwd" type="password" autocomplete="current-password">'
        '<button type="submit" id="idSIButton9">Sign in</button>'
    )
    return page("Sign in", _alert(problem) + form(action, hidden, inside))


def second_factor(action: str, hidden: Mapping[str, str], user_name: str) -> Response:
    """Ask for the second factor: here, a press of a button."""
    text = f"<p>{escape(user_name)}</p><p>Open your Authenticator app, and approve the request.</p>"
    button = '<button type="submit" name="approve" value="yes">Approve</button>'
    return page("Approve sign in request", text + form(action, hidden, button))


def consent(
    action: str, hidden: Mapping[str, str], user_name: str, app: str, *, for_everyone: bool
) -> Response:
    """Ask whether the app may do what it wants to."""
    title = "Permissions requested" + (" - review for your organization" if for_everyone else "")
    text = (
        f"<p>{escape(user_name)}</p><p><strong>{escape(app)}</strong> would like to:</p>"
        "<ul><li>Access Common Data Service as organization users</li>"
        "<li>Maintain access to data you have given it access to</li></ul>"
    )
    return page(title, text + form(action, hidden, _yes_or_no("Accept")))


def confirm(action: str, hidden: Mapping[str, str], app: str) -> Response:
    """Ask whether the person means to sign in on another device."""
    text = "<p>Do not continue unless you started signing in on another device yourself.</p>"
    return page(f"Are you trying to sign in to {app}?", text + form(action, hidden, _yes_or_no("Continue")))


def device(action: str, problem: str) -> Response:
    """Ask for the code that a device shows."""
    inside = (
        '<label for="otc">Enter the code displayed on your app or device.</label>'
        '<input id="otc" name="otc" autocomplete="off"><button type="submit">Next</button>'
    )
    return page("Enter code", _alert(problem) + form(action, {}, inside))


def done(title: str, text: str) -> Response:
    """Say how it ended."""
    return page(title, f"<p>{escape(text)}</p>")


def posted(address: str, answer: Mapping[str, str]) -> Response:
    """Send an answer to an app by ``response_mode=form_post``."""
    button = '<noscript><button type="submit">Continue</button></noscript>'
    return page("Working...", form(address, answer, button), onload="document.forms[0].submit()")


def _alert(problem: str) -> str:
    return f'<p role="alert" id="error">{escape(problem)}</p>' if problem else ""


def _yes_or_no(yes: str) -> str:
    return (
        f'<button type="submit" name="answer" value="accept">{escape(yes)}</button> '
        '<button type="submit" name="answer" value="cancel">Cancel</button>'
    )
