"""Sends one request until it is answered or must not be sent again.

The rules of repeating live here and nowhere else: what was rejected before it was carried out is always
repeated, what may have been carried out only when doing it twice does no harm.
"""

from __future__ import annotations

import logging
import math
import re
import threading
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from requests.auth import AuthBase

from airflow_provider_dynamics import __version__
from airflow_provider_dynamics.auth.causes import AuthenticationError
from airflow_provider_dynamics.auth.network import Network, origin
from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.dataverse.errors import DataverseError
from airflow_provider_dynamics.dataverse.protocol.answers import from_response, request_id
from airflow_provider_dynamics.dataverse.protocol.exchange import Request, Response
from airflow_provider_dynamics.dataverse.protocol.options import of_caller
from airflow_provider_dynamics.dataverse.protocol.servers import CLOUD, Server
from airflow_provider_dynamics.dataverse.protocol.sizes import LONGEST_INSIDE, LONGEST_URL
from airflow_provider_dynamics.dataverse.throttle import Clock, RetryPolicy, Stop
from airflow_provider_dynamics.dataverse.transport import batch, failures, versions
from airflow_provider_dynamics.dataverse.transport.batch import BatchOutcome
from airflow_provider_dynamics.dataverse.transport.change_sets import ChangeSet, numbered
from airflow_provider_dynamics.dataverse.transport.governor import COSTLY_QUERY, Governor
from airflow_provider_dynamics.dataverse.transport.metadata_gate import MetadataGate
from airflow_provider_dynamics.dataverse.transport.session import new_session

__all__ = ["Transport"]

log = logging.getLogger(__name__)

_OPTIONAL_ATTEMPTS = 3  # at what the service fails with, for an answer one can do without
_WORTH_A_WARNING = 10.0  # seconds

# https://learn.microsoft.com/power-apps/developer/data-platform/webapi/compose-http-requests-handle-errors#http-headers
_HEADERS = {
    "Accept": "application/json",
    "Accept-Encoding": "gzip",
    "OData-MaxVersion": "4.0",
    "OData-Version": "4.0",
    "User-Agent": f"airflow-provider-dynamics/{__version__} {requests.utils.default_user_agent()}",
}


