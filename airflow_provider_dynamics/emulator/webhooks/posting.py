"""Posting to webhooks: at once where a step is synchronous, else by threads after the change is committed.

`Webhooks` is ``Emulator.webhooks``, and ``/_emulator/webhooks`` takes and tells its members as JSON:

============  =============================================================================================
delay         seconds from the commit to the post of an asynchronous step (0.0)
timeout       seconds the service waits for an answer (60)
held          true: nothing is posted by asynchronous steps until it is false again
repeats       so many times more is each asynchronous context posted after it was taken (0): what a lost answer does
anywhere      true: other machines are posted to as well, at the ports 80 and 443 that the service knows
ca_bundle     PEM file that vouches for https endpoints, beside what this machine trusts (None: nothing else does)
============  =============================================================================================

`Webhooks.posts` is what was posted, `Webhooks.drain` waits until nothing is left to post.

A synchronous post goes out while the change is under way, and nothing else is read or written until it is answered:
what it is posted to must not ask this emulator anything.
https://learn.microsoft.com/power-apps/developer/data-platform/use-webhooks
"""

from __future__ import annotations

import contextvars
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from airflow_provider_dynamics.emulator.jobs.job import Job
from airflow_provider_dynamics.emulator.jobs.jobs import Jobs
from airflow_provider_dynamics.emulator.messages import Fault
from airflow_provider_dynamics.emulator.webhooks.address import Address
from airflow_provider_dynamics.emulator.webhooks.client import Answered, send
from airflow_provider_dynamics.emulator.webhooks.execution_context import MOST_BYTES, encoded, shortened

_log = logging.getLogger(__name__)

DEFAULTS: Mapping[str, Any] = {
    "delay": 0.0,
    "timeout": 60.0,
    "held": False,
    "repeats": 0,
    "anywhere": False,
    "ca_bundle": None,
}
THREADS = 8
IDLE = 0.5  # seconds after which a thread that has nothing to do ends
REMEMBERED = 10_000
# What the service attempts once more, as its page says.
ATTEMPTED_AGAIN = frozenset({502, 503, 504})


@dataclass(frozen=True)
class Message:
    """One context on its way to one endpoint."""

    address: Callable[[], Address]
    content: Mapping[str, Any]
    headers: Mapping[str, str]
    about: Mapping[str, Any]


@dataclass(frozen=True)
class Posted:
    """One attempt to post, for assertions. Status 0: there was no answer."""

    url: str
    message: str
    table: str
    row_id: str
    mode: int
    status: int
    size: int
    at: float
    seconds: float
    job_id: str | None = None


@dataclass
class _Waiting:
    message: Message
    job: Job
    due: float
    inside: contextvars.Context = field(repr=False)


