"""Actions, functions and custom APIs: what there is, how it is addressed, and what it takes and answers."""
