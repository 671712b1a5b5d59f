"""Writes rows in chunks, and finds the rows that a refused chunk was refused for.

A chunk of a standard table is all or nothing and does not say which row was at fault: it is halved until few
rows are left, which then go one by one in a `$batch`. Elastic tables tell of each row.
https://learn.microsoft.com/power-apps/developer/data-platform/bulk-operations#on-error-behavior
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.dataverse.errors import DataverseError
from airflow_provider_dynamics.dataverse.loading.existing import Existing
from airflow_provider_dynamics.dataverse.loading.kept import perhaps_written
from airflow_provider_dynamics.dataverse.loading.resolving import Resolver
from airflow_provider_dynamics.dataverse.loading.singles import Singles
from airflow_provider_dynamics.dataverse.loading.targets import REFUSED, RowOutcome, Target
from airflow_provider_dynamics.dataverse.loading.tuning import BATCH
from airflow_provider_dynamics.dataverse.protocol import odata
from airflow_provider_dynamics.dataverse.protocol.exchange import Request, Response
from airflow_provider_dynamics.dataverse.protocol.pages import decoded

__all__ = ["Chunks", "Result"]

log = logging.getLogger(__name__)

_LARGEST_BODY = 16 * 1024 * 1024  # bytes
_FEW = 128  # rows that are not halved any more: one batch of them finds every bad row
_STRIKES = 3  # chunks refused though each of their rows alone is not


@dataclass(frozen=True, slots=True)
class _Doubt:
    """What is known of rows before they are sent.

    `doubtful`: an earlier request may have written them. `read`: which of them exist was asked. `guilty`: a
    bad one is among them, so that they need not be tried together.
    """

    doubtful: bool = False
    read: bool = False
    guilty: bool = False


_NONE = _Doubt()


class Result(NamedTuple):
    """What came of a chunk.

    `error` is what was no row's fault and ended the work; the outcomes are then of those rows that were sent,
    and have it where nothing better is known.
    """

    outcomes: list[RowOutcome]
    error: Exception | None = None


class Chunks:
    """The requests of one operation on one table, made and judged in several threads.

    `message` is the name of the message that takes chunks, None where there is none.
    """

    def __init__(
        self, singles: Singles, existing: Existing, message: str | None, resolver: Resolver | None = None
    ) -> None:
        self._singles = singles
        self._kept = singles.kept
        self._resolver = resolver
        self._existing = existing
        self._table = singles.table
        self._operation = singles.operation
        self._landed = False
        self._strikes = 0
        self.message = message

    def send(self, targets: Sequence[Target]) -> Result:
        """Return what came of each, in their order."""
        sound = [target for target in targets if target.error is None]
        failure: Exception | None = None
        try:
            outcomes = self._sent(sound) if sound else []
        except Exception as error:  # noqa: BLE001 - whatever it is, the rows are accounted for
            outcomes, failure = sorted(self._known(sound, error), key=_place), error
        if len(outcomes) < len(targets):
            outcomes += [RowOutcome(one.index, error=one.error) for one in targets if one.error is not None]
            outcomes.sort(key=_place)
        return Result(outcomes, failure)

    def _known(self, targets: Sequence[Target], error: Exception) -> list[RowOutcome]:
        """Return the outcomes of those rows that were sent, when what is no row's fault ended the work."""
        known = self._kept.taken()
        if isinstance(error, errors.Interrupted) and not error.repeated:
            return known  # the others were never sent
        said = error if isinstance(error, DataverseError) else DataverseError(str(error))
        return known + [RowOutcome(one.index, one.row_id, error=said) for one in _others(targets, known)]

    def _sent(self, targets: Sequence[Target]) -> list[RowOutcome]:
        if self.message is None:
            outcomes = self._singles.send(targets, tuned=True)
            self._judge(outcomes)
            return outcomes
        if self._resolver is None:
            return self._together(targets, _NONE)
        return self._found(targets, self._resolver)

    def _found(self, targets: Sequence[Target], resolver: Resolver) -> list[RowOutcome]:
        """Send the rows whose ids can be found together, the others behind them one by one."""
        try:
            ready, left = resolver.resolved(targets)
        except errors.Forbidden as error:
            self._give_up_chunks(error)
            ready, left = [], list(targets)
        outcomes = self._together(ready, _NONE) if ready else []
        with self._kept.keeping(outcomes):
            return sorted([*outcomes, *self._one_by_one(left, _NONE)], key=_place)

    def _one_by_one(self, targets: Sequence[Target], doubt: _Doubt) -> list[RowOutcome]:
        outcomes: list[RowOutcome] = []
        with self._kept.keeping(outcomes):
            for start in range(0, len(targets), _FEW):
                outcomes += self._singles.send(targets[start : start + _FEW], doubtful=doubt.doubtful)
        self._judge(outcomes)
        return outcomes

    def _together(self, targets: Sequence[Target], doubt: _Doubt) -> list[RowOutcome]:
        few = len(targets) <= _FEW
        if len(targets) < 2 or self.message is None or (doubt.guilty and few):
            return self._one_by_one(targets, doubt)
        if doubt.guilty:
            return self._halves(targets, doubt)
        request, unsound = self._request(targets)
        if unsound:
            bad = [RowOutcome(place, error=error) for place, error in unsound.items()]
            return self._rest(targets, bad, doubt)
        return self._tried(targets, request, doubt)

    def _tried(self, targets: Sequence[Target], request: Request, doubt: _Doubt) -> list[RowOutcome]:
        if len(request.body or b"") > _LARGEST_BODY:
            return self._halves(targets, doubt)
        try:
            response = self._singles.transport.send(request, self._singles.stop)
        except (*REFUSED, errors.Forbidden) as error:
            if isinstance(error, errors.TooLarge):
                return self._less(targets, error, doubt)
            return self._refused(targets, error, doubt)
        except DataverseError as error:
            if not error.late or not (request.repeatable or self._undone(error)):
                raise
            return self._less(targets, error, doubt)
        self._landed = True
        self._strikes = 0
        self._singles.tuning.answered(len(targets), response.seconds, len(request.body or b""))
        return self._written(targets, response, request)

    def _undone(self, error: DataverseError) -> bool:
        """Say whether the service itself says that it ran out of time, for which it undoes a chunk."""
        return isinstance(error, errors.ServerTimeout) and bool(error.code) and not self._table.elastic

    # -- requests and good answers

    def _request(self, targets: Sequence[Target]) -> tuple[Request, dict[int, DataverseError]]:
        """Return the chunk, or the errors of those rows that JSON cannot hold."""
        options, address = (
            self._singles.options,
            f"{self._table.entity_set}/Microsoft.Dynamics.CRM.{self.message}",
        )
        headers = dict(options.headers())
        if self._table.elastic:
            headers["Prefer"] = 'odata.include-annotations="*"'
        known = self._operation != "create" or all(target.row_id for target in targets)
        request = Request("POST", options.addressed(address), headers, repeatable=known, divisible=True)
        try:
            return replace(request, body=odata.encode({"Targets": [target.body for target in targets]})), {}
        except errors.BadRequest:
            return request, dict(_unsound(targets))

    def _written(self, targets: Sequence[Target], response: Response, request: Request) -> list[RowOutcome]:
        if self._operation == "create" and not request.repeatable:
            ids = decoded(response, request).get("Ids") or []
            if len(ids) != len(targets):
                raise errors.BadResponse(
                    f"The service named {len(ids):,} ids for {len(targets):,} new rows",
                    asked=request.asked,
                    retryable=False,
                )
            return [
                RowOutcome(one.index, row_id, created=True) for one, row_id in zip(targets, ids, strict=True)
            ]
        created = {"create": True, "upsert": None}.get(self._operation, False)
        return [RowOutcome(target.index, target.row_id, created) for target in targets]

    # -- refusals

    def _less(self, targets: Sequence[Target], error: DataverseError, doubt: _Doubt) -> list[RowOutcome]:
        """Send half as many rows at a time, from now on."""
        self._singles.tuning.too_much(len(targets), late=error.late)
        doubt = replace(doubt, doubtful=doubt.doubtful or error.late, read=False, guilty=False)
        half, outcomes = max(1, len(targets) // 2), list[RowOutcome]()
        with self._kept.keeping(outcomes), perhaps_written(doubt.doubtful):
            while len(outcomes) < len(targets):
                some = min(half, self._singles.tuning.rows)
                outcomes += self._together(targets[len(outcomes) : len(outcomes) + some], doubt)
        return outcomes

    def _refused(self, targets: Sequence[Target], error: DataverseError, doubt: _Doubt) -> list[RowOutcome]:
        log.debug("A chunk of %d rows was refused: %s", len(targets), error)
        first = doubt is _NONE
        if error.statuses:
            return self._partly(targets, error, doubt)
        doubt = replace(doubt, doubtful=doubt.doubtful or error.repeated or self._table.elastic)
        with perhaps_written(doubt.doubtful):
            return self._by_parts(targets, error, doubt, first=first)

    def _by_parts(
        self, targets: Sequence[Target], error: DataverseError, doubt: _Doubt, *, first: bool
    ) -> list[RowOutcome]:
        if _no_message(error):
            self._give_up_chunks(error)
            return self._together(targets, doubt)
        if isinstance(error, errors.Forbidden) and not self._landed:
            return self._probed(targets, error, doubt)
        if (
            self._operation == "create"
            and not doubt.read
            and (doubt.doubtful or isinstance(error, errors.DuplicateKey))
        ):
            there = self._existing.there(targets, doubtful=doubt.doubtful)
            doubt = replace(doubt, read=True)
            if there:
                return self._rest(targets, there, doubt)
        outcomes = self._together(targets, replace(doubt, guilty=True))
        if first:
            self._learn(outcomes, error)
        return outcomes

    def _rest(self, targets: Sequence[Target], known: list[RowOutcome], doubt: _Doubt) -> list[RowOutcome]:
        """Send the rows that have no outcome yet."""
        rest = _others(targets, known)
        with self._kept.keeping(known):
            return sorted([*known, *(self._together(rest, doubt) if rest else [])], key=_place)

    def _partly(self, targets: Sequence[Target], error: DataverseError, doubt: _Doubt) -> list[RowOutcome]:
        """Take the rows that an elastic table wrote; the others go one by one, to say why not."""
        created = {"create": True, "upsert": None}.get(self._operation, False)
        good = [
            RowOutcome(target.index, target.row_id, created)
            for place, target in enumerate(targets)
            if 200 <= error.statuses.get(place, 500) < 300
        ]
        self._landed = self._landed or bool(good)
        doubtful = doubt.doubtful or error.repeated or len(error.statuses) < len(targets)
        with self._kept.keeping(good):
            others = self._singles.send(_others(targets, good), doubtful=doubtful)
        return sorted([*good, *others], key=_place)

    def _halves(self, targets: Sequence[Target], doubt: _Doubt) -> list[RowOutcome]:
        middle = len(targets) // 2
        first = self._together(targets[:middle], replace(doubt, guilty=False))
        clean = all(one.error is None for one in first)
        with self._kept.keeping(first):
            return first + self._together(targets[middle:], replace(doubt, guilty=doubt.guilty and clean))

    def _probed(self, targets: Sequence[Target], error: DataverseError, doubt: _Doubt) -> list[RowOutcome]:
        """Find out by its first and its last row whether nothing may be written, or only some of the rows.

        Raises the refusal where it is meant for all.
        """
        ends = [targets[0], targets[-1]] if len(targets) > 1 else targets
        known = self._singles.send(ends, doubtful=doubt.doubtful)
        if all(isinstance(one.error, errors.Forbidden) for one in known):
            raise error
        self._landed = True
        return self._rest(targets, known, replace(doubt, guilty=True))

    def _judge(self, outcomes: Sequence[RowOutcome]) -> None:
        """Raise what all rows were refused for, when it is a missing privilege and nothing was written so far."""
        if any(one.error is None for one in outcomes):
            self._landed = True
        first = outcomes[0].error if outcomes else None
        if not self._landed and first and all(isinstance(one.error, errors.Forbidden) for one in outcomes):
            raise first

    def _learn(self, outcomes: Sequence[RowOutcome], error: DataverseError) -> None:
        bad = sum(one.error is not None for one in outcomes)
        self._singles.tuning.refused(bad, len(outcomes))
        if bad or any(one.existed for one in outcomes):
            self._strikes = 0
            return
        self._strikes += 1
        if self._strikes >= _STRIKES:
            self._give_up_chunks(error)

    def _give_up_chunks(self, error: DataverseError) -> None:
        if self.message is None:
            return  # another thread was faster
        log.warning(
            "%s does not take %s; its rows go in batches: %s", self._table.logical_name, self.message, error
        )
        self.message = None
        self._singles.tuning.resize(BATCH)


def _no_message(error: DataverseError) -> bool:
    """Say whether the service does not know the message for this table."""
    return type(error) is errors.NotFound or error.status == 501 or error.code == "0x80040800"


def _unsound(targets: Sequence[Target]) -> Iterator[tuple[int, DataverseError]]:
    for target in targets:
        try:
            odata.encode(target.body)
        except errors.BadRequest as error:  # noqa: PERF203 - each row has its own
            yield target.index, error


def _others(targets: Sequence[Target], known: Sequence[RowOutcome]) -> list[Target]:
    """Return the targets that have no outcome yet."""
    places = {one.index for one in known}
    return [target for target in targets if target.index not in places]


def _place(outcome: RowOutcome) -> int:
    return outcome.index
