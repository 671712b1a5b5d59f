"""What to read, as a value: DAG files build it, so nothing here imports `requests`.

https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/overview
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["LARGEST_PAGE", "Query"]

# https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/page-results
LARGEST_PAGE = 5000


@dataclass(frozen=True)
class Query:
    """Rows of one table. `filter`, `expand` and `order_by` are OData's text; `select` takes logical column names.

    A lookup in `select` may be written `primarycontactid` or `_primarycontactid_value`. `page_size` is a
    ceiling (Dataverse's own is 5,000). With `order_by` the primary key is added as last column, because pages
    of rows in no definite order may repeat or miss some.
    """

    table: str
    select: Sequence[str] = ()
    filter: str | None = None
    expand: str | None = None
    order_by: str | None = None
    top: int | None = None
    count: bool = False
    annotations: bool = False
    page_size: int | None = None

    def __post_init__(self) -> None:
        names = self.select.split(",") if isinstance(self.select, str) else self.select
        object.__setattr__(self, "select", tuple(name.strip() for name in names))
        for name, value in (("top", self.top), ("page_size", self.page_size)):
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise ValueError(f"{name} is {value!r}; it must be a whole number from 1 up")

    @property
    def fits_one_page(self) -> bool:
        """Whether `top` can be asked for as such; Dataverse ignores it as soon as a page size is asked for too."""
        return self.top is not None and self.top <= min(self.page_size or LARGEST_PAGE, LARGEST_PAGE)
