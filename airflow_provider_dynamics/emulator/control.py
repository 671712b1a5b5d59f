"""The emulator's own API under /_emulator, out of band: reset, seed, faults, what was asked, what is stored."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from airflow_provider_dynamics.emulator.faults import Faults
from airflow_provider_dynamics.emulator.messages import Fault, Request, Response
from airflow_provider_dynamics.emulator.web_api import WebApi


class Recorded(Protocol):
    """One request as it was remembered."""

    def as_dict(self) -> dict[str, Any]: ...


class Controlled(Protocol):
    """What can be controlled: the running emulator."""

    @property
    def service(self) -> WebApi: ...

    @property
    def faults(self) -> Faults: ...

    @property
    def requests(self) -> Iterable[Recorded]: ...

    def reset(self) -> None: ...


def answer(app: Controlled, request: Request) -> Response:
    """Answer one control request; bad input gets 400 and a sentence."""
    try:
        return _json(200, _act(app, request))
    except (ValueError, TypeError, KeyError) as error:
        return _json(400, {"error": str(error)})
    except Fault as fault:
        return _json(fault.status, {"error": fault.message})


def _act(app: Controlled, request: Request) -> Any:
    what = f"{request.method} {request.path.rstrip('/')}"
    if what == "POST /_emulator/reset":
        app.reset()
    elif what == "POST /_emulator/seed":
        wanted = _content(request)
        app.service.seed(wanted.get("seed", "sample"), wanted.get("rows"))
    elif what == "POST /_emulator/faults":
        for one in _listed(_content(request)):
            app.faults.set(one)
        return [one.as_dict() for one in app.faults.all()]
    elif what == "GET /_emulator/faults":
        return [one.as_dict() for one in app.faults.all()]
    elif what == "DELETE /_emulator/faults":
        app.faults.clear()
    elif what == "GET /_emulator/requests":
        return [one.as_dict() for one in list(app.requests)]
    elif what.startswith("GET /_emulator/rows/"):
        return app.service.rows(request.path.rstrip("/").rpartition("/")[2])
    else:
        raise Fault(404, "", f"no such control: {what}; see the emulator's documentation")
    return {"done": True}


def _content(request: Request) -> Any:
    return json.loads(request.body or b"{}")


def _listed(content: Any) -> list[Mapping[str, Any]]:
    return content if isinstance(content, list) else [content]


def _json(status: int, content: Any) -> Response:
    body = json.dumps(content, default=str).encode()
    return Response(status, (("Content-Type", "application/json"),), body)
