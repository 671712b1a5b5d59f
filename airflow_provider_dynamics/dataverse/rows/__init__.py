"""Single rows, written with all that Dataverse lets a writer choose."""
