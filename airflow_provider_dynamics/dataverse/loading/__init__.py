"""Many rows into a table, in requests that find their own size and number, with each row accounted for."""
