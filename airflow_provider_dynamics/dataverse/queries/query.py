"""What to read, as a value: DAG files build it, so nothing here imports `requests` or an XML parser.

https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/overview
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, Union

from airflow_provider_dynamics.dataverse.protocol.sizes import LARGEST_PAGE
from airflow_provider_dynamics.dataverse.queries.conditions import Condition

__all__ = ["Expand", "FetchXml", "Query", "SavedQuery", "Source", "first_row", "mapped"]


@dataclass(frozen=True)
class Expand:
    """Related rows to read along, by the name of a navigation property.

    Of a lookup it is one row, of the other direction a collection; `filter`, `order_by` and `top` are for
    collections, and Dataverse takes the last two only where no expand holds another one.
    https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/join-tables
    """

    navigation: str
    select: Sequence[str] = ()
    filter: str | Condition | None = None
    order_by: str | None = None
    top: int | None = None
    expand: Sequence[Expand] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "select", _names(self.select))
        object.__setattr__(self, "expand", _expands(self.expand))
        _check_counts(top=self.top)


@dataclass(frozen=True)
class Query:
    """Rows of one table. Text in `filter`, `expand`, `order_by` and `apply` is OData's; `select` takes logical column names.

    A lookup in `select` may be written `primarycontactid` or `_primarycontactid_value`. `page_size` is a
    ceiling (Dataverse's own is 5,000). With `order_by` the primary key is added as last column, because pages
    of rows in no definite order may repeat or miss some.

    `apply` aggregates or groups (`groupby((statecode),aggregate($count as n))`) and goes with `filter` alone,
    which is applied first. `labels` adds the labels of choices and the names and tables of lookups to what
    the rows consist of; `annotations` asks for everything the service can annotate.

    Raises ValueError for what cannot go together.
    """

    table: str
    select: Sequence[str] = ()
    filter: str | Condition | None = None
    expand: str | Sequence[Expand] | None = None
    order_by: str | None = None
    top: int | None = None
    count: bool = False
    annotations: bool = False
    page_size: int | None = None
    apply: str | None = None
    labels: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "select", _names(self.select))
        if self.expand is not None and not isinstance(self.expand, str):
            object.__setattr__(self, "expand", _expands(self.expand))
        _check_counts(top=self.top, page_size=self.page_size)
        if self.apply is not None:
            self._check_apply()

    @property
    def fits_one_page(self) -> bool:
        """Whether `top` can be asked for as such; Dataverse ignores it as soon as a page size is asked for too."""
        return self.top is not None and self.top <= min(self.page_size or LARGEST_PAGE, LARGEST_PAGE)

    def _check_apply(self) -> None:
        others = ("select", "expand", "order_by", "top", "count")
        if given := [name for name in others if getattr(self, name)]:
            raise ValueError(
                f"apply goes with filter alone, not with {' and '.join(given)}: it decides itself what comes back"
            )
        if self.filter is not None and (self.apply or "").lstrip().startswith("filter("):
            raise ValueError("apply begins with a filter(…) of its own: put both conditions into filter")


@dataclass(frozen=True)
class FetchXml:
    """A FetchXML document; its pages follow each other whatever `count` it names, which is the size of one page.

    `page_size` replaces `count` (at most 5,000). With `top` it is one page. Whether the document is
    well-formed is checked before anything is sent. Raises ValueError for an empty one.
    https://learn.microsoft.com/power-apps/developer/data-platform/fetchxml/overview
    """

    document: str
    page_size: int | None = None
    labels: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.document, str) or not self.document.strip():
            raise ValueError("The FetchXML document is empty")
        _check_counts(page_size=self.page_size)

    @property
    def table(self) -> str:
        """The logical name of the table the document reads; raises BadFetchXml."""
        from airflow_provider_dynamics.dataverse.queries.fetch_document import Document

        return Document.parsed(self.document).table


@dataclass(frozen=True)
class SavedQuery:
    """A view of a table, by its name or its id: a system view, or with `personal` one that a user has saved.

    What is read is the FetchXML the view holds at that time.
    https://learn.microsoft.com/power-apps/developer/data-platform/webapi/retrieve-and-execute-predefined-queries
    """

    table: str
    view: str
    personal: bool = False
    page_size: int | None = None
    labels: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.view, str) or not self.view.strip():
            raise ValueError("view is empty: give the view's name or its id")
        _check_counts(page_size=self.page_size)


Source: TypeAlias = Union[Query, FetchXml, SavedQuery]  # noqa: UP007  # read at run time, on Python 3.10 too


def first_row(source: Source) -> Source:
    """Return the source that asks for no more than its first row, as far as it can be asked so."""
    if not isinstance(source, Query):
        return replace(source, page_size=1)
    return source if source.apply is not None else replace(source, top=1, page_size=None)


def mapped(value: Any, change: Callable[[str], Any]) -> Any:
    """Return a condition or expands with `change` applied to the texts they hold; anything else stays as it is."""
    if isinstance(value, Condition):
        return value.mapped(change)
    if isinstance(value, Expand):
        return replace(value, filter=mapped(value.filter, change), expand=mapped(value.expand, change))
    if isinstance(value, (list, tuple)) and any(isinstance(one, Expand) for one in value):
        return tuple(mapped(one, change) for one in value)
    return value


def _names(select: Sequence[str]) -> tuple[str, ...]:
    if isinstance(select, str):
        return tuple(name for name in (part.strip() for part in select.split(",")) if name)
    return tuple(name.strip() for name in select or ())


def _expands(value: Any) -> tuple[Expand, ...]:
    listed = tuple(value or ())
    for one in listed:
        if not isinstance(one, Expand):
            raise TypeError(f"expand holds {one!r}; it must be OData's text or Expand values")
    return listed


def _check_counts(**counts: int | None) -> None:
    for name, value in counts.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise ValueError(f"{name} is {value!r}; it must be a whole number from 1 up")
