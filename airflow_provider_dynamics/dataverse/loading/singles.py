"""Writes rows one by one: many in a `$batch` that goes on when one is refused, so that each gets its own answer.

https://learn.microsoft.com/power-apps/developer/data-platform/webapi/execute-batch-operations-using-web-api
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.dataverse.errors import DataverseError
from airflow_provider_dynamics.dataverse.loading.existing import Existing
from airflow_provider_dynamics.dataverse.loading.kept import Kept, perhaps_written
from airflow_provider_dynamics.dataverse.loading.targets import (
    PARTITION,
    REFUSED,
    Operation,
    RowOutcome,
    Target,
)
from airflow_provider_dynamics.dataverse.loading.tuning import Tuning
from airflow_provider_dynamics.dataverse.metadata.table import Table
from airflow_provider_dynamics.dataverse.metadata.tables import Tables
from airflow_provider_dynamics.dataverse.protocol import odata
from airflow_provider_dynamics.dataverse.protocol.exchange import Request, Response
from airflow_provider_dynamics.dataverse.protocol.odata import Row
from airflow_provider_dynamics.dataverse.protocol.options import WriteOptions
from airflow_provider_dynamics.dataverse.protocol.pages import decoded
from airflow_provider_dynamics.dataverse.reading.finding import find_rows
from airflow_provider_dynamics.dataverse.throttle import Stop
from airflow_provider_dynamics.dataverse.transport.batch import BatchSender

__all__ = ["Singles"]

_PLUGIN = "0x80081111"  # ran out of time: with one row alone, because of the row

_Answer = Response | DataverseError
_Asked = tuple[Target, Request]


@dataclass(frozen=True)
class Singles:
    """The single requests of one operation on one table. `upserts` says that the table takes UpsertMultiple."""

    transport: BatchSender
    tables: Tables
    table: Table
    operation: Operation
    existing: Existing
    options: WriteOptions
    tuning: Tuning
    stop: Stop
    kept: Kept
    upserts: bool = False

    def send(
        self, targets: Sequence[Target], *, doubtful: bool = False, tuned: bool = False
    ) -> list[RowOutcome]:
        """Return an outcome for each; raises what is no row's fault. `doubtful`: an earlier request may have written some.

        `tuned` says that how long this takes shall decide on the size of later batches.
        """
        found, hopeless = self._with_ids(targets)
        asked: list[_Asked] = []
        for target in found:
            try:
                asked.append((target, self._request(target)))
            except REFUSED as error:  # noqa: PERF203 - each row has its own
                hopeless.append(RowOutcome(target.index, target.row_id, error=error))
        outcomes = hopeless
        with self.kept.keeping(outcomes), perhaps_written(doubtful):
            for target, answer in self._answers(asked, tuned=tuned):
                outcomes.append(self._outcome(target, answer, doubtful=doubtful))
            return self._settled(outcomes, targets, doubtful=doubtful)

    # -- requests

    def _with_ids(self, targets: Sequence[Target]) -> tuple[list[Target], list[RowOutcome]]:
        """Give rows whose key no URL can hold the id that a filter finds; those of no row become outcomes.

        https://learn.microsoft.com/power-apps/developer/data-platform/define-alternate-keys-entity
        """
        odd = {
            target.index: tuple((target.key or {}).values()) for target in targets if self._not_in_url(target)
        }
        if not odd or self.upserts:
            return list(targets), []
        names = list(next(target.key for target in targets if target.key))
        found = find_rows(
            *(self.transport, self.tables, self.table, names, odd.values(), []), stop=self.stop, at_once=1
        )
        ready, missing = [], []
        for target in targets:
            rows = found[odd[target.index]] if target.index in odd else None
            if rows:
                target.row_id = rows[0][self.table.primary_id]
            if rows == [] and self.operation != "upsert":
                error = errors.RowNotFound(f"No row of {self.table.logical_name} has this key")
                missing.append(RowOutcome(target.index, error=error))
            else:
                ready.append(target)
        return ready, missing

    def _not_in_url(self, target: Target) -> bool:
        if target.key is None:
            return False
        try:
            self.table.predicate(target.key)
        except odata.KeyNotInUrl:
            return True
        return False

    def _request(self, target: Target) -> Request:
        make = {"create": self._post, "upsert": self._patch, "update": self._change, "delete": self._delete}
        request = make[self.operation](target)
        return replace(
            request,
            target=self.options.addressed(request.target),
            headers={**self.options.headers(), **request.headers},
        )

    def _post(self, target: Target) -> Request:
        body = odata.encode(_without(target.body, "@odata.type"))
        return Request("POST", self.table.entity_set, body=body, repeatable=target.row_id is not None)

    def _patch(self, target: Target) -> Request:
        """Return an upsert that tells created from updated, as only the row in the answer does."""
        try:
            address = self._address(target)
        except odata.KeyNotInUrl:
            return self._without_address(target)
        body = odata.encode(self._values(target))
        address = f"{address}?$select={self.table.primary_id}"
        return Request("PATCH", address, {"Prefer": "return=representation"}, body, repeatable=True)

    def _without_address(self, target: Target) -> Request:
        """Return the upsert of a row whose key no URL can hold: a chunk of one, or a new row as none has this key."""
        if self.upserts:
            address = f"{self.table.entity_set}/Microsoft.Dynamics.CRM.UpsertMultiple"
            return Request("POST", address, body=odata.encode({"Targets": [target.body]}), repeatable=True)
        body = odata.encode({**self._values(target), **(target.key or {})})
        return Request("POST", self.table.entity_set, body=body)

    def _change(self, target: Target) -> Request:
        body = odata.encode(self._values(target))
        return Request("PATCH", self._address(target), {"If-Match": "*"}, body, repeatable=True)

    def _delete(self, target: Target) -> Request:
        return Request("DELETE", self._address(target), repeatable=True)

    def _address(self, target: Target) -> str:
        if target.row_id is None:
            return f"{self.table.entity_set}{self.table.predicate(target.key)}"
        partition = target.body.get(PARTITION) if self.table.elastic else None
        if partition is None:
            return f"{self.table.entity_set}({target.row_id})"
        parts = [
            (self.table.primary_id, "Uniqueidentifier", target.row_id),
            (PARTITION, "String", partition),
        ]
        return f"{self.table.entity_set}{odata.key_predicate(parts, in_path=False)}"

    def _values(self, target: Target) -> Row:
        """Return the row less what names it."""
        return _without(target.body, "@odata.type", "@odata.id", self.table.primary_id)

    # -- answers

    def _answers(self, asked: Sequence[_Asked], *, tuned: bool) -> Iterator[tuple[Target, _Answer]]:
        """Yield the answer to each, as they come."""
        requests = [request for _, request in asked]
        if len(asked) < 2:
            yield from self._alone(asked)
            return
        try:
            outcomes = self.transport.send_together(requests, self.stop)
        except errors.TooLarge:
            self.tuning.too_much(len(requests))
            yield from self._fewer(asked)
            return
        except REFUSED:  # the batch itself: not every organization takes one
            yield from self._alone(asked)
            return
        except DataverseError as error:
            if not error.late or not all(request.repeatable for request in requests):
                raise
            self.tuning.too_much(len(requests), late=True)
            with perhaps_written():
                yield from ((target, _again(answer)) for target, answer in self._fewer(asked))
            return
        answers = [one.response or one.error or errors.BadResponse("No answer") for one in outcomes]
        if tuned:
            seconds = max((one.seconds for one in answers if isinstance(one, Response)), default=0.0)
            self.tuning.answered(len(requests), seconds, sum(len(one.body or b"") for one in requests))
        yield from self._each(asked, answers)

    def _alone(self, asked: Sequence[_Asked]) -> Iterator[tuple[Target, _Answer]]:
        return ((target, self._answer(request)) for target, request in asked)

    def _fewer(self, asked: Sequence[_Asked]) -> Iterator[tuple[Target, _Answer]]:
        """Send at most half as many at a time, or fewer where that proves too many."""
        half, place = max(1, len(asked) // 2), 0
        while place < len(asked):
            some = asked[place : place + min(half, self.tuning.rows)]
            place += len(some)
            yield from self._answers(some, tuned=False)

    def _each(self, asked: Sequence[_Asked], answers: Sequence[_Answer]) -> Iterator[tuple[Target, _Answer]]:
        """Yield the answers of a batch, those last for which the service had no time."""
        late = []
        for (target, request), answer in zip(asked, answers, strict=True):
            if isinstance(answer, DataverseError) and answer.retryable:
                late.append((target, request, answer))
            else:
                yield target, answer
        for target, request, error in late:
            yield target, self._once_more(request, error)

    def _answer(self, request: Request) -> _Answer:
        try:
            return self.transport.send(request, self.stop)
        except (*REFUSED, errors.Forbidden) as error:
            return error
        except errors.ServerTimeout as error:
            if error.code != _PLUGIN:
                raise
            return error

    def _once_more(self, request: Request, error: DataverseError) -> _Answer:
        """Send one of a batch's requests once more that the service had no time for just then.

        The others of its batch were answered, so that what fails again has to do with the row.
        """
        doubtful = not isinstance(error, errors.Throttled)
        if doubtful and not request.repeatable:
            return error
        try:
            with perhaps_written(doubtful):
                answer: _Answer = self.transport.send(replace(request, optional=True), self.stop)
        except (*REFUSED, errors.Forbidden, errors.ServerError) as failure:
            answer = failure
        return _again(answer) if doubtful else answer

    def _outcome(self, target: Target, answer: _Answer, *, doubtful: bool) -> RowOutcome:
        if isinstance(answer, DataverseError):
            repeated = doubtful or answer.repeated
            if self.operation == "delete" and repeated and isinstance(answer, errors.NotFound):
                return RowOutcome(target.index, target.row_id, created=False)
            return RowOutcome(target.index, target.row_id, error=answer)
        if self.operation == "upsert":
            return self._upserted(target, answer, doubtful=doubtful)
        if self.operation == "create":
            return RowOutcome(target.index, target.row_id or odata.entity_id(answer.headers), created=True)
        return RowOutcome(target.index, target.row_id, created=False)

    def _upserted(self, target: Target, answer: Response, *, doubtful: bool) -> RowOutcome:
        if not answer.body:
            return RowOutcome(target.index, target.row_id or odata.entity_id(answer.headers))
        row_id = decoded(answer, Request("PATCH", self.table.entity_set)).get(self.table.primary_id)
        sure = not (doubtful or answer.repeated)
        return RowOutcome(target.index, row_id, created=answer.status == 201 if sure else None)

    def _settled(
        self, outcomes: list[RowOutcome], targets: Sequence[Target], *, doubtful: bool
    ) -> list[RowOutcome]:
        if self.operation == "create":
            by_place = {target.index: target for target in targets}
            refused = [(by_place[one.index], one.error) for one in outcomes if one.error is not None]
            settled = self.existing.settled(refused, doubtful=doubtful)
            outcomes = [settled.get(one.index, one) for one in outcomes]
        return sorted(outcomes, key=lambda one: one.index)


def _without(row: Row, *names: str) -> Row:
    return {name: value for name, value in row.items() if name not in names}


def _again(answer: _Answer) -> _Answer:
    """Return what came of a request that was sent before."""
    if isinstance(answer, Response):
        return replace(answer, repeated=True)
    answer.repeated = True
    return answer
