"""The door to which Dataverse posts what happened: who may post, what is said, and how it becomes an event of an asset."""
