"""Kernels in C, for what goes over every exchange: `library` loads them. It does not know who calls them."""
