"""Several gateways that act as one: their shared state in PostgreSQL, and how each follows it."""
