"""Files into tables: every row of them accounted for."""
