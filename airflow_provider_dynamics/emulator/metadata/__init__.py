"""What an environment says of its tables, columns and operations."""
