"""The request path: what a worker does between a client's bytes and the upstream's."""
