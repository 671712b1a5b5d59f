"""A large table read in several lanes at once, each a window of it."""
