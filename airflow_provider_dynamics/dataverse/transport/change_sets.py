"""Requests that are carried out together or not at all, and how later ones name what earlier ones make.

https://learn.microsoft.com/power-apps/developer/data-platform/webapi/execute-batch-operations-using-web-api#change-sets
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from airflow_provider_dynamics.dataverse import errors
from airflow_provider_dynamics.dataverse.protocol.exchange import Request

__all__ = ["ChangeSet", "is_reference", "numbered"]

_ID = re.compile(r"[A-Za-z0-9_-]+")
_IN_TARGET = re.compile(r"\$([A-Za-z0-9_-]+)(?=[/?(]|$)")
_IN_BODY = re.compile(rb'@odata\.(?:bind|id)"\s*:\s*"\$([A-Za-z0-9_-]+)')


@dataclass(frozen=True)
class ChangeSet:
    """Writes of one transaction: when one is refused, none of them has happened, and all have its error.

    A request with a `content_id` can be called `$<content_id>` by those behind it. Elastic tables know no
    transactions: there each request stands for itself, and the service does not say so.
    """

    requests: tuple[Request, ...]

    def __init__(self, requests: Iterable[Request]) -> None:
        object.__setattr__(self, "requests", tuple(requests))


def is_reference(value: object) -> bool:
    """Say whether a value names a row that an earlier request of the change set makes."""
    return isinstance(value, str) and value[:1] == "$" and _ID.fullmatch(value[1:]) is not None


def numbered(items: Sequence[Request | ChangeSet]) -> list[Request | ChangeSet]:
    """Return the items of a batch with every request of a change set having a content id; raises BadRequest.

    Refused is what the service would refuse after all was sent: a change set that is empty or reads, an id
    that comes twice, a reference to what comes later or not at all.
    """
    given = [one.content_id for item in items for one in _members(item) if one.content_id is not None]
    for name in given:
        if not _ID.fullmatch(name) or given.count(name) > 1:
            raise errors.BadRequest(
                f"The content id {name!r} {'comes twice in the batch' if _ID.fullmatch(name) else 'is none'}",
                remedy="Give each request of a batch its own, of letters and digits.",
            )
    free = (str(number) for number in itertools.count(1) if str(number) not in given)
    return [_complete(item, free) if isinstance(item, ChangeSet) else _alone(item) for item in items]


def _members(item: Request | ChangeSet) -> Sequence[Request]:
    return item.requests if isinstance(item, ChangeSet) else (item,)


def _alone(request: Request) -> Request:
    if request.target.startswith("$") or (request.content_id is not None):
        raise errors.BadRequest(
            "A content id stands outside of a change set, where nothing can refer to it",
            asked=request.asked,
            remedy="Put the request and those that refer to it into one ChangeSet.",
        )
    return request


def _complete(change_set: ChangeSet, free: Iterator[str]) -> ChangeSet:
    if not change_set.requests:
        raise errors.BadRequest("A change set holds no request")
    known: set[str] = set()
    made = []
    for request in change_set.requests:
        _check(request, known)
        one = request if request.content_id is not None else replace(request, content_id=next(free))
        known.add(one.content_id or "")
        made.append(one)
    return ChangeSet(made)


def _check(request: Request, known: set[str]) -> None:
    if request.reads:
        raise errors.BadRequest(
            "A change set holds a request that reads; it takes writes only",
            asked=request.asked,
            remedy="Put the reading request beside the change set.",
        )
    named = [found[1] for found in [_IN_TARGET.match(request.target)] if found]
    named += [found.decode() for found in _IN_BODY.findall(request.body or b"")]
    for name in named:
        if name not in known:
            raise errors.BadRequest(
                f"${name} is the content id of no earlier request of this change set",
                asked=request.asked,
                remedy="Put the request that makes the row first, with this content_id.",
            )
