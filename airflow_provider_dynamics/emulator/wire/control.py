"""The emulator's own API under /_emulator, out of band: reset, seed, faults, sign-ins, what was asked, what is stored.

Bodies are JSON: ``environments`` takes what `Emulator.add_environment` takes, or {"instance": …} what
`Emulator.list_instance` takes; ``custom_apis`` what `custom_apis.custom_api` takes, with a fixed ``answer``;
``duplicate_rules`` {"table", "columns"}; for the others see the module each is named for.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Any, Protocol

from airflow_provider_dynamics.emulator.custom_apis import custom_api
from airflow_provider_dynamics.emulator.limits.faults import Faults
from airflow_provider_dynamics.emulator.messages import Fault, Request, Response
from airflow_provider_dynamics.emulator.sign_ins import SignIns
from airflow_provider_dynamics.emulator.switches import Settings
from airflow_provider_dynamics.emulator.web_api import WebApi


class Recorded(Protocol):
    """One request as it was remembered."""

    def as_dict(self) -> dict[str, Any]: ...


class Environments(Protocol):
    """The environments beside the one that is controlled."""

    def apply(self, wanted: Mapping[str, Any]) -> dict[str, Any]: ...

    def as_dict(self) -> dict[str, Any]: ...


class Controlled(Protocol):
    """What can be controlled: the running emulator."""

    @property
    def service(self) -> WebApi: ...

    @property
    def faults(self) -> Faults: ...

    @property
    def sign_ins(self) -> SignIns: ...

    @property
    def settings(self) -> Settings: ...

    @property
    def requests(self) -> Iterable[Recorded]: ...

    @property
    def environments(self) -> Environments | None: ...

    def reset(self) -> None: ...


def answer(app: Controlled, request: Request) -> Response:
    """Answer one control request; bad input gets 400 and a sentence."""
    try:
        with app.service.entered():
            return _json(200, _act(app, request))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        return _json(400, {"error": str(error)})
    except Fault as fault:
        return _json(fault.status, {"error": fault.message})


def _act(app: Controlled, request: Request) -> Any:
    what = f"{request.method} {request.path.rstrip('/')}"
    if what.startswith("GET /_emulator/rows/"):
        return app.service.rows(request.path.rstrip("/").rpartition("/")[2])
    act = _ACTS.get(what)
    if act is None:
        raise Fault(404, "", f"no such control: {what}; see the emulator's documentation")
    answer = act(app, _content(request))
    return {"done": True} if answer is None else answer


def _seed(app: Controlled, wanted: Mapping[str, Any]) -> None:
    app.service.seed(
        wanted.get("seed", "sample"), wanted.get("rows"), created=wanted.get("created", "evenly")
    )


def _set_faults(app: Controlled, wanted: Any) -> Any:
    for one in wanted if isinstance(wanted, list) else [wanted]:
        app.faults.set(one)
    return _faults(app, None)


def _faults(app: Controlled, _: Any) -> Any:
    return [one.as_dict() for one in app.faults.all()]


def _set_query_limits(app: Controlled, wanted: Mapping[str, Any]) -> Any:
    app.service.query_limits.change(**wanted)
    return _query_limits(app, None)


def _query_limits(app: Controlled, _: Any) -> Any:
    return asdict(app.service.query_limits)


def _add_custom_api(app: Controlled, wanted: Mapping[str, Any]) -> None:
    app.service.operations.add(custom_api(**wanted))


def _publish(app: Controlled, wanted: Mapping[str, Any]) -> None:
    app.service.duplicates.publish(wanted["table"], wanted["columns"])


def _environments(app: Controlled) -> Environments:
    if app.environments is None:
        raise ValueError("environments are added at the first one")
    return app.environments


def _requests(app: Controlled, _: Any) -> Any:
    return [one.as_dict() for one in list(app.requests)]


_ACTS: Mapping[str, Callable[[Controlled, Any], Any]] = {
    "POST /_emulator/reset": lambda app, _: app.reset(),
    "POST /_emulator/seed": _seed,
    "POST /_emulator/expire_delta_tokens": lambda app, wanted: app.service.expire_delta_tokens(
        wanted.get("table")
    ),
    "POST /_emulator/faults": _set_faults,
    "GET /_emulator/faults": _faults,
    "DELETE /_emulator/faults": lambda app, _: app.faults.clear(),
    "POST /_emulator/settings": lambda app, wanted: app.settings.apply(wanted),
    "GET /_emulator/settings": lambda app, _: app.settings.as_dict(),
    "POST /_emulator/query_limits": _set_query_limits,
    "GET /_emulator/query_limits": _query_limits,
    "POST /_emulator/jobs": lambda app, wanted: app.service.jobs.apply(wanted),
    "GET /_emulator/jobs": lambda app, _: app.service.jobs.as_dict(),
    "POST /_emulator/webhooks": lambda app, wanted: app.service.webhooks.apply(wanted),
    "GET /_emulator/webhooks": lambda app, _: app.service.webhooks.as_dict(),
    "POST /_emulator/environments": lambda app, wanted: _environments(app).apply(wanted),
    "GET /_emulator/environments": lambda app, _: _environments(app).as_dict(),
    "POST /_emulator/sign_ins": lambda app, wanted: app.sign_ins.apply(wanted),
    "GET /_emulator/sign_ins": lambda app, _: app.sign_ins.as_dict(),
    "POST /_emulator/custom_apis": _add_custom_api,
    "POST /_emulator/duplicate_rules": _publish,
    "GET /_emulator/requests": _requests,
}


def _content(request: Request) -> Any:
    return json.loads(request.body or b"{}")


def _json(status: int, content: Any) -> Response:
    body = json.dumps(content, default=str).encode()
    return Response(status, (("Content-Type", "application/json"),), body)
