"""Changes of metadata: tables, columns, keys, relationships and choices made, changed, published and deleted.

A definition comes as JSON (`columns`, `tables`, `relationships`, `options`, `keys` read one each), the `workshop` puts
it into the environment's schema and its database, `routes` says which request does what.
"""
