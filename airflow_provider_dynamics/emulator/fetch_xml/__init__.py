"""FetchXML: read, checked and answered, with its paging and aggregates."""