class Webhooks:
    """Posts contexts; see the module for what can be set."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self._lock = threading.Condition()
        self._waiting: deque[_Waiting] = deque()
        self._threads = 0
        self._busy = 0
        self._closed = False
        self.own_ca: str | None = None
        self.restore()

    # -- control ------------------------------------------------------------------------------------

    def restore(self) -> None:
        """Settings as at the start, nothing posted, nothing left to post."""
        self.delay: float = DEFAULTS["delay"]
        self.timeout: float = DEFAULTS["timeout"]
        self.repeats: int = DEFAULTS["repeats"]
        self.anywhere: bool = DEFAULTS["anywhere"]
        self.ca_bundle: str | None = DEFAULTS["ca_bundle"]
        self._held: bool = DEFAULTS["held"]
        with self._lock:
            self._waiting.clear()
            self.posts: deque[Posted] = deque(maxlen=REMEMBERED)
            self._lock.notify_all()

    @property
    def held(self) -> bool:
        """Whether asynchronous steps wait."""
        return self._held

    @held.setter
    def held(self, value: bool) -> None:
        with self._lock:
            self._held = value
            self._lock.notify_all()

    @property
    def pending(self) -> int:
        """How many contexts of asynchronous steps are not posted yet, or are being posted."""
        with self._lock:
            return len(self._waiting) + self._busy

    def drain(self, seconds: float = 30.0) -> bool:
        """Wait until every context was posted; False when that takes longer."""
        with self._lock:
            return self._lock.wait_for(lambda: not self._waiting and not self._busy, seconds)

    def apply(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Set what a JSON object names and tell the state; ValueError on what there is not."""
        unknown = wanted.keys() - DEFAULTS.keys()
        if unknown:
            raise ValueError(f"no such member: {', '.join(sorted(unknown))}; there are {', '.join(DEFAULTS)}")
        for name, value in wanted.items():
            default = DEFAULTS[name]
            setattr(self, name, value if default is None else type(default)(value))
        return self.as_dict()

    def as_dict(self) -> dict[str, Any]:
        """The settings, how many contexts wait, and what was posted."""
        settings = {name: getattr(self, name) for name in DEFAULTS}
        return {**settings, "pending": self.pending, "posts": [asdict(one) for one in list(self.posts)]}

    def close(self) -> None:
        """Post nothing more until `open` is called; what waits is forgotten."""
        with self._lock:
            self._closed = True
            self._waiting.clear()
            self._lock.notify_all()

    def open(self, own_ca: str) -> None:
        """Post again, trusting this authority."""
        with self._lock:
            self._closed, self.own_ca = False, own_ca

    # -- posting ------------------------------------------------------------------------------------

    def post(self, message: Message) -> None:
        """Post now; raises the ``Fault`` that a synchronous step fails with."""
        self._deliver(message, None)

    def post_later(self, message: Message, job: Job) -> None:
        """Post as soon as a thread is free; how it went is told by the job."""
        waiting = _Waiting(message, job, time.monotonic() + self.delay, contextvars.copy_context())
        with self._lock:
            if self._closed:
                return
            self._waiting.append(waiting)
            if self._threads < min(THREADS, len(self._waiting) + self._busy):
                self._threads += 1
                name = f"dynamics-emulator-webhooks-{self._threads}"
                threading.Thread(target=self._work, name=name, daemon=True).start()
            self._lock.notify()

    def _work(self) -> None:
        while (waiting := self._next()) is not None:
            try:
                waiting.inside.run(self._run, waiting)
            except Exception:  # noqa: BLE001 - whatever it is, the other contexts have nothing to do with it
                _log.exception("The emulator's webhook job %s cannot go on", waiting.job.job_id)
            with self._lock:
                self._busy -= 1
                self._lock.notify_all()

    def _next(self) -> _Waiting | None:
        """The next that is due; None, which ends the thread, when there was nothing to do for a while."""
        with self._lock:
            idle_until = time.monotonic() + IDLE
            while not self._closed:
                now = time.monotonic()
                if self._waiting and not self._held and self._waiting[0].due <= now:
                    self._busy += 1
                    return self._waiting.popleft()
                if not self._waiting and now >= idle_until:
                    break
                until = self._waiting[0].due if self._waiting and not self._held else now + IDLE
                self._lock.wait(max(0.001, until - now))
            self._threads -= 1
            return None

    def _run(self, waiting: _Waiting) -> None:
        if not self._jobs.run_beside(waiting.job):
            return  # cancelled, or gone with a reset
        fault: Fault | None = None
        try:
            self._deliver(waiting.message, waiting.job.job_id)
            for _ in range(self.repeats):
                self._deliver(waiting.message, waiting.job.job_id)
        except Fault as found:
            fault = found
        except Exception:  # noqa: BLE001 - the job fails, whatever it is
            _log.exception("The emulator failed on the webhook job %s", waiting.job.job_id)
            fault = Fault(500, "0x80040216", "An unexpected error occurred.")
        self._jobs.finish(waiting.job, fault)

    def _deliver(self, message: Message, job_id: str | None) -> None:
        address = message.address()
        body, headers = _body(message)
        bundles = tuple(filter(None, (self.own_ca, self.ca_bundle)))
        posts = self.posts  # a reset while the post is under way starts another list
        for attempt in (1, 2):
            answered = send(address, body, headers, self.timeout, bundles)
            posts.append(_posted(address, message, answered, len(body), job_id))
            if answered.status not in ATTEMPTED_AGAIN or attempt == 2:
                break
        if answered.fault is not None:
            raise answered.fault


def _body(message: Message) -> tuple[bytes, dict[str, str]]:
    """What is posted; a context of more than 256 KB loses its members that are big."""
    headers = dict(message.headers)
    body = encoded(message.content)
    if len(body) > MOST_BYTES:
        headers["x-ms-dynamics-msg-size-exceeded"] = "true"
        body = encoded(shortened(message.content))
    if len(body) > MOST_BYTES:
        raise Fault(
            400,
            "0x80050207",
            "The webhook call failed because the http request payload has exceeded maximum allowed size. Please reduce "
            "your request size and retry.",
        )
    return body, headers


def _posted(address: Address, message: Message, answered: Answered, size: int, job_id: str | None) -> Posted:
    return Posted(
        url=address.shown,
        status=answered.status,
        size=size,
        at=answered.at,
        seconds=answered.seconds,
        job_id=job_id,
        **message.about,
    )
