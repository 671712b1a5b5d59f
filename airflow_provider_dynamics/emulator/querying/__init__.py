"""OData's way to ask: the options of a query, filters, expands, paging and `$apply`, answered from SQL."""
