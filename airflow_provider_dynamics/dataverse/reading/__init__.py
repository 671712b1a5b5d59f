"""Rows out of Dataverse, page by page, from whatever describes them; with counts, and rows found by their keys."""
