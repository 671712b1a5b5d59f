"""An administrator's work: jobs, solutions, definitions, webhooks, and the environments there are."""
