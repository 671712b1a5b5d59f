"""File and image columns, sent and read in blocks."""
