"""Several gateways that act as one: what they share in PostgreSQL, and how each of them follows it."""
