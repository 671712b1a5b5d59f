"""Rows created, changed and deleted: bodies, keys, states, duplicates, plug-ins, references and bulk requests."""
