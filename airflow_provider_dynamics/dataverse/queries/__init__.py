"""What to ask for, as values that a DAG file builds without a connection: queries, conditions, FetchXML."""
