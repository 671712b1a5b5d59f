"""How much the service gives or takes at once, each number with the page it is from."""

from __future__ import annotations

__all__ = ["COUNTABLE", "LARGEST_PAGE", "LONGEST_INSIDE", "LONGEST_URL", "SIMPLE_PAGING"]

LARGEST_PAGE = 5_000
"""Rows of a page. https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/page-results"""

SIMPLE_PAGING = 50_000
"""Rows that FetchXML reaches without a cookie.

https://learn.microsoft.com/power-apps/developer/data-platform/fetchxml/page-results#simple-paging
"""

COUNTABLE = 50_000
"""Rows in one aggregate. https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/aggregate-data#limitations"""

LONGEST_URL = 32_768
"""Characters of an address. https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/overview"""

LONGEST_INSIDE = 65_536
"""Characters of an address inside a batch; the same page."""