class Transport:
    """One environment's connections. Safe to use from several threads."""

    def __init__(
        self,
        environment: str,
        auth: AuthBase,
        *,
        server: Server = CLOUD,
        gate: MetadataGate | None = None,
        network: Network | None = None,
        caller_object_id: str | None = None,
        client_id: str = "",
        connections: int = 16,
        most_at_once: int | None = None,
        retry: RetryPolicy | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.server = server
        self._gate = gate or MetadataGate()
        self.root = f"{environment}/api/data/{server.api_version}/"
        self.retry = retry or RetryPolicy()
        self.clock = clock or Clock()
        self.governor = Governor(self.clock, most_at_once)
        self.stop = Stop()
        self.requests_sent = 0
        self._answered = False
        self._counting = threading.Lock()
        self.parallelism_hint: int | None = None
        self.quickest = math.inf  # seconds of an answer: about what the way there and back takes
        self._origin = origin(environment)
        self._environment, self._client_id = environment, client_id
        self._auth = auth
        self._network = network = network or Network()
        self._proxies = network.proxies(environment)
        self._headers = {**_HEADERS, **({"CallerObjectId": caller_object_id} if caller_object_id else {})}
        self._session = new_session(connections)

    def close(self) -> None:
        self._session.close()

    def send(self, request: Request, stop: Stop | None = None) -> Response:
        """Send the request, repeating it as its kind and the policy allow; raises DataverseError or AuthenticationError."""
        stop = stop or self.stop
        url = self._url(request)
        trouble, repeated = _Trouble(self.clock.now()), False
        while True:
            try:
                stop.check()
                with self.governor.turn(stop, waits=self.retry.waits):
                    return self._attempt(request, url, repeated=repeated)
            except (DataverseError, AuthenticationError) as error:  # noqa: PERF203 - one request, its attempts
                delay = self._delay(error, request, *trouble.after(error, self.clock.now()))
                if delay is None:
                    if isinstance(error, DataverseError):
                        error.repeated = repeated
                        self._explain(error)
                    raise
                repeated = repeated or (not request.reads and _maybe_done(error))
                try:
                    self._pause(error, delay, stop)
                except errors.Interrupted as interrupted:
                    interrupted.repeated = repeated
                    raise

    def send_together(
        self,
        requests: Sequence[Request | ChangeSet],
        stop: Stop | None = None,
        *,
        continue_on_error: bool = True,
    ) -> list[BatchOutcome]:
        """Send requests as one batch and return what came of each, in their order, those of change sets among them.

        With `continue_on_error` one that fails does not end it; without, its error is raised: what stands
        before it is done, what stands behind it is not.
        """
        items = numbered(requests)
        addressed = [self._addressed(item) for item in items]
        response = self.send(
            batch.request(addressed, self._inside(), continue_on_error=continue_on_error), stop
        )
        sizes = [len(item.requests) if isinstance(item, ChangeSet) else None for item in items]
        answers = batch.parts_of(response, sizes)
        return [
            self._outcome(request, part, repeated=response.repeated, seconds=response.seconds)
            for item, answer in zip(items, answers, strict=True)
            for request, part in _paired(item, answer)
        ]

    def _explain(self, error: DataverseError) -> None:
        """Raise UnknownVersion in place of a first answer that is a bare 404 where that is why; once in a client's life.

        The cloud has had its newest version for years, so nobody is asked about that.
        """
        if self._answered or self.server == CLOUD or not versions.may_be_the_version(error):
            return
        self._answered = True
        found = versions.explained(
            error,
            self._environment,
            self.server.api_version,
            lambda request: self._attempt(request, self._url(request), repeated=False),
        )
        if found is not error:
            self._answered = False
            raise found from error

    def _addressed(self, item: Request | ChangeSet) -> batch.Addressed | list[batch.Addressed]:
        if isinstance(item, ChangeSet):
            return [(one, self._url(one, LONGEST_INSIDE)) for one in item.requests]
        return item, self._url(item, LONGEST_INSIDE)

    def _outcome(self, request: Request, part: batch.Part, *, repeated: bool, seconds: float) -> BatchOutcome:
        answer = Response(part.status, part.headers, part.body, repeated, seconds)
        try:
            return BatchOutcome(request, self._checked(request, answer))
        except DataverseError as error:
            error.repeated = repeated
            return BatchOutcome(request, error=error)

    def _url(self, request: Request, longest: int | None = None) -> str:
        self.server.check(request)
        self._gate.check_request(request)
        link = re.match(r"https?://", request.target, re.IGNORECASE) is not None
        if link and not self._is_own(request.target):
            raise errors.ForeignLink(
                f"The service sent a link to {urlsplit(request.target).netloc.rpartition('@')[2]}, not to this environment",
                asked=request.asked,
            )
        made_before = request.target.startswith("$") and request.content_id is not None
        url = request.target if link or made_before else self.root + request.target
        longest = longest or (LONGEST_INSIDE if request.reads else LONGEST_URL)
        if len(url) > longest:
            raise errors.BadRequest(
                f"The request's address has {len(url):,} characters; Dataverse takes {longest:,}",
                asked=request.asked,
                remedy="Select fewer columns or shorten the filter.",
            )
        return url

    def _is_own(self, link: str) -> bool:
        """Say whether a link leads to this environment: on premises its host may have other organizations, which it names."""
        organization = urlsplit(self._environment).path.lower()
        return origin(link) == self._origin and urlsplit(link).path.lower().startswith(f"{organization}/")

    def _attempt(self, request: Request, url: str, *, repeated: bool) -> Response:
        if len(url) <= LONGEST_URL:
            return self._exchange(request, url, repeated=repeated)
        carrier = batch.request([(request, url)], self._inside())  # the line of a request holds no more
        answer = self._exchange(carrier, self.root + carrier.target, repeated=repeated)
        [[(_, part)]] = [_paired(request, found) for found in batch.parts_of(answer, [None])]
        return self._checked(request, Response(part.status, part.headers, part.body, repeated))

    def _inside(self) -> dict[str, str]:
        """Return the headers that each request of a batch carries itself."""
        return {name: self._headers[name] for name in ("Accept", "OData-MaxVersion", "OData-Version")}

    def _exchange(self, request: Request, url: str, *, repeated: bool) -> Response:
        began = time.perf_counter()
        with self._counting:
            self.requests_sent += 1
        try:
            reply = self._session.send(
                self._prepared(request, url),
                timeout=self._network.timeout,
                allow_redirects=False,
                **self._session.merge_environment_settings(
                    url, dict(self._proxies), stream=True, verify=self._network.ca_bundle, cert=None
                ),
            )
            with reply:
                body: bytes = reply.raw.read(decode_content=True)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as failure:
            error = failures.worded(failure, asked=request.asked, timeout=self._network.timeout)
            log.debug("%s: %s", request.asked, error.message)
            raise error from failure
        took = time.perf_counter() - began
        self._note(request, reply, took)
        return self._checked(request, Response(reply.status_code, reply.headers, body, repeated, took))

    def _prepared(self, request: Request, url: str) -> requests.PreparedRequest:
        prepared = requests.PreparedRequest()
        headers = {**self._headers, **({"If-None-Match": "null"} if request.reads else {}), **request.headers}
        if request.body is not None:
            headers.setdefault("Content-Type", "application/json; charset=utf-8")
        prepared.prepare(method=request.method, url=self.root, headers=headers, data=request.body)
        prepared.url = url  # set afterwards, as it is: prepare() would quote it anew
        prepared.prepare_auth(self._auth, url)
        return prepared

    def _note(self, request: Request, reply: requests.Response, took: float) -> None:
        hint = reply.headers.get("x-ms-dop-hint", "").split(",")[0].strip()
        if hint.isdigit() and int(hint) > 0:
            self.parallelism_hint = int(hint)
        if reply.status_code < 300:
            self._answered = True
            self.quickest = min(self.quickest, took)
        log.debug(
            "%s: %d in %.0f ms, request id %s",
            request.asked,
            reply.status_code,
            took * 1000,
            request_id(reply.headers),
        )

    def _checked(self, request: Request, response: Response) -> Response:
        if not 200 <= response.status < 300:
            response = _telling(response)
            raise of_caller(
                from_response(
                    request.asked,
                    response.status,
                    response.headers,
                    response.body,
                    now=self.clock.now(),
                    environment=self._environment,
                    client_id=self._client_id,
                ),
                request,
            )
        if request.binary:
            return response
        if (response.body or (request.reads and response.status == 200)) and not _whole(response):
            raise errors.BadResponse(
                "The answer is not a whole JSON document",
                asked=request.asked,
                status=response.status,
                request_id=request_id(response.headers),
                retryable=_cut_off(response),  # else it is a web page
            )
        return response

    def _delay(
        self, error: DataverseError | AuthenticationError, request: Request, attempt: int, elapsed: float
    ) -> float | None:
        if not error.retryable or not _may_repeat(error, request):
            return None
        if request.optional and isinstance(error, errors.ServerError) and attempt >= _OPTIONAL_ATTEMPTS:
            return None
        return self.retry.delay(error, attempt, elapsed)

    def _pause(self, error: DataverseError | AuthenticationError, delay: float, stop: Stop) -> None:
        if delay > _WORTH_A_WARNING:
            log.warning("Waiting %.0f s before trying again. %s", delay, error)
        if isinstance(error, errors.Throttled) and error.code != COSTLY_QUERY:
            self.governor.close(delay)
            return
        if isinstance(error, errors.Throttled):
            self.governor.note_wait(delay)
        self.clock.sleep(delay, stop)


class _Trouble:
    """Counts attempts and time for the policy: a request's from its start, a sign-in's from its first failure in a row."""

    def __init__(self, now: float) -> None:
        self._started = now
        self._failed = 0
        self._sign_in_since: float | None = None
        self._sign_in_failed = 0

    def after(self, error: Exception, now: float) -> tuple[int, float]:
        """Return which attempt this error ended, and the seconds that count."""
        if not isinstance(error, AuthenticationError):
            self._failed += 1
            self._sign_in_since, self._sign_in_failed = None, 0
            return self._failed, now - self._started
        if self._sign_in_since is None:
            self._sign_in_since = now
        self._sign_in_failed += 1
        return self._sign_in_failed, now - self._sign_in_since


def _may_repeat(error: DataverseError | AuthenticationError, request: Request) -> bool:
    """Say whether sending the request again can do no harm after this error."""
    if request.optional and isinstance(error, errors.ServerTimeout):
        return False
    if request.reads or not _maybe_done(error):
        return True
    if isinstance(error, errors.ServerTimeout):
        return False  # the same amount would run out of time again: the caller has to send less
    return request.repeatable and not (request.divisible and isinstance(error, DataverseError) and error.late)


def _maybe_done(error: DataverseError | AuthenticationError) -> bool:
    """Say whether the service may have carried the request out in spite of the error."""
    if isinstance(error, errors.Unreachable):
        return error.sent
    return isinstance(error, (errors.ServerError, errors.BadResponse))


def _telling(response: Response) -> Response:
    """Return the unsuccessful answer that has the words: of a batch that was ended, the one that ended it."""
    part = batch.failed_part(response)
    return Response(part.status, {**response.headers, **part.headers}, part.body) if part else response


def _paired(
    item: Request | ChangeSet, answer: batch.Part | list[batch.Part]
) -> list[tuple[Request, batch.Part]]:
    """Return each request of a batch's item with its answer; a change set that was refused has one for all."""
    requests = item.requests if isinstance(item, ChangeSet) else (item,)
    parts = answer if isinstance(answer, list) else [answer]
    if len(parts) < len(requests):
        parts = parts * len(requests)
    return list(zip(requests, parts, strict=True))


def _cut_off(response: Response) -> bool:
    """Say whether a body that is not whole is what the Web API began to send, and not somebody else's page."""
    kind = response.headers.get("Content-Type", "json")
    return "json" in kind or kind.startswith("multipart/mixed")


def _whole(response: Response) -> bool:
    """Say whether a body that should be a JSON object is one from end to end; texts such as `$count` pass."""
    if response.headers.get("Content-Type", "").startswith("text/plain"):
        return True
    body: Any = response.body.removeprefix(b"\xef\xbb\xbf").strip()
    if response.headers.get("Content-Type", "").startswith("application/xml"):
        return bool(body[:1] == b"<" and body[-5:] == b"Edmx>")  # the only XML there is: `$metadata`
    if response.headers.get("Content-Type", "").startswith("multipart/mixed"):
        return bool(body[:2] == body[-2:] == b"--")
    return bool(body[:1] == b"{" and body[-1:] == b"}")
