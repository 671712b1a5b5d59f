"""Several environments on one machine, servers on premises among them, and the discovery that lists them."""
