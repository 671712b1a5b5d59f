"""What goes on in the background: system jobs, bulk deletes, rollups and recurrences."""
