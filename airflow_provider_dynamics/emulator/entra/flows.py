"""Sign-ins that are under way: what was asked for, and how far the person has come."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from dataclasses import dataclass, field

from airflow_provider_dynamics.emulator.directory import Application, Person
from airflow_provider_dynamics.emulator.entra.codes import DeviceCode

KEPT = 1000  # the oldest are forgotten beyond this many


@dataclass
class Flow:
    """One sign-in at the pages; ``kind`` is code (for an app), device or admin (consent for everyone)."""

    kind: str
    tenant: str
    app: Application
    asked: dict[str, str]
    device: DeviceCode | None = None
    person: Person | None = None
    has_second_factor: bool = False
    is_accepted: bool = False
    ctx: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)


class Flows:
    """The sign-ins under way, by the hidden field ``ctx`` of their pages."""

    def __init__(self) -> None:
        self._flows: OrderedDict[str, Flow] = OrderedDict()

    def hidden(self, flow: Flow) -> dict[str, str]:
        """Keep a flow, and return the hidden fields that name it."""
        self._flows[flow.ctx] = flow
        while len(self._flows) > KEPT:
            self._flows.popitem(last=False)
        return {"ctx": flow.ctx}

    def named(self, ctx: str) -> Flow | None:
        """Return the flow with this name; None when it has ended."""
        return self._flows.get(ctx)

    def forget(self, flow: Flow) -> None:
        """End a flow: its pages are not taken again."""
        self._flows.pop(flow.ctx, None)
