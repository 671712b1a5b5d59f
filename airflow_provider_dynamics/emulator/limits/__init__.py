"""What the service refuses: its budgets, throttled queries, and the faults that a test asks for."""
